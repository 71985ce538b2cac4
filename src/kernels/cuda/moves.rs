//! Feature maps joined and made larger on a GPU: values are moved, and nothing is computed.

use candle_core::{Result, Tensor};

use super::launch::{Argument, Kernel, Launch};
use super::operands::{expect, units};
use crate::kernels::geometry::{Size, channels_first, channels_last};

/// `(batch, channels, height, width)` to `(batch, channels, height', width')`, each pixel the nearest one above and to
/// the left.
pub fn upsample_nearest(x: &Tensor, (height, width): Size) -> Result<Tensor> {
    let (batch, channels, from_height, from_width) = x.dims4()?;
    let x = channels_last(x)?;
    let (bytes, units) = units(&x)?;
    let shape = [batch, height, width, channels];
    let count = batch * height * width * units;
    let out = Launch::over(count, Kernel::of_units("upsample_nearest", bytes))
        .with([Argument::Values(&x)])
        .ints([count, units, from_height, from_width, height, width])
        .run(&x, x.dtype(), &shape)?;
    channels_first(&out)
}

/// Two feature maps of one size, their channels one after another.
pub fn concat_channels(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (batch, first, height, width) = a.dims4()?;
    let (_, second, ..) = b.dims4()?;
    expect(Some(b), a, &[batch, second, height, width])?;
    let (a, b) = (channels_last(a)?, channels_last(b)?);
    let shape = [batch, height, width, first + second];
    // Both in the smaller unit.
    let bytes = units(&a)?.0.min(units(&b)?.0);
    let in_units = |channels: usize| channels * a.dtype().size_in_bytes() / bytes;
    let count = batch * height * width * in_units(first + second);
    let out = Launch::over(count, Kernel::of_units("concat", bytes))
        .with([&a, &b].map(Argument::Values))
        .ints([count, in_units(first), in_units(second)])
        .run(&a, a.dtype(), &shape)?;
    channels_first(&out)
}

//! Feature maps made larger on a GPU.

use candle_core::{Result, Tensor};

use super::launch::{Argument, Kernel, Launch};
use super::operands::units;
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

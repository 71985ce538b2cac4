//! Feature maps: as a sequence of pixels and back, joined, and made larger.

use candle_core::{Result, Tensor};

use crate::kernels::geometry::{Size, channels_first};
use crate::kernels::{Backend, cpu, cuda};

/// `(batch, channels, height, width)` as `(batch, pixels, channels)`: the same memory where channels lie last.
pub fn to_pixels(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    x.permute((0, 2, 3, 1))?
        .reshape((batch, height * width, channels))
}

/// `(batch, pixels, channels)` as `(batch, channels, height, width)`; contiguous in memory for candle, which wants
/// that.
pub fn to_image(pixels: &Tensor, (height, width): Size) -> Result<Tensor> {
    let (batch, _, channels) = pixels.dims3()?;
    let image = channels_first(&pixels.reshape((batch, height, width, channels))?)?;
    match Backend::of(pixels) {
        Backend::Cpu | Backend::Cuda => Ok(image),
        Backend::Candle => image.contiguous(),
    }
}

/// Two feature maps of one size, their channels one after another.
pub fn concat_channels(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match Backend::of(a) {
        Backend::Cpu => cpu::concat_channels(a, b),
        Backend::Cuda => cuda::concat_channels(a, b),
        Backend::Candle => Tensor::cat(&[a, b], 1),
    }
}

/// `(batch, channels, height, width)` to the size `to`, each pixel the nearest one above and to the left.
pub fn upsample_nearest(x: &Tensor, to: Size) -> Result<Tensor> {
    match Backend::of(x) {
        Backend::Cpu => cpu::upsample_nearest(x, to),
        Backend::Cuda => cuda::upsample_nearest(x, to),
        Backend::Candle => x.upsample_nearest2d(to.0, to.1),
    }
}

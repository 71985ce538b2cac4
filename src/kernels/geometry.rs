//! Feature maps: how convolutions walk over them, and how they lie in memory.
//!
//! To a network, a feature map is a tensor `(batch, channels, height, width)`. The kernels want the channels of a pixel
//! side by side, `(batch, height, width, channels)`, which PyTorch calls the memory format "channels last". Both are
//! the same values: a tensor has strides, and moving its dimensions moves no values.

use candle_core::{Result, Tensor};

pub type Size = (usize, usize);

/// A square convolution: how it walks over a feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Width and height of the kernel.
    pub size: usize,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Zeros around the feature map.
    pub padding: usize,
}

impl Geometry {
    /// The output's size; `None` where the kernel does not fit into the feature map.
    pub fn output(&self, (height, width): Size) -> Option<Size> {
        let along = |length: usize| {
            let room = (length + 2 * self.padding).checked_sub(self.size)?;
            Some(room / self.stride + 1)
        };
        Some((along(height)?, along(width)?))
    }
}

/// `(batch, channels, height, width)` as contiguous `(batch, height, width, channels)`: free where it lies so already.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 1))?.contiguous()
}

/// `(batch, height, width, channels)` as `(batch, channels, height, width)`, without moving anything.
pub fn channels_first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))
}

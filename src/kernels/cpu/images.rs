//! A batch of feature maps as the kernels see it.

use crate::kernels::geometry::Size;

/// Feature maps of one size, their channels last.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// `(batch, height, width, channels)`.
    pub values: &'a [f32],
    pub batch: usize,
    pub size: Size,
}

impl<'a> Images<'a> {
    /// One of them, `(height, width, channels)`.
    pub fn one(self, index: usize, channels: usize) -> &'a [f32] {
        let len = self.size.0 * self.size.1 * channels;
        &self.values[index * len..][..len]
    }
}

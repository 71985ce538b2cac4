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

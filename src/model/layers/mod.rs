//! The layers that every network is made of, one file a kind. Weights keep diffusers' names and shapes.
//!
//! A layer says what it reads, its formula and its source. Who computes it is [`Backend`]'s choice: the kernels of the
//! CPU or of a GPU, or candle's operations, which show the formula as it stands.
//!
//! [`Backend`]: crate::kernels::Backend

mod activation;
mod attention;
mod conv;
mod image;
mod linear;
mod norm;
#[cfg(test)]
mod tests;

pub use crate::kernels::geometry::Geometry;
pub use activation::{gelu, quick_gelu, silu};
pub use attention::{AttentionInput, attention, stores_scores};
pub use conv::Conv2d;
pub use image::{concat_channels, to_image, to_pixels, upsample_nearest};
pub use linear::{Linear, SideBySide};
pub use norm::{GroupNorm, LayerNorm};

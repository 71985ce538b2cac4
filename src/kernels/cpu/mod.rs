//! The arithmetic of the networks on a CPU, in f32: what takes the time, written to be fast and to be read.
//!
//! Begin with [`convolution`]: it shows the idea that all of them share, which is to finish a piece of the result while
//! it is in the core's cache; then [`winograd`], the same with a quarter of the multiplications.
//!
//! | file | what |
//! |---|---|
//! | [`product`], [`weights`] | the matrix product, and weights in the order in which it reads them |
//! | [`sixteen_bits`] | weights that take half the memory |
//! | [`dense`] | linear layers |
//! | [`convolution`] | 3x3 and 1x1 convolutions |
//! | [`winograd`] | 3x3 convolutions of large pictures |
//! | [`group_norm`], [`layer_norm`], [`softmax`] | normalisations |
//! | [`activation`] | SiLU, GELU and the exponential |
//! | [`attention`] | attention, a block of queries at a time |
//! | [`concat`], [`upsample`] | the other two steps of the UNet's way up |
//! | [`simd`], [`parallel`] | vector instructions and threads |
//! | [`tensors`], [`values`] | all of it as operations on candle's tensors |
//!
//! Below [`tensors`] everything is a slice: the kernels know neither tensors nor devices. Sizes are checked there; a
//! kernel that is handed slices that do not fit panics.

// What is not inlined is not compiled for the vector instructions of `simd::vectorised`.
#![allow(clippy::inline_always)]

pub mod activation;
pub mod attention;
pub mod concat;
pub mod convolution;
pub mod dense;
pub mod group_norm;
pub mod images;
pub mod layer_norm;
pub mod parallel;
pub mod product;
pub mod simd;
pub mod sixteen_bits;
pub mod softmax;
pub mod tensors;
pub mod upsample;
pub mod values;
pub mod weights;
pub mod winograd;

pub use tensors::{
    Conv2d, GroupNorm, Linear, activate, attend, concat_channels, layer_norm, upsample_nearest,
    weigh,
};

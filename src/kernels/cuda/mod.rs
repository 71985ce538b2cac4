//! The arithmetic of the networks on an NVIDIA GPU, as far as it is not a matrix product: those are cuBLAS's.
//!
//! candle's own operations are right, but many: a group norm is a dozen of them, each of which reads and writes the
//! whole feature map, and attention writes down every score. Here each is a kernel or two, of
//! [`kernels.cu`](./kernels.cu), that computes in f32 and rounds once. Feature maps lie channels last, as with the
//! [kernels of the CPU](super::cpu), so that a feature map is a sequence of pixels without being moved.
//!
//! | file | what |
//! |---|---|
//! | `kernels.cu` | the kernels |
//! | [`launch`], [`operands`] | how they are launched, and with what |
//! | [`linear`], [`convolution`] | what comes after cuBLAS's product; cuDNN's convolutions, or a product of neighbourhoods |
//! | [`group_norm`], [`layer_norm`], [`moves`], [`attention`] | the others |
//! | [`device`], `late` | the GPU that all of it runs on, and finding CUDA's libraries when it is asked for |
//! | [`check`] | whether they compute the right thing on this machine: if not, candle's operations are used |
//! | [`transfer`], [`timer`] | from the GPU's memory to the host's, and how long it was at work |
//!
//! Without a GPU the feature `cuda-emulated` runs the same kernels, with the same arguments, on a small emulator: for
//! f16 on the CPU, which the tests then compare with everything else.

mod attention;
mod check;
mod convolution;
#[cfg(feature = "cudnn")]
mod cudnn;
pub mod device;
mod group_norm;
#[cfg(late_cuda)]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))] // Only its test uses it.
mod late;
// Without a GPU or its emulator, nothing reads these fields.
#[cfg_attr(
    not(any(feature = "cuda", feature = "cuda-emulated")),
    allow(dead_code)
)]
mod launch;
mod layer_norm;
mod linear;
mod moves;
mod operands;
#[cfg(all(test, feature = "cuda-emulated", not(feature = "cuda")))]
mod tests;
pub mod timer;
pub mod transfer;
#[cfg(any(test, feature = "cudnn"))]
mod tried;

use candle_core::{DType, Device};

pub use attention::{attend, can_attend, probabilities};
pub use check::{report, why_not};
pub use convolution::Conv2d;
pub use group_norm::GroupNorm;
pub use layer_norm::layer_norm;
pub use linear::Linear;
pub use moves::{concat_channels, upsample_nearest};

/// Do these kernels compute with numbers of `dtype` on `device`?
pub fn computes(dtype: DType, device: &Device) -> bool {
    if cfg!(feature = "cuda") {
        let known = matches!(dtype, DType::F32 | DType::F16 | DType::BF16);
        device.is_cuda() && known && why_not(device).is_none()
    } else {
        cfg!(feature = "cuda-emulated") && device.is_cpu() && dtype == DType::F16
    }
}

/// Why cuDNN does not compute convolutions, where it was asked to and could not: the first reason.
pub fn cudnn_refusal() -> Option<String> {
    #[cfg(feature = "cudnn")]
    return cudnn::refusal();
    #[cfg(not(feature = "cudnn"))]
    None
}

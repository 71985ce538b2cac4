//! The arithmetic that takes the time, on the [CPU](cpu) and on an NVIDIA [GPU](cuda).
//!
//! Numbers only: nothing here knows a network, the name of a weight or a hook. [`Backend`] says who computes. Tensors
//! have the shapes that the networks give them; feature maps are `(batch, channels, height, width)`, but those that
//! these kernels write lie in memory channels last, see [`geometry`].

pub(crate) mod attention;
pub(crate) mod cpu;
pub(crate) mod cuda;
pub(crate) mod geometry;

pub(crate) use cpu::weights::WORTH_HALVING;

use candle_core::{DType, Device, Tensor};

/// Who computes: it follows from the type of the numbers and the device that they are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The kernels of the [CPU](cpu): f32.
    Cpu,
    /// The kernels of a [GPU](cuda), where it passed their [check](cuda::why_not): f32, f16 and bf16.
    Cuda,
    /// candle's own operations: everything else.
    Candle,
}

impl Backend {
    /// Who computes with numbers of `dtype` on `device`.
    pub fn choose(dtype: DType, device: &Device) -> Self {
        if cuda::computes(dtype, device) {
            Self::Cuda
        } else if dtype == DType::F32 && device.is_cpu() {
            Self::Cpu
        } else {
            Self::Candle
        }
    }

    pub fn of(tensor: &Tensor) -> Self {
        Self::choose(tensor.dtype(), tensor.device())
    }

    /// Runs a whole forward pass: for the CPU's kernels, on one of the threads that they run on.
    pub fn install<R: Send>(self, forward: impl FnOnce() -> R + Send) -> R {
        match self {
            Self::Cpu => cpu::parallel::install(forward),
            Self::Cuda | Self::Candle => forward(),
        }
    }
}

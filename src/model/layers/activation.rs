//! Activations.

use candle_core::{Result, Tensor};

use crate::kernels::cpu::activation::Activation;
use crate::kernels::{Backend, cpu};

/// `x sigmoid(x)` (Elfwing et al. 2017).
pub fn silu(x: &Tensor) -> Result<Tensor> {
    match Backend::of(x) {
        Backend::Cpu => cpu::activate(x, Activation::Silu),
        Backend::Cuda | Backend::Candle => x.silu(),
    }
}

/// `x sigmoid(1.702 x)`, CLIP's approximation of GELU.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    match Backend::of(x) {
        Backend::Cpu => cpu::activate(x, Activation::QuickGelu),
        Backend::Cuda | Backend::Candle => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
    }
}

/// `x Φ(x)` with the exact error function (Hendrycks & Gimpel 2016), as diffusers uses it.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    match Backend::of(x) {
        Backend::Cpu => cpu::activate(x, Activation::Gelu),
        Backend::Cuda | Backend::Candle => x.gelu_erf(),
    }
}

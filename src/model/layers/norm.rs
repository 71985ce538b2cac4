//! Normalisations.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::kernels::{Backend, cpu, cuda};

/// Group normalisation (Wu & He 2018): every group of channels of an image has mean 0 and variance 1, then a scale and
/// a shift a channel.
#[derive(Debug, Clone)]
pub struct GroupNorm(pub(super) Kernel);

#[derive(Debug, Clone)]
pub(super) enum Kernel {
    Cpu(cpu::GroupNorm),
    Cuda(cuda::GroupNorm),
    Candle(candle_nn::GroupNorm),
}

impl GroupNorm {
    /// Reads `weight` and `bias`, one value a channel.
    pub fn new(groups: usize, channels: usize, eps: f64, weights: &VarBuilder) -> Result<Self> {
        let weight = weights.get(channels, "weight")?;
        Self::from_tensors(weight, weights.get(channels, "bias")?, groups, eps)
    }

    /// From `weight` and `bias`, one value a channel; `eps` is added to the variance.
    pub fn from_tensors(weight: Tensor, bias: Tensor, groups: usize, eps: f64) -> Result<Self> {
        Self::on(Backend::of(&weight), weight, bias, groups, eps)
    }

    pub(super) fn on(
        backend: Backend,
        weight: Tensor,
        bias: Tensor,
        groups: usize,
        eps: f64,
    ) -> Result<Self> {
        let channels = weight.elem_count();
        if groups == 0 || !channels.is_multiple_of(groups) {
            candle_core::bail!("{channels} channels do not fall into {groups} groups");
        }
        Ok(Self(match backend {
            Backend::Cpu => Kernel::Cpu(cpu::GroupNorm::new(&weight, &bias, groups, eps)?),
            Backend::Cuda => Kernel::Cuda(cuda::GroupNorm::new(weight, bias, groups, eps)),
            Backend::Candle => {
                let norm = candle_nn::GroupNorm::new(weight, bias, channels, groups, eps)?;
                Kernel::Candle(norm)
            }
        }))
    }

    /// `(batch, channels, height, width)`, same shape out.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, false)
    }

    /// The same, followed by SiLU.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, true)
    }

    fn apply(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        match &self.0 {
            Kernel::Cpu(kernel) => kernel.forward(x, silu),
            Kernel::Cuda(kernel) => kernel.forward(x, silu),
            Kernel::Candle(kernel) if silu => x.apply(kernel)?.silu(),
            Kernel::Candle(kernel) => x.apply(kernel),
        }
    }
}

/// Layer normalisation (Ba et al. 2016) over the last dimension.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl LayerNorm {
    /// Reads `weight` and `bias`, one value a feature.
    pub fn new(features: usize, eps: f64, weights: &VarBuilder) -> Result<Self> {
        let weight = weights.get(features, "weight")?;
        Ok(Self::from_tensors(
            weight,
            weights.get(features, "bias")?,
            eps as f32,
        ))
    }

    /// From `weight` and `bias`, one value a feature; `eps` is added to the variance.
    pub fn from_tensors(weight: Tensor, bias: Tensor, eps: f32) -> Self {
        Self { weight, bias, eps }
    }

    /// `(.., features)`, same shape out.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (&self.weight, &self.bias);
        match Backend::of(weight) {
            Backend::Cpu => cpu::layer_norm(x, weight, bias, self.eps),
            Backend::Cuda => cuda::layer_norm(x, weight, bias, self.eps),
            Backend::Candle => candle_nn::ops::layer_norm(&x.contiguous()?, weight, bias, self.eps),
        }
    }
}

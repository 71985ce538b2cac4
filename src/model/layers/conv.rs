//! Convolutions.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::kernels::geometry::Geometry;
use crate::kernels::{Backend, cpu, cuda};

/// A square two-dimensional convolution, weight `(out, in, size, size)`.
#[derive(Debug, Clone)]
pub struct Conv2d(pub(super) Kernel);

#[derive(Debug, Clone)]
pub(super) enum Kernel {
    Cpu(cpu::Conv2d),
    Cuda(cuda::Conv2d),
    Candle(candle_nn::Conv2d),
}

impl Conv2d {
    /// Reads `weight` and `bias` of a `size` x `size` convolution.
    pub fn new(
        inputs: usize,
        outputs: usize,
        size: usize,
        stride: usize,
        padding: usize,
        weights: &VarBuilder,
    ) -> Result<Self> {
        let weight = weights.get((outputs, inputs, size, size), "weight")?;
        let geometry = Geometry {
            size,
            stride,
            padding,
        };
        Self::from_tensors(&weight, weights.get(outputs, "bias")?, geometry)
    }

    /// From `weight` `(out, in, size, size)` and `bias` `(out)`.
    pub fn from_tensors(weight: &Tensor, bias: Tensor, geometry: Geometry) -> Result<Self> {
        Self::on(Backend::of(weight), weight, bias, geometry)
    }

    pub(super) fn on(
        backend: Backend,
        weight: &Tensor,
        bias: Tensor,
        geometry: Geometry,
    ) -> Result<Self> {
        Ok(Self(match backend {
            Backend::Cpu => Kernel::Cpu(cpu::Conv2d::new(weight, &bias, geometry)?),
            Backend::Cuda => Kernel::Cuda(cuda::Conv2d::new(weight, bias, geometry)?),
            Backend::Candle => {
                let config = candle_nn::Conv2dConfig {
                    stride: geometry.stride,
                    padding: geometry.padding,
                    ..Default::default()
                };
                Kernel::Candle(candle_nn::Conv2d::new(weight.clone(), Some(bias), config))
            }
        }))
    }

    /// `(batch, in, height, width)` to `(batch, out, height', width')`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, None, None)
    }

    /// The same, plus `shift` `(1 or batch, out)` at every pixel.
    pub fn forward_shifted(&self, x: &Tensor, shift: &Tensor) -> Result<Tensor> {
        self.apply(x, Some(shift), None)
    }

    /// `base + forward(x)`, `base` of the result's shape.
    pub fn add_to(&self, base: &Tensor, x: &Tensor) -> Result<Tensor> {
        self.apply(x, None, Some(base))
    }

    fn apply(&self, x: &Tensor, shift: Option<&Tensor>, base: Option<&Tensor>) -> Result<Tensor> {
        match &self.0 {
            Kernel::Cpu(kernel) => kernel.forward(x, shift, base),
            Kernel::Cuda(kernel) => kernel.forward(x, shift, base),
            Kernel::Candle(kernel) => {
                let mut y = x.apply(kernel)?;
                if let Some(shift) = shift {
                    y = y.broadcast_add(&shift.unsqueeze(2)?.unsqueeze(3)?)?;
                }
                base.map_or(Ok(y.clone()), |base| base + y)
            }
        }
    }
}

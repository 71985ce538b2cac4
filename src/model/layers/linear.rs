//! Linear layers.

use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;

use crate::kernels::{Backend, cpu, cuda};
use crate::model::Error;
use crate::model::hook::{Hook, visit};

/// Linear layers of the same input: on a GPU one product for all of them, because several small ones leave it without work
/// in between.
#[derive(Debug, Clone)]
pub struct SideBySide {
    /// All of them as one, or each.
    layers: Vec<Linear>,
    /// How many features each gives.
    outputs: Vec<usize>,
}

impl SideBySide {
    /// All of `layers` have a bias, or none has.
    pub fn new(layers: Vec<Linear>) -> Result<Self> {
        let kernels: Option<Vec<&cuda::Linear>> = layers.iter().map(Linear::cuda).collect();
        Ok(match kernels {
            Some(kernels) if !kernels.is_empty() => Self {
                outputs: kernels.iter().map(|kernel| kernel.outputs()).collect(),
                layers: vec![Linear(Kernel::Cuda(cuda::Linear::side_by_side(&kernels)?))],
            },
            _ => Self {
                outputs: Vec::new(),
                layers,
            },
        })
    }

    /// `(.., in)` to `(.., out)` for each layer; where one product gave them all, views of that.
    pub fn forward(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let results = self.layers.iter().map(|layer| layer.forward(x));
        let results = results.collect::<Result<Vec<_>>>()?;
        let ([all], [_, ..]) = (&results[..], &self.outputs[..]) else {
            return Ok(results);
        };
        let mut first = 0;
        let mut next = |&outputs: &usize| {
            let part = all.narrow(D::Minus1, first, outputs);
            first += outputs;
            part
        };
        self.outputs.iter().map(&mut next).collect()
    }
}

/// `x W^T + b`, weight `(out, in)`.
#[derive(Debug, Clone)]
pub struct Linear(pub(super) Kernel);

#[derive(Debug, Clone)]
pub(super) enum Kernel {
    Cpu(cpu::Linear),
    Cuda(cuda::Linear),
    Candle(candle_nn::Linear),
}

impl Linear {
    /// Reads `weight` `(out, in)` and `bias` `(out)`.
    pub fn new(inputs: usize, outputs: usize, weights: &VarBuilder) -> Result<Self> {
        let weight = weights.get((outputs, inputs), "weight")?;
        Self::from_tensors(weight, Some(weights.get(outputs, "bias")?))
    }

    /// Reads `weight` `(out, in)` alone.
    pub fn without_bias(inputs: usize, outputs: usize, weights: &VarBuilder) -> Result<Self> {
        Self::from_tensors(weights.get((outputs, inputs), "weight")?, None)
    }

    /// Reads a 1x1 convolution, weight `(out, in, 1, 1)`, as the same product over `(batch, pixels, channels)`.
    pub fn from_1x1_convolution(
        inputs: usize,
        outputs: usize,
        weights: &VarBuilder,
    ) -> Result<Self> {
        let weight = weights.get((outputs, inputs, 1, 1), "weight")?;
        let weight = weight.squeeze(3)?.squeeze(2)?;
        Self::from_tensors(weight, Some(weights.get(outputs, "bias")?))
    }

    /// From `weight` `(out, in)` and `bias` `(out)`.
    pub fn from_tensors(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        Self::on(Backend::of(&weight), weight, bias)
    }

    pub(super) fn on(backend: Backend, weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        Ok(Self(match backend {
            Backend::Cpu => Kernel::Cpu(cpu::Linear::new(&weight, bias.as_ref())?),
            Backend::Cuda => Kernel::Cuda(cuda::Linear::new(weight, bias)),
            Backend::Candle => Kernel::Candle(candle_nn::Linear::new(weight, bias)),
        }))
    }

    fn cuda(&self) -> Option<&cuda::Linear> {
        match &self.0 {
            Kernel::Cuda(kernel) => Some(kernel),
            Kernel::Cpu(_) | Kernel::Candle(_) => None,
        }
    }

    /// `(.., in)` to `(.., out)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, None)
    }

    /// `base + forward(x)`, `base` of the result's shape.
    pub fn add_to(&self, base: &Tensor, x: &Tensor) -> Result<Tensor> {
        self.apply(x, Some(base))
    }

    /// The same where `forward(x)` is the output of the module at `path`, which `hook` may look at or replace before it
    /// is added. Where it does not want to, the layer adds `base` itself, which gives the same bits.
    pub(in crate::model) fn add_to_visited(
        &self,
        base: &Tensor,
        x: &Tensor,
        path: &str,
        hook: &mut dyn Hook,
    ) -> std::result::Result<Tensor, Error> {
        if hook.wants_output(path) {
            let value = visit(hook, path, self.forward(x)?)?;
            Ok((base + value)?)
        } else {
            hook.check()?;
            Ok(self.add_to(base, x)?)
        }
    }

    /// The gated GELU (Shazeer 2020) of `forward(x)`, whose features are `[value, gate]`: `value gelu(gate)`,
    /// `(.., in)` to `(.., out / 2)`.
    pub fn forward_geglu(&self, x: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Kernel::Cpu(kernel) => kernel.forward_geglu(x),
            Kernel::Cuda(kernel) => kernel.forward_geglu(x),
            Kernel::Candle(kernel) => {
                let both = x.apply(kernel)?;
                let inner = both.dim(D::Minus1)? / 2;
                let value = both.narrow(D::Minus1, 0, inner)?;
                let gate = both.narrow(D::Minus1, inner, inner)?.contiguous()?;
                value * gate.gelu_erf()?
            }
        }
    }

    fn apply(&self, x: &Tensor, base: Option<&Tensor>) -> Result<Tensor> {
        match &self.0 {
            Kernel::Cpu(kernel) => kernel.forward(x, base),
            Kernel::Cuda(kernel) => kernel.forward(x, base),
            Kernel::Candle(kernel) => {
                let y = x.apply(kernel)?;
                base.map_or(Ok(y.clone()), |base| base + y)
            }
        }
    }
}

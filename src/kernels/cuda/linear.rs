//! Linear layers on a GPU: cuBLAS's product, and one kernel for what comes after it.

use candle_core::{Result, Tensor};

use super::launch::{Argument, Kernel, Launch};
use super::operands::{at_once, expect, last};

/// `x W^T + b`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: candle_nn::Linear,
    bias: Option<Tensor>,
}

impl Linear {
    /// From `weight` `(out, in)` and `bias` `(out)`.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        let weight = candle_nn::Linear::new(weight, None);
        Self { weight, bias }
    }

    /// One layer that gives what each of `layers`, which have the same input, gives: one after another.
    pub fn side_by_side(layers: &[&Self]) -> Result<Self> {
        let weights: Vec<_> = layers.iter().map(|layer| layer.weight.weight()).collect();
        let biases: Vec<_> = layers
            .iter()
            .filter_map(|layer| layer.bias.as_ref())
            .collect();
        let bias = match biases.len() {
            0 => None,
            count if count == layers.len() => Some(Tensor::cat(&biases, 0)?),
            _ => candle_core::bail!("some layers have a bias, and others none"),
        };
        Ok(Self::new(Tensor::cat(&weights, 0)?, bias))
    }

    /// How many features it gives.
    pub fn outputs(&self) -> usize {
        self.weight.weight().dims().first().copied().unwrap_or(0)
    }

    /// `(.., in)` to `(.., out)`; `base`, of the result's shape, is added to it.
    pub fn forward(&self, x: &Tensor, base: Option<&Tensor>) -> Result<Tensor> {
        add(&self.product(x)?, self.bias.as_ref(), None, base)
    }

    /// The gated GELU of `forward(x)`, which has a bias: `(.., in)` to `(.., out / 2)`.
    pub fn forward_geglu(&self, x: &Tensor) -> Result<Tensor> {
        let Some(bias) = &self.bias else {
            candle_core::bail!("a gated GELU without a bias");
        };
        geglu(&self.product(x)?, bias)
    }

    fn product(&self, x: &Tensor) -> Result<Tensor> {
        x.contiguous()?.apply(&self.weight)
    }
}

/// `x + bias + shift + base`, as far as they are given: `x` `(batch, .., features)`, `bias` `(features)`, `shift`
/// `(1 or batch, features)` at every position of an item, `base` of the shape of `x`.
pub fn add(
    x: &Tensor,
    bias: Option<&Tensor>,
    shift: Option<&Tensor>,
    base: Option<&Tensor>,
) -> Result<Tensor> {
    if bias.is_none() && shift.is_none() && base.is_none() {
        return Ok(x.clone());
    }
    let (count, features) = (x.elem_count(), last(x));
    let batch = x.dim(0)?;
    expect(bias, x, &[features])?;
    expect(base, x, x.dims())?;
    // One shift for all items, or one for each.
    let shift_step = match shift.map(|shift| shift.dim(0)).transpose()? {
        None | Some(1) => 0,
        Some(_) => features,
    };
    let rows = if shift_step == 0 { 1 } else { batch };
    expect(shift, x, &[rows, features])?;
    let contiguous = |tensor: Option<&Tensor>| tensor.map(Tensor::contiguous).transpose();
    let (x, shift, base) = (x.contiguous()?, contiguous(shift)?, contiguous(base)?);
    let all = [Some(&x), bias, shift.as_ref(), base.as_ref()];
    let wide = at_once(x.dtype(), features, all.into_iter().flatten());
    Launch::over(count.div_ceil(wide), Kernel::of("add", x.dtype(), wide))
        .with([
            Argument::Values(&x),
            bias.into(),
            shift.as_ref().into(),
            base.as_ref().into(),
        ])
        .ints([count, features, count / batch, shift_step])
        .run(&x, x.dtype(), x.dims())
}

/// The gated GELU (Shazeer 2020) of `x + bias`, `(.., 2 n)` and `(2 n)`, whose features are `[value, gate]`: `(.., n)`.
pub fn geglu(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    expect(Some(bias), x, &[last(x)])?;
    let x = x.contiguous()?;
    let inner = last(&x) / 2;
    let mut shape = x.dims().to_vec();
    shape.pop();
    shape.push(inner);
    let count = x.elem_count() / 2;
    let wide = at_once(x.dtype(), inner, [&x, bias]);
    Launch::over(count.div_ceil(wide), Kernel::of("geglu", x.dtype(), wide))
        .with([&x, bias].map(Argument::Values))
        .ints([count, inner])
        .run(&x, x.dtype(), &shape)
}

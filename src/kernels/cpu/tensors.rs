//! The kernels as operations on tensors: shapes are checked here, values borrowed, and results made tensors again.

use candle_core::{D, Result, Tensor};

use super::activation::{self, Activation};
use super::attention::{Input, Sizes};
use super::convolution::Convolution;
use super::dense::Dense;
use super::images::Images;
use super::layer_norm::LayerNorm;
use super::values::{Values, tensor, to_vec};
use super::{concat, group_norm, upsample};
use crate::kernels::attention::{AttentionDetail, AttentionInput};
use crate::kernels::geometry::{Geometry, Size, channels_first, channels_last};

/// `x W^T + b`.
#[derive(Debug, Clone)]
pub struct Linear(Dense);

impl Linear {
    /// From `weight` `(out, in)` and `bias` `(out)`.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        let (outputs, inputs) = weight.dims2()?;
        let bias = bias.map(to_vec).transpose()?;
        let weight = weight.contiguous()?;
        let weight = Values::of(&weight)?;
        Ok(Self(Dense::new(weight.slice()?, bias, inputs, outputs)))
    }

    /// `(.., in)` to `(.., out)`; `base`, of the result's shape, is added to it.
    pub fn forward(&self, x: &Tensor, base: Option<&Tensor>) -> Result<Tensor> {
        let shape = self.output_shape(x, self.0.outputs())?;
        let base = base.map(|base| expect(base, &shape)).transpose()?;
        let base = base.as_ref().map(Values::of).transpose()?;
        let base = base.as_ref().map(Values::slice).transpose()?;
        let x = x.contiguous()?;
        tensor(self.0.forward(Values::of(&x)?.slice()?, base), &shape)
    }

    /// The gated GELU of `forward(x)`: `(.., in)` to `(.., out / 2)`.
    pub fn forward_geglu(&self, x: &Tensor) -> Result<Tensor> {
        let shape = self.output_shape(x, self.0.outputs() / 2)?;
        let x = x.contiguous()?;
        tensor(self.0.forward_geglu(Values::of(&x)?.slice()?), &shape)
    }

    fn output_shape(&self, x: &Tensor, outputs: usize) -> Result<Vec<usize>> {
        expect_last(x, self.0.inputs())?;
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        Ok(shape)
    }
}

/// A square two-dimensional convolution.
#[derive(Debug, Clone)]
pub struct Conv2d(Convolution);

impl Conv2d {
    /// From `weight` `(out, in, size, size)` and `bias` `(out)`.
    pub fn new(weight: &Tensor, bias: &Tensor, geometry: Geometry) -> Result<Self> {
        let inputs = weight.dim(1)?;
        let weight = weight.contiguous()?;
        let weight = Values::of(&weight)?;
        let convolution = Convolution::new(weight.slice()?, to_vec(bias)?, inputs, geometry);
        Ok(Self(convolution))
    }

    /// `(batch, in, height, width)` to `(batch, out, height', width')`; `shift` `(1 or batch, out)` is added at every
    /// pixel, `base` has the result's shape and is added, too.
    pub fn forward(
        &self,
        x: &Tensor,
        shift: Option<&Tensor>,
        base: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (batch, inputs, height, width) = x.dims4()?;
        let (geometry, outputs) = (self.0.geometry(), self.0.outputs());
        let Some(size) = geometry.output((height, width)) else {
            candle_core::bail!(
                "a picture of {width}x{height} is smaller than the {}x{0} kernel",
                geometry.size
            );
        };
        if inputs != self.0.inputs() {
            candle_core::bail!("{inputs} channels instead of {}", self.0.inputs());
        }
        if let Some(shift) = shift {
            let (rows, channels) = shift.dims2()?;
            if (rows != 1 && rows != batch) || channels != outputs {
                candle_core::bail!(
                    "a shift of shape {:?} for {batch} pictures of {outputs} channels",
                    shift.shape()
                );
            }
        }
        let shape = [batch, size.0, size.1, outputs];
        let base = base
            .map(|base| expect(&channels_last(base)?, &shape))
            .transpose()?;
        let base = base.as_ref().map(Values::of).transpose()?;
        let base = base.as_ref().map(Values::slice).transpose()?;
        let shift = shift.map(to_vec).transpose()?;
        let x = channels_last(x)?;
        let x = Values::of(&x)?;
        let images = Images {
            values: x.slice()?,
            batch,
            size: (height, width),
        };
        let out = self.0.forward(images, shift.as_deref(), base);
        channels_first(&tensor(out, &shape)?)
    }
}

/// Group normalisation of feature maps.
#[derive(Debug, Clone)]
pub struct GroupNorm(group_norm::GroupNorm);

impl GroupNorm {
    /// From `weight` and `bias`, one value a channel; `groups` divides the number of channels.
    pub fn new(weight: &Tensor, bias: &Tensor, groups: usize, eps: f64) -> Result<Self> {
        Ok(Self(group_norm::GroupNorm {
            weight: to_vec(weight)?,
            bias: to_vec(bias)?,
            groups,
            eps,
        }))
    }

    /// `(batch, channels, height, width)`, same shape out, followed by SiLU where `silu` says so.
    pub fn forward(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        let (batch, channels, ..) = x.dims4()?;
        if channels != self.0.weight.len() {
            candle_core::bail!("{channels} channels instead of {}", self.0.weight.len());
        }
        let x = channels_last(x)?;
        let out = self.0.forward(Values::of(&x)?.slice()?, batch, silu);
        channels_first(&tensor(out, x.dims())?)
    }
}

/// Layer normalisation of `x` `(.., features)`, same shape out; `weight` and `bias` have one value a feature.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    expect_last(x, weight.elem_count())?;
    let x = x.contiguous()?;
    let (weight, bias) = (Values::of(weight)?, Values::of(bias)?);
    let norm = LayerNorm {
        weight: weight.slice()?,
        bias: bias.slice()?,
        eps,
    };
    tensor(norm.forward(Values::of(&x)?.slice()?), x.dims())
}

/// The activation of every value.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    let x = x.contiguous()?;
    let out = activation::activate(Values::of(&x)?.slice()?, activation);
    tensor(out, x.dims())
}

/// Two feature maps of one size, their channels one after another.
pub fn concat_channels(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (batch, first, height, width) = a.dims4()?;
    let second = b.dim(1)?;
    let (a, b) = (channels_last(a)?, channels_last(b)?);
    let b = expect(&b, &[batch, height, width, second])?;
    let out = concat::concat_channels(
        (Values::of(&a)?.slice()?, first),
        (Values::of(&b)?.slice()?, second),
    );
    channels_first(&tensor(out, &[batch, height, width, first + second])?)
}

/// `(batch, channels, height, width)` to `(batch, channels, height', width')`, each pixel the nearest one.
pub fn upsample_nearest(x: &Tensor, to: Size) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let x = channels_last(x)?;
    let from = (height, width);
    let out = upsample::upsample_nearest(Values::of(&x)?.slice()?, channels, from, to);
    channels_first(&tensor(out, &[batch, to.0, to.1, channels])?)
}

/// The result of attention, `(batch, queries, features)`, and as much of its probabilities as `detail` says.
pub fn attend(input: &AttentionInput, detail: AttentionDetail) -> Result<(Tensor, Option<Tensor>)> {
    let (sizes, (out, probs)) = with_slices(input, |sizes, input| sizes.attend(input, detail))?;
    let Sizes {
        batch,
        heads,
        queries,
        keys,
        ..
    } = sizes;
    let probs = match detail {
        AttentionDetail::None => None,
        AttentionDetail::Mean => Some(tensor(probs, &[batch, queries, keys])?),
        AttentionDetail::Heads => Some(tensor(probs, &[batch, heads, queries, keys])?),
    };
    Ok((tensor(out, input.query.dims())?, probs))
}

/// The values weighed by given probabilities, `(batch, heads, queries, keys)`: `(batch, queries, features)`.
pub fn weigh(input: &AttentionInput, probs: &Tensor) -> Result<Tensor> {
    let (batch, queries, _) = input.query.dims3()?;
    let probs = expect(probs, &[batch, input.heads, queries, input.key.dim(1)?])?;
    let probs = Values::of(&probs)?;
    let probs = probs.slice()?;
    let (_, out) = with_slices(input, |sizes, input| sizes.weigh(probs, input))?;
    tensor(out, input.query.dims())
}

/// Calls `work` with the sizes and the values of an attention layer; returns the sizes, too.
fn with_slices<R>(
    input: &AttentionInput,
    work: impl FnOnce(&Sizes, &Input) -> R,
) -> Result<(Sizes, R)> {
    let (batch, queries, features) = input.query.dims3()?;
    let (heads, keys) = (input.heads, input.key.dim(1)?);
    let sizes = Sizes {
        batch,
        heads,
        queries,
        keys,
        size: features / heads,
    };
    let query = input.query.contiguous()?;
    let key = expect(input.key, &[batch, keys, features])?;
    let value = expect(input.value, &[batch, keys, features])?;
    let mask = input.mask.map(|mask| expect(mask, &[queries, keys]));
    let mask = mask.transpose()?;
    let mask = mask.as_ref().map(Values::of).transpose()?;
    let (query, key, value) = (Values::of(&query)?, Values::of(&key)?, Values::of(&value)?);
    let slices = Input {
        query: query.slice()?,
        key: key.slice()?,
        value: value.slice()?,
        mask: mask.as_ref().map(Values::slice).transpose()?,
    };
    let result = work(&sizes, &slices);
    Ok((sizes, result))
}

/// `tensor`, contiguous, if it has that shape.
fn expect(tensor: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if tensor.dims() != shape {
        candle_core::bail!("shape {:?} instead of {shape:?}", tensor.dims());
    }
    tensor.contiguous()
}

/// An error if the last dimension has another size.
fn expect_last(tensor: &Tensor, features: usize) -> Result<()> {
    let found = tensor.dim(D::Minus1)?;
    if found != features {
        candle_core::bail!("{found} features instead of {features}");
    }
    Ok(())
}

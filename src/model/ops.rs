//! The arithmetic that every network shares, one function or layer each.
//!
//! All convolutions, normalisations, linear layers and attentions of the text encoder and the UNet go through this
//! file, so that each can be made faster, or checked, in one place. Weights keep diffusers' names and shapes.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::VarBuilder;

use super::Error;
use super::hook::{AttentionDetail, Hook};

/// `x W^T + b`, weight `(out, in)`.
#[derive(Debug, Clone)]
pub struct Linear {
    inner: candle_nn::Linear,
}

impl Linear {
    /// Reads `weight` and `bias`.
    pub fn new(inputs: usize, outputs: usize, weights: &VarBuilder) -> Result<Self> {
        let weight = weights.get((outputs, inputs), "weight")?;
        let bias = weights.get(outputs, "bias")?;
        Ok(Self {
            inner: candle_nn::Linear::new(weight, Some(bias)),
        })
    }

    /// Reads `weight` alone.
    pub fn without_bias(inputs: usize, outputs: usize, weights: &VarBuilder) -> Result<Self> {
        let weight = weights.get((outputs, inputs), "weight")?;
        Ok(Self {
            inner: candle_nn::Linear::new(weight, None),
        })
    }

    /// Reads a 1x1 convolution, weight `(out, in, 1, 1)`, as the same product over `(batch, pixels, channels)`.
    pub fn from_1x1_convolution(
        inputs: usize,
        outputs: usize,
        weights: &VarBuilder,
    ) -> Result<Self> {
        let weight = weights
            .get((outputs, inputs, 1, 1), "weight")?
            .reshape((outputs, inputs))?;
        let bias = weights.get(outputs, "bias")?;
        Ok(Self {
            inner: candle_nn::Linear::new(weight, Some(bias)),
        })
    }

    /// `(.., in)` to `(.., out)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply(&self.inner)
    }
}

/// A square two-dimensional convolution, weight `(out, in, size, size)`.
#[derive(Debug, Clone)]
pub struct Conv2d {
    inner: candle_nn::Conv2d,
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
        let config = candle_nn::Conv2dConfig {
            stride,
            padding,
            ..Default::default()
        };
        let weight = weights.get((outputs, inputs, size, size), "weight")?;
        let bias = weights.get(outputs, "bias")?;
        Ok(Self {
            inner: candle_nn::Conv2d::new(weight, Some(bias), config),
        })
    }

    /// `(batch, in, height, width)` to `(batch, out, height', width')`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply(&self.inner)
    }
}

/// Group normalisation (Wu & He 2018): every group of channels of an image has mean 0 and variance 1, then a scale and
/// a shift a channel.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    inner: candle_nn::GroupNorm,
}

impl GroupNorm {
    /// Reads `weight` and `bias`, one value a channel.
    pub fn new(groups: usize, channels: usize, eps: f64, weights: &VarBuilder) -> Result<Self> {
        let weight = weights.get(channels, "weight")?;
        let bias = weights.get(channels, "bias")?;
        Ok(Self {
            inner: candle_nn::GroupNorm::new(weight, bias, channels, groups, eps)?,
        })
    }

    /// `(batch, channels, height, width)`, same shape out.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply(&self.inner)
    }

    /// The same, followed by SiLU.
    pub fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        silu(&self.forward(x)?)
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
        Ok(Self {
            weight: weights.get(features, "weight")?,
            bias: weights.get(features, "bias")?,
            eps: eps as f32,
        })
    }

    /// `(.., features)`, same shape out.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm(&x.contiguous()?, &self.weight, &self.bias, self.eps)
    }
}

/// `x sigmoid(x)` (Elfwing et al. 2017).
pub fn silu(x: &Tensor) -> Result<Tensor> {
    x.silu()
}

/// `x sigmoid(1.702 x)`, CLIP's approximation of GELU.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    x * candle_nn::ops::sigmoid(&(x * 1.702)?)?
}

/// `x Φ(x)` with the exact error function (Hendrycks & Gimpel 2016), as diffusers uses it.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}

/// Softmax over the last dimension, in f32 whatever the input's type.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let dtype = x.dtype();
    candle_nn::ops::softmax_last_dim(&x.to_dtype(DType::F32)?)?.to_dtype(dtype)
}

/// Attention scores beyond this many values are worked off a few heads at a time: 64 Mi, 256 MiB in f32.
const MAX_SCORES: usize = 64 << 20;

/// Queries, keys and values of one attention layer, each `(batch, heads, length, head size)`.
#[derive(Debug)]
pub struct AttentionInput<'a> {
    /// `(batch, heads, queries, head size)`.
    pub query: &'a Tensor,
    /// `(batch, heads, keys, head size)`.
    pub key: &'a Tensor,
    /// `(batch, heads, keys, head size)`.
    pub value: &'a Tensor,
    /// Added to the scores, broadcast from `(queries, keys)`: 0 or minus infinity.
    pub mask: Option<&'a Tensor>,
}

/// Scaled dot-product attention, `softmax(Q K^T / sqrt(d) + mask) V` (Vaswani et al. 2017), with the probabilities
/// handed to `hook` as far as it wants them. Returns `(batch, heads, queries, head size)`.
///
/// How the work is cut into groups of heads depends on shapes alone, so what a hook looks at never changes the result.
pub fn attention(
    input: &AttentionInput,
    path: &str,
    hook: &mut dyn Hook,
) -> std::result::Result<Tensor, Error> {
    let (batch, heads, queries, size) = input.query.dims4()?;
    let keys = input.key.dim(2)?;
    let scale = 1.0 / (size as f64).sqrt();
    let replaces = hook.replaces_attention(path);
    let at_once = if replaces {
        heads
    } else {
        (MAX_SCORES / (batch * queries * keys).max(1)).clamp(1, heads)
    };
    let detail = hook.wants_attention(path);

    let mut outputs = Vec::new();
    let mut kept: Vec<Tensor> = Vec::new();
    for first in (0..heads).step_by(at_once) {
        hook.check()?;
        let count = at_once.min(heads - first);
        let part = |x: &Tensor| x.narrow(1, first, count)?.contiguous();
        let (query, key, value) = (part(input.query)?, part(input.key)?, part(input.value)?);
        let mut scores = (query.matmul(&key.t()?)? * scale)?;
        if let Some(mask) = input.mask {
            scores = scores.broadcast_add(mask)?;
        }
        let mut probs = softmax(&scores)?;
        if replaces {
            probs = hook.replace_attention(path, &probs)?;
        }
        match detail {
            AttentionDetail::None => {}
            AttentionDetail::Mean => {
                let sum = probs.sum(1)?;
                match kept.pop() {
                    Some(before) => kept.push((before + sum)?),
                    None => kept.push(sum),
                }
            }
            AttentionDetail::Heads => kept.push(probs.clone()),
        }
        outputs.push(probs.matmul(&value)?);
    }
    match detail {
        AttentionDetail::None => {}
        AttentionDetail::Mean => {
            let mean = (&kept[0] / heads as f64)?;
            hook.attention(path, &mean)?;
        }
        AttentionDetail::Heads => hook.attention(path, &Tensor::cat(&kept, 1)?)?,
    }
    Ok(Tensor::cat(&outputs, 1)?)
}

/// `(batch, length, heads * size)` to `(batch, heads, length, size)`.
pub fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, length, features) = x.dims3()?;
    x.reshape((batch, length, heads, features / heads))?
        .transpose(1, 2)
}

/// `(batch, heads, length, size)` to `(batch, length, heads * size)`.
pub fn join_heads(x: &Tensor) -> Result<Tensor> {
    x.transpose(1, 2)?.flatten_from(D::Minus2)
}

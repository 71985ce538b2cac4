//! The arithmetic that every network shares, one function or layer each.
//!
//! All convolutions, normalisations, linear layers and attentions of the networks go through this file, so that each can
//! be made faster, or checked, in one place. Weights keep diffusers' names and shapes.
//!
//! In f32 on the CPU the work is done by our own [`kernels::cpu`](crate::kernels::cpu), on a GPU by those of [`kernels::cuda`](crate::kernels::cuda),
//! and else by candle's. A picture is `(batch, channels, height, width)` in all of them, but ours lie in memory channels last.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::Error;
use super::hook::{AttentionDetail, Hook};
use crate::kernels::cpu::activation::{self, Activation};
use crate::kernels::cpu::attention::{self as attention_kernel, Keep, Sizes};
pub use crate::kernels::cpu::convolution::Geometry;
use crate::kernels::cpu::convolution::{self, Convolution};
use crate::kernels::cpu::dense::Dense;
use crate::kernels::cpu::values::{self, Values, channels_last, picture, to_vec};
use crate::kernels::cpu::{group_norm, layer_norm, moves, parallel};
use crate::kernels::cuda;

/// Are networks of this type and device computed by our kernels? Their pictures then lie channels last in memory.
pub fn is_ours(dtype: DType, device: &Device) -> bool {
    values::is_ours(dtype, device) || cuda::is_ours(dtype, device)
}

/// Does attention write down all scores of a layer, or of some of its heads? Ours keeps them in the cache or in registers; on
/// a GPU it does so for numbers of 16 bits only.
pub fn stores_scores(dtype: DType, device: &Device) -> bool {
    !values::is_ours(dtype, device) && (dtype == DType::F32 || !cuda::is_ours(dtype, device))
}

/// Runs a network over tensors like `example`, on the threads of our kernels if it is the CPU that computes it by them.
pub fn on_our_threads<R: Send>(example: &Tensor, network: impl FnOnce() -> R + Send) -> R {
    if values::is_ours(example.dtype(), example.device()) {
        parallel::inside(network)
    } else {
        network()
    }
}

/// `x W^T + b`, weight `(out, in)`.
#[derive(Debug, Clone)]
pub enum Linear {
    /// Our kernel.
    Ours(Dense),
    /// candle's product, and on a GPU our end of it.
    Candle {
        /// `(out, in)`.
        weight: Tensor,
        /// `(out)`.
        bias: Option<Tensor>,
    },
}

impl Linear {
    /// Reads `weight` and `bias`.
    pub fn new(inputs: usize, outputs: usize, weights: &VarBuilder) -> Result<Self> {
        let weight = weights.get((outputs, inputs), "weight")?;
        Self::from_tensors(&weight, Some(weights.get(outputs, "bias")?))
    }

    /// Reads `weight` alone.
    pub fn without_bias(inputs: usize, outputs: usize, weights: &VarBuilder) -> Result<Self> {
        Self::from_tensors(&weights.get((outputs, inputs), "weight")?, None)
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
        Self::from_tensors(&weight, Some(weights.get(outputs, "bias")?))
    }

    /// From `weight` `(out, in)` and `bias` `(out)`.
    pub fn from_tensors(weight: &Tensor, bias: Option<Tensor>) -> Result<Self> {
        if !values::is_ours(weight.dtype(), weight.device()) {
            let weight = weight.clone();
            return Ok(Self::Candle { weight, bias });
        }
        let (outputs, inputs) = weight.dims2()?;
        let bias = bias.as_ref().map(to_vec).transpose()?;
        let weight = weight.contiguous()?;
        let weight = Values::of(&weight)?;
        Ok(Self::Ours(Dense::new(
            weight.slice()?,
            bias,
            inputs,
            outputs,
        )))
    }

    /// `(.., in)` to `(.., out)`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, None)
    }

    /// `base + forward(x)`, `base` of the result's shape.
    pub fn add_to(&self, base: &Tensor, x: &Tensor) -> Result<Tensor> {
        self.apply(x, Some(base))
    }

    /// The gated GELU (Shazeer 2020) of `forward(x)`, whose features are `[value, gate]`: `value gelu(gate)`,
    /// `(.., in)` to `(.., out / 2)`.
    pub fn forward_geglu(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Ours(dense) => {
                let mut shape = x.dims().to_vec();
                expect_last(x, dense.inputs())?;
                if let Some(last) = shape.last_mut() {
                    *last = dense.outputs() / 2;
                }
                let x = x.contiguous()?;
                values::tensor(dense.forward_geglu(Values::of(&x)?.slice()?), &shape)
            }
            Self::Candle {
                weight,
                bias: Some(bias),
            } if cuda::is_ours(x.dtype(), x.device()) => cuda::geglu(&product(x, weight)?, bias),
            Self::Candle { .. } => {
                let both = self.forward(x)?;
                let inner = both.dim(D::Minus1)? / 2;
                let value = both.narrow(D::Minus1, 0, inner)?;
                let gate = both.narrow(D::Minus1, inner, inner)?.contiguous()?;
                value * gate.gelu_erf()?
            }
        }
    }

    fn apply(&self, x: &Tensor, base: Option<&Tensor>) -> Result<Tensor> {
        match self {
            Self::Ours(dense) => {
                let mut shape = x.dims().to_vec();
                expect_last(x, dense.inputs())?;
                if let Some(last) = shape.last_mut() {
                    *last = dense.outputs();
                }
                let base = base.map(|base| same_shape(base, &shape)).transpose()?;
                let base = base.as_ref().map(Values::of).transpose()?;
                let base = base.as_ref().map(Values::slice).transpose()?;
                let x = x.contiguous()?;
                let out = dense.forward(Values::of(&x)?.slice()?, base);
                values::tensor(out, &shape)
            }
            Self::Candle { weight, bias } if cuda::is_ours(x.dtype(), x.device()) => {
                cuda::finish(&product(x, weight)?, bias.as_ref(), base)
            }
            Self::Candle { weight, bias } => {
                let y = x.apply(&candle_nn::Linear::new(weight.clone(), bias.clone()))?;
                base.map_or(Ok(y.clone()), |base| base + y)
            }
        }
    }
}

/// `x W^T`, `x` `(.., in)` and weight `(out, in)`, by candle.
fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.contiguous()?
        .apply(&candle_nn::Linear::new(weight.clone(), None))
}

/// A square two-dimensional convolution, weight `(out, in, size, size)`.
#[derive(Debug, Clone)]
pub enum Conv2d {
    /// Our kernel.
    Ours(Convolution),
    /// Our kernel on a GPU.
    Cuda(cuda::Convolution),
    /// candle's.
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
        if cuda::is_ours(weight.dtype(), weight.device()) {
            return Ok(Self::Cuda(cuda::Convolution::new(weight, bias, geometry)?));
        }
        if !values::is_ours(weight.dtype(), weight.device()) {
            let config = candle_nn::Conv2dConfig {
                stride: geometry.stride,
                padding: geometry.padding,
                ..Default::default()
            };
            let inner = candle_nn::Conv2d::new(weight.clone(), Some(bias), config);
            return Ok(Self::Candle(inner));
        }
        let inputs = weight.dim(1)?;
        let weight = weight.contiguous()?;
        let weight = Values::of(&weight)?;
        let ours = Convolution::new(weight.slice()?, to_vec(&bias)?, inputs, geometry);
        Ok(Self::Ours(ours))
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
        let ours = match self {
            Self::Ours(ours) => ours,
            Self::Cuda(ours) => return ours.forward(x, shift, base),
            Self::Candle(inner) => {
                let mut y = x.apply(inner)?;
                if let Some(shift) = shift {
                    y = y.broadcast_add(&shift.unsqueeze(2)?.unsqueeze(3)?)?;
                }
                return base.map_or(Ok(y.clone()), |base| base + y);
            }
        };
        let (batch, inputs, height, width) = x.dims4()?;
        let Some(size) = ours.geometry().output((height, width)) else {
            candle_core::bail!(
                "a picture of {width}x{height} is smaller than the {}x{0} kernel",
                ours.geometry().size
            );
        };
        if inputs != ours.inputs() {
            candle_core::bail!("{inputs} channels instead of {}", ours.inputs());
        }
        if let Some(shift) = shift {
            let (rows, channels) = shift.dims2()?;
            if (rows != 1 && rows != batch) || channels != ours.outputs() {
                candle_core::bail!(
                    "a shift of shape {:?} for {batch} pictures of {} channels",
                    shift.shape(),
                    ours.outputs()
                );
            }
        }
        let shape = [batch, size.0, size.1, ours.outputs()];
        let base = base
            .map(|base| same_shape(&channels_last(base)?, &shape))
            .transpose()?;
        let base = base.as_ref().map(Values::of).transpose()?;
        let shift = shift.map(to_vec).transpose()?;
        let x = channels_last(x)?;
        let out = ours.forward(&convolution::Input {
            values: Values::of(&x)?.slice()?,
            batch,
            size: (height, width),
            shift: shift.as_deref(),
            base: base.as_ref().map(Values::slice).transpose()?,
        });
        picture(out, batch, size, ours.outputs())
    }
}

/// `tensor`, contiguous, if it has that shape.
fn same_shape(tensor: &Tensor, shape: &[usize]) -> Result<Tensor> {
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

/// Group normalisation (Wu & He 2018): every group of channels of an image has mean 0 and variance 1, then a scale and
/// a shift a channel.
#[derive(Debug, Clone)]
pub enum GroupNorm {
    /// Our kernel.
    Ours {
        /// One value a channel.
        weight: Vec<f32>,
        /// One value a channel.
        bias: Vec<f32>,
        /// Number of groups.
        groups: usize,
        /// Added to the variance.
        eps: f64,
    },
    /// Our kernel on a GPU.
    Cuda {
        /// One value a channel.
        weight: Tensor,
        /// One value a channel.
        bias: Tensor,
        /// Number of groups.
        groups: usize,
        /// Added to the variance.
        eps: f64,
    },
    /// candle's.
    Candle(candle_nn::GroupNorm),
}

impl GroupNorm {
    /// Reads `weight` and `bias`, one value a channel.
    pub fn new(groups: usize, channels: usize, eps: f64, weights: &VarBuilder) -> Result<Self> {
        let weight = weights.get(channels, "weight")?;
        Self::from_tensors(&weight, &weights.get(channels, "bias")?, groups, eps)
    }

    /// From `weight` and `bias`, one value a channel.
    pub fn from_tensors(weight: &Tensor, bias: &Tensor, groups: usize, eps: f64) -> Result<Self> {
        let channels = weight.elem_count();
        if groups == 0 || !channels.is_multiple_of(groups) {
            candle_core::bail!("{channels} channels do not fall into {groups} groups");
        }
        if values::is_ours(weight.dtype(), weight.device()) {
            Ok(Self::Ours {
                weight: to_vec(weight)?,
                bias: to_vec(bias)?,
                groups,
                eps,
            })
        } else if cuda::is_ours(weight.dtype(), weight.device()) {
            let (weight, bias) = (weight.clone(), bias.clone());
            Ok(Self::Cuda {
                weight,
                bias,
                groups,
                eps,
            })
        } else {
            let (weight, bias) = (weight.clone(), bias.clone());
            let inner = candle_nn::GroupNorm::new(weight, bias, channels, groups, eps)?;
            Ok(Self::Candle(inner))
        }
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
        match self {
            Self::Ours {
                weight,
                bias,
                groups,
                eps,
            } => {
                let (batch, channels, height, width) = x.dims4()?;
                if channels != weight.len() {
                    candle_core::bail!("{channels} channels instead of {}", weight.len());
                }
                let norm = group_norm::GroupNorm {
                    weight,
                    bias,
                    groups: *groups,
                    eps: *eps,
                    silu,
                };
                let x = channels_last(x)?;
                let out = norm.forward(Values::of(&x)?.slice()?, batch);
                picture(out, batch, (height, width), channels)
            }
            Self::Cuda {
                weight,
                bias,
                groups,
                eps,
            } => cuda::GroupNorm {
                weight,
                bias,
                groups: *groups,
                eps: *eps,
                silu,
            }
            .forward(x),
            Self::Candle(inner) if silu => x.apply(inner)?.silu(),
            Self::Candle(inner) => x.apply(inner),
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
        Ok(Self {
            weight: weights.get(features, "weight")?,
            bias: weights.get(features, "bias")?,
            eps: eps as f32,
        })
    }

    /// `(.., features)`, same shape out.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        if !values::is_ours(x.dtype(), x.device()) {
            return candle_nn::ops::layer_norm(&x, &self.weight, &self.bias, self.eps);
        }
        expect_last(&x, self.weight.elem_count())?;
        let (weight, bias) = (Values::of(&self.weight)?, Values::of(&self.bias)?);
        let norm = layer_norm::LayerNorm {
            weight: weight.slice()?,
            bias: bias.slice()?,
            eps: self.eps,
        };
        values::tensor(norm.forward(Values::of(&x)?.slice()?), x.dims())
    }
}

/// `x sigmoid(x)` (Elfwing et al. 2017).
pub fn silu(x: &Tensor) -> Result<Tensor> {
    activate(x, Activation::Silu)
}

/// `x sigmoid(1.702 x)`, CLIP's approximation of GELU.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    activate(x, Activation::QuickGelu)
}

/// `x Φ(x)` with the exact error function (Hendrycks & Gimpel 2016), as diffusers uses it.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    activate(x, Activation::Gelu)
}

fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if values::is_ours(x.dtype(), x.device()) {
        let x = x.contiguous()?;
        let out = activation::activate(Values::of(&x)?.slice()?, activation);
        return values::tensor(out, x.dims());
    }
    match activation {
        Activation::Silu => x.silu(),
        Activation::QuickGelu => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
        Activation::Gelu => x.gelu_erf(),
    }
}

/// `(batch, channels, height, width)` as `(batch, pixels, channels)`: the same memory where channels lie last.
pub fn as_pixels(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    x.permute((0, 2, 3, 1))?
        .reshape((batch, height * width, channels))
}

/// The other way round; contiguous in memory where the kernels are candle's, which want that.
pub fn as_picture(pixels: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    let (batch, _, channels) = pixels.dims3()?;
    let picture = pixels
        .reshape((batch, height, width, channels))?
        .permute((0, 3, 1, 2))?;
    if is_ours(picture.dtype(), picture.device()) {
        Ok(picture)
    } else {
        picture.contiguous()
    }
}

/// Two pictures of one size, their channels one after another.
pub fn concat_channels(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if cuda::is_ours(a.dtype(), a.device()) {
        let parts = [channels_last(a)?, channels_last(b)?];
        return cuda::picture(&Tensor::cat(&parts, 3)?);
    }
    if !values::is_ours(a.dtype(), a.device()) {
        return Tensor::cat(&[a, b], 1);
    }
    let (batch, first, height, width) = a.dims4()?;
    let second = b.dim(1)?;
    let (a, b) = (channels_last(a)?, channels_last(b)?);
    let b = same_shape(&b, &[batch, height, width, second])?;
    let out = moves::concat_channels(
        (Values::of(&a)?.slice()?, first),
        (Values::of(&b)?.slice()?, second),
    );
    picture(out, batch, (height, width), first + second)
}

/// A larger picture, each pixel that of the nearest above and to the left.
pub fn enlarge(x: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    if cuda::is_ours(x.dtype(), x.device()) {
        return cuda::enlarge(x, (height, width));
    }
    if !values::is_ours(x.dtype(), x.device()) {
        return x.upsample_nearest2d(height, width);
    }
    let (batch, channels, from_height, from_width) = x.dims4()?;
    let x = channels_last(x)?;
    let from = (from_height, from_width);
    let out = moves::enlarge(Values::of(&x)?.slice()?, channels, from, (height, width));
    picture(out, batch, (height, width), channels)
}

/// Softmax over the last dimension, in f32 whatever the input's type.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let dtype = x.dtype();
    candle_nn::ops::softmax_last_dim(&x.to_dtype(DType::F32)?)?.to_dtype(dtype)
}

/// With candle, attention scores beyond this many values are worked off a few heads at a time: 64 Mi, 256 MiB in f32.
const MAX_SCORES: usize = 64 << 20;

/// Queries, keys and values of one attention layer.
#[derive(Debug)]
pub struct AttentionInput<'a> {
    /// Number of heads; each has an equal share of the features.
    pub heads: usize,
    /// `(batch, queries, features)`.
    pub query: &'a Tensor,
    /// `(batch, keys, features)`.
    pub key: &'a Tensor,
    /// `(batch, keys, features)`.
    pub value: &'a Tensor,
    /// Added to the scores of every head, `(queries, keys)`: 0 or minus infinity.
    pub mask: Option<&'a Tensor>,
}

/// Scaled dot-product attention, `softmax(Q K^T / sqrt(d) + mask) V` (Vaswani et al. 2017), with the probabilities
/// handed to `hook` as far as it wants them. Returns `(batch, queries, features)`.
///
/// How the work is cut into pieces depends on shapes alone, so what a hook looks at never changes the result.
pub fn attention(
    input: &AttentionInput,
    path: &str,
    hook: &mut dyn Hook,
) -> std::result::Result<Tensor, Error> {
    hook.check()?;
    if values::is_ours(input.query.dtype(), input.query.device()) {
        attention_ours(input, path, hook)
    } else if let Some(ours) = on_gpu(input, path, hook) {
        attention_cuda(input, ours, path, hook)
    } else {
        attention_candle(input, path, hook)
    }
}

fn attention_ours(
    input: &AttentionInput,
    path: &str,
    hook: &mut dyn Hook,
) -> std::result::Result<Tensor, Error> {
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
    let key = same_shape(input.key, &[batch, keys, features])?;
    let value = same_shape(input.value, &[batch, keys, features])?;
    let mask = input
        .mask
        .map(|mask| same_shape(mask, &[queries, keys]))
        .transpose()?;
    let mask = mask.as_ref().map(Values::of).transpose()?;
    let (query, key, value) = (Values::of(&query)?, Values::of(&key)?, Values::of(&value)?);

    let detail = hook.wants_attention(path);
    let replaces = hook.replaces_attention(path);
    let keep = match detail {
        _ if replaces => Keep::Heads,
        AttentionDetail::None => Keep::Nothing,
        AttentionDetail::Mean => Keep::Mean,
        AttentionDetail::Heads => Keep::Heads,
    };
    let slices = attention_kernel::Input {
        query: query.slice()?,
        key: key.slice()?,
        value: value.slice()?,
        mask: mask.as_ref().map(Values::slice).transpose()?,
    };
    let (mut out, probs) = sizes.attend(&slices, keep);
    let shape = [batch, heads, queries, keys];
    if replaces {
        let probs = hook.replace_attention(path, &values::tensor(probs, &shape)?)?;
        let probs = same_shape(&probs, &shape)?;
        out = sizes.weigh(Values::of(&probs)?.slice()?, &slices);
        match detail {
            AttentionDetail::None => {}
            AttentionDetail::Mean => hook.attention(path, &(probs.sum(1)? / heads as f64)?)?,
            AttentionDetail::Heads => hook.attention(path, &probs)?,
        }
    } else {
        match detail {
            AttentionDetail::None => {}
            AttentionDetail::Mean => {
                hook.attention(path, &values::tensor(probs, &[batch, queries, keys])?)?;
            }
            AttentionDetail::Heads => hook.attention(path, &values::tensor(probs, &shape)?)?,
        }
    }
    Ok(values::tensor(out, &[batch, queries, features])?)
}

/// `input` as our kernel on a GPU takes it, where it can: with no mask, and no probabilities from elsewhere.
fn on_gpu<'a>(
    input: &AttentionInput<'a>,
    path: &str,
    hook: &dyn Hook,
) -> Option<cuda::Attention<'a>> {
    let ours = cuda::Attention {
        heads: input.heads,
        query: input.query,
        key: input.key,
    };
    let plain = input.mask.is_none() && !hook.replaces_attention(path);
    (plain && ours.is_ours()).then_some(ours)
}

/// The probabilities that the hook wants are computed for it alone: the result does not come from them.
fn attention_cuda(
    input: &AttentionInput,
    ours: cuda::Attention,
    path: &str,
    hook: &mut dyn Hook,
) -> std::result::Result<Tensor, Error> {
    let detail = hook.wants_attention(path);
    if detail != AttentionDetail::None {
        let is_mean = detail == AttentionDetail::Mean;
        match ours.probabilities(is_mean)? {
            Some(probs) => hook.attention(path, &probs)?,
            None => drop(attention_candle(input, path, hook)?),
        }
    }
    Ok(ours.forward(input.value)?)
}

fn attention_candle(
    input: &AttentionInput,
    path: &str,
    hook: &mut dyn Hook,
) -> std::result::Result<Tensor, Error> {
    let heads = input.heads;
    let (query, key, value) = (
        split_heads(input.query, heads)?,
        split_heads(input.key, heads)?,
        split_heads(input.value, heads)?,
    );
    let (batch, _, queries, size) = query.dims4()?;
    let keys = key.dim(2)?;
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
        let (query, key, value) = (part(&query)?, part(&key)?, part(&value)?);
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
    Ok(join_heads(&Tensor::cat(&outputs, 1)?)?)
}

/// `(batch, length, heads * size)` to `(batch, heads, length, size)`.
fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, length, features) = x.dims3()?;
    x.reshape((batch, length, heads, features / heads))?
        .transpose(1, 2)
}

/// `(batch, heads, length, size)` to `(batch, length, heads * size)`.
fn join_heads(x: &Tensor) -> Result<Tensor> {
    x.transpose(1, 2)?.flatten_from(D::Minus2)
}

#[cfg(test)]
mod tests;

//! The arithmetic of the networks on an NVIDIA GPU, as far as it is not a matrix product: those are cuBLAS's.
//!
//! candle's own operations are right, but many: a group norm is a dozen of them, each of which reads and writes the whole
//! picture, and attention writes down every score. Here each is a kernel or two, of [`kernels.cu`](./kernels.cu), that
//! computes in f32 and rounds once. Pictures lie channels last, as with the [kernels of the CPU](super::cpu), so that a
//! picture is a sequence of pixels without being moved.
//!
//! | file | what |
//! |---|---|
//! | `kernels.cu` | the kernels |
//! | [`launch`] | how they are launched |
//! | [`convolution`] | convolutions: cuDNN's, or a matrix product of neighbourhoods |
//! | [`check`] | whether they compute the right thing on this machine: if not, candle's are used |
//!
//! Without a GPU the feature `cuda-emulated` runs the same kernels, with the same arguments, on a small emulator: for f16 on
//! the CPU, which the tests then compare with everything else.

mod check;
mod convolution;
#[cfg(feature = "cudnn")]
mod cudnn;
// Without a GPU, and without an emulator of one, nobody reads what is to be launched.
#[cfg_attr(
    not(any(feature = "cuda", feature = "cuda-emulated")),
    allow(dead_code)
)]
mod launch;
#[cfg(all(test, feature = "cuda-emulated", not(feature = "cuda")))]
mod tests;

use candle_core::{DType, Device, Result, Tensor};

pub use check::why_not;
pub use convolution::Convolution;
use launch::{Argument, Launch};

use super::cpu::values::channels_last;

/// log2(e): the kernels take exponentials to base 2.
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// The largest head that the kernels of attention know.
const MAX_HEAD: usize = 160;
/// The most keys of which probabilities can be had.
const MAX_KEYS: usize = 96;
/// The most groups of a group norm.
const MAX_GROUPS: usize = 128;
/// Queries of a block of attention, and its threads.
const QUERIES: usize = 64;
const ATTENTION_THREADS: usize = 128;

/// Do these kernels compute it?
pub fn is_ours(dtype: DType, device: &Device) -> bool {
    if cfg!(feature = "cuda") {
        let known = matches!(dtype, DType::F32 | DType::F16 | DType::BF16);
        device.is_cuda() && known && why_not(device).is_none()
    } else {
        cfg!(feature = "cuda-emulated") && device.is_cpu() && dtype == DType::F16
    }
}

/// The end of a kernel's name.
fn suffix(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        _ => "f32",
    }
}

/// `x + bias`, and `base` added where there is one: the end of a linear layer. `x` `(.., features)`, `bias` `(features)`,
/// `base` of the shape of `x`.
pub fn finish(x: &Tensor, bias: Option<&Tensor>, base: Option<&Tensor>) -> Result<Tensor> {
    finish_shifted(x, bias, None, base)
}

/// The same with `shift` `(1 or batch, features)` added at every position of an item of `x` `(batch, .., features)`.
fn finish_shifted(
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
    Launch::over(count, format!("finish_{}", suffix(x.dtype())))
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
    Launch::over(count, format!("geglu_{}", suffix(x.dtype())))
        .with([&x, bias].map(Argument::Values))
        .ints([count, inner])
        .run(&x, x.dtype(), &shape)
}

/// A group norm's weights.
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm<'a> {
    /// One value a channel.
    pub weight: &'a Tensor,
    /// One value a channel.
    pub bias: &'a Tensor,
    /// Number of groups.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Is SiLU applied to the result?
    pub silu: bool,
}

impl GroupNorm<'_> {
    /// `(batch, channels, height, width)`, same shape out.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let (groups, pixels) = (self.groups, height * width);
        expect(Some(self.weight), x, &[channels])?;
        expect(Some(self.bias), x, &[channels])?;
        if groups == 0 || groups > MAX_GROUPS || !channels.is_multiple_of(groups) {
            candle_core::bail!("{channels} channels do not fall into {groups} groups");
        }
        let x = channels_last(x)?;
        // A block reads about 4096 values at a time.
        let chunks = (pixels * (channels / groups)).div_ceil(4096).min(32);
        let chunk = pixels.div_ceil(chunks.max(1)).max(1);
        let chunks = pixels.div_ceil(chunk);
        let name = suffix(x.dtype());
        let moments = Launch::grid([chunks, groups, batch], 256, format!("moments_{name}"))
            .with([Argument::Values(&x)])
            .ints([pixels, channels, groups, chunk])
            .run(&x, DType::F32, &[batch, groups, chunks, 2])?;
        let blocks = (pixels * channels).div_ceil(256 * 4).min(1024);
        let out = Launch::grid([blocks, batch, 1], 256, format!("group_norm_{name}"))
            .with([&x, &moments, self.weight, self.bias].map(Argument::Values))
            .ints([pixels, channels, groups, chunk, chunks])
            .ints([usize::from(self.silu)])
            .with([Argument::Float(self.eps as f32)])
            .run(&x, x.dtype(), x.dims())?;
        picture(&out)
    }
}

/// A larger picture `(batch, channels, height, width)`, each pixel that of the nearest above and to the left.
pub fn enlarge(x: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    let (batch, channels, from_height, from_width) = x.dims4()?;
    let x = channels_last(x)?;
    let (bytes, units) = units(&x)?;
    let shape = [batch, height, width, channels];
    let count = batch * height * width * units;
    let out = Launch::over(count, format!("enlarge_{bytes}"))
        .with([Argument::Values(&x)])
        .ints([count, units, from_height, from_width, height, width])
        .run(&x, x.dtype(), &shape)?;
    picture(&out)
}

/// Queries and keys of an attention layer without a mask.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Number of heads.
    pub heads: usize,
    /// `(batch, queries, features)`.
    pub query: &'a Tensor,
    /// `(batch, keys, features)`.
    pub key: &'a Tensor,
}

impl Attention<'_> {
    /// Is it one that the kernels know? They compute on tensor cores, which do not know f32.
    pub fn is_ours(&self) -> bool {
        let features = last(self.query);
        let size = features / self.heads;
        is_ours(self.query.dtype(), self.query.device())
            && self.query.dtype() != DType::F32
            && features.is_multiple_of(self.heads)
            && size.is_multiple_of(2)
            && (2..=MAX_HEAD).contains(&size)
    }

    /// `softmax(Q K^T / sqrt(size)) V`: `(batch, queries, features)`.
    pub fn forward(&self, value: &Tensor) -> Result<Tensor> {
        let (batch, queries, keys, size) = self.sizes()?;
        let (query, key) = (aligned(self.query)?, aligned(self.key)?);
        expect(Some(value), &key, key.dims())?;
        let value = aligned(value)?;
        let grid = [queries.div_ceil(QUERIES), self.heads, batch];
        Launch::grid(grid, ATTENTION_THREADS, self.kernel("attention"))
            .with([&query, &key, &value].map(Argument::Values))
            .ints([queries, keys, size])
            .with([Argument::Float(LOG2_E / (size as f32).sqrt())])
            .run(&query, query.dtype(), query.dims())
    }

    /// The probabilities in f32: of every head `(batch, heads, queries, keys)`, or their mean `(batch, queries, keys)`.
    /// `None` where there are too many keys.
    pub fn probabilities(&self, is_mean: bool) -> Result<Option<Tensor>> {
        let (batch, queries, keys, size) = self.sizes()?;
        if keys > MAX_KEYS {
            return Ok(None);
        }
        let (query, key) = (aligned(self.query)?, aligned(self.key)?);
        let (planes, shape) = if is_mean {
            (1, vec![batch, queries, keys])
        } else {
            (self.heads, vec![batch, self.heads, queries, keys])
        };
        let grid = [queries.div_ceil(QUERIES), planes, batch];
        let probs = Launch::grid(grid, ATTENTION_THREADS, self.kernel("probabilities"))
            .with([&query, &key].map(Argument::Values))
            .ints([self.heads, queries, keys, size, usize::from(is_mean)])
            .with([Argument::Float(LOG2_E / (size as f32).sqrt())])
            .run(&query, DType::F32, &shape)?;
        Ok(Some(probs))
    }

    /// `(batch, queries, keys, features of a head)`.
    fn sizes(&self) -> Result<(usize, usize, usize, usize)> {
        let (batch, queries, features) = self.query.dims3()?;
        let (_, keys, _) = self.key.dims3()?;
        expect(Some(self.key), self.query, &[batch, keys, features])?;
        if keys == 0 {
            candle_core::bail!("attention to nothing");
        }
        Ok((batch, queries, keys, features / self.heads))
    }

    /// Kernels are compiled for heads of up to 16, 32, … features.
    fn kernel(&self, name: &str) -> String {
        let steps = match (last(self.query) / self.heads).div_ceil(16) {
            7 => 8,
            9 => 10,
            steps => steps,
        };
        format!("{name}_{}_{steps}", suffix(self.query.dtype()))
    }
}

/// Size of the last dimension.
fn last(x: &Tensor) -> usize {
    x.dims().last().copied().unwrap_or(0)
}

/// An error where there is a tensor, but of another shape, or of another type than `x`: kernels read blindly.
fn expect(tensor: Option<&Tensor>, x: &Tensor, shape: &[usize]) -> Result<()> {
    match tensor {
        Some(tensor) if tensor.dims() != shape || tensor.dtype() != x.dtype() => {
            candle_core::bail!(
                "{:?} of {:?} instead of {shape:?} of {:?}",
                tensor.dims(),
                tensor.dtype(),
                x.dtype()
            )
        }
        _ => Ok(()),
    }
}

/// `tensor` contiguous, and beginning where 16 bytes can be read at once.
fn aligned(tensor: &Tensor) -> Result<Tensor> {
    let tensor = tensor.contiguous()?;
    let start = tensor.layout().start_offset() * tensor.dtype().size_in_bytes();
    if start.is_multiple_of(16) {
        Ok(tensor)
    } else {
        tensor.copy()
    }
}

/// How many bytes of the last dimension of a contiguous tensor can be moved at once, and of how many such units it is made.
fn units(x: &Tensor) -> Result<(usize, usize)> {
    let size = x.dtype().size_in_bytes();
    let bytes = last(x) * size;
    let start = x.layout().start_offset() * size;
    let unit = if bytes.is_multiple_of(16) && start.is_multiple_of(16) {
        16
    } else {
        size
    };
    if ![2, 4, 16].contains(&unit) {
        candle_core::bail!("kernels do not move {:?}", x.dtype());
    }
    Ok((unit, bytes / unit))
}

/// `(batch, height, width, channels)` as `(batch, channels, height, width)`, without moving anything.
pub fn picture(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))
}

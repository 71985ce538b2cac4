//! Attention, with its probabilities open to a hook.

use candle_core::{D, DType, Result, Tensor};

pub use crate::kernels::attention::AttentionInput;
use crate::kernels::{Backend, cpu, cuda};
use crate::model::Error;
use crate::model::hook::{AttentionDetail, Hook};

/// With candle, scores beyond this many values are worked off a few heads at a time: 64 Mi, 256 MiB in f32.
const MAX_SCORES: usize = 64 << 20;

/// Does attention write down all scores of a layer, or of some of its heads? The kernels keep them in the cache or in
/// registers; those of a GPU do so for numbers of 16 bits only.
pub fn stores_scores(backend: Backend, dtype: DType) -> bool {
    match backend {
        Backend::Cpu => false,
        Backend::Cuda => dtype == DType::F32,
        Backend::Candle => true,
    }
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
    match Backend::of(input.query) {
        Backend::Cpu => on_cpu(input, path, hook),
        Backend::Cuda if cuda::can_attend(input) && !hook.replaces_attention(path) => {
            on_gpu(input, path, hook)
        }
        Backend::Cuda | Backend::Candle => by_tensors(input, path, hook),
    }
}

fn on_cpu(
    input: &AttentionInput,
    path: &str,
    hook: &mut dyn Hook,
) -> std::result::Result<Tensor, Error> {
    let detail = hook.wants_attention(path);
    if !hook.replaces_attention(path) {
        let (out, probs) = cpu::attend(input, detail)?;
        if let Some(probs) = probs {
            hook.attention(path, &probs)?;
        }
        return Ok(out);
    }
    let (_, probs) = cpu::attend(input, AttentionDetail::Heads)?;
    let Some(mut probs) = probs else {
        return Err(candle_core::Error::Msg("attention without probabilities".into()).into());
    };
    probs = hook.replace_attention(path, &probs)?;
    let out = cpu::weigh(input, &probs)?;
    match detail {
        AttentionDetail::None => {}
        AttentionDetail::Mean => hook.attention(path, &(probs.sum(1)? / input.heads as f64)?)?,
        AttentionDetail::Heads => hook.attention(path, &probs)?,
    }
    Ok(out)
}

/// The probabilities that the hook wants are computed for it alone: the result does not come from them.
fn on_gpu(
    input: &AttentionInput,
    path: &str,
    hook: &mut dyn Hook,
) -> std::result::Result<Tensor, Error> {
    let detail = hook.wants_attention(path);
    if detail != AttentionDetail::None {
        let is_mean = detail == AttentionDetail::Mean;
        match cuda::probabilities(input, is_mean)? {
            Some(probs) => hook.attention(path, &probs)?,
            None => drop(by_tensors(input, path, hook)?),
        }
    }
    Ok(cuda::attend(input)?)
}

/// The formula as it stands, a few heads at a time.
pub(super) fn by_tensors(
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
        AttentionDetail::Mean => hook.attention(path, &(&kept[0] / heads as f64)?)?,
        AttentionDetail::Heads => hook.attention(path, &Tensor::cat(&kept, 1)?)?,
    }
    Ok(join_heads(&Tensor::cat(&outputs, 1)?)?)
}

/// Softmax over the last dimension, in f32 whatever the input's type.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let dtype = x.dtype();
    candle_nn::ops::softmax_last_dim(&x.to_dtype(DType::F32)?)?.to_dtype(dtype)
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

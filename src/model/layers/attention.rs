//! Attention, with its probabilities open to a hook.

use candle_core::{D, DType, Result, Tensor};

pub use crate::kernels::attention::AttentionInput;
use crate::kernels::{Backend, cpu, cuda};
use crate::model::Error;
use crate::model::hook::{AttentionDetail, Hook};

/// With candle, scores beyond this many values are worked off a few heads at a time, and one head a few queries at a time:
/// 64 Mi, 256 MiB in f32. candle's kernels count values in 32 bits, which the decoder's one head would go beyond at
/// 46,341 pixels of the latents.
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

/// The probabilities that the hook wants are computed for it alone, and only of the items that it looks at: the result does
/// not come from them.
fn on_gpu(
    input: &AttentionInput,
    path: &str,
    hook: &mut dyn Hook,
) -> std::result::Result<Tensor, Error> {
    let detail = hook.wants_attention(path);
    if detail != AttentionDetail::None {
        let is_mean = detail == AttentionDetail::Mean;
        let (first, count) = hook.attention_items(path).range(input.query.dim(0)?);
        let item = |x: &Tensor| x.narrow(0, first, count);
        let looked_at = AttentionInput {
            query: &item(input.query)?,
            key: &item(input.key)?,
            value: &item(input.value)?,
            ..*input
        };
        match cuda::probabilities(&looked_at, is_mean)? {
            Some(probs) => hook.attention(path, &probs)?,
            None => drop(by_tensors(&looked_at, path, hook)?),
        }
    }
    Ok(cuda::attend(input)?)
}

/// The formula as it stands, in pieces.
pub(super) fn by_tensors(
    input: &AttentionInput,
    path: &str,
    hook: &mut dyn Hook,
) -> std::result::Result<Tensor, Error> {
    in_pieces(input, path, hook, MAX_SCORES)
}

/// The same, in pieces of at most `most` scores where nobody replaces them: who does is given all of them.
pub(super) fn in_pieces(
    input: &AttentionInput,
    path: &str,
    hook: &mut dyn Hook,
    most: usize,
) -> std::result::Result<Tensor, Error> {
    let heads = input.heads;
    let scale = 1.0 / ((input.query.dim(D::Minus1)? / heads) as f64).sqrt();
    // Scaled before the product: scores are rounded, and f16 ends at 65,504.
    let (query, key, value) = (
        split_heads(&(input.query * scale)?, heads)?,
        split_heads(input.key, heads)?,
        split_heads(input.value, heads)?,
    );
    let (batch, _, queries, _) = query.dims4()?;
    let keys = key.dim(2)?;
    let replaces = hook.replaces_attention(path);
    let (heads_at_once, queries_at_once) = if replaces {
        fits_in_one_piece(batch * heads * queries * keys)?;
        (heads, queries.max(1))
    } else {
        pieces(batch, heads, queries, keys, most)
    };
    let detail = hook.wants_attention(path);

    let mut outputs = Vec::new();
    let mut kept = Kept::default();
    for first in (0..heads).step_by(heads_at_once) {
        let count = heads_at_once.min(heads - first);
        let part = |x: &Tensor| x.narrow(1, first, count)?.contiguous();
        let (query, key, value) = (part(&query)?, part(&key)?.t()?, part(&value)?);
        let (mut rows, mut looked_at) = (Vec::new(), Vec::new());
        for from in (0..queries).step_by(queries_at_once) {
            hook.check()?;
            let length = queries_at_once.min(queries - from);
            let mut scores = query.narrow(2, from, length)?.contiguous()?.matmul(&key)?;
            if let Some(mask) = input.mask {
                scores = scores.broadcast_add(&mask.narrow(D::Minus2, from, length)?)?;
            }
            let mut probs = softmax(&scores)?;
            if replaces {
                probs = hook.replace_attention(path, &probs)?;
            }
            match detail {
                AttentionDetail::None => {}
                AttentionDetail::Mean => looked_at.push(probs.sum(1)?),
                AttentionDetail::Heads => looked_at.push(probs.clone()),
            }
            rows.push(probs.matmul(&value)?);
        }
        outputs.push(joined(&rows, 2)?);
        kept.take(&looked_at, detail)?;
    }
    match detail {
        AttentionDetail::None => {}
        AttentionDetail::Mean => hook.attention(path, &(&kept.0[0] / heads as f64)?)?,
        AttentionDetail::Heads => hook.attention(path, &joined(&kept.0, 1)?)?,
    }
    Ok(join_heads(&joined(&outputs, 1)?)?)
}

/// How many heads, and how many of their queries, are worked off at once so that their scores are at most `most`: whole
/// heads as far as one fits.
fn pieces(batch: usize, heads: usize, queries: usize, keys: usize, most: usize) -> (usize, usize) {
    let a_query = (batch * keys).max(1);
    let at_once = most / (a_query * queries).max(1);
    let queries_at_once = if at_once > 0 { queries } else { most / a_query };
    (
        at_once.clamp(1, heads.max(1)),
        queries_at_once.clamp(1, queries.max(1)),
    )
}

/// An error where candle's kernels cannot count `scores` values.
fn fits_in_one_piece(scores: usize) -> Result<()> {
    if i32::try_from(scores).is_err() {
        candle_core::bail!(
            "{scores} attention scores are too many to be replaced at once: ask for a smaller picture, or leave              this layer's attention as it is"
        );
    }
    Ok(())
}

/// What a hook wants to look at, of the heads so far: their sum, or each piece of them.
#[derive(Default)]
struct Kept(Vec<Tensor>);

impl Kept {
    /// Takes the next heads, whose queries are in `rows`.
    fn take(&mut self, rows: &[Tensor], detail: AttentionDetail) -> Result<()> {
        match detail {
            AttentionDetail::None => {}
            AttentionDetail::Mean => {
                let sum = joined(rows, 1)?;
                match self.0.pop() {
                    Some(before) => self.0.push((before + sum)?),
                    None => self.0.push(sum),
                }
            }
            AttentionDetail::Heads => self.0.push(joined(rows, 2)?),
        }
        Ok(())
    }
}

/// `parts` one after another along `dim`, without a copy where there is one.
fn joined(parts: &[Tensor], dim: usize) -> Result<Tensor> {
    match parts {
        [one] => Ok(one.clone()),
        several => Tensor::cat(several, dim),
    }
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    #[cfg(feature = "cuda-emulated")]
    use crate::model::hook::BatchItems;
    use crate::model::hook::NoHook;
    use crate::random::Generator;

    #[test]
    fn no_picture_is_so_large_that_its_scores_are_too_many_to_count() {
        // The decoder's one head from 8x8 pixels to 4096x4096 and more, and what the UNet's heads come to in f32.
        for latents in [1, 64, 128, 182, 216, 256, 512, 1024] {
            let pixels = latents * latents;
            for (batch, heads) in [(1, 1), (2, 8), (2, 20)] {
                let (at_once, rows) = pieces(batch, heads, pixels, pixels, MAX_SCORES);
                let scores = batch * at_once * rows * pixels;
                assert!(scores <= MAX_SCORES, "{latents}x{latents}: {scores}");
                assert!(i32::try_from(scores).is_ok());
                assert!(at_once == 1 || rows == pixels, "whole heads come first");
            }
        }
        // As before where a head fits.
        assert_eq!(pieces(2, 8, 4096, 4096, MAX_SCORES), (2, 4096));
        assert_eq!(pieces(2, 8, 4096, 77, MAX_SCORES), (8, 4096));
        assert_eq!(pieces(1, 1, 0, 77, MAX_SCORES), (1, 1));
        assert!(fits_in_one_piece(1 << 31).is_err() && fits_in_one_piece(1 << 30).is_ok());
    }

    #[cfg(feature = "cuda-emulated")]
    #[test]
    fn a_gpu_computes_probabilities_of_what_is_looked_at_alone() -> anyhow::Result<()> {
        /// Looks at one item of a batch.
        struct One(BatchItems, Look);

        impl Hook for One {
            fn wants_attention(&self, path: &str) -> AttentionDetail {
                self.1.wants_attention(path)
            }

            fn attention_items(&self, _: &str) -> BatchItems {
                self.0
            }

            fn attention(&mut self, path: &str, probs: &Tensor) -> std::result::Result<(), Error> {
                self.1.attention(path, probs)
            }
        }

        let mut noise = Generator::manual_seed(4);
        let mut randn = |shape: [usize; 3]| {
            let tensor = noise.randn_tensor(&shape[..], &Device::Cpu)?;
            tensor.to_dtype(DType::F16)
        };
        // As many keys as the kernel of the probabilities knows, and more.
        for keys in [77, 100] {
            let (query, key, value) = (
                randn([2, 30, 48])?,
                randn([2, keys, 48])?,
                randn([2, keys, 48])?,
            );
            let input = AttentionInput {
                heads: 2,
                query: &query,
                key: &key,
                value: &value,
                mask: None,
            };
            for detail in [AttentionDetail::Mean, AttentionDetail::Heads] {
                let mut all = Look(detail, None);
                let expected = attention(&input, "", &mut all)?;
                for items in [BatchItems::First, BatchItems::Last] {
                    let mut one = One(items, Look(detail, None));
                    let out = attention(&input, "", &mut one)?;
                    let wide = |x: &Tensor| x.to_dtype(DType::F32);
                    assert!(apart(&wide(&out)?, &wide(&expected)?)? < f32::EPSILON);
                    let (Some(seen), Some(all)) = (one.1.1, &all.1) else {
                        anyhow::bail!("nothing to look at");
                    };
                    let (first, _) = items.range(2);
                    let all = all.narrow(0, first, 1)?;
                    assert!(apart(&wide(&seen)?, &wide(&all)?)? < f32::EPSILON);
                }
            }
        }
        Ok(())
    }

    /// Keeps what it is shown.
    struct Look(AttentionDetail, Option<Tensor>);

    impl Hook for Look {
        fn wants_attention(&self, _: &str) -> AttentionDetail {
            self.0
        }

        fn attention(&mut self, _: &str, probs: &Tensor) -> std::result::Result<(), Error> {
            self.1 = Some(probs.clone());
            Ok(())
        }
    }

    fn apart(a: &Tensor, b: &Tensor) -> Result<f32> {
        assert_eq!(a.dims(), b.dims());
        (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()
    }

    #[test]
    fn attention_in_pieces_is_that_at_once() -> anyhow::Result<()> {
        let mut noise = Generator::manual_seed(3);
        let mut randn = |shape: [usize; 3]| noise.randn_tensor(&shape[..], &Device::Cpu);
        let (query, key, value) = (randn([2, 9, 12])?, randn([2, 9, 12])?, randn([2, 9, 12])?);
        let mask: Vec<f32> = (0..81)
            .map(|at| {
                if at % 9 > at / 9 {
                    f32::NEG_INFINITY
                } else {
                    0.0
                }
            })
            .collect();
        let mask = Tensor::from_vec(mask, (9, 9), &Device::Cpu)?;
        for mask in [None, Some(&mask)] {
            let input = AttentionInput {
                heads: 3,
                query: &query,
                key: &key,
                value: &value,
                mask,
            };
            let whole = in_pieces(&input, "", &mut NoHook, usize::MAX / 2)?;
            for detail in [AttentionDetail::Mean, AttentionDetail::Heads] {
                let mut at_once = Look(detail, None);
                in_pieces(&input, "", &mut at_once, usize::MAX / 2)?;
                // A query at a time, four of them, a head, two heads.
                for most in [1, 18 * 4, 18 * 9, 18 * 9 * 2] {
                    let mut look = Look(detail, None);
                    let out = in_pieces(&input, "", &mut look, most)?;
                    assert!(apart(&out, &whole)? < 1e-6, "{most}");
                    let (Some(probs), Some(expected)) = (&look.1, &at_once.1) else {
                        anyhow::bail!("nothing to look at");
                    };
                    assert!(apart(probs, expected)? < 1e-6, "{most}");
                }
            }
        }
        Ok(())
    }
}

//! Attention on a GPU, without writing down its scores.

use candle_core::{D, DType, Result, Tensor};

use super::device::has_tensor_cores;
use super::launch::{Argument, Kernel, Launch};
use super::operands::{Rows, expect, last};
use crate::kernels::attention::AttentionInput;

/// log2(e): the kernels take exponentials to base 2.
const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// The largest head that the kernels know.
const MAX_HEAD: usize = 160;
/// The most keys of which probabilities can be had.
const MAX_KEYS: usize = 96;
/// Queries of a block, and its threads.
const QUERIES: usize = 64;
const THREADS: usize = 128;

/// Do the kernels know such a layer? They compute on tensor cores, which do not know f32 and which cards before Ampere do
/// not have in this form, and take no mask.
pub fn can_attend(input: &AttentionInput) -> bool {
    let features = last(input.query);
    let size = features / input.heads;
    input.mask.is_none()
        && input.query.dtype() != DType::F32
        && features.is_multiple_of(input.heads)
        && size.is_multiple_of(2)
        && (2..=MAX_HEAD).contains(&size)
        && has_tensor_cores(input.query.device())
}

/// `softmax(Q K^T / sqrt(size)) V`: `(batch, queries, features)`.
pub fn attend(input: &AttentionInput) -> Result<Tensor> {
    let (batch, queries, keys, size) = sizes(input)?;
    expect(Some(input.value), input.key, input.key.dims())?;
    let [query, key, value] = [input.query, input.key, input.value].map(Rows::of);
    let (query, key, value) = (query?, key?, value?);
    let grid = [queries.div_ceil(QUERIES), input.heads, batch];
    Launch::grid(grid, THREADS, kernel("attention", input))
        .with([&query, &key, &value].map(|rows| Argument::Rows(&rows.tensor)))
        .ints([queries, keys, size, query.step, key.step, value.step])
        .with([Argument::Float(LOG2_E / (size as f32).sqrt())])
        .run(input.query, input.query.dtype(), input.query.dims())
}

/// The probabilities in f32: of every head `(batch, heads, queries, keys)`, or their mean `(batch, queries, keys)`. In
/// memory queries come last, for whoever looks at them wants every key's as a map. `None` where there are too many keys.
pub fn probabilities(input: &AttentionInput, is_mean: bool) -> Result<Option<Tensor>> {
    let (batch, queries, keys, size) = sizes(input)?;
    if keys > MAX_KEYS {
        return Ok(None);
    }
    let (query, key) = (Rows::of(input.query)?, Rows::of(input.key)?);
    let (planes, shape) = if is_mean {
        (1, vec![batch, keys, queries])
    } else {
        (input.heads, vec![batch, input.heads, keys, queries])
    };
    let grid = [queries.div_ceil(QUERIES), planes, batch];
    let probs = Launch::grid(grid, THREADS, kernel("probabilities", input))
        .with([&query, &key].map(|rows| Argument::Rows(&rows.tensor)))
        .ints([input.heads, queries, keys, size, query.step, key.step])
        .ints([usize::from(is_mean)])
        .with([Argument::Float(LOG2_E / (size as f32).sqrt())])
        .run(input.query, DType::F32, &shape)?;
    probs.transpose(D::Minus2, D::Minus1).map(Some)
}

/// `(batch, queries, keys, features of a head)`.
fn sizes(input: &AttentionInput) -> Result<(usize, usize, usize, usize)> {
    let (batch, queries, features) = input.query.dims3()?;
    let (_, keys, _) = input.key.dims3()?;
    expect(Some(input.key), input.query, &[batch, keys, features])?;
    if keys == 0 {
        candle_core::bail!("attention to nothing");
    }
    Ok((batch, queries, keys, features / input.heads))
}

/// Kernels are compiled for heads of up to 16, 32, … features.
fn kernel(name: &'static str, input: &AttentionInput) -> Kernel {
    let steps = match (last(input.query) / input.heads).div_ceil(16) {
        7 => 8,
        9 => 10,
        steps => steps,
    };
    Kernel::of(name, input.query.dtype(), 1).steps(steps)
}

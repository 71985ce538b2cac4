//! Hooks made of closures.

use candle_core::Tensor;

use super::path::matches;
use super::visit::Hook;
use crate::kernels::attention::AttentionDetail;
use crate::model::Error;

/// Calls `act(path, value)` with the output of every module whose path matches `pattern`; `Some` that it returns
/// replaces the output.
///
/// ```
/// use diffuscope::Hook;
/// use diffuscope::hook::on;
///
/// let mut silent = on("*.attn2", |_path, value| Ok(Some(value.zeros_like()?)));
/// assert!(silent.wants_output("mid_block.attentions.0.transformer_blocks.0.attn2"));
/// ```
pub fn on<F>(pattern: &str, act: F) -> impl Hook
where
    F: FnMut(&str, &Tensor) -> Result<Option<Tensor>, Error> + Send,
{
    let pattern = pattern.to_owned();
    OnOutput { pattern, act }
}

/// Calls `look(path, probs)` with the attention probabilities of every layer whose path matches `pattern`:
/// `(batch, heads, queries, keys)`.
pub fn on_attention<F>(pattern: &str, look: F) -> impl Hook
where
    F: FnMut(&str, &Tensor) -> Result<(), Error> + Send,
{
    let pattern = pattern.to_owned();
    OnAttention { pattern, look }
}

/// Has every layer whose path matches `pattern` use `replace(path, probs)` for its attention probabilities, both
/// `(batch, heads, queries, keys)`.
pub fn replace_attention<F>(pattern: &str, replace: F) -> impl Hook
where
    F: FnMut(&str, &Tensor) -> Result<Tensor, Error> + Send,
{
    let pattern = pattern.to_owned();
    ReplaceAttention { pattern, replace }
}

struct OnOutput<F> {
    pattern: String,
    act: F,
}

impl<F> Hook for OnOutput<F>
where
    F: FnMut(&str, &Tensor) -> Result<Option<Tensor>, Error> + Send,
{
    fn wants_output(&self, path: &str) -> bool {
        matches(&self.pattern, path)
    }

    fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, Error> {
        (self.act)(path, value)
    }
}

struct OnAttention<F> {
    pattern: String,
    look: F,
}

impl<F> Hook for OnAttention<F>
where
    F: FnMut(&str, &Tensor) -> Result<(), Error> + Send,
{
    fn wants_attention(&self, path: &str) -> AttentionDetail {
        if matches(&self.pattern, path) {
            AttentionDetail::Heads
        } else {
            AttentionDetail::None
        }
    }

    fn attention(&mut self, path: &str, probs: &Tensor) -> Result<(), Error> {
        (self.look)(path, probs)
    }
}

struct ReplaceAttention<F> {
    pattern: String,
    replace: F,
}

impl<F> Hook for ReplaceAttention<F>
where
    F: FnMut(&str, &Tensor) -> Result<Tensor, Error> + Send,
{
    fn replaces_attention(&self, path: &str) -> bool {
        matches(&self.pattern, path)
    }

    fn replace_attention(&mut self, path: &str, probs: &Tensor) -> Result<Tensor, Error> {
        (self.replace)(path, probs)
    }
}

//! A hook that keeps what passes.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::path::matches;
use super::visit::Hook;
use crate::kernels::attention::AttentionDetail;
use crate::model::Error;

/// Keeps the outputs of some modules, and the attention of some layers, as `run_with_cache` of `TransformerLens` does.
///
/// Of a site that is passed more than once, as the UNet's are in every denoising step, the last value is kept. Tensors
/// are shared and not copied. With guidance the UNet's have a batch of two: without the prompt, and with it.
///
/// ```
/// use diffuscope::AttentionDetail;
/// use diffuscope::hook::Cache;
///
/// let cache = Cache::of(["mid_block.*", "conv_out"]).with_attention(AttentionDetail::Mean);
/// assert!(cache.outputs.is_empty() && cache.attention.is_empty());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cache {
    /// Outputs, by the module's path: see there for their shapes.
    pub outputs: BTreeMap<String, Tensor>,
    /// Attention probabilities, by the layer's path: `(batch, queries, keys)` or `(batch, heads, queries, keys)`.
    pub attention: BTreeMap<String, Tensor>,
    patterns: Vec<String>,
    detail: AttentionDetail,
}

impl Cache {
    /// Keeps the outputs of all modules whose path matches one of `patterns`, in which `*` stands for anything.
    pub fn of<P: Into<String>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self {
            patterns: patterns.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Keeps the attention probabilities of layers whose path matches, too.
    #[must_use]
    pub fn with_attention(mut self, detail: AttentionDetail) -> Self {
        self.detail = detail;
        self
    }
}

impl Hook for Cache {
    fn wants_output(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, path))
    }

    fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, Error> {
        self.outputs.insert(path.to_owned(), value.clone());
        Ok(None)
    }

    fn wants_attention(&self, path: &str) -> AttentionDetail {
        if self.wants_output(path) {
            self.detail
        } else {
            AttentionDetail::None
        }
    }

    fn attention(&mut self, path: &str, probs: &Tensor) -> Result<(), Error> {
        self.attention.insert(path.to_owned(), probs.clone());
        Ok(())
    }
}

//! What attention is given, and what it hands out, on every device.

use candle_core::Tensor;

/// Queries, keys and values of one attention layer.
#[derive(Debug, Clone, Copy)]
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

/// How much of an attention layer's probabilities is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum AttentionDetail {
    /// Nothing.
    #[default]
    None,
    /// The mean over heads, `(batch, queries, keys)`.
    Mean,
    /// Every head, `(batch, heads, queries, keys)`.
    Heads,
}

/// Which items of a batch a hook looks at. Where a run is guided there are two: the prediction without the prompt, and the
/// one with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BatchItems {
    /// All of them.
    #[default]
    All,
    /// The first.
    First,
    /// The last.
    Last,
}

impl BatchItems {
    /// The first of them, and how many there are, of a batch of `batch`.
    pub fn range(self, batch: usize) -> (usize, usize) {
        match self {
            Self::All => (0, batch),
            Self::First => (0, batch.min(1)),
            Self::Last => (batch.saturating_sub(1), batch.min(1)),
        }
    }
}

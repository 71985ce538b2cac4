//! Cross-attention maps, and a store that keeps them under a memory budget.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Cross-attention probabilities of one layer at one step, of the prediction with the prompt unless another was asked
/// for.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionMaps {
    /// The layer's module path: `down_blocks.0.attentions.0.transformer_blocks.0.attn2`.
    pub path: Arc<str>,
    /// `None` for the mean over heads, `Some(heads)` where every head was recorded.
    pub heads: Option<usize>,
    /// Number of text positions (77).
    pub tokens: usize,
    /// Height of the layer's feature map.
    pub height: usize,
    /// Width of the layer's feature map.
    pub width: usize,
    /// `(tokens, height, width)` or `(heads, tokens, height, width)`, row-major. At every pixel of every head the
    /// values sum to 1 over tokens, unless the request weighs a word.
    pub data: Arc<[f32]>,
}

impl AttentionMaps {
    /// The map of text position `token`, `(height, width)`, row-major; of `head`, or the first where that is `None`.
    /// Empty when there is no such token or head.
    pub fn map(&self, head: Option<usize>, token: usize) -> &[f32] {
        if token >= self.tokens {
            return &[];
        }
        let size = self.height * self.width;
        let index = head.unwrap_or(0) * self.tokens + token;
        self.data
            .get(index * size..(index + 1) * size)
            .unwrap_or(&[])
    }

    /// Shape as exported.
    pub fn shape(&self) -> Vec<usize> {
        let map = [self.tokens, self.height, self.width];
        self.heads.into_iter().chain(map).collect()
    }

    /// Memory of the values, in bytes.
    pub fn bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
    }
}

/// Attention maps of a run's steps under a memory budget.
///
/// When a step does not fit any more it is not kept: earlier steps stay, and the missing ones can be recomputed from
/// the step's latents.
#[derive(Debug, Clone)]
pub struct AttentionStore {
    budget: usize,
    used: usize,
    steps: BTreeMap<usize, Vec<AttentionMaps>>,
}

impl AttentionStore {
    /// An empty store that keeps at most `budget` bytes of values.
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            used: 0,
            steps: BTreeMap::new(),
        }
    }

    /// Keeps `maps` for `step` if they fit the budget; says whether they were kept.
    pub fn insert(&mut self, step: usize, maps: Vec<AttentionMaps>) -> bool {
        self.remove(step);
        if maps.is_empty() {
            return false;
        }
        let bytes: usize = maps.iter().map(AttentionMaps::bytes).sum();
        if self.used + bytes > self.budget {
            return false;
        }
        self.used += bytes;
        self.steps.insert(step, maps);
        true
    }

    /// Forgets the steps from `first` on.
    pub fn truncate(&mut self, first: usize) {
        for maps in self.steps.split_off(&first).into_values() {
            self.used -= maps.iter().map(AttentionMaps::bytes).sum::<usize>();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// The maps kept for `step`; empty where none are.
    pub fn step(&self, step: usize) -> &[AttentionMaps] {
        self.steps.get(&step).map_or(&[], Vec::as_slice)
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// The most bytes that will be used.
    pub fn budget(&self) -> usize {
        self.budget
    }

    fn remove(&mut self, step: usize) {
        if let Some(maps) = self.steps.remove(&step) {
            self.used -= maps.iter().map(AttentionMaps::bytes).sum::<usize>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(value: f32) -> Vec<AttentionMaps> {
        vec![AttentionMaps {
            path: "mid_block".into(),
            heads: None,
            tokens: 2,
            height: 2,
            width: 1,
            data: vec![value; 4].into(),
        }]
    }

    #[test]
    fn a_store_never_exceeds_its_budget_and_says_what_it_kept() {
        let mut store = AttentionStore::new(2 * 16 + 15);
        assert!(store.insert(0, maps(0.0)));
        assert!(store.insert(1, maps(1.0)));
        assert!(!store.insert(2, maps(2.0)));
        assert_eq!(store.used(), 32);
        assert!(store.step(2).is_empty());
        assert!((store.step(1)[0].map(None, 1)[0] - 1.0).abs() < f32::EPSILON);
    }

    #[test]
    fn going_back_frees_what_came_after() {
        let mut store = AttentionStore::new(64);
        store.insert(0, maps(0.0));
        store.insert(1, maps(1.0));
        store.truncate(1);
        assert_eq!(store.used(), 16);
        assert!(store.insert(0, maps(5.0)));
        assert_eq!(store.used(), 16);
    }

    #[test]
    fn a_map_that_does_not_exist_is_empty() {
        let maps = &maps(0.0)[0];
        assert!(maps.map(None, 2).is_empty());
        assert!(maps.map(Some(1), 0).is_empty());
    }
}

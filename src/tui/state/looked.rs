//! What closer looks at a run's steps found: as much as there is memory for.

use std::collections::{BTreeMap, BTreeSet};

use crate::tui::worker::{LookKey, Looked};

/// What was found, by what was asked.
#[derive(Debug, Clone, Default)]
pub struct LookStore {
    found: BTreeMap<LookKey, Looked>,
    /// What was cancelled, or cannot be had.
    refused: BTreeSet<LookKey>,
    /// The most bytes that are kept, the newest find aside.
    budget: usize,
}

impl LookStore {
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            ..Self::default()
        }
    }

    pub fn get(&self, key: LookKey) -> Option<&Looked> {
        self.found.get(&key)
    }

    /// Will it not come any more?
    pub fn is_refused(&self, key: LookKey) -> bool {
        self.refused.contains(&key)
    }

    pub fn refuse(&mut self, key: LookKey) {
        self.refused.insert(key);
    }

    /// Keeps what was found; where there is too much, what belongs to the steps farthest from it is forgotten, the largest
    /// of a step first.
    pub fn keep(&mut self, key: LookKey, looked: Looked) {
        self.found.insert(key, looked);
        while self.bytes() > self.budget {
            let others = self.found.iter().filter(|(other, _)| **other != key);
            let distance = |(other, looked): &(&LookKey, &Looked)| {
                (
                    looked.bytes() > 0,
                    other.step.abs_diff(key.step),
                    looked.bytes(),
                )
            };
            let Some(farthest) = others.max_by_key(distance).map(|(other, _)| *other) else {
                return;
            };
            self.found.remove(&farthest);
        }
    }

    /// Forgets the steps from `first` on.
    pub fn truncate(&mut self, first: usize) {
        self.found.retain(|key, _| key.step < first);
    }

    pub fn clear(&mut self) {
        self.found.clear();
    }

    pub fn bytes(&self) -> usize {
        self.found.values().map(Looked::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Guidance, HeadSummary};
    use crate::tui::worker::Look;

    fn key(step: usize) -> LookKey {
        LookKey {
            step,
            half: Guidance::Cond,
            look: Look::Heads,
        }
    }

    fn found(values: usize) -> Looked {
        Looked::Heads(vec![HeadSummary {
            path: "mid".into(),
            heads: 1,
            tokens: values,
            shares: vec![0.0; values],
            entropy: Vec::new(),
        }])
    }

    #[test]
    fn what_is_far_from_where_one_looks_goes_first_and_the_newest_stays() {
        let mut store = LookStore::new(3 * 40);
        for step in [0, 1, 2, 3] {
            store.keep(key(step), found(10));
        }
        assert!(store.get(key(0)).is_none() && store.get(key(1)).is_some());
        assert!(store.bytes() <= 120);
        store.keep(key(9), found(1000));
        assert!(
            store.get(key(9)).is_some(),
            "what was asked for is there, however large"
        );
        assert!(store.get(key(3)).is_none());
        store.truncate(9);
        assert_eq!(store.bytes(), 0);
    }
}

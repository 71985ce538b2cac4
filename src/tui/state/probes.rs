//! What was computed again of a run's networks, kept as far as memory for it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::trace::{Features, Guidance};
use crate::tui::worker::ProbeKey;

/// What the worker found, and on how many steps the components were fitted that it had.
#[derive(Debug, Clone)]
struct Kept {
    features: Arc<[Features]>,
    fitted: usize,
    bytes: usize,
}

/// What is known of a run's networks.
#[derive(Debug, Clone, Default)]
pub struct Probes {
    kept: BTreeMap<ProbeKey, Kept>,
    /// Of each step that components were fitted on: the root mean square of each UNet module's output.
    over_steps: BTreeMap<(Guidance, usize), Arc<[f64]>>,
    /// What the worker could not give.
    refused: BTreeSet<ProbeKey>,
}

impl Probes {
    pub fn get(&self, key: ProbeKey) -> Option<&[Features]> {
        self.kept.get(&key).map(|kept| &*kept.features)
    }

    /// On how many steps the components were fitted that were there when `key` was answered.
    pub fn fitted(&self, key: ProbeKey) -> usize {
        self.kept.get(&key).map_or(0, |kept| kept.fitted)
    }

    /// Keeps what was found, and forgets what is farthest from it where both together take more than `budget` bytes.
    pub fn insert(&mut self, key: ProbeKey, features: Vec<Features>, budget: usize) {
        let fitted = self.steps_fitted(key.half);
        let bytes = features.iter().map(Features::bytes).sum();
        let kept = Kept {
            features: features.into(),
            fitted,
            bytes,
        };
        self.kept.insert(key, kept);
        while self.bytes() > budget {
            let others = self.kept.keys().copied().filter(|other| *other != key);
            let Some(farthest) = others.max_by_key(|other| other.step.abs_diff(key.step)) else {
                break;
            };
            self.kept.remove(&farthest);
        }
    }

    /// Keeps the sizes of the UNet's modules in a step.
    pub fn insert_sizes(&mut self, half: Guidance, step: usize, sizes: Vec<f64>) {
        self.over_steps.insert((half, step), sizes.into());
    }

    /// Were components fitted on `step`?
    pub fn is_fitted(&self, half: Guidance, step: usize) -> bool {
        self.over_steps.contains_key(&(half, step))
    }

    /// On how many steps components were fitted.
    pub fn steps_fitted(&self, half: Guidance) -> usize {
        let steps = self.over_steps.keys();
        steps.filter(|(of, _)| *of == half).count()
    }

    /// The size of a UNet module's output in each of so many steps; NaN where it is not known.
    pub fn sizes(&self, half: Guidance, module: usize, steps: usize) -> Vec<f64> {
        let size = |step| {
            let sizes = self.over_steps.get(&(half, step));
            sizes.and_then(|sizes| sizes.get(module).copied())
        };
        let sizes = (0..steps).map(|step| size(step).unwrap_or(f64::NAN));
        sizes.collect()
    }

    pub fn bytes(&self) -> usize {
        self.kept.values().map(|kept| kept.bytes).sum()
    }

    /// The worker could not give what `key` asks for.
    pub fn refuse(&mut self, key: ProbeKey) {
        self.refused.insert(key);
    }

    pub fn is_refused(&self, key: ProbeKey) -> bool {
        self.refused.contains(&key)
    }

    /// What was refused may be asked for again.
    pub fn forgive(&mut self) {
        self.refused.clear();
    }

    /// Forgets what can be computed again.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// Forgets the steps from `first` on.
    pub fn truncate(&mut self, first: usize) {
        self.kept.retain(|key, _| key.step < first);
        self.over_steps.retain(|(_, step), _| *step < first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Component;
    use crate::trace::{Features, Stats};
    use crate::tui::worker::Probed;

    fn key(step: usize) -> ProbeKey {
        ProbeKey {
            network: Component::UNet,
            half: Guidance::Cond,
            step,
            what: Probed::Modules,
        }
    }

    fn features(values: usize) -> Vec<Features> {
        vec![Features {
            path: "conv_in".into(),
            shape: vec![1, 1, values],
            stats: Stats::default(),
            branch: None,
            size: (values, 1),
            norm: vec![0.0; values].into(),
            components: None,
            values: None,
        }]
    }

    #[test]
    fn the_farthest_step_is_forgotten_first_and_the_newest_never() {
        let mut probes = Probes::default();
        let bytes = features(100)[0].bytes();
        for step in [0, 5, 6] {
            probes.insert(key(step), features(100), 2 * bytes);
        }
        assert!(probes.get(key(0)).is_none());
        assert!(probes.get(key(5)).is_some() && probes.get(key(6)).is_some());
        probes.insert(key(7), features(1000), bytes);
        assert!(probes.get(key(7)).is_some());
        assert_eq!(probes.bytes(), features(1000)[0].bytes());
    }

    #[test]
    fn what_a_step_that_is_made_anew_had_is_forgotten() {
        let mut probes = Probes::default();
        for step in 0..3 {
            probes.insert(key(step), features(1), 1 << 20);
            probes.insert_sizes(Guidance::Cond, step, vec![step as f64]);
        }
        probes.truncate(2);
        assert_eq!(probes.steps_fitted(Guidance::Cond), 2);
        let sizes = probes.sizes(Guidance::Cond, 0, 3);
        assert!(sizes[..2] == [0.0, 1.0] && sizes[2].is_nan());
        assert!(probes.get(key(2)).is_none() && probes.get(key(1)).is_some());
        assert_eq!(probes.steps_fitted(Guidance::Uncond), 0);
    }
}

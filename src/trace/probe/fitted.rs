//! Principal components over the steps of a run, so that a colour means the same in all of them.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;

use super::features::{Layout, rms};
use super::{item, read};
use crate::model::{self, Hook};
use crate::trace::principal::{Moments, PrincipalComponents};
use crate::trace::{CancelToken, Guidance, Stats};

/// What was taken in of each module, step by step, in one half of guidance.
#[derive(Debug, Clone)]
pub struct Fitted {
    half: Guidance,
    paths: Vec<String>,
    /// By path. What was not finite has none, and gets none.
    moments: BTreeMap<String, Option<Moments>>,
    components: BTreeMap<String, PrincipalComponents>,
    steps: BTreeSet<usize>,
    /// On how many of them the components were fitted.
    settled: usize,
}

impl Fitted {
    /// Of no steps yet, for the modules at `paths`.
    pub fn new(paths: Vec<String>, half: Guidance) -> Self {
        Self {
            half,
            paths,
            moments: BTreeMap::new(),
            components: BTreeMap::new(),
            steps: BTreeSet::new(),
            settled: 0,
        }
    }

    /// Of which half of guidance.
    pub fn half(&self) -> Guidance {
        self.half
    }

    /// Of which modules.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The components of the module at `path`, and on how many steps they were fitted.
    pub fn components(&self, path: &str) -> Option<(&PrincipalComponents, usize)> {
        let components = self.components.get(path)?;
        Some((components, self.settled))
    }

    /// A hook that reads what a pass gives.
    pub(super) fn begin(&self, cancel: CancelToken) -> Fitting {
        Fitting {
            half: self.half,
            paths: self.paths.iter().cloned().collect(),
            cancel,
            planes: BTreeMap::new(),
        }
    }

    /// Takes in what it read in `step`, once; the root mean square of each module's values.
    pub(super) fn take(&mut self, step: usize, fitting: &Fitting) -> Vec<f64> {
        let is_new = self.steps.insert(step);
        for (path, (layout, stats, planes)) in &fitting.planes {
            if !is_new {
                break;
            }
            let moments = self.moments.entry(path.clone());
            let moments = moments.or_insert_with(|| Some(Moments::new(layout.features)));
            if stats.non_finite > 0 {
                *moments = None;
            }
            if let Some(moments) = moments {
                moments.add(planes);
            }
        }
        let of = |path: &String| fitting.planes.get(path).map(|(_, stats, _)| rms(stats));
        self.paths
            .iter()
            .map(|path| of(path).unwrap_or(0.0))
            .collect()
    }

    /// Works the components out from what was taken in so far, where more was since the last time.
    pub fn settle(&mut self) {
        if self.settled == self.steps.len() {
            return;
        }
        self.settled = self.steps.len();
        let settled = self.moments.iter().filter_map(|(path, moments)| {
            let components = moments.as_ref()?.components()?;
            Some((path.clone(), components))
        });
        self.components = settled.collect();
    }
}

/// Each module's values in one step: their layout, their statistics, and each feature's values one after another.
pub(super) struct Fitting {
    half: Guidance,
    paths: BTreeSet<String>,
    cancel: CancelToken,
    planes: BTreeMap<String, (Layout, Stats, Vec<f32>)>,
}

impl Hook for Fitting {
    fn check(&mut self) -> Result<(), model::Error> {
        self.cancel.check()
    }

    fn wants_output(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, model::Error> {
        let (shape, values) = read(&item(value, self.half)?)?;
        let layout = Layout::of(&shape, None);
        let planes = layout.planes(&values);
        let stats = Stats::of(&values);
        self.planes.insert(path.to_owned(), (layout, stats, planes));
        Ok(None)
    }
}

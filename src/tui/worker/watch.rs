//! Watch expressions, asked about the steps of a run one after the other, on a thread of their own.

use std::sync::Arc;

use super::update::Update;
use crate::export::WatchValue;
use crate::generation::ModelInfo;
use crate::lesson::{Watch, watch};
use crate::trace::Trace;

/// A watch expression, and the first step that it is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub watch: Watch,
    pub first: usize,
}

/// What watch expressions are asked about.
#[derive(Debug, Clone)]
pub struct WatchQuery {
    pub run: u64,
    pub info: Arc<ModelInfo>,
    /// The run, whose steps they are asked about from their first on, each as the run stood after it.
    pub trace: Trace,
    pub asked: Vec<Asked>,
}

impl WatchQuery {
    pub(super) fn evaluate(self) -> Update {
        let steps = self.trace.steps.len();
        let first = self.asked.iter().map(|asked| asked.first).min();
        let mut answers: Vec<(Asked, Vec<WatchValue>)> = (self.asked.into_iter())
            .map(|asked| (asked, Vec::new()))
            .collect();
        for step in first.unwrap_or(steps)..steps {
            // As a run that goes on is asked: without the steps after it, and without the picture.
            let mut then = self.trace.clone();
            then.truncate(step + 1);
            let due = |(asked, _): &&mut (Asked, Vec<WatchValue>)| asked.first <= step;
            for (asked, values) in answers.iter_mut().filter(due) {
                let watches = std::slice::from_ref(&asked.watch);
                values.extend(watch::ask(watches, &self.info, &then));
            }
        }
        Update::Watched {
            run: self.run,
            answers,
        }
    }
}

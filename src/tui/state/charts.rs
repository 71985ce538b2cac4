//! The chart of the way through latent space: which runs are on it, and asking for it.

use super::app::App;
use super::cursor::View;
use super::detail::StepPart;
use super::run::Run;
use super::runs::Runs;
use crate::trace::latent_path::{LatentPath, latent_states};
use crate::tui::worker::{Job, LatentPathQuery, Task};

/// The most runs on one chart or sheet: the one on the screen, the one beside it, and the newest others.
pub const MOST_RUNS: usize = 8;

/// Runs with how many of their steps are done.
pub type Progress = Vec<(u64, usize)>;

#[derive(Debug, Clone, Default)]
pub struct Charts {
    /// What was worked out last, and of which runs.
    pub path: Option<(Progress, Option<LatentPath>)>,
    asked: Option<Progress>,
}

impl Runs {
    /// The runs that are shown together with the one on the screen, which comes first: those of latents of its size.
    pub fn together(&self) -> Vec<&Run> {
        let Some(current) = &self.current else {
            return Vec::new();
        };
        let beside = self.compared();
        let others = self.others.iter().rev();
        let others = others.filter(|other| beside.is_none_or(|beside| beside.id != other.id));
        let fits = |run: &&Run| {
            run.info.latent_shape == current.info.latent_shape && run.newest().is_some()
        };
        let others = beside.into_iter().chain(others).filter(fits);
        std::iter::once(current)
            .chain(others.take(MOST_RUNS - 1))
            .collect()
    }
}

impl App {
    /// Asks for the chart at the cursor where another one was worked out last.
    pub(super) fn request_chart(&mut self) {
        let is_shown =
            self.cursor.view == View::Denoising && self.cursor.detail.step == StepPart::Path;
        if !is_shown || self.charts.asked.is_some() {
            return;
        }
        let together = self.runs.together();
        let runs: Progress = (together.iter())
            .map(|run| (run.id, run.trace.steps.len()))
            .collect();
        if self.charts.path.as_ref().is_some_and(|(of, _)| *of == runs) {
            return;
        }
        let states = together.iter().map(|run| latent_states(&run.trace.steps));
        let query = LatentPathQuery {
            states: states.collect(),
            runs: runs.clone(),
        };
        self.charts.asked = Some(runs);
        self.tasks.push(Task::Job(Job::LatentPath(query)));
    }

    pub(super) fn take_chart(&mut self, runs: Progress, path: Option<LatentPath>) {
        self.charts.asked = None;
        self.charts.path = Some((runs, path));
    }

    /// Is the chart at the cursor being worked out?
    pub(super) fn awaits_chart(&self) -> bool {
        self.charts.asked.is_some()
    }
}

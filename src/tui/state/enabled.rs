//! What can be done now: the keys that are shown, and those that do something.

use super::app::{App, Model, Notice};
use super::cursor::{Cursor, View};
use super::export_items::picture;
use super::run::{Run, RunState};
use crate::generation::{ModelInfo, Request};
use crate::trace::Guidance;

impl App {
    /// Should [`super::action::Action::Tick`] come soon, because something on the screen depends on the time?
    pub fn wants_ticks(&self) -> bool {
        self.is_busy() || self.playback.is_some() || matches!(self.notice, Some(Notice::Done(..)))
    }

    /// Is the worker at something, so that updates will come?
    pub fn is_busy(&self) -> bool {
        matches!(self.model, Model::Loading)
            || self.opening.is_some()
            || self.requests.is_pending()
            || self.variants.is_going()
            || self.awaits_chart()
            || self.is_advancing()
    }

    /// Is any run going on?
    pub(super) fn is_advancing(&self) -> bool {
        self.runs.all().any(Run::is_advancing)
    }

    /// Does the worker look closer at a step for which it takes a pass of the network, and at nothing else?
    pub fn is_looking(&self) -> bool {
        self.requests.is_looking() && !self.is_advancing()
    }

    pub fn is_running(&self) -> bool {
        self.run()
            .is_some_and(|run| matches!(run.state, RunState::Running | RunState::Pausing))
    }

    pub fn is_reading(&self) -> bool {
        self.lesson.open.is_some()
    }

    pub fn run(&self) -> Option<&Run> {
        self.runs.current.as_ref()
    }

    pub fn run_state(&self) -> Option<&RunState> {
        self.run().map(|run| &run.state)
    }

    /// What the run on the screen was asked for: what `p` edits and `r` runs again.
    pub fn request(&self) -> Option<&Request> {
        self.run().map(|run| &run.trace.request)
    }

    /// The model that made the run on the screen; before there is one, the model that is there.
    pub fn info(&self) -> Option<&ModelInfo> {
        self.model.of_run(self.run())
    }

    /// The newest step of the run on the screen.
    pub fn newest(&self) -> Option<usize> {
        self.run().and_then(Run::newest)
    }

    pub fn has_steps(&self) -> bool {
        self.newest().is_some()
    }

    /// The selected word of the prompt, if a word is selected: what it was typed as.
    pub fn selected_word(&self) -> Option<&str> {
        self.run()?.word_at(self.cursor.token)
    }

    /// Can the run on the screen be computed with: is the model that made it still there?
    pub fn is_live(&self) -> bool {
        self.run().is_some_and(|run| self.model.made(run))
    }

    pub fn can_continue(&self) -> bool {
        self.is_live() && self.run().is_some_and(Run::is_waiting)
    }

    /// Is there a run, of which `view` shows what `test` asks for?
    pub fn shows(&self, view: View, test: fn(&Cursor, &Run) -> bool) -> bool {
        let cursor = Cursor {
            view,
            ..self.cursor
        };
        self.run().is_some_and(|run| test(&cursor, run))
    }

    pub fn shows_attention(&self, view: View) -> bool {
        view == View::Attention && self.has_steps()
    }

    pub fn can_edit(&self) -> bool {
        self.run().is_some() && !self.recorded
    }

    pub fn can_run_again(&self) -> bool {
        self.can_edit() && !self.is_running()
    }

    /// Can the run on the screen be left at the step that is looked at?
    pub fn can_branch(&self) -> bool {
        self.has_steps() && self.is_live() && !self.recorded
    }

    /// Is a head on the screen that was opened in the matrix of heads?
    pub fn is_head_open(&self) -> bool {
        self.shows_attention(self.cursor.view) && self.cursor.attention.from_matrix
    }

    pub fn can_weigh(&self, view: View) -> bool {
        self.shows_attention(view)
            && self.cursor.attention.half == Guidance::Cond
            && self.can_branch()
            && self.selected_word().is_some()
    }

    pub fn can_save(&self) -> bool {
        self.run()
            .is_some_and(|run| picture(run, &self.cursor).is_some())
    }
}

impl Model {
    /// Did this model make `run`?
    pub fn made(&self, run: &Run) -> bool {
        matches!(self, Self::Ready(info) if run.is_made_by(info))
    }

    /// The model that made `run`; where there is none, this one, if it is there.
    pub fn of_run<'a>(&'a self, run: Option<&'a Run>) -> Option<&'a ModelInfo> {
        match (run, self) {
            (Some(run), _) => Some(&run.info),
            (None, Self::Ready(info)) => Some(info),
            _ => None,
        }
    }
}

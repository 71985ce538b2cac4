//! What a view is drawn from.

use super::theme::Theme;
use super::widgets::token_strip::name_at;
use crate::generation::{ModelInfo, Request};
use crate::lesson::Language;
use crate::tui::state::charts::Charts;
use crate::tui::state::run::Run;
use crate::tui::state::variants::Variants;
use crate::tui::state::{App, Cursor, Mode, Model, Runs, View};

/// A run and what of it is looked at, as plain borrowed data: all that views and widgets know of the state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViewContext<'a> {
    pub theme: Theme,
    pub language: Language,
    pub view: View,
    pub cursor: Cursor,
    pub mode: &'a Mode,
    pub model: &'a Model,
    /// The run that is drawn.
    pub run: Option<&'a Run>,
    /// What that run, or the next one, was asked for.
    pub request: Option<&'a Request>,
    /// Is the predicted x0 of a step shown as the autoencoder decodes it?
    pub decode: bool,
    /// Is it a recorded run, without its model?
    pub recorded: bool,
    /// All runs of this session.
    pub runs: &'a Runs,
    pub variants: &'a Variants,
    pub charts: &'a Charts,
}

impl<'a> ViewContext<'a> {
    pub fn new(app: &'a App, theme: Theme) -> Self {
        Self {
            theme,
            language: app.lesson.language,
            view: app.cursor.view,
            cursor: app.cursor,
            mode: &app.mode,
            model: &app.model,
            run: app.run(),
            request: app.request(),
            decode: app.cursor.decode,
            recorded: app.recorded,
            runs: &app.runs,
            variants: &app.variants,
            charts: &app.charts,
        }
    }

    /// The same place in another run, to draw the two side by side.
    pub fn beside(self, run: &'a Run) -> Self {
        Self {
            run: Some(run),
            request: Some(&run.trace.request),
            ..self
        }
    }

    /// The model that made the run; before there is one, the model that is open.
    pub fn info(&self) -> Option<&'a ModelInfo> {
        self.model.of_run(self.run)
    }

    /// The same with the run that is drawn, where there is one.
    pub fn of_run(self) -> Option<RunContext<'a>> {
        self.run.map(|run| RunContext { view: self, run })
    }

    /// What is said in the reader's language, of what is said in each.
    pub fn say<T>(&self, said: [T; 2]) -> T {
        self.language.choose(said)
    }

    pub fn has_steps(&self) -> bool {
        self.run.is_some_and(|run| !run.trace.steps.is_empty())
    }
}

/// What a view is drawn from that has nothing to show without a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunContext<'a> {
    view: ViewContext<'a>,
    pub run: &'a Run,
}

impl<'a> std::ops::Deref for RunContext<'a> {
    type Target = ViewContext<'a>;

    fn deref(&self) -> &ViewContext<'a> {
        &self.view
    }
}

impl RunContext<'_> {
    /// The word at `position` of the prompt.
    pub fn word(&self, position: usize) -> String {
        name_at(self.run.tokens(), position, self.language)
    }
}

//! A lesson that is being read: the page, and how far the reader has come with it.

use std::sync::Arc;

use super::joining::joined;
use super::messages;
use super::status::{Here, Status};
use crate::generation::ModelInfo;
use crate::lesson::filter::{Filter, FilterError, Value};
use crate::lesson::{
    Depth, ExerciseKind, Form, Language, Lesson, Page, Selection, Subject, Verdict, called,
};

#[derive(Debug, Clone)]
pub struct OpenLesson {
    pub lesson: Arc<Lesson>,
    pub page: usize,
    /// The model whose run the page was opened with, once it was.
    pub model: Option<Arc<ModelInfo>>,
    /// How deep its prose goes.
    pub depth: Depth,
    /// Lines of the page that are above its pane.
    pub scroll: usize,
    /// How it is to be scrolled when it is drawn next.
    pub scrolling: Option<Scroll>,
    /// Is the pane out of the view's way?
    pub folded: bool,
    pub hints: usize,
    pub solution: bool,
    pub claims: Vec<Status>,
    pub exercise: Status,
    /// What is to be said of the last try.
    pub remark: Option<String>,
    /// The answer of the page's question, once it was worked out.
    pub answer: Option<Result<Value, FilterError>>,
    /// Were the page's filters asked that are asked when it is opened?
    pub opened: bool,
    /// The query that is being worked out: its number, and what it is for.
    pub asked: Option<(u64, Purpose)>,
    /// What the reader saw when a task was looked at last.
    pub seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Claims and exercise of a page that was opened.
    Opening,
    /// A task, because the reader did something.
    Watching,
    /// A task, because the reader asks.
    Asking,
}

/// What the reader sees, to notice when it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub selection: Selection,
    /// Steps of the run on the screen.
    pub steps: Option<usize>,
    pub compared: Option<u64>,
}

/// How a page is to be scrolled: how far that is depends on the room that it is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scroll {
    PageUp,
    PageDown,
    /// Until this is seen.
    To(Spot),
}

/// Something on a page that its reader wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// The prose of the depth that was chosen.
    Depth,
    /// The task or the question, without what was said of it.
    Exercise,
    /// What was said last: a hint, what an answer is worth, the solution.
    News,
}

impl OpenLesson {
    /// `lesson` at `page`, which is still to be opened.
    pub fn new(lesson: Arc<Lesson>, page: usize, depth: Depth) -> Self {
        let page = page.min(lesson.pages.len().saturating_sub(1));
        let claims = lesson.pages.get(page).map_or(0, |page| page.claims.len());
        Self {
            lesson,
            page,
            model: None,
            depth,
            scroll: 0,
            scrolling: None,
            folded: false,
            hints: 0,
            solution: false,
            claims: vec![Status::Open; claims],
            exercise: Status::Open,
            remark: None,
            answer: None,
            opened: false,
            asked: None,
            seen: None,
        }
    }

    pub fn page(&self) -> &Page {
        &self.lesson.pages[self.page]
    }

    pub fn has_next(&self) -> bool {
        self.page + 1 < self.lesson.pages.len()
    }

    /// Is there something on the page that is still to be done?
    pub fn is_open(&self) -> bool {
        self.page().exercise.is_some() && !matches!(self.exercise, Status::Good)
    }

    pub fn is_question(&self) -> bool {
        self.form().is_some()
    }

    fn form(&self) -> Option<&Form> {
        match &self.page().exercise.as_ref()?.kind {
            ExerciseKind::Question { form, .. } => Some(form),
            ExerciseKind::Task { .. } => None,
        }
    }

    /// What prose calls the open model, where `subject` is another one.
    pub fn elsewhere(&self, subject: &Subject) -> Option<&str> {
        let info = self.model.as_ref()?;
        (!subject.covers(info)).then(|| called(&info.name))
    }

    pub fn has_hints(&self) -> bool {
        let exercise = self.page().exercise.as_ref();
        self.is_open() && exercise.is_some_and(|exercise| self.hints < exercise.hints.len())
    }

    pub(in crate::tui::state) fn scroll_to(&mut self, spot: Spot) {
        self.scrolling = Some(Scroll::To(spot));
    }

    /// Where the reader finds more help, as long as there is some.
    pub(super) fn more_help(&self, language: Language) -> &'static str {
        if self.has_hints() {
            language.choose(messages::HINT)
        } else if self.solution {
            ""
        } else {
            language.choose(messages::SOLUTION)
        }
    }

    /// What the page's filters are to be asked for next: when its run is there, and when the reader did something.
    pub(in crate::tui::state) fn next_query(&self) -> Option<Purpose> {
        let watches = self.is_open() && !self.is_question();
        match (&self.asked, self.opened) {
            (Some(_), _) => None,
            (None, false) => Some(Purpose::Opening),
            (None, true) => watches.then_some(Purpose::Watching),
        }
    }

    /// The filters to ask on a run of `model`.
    pub(in crate::tui::state) fn filters(
        &mut self,
        purpose: Purpose,
        model: Arc<ModelInfo>,
        seen: Seen,
    ) -> Vec<Filter> {
        self.model = Some(model);
        self.seen = Some(seen);
        let page = &self.lesson.pages[self.page];
        let mut filters = Vec::new();
        if purpose == Purpose::Opening {
            self.opened = true;
            // With another model than a claim's own it is asked what there is instead, where the claim says how.
            filters.extend(page.claims.iter().map(|claim| {
                let here = self.elsewhere(&claim.subject).and(claim.here.as_ref());
                here.unwrap_or(&claim.filter).clone()
            }));
        }
        filters.extend(page.exercise.as_ref().map(|exercise| match &exercise.kind {
            ExerciseKind::Task { done, .. } => done.clone(),
            ExerciseKind::Question { answer, .. } => answer.clone(),
        }));
        filters
    }

    /// Takes in what the filters of the page's claims gave.
    pub(super) fn take_claims(
        &mut self,
        values: Vec<Result<Value, FilterError>>,
        language: Language,
    ) {
        let told = values.into_iter().enumerate().map(|(index, value)| {
            match (value, self.page().claims.get(index)) {
                (value, Some(claim)) if self.elsewhere(&claim.subject).is_some() => {
                    Status::Elsewhere(here(value))
                }
                (Ok(Value::Bool(true)), _) => Status::Good,
                (Ok(value), _) => {
                    Status::Bad(joined(language.choose(messages::GIVES), &value.to_string()))
                }
                (Err(failed), _) => Status::Bad(failed.to_string()),
            }
        });
        self.claims = told.collect();
    }

    /// Is `typed` the answer to the page's question, or what is to be said of it? Nothing where there is no question.
    pub(super) fn judge(&self, typed: &str, language: Language) -> Option<Result<(), String>> {
        let form = self.form()?;
        let verdict = match &self.answer {
            None => return Some(Err(language.choose(messages::RUNNING).to_owned())),
            Some(Ok(value)) => form.verdict(typed, value),
            Some(Err(failed)) => Err(failed.clone()),
        };
        let quoted = format!("“{typed}”");
        Some(match verdict {
            Ok(Verdict::Right) => Ok(()),
            Ok(Verdict::Wrong) => {
                let remark = joined(&quoted, language.choose(messages::WRONG));
                Err(joined(&remark, self.more_help(language)))
            }
            Ok(Verdict::Unreadable) => {
                let expected = match form {
                    Form::Number(_) => language.choose(messages::NUMBER),
                    Form::Word => language.choose(messages::WORD),
                    Form::Choice(_) => language.choose(messages::CHOICE),
                };
                Err(joined(&quoted, expected))
            }
            Err(failed) => Err(joined(
                language.choose(messages::UNKNOWN),
                &failed.to_string(),
            )),
        })
    }

    /// Is `given` the answer to the page's question? Not known where that was not worked out.
    pub(super) fn is_right(&self, given: &str) -> Option<bool> {
        let (Some(Ok(value)), Some(form)) = (&self.answer, self.form()) else {
            return None;
        };
        Some(form.verdict(given, value) == Ok(Verdict::Right))
    }
}

/// What a claim about another model comes to.
fn here(value: Result<Value, FilterError>) -> Here {
    match value {
        Ok(Value::Bool(true)) => Here::Holds,
        Ok(Value::Bool(false)) => Here::Fails,
        Ok(Value::Text(text)) => Here::Is(text.chars().take(80).collect()),
        Ok(value @ Value::Number(_)) => Here::Is(value.to_string()),
        Ok(Value::Other(_)) | Err(_) => Here::Unknown,
    }
}

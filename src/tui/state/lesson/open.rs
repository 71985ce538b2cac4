//! A lesson that is being read: the page, and how far the reader has come with it.

use std::sync::Arc;

use crate::generation::ModelInfo;
use crate::lesson::filter::{FilterError, Value};
use crate::lesson::{
    Depth, ExerciseKind, Form, Language, Lesson, Library, Page, Progress, Subject, called,
};

/// Lessons, and the one that is being read.
#[derive(Debug, Clone, Default)]
pub struct LessonState {
    /// The lessons; none before they are asked for.
    pub library: Option<Arc<Library>>,
    /// The language in which they are shown.
    pub language: Language,
    /// What was solved.
    pub progress: Progress,
    /// The lesson that is being read.
    pub open: Option<OpenLesson>,
}

/// A lesson that is being read.
#[derive(Debug, Clone)]
pub struct OpenLesson {
    /// The lesson.
    pub lesson: Arc<Lesson>,
    /// The page, from 0.
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
    /// Hints that are shown.
    pub hints: usize,
    /// Is the solution shown?
    pub solution: bool,
    /// What became of each claim.
    pub claims: Vec<Status>,
    /// How the exercise stands.
    pub exercise: Status,
    /// What is to be said of the last try.
    pub remark: Option<String>,
    /// The answer of the page's question, once it was worked out.
    pub answer: Option<Result<Value, FilterError>>,
    /// Has the page been opened, and is everything asked that is to be asked then?
    pub opened: bool,
    /// The question that is being worked out: a number, and what it is for.
    pub asked: Option<(u64, Purpose)>,
    /// What the reader looked at when a task was looked after last.
    pub seen: Option<String>,
}

/// How a claim or an exercise stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It is not known yet; an exercise is to be done.
    Open,
    /// It holds; it is solved.
    Good,
    /// An exercise that was solved in an earlier sitting.
    Before,
    /// A claim that does not hold: why.
    Bad(String),
    /// A claim about another model than the one that is open.
    Elsewhere(Here),
}

/// What a claim about another model comes to with the one that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Here {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// What it speaks of is this.
    Is(String),
    /// It cannot be said.
    Unknown,
}

/// What a question to the run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Claims and exercise of a page that was opened.
    Opening,
    /// A task, because the reader did something.
    Watching,
    /// A task, because the reader asks.
    Asking,
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

    /// The page.
    pub fn page(&self) -> &Page {
        &self.lesson.pages[self.page]
    }

    /// Is there a page after this one?
    pub fn has_next(&self) -> bool {
        self.page + 1 < self.lesson.pages.len()
    }

    /// Is there something on the page that is still to be done?
    pub fn is_open(&self) -> bool {
        self.page().exercise.is_some() && !matches!(self.exercise, Status::Good)
    }

    /// Is it a question, and not a task?
    pub fn is_question(&self) -> bool {
        self.form().is_some()
    }

    /// The form of the answer to the page's question.
    pub fn form(&self) -> Option<&Form> {
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

    /// Are there hints that are not shown yet?
    pub fn has_hints(&self) -> bool {
        let exercise = self.page().exercise.as_ref();
        self.is_open() && exercise.is_some_and(|exercise| self.hints < exercise.hints.len())
    }
}

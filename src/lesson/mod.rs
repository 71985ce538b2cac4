//! Guided lessons: their format, their parser, the checks that prove what they say, and the reader's progress.
//!
//! A lesson is a Markdown file; `lessons/README.md` describes its format. [`parse`] reads it, [`Library`] finds it,
//! [`check`] proves what it says, and the inspector shows it. What it asserts about a run, and what it asks of its
//! reader, are [`filter`]s over the run's document.

mod answer;
pub(crate) mod check;
mod choice;
mod digest;
pub(crate) mod filter;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/targets/lesson.rs"]
pub(crate) mod fuzz;
mod language;
mod library;
mod location;
mod parse;
mod progress;
mod run_json;
mod subject;
pub(crate) mod watch;

pub(crate) use answer::Verdict;
pub use choice::{Curve, Grid, Part, Side, StepTensor, View};
pub use language::{Language, Said};
pub(crate) use library::explanation;
pub use library::{Entry, Library};
pub(crate) use location::{Comparison, Goto, LessonAction, Location, NumberOrWord, Selection};
pub(crate) use parse::MARKDOWN;
pub use parse::parse;
pub use progress::{Progress, ProgressError, Solved};
pub(crate) use run_json::RunJson;
pub(crate) use subject::{Subject, called};
pub(crate) use watch::{Watch, Watches};

use crate::generation::RequestPatch;
use digest::ExerciseDigest;
use filter::Filter;

#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// Its name: lower-case letters, digits and `-`.
    pub id: String,
    pub title: String,
    pub minutes: u32,
    /// The model that its words are about.
    pub subject: Subject,
    /// What its run asks for.
    pub request: RequestPatch,
    /// Its pages, at least one.
    pub pages: Vec<Page>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub title: String,
    /// The line of its title, from 1.
    pub line: usize,
    pub prose: Prose,
    pub goto: Goto,
    /// The line of its block `goto`, or else of its title.
    pub goto_line: usize,
    pub claims: Vec<Claim>,
    /// What the reader is to do or to find out.
    pub exercise: Option<Exercise>,
}

/// Markdown, in part for one depth only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prose {
    /// Shown at every depth.
    pub always: String,
    /// Shown at one depth each, where there is any: in the order of [`Depth::ALL`].
    pub depths: [Option<String>; 3],
}

/// How deep a page goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// What it is about, without a formula.
    #[default]
    Idea,
    /// How it is done.
    Mechanism,
    /// The formula, and where it is from.
    Mathematics,
}

/// Something that a page asserts.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The line on which it begins.
    pub line: usize,
    /// The model that it is about.
    pub subject: Subject,
    pub says: Option<String>,
    /// Gives `true`.
    pub filter: Filter,
    /// Gives what is shown where a model is open that it is not about.
    pub here: Option<Filter>,
}

/// What the reader is to do or to find out.
#[derive(Debug, Clone, PartialEq)]
pub struct Exercise {
    /// The line on which it begins.
    pub line: usize,
    /// The model that its words are about.
    pub subject: Subject,
    /// What is to be done or found out, in Markdown.
    pub text: String,
    pub kind: ExerciseKind,
    /// At least one.
    pub hints: Vec<String>,
    pub explanation: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExerciseKind {
    /// Something is to be done.
    Task {
        /// Gives `true` when it is.
        done: Filter,
        solution: Vec<LessonAction>,
    },
    /// Something is to be found out.
    Question {
        answer: Filter,
        /// What kind of answer it is.
        form: Form,
        /// An answer that must not be accepted.
        wrong: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// A number, and how far off it may be.
    Number(f64),
    Word,
    /// One of these; the answer is its number, from 1.
    Choice(Vec<String>),
}

/// Something wrong with a lesson, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct Problem {
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl Depth {
    /// All of them, from the surface down.
    pub const ALL: [Self; 3] = [Self::Idea, Self::Mechanism, Self::Mathematics];

    /// The next one down; `None` beneath the last.
    pub fn deeper(self) -> Option<Self> {
        Self::ALL.get(self as usize + 1).copied()
    }

    /// The next one down; the first after the last.
    #[must_use]
    pub fn next(self) -> Self {
        self.deeper().unwrap_or_default()
    }

    /// The headings that begin its part of a page.
    pub fn headings(self) -> [&'static str; 2] {
        match self {
            Self::Idea => ["Idea", "直觉"],
            Self::Mechanism => ["Mechanism", "机制"],
            Self::Mathematics => ["Mathematics", "数学"],
        }
    }
}

impl Prose {
    /// What is shown at `depth`: what is always shown, and the part of that depth, or else of the next one above it.
    pub fn at(&self, depth: Depth) -> [&str; 2] {
        let part = self.depths[..=depth as usize].iter().rev().flatten().next();
        [&self.always, part.map_or("", String::as_str)]
    }
}

impl Page {
    /// What its exercise is known by in a reader's progress.
    pub(crate) fn digest(&self) -> Option<ExerciseDigest> {
        let exercise = self.exercise.as_ref()?;
        Some(ExerciseDigest::new(exercise, &self.goto))
    }
}

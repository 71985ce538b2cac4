//! Checks lessons: their files, their languages, and everything that they say, by really doing it.

mod languages;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use unicode_width::UnicodeWidthStr;

use super::filter::{FilterError, Input};
use super::{Language, Lesson, LessonAction, Library, Problem};
use crate::generation::ModelInfo;

/// The widest line of a lesson's file, in columns.
const COLUMNS: usize = 80;

/// The inspector, as a check uses it: everything waits until it is done.
pub trait Inspector {
    /// The model that runs are made with.
    ///
    /// # Errors
    /// An inspector without one.
    fn model(&self) -> Result<Arc<ModelInfo>, InspectorError>;

    /// Shows everything in `language` from now on.
    fn speak(&mut self, language: Language);

    /// Opens a page: puts its run on the screen, made anew if need be, and goes to its place.
    ///
    /// # Errors
    /// What there is not, and a run that fails.
    fn open(&mut self, lesson: &Lesson, page: usize) -> Result<(), InspectorError>;

    /// Does what a reader could do.
    ///
    /// # Errors
    /// What there is not, and a run that fails.
    fn act(&mut self, action: &LessonAction) -> Result<(), InspectorError>;

    /// What filters are asked about now.
    ///
    /// # Errors
    /// An inspector without a run.
    fn input(&mut self) -> Result<Input, InspectorError>;

    /// Does `text` stand on the screen?
    fn shows(&mut self, text: &str) -> bool;
}

/// Why the inspector could not do what a lesson asks for.
#[derive(Debug, thiserror::Error)]
pub enum InspectorError {
    /// No thread can be started for its model.
    #[error("the worker cannot be started: {0}")]
    Worker(#[from] std::io::Error),
    /// Its model did not load, or was never asked for.
    #[error("no model is open")]
    NoModel,
    /// Filters can only be asked about a run.
    #[error("there is no run")]
    NoRun,
    /// It takes longer than anybody would wait.
    #[error("it does not come to an end")]
    Endless,
    /// The model or the run failed, or the lesson names what there is not: what the screen says of it.
    #[error("{0}")]
    Refused(String),
    /// The run's document cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// What came of going through lessons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    pub problems: Vec<Problem>,
    /// How many claims and exercises were left out because they are about another model than the one that is open.
    pub left_out: usize,
    /// The models that those are about.
    pub subjects: BTreeSet<String>,
}

/// What is wrong with the files themselves: no model is needed for it.
pub fn files(library: &Library) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut known: BTreeMap<_, &str> = BTreeMap::new();
    for entry in &library.entries {
        let mut add = |line, message| problems.push(Problem::new(&entry.file, line, message));
        for (index, line) in entry.text.lines().enumerate() {
            let columns = line.width();
            if columns > COLUMNS {
                let message = format!("the line is {columns} columns wide; {COLUMNS} are the most");
                add(index + 1, message);
            }
        }
        let lesson = match &entry.lesson {
            Ok(lesson) => lesson,
            Err(own) => {
                problems.extend(own.iter().cloned());
                continue;
            }
        };
        if lesson.id != entry.id() {
            let message = format!(
                "the id is “{}” and the file is called {}; expected NN-{}.md",
                lesson.id,
                entry.name(),
                lesson.id
            );
            add(2, message);
        }
        if let Some(other) = known.insert((entry.language, lesson.id.clone()), &entry.file) {
            let message = format!(
                "the id “{}” is that of {other}, too; ids are unique",
                lesson.id
            );
            add(2, message);
        }
    }
    problems.extend(languages::differences(library));
    problems.sort();
    problems
}

/// What is wrong with what the lessons say of the model that is open, found out by going through them with `inspector`.
/// Lessons of the same name come one after another, so that their runs are made once. `tell` is told which file comes
/// next.
pub fn lessons(
    library: &Library,
    inspector: &mut dyn Inspector,
    mut tell: impl FnMut(&str),
) -> Findings {
    let mut entries: Vec<_> = library.entries.iter().collect();
    entries.sort_by_key(|entry| (entry.name(), entry.language));
    let mut findings = Findings::default();
    for entry in entries {
        if let Ok(lesson) = &entry.lesson {
            tell(&entry.file);
            inspector.speak(entry.language);
            walk::walk(&entry.file, lesson, inspector, &mut findings);
        }
    }
    findings
}

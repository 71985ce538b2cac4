//! Lessons, and the one that is being read: what there is, how far the reader has come, and what is said of it.

mod joining;
pub mod messages;
mod open;
mod status;

use std::sync::Arc;

use super::detail::after;
use crate::generation::{ModelInfo, Request, RequestPatch};
use crate::lesson::filter::{FilterError, Value};
use crate::lesson::{
    ExerciseKind, Language, Lesson, LessonAction, Library, Progress, ProgressError, Solved,
};
use crate::scheduler::SchedulerKind;
use crate::tui::errors;
use crate::tui::worker::Failure;
pub use joining::{joined, needs_space};
pub use open::{OpenLesson, Purpose, Scroll, Seen, Spot};
#[cfg(test)]
pub use status::Here;
pub use status::Status;

/// Lessons, and the one that is being read.
#[derive(Debug, Clone, Default)]
pub struct LessonState {
    /// None before they are asked for.
    pub library: Option<Arc<Library>>,
    /// The language in which they are shown.
    pub language: Language,
    pub progress: Progress,
    /// The lesson that is being read.
    pub open: Option<OpenLesson>,
    /// Why what was solved is not kept, until it is said.
    pub(super) problem: Option<Failure>,
}

impl LessonState {
    pub fn new(library: Library, language: Language, progress: Progress) -> Self {
        Self {
            library: Some(Arc::new(library)),
            language,
            progress,
            ..Self::default()
        }
    }

    pub fn lessons(&self) -> Vec<Lesson> {
        let Some(library) = &self.library else {
            return Vec::new();
        };
        let entries = library.lessons(self.language).into_iter();
        entries
            .filter_map(|entry| entry.lesson.clone().ok())
            .collect()
    }

    /// Opens the program's own lessons and what was solved of them, where no others are open. Returns the row of the
    /// lesson that is read or to go on with.
    pub(super) fn row(&mut self) -> usize {
        if self.library.is_none() {
            self.library = Some(Arc::new(Library::embedded()));
            match Progress::open(Progress::default_path()) {
                Ok(progress) => self.progress = progress,
                Err(error) => self.not_kept(&error),
            }
        }
        let lessons = self.lessons();
        let current = self.open.as_ref().map(|open| &open.lesson.id);
        let is_current = |lesson: &Lesson| Some(&lesson.id) == current;
        // The first one that is not done is where a reader goes on.
        let is_undone = |lesson: &Lesson| {
            let (solved, all) = self.progress.solved(lesson);
            solved < all || !self.progress.is_begun(lesson)
        };
        let undone = || lessons.iter().position(is_undone);
        let row = lessons.iter().position(is_current).or_else(undone);
        row.unwrap_or(0)
    }

    /// Shows the lessons in the other language, and the one that is being read at its page.
    pub(super) fn translate(&mut self) {
        self.language = after(&Language::ALL, self.language, 1);
        let mut lessons = self.lessons().into_iter();
        if let Some(open) = &mut self.open
            && let Some(lesson) = lessons.find(|lesson| lesson.id == open.lesson.id)
            && lesson.pages.len() == open.lesson.pages.len()
        {
            open.lesson = Arc::new(lesson);
        }
    }

    pub(super) fn open_page(&mut self, lesson: Arc<Lesson>, page: usize) {
        let depth = self.open.as_ref().map(|open| open.depth);
        let mut open = OpenLesson::new(lesson, page, depth.unwrap_or_default());
        let solved = self.progress.solution_of(&open.lesson, open.page());
        if solved.is_some() {
            open.exercise = Status::Before;
        }
        self.progress.turn_to(&open.lesson.id, open.page);
        self.open = Some(open);
        // Not said: the page has only just been opened.
        let _ = self.progress.save();
    }

    /// What the open page's run asks for; the model gives what neither the page nor its lesson says.
    pub(super) fn request(&self, info: &ModelInfo) -> Option<Request> {
        let open = self.open.as_ref()?;
        let page = &open.page().goto.request;
        Some(page_request(&open.lesson.request, page, info))
    }

    pub(super) fn remark(&mut self, remark: &str) {
        if let Some(open) = &mut self.open {
            open.remark = Some(remark.to_owned());
            open.scroll_to(Spot::News);
        }
    }

    pub(super) fn cannot_open(&mut self, problem: &str) {
        if let Some(open) = &mut self.open {
            open.opened = true;
        }
        self.remark(&joined(self.language.choose(messages::NOWHERE), problem));
    }

    /// Shows the solution; returns what does it, the first time, where it is a task.
    pub(super) fn show_solution(&mut self) -> Vec<LessonAction> {
        let mut actions = Vec::new();
        if let Some(open) = &mut self.open
            && let Some(exercise) = &open.page().exercise
        {
            if let (ExerciseKind::Task { solution, .. }, false) = (&exercise.kind, open.solution) {
                actions.clone_from(solution);
            }
            open.solution = true;
            open.remark = None;
            open.scroll_to(Spot::News);
        }
        actions
    }

    /// Says what `typed` is worth as an answer to the page's question.
    pub(super) fn judge(&mut self, typed: &str) {
        let language = self.language;
        let open = self.open.as_ref();
        match open.and_then(|open| open.judge(typed, language)) {
            None => {}
            Some(Ok(())) => self.solved(Some(typed)),
            Some(Err(remark)) => self.remark(&remark),
        }
    }

    /// Takes in what the page's filters gave.
    pub(super) fn take_values(&mut self, query: u64, mut values: Vec<Result<Value, FilterError>>) {
        let language = self.language;
        let Some(open) = &mut self.open else {
            return;
        };
        // None where the reader has turned the page.
        let Some((_, purpose)) = open.asked.take_if(|(asked, _)| *asked == query) else {
            return;
        };
        if purpose == Purpose::Opening {
            let claims = open.claims.len().min(values.len());
            open.take_claims(values.drain(..claims).collect(), language);
        }
        let Some(value) = values.pop() else {
            return;
        };
        if open.is_question() {
            open.answer = Some(value);
            self.check_again();
            return;
        }
        match (value, purpose) {
            (Ok(Value::Bool(true)), Purpose::Watching | Purpose::Asking) => self.solved(None),
            // Done at once: then there is nothing to do, and nothing was done by the reader.
            (_, Purpose::Opening | Purpose::Watching) => {}
            (_, Purpose::Asking) => {
                let help = open.more_help(language);
                self.remark(&joined(language.choose(messages::NOT_YET), help));
            }
        }
    }

    fn solved(&mut self, answer: Option<&str>) {
        let language = self.language;
        let Some(open) = &mut self.open else {
            return;
        };
        let by_reader = !open.solution;
        open.exercise = Status::Good;
        open.remark = by_reader.then(|| match answer {
            Some(answer) => joined(language.choose(messages::RIGHT), answer),
            None => language.choose(messages::DONE).to_owned(),
        });
        open.scroll_to(Spot::News);
        if by_reader && let Some(info) = &open.model {
            let solved = Solved {
                answer: answer.map(str::to_owned),
                model: info.sha256.clone(),
            };
            self.progress.solve(&open.lesson, open.page(), solved);
            self.keep_progress();
        }
    }

    /// An answer that was given in an earlier session counts when it is still right.
    fn check_again(&mut self) {
        let language = self.language;
        let Some(open) = &mut self.open else {
            return;
        };
        let solved = self.progress.solution_of(&open.lesson, open.page());
        let (Status::Before, Some(solved), Some(info)) = (&open.exercise, solved, &open.model)
        else {
            return;
        };
        let given = solved.answer.as_deref().unwrap_or_default();
        let Some(is_right) = open.is_right(given) else {
            return;
        };
        let same_model = solved.model == info.sha256;
        let remark = match (is_right, same_model) {
            (true, _) => joined(language.choose(messages::RIGHT_AGAIN), given),
            (false, true) => joined(&format!("“{given}”"), language.choose(messages::NO_LONGER)),
            (false, false) => joined(
                &format!("“{given}”"),
                language.choose(messages::OTHER_MODEL),
            ),
        };
        open.exercise = if is_right { Status::Good } else { Status::Open };
        open.remark = Some(remark);
        // What was right with another model still is there.
        if !is_right && same_model {
            self.progress.forget(&open.lesson, open.page());
            self.keep_progress();
        }
    }

    fn keep_progress(&mut self) {
        if let Err(error) = self.progress.save() {
            self.not_kept(&error);
        }
    }

    fn not_kept(&mut self, error: &ProgressError) {
        let advice = [
            "Lessons can be read all the same; what you solve is not kept.",
            "课程照样可以读；只是做过的不会保存。",
        ];
        self.problem = Some(Failure::new(errors::said(error), advice));
    }
}

/// The request of a page, over its lesson's; the model gives what neither says, but for the sampler, LMS.
pub(super) fn page_request(
    lesson: &RequestPatch,
    page: &RequestPatch,
    info: &ModelInfo,
) -> Request {
    let default = Request {
        scheduler: SchedulerKind::Lms,
        steps: 25,
        ..info.default_request("")
    };
    page.apply(&lesson.apply(&default))
}

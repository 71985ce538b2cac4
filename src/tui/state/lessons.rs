//! Reading a lesson: choosing one, and turning its pages.

use std::sync::Arc;

use super::action::{Action, Typing};
use super::lesson::{Messages, OpenLesson, Scroll, Spot, Status};
use super::{App, Mode, Notice};
use crate::lesson::{Language, Lesson, Library, Progress, ProgressError};
use crate::tui::worker::{Command, Failure};

impl App {
    /// Gives the inspector lessons, in a language, and what was solved of them.
    #[cfg(test)]
    #[must_use]
    pub fn with_lessons(
        mut self,
        library: Library,
        language: Language,
        progress: Progress,
    ) -> Self {
        self.lesson.library = Some(Arc::new(library));
        self.lesson.language = language;
        self.lesson.progress = progress;
        self
    }

    /// The lessons to choose from.
    pub fn lessons(&self) -> Vec<Lesson> {
        let Some(library) = &self.lesson.library else {
            return Vec::new();
        };
        let entries = library.lessons(self.lesson.language);
        let lessons = entries.into_iter();
        lessons
            .filter_map(|entry| entry.lesson.clone().ok())
            .collect()
    }

    /// Opens `lesson` where it was left.
    pub fn begin(&mut self, lesson: Lesson) -> Vec<Command> {
        let page = self.lesson.progress.page(&lesson);
        self.mode = Mode::Browse;
        self.explain = None;
        self.open_page(Arc::new(lesson), page)
    }

    /// Is a lesson being read?
    pub fn is_reading(&self) -> bool {
        self.lesson.open.is_some()
    }

    /// Opens the list of lessons, or closes it.
    pub(super) fn show_lessons(&mut self) {
        if self.lesson.library.is_none() {
            self.lesson.library = Some(Arc::new(Library::embedded()));
            self.lesson.language = Language::of_locale();
            match Progress::open(Progress::default_path()) {
                Ok(progress) => self.lesson.progress = progress,
                Err(error) => self.say_not_kept(&error),
            }
        }
        let current = self.lesson.open.as_ref().map(|reading| &reading.lesson.id);
        let lessons = self.lessons();
        let row = lessons
            .iter()
            .position(|lesson| Some(&lesson.id) == current);
        // The first one that is not done is where a reader goes on.
        let undone = |lesson: &Lesson| {
            let (solved, all) = self.lesson.progress.solved(lesson);
            solved < all || !self.lesson.progress.is_begun(lesson)
        };
        let row = row.or_else(|| lessons.iter().position(undone));
        self.mode = Mode::Lessons(row.unwrap_or(0));
    }

    pub(super) fn choose_lesson(&mut self, action: &Action) -> Vec<Command> {
        let Mode::Lessons(row) = self.mode else {
            return Vec::new();
        };
        let mut lessons = self.lessons();
        match action {
            Action::Up => self.mode = Mode::Lessons(row.saturating_sub(1)),
            Action::Down => {
                self.mode = Mode::Lessons((row + 1).min(lessons.len().saturating_sub(1)));
            }
            Action::Choose if row < lessons.len() => return self.begin(lessons.swap_remove(row)),
            Action::Switch => {
                self.lesson.language = match self.lesson.language {
                    Language::En => Language::Zh,
                    Language::Zh => Language::En,
                };
                self.translate();
            }
            Action::Lessons | Action::Dismiss => self.mode = Mode::Browse,
            _ => {}
        }
        Vec::new()
    }

    /// Puts the lesson that is being read into the language that was chosen, at its page.
    fn translate(&mut self) {
        let Some(id) = self
            .lesson
            .open
            .as_ref()
            .map(|reading| reading.lesson.id.clone())
        else {
            return;
        };
        let found = self.lessons().into_iter().find(|lesson| lesson.id == id);
        if let (Some(lesson), Some(reading)) = (found, &mut self.lesson.open)
            && lesson.pages.len() == reading.lesson.pages.len()
        {
            reading.lesson = Arc::new(lesson);
        }
    }

    fn open_page(&mut self, lesson: Arc<Lesson>, page: usize) -> Vec<Command> {
        let depth = self
            .lesson
            .open
            .as_ref()
            .map(|reading| reading.depth)
            .unwrap_or_default();
        let mut reading = OpenLesson::new(lesson, page, depth);
        let progress = &mut self.lesson.progress;
        if progress
            .solution_of(&reading.lesson, reading.page())
            .is_some()
        {
            reading.exercise = Status::Before;
        }
        progress.turn_to(&reading.lesson.id, reading.page);
        let (request, goto) = (reading.lesson.request.clone(), reading.page().goto.clone());
        self.lesson.open = Some(reading);
        self.keep_progress();
        self.notice = None;
        // Before the model is there, the script waits for it.
        self.go(&request, &goto)
    }

    fn turn_page(&mut self, forward: bool) -> Vec<Command> {
        let Some(reading) = &self.lesson.open else {
            return Vec::new();
        };
        let page = match forward {
            true if reading.has_next() => reading.page + 1,
            false if reading.page > 0 => reading.page - 1,
            _ => return Vec::new(),
        };
        let lesson = Arc::clone(&reading.lesson);
        self.open_page(lesson, page)
    }

    /// Carries out what belongs to a lesson while looking around.
    pub(super) fn in_lesson(&mut self, action: &Action) -> Vec<Command> {
        match action {
            Action::NextPage => return self.turn_page(true),
            Action::PreviousPage => return self.turn_page(false),
            Action::Reset => {
                if let Some(reading) = &self.lesson.open {
                    let (lesson, page) = (Arc::clone(&reading.lesson), reading.page);
                    return self.open_page(lesson, page);
                }
            }
            Action::Check => return self.check(),
            Action::Solution => return self.show_solution(),
            Action::LeaveLesson => {
                self.forget_script();
                self.lesson.open = None;
            }
            _ => {}
        }
        let Some(reading) = &mut self.lesson.open else {
            return Vec::new();
        };
        match action {
            Action::ScrollDown => reading.scrolling = Some(Scroll::PageDown),
            Action::ScrollUp => reading.scrolling = Some(Scroll::PageUp),
            Action::Depth => {
                reading.depth = reading.depth.next();
                reading.scroll = 0;
                self.scroll_to(Spot::Depth);
            }
            Action::Fold => reading.folded = !reading.folded,
            Action::Hint if reading.has_hints() => {
                reading.hints += 1;
                reading.remark = None;
                self.scroll_to(Spot::News);
            }
            _ => {}
        }
        Vec::new()
    }

    /// Scrolls the page so that `spot` is seen.
    pub(super) fn scroll_to(&mut self, spot: Spot) {
        if let Some(reading) = &mut self.lesson.open {
            reading.scrolling = Some(Scroll::To(spot));
        }
    }

    /// What the pane says of itself.
    pub(super) fn words(&self) -> &'static Messages {
        Messages::of(self.lesson.language)
    }

    pub(super) fn remark(&mut self, words: &str) {
        if let Some(reading) = &mut self.lesson.open {
            reading.remark = Some(words.to_owned());
        }
        self.scroll_to(Spot::News);
    }

    pub(super) fn keep_progress(&mut self) {
        if let Err(error) = self.lesson.progress.save() {
            self.say_not_kept(&error);
        }
    }

    fn say_not_kept(&mut self, error: &ProgressError) {
        self.notice = Some(Notice::Failed(Failure {
            what: error.to_string(),
            advice: "Lessons can be read all the same; what you solve is not kept.".to_owned(),
        }));
    }

    /// Does the reader, with `action`, do something to a run, so that nothing else may be done to it any more?
    pub(super) fn takes_over(&self, action: &Action) -> bool {
        match self.mode {
            Mode::Browse | Mode::Place => {
                matches!(action, Action::Run | Action::Cancel | Action::PlayPause)
            }
            Mode::Edit(_) | Mode::Weight(_) => *action == Action::Type(Typing::Submit),
            Mode::Runs(_) => *action == Action::Choose,
            _ => false,
        }
    }
}

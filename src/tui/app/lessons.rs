//! Reading a lesson: pages, hints, answers, and what became of them.

use std::sync::Arc;

use super::{App, Mode, Notice};
use crate::lesson::filter::{Failed, Value};
use crate::lesson::{
    ExerciseKind, Form, Language, Lesson, Library, Progress, ProgressError, Verdict,
};
use crate::tui::action::{Action, Typing};
use crate::tui::editor::LineEditor;
use crate::tui::lesson::{Purpose, Reading, Standing, Words};
use crate::tui::run::RunState;
use crate::tui::screen;
use crate::tui::worker::{Command, Failure, Inquiry};

impl App {
    /// Gives the inspector lessons, in a language, and what was solved of them.
    pub fn with_lessons(
        mut self,
        library: Library,
        language: Language,
        progress: Progress,
    ) -> Self {
        self.classroom.library = Some(Arc::new(library));
        self.classroom.language = language;
        self.classroom.progress = progress;
        self
    }

    /// The lessons to choose from.
    pub fn lessons(&self) -> Vec<Lesson> {
        let Some(library) = &self.classroom.library else {
            return Vec::new();
        };
        let entries = library.lessons(self.classroom.language);
        let lessons = entries.into_iter();
        lessons
            .filter_map(|entry| entry.lesson.clone().ok())
            .collect()
    }

    /// Opens `lesson` where it was left.
    pub fn begin(&mut self, lesson: Lesson) -> Vec<Command> {
        let page = self.classroom.progress.page(&lesson);
        self.mode = Mode::Browse;
        self.explain = None;
        self.open_page(Arc::new(lesson), page)
    }

    /// Is a lesson being read?
    pub fn is_reading(&self) -> bool {
        self.classroom.reading.is_some()
    }

    /// Opens the list of lessons, or closes it.
    pub(super) fn show_lessons(&mut self) {
        if self.classroom.library.is_none() {
            self.classroom.library = Some(Arc::new(Library::embedded()));
            self.classroom.language = Language::of_locale();
            match Progress::open(Progress::default_path()) {
                Ok(progress) => self.classroom.progress = progress,
                Err(error) => self.say_not_kept(&error),
            }
        }
        let current = self
            .classroom
            .reading
            .as_ref()
            .map(|reading| &reading.lesson.id);
        let lessons = self.lessons();
        let row = lessons
            .iter()
            .position(|lesson| Some(&lesson.id) == current);
        // The first one that is not done is where a reader goes on.
        let undone = |lesson: &Lesson| {
            let (solved, all) = self.classroom.progress.solved(lesson);
            solved < all || !self.classroom.progress.is_begun(lesson)
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
                self.classroom.language = match self.classroom.language {
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
            .classroom
            .reading
            .as_ref()
            .map(|reading| reading.lesson.id.clone())
        else {
            return;
        };
        let found = self.lessons().into_iter().find(|lesson| lesson.id == id);
        if let (Some(lesson), Some(reading)) = (found, &mut self.classroom.reading)
            && lesson.pages.len() == reading.lesson.pages.len()
        {
            reading.lesson = Arc::new(lesson);
        }
    }

    fn open_page(&mut self, lesson: Arc<Lesson>, page: usize) -> Vec<Command> {
        let depth = self
            .classroom
            .reading
            .as_ref()
            .map(|reading| reading.depth)
            .unwrap_or_default();
        let mut reading = Reading::new(lesson, page, depth);
        let digest = reading.page().digest();
        let progress = &mut self.classroom.progress;
        if digest.is_some_and(|digest| progress.answer(&reading.lesson.id, &digest).is_some()) {
            reading.exercise = Standing::Before;
        }
        progress.turn_to(&reading.lesson.id, reading.page);
        let (request, goto) = (reading.lesson.request.clone(), reading.page().goto.clone());
        self.classroom.reading = Some(reading);
        self.keep_progress();
        self.notice = None;
        // Before the model is there, the errand waits for it.
        self.go(&request, &goto)
    }

    fn turn_page(&mut self, forward: bool) -> Vec<Command> {
        let Some(reading) = &self.classroom.reading else {
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
                if let Some(reading) = &self.classroom.reading {
                    let (lesson, page) = (Arc::clone(&reading.lesson), reading.page);
                    return self.open_page(lesson, page);
                }
            }
            Action::Check => return self.check(),
            Action::Solution => return self.show_solution(),
            Action::LeaveLesson => {
                self.forget_errands();
                self.classroom.reading = None;
            }
            _ => {}
        }
        let (size, language) = (self.size, self.classroom.language);
        let Some(reading) = &mut self.classroom.reading else {
            return Vec::new();
        };
        let pane = screen::lesson_pane(size, reading, language);
        let last = pane.last_scroll(reading, language);
        let rows = pane.rows().saturating_sub(1).max(1);
        match action {
            Action::ScrollDown => reading.scroll = (reading.scroll + rows).min(last),
            Action::ScrollUp => reading.scroll = reading.scroll.min(last).saturating_sub(rows),
            Action::Depth => {
                reading.depth = reading.depth.next();
                reading.scroll = 0;
            }
            Action::Fold => reading.folded = !reading.folded,
            Action::Hint if reading.has_hints() => {
                reading.hints += 1;
                self.scroll_to_end();
            }
            _ => {}
        }
        Vec::new()
    }

    /// What was just said stands at the end of the page.
    fn scroll_to_end(&mut self) {
        let language = self.classroom.language;
        if let Some(reading) = &mut self.classroom.reading {
            let pane = screen::lesson_pane(self.size, reading, language);
            reading.scroll = pane.last_scroll(reading, language);
        }
    }

    /// Looks after a task, or asks for the answer to a question.
    fn check(&mut self) -> Vec<Command> {
        let Some(reading) = &mut self.classroom.reading else {
            return Vec::new();
        };
        if !reading.is_open() {
            return Vec::new();
        }
        if reading.is_question() {
            self.mode = Mode::Answer(LineEditor::default());
            return Vec::new();
        }
        if self.is_advancing_run() {
            let words = self.words().running;
            self.remark(words);
            return Vec::new();
        }
        self.inquire(Purpose::Asking)
    }

    fn is_advancing_run(&self) -> bool {
        let state = self.run_state();
        !matches!(
            state,
            Some(RunState::Done | RunState::Paused | RunState::Cancelled)
        ) || !self.errands.is_empty()
    }

    /// What the pane says of itself.
    fn words(&self) -> &'static Words {
        Words::of(self.classroom.language)
    }

    fn remark(&mut self, words: &str) {
        if let Some(reading) = &mut self.classroom.reading {
            reading.remark = Some(words.to_owned());
        }
        self.scroll_to_end();
    }

    /// Shows the solution; that of a task is done, too.
    fn show_solution(&mut self) -> Vec<Command> {
        let Some(reading) = &mut self.classroom.reading else {
            return Vec::new();
        };
        let Some(exercise) = &reading.page().exercise else {
            return Vec::new();
        };
        let acts = match &exercise.kind {
            ExerciseKind::Task { solution, .. } if !reading.solution => solution.clone(),
            _ => Vec::new(),
        };
        reading.solution = true;
        let commands = self.act(&acts);
        self.scroll_to_end();
        commands
    }

    /// While an answer is typed.
    pub(super) fn answer(&mut self, action: &Action) -> Vec<Command> {
        let Mode::Answer(line) = &mut self.mode else {
            return Vec::new();
        };
        match action {
            Action::Dismiss => self.mode = Mode::Browse,
            Action::Type(Typing::Submit) => {
                let typed = line.text().trim().to_owned();
                self.mode = Mode::Browse;
                if !typed.is_empty() {
                    self.judge(&typed);
                }
            }
            Action::Type(typing) => line.apply(typing),
            _ => {}
        }
        Vec::new()
    }

    /// Says what `typed` is worth as an answer to the page's question.
    fn judge(&mut self, typed: &str) {
        let Some(reading) = &self.classroom.reading else {
            return;
        };
        let Some(ExerciseKind::Question { form, .. }) = reading
            .page()
            .exercise
            .as_ref()
            .map(|exercise| &exercise.kind)
        else {
            return;
        };
        let verdict = match &reading.answer {
            None => {
                let words = self.words().running;
                return self.remark(words);
            }
            Some(Ok(value)) => form.verdict(typed, value),
            Some(Err(failed)) => Err(failed.clone()),
        };
        let words = self.words();
        let remark = match verdict {
            Ok(Verdict::Right) => return self.solved(Some(typed)),
            Ok(Verdict::Wrong) => format!("“{typed}” {} {}", words.wrong, words.help),
            Ok(Verdict::Unreadable) => {
                let expected = match form {
                    Form::Number(_) => words.number,
                    Form::Word => words.word,
                    Form::Choice(_) => words.choice,
                };
                format!("“{typed}”: {expected}")
            }
            Err(failed) => format!("{} {failed}", words.unknown),
        };
        self.remark(&remark);
    }

    /// The exercise of the page is solved.
    fn solved(&mut self, answer: Option<&str>) {
        let words = self.words();
        let Some(reading) = &mut self.classroom.reading else {
            return;
        };
        let by_reader = !reading.solution;
        reading.exercise = Standing::Good;
        reading.remark = by_reader.then(|| match answer {
            Some(answer) => format!("{} {answer}", words.right),
            None => words.done.to_owned(),
        });
        if by_reader && let Some(digest) = reading.page().digest() {
            let lesson = reading.lesson.id.clone();
            self.classroom.progress.solve(&lesson, &digest, answer);
            self.keep_progress();
        }
        self.scroll_to_end();
    }

    fn keep_progress(&mut self) {
        if let Err(error) = self.classroom.progress.save() {
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

    /// Is the run of the page that is read on the screen, and done?
    fn is_at_page(&self) -> bool {
        let (Some(reading), Some(run)) = (&self.classroom.reading, &self.run) else {
            return false;
        };
        let request = self.request_of(&reading.lesson.request, &reading.page().goto.request);
        run.state == RunState::Done
            && run.origin.is_none()
            && request.as_ref() == Some(&run.trace.request)
    }

    /// What a page wants to know now: when it has been opened, and when the reader did something.
    pub(super) fn look_after_lesson(&mut self) -> Vec<Command> {
        if let Some(problem) = self.errands.take_problem() {
            if let Some(reading) = &mut self.classroom.reading {
                reading.opened = true;
            }
            let remark = format!("{} {problem}", self.words().nowhere);
            self.remark(&remark);
        }
        let advancing = self.is_advancing_run();
        let Some(reading) = &self.classroom.reading else {
            return Vec::new();
        };
        if reading.asked.is_some() || advancing {
            return Vec::new();
        }
        if !reading.opened {
            return if self.is_at_page() {
                self.inquire(Purpose::Opening)
            } else {
                Vec::new()
            };
        }
        let watches = reading.is_open() && !reading.is_question();
        if watches && reading.seen.as_ref() != Some(&self.sight()) {
            return self.inquire(Purpose::Watching);
        }
        Vec::new()
    }

    /// What the reader looks at, to notice when it changes.
    fn sight(&self) -> String {
        let run = self.run.as_ref();
        let steps = run.map(|run| (run.id, run.trace.steps.len()));
        format!("{:?} {steps:?} {:?}", self.selection(), self.compared)
    }

    /// Has the page's filters worked out.
    fn inquire(&mut self, purpose: Purpose) -> Vec<Command> {
        let sight = self.sight();
        let Some(facts) = self.facts() else {
            return Vec::new();
        };
        let Some(reading) = &mut self.classroom.reading else {
            return Vec::new();
        };
        let page = reading.page();
        let exercise = page.exercise.as_ref().map(|exercise| match &exercise.kind {
            ExerciseKind::Task { done, .. } => done.clone(),
            ExerciseKind::Question { answer, .. } => answer.clone(),
        });
        let mut filters = Vec::new();
        if purpose == Purpose::Opening {
            filters.extend(page.claims.iter().map(|claim| claim.filter.clone()));
        }
        filters.extend(exercise);
        reading.seen = Some(sight);
        if purpose == Purpose::Opening {
            reading.opened = true;
        }
        if filters.is_empty() {
            return Vec::new();
        }
        self.inquiries += 1;
        reading.asked = Some((self.inquiries, purpose));
        vec![Command::Inquire(Box::new(Inquiry {
            number: self.inquiries,
            facts,
            filters,
        }))]
    }

    /// Takes in what the page's filters gave.
    pub(super) fn take_answers(&mut self, number: u64, mut values: Vec<Result<Value, Failed>>) {
        let Some(reading) = &mut self.classroom.reading else {
            return;
        };
        let Some((asked, purpose)) = reading.asked else {
            return;
        };
        // The reader has turned the page.
        if asked != number {
            return;
        }
        reading.asked = None;
        if purpose == Purpose::Opening {
            let claims = reading.claims.len().min(values.len());
            let told = values.drain(..claims).map(|value| match value {
                Ok(Value::Bool(true)) => Standing::Good,
                Ok(value) => Standing::Bad(format!("it gives {value}")),
                Err(failed) => Standing::Bad(failed.to_string()),
            });
            reading.claims = told.collect();
        }
        let Some(value) = values.pop() else {
            return;
        };
        if reading.is_question() {
            reading.answer = Some(value);
            self.check_again();
            return;
        }
        match (value, purpose) {
            (Ok(Value::Bool(true)), Purpose::Watching | Purpose::Asking) => self.solved(None),
            // Done at once: then there is nothing to do, and nothing was done by the reader.
            (_, Purpose::Opening | Purpose::Watching) => {}
            (_, Purpose::Asking) => {
                let words = self.words();
                let remark = format!("{} {}", words.not_yet, words.help);
                self.remark(&remark);
            }
        }
    }

    /// An answer that was given in an earlier sitting counts when it is still right.
    fn check_again(&mut self) {
        let Some(reading) = &mut self.classroom.reading else {
            return;
        };
        let (Standing::Before, Some(Ok(value)), Some(digest)) =
            (&reading.exercise, &reading.answer, reading.page().digest())
        else {
            return;
        };
        let Some(ExerciseKind::Question { form, .. }) = reading
            .page()
            .exercise
            .as_ref()
            .map(|exercise| &exercise.kind)
        else {
            return;
        };
        let lesson = reading.lesson.id.clone();
        let given = self.classroom.progress.answer(&lesson, &digest).flatten();
        let is_right = given.is_some_and(|given| form.verdict(given, value) == Ok(Verdict::Right));
        if is_right {
            reading.exercise = Standing::Good;
        } else {
            reading.exercise = Standing::Open;
            self.classroom.progress.forget(&lesson, &digest);
            self.keep_progress();
        }
    }
}

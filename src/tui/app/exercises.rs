//! The claims and the exercise of a page: asked of the run, and judged.

use super::{App, Mode};
use crate::lesson::filter::{Failed, Value};
use crate::lesson::{ExerciseKind, Form, Verdict};
use crate::tui::action::{Action, Typing};
use crate::tui::editor::LineEditor;
use crate::tui::lesson::{Purpose, Standing};
use crate::tui::run::RunState;
use crate::tui::worker::{Command, Inquiry};

impl App {
    /// Looks after a task, or asks for the answer to a question.
    pub(super) fn check(&mut self) -> Vec<Command> {
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

    /// Shows the solution; that of a task is done, too.
    pub(super) fn show_solution(&mut self) -> Vec<Command> {
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

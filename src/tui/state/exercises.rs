//! The claims and the exercise of a page: asked of the run, and judged.

use std::sync::Arc;

use super::action::Action;
use super::editor::LineEditor;
use super::lesson::{Here, Purpose, Spot, Status, joined};
use super::run::RunState;
use super::{App, Mode};
use crate::lesson::filter::{FilterError, Value};
use crate::lesson::{ExerciseKind, Form, Solved, Verdict};
use crate::tui::worker::{Command, Inquiry};

impl App {
    /// Looks after a task, or asks for the answer to a question.
    pub(super) fn check(&mut self) -> Vec<Command> {
        let Some(reading) = &mut self.lesson.open else {
            return Vec::new();
        };
        if !reading.is_open() {
            return Vec::new();
        }
        if reading.is_question() {
            self.mode = Mode::Answer(LineEditor::default());
            self.scroll_to(Spot::Exercise);
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
        ) || !self.script.is_empty()
    }

    /// Shows the solution; that of a task is done, too.
    pub(super) fn show_solution(&mut self) -> Vec<Command> {
        let Some(reading) = &mut self.lesson.open else {
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
        reading.remark = None;
        let commands = self.act(&acts);
        self.scroll_to(Spot::News);
        commands
    }

    /// While an answer is typed.
    pub(super) fn answer(&mut self, action: &Action) -> Vec<Command> {
        if let Some(typed) = self.type_line(action)
            && !typed.is_empty()
        {
            self.judge(&typed);
        }
        Vec::new()
    }

    /// Says what `typed` is worth as an answer to the page's question.
    fn judge(&mut self, typed: &str) {
        let Some(reading) = &self.lesson.open else {
            return;
        };
        let Some(form) = reading.form() else {
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
            Ok(Verdict::Wrong) => {
                let remark = joined(&format!("“{typed}”"), words.wrong);
                joined(&remark, self.more_help())
            }
            Ok(Verdict::Unreadable) => {
                let expected = match form {
                    Form::Number(_) => words.number,
                    Form::Word => words.word,
                    Form::Choice(_) => words.choice,
                };
                joined(&format!("“{typed}”"), expected)
            }
            Err(failed) => joined(words.unknown, &failed.to_string()),
        };
        self.remark(&remark);
    }

    /// Where the reader finds more help, as long as there is some.
    fn more_help(&self) -> &'static str {
        let words = self.words();
        match &self.lesson.open {
            Some(reading) if reading.has_hints() => words.hint,
            Some(reading) if !reading.solution => words.solution,
            _ => "",
        }
    }

    /// The exercise of the page is solved.
    fn solved(&mut self, answer: Option<&str>) {
        let words = self.words();
        let Some(reading) = &mut self.lesson.open else {
            return;
        };
        let by_reader = !reading.solution;
        reading.exercise = Status::Good;
        reading.remark = by_reader.then(|| match answer {
            Some(answer) => joined(words.right, answer),
            None => words.done.to_owned(),
        });
        let model = reading.model.as_ref().map(|info| info.sha256.clone());
        if by_reader && let Some(model) = model {
            let solved = Solved {
                answer: answer.map(str::to_owned),
                model,
            };
            let progress = &mut self.lesson.progress;
            progress.solve(&reading.lesson, reading.page(), solved);
            self.keep_progress();
        }
        self.scroll_to(Spot::News);
    }

    /// Is the run of the page that is read on the screen, and done?
    fn is_at_page(&self) -> bool {
        let (Some(reading), Some(run)) = (&self.lesson.open, &self.run) else {
            return false;
        };
        let request = self.request_of(&reading.lesson.request, &reading.page().goto.request);
        run.state == RunState::Done
            && run.origin.is_none()
            && request.as_ref() == Some(&run.trace.request)
    }

    /// What a page wants to know now: when it has been opened, and when the reader did something.
    pub(super) fn look_after_lesson(&mut self) -> Vec<Command> {
        if let Some(problem) = self.script.take_problem() {
            if let Some(reading) = &mut self.lesson.open {
                reading.opened = true;
            }
            let remark = joined(self.words().nowhere, &problem);
            self.remark(&remark);
        }
        let advancing = self.is_advancing_run();
        let Some(reading) = &self.lesson.open else {
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
        let (Some(facts), Some(run)) = (self.facts(), &self.run) else {
            return Vec::new();
        };
        let model = Arc::clone(&run.info);
        let Some(reading) = &mut self.lesson.open else {
            return Vec::new();
        };
        reading.model = Some(model);
        let page = reading.page();
        let exercise = page.exercise.as_ref().map(|exercise| match &exercise.kind {
            ExerciseKind::Task { done, .. } => done.clone(),
            ExerciseKind::Question { answer, .. } => answer.clone(),
        });
        let mut filters = Vec::new();
        if purpose == Purpose::Opening {
            // With another model than a claim's own it is asked what there is instead, where the claim says how.
            let asked = page.claims.iter().map(|claim| {
                let here = reading.elsewhere(&claim.subject).and(claim.here.as_ref());
                here.unwrap_or(&claim.filter).clone()
            });
            filters.extend(asked);
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
    pub(super) fn take_answers(
        &mut self,
        number: u64,
        mut values: Vec<Result<Value, FilterError>>,
    ) {
        let words = self.words();
        let Some(reading) = &mut self.lesson.open else {
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
            let told = values.drain(..claims).enumerate().map(|(index, value)| {
                match (value, reading.page().claims.get(index)) {
                    (value, Some(claim)) if reading.elsewhere(&claim.subject).is_some() => {
                        Status::Elsewhere(here(value))
                    }
                    (Ok(Value::Bool(true)), _) => Status::Good,
                    (Ok(value), _) => Status::Bad(joined(words.gives, &value.to_string())),
                    (Err(failed), _) => Status::Bad(failed.to_string()),
                }
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
                let remark = joined(words.not_yet, self.more_help());
                self.remark(&remark);
            }
        }
    }

    /// An answer that was given in an earlier sitting counts when it is still right.
    fn check_again(&mut self) {
        let words = self.words();
        let Some(reading) = &mut self.lesson.open else {
            return;
        };
        let (Status::Before, Some(Ok(value)), Some(form), Some(model)) = (
            &reading.exercise,
            &reading.answer,
            reading.form(),
            &reading.model,
        ) else {
            return;
        };
        let progress = &mut self.lesson.progress;
        let Some(solved) = progress.solution_of(&reading.lesson, reading.page()) else {
            return;
        };
        let given = solved.answer.as_deref().unwrap_or_default();
        let is_right = form.verdict(given, value) == Ok(Verdict::Right);
        let same_model = solved.model == model.sha256;
        let remark = match (is_right, same_model) {
            (true, _) => joined(words.right_again, given),
            (false, true) => joined(&format!("“{given}”"), words.no_longer),
            (false, false) => joined(&format!("“{given}”"), words.other_model),
        };
        reading.exercise = if is_right { Status::Good } else { Status::Open };
        reading.remark = Some(remark);
        // What was right with another model still is there.
        if !is_right && same_model {
            progress.forget(&reading.lesson, reading.page());
            self.keep_progress();
        }
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

//! Goes through a lesson as a reader would, and finds out whether all is so.

use super::{Findings, Inspector};
use crate::generation::ModelInfo;
use crate::lesson::filter::{Filter, FilterError, Input, Value};
use crate::lesson::{Exercise, ExerciseKind, Lesson, Page, Problem, Subject, Verdict};

/// Adds to `findings` what is wrong with `lesson`, which is in `file`.
pub fn walk(file: &str, lesson: &Lesson, inspector: &mut dyn Inspector, findings: &mut Findings) {
    let model = match inspector.model() {
        Ok(model) => model,
        Err(why) => {
            let problem = Problem::new(file, 1, why.to_string());
            return findings.problems.push(problem);
        }
    };
    let mut walk = Walk {
        file,
        lesson,
        inspector,
        model: &model,
        findings,
    };
    for (index, page) in lesson.pages.iter().enumerate() {
        walk.page(index, page);
    }
}

struct Walk<'a> {
    file: &'a str,
    lesson: &'a Lesson,
    inspector: &'a mut dyn Inspector,
    model: &'a ModelInfo,
    findings: &'a mut Findings,
}

impl Walk<'_> {
    fn problem(&mut self, line: usize, message: String) {
        let problem = Problem::new(self.file, line, message);
        self.findings.problems.push(problem);
    }

    /// Is it about another model than the one that is open? Then it is neither so nor not so, and only counted.
    fn is_left_out(&mut self, subject: &Subject) -> bool {
        let left_out = !subject.covers(self.model);
        if left_out {
            self.findings.left_out += 1;
            self.findings.subjects.insert(subject.name().to_owned());
        }
        left_out
    }

    fn page(&mut self, index: usize, page: &Page) {
        let mut subjects = page.claims.iter().map(|claim| &claim.subject);
        let is_here = self.lesson.subject.covers(self.model);
        let has_here = subjects.any(|subject| subject.covers(self.model));
        let exercise = page.exercise.as_ref();
        let is_done_here = exercise.is_some_and(|exercise| exercise.subject.covers(self.model));
        if !is_here && !has_here && !is_done_here {
            // Nothing on the page is about this model: a run, which may take long, would show nothing.
            for claim in &page.claims {
                self.is_left_out(&claim.subject);
            }
            if let Some(exercise) = exercise {
                self.is_left_out(&exercise.subject);
            }
            return;
        }
        if let Err(why) = self.inspector.open(self.lesson, index) {
            self.problem(page.goto_line, format!("the page cannot be opened: {why}"));
            return;
        }
        for text in &page.goto.highlight {
            // What another model shows has other figures.
            if is_here && !self.inspector.shows(text) {
                let message = format!("“{text}” is to be highlighted, and is not on the screen");
                self.problem(page.goto_line, message);
            }
        }
        let input = match self.inspector.input() {
            Ok(input) => input,
            Err(why) => {
                self.problem(page.line, why.to_string());
                return;
            }
        };
        for claim in &page.claims {
            if let Some(here) = &claim.here {
                self.here(claim.line, here, &input);
            }
            if self.is_left_out(&claim.subject) {
                continue;
            }
            if let Some(why) = objection(&claim.filter, &input) {
                self.problem(claim.line, format!("the claim does not hold: {why}"));
            }
        }
        if let Some(exercise) = &page.exercise
            && !self.is_left_out(&exercise.subject)
        {
            self.exercise(exercise, &input);
        }
    }

    /// Does `filter` give something that can be shown in the place of a claim about another model?
    fn here(&mut self, line: usize, filter: &Filter, input: &Input) {
        match filter.run(input) {
            Ok(Value::Bool(_) | Value::Number(_) | Value::Text(_)) => {}
            Ok(value) => {
                let message = format!("`here` gives {value}; a number or a text was expected");
                self.problem(line, message);
            }
            Err(why) => self.problem(line, format!("`here`: {why}")),
        }
    }

    fn exercise(&mut self, exercise: &Exercise, input: &Input) {
        match &exercise.kind {
            ExerciseKind::Task { done, solution } => {
                match done.run(input) {
                    Ok(Value::Bool(true)) => {
                        let message = "the task is done already when its page is opened";
                        self.problem(exercise.line, message.to_owned());
                    }
                    // What there is not yet may well be an error before the task is done.
                    Ok(Value::Bool(false)) | Err(FilterError::Error(_) | FilterError::Count(_)) => {
                    }
                    Ok(value) => {
                        let message = format!("`done` gives {value}; true or false was expected");
                        self.problem(exercise.line, message);
                    }
                    Err(limit) => self.problem(exercise.line, format!("`done`: {limit}")),
                }
                for (index, action) in solution.iter().enumerate() {
                    if let Err(why) = self.inspector.act(action) {
                        let message = format!("action {} of the solution: {why}", index + 1);
                        self.problem(exercise.line, message);
                        return;
                    }
                }
                let objection = match self.inspector.input() {
                    Ok(input) => objection(done, &input),
                    Err(why) => Some(why.to_string()),
                };
                if let Some(why) = objection {
                    let message = format!("the solution does not do the task: {why}");
                    self.problem(exercise.line, message);
                }
            }
            ExerciseKind::Question {
                answer,
                form,
                wrong,
            } => {
                let value = answer.run(input);
                let right = value.clone().and_then(|value| form.answer(&value));
                let (value, right) = match (value, right) {
                    (Ok(value), Ok(right)) => (value, right),
                    (Err(why), _) | (_, Err(why)) => {
                        self.problem(exercise.line, format!("the answer: {why}"));
                        return;
                    }
                };
                if form.verdict(&right, &value) != Ok(Verdict::Right) {
                    let message = format!("the answer, {right}, is not accepted");
                    self.problem(exercise.line, message);
                }
                let mut wrong_ones = form.wrong_ones(&value);
                wrong_ones.extend(wrong.clone());
                for wrong in wrong_ones {
                    if form.verdict(&wrong, &value) == Ok(Verdict::Right) {
                        let message = format!("“{wrong}” is accepted, and is wrong: it is {right}");
                        self.problem(exercise.line, message);
                    }
                }
            }
        }
    }
}

/// Why `filter` does not give `true`, if it does not.
fn objection(filter: &Filter, input: &Input) -> Option<String> {
    match filter.run(input) {
        Ok(Value::Bool(true)) => None,
        Ok(value) => Some(format!("the filter gives {value}; true was expected")),
        Err(error) => Some(error.to_string()),
    }
}

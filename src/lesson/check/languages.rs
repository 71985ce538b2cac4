//! Are the languages in step?

use crate::lesson::filter::Filter;
use crate::lesson::{
    Claim, Entry, Exercise, ExerciseKind, Form, Language, Lesson, Library, Page, Problem, Subject,
};

/// Where lessons of the same name differ in more than their words. A library in one language is in step with itself.
pub fn differences(library: &Library) -> Vec<Problem> {
    let of = |language: Language| {
        let entries = library.entries.iter();
        entries.filter(move |entry| entry.language == language)
    };
    let mut problems = Vec::new();
    let [first, second] = Language::ALL;
    if of(first).next().is_none() || of(second).next().is_none() {
        return problems;
    }
    for (language, other) in [(first, second), (second, first)] {
        for entry in of(language) {
            let Some(translation) = of(other).find(|there| there.name() == entry.name()) else {
                problems.push(Problem {
                    file: entry.file.clone(),
                    line: 1,
                    message: format!(
                        "there is no translation; expected {}/{}",
                        other.code(),
                        entry.name()
                    ),
                });
                continue;
            };
            if language == first
                && let (Ok(lesson), Ok(theirs)) = (&entry.lesson, &translation.lesson)
            {
                Languages {
                    entry,
                    translation,
                    problems: &mut problems,
                }
                .lessons(lesson, theirs);
            }
        }
    }
    problems
}

struct Languages<'a> {
    entry: &'a Entry,
    translation: &'a Entry,
    problems: &'a mut Vec<Problem>,
}

impl Languages<'_> {
    /// Says that `what` is not the same, at the line of the translation.
    fn same<T: PartialEq>(&mut self, line: usize, what: &str, ours: &T, theirs: &T) {
        if ours != theirs {
            self.problems.push(Problem {
                file: self.translation.file.clone(),
                line,
                message: format!("{what} not as in {}", self.entry.file),
            });
        }
    }

    fn lessons(&mut self, ours: &Lesson, theirs: &Lesson) {
        self.same(2, "the id is", &ours.id, &theirs.id);
        self.same(4, "the minutes are", &ours.minutes, &theirs.minutes);
        self.same(4, "the model is", &ours.subject, &theirs.subject);
        self.same(5, "[request] is", &ours.request, &theirs.request);
        let pages = |lesson: &Lesson| lesson.pages.len();
        if pages(ours) != pages(theirs) {
            let message = format!(
                "the lesson has {} pages; {} has {}",
                pages(theirs),
                self.entry.file,
                pages(ours)
            );
            self.problems.push(Problem {
                file: self.translation.file.clone(),
                line: 1,
                message,
            });
            return;
        }
        for (ours, theirs) in ours.pages.iter().zip(&theirs.pages) {
            self.pages(ours, theirs);
        }
    }

    fn pages(&mut self, ours: &Page, theirs: &Page) {
        let depths = |page: &Page| page.prose.depths.each_ref().map(Option::is_some);
        self.same(
            theirs.line,
            "the page's depths are",
            &depths(ours),
            &depths(theirs),
        );
        self.same(theirs.goto_line, "goto is", &ours.goto, &theirs.goto);
        let codes = |claims: &[Claim]| -> Vec<(String, Option<String>)> {
            let code = |filter: &Filter| filter.code().trim().to_owned();
            let codes = claims
                .iter()
                .map(|claim| (code(&claim.filter), claim.here.as_ref().map(code)));
            codes.collect()
        };
        let models = |page: &Page| -> Vec<Subject> {
            let claims = page.claims.iter().map(|claim| &claim.subject);
            let exercise = page.exercise.iter().map(|exercise| &exercise.subject);
            claims.chain(exercise).cloned().collect()
        };
        let line = theirs
            .claims
            .first()
            .map_or(theirs.line, |claim| claim.line);
        self.same(
            line,
            "the claims' filters are",
            &codes(&ours.claims),
            &codes(&theirs.claims),
        );
        self.same(
            line,
            "the models that claims and exercise are about are",
            &models(ours),
            &models(theirs),
        );
        match (&ours.exercise, &theirs.exercise) {
            (Some(ours), Some(theirs)) => self.exercises(ours, theirs),
            (None, None) => {}
            (_, there) => {
                let line = there.as_ref().map_or(theirs.line, |exercise| exercise.line);
                self.same(
                    line,
                    "whether there is a task or a question is",
                    &true,
                    &false,
                );
            }
        }
    }

    fn exercises(&mut self, ours: &Exercise, theirs: &Exercise) {
        let line = theirs.line;
        let hints = |exercise: &Exercise| exercise.hints.len();
        self.same(line, "the number of hints is", &hints(ours), &hints(theirs));
        match (&ours.kind, &theirs.kind) {
            (
                ExerciseKind::Task { done, solution },
                ExerciseKind::Task {
                    done: their_done,
                    solution: their_solution,
                },
            ) => {
                self.same(
                    line,
                    "the filter `done` is",
                    &done.code().trim(),
                    &their_done.code().trim(),
                );
                self.same(line, "the solution is", solution, their_solution);
            }
            (
                ExerciseKind::Question { answer, form, .. },
                ExerciseKind::Question {
                    answer: their_answer,
                    form: their_form,
                    ..
                },
            ) => {
                let codes = (answer.code().trim(), their_answer.code().trim());
                self.same(line, "the filter `answer` is", &codes.0, &codes.1);
                let alike = match (form, their_form) {
                    (Form::Choice(ours), Form::Choice(theirs)) => ours.len() == theirs.len(),
                    (ours, theirs) => ours == theirs,
                };
                self.same(line, "the form of the answer is", &alike, &true);
            }
            _ => self.same(line, "whether it is a task or a question is", &true, &false),
        }
    }
}

//! Are the languages in step?

use crate::lesson::filter::Filter;
use crate::lesson::{
    Claim, Entry, Exercise, ExerciseKind, Form, Goto, Language, Lesson, Library, Page, Problem,
    Subject,
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
                let (code, name) = (other.code(), entry.name());
                let message = format!("there is no translation; expected {code}/{name}");
                problems.push(Problem::new(&entry.file, 1, message));
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
            let message = format!("{what} not as in {}", self.entry.file);
            self.problem(line, message);
        }
    }

    fn problem(&mut self, line: usize, message: String) {
        let problem = Problem::new(&self.translation.file, line, message);
        self.problems.push(problem);
    }

    fn lessons(&mut self, ours: &Lesson, theirs: &Lesson) {
        self.same(2, "the id is", &ours.id, &theirs.id);
        self.same(4, "the minutes are", &ours.minutes, &theirs.minutes);
        self.same(4, "the model is", &ours.subject, &theirs.subject);
        self.same(5, "[request] is", &ours.request, &theirs.request);
        let (count, expected) = (theirs.pages.len(), ours.pages.len());
        if count != expected {
            let file = &self.entry.file;
            let message = format!("the lesson has {count} pages; {file} has {expected}");
            return self.problem(1, message);
        }
        for (ours, theirs) in ours.pages.iter().zip(&theirs.pages) {
            self.pages(ours, theirs);
        }
    }

    fn pages(&mut self, ours: &Page, theirs: &Page) {
        let depths = |page: &Page| page.prose.depths.each_ref().map(Option::is_some);
        let what = "the page's depths are";
        self.same(theirs.line, what, &depths(ours), &depths(theirs));
        // What is marked on the screen is in the screen's language.
        let marked = |goto: &Goto| goto.highlight.len();
        let what = "the texts to highlight are";
        self.same(
            theirs.goto_line,
            what,
            &marked(&ours.goto),
            &marked(&theirs.goto),
        );
        let goto = Goto {
            highlight: ours.goto.highlight.clone(),
            ..theirs.goto.clone()
        };
        self.same(theirs.goto_line, "goto is", &ours.goto, &goto);
        let filters = |page: &Page| -> Vec<(String, Option<String>)> {
            let of = |claim: &Claim| (code(&claim.filter), claim.here.as_ref().map(code));
            page.claims.iter().map(of).collect()
        };
        let subjects = |page: &Page| -> Vec<Subject> {
            let claims = page.claims.iter().map(|claim| &claim.subject);
            let exercise = page.exercise.iter().map(|exercise| &exercise.subject);
            claims.chain(exercise).cloned().collect()
        };
        let line = theirs
            .claims
            .first()
            .map_or(theirs.line, |claim| claim.line);
        let what = "the claims' filters are";
        self.same(line, what, &filters(ours), &filters(theirs));
        let what = "the models that claims and exercise are about are";
        self.same(line, what, &subjects(ours), &subjects(theirs));
        match (&ours.exercise, &theirs.exercise) {
            (Some(ours), Some(theirs)) => self.exercises(ours, theirs),
            (None, None) => {}
            (_, there) => {
                let line = there.as_ref().map_or(theirs.line, |exercise| exercise.line);
                let what = "whether there is a task or a question is";
                self.same(line, what, &true, &false);
            }
        }
    }

    fn exercises(&mut self, ours: &Exercise, theirs: &Exercise) {
        use ExerciseKind::{Question, Task};
        let line = theirs.line;
        let (hints, their_hints) = (ours.hints.len(), theirs.hints.len());
        self.same(line, "the number of hints is", &hints, &their_hints);
        match (&ours.kind, &theirs.kind) {
            (
                Task { done, solution },
                Task {
                    done: their_done,
                    solution: their_solution,
                },
            ) => {
                let what = "the filter `done` is";
                self.same(line, what, &code(done), &code(their_done));
                self.same(line, "the solution is", solution, their_solution);
            }
            (
                Question { answer, form, .. },
                Question {
                    answer: their_answer,
                    form: their_form,
                    ..
                },
            ) => {
                let what = "the filter `answer` is";
                self.same(line, what, &code(answer), &code(their_answer));
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

fn code(filter: &Filter) -> String {
    filter.code().trim().to_owned()
}

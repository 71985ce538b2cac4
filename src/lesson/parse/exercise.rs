//! Claims, tasks and questions: blocks of TOML.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::Reader;
use super::blocks::refused;
use crate::lesson::filter::Filter;
use crate::lesson::{Claim, Exercise, ExerciseKind, Form, LessonAction, Subject};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClaim {
    model: Option<Subject>,
    says: Option<Spanned<String>>,
    filter: Spanned<String>,
    here: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTask {
    model: Option<Subject>,
    r#do: Spanned<String>,
    done: Spanned<String>,
    hints: Spanned<Vec<String>>,
    solution: Spanned<Vec<LessonAction>>,
    explanation: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuestion {
    model: Option<Subject>,
    ask: Spanned<String>,
    kind: RawKind,
    answer: Spanned<String>,
    choices: Option<Spanned<Vec<String>>>,
    within: Option<Spanned<f64>>,
    wrong: Option<String>,
    hints: Spanned<Vec<String>>,
    explanation: Spanned<String>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Number,
    Word,
    Choice,
}

impl Reader<'_> {
    pub(super) fn claim(&mut self, line: usize, toml: Range<usize>) -> Option<Claim> {
        let raw: RawClaim = self.toml(toml.clone(), "claim")?;
        if let Some(says) = &raw.says {
            self.check_words(&toml, "says", says);
        }
        let filter = self.filter(&toml, "filter", &raw.filter);
        let here = raw
            .here
            .as_ref()
            .map(|here| self.filter(&toml, "here", here));
        let subject = self.subject_of(raw.model);
        if let (Some(here), Subject::Any) = (&raw.here, &subject) {
            let at = toml.start + here.span().start;
            self.problem(
                at,
                "`here` is shown where another model is open, and the claim is about every one; expected a `model`, too",
            );
        }
        Some(Claim {
            line,
            subject,
            says: raw.says.map(Spanned::into_inner),
            filter: filter?,
            here: here.flatten(),
        })
    }

    pub(super) fn task(&mut self, line: usize, toml: Range<usize>) -> Option<Exercise> {
        let raw: RawTask = self.toml(toml.clone(), "task")?;
        self.check_hints(&toml, &raw.hints);
        self.check_words(&toml, "do", &raw.r#do);
        self.check_words(&toml, "explanation", &raw.explanation);
        if raw.solution.get_ref().is_empty() {
            let at = toml.start + raw.solution.span().start;
            self.problem(
                at,
                "the task's solution is empty; expected the actions that do it",
            );
        }
        Some(Exercise {
            line,
            subject: self.subject_of(raw.model),
            text: raw.r#do.into_inner(),
            kind: ExerciseKind::Task {
                done: self.filter(&toml, "done", &raw.done)?,
                solution: raw.solution.into_inner(),
            },
            hints: raw.hints.into_inner(),
            explanation: raw.explanation.into_inner(),
        })
    }

    pub(super) fn question(&mut self, line: usize, toml: Range<usize>) -> Option<Exercise> {
        let raw: RawQuestion = self.toml(toml.clone(), "question")?;
        self.check_hints(&toml, &raw.hints);
        self.check_words(&toml, "ask", &raw.ask);
        self.check_words(&toml, "explanation", &raw.explanation);
        let answer = self.filter(&toml, "answer", &raw.answer);
        if let Some(within) = &raw.within {
            let at = toml.start + within.span().start;
            if raw.kind != RawKind::Number {
                self.problem(at, "`within` is for questions of kind \"number\" only");
            } else if !within.get_ref().is_finite() || *within.get_ref() < 0.0 {
                self.problem(
                    at,
                    "`within` is how far off an answer may be; expected 0 or more",
                );
            }
        }
        let form = match (raw.kind, raw.choices) {
            (RawKind::Choice, Some(choices)) => {
                self.check_markdown(&toml, "choices", &choices);
                if choices.get_ref().len() < 2 || choices.get_ref().len() > 9 {
                    let at = toml.start + choices.span().start;
                    self.problem(at, "expected two to nine choices");
                }
                Form::Choice(choices.into_inner())
            }
            (RawKind::Choice, None) => {
                let message = "the question is of kind \"choice\" and has no `choices`";
                self.problem(toml.start, message);
                Form::Choice(Vec::new())
            }
            (_, Some(choices)) => {
                let at = toml.start + choices.span().start;
                self.problem(at, "`choices` are for questions of kind \"choice\" only");
                Form::Word
            }
            (RawKind::Number, None) => Form::Number(raw.within.map_or(0.0, Spanned::into_inner)),
            (RawKind::Word, None) => Form::Word,
        };
        Some(Exercise {
            line,
            subject: self.subject_of(raw.model),
            text: raw.ask.into_inner(),
            kind: ExerciseKind::Question {
                answer: answer?,
                form,
                wrong: raw.wrong,
            },
            hints: raw.hints.into_inner(),
            explanation: raw.explanation.into_inner(),
        })
    }

    /// What a block is about: what it says itself, or else what the lesson says.
    fn subject_of(&self, own: Option<Subject>) -> Subject {
        own.unwrap_or_else(|| self.subject.clone())
    }

    fn check_hints(&mut self, toml: &Range<usize>, hints: &Spanned<Vec<String>>) {
        let is_empty = |hint: &String| hint.trim().is_empty();
        if hints.get_ref().is_empty() || hints.get_ref().iter().any(is_empty) {
            let at = toml.start + hints.span().start;
            self.problem(
                at,
                "a hint is missing; expected at least one, and none empty",
            );
        }
        self.check_markdown(toml, "hints", hints);
    }

    fn check_words(&mut self, toml: &Range<usize>, name: &str, words: &Spanned<String>) {
        if words.get_ref().trim().is_empty() {
            self.problem(toml.start, format!("`{name}` is empty"));
        }
        let texts = Spanned::new(words.span(), vec![words.get_ref().clone()]);
        self.check_markdown(toml, name, &texts);
    }

    /// Finds in texts what would not be shown.
    fn check_markdown(&mut self, toml: &Range<usize>, name: &str, texts: &Spanned<Vec<String>>) {
        let written = toml.start + texts.span().start..toml.start + texts.span().end;
        for text in texts.get_ref() {
            for (place, what) in refused(text) {
                // The text is known without its quotes and its escapes: what was found is looked for where it was
                // written.
                let found = &text[place];
                let at = self.text[written.clone()].find(found).unwrap_or(0);
                self.problem(written.start + at, format!("`{name}`: found {what}"));
            }
        }
    }

    fn filter(
        &mut self,
        toml: &Range<usize>,
        name: &str,
        code: &Spanned<String>,
    ) -> Option<Filter> {
        match Filter::parse(code.get_ref()) {
            Ok(filter) => Some(filter),
            Err(bad) => {
                let start = toml.start + code.span().start;
                let written = &self.text[start..];
                // In a text of several lines the first line break does not count.
                let quotes = ["'''", "\"\"\""].map(|quotes| {
                    let rest = written.strip_prefix(quotes);
                    rest.is_some_and(|rest| rest.starts_with(['\n', '\r']))
                });
                let before = &code.get_ref()[..bad.at.min(code.get_ref().len())];
                let lines = before.matches('\n').count() + usize::from(quotes.contains(&true));
                let mut at = start;
                for _ in 0..lines {
                    at += self.text[at..].find('\n').map_or(0, |line| line + 1);
                }
                self.problem(at, format!("the filter `{name}`: {}", bad.message));
                None
            }
        }
    }
}

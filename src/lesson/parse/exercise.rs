//! Claims, tasks and questions: blocks of TOML.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::Reader;
use crate::lesson::filter::Filter;
use crate::lesson::{Act, Claim, Exercise, ExerciseKind, Form};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClaim {
    says: Option<String>,
    filter: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTask {
    r#do: String,
    done: Spanned<String>,
    hints: Spanned<Vec<String>>,
    solution: Spanned<Vec<Act>>,
    explanation: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuestion {
    ask: String,
    kind: RawKind,
    answer: Spanned<String>,
    choices: Option<Spanned<Vec<String>>>,
    within: Option<Spanned<f64>>,
    wrong: Option<String>,
    hints: Spanned<Vec<String>>,
    explanation: String,
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
        Some(Claim {
            line,
            says: raw.says,
            filter: self.filter(&toml, "filter", &raw.filter)?,
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
            words: raw.r#do,
            kind: ExerciseKind::Task {
                done: self.filter(&toml, "done", &raw.done)?,
                solution: raw.solution.into_inner(),
            },
            hints: raw.hints.into_inner(),
            explanation: raw.explanation,
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
            words: raw.ask,
            kind: ExerciseKind::Question {
                answer: answer?,
                form,
                wrong: raw.wrong,
            },
            hints: raw.hints.into_inner(),
            explanation: raw.explanation,
        })
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
    }

    fn check_words(&mut self, toml: &Range<usize>, name: &str, words: &str) {
        if words.trim().is_empty() {
            self.problem(toml.start, format!("`{name}` is empty"));
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

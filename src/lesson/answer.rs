//! Answers: what a reader types, against what a filter works out.

use super::Form;
use super::filter::{FilterError, Value};

/// What an answer is worth.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Right,
    Wrong,
    /// It is no answer of this form.
    Unreadable,
}

impl Form {
    /// The answer that `value` stands for, as a reader would type it.
    ///
    /// # Errors
    /// A value that is no answer of this form.
    pub fn answer(&self, value: &Value) -> Result<String, FilterError> {
        let wrong = |expected: &str| {
            let message = format!("it gives {value}; expected {expected}");
            Err(FilterError::Error(message))
        };
        match (self, value) {
            (Self::Number(_), Value::Number(number)) if number.is_finite() => {
                Ok(number.to_string())
            }
            (Self::Number(_), _) => wrong("a number"),
            (Self::Word, Value::Text(word)) if !word.trim().is_empty() => {
                Ok(word.trim().to_owned())
            }
            (Self::Word, _) => wrong("a text"),
            (Self::Choice(choices), Value::Number(number)) => {
                let numbers = 1..=choices.len();
                match numbers
                    .into_iter()
                    .find(|one| (*one as f64 - number).abs() < 1e-9)
                {
                    Some(choice) => Ok(choice.to_string()),
                    None => wrong(&format!("the number of a choice, 1 to {}", choices.len())),
                }
            }
            (Self::Choice(_), _) => wrong("the number of a choice"),
        }
    }

    /// The answer that `value` stands for, with no more digits than are asked for.
    ///
    /// # Errors
    /// A value that is no answer of this form.
    pub fn shown(&self, value: &Value) -> Result<String, FilterError> {
        let answer = self.answer(value)?;
        Ok(match (self, value) {
            (Self::Number(within), Value::Number(number)) if *within > 0.0 => {
                // So many decimals that what rounding takes away is less than an answer may be off.
                let decimals = (-within.log10()).ceil().clamp(0.0, 12.0) as usize;
                let rounded = format!("{number:.decimals$}");
                if rounded.len() < answer.len() {
                    rounded
                } else {
                    answer
                }
            }
            _ => answer,
        })
    }

    /// Is what was `typed` the answer that `value` stands for?
    ///
    /// # Errors
    /// A value that is no answer of this form.
    pub fn verdict(&self, typed: &str, value: &Value) -> Result<Verdict, FilterError> {
        let answer = self.answer(value)?;
        let typed = typed.trim();
        Ok(match self {
            Self::Number(within) => {
                let Value::Number(expected) = *value else {
                    return Ok(Verdict::Wrong);
                };
                // A true minus sign and a decimal comma are numbers to many readers.
                let plain = typed.replace('−', "-").replace(',', ".");
                match plain.parse::<f64>() {
                    // The last digits of a product need not be typed as they were computed.
                    Ok(number) if (number - expected).abs() <= within + expected.abs() * 1e-9 => {
                        Verdict::Right
                    }
                    Ok(_) => Verdict::Wrong,
                    Err(_) => Verdict::Unreadable,
                }
            }
            Self::Word if typed.is_empty() => Verdict::Unreadable,
            Self::Word if typed.to_lowercase() == answer.to_lowercase() => Verdict::Right,
            Self::Word => Verdict::Wrong,
            Self::Choice(choices) => {
                let is_typed = |choice: &String| choice.to_lowercase() == typed.to_lowercase();
                let number = match choices.iter().position(is_typed) {
                    Some(index) => Some(index + 1),
                    None => typed.parse().ok(),
                };
                match number {
                    Some(number) if number.to_string() == answer => Verdict::Right,
                    Some(number) if (1..=choices.len()).contains(&number) => Verdict::Wrong,
                    _ => Verdict::Unreadable,
                }
            }
        })
    }

    /// Answers of this form that are not the one that `value` stands for.
    pub fn wrong_ones(&self, value: &Value) -> Vec<String> {
        match (self, value) {
            (Self::Number(within), Value::Number(number)) => {
                let off = 2.0 * within + number.abs() * 0.01 + 1e-6;
                [number + off, number - off]
                    .map(|wrong| wrong.to_string())
                    .to_vec()
            }
            (Self::Word, Value::Text(word)) => vec![format!("{word}x"), "—".to_owned()],
            (Self::Choice(choices), Value::Number(number)) => (1..=choices.len())
                .filter(|choice| (*choice as f64 - number).abs() > 1e-9)
                .map(|choice| choice.to_string())
                .collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_compared_as_a_person_would() {
        let number = Form::Number(0.01);
        let verdict = |form: &Form, typed: &str, value: Value| form.verdict(typed, &value).unwrap();
        assert_eq!(
            verdict(&number, " 14.61 ", Value::Number(14.6146)),
            Verdict::Right
        );
        assert_eq!(
            verdict(&number, "14,61", Value::Number(14.6146)),
            Verdict::Right
        );
        assert_eq!(verdict(&number, "−2", Value::Number(-2.0)), Verdict::Right);
        assert_eq!(
            verdict(&number, "14.5", Value::Number(14.6146)),
            Verdict::Wrong
        );
        assert_eq!(
            verdict(&number, "many", Value::Number(1.0)),
            Verdict::Unreadable
        );
        assert_eq!(
            verdict(&Form::Word, "Horse", Value::Text("horse".into())),
            Verdict::Right
        );
        assert_eq!(
            verdict(&Form::Word, "house", Value::Text("horse".into())),
            Verdict::Wrong
        );
        let choice = Form::Choice(vec!["less".into(), "more".into()]);
        assert_eq!(verdict(&choice, "2", Value::Number(2.0)), Verdict::Right);
        assert_eq!(verdict(&choice, "More", Value::Number(2.0)), Verdict::Right);
        assert_eq!(verdict(&choice, "1", Value::Number(2.0)), Verdict::Wrong);
        assert_eq!(
            verdict(&choice, "3", Value::Number(2.0)),
            Verdict::Unreadable
        );
        assert!(choice.verdict("1", &Value::Number(7.0)).is_err());
        assert!(number.verdict("1", &Value::Text("1".into())).is_err());
    }

    #[test]
    fn an_answer_is_shown_with_the_digits_that_are_asked_for() {
        for (within, value, shown) in [
            (0.005, 2.688_842_915_602_174_3, "2.689"),
            (0.01, -14.614_6, "-14.61"),
            (0.5, 117.25, "117.2"),
            (10.0, 4096.75, "4097"),
            (0.01, 67.0, "67"),
            (0.0, 0.182_15, "0.18215"),
        ] {
            let (form, value) = (Form::Number(within), Value::Number(value));
            assert_eq!(form.shown(&value).unwrap(), shown);
            assert_eq!(form.verdict(shown, &value), Ok(Verdict::Right));
        }
    }

    #[test]
    fn wrong_answers_are_wrong() {
        for (form, value) in [
            (Form::Number(0.5), Value::Number(3.0)),
            (Form::Number(0.0), Value::Number(0.0)),
            (Form::Word, Value::Text("horse".into())),
            (
                Form::Choice(vec!["a".into(), "b".into()]),
                Value::Number(1.0),
            ),
        ] {
            let wrong = form.wrong_ones(&value);
            assert!(!wrong.is_empty());
            for wrong in wrong {
                assert_eq!(form.verdict(&wrong, &value), Ok(Verdict::Wrong), "{wrong}");
            }
        }
    }
}

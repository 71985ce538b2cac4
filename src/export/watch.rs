//! Watch expressions in the exported document: what each gave after every step, and where one stopped the run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A watch expression, and what it gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchValues {
    /// The expression: a filter over the run as it stood after a step.
    pub filter: String,
    /// Is it a breakpoint, which stops the run where it is true?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub breaks: bool,
    /// What it gave after each step, in the order of the steps.
    pub values: Vec<WatchValue>,
}

/// What a watch expression gave after a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WatchValue {
    /// True or false.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// A text; of a number that is not finite `NaN`, `Infinity` or `-Infinity`; of a list or an object its type's name.
    Text(String),
    /// It gave none.
    Failed {
        /// Why.
        error: String,
    },
}

/// Where a breakpoint stopped a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stopped {
    /// The last step that was done; counts from 0.
    pub step: usize,
    /// The breakpoint's filter.
    pub filter: String,
    /// Why the filter could not be answered, where it was that which stopped the run; otherwise it was true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl WatchValue {
    /// A number, or the name of what is none.
    pub(crate) fn number(value: f64) -> Self {
        match value {
            value if value.is_finite() => Self::Number(value),
            value if value.is_nan() => Self::Text("NaN".to_owned()),
            value if value > 0.0 => Self::Text("Infinity".to_owned()),
            _ => Self::Text("-Infinity".to_owned()),
        }
    }
}

/// As a person reads it: numbers with six digits.
impl std::fmt::Display for WatchValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) if *value == 0.0 || (1e-4..1e7).contains(&value.abs()) => {
                write!(f, "{}", (value * 1e6).round() / 1e6)
            }
            Self::Number(value) => write!(f, "{value:e}"),
            Self::Text(text) => f.write_str(text),
            Self::Failed { error } => f.write_str(error),
        }
    }
}

/// `step 12: FILTER is true`; steps count from 1.
impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let step = self.step.saturating_add(1);
        match &self.error {
            None => write!(f, "step {step}: `{}` is true", self.filter),
            Some(error) => write!(f, "step {step}: `{}` has no answer: {error}", self.filter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_back_as_what_it_was() {
        let values = [
            WatchValue::Bool(true),
            WatchValue::number(0.25),
            WatchValue::number(3.0),
            WatchValue::number(f64::NAN),
            WatchValue::number(f64::NEG_INFINITY),
            WatchValue::Text("a".into()),
            WatchValue::Failed {
                error: "too much".into(),
            },
        ];
        let json = serde_json::to_string(&values).unwrap();
        assert_eq!(
            json,
            r#"[true,0.25,3.0,"NaN","-Infinity","a",{"error":"too much"}]"#
        );
        let read: Vec<WatchValue> = serde_json::from_str(&json).unwrap();
        assert_eq!(read, values);
    }

    #[test]
    fn numbers_are_said_short() {
        let said = |value: f64| WatchValue::number(value).to_string();
        assert_eq!(said(0.123_456_789), "0.123457");
        assert_eq!(said(12.0), "12");
        assert_eq!(said(0.0), "0");
        assert_eq!(said(1.5e-9), "1.5e-9");
    }
}

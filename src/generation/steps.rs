//! Ranges of denoising steps.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Denoising steps from `first` to `last`, both included; they count from 0.
///
/// In words they count from 1, as on the screens: `4..10` is `{ first: 3, last: 9 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepRange {
    /// The first step.
    pub first: usize,
    /// The last step.
    pub last: usize,
}

impl StepRange {
    /// Is step `index`, from 0, one of them?
    pub fn contains(self, index: usize) -> bool {
        (self.first..=self.last).contains(&index)
    }

    /// As it is typed: `4..10`.
    pub fn typed(self) -> String {
        let (first, last) = self.numbers();
        format!("{first}..{last}")
    }

    /// First and last, counted from 1.
    fn numbers(self) -> (usize, usize) {
        (self.first.saturating_add(1), self.last.saturating_add(1))
    }
}

/// `steps 4 to 10`, `step 4`.
impl fmt::Display for StepRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.numbers();
        if first == last {
            write!(f, "step {first}")
        } else {
            write!(f, "steps {first} to {last}")
        }
    }
}

/// What is no range of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("steps are FIRST..LAST, both included and counted from 1, as in 4..10")]
pub struct NoStepRange;

/// `4..10`, or `4` for one step.
impl FromStr for StepRange {
    type Err = NoStepRange;

    fn from_str(text: &str) -> Result<Self, NoStepRange> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let index = |number: &str| {
            let number = number.trim().parse::<usize>().ok();
            number
                .and_then(|number| number.checked_sub(1))
                .ok_or(NoStepRange)
        };
        let range = Self {
            first: index(first)?,
            last: index(last)?,
        };
        if range.first > range.last {
            return Err(NoStepRange);
        }
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_typed_and_said_from_one_and_kept_from_zero() {
        let range: StepRange = "4..10".parse().unwrap();
        assert_eq!((range.first, range.last), (3, 9));
        assert_eq!(range.to_string(), "steps 4 to 10");
        assert_eq!(range.typed(), "4..10");
        assert!(!range.contains(2) && range.contains(3));
        assert!(range.contains(9) && !range.contains(10));
        assert_eq!("7".parse::<StepRange>().unwrap().to_string(), "step 7");
        for wrong in ["", "0..3", "4..", "..4", "5..4", "a..b", "-1..3", "1..2..3"] {
            assert_eq!(wrong.parse::<StepRange>(), Err(NoStepRange), "{wrong}");
        }
    }
}

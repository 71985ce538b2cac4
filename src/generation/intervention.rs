//! Interventions: a word's cross-attention made stronger or weaker, or given to another word; a word left out.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RequestError, StepRange};

/// Number of text positions of a Stable Diffusion v1 prompt.
const POSITIONS: usize = 77;
/// The largest factor: beyond it a layer sees nothing but the one word, whatever the factor is.
const MAX_FACTOR: f32 = 100.0;

/// A change of what a word of the prompt does, in the half of guidance that has the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Intervention {
    /// The word, as a person would name it. Where `positions` is empty, they are looked up by it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub word: String,
    /// The word's text positions, 0 to 76; 0 is the start token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<usize>,
    /// What becomes of the word.
    pub change: WordChange,
    /// The denoising steps in which it does; all where there are none. A word is left out of a run as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<StepRange>,
}

/// What becomes of a word: of the attention that its text positions get, in every cross-attention layer of the UNet, or of
/// the positions themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WordChange {
    /// The attention probabilities are multiplied by this factor, 0 to 100; 1 changes nothing.
    ///
    /// "Attention re-weighting" of Hertz et al. 2022 ("Prompt-to-Prompt Image Editing with Cross Attention Control",
    /// arXiv 2208.01626, section 3.2). As there, the other words keep what they had and rows are not brought back to
    /// a sum of 1: so the factor acts on the word alone, and its attention value in the layer's output is multiplied by
    /// exactly this.
    Weight(f32),
    /// Two words change places: at every pixel of every head, each gets the attention that the other had, all of it
    /// together, spread evenly over its own positions. Two words of one token each simply exchange their maps. Rows keep
    /// their sum.
    Swap(OtherWord),
    /// Its positions have what a padding token would have there; nothing else moves.
    LeaveOut(LeftOutOf),
}

/// What a word is left out of. The two differ in what the words after it have taken in of it: the first removes that, too.
///
/// The second is the intervention in the text encoder's output of Toker et al. 2025 ("Padding Tone: A Mechanistic Analysis
/// of Padding Tokens in T2I Models", arXiv 2501.06751, section 3), for one word at a time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutOf {
    /// The text encoder's input: the padding's id stands in place of the word's ids.
    Input,
    /// What the UNet reads: the embedding has at the word's positions the rows that padding has there in a text of padding
    /// alone, after its start token.
    Reads,
}

impl LeftOutOf {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Input, Self::Reads];

    /// As it is typed and exported.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Reads => "reads",
        }
    }
}

/// What cannot be left out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a word is left out of the `input` or of what the UNet `reads`")]
pub struct NoLeftOutOf;

impl FromStr for LeftOutOf {
    type Err = NoLeftOutOf;

    fn from_str(text: &str) -> Result<Self, NoLeftOutOf> {
        let mut all = Self::ALL.into_iter();
        all.find(|of| of.name() == text).ok_or(NoLeftOutOf)
    }
}

/// The other word of a swap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OtherWord {
    /// As a person would name it. Where `positions` is empty, they are looked up by it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub word: String,
    /// Its text positions, none of them the first word's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<usize>,
}

impl Intervention {
    /// Multiplies the attention that `word` gets by `factor`, in every step.
    pub fn weight(word: &str, factor: f32) -> Self {
        Self::of(word, WordChange::Weight(factor))
    }

    /// Exchanges the attention of `word` and `other`, in every step.
    pub fn swap(word: &str, other: &str) -> Self {
        let word_of_swap = OtherWord {
            word: other.to_owned(),
            positions: Vec::new(),
        };
        Self::of(word, WordChange::Swap(word_of_swap))
    }

    /// Leaves `word` out of a run.
    pub fn leave_out(word: &str, of: LeftOutOf) -> Self {
        Self::of(word, WordChange::LeaveOut(of))
    }

    fn of(word: &str, change: WordChange) -> Self {
        Self {
            word: word.to_owned(),
            positions: Vec::new(),
            change,
            steps: None,
        }
    }

    /// Leaves the words alone, so that their positions are looked up in another prompt.
    pub(super) fn forget_positions(&mut self) {
        if !self.word.is_empty() {
            self.positions.clear();
        }
        if let WordChange::Swap(other) = &mut self.change
            && !other.word.is_empty()
        {
            other.positions.clear();
        }
    }

    /// Does it change attention in step `index`?
    pub fn changes_attention_at(&self, index: usize) -> bool {
        !matches!(self.change, WordChange::LeaveOut(_))
            && self.steps.is_none_or(|steps| steps.contains(index))
    }

    /// The positions that it leaves out, and of what; none where it changes attention.
    pub(super) fn left_out(&self) -> Option<(&[usize], LeftOutOf)> {
        match self.change {
            WordChange::LeaveOut(of) => Some((&self.positions, of)),
            WordChange::Weight(_) | WordChange::Swap(_) => None,
        }
    }

    /// Checks factor, positions and steps.
    pub(super) fn validate(&self) -> Result<(), RequestError> {
        let own = self.positions.iter();
        match &self.change {
            WordChange::Weight(factor) => {
                if !(0.0..=MAX_FACTOR).contains(factor) {
                    return Err(RequestError::Factor(*factor));
                }
                check_positions(&self.word, own)?;
            }
            WordChange::Swap(other) => {
                check_positions(&self.word, own.clone())?;
                check_positions(&other.word, other.positions.iter())?;
                check_positions(&self.to_string(), own.chain(&other.positions))?;
            }
            WordChange::LeaveOut(_) => {
                check_positions(&self.word, own)?;
                if self.steps.is_some() {
                    let word = self.word.clone();
                    return Err(RequestError::LeftOutInSteps { word });
                }
            }
        }
        check_steps(self.steps)
    }
}

/// `apple × 2`, `apple ⇄ house`, `apple × 0 in steps 4 to 10`, counted from 1; `apple left out of the input`.
impl fmt::Display for Intervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |word: &str, positions: &[usize]| {
            if word.is_empty() {
                format!("position {positions:?}")
            } else {
                word.to_owned()
            }
        };
        f.write_str(&named(&self.word, &self.positions))?;
        match &self.change {
            WordChange::Weight(factor) => write!(f, " × {factor}")?,
            WordChange::Swap(other) => {
                write!(f, " ⇄ {}", named(&other.word, &other.positions))?;
            }
            WordChange::LeaveOut(LeftOutOf::Input) => f.write_str(" left out of the input")?,
            WordChange::LeaveOut(LeftOutOf::Reads) => {
                f.write_str(" left out of what the UNet reads")?;
            }
        }
        match self.steps {
            Some(steps) => write!(f, " in {steps}"),
            None => Ok(()),
        }
    }
}

/// Does the range, where there is one, begin before it ends?
pub(super) fn check_steps(steps: Option<StepRange>) -> Result<(), RequestError> {
    match steps {
        Some(StepRange { first, last }) if first > last => {
            Err(RequestError::StepRange { first, last })
        }
        _ => Ok(()),
    }
}

fn check_positions<'a>(
    word: &str,
    positions: impl Iterator<Item = &'a usize>,
) -> Result<(), RequestError> {
    let error = |reason: String| RequestError::Positions {
        word: word.to_owned(),
        reason,
    };
    let mut seen = [false; POSITIONS];
    let mut is_empty = true;
    for &position in positions {
        let last = POSITIONS - 1;
        match seen.get_mut(position) {
            None => return Err(error(format!("{position} is not from 0 to {last}"))),
            Some(true) => return Err(error(format!("{position} is named twice"))),
            Some(seen) => *seen = true,
        }
        is_empty = false;
    }
    if is_empty {
        return Err(error("there are none".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(positions: &[usize], change: WordChange) -> Intervention {
        Intervention {
            word: String::new(),
            positions: positions.to_vec(),
            change,
            steps: None,
        }
    }

    fn swap(positions: &[usize], with: &[usize]) -> Intervention {
        let other = OtherWord {
            word: String::new(),
            positions: with.to_vec(),
        };
        at(positions, WordChange::Swap(other))
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let refused = |intervention: &Intervention| intervention.validate().unwrap_err();
        for factor in [-1.0, 100.5, f32::NAN, f32::INFINITY] {
            let error = refused(&at(&[1], WordChange::Weight(factor)));
            assert!(matches!(error, RequestError::Factor(_)), "{error}");
        }
        for (intervention, reason) in [
            (at(&[77], WordChange::Weight(2.0)), "0 to 76"),
            (at(&[], WordChange::Weight(2.0)), "none"),
            (at(&[3, 3], WordChange::Weight(2.0)), "twice"),
            (swap(&[3], &[2, 3]), "twice"),
            (swap(&[3], &[]), "none"),
        ] {
            let error = refused(&intervention).to_string();
            assert!(error.contains(reason), "{error}");
        }
        let mut late = at(&[1], WordChange::LeaveOut(LeftOutOf::Input));
        assert_eq!(late.validate(), Ok(()));
        late.steps = Some(StepRange { first: 1, last: 3 });
        let error = refused(&late);
        assert!(
            matches!(error, RequestError::LeftOutInSteps { .. }),
            "{error}"
        );
        let mut backwards = at(&[1], WordChange::Weight(2.0));
        backwards.steps = Some(StepRange { first: 4, last: 3 });
        assert!(matches!(
            refused(&backwards),
            RequestError::StepRange { .. }
        ));
    }

    #[test]
    fn it_is_named_as_people_say_it() {
        let mut weight = Intervention::weight("apple", 2.0);
        assert_eq!(weight.to_string(), "apple × 2");
        weight.steps = Some(StepRange { first: 3, last: 9 });
        assert_eq!(weight.to_string(), "apple × 2 in steps 4 to 10");
        assert_eq!(Intervention::swap("red", "blue").to_string(), "red ⇄ blue");
        let named = LeftOutOf::ALL.map(|of| Intervention::leave_out("apple", of).to_string());
        assert_eq!(
            named,
            [
                "apple left out of the input",
                "apple left out of what the UNet reads"
            ]
        );
        for of in LeftOutOf::ALL {
            assert_eq!(of.name().parse(), Ok(of));
        }
        assert_eq!("output".parse::<LeftOutOf>(), Err(NoLeftOutOf));
    }
}

//! Interventions: a word's cross-attention made stronger or weaker, or given to another word.

use std::fmt;

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RequestError, StepRange};
use crate::model::unet::CrossAttentionSite;
use crate::model::{self, Hook};

/// Number of text positions of a Stable Diffusion v1 prompt.
const POSITIONS: usize = 77;
/// The largest factor: beyond it a layer sees nothing but the one word, whatever the factor is.
const MAX_FACTOR: f32 = 100.0;

/// A change of how the picture attends to a word of the prompt: of its cross-attention, in every cross-attention layer
/// of the UNet, in the half of guidance that has the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Intervention {
    /// The word, as a person would name it. Where `positions` is empty, they are looked up by it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub word: String,
    /// The word's text positions, 0 to 76; 0 is the start token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<usize>,
    /// What becomes of their attention.
    pub change: AttentionChange,
    /// The denoising steps in which it does; all where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<StepRange>,
}

/// What becomes of the attention that text positions get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttentionChange {
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
        Self::of(word, AttentionChange::Weight(factor))
    }

    /// Exchanges the attention of `word` and `other`, in every step.
    pub fn swap(word: &str, other: &str) -> Self {
        let word_of_swap = OtherWord {
            word: other.to_owned(),
            positions: Vec::new(),
        };
        Self::of(word, AttentionChange::Swap(word_of_swap))
    }

    fn of(word: &str, change: AttentionChange) -> Self {
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
        if let AttentionChange::Swap(other) = &mut self.change
            && !other.word.is_empty()
        {
            other.positions.clear();
        }
    }

    /// Does it act in step `index`?
    pub fn acts_at(&self, index: usize) -> bool {
        self.steps.is_none_or(|steps| steps.contains(index))
    }

    /// Checks factor, positions and steps.
    pub(super) fn validate(&self) -> Result<(), RequestError> {
        let own = self.positions.iter();
        match &self.change {
            AttentionChange::Weight(factor) => {
                if !(0.0..=MAX_FACTOR).contains(factor) {
                    return Err(RequestError::Factor(*factor));
                }
                check_positions(&self.word, own)?;
            }
            AttentionChange::Swap(other) => {
                check_positions(&self.word, own.clone())?;
                check_positions(&other.word, other.positions.iter())?;
                check_positions(&self.to_string(), own.chain(&other.positions))?;
            }
        }
        check_steps(self.steps)
    }

    /// Changes a row of probabilities, one for each text position.
    pub(crate) fn apply(&self, row: &mut [f32]) {
        match &self.change {
            AttentionChange::Weight(factor) => {
                for &position in &self.positions {
                    row[position] *= factor;
                }
            }
            AttentionChange::Swap(other) => {
                let sum = |row: &[f32], positions: &[usize]| -> f32 {
                    positions.iter().map(|&position| row[position]).sum()
                };
                let (here, there) = (sum(row, &self.positions), sum(row, &other.positions));
                for (positions, sum) in [(&self.positions, there), (&other.positions, here)] {
                    for &position in positions {
                        row[position] = sum / positions.len() as f32;
                    }
                }
            }
        }
    }

    /// The largest position that it names.
    fn largest_position(&self) -> Option<usize> {
        let other: &[usize] = match &self.change {
            AttentionChange::Weight(_) => &[],
            AttentionChange::Swap(other) => &other.positions,
        };
        self.positions.iter().chain(other).copied().max()
    }
}

/// `apple × 2`, `apple ⇄ house`, `apple × 0 in steps 4 to 10`, counted from 1.
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
            AttentionChange::Weight(factor) => write!(f, " × {factor}")?,
            AttentionChange::Swap(other) => {
                write!(f, " ⇄ {}", named(&other.word, &other.positions))?;
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

/// The interventions of one step, as a hook.
pub(super) struct AttentionMix<'a> {
    sites: &'a [CrossAttentionSite],
    /// `(keys, keys)`: what `probs` `(.., keys)` is multiplied with. All interventions are linear in a row.
    mix: Option<Tensor>,
}

impl<'a> AttentionMix<'a> {
    /// Those of `interventions` that act in step `index`, on prompts of `keys` positions.
    pub fn new(
        sites: &'a [CrossAttentionSite],
        interventions: &[Intervention],
        index: usize,
        keys: usize,
        device: &Device,
    ) -> candle_core::Result<Self> {
        let active: Vec<_> = interventions
            .iter()
            .filter(|intervention| intervention.acts_at(index))
            .collect();
        let mix = if active.is_empty() {
            None
        } else {
            Some(mix(&active, keys, device)?)
        };
        Ok(Self { sites, mix })
    }
}

/// What all of `interventions`, one after another, make of the identity.
fn mix(
    interventions: &[&Intervention],
    keys: usize,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let largest = interventions
        .iter()
        .filter_map(|intervention| intervention.largest_position());
    if let Some(position) = largest.max().filter(|&position| position >= keys) {
        candle_core::bail!("there is no text position {position}: the prompt has {keys}");
    }
    let mut rows = Vec::with_capacity(keys * keys);
    for key in 0..keys {
        let mut row = vec![0.0; keys];
        row[key] = 1.0;
        for intervention in interventions {
            intervention.apply(&mut row);
        }
        rows.extend(row);
    }
    Tensor::from_vec(rows, (keys, keys), device)
}

impl Hook for AttentionMix<'_> {
    fn replaces_attention(&self, path: &str) -> bool {
        self.mix.is_some() && self.sites.iter().any(|site| site.path == path)
    }

    /// The prediction with the prompt is the batch's last item.
    fn replace_attention(&mut self, _path: &str, probs: &Tensor) -> Result<Tensor, model::Error> {
        let Some(mix) = &self.mix else {
            return Ok(probs.clone());
        };
        let (batch, heads, queries, keys) = probs.dims4()?;
        let text = probs
            .narrow(0, batch - 1, 1)?
            .reshape((heads * queries, keys))?
            .matmul(&mix.to_dtype(probs.dtype())?)?
            .reshape((1, heads, queries, keys))?;
        Ok(match batch {
            1 => text,
            _ => Tensor::cat(&[&probs.narrow(0, 0, batch - 1)?, &text], 0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(positions: &[usize], change: AttentionChange) -> Intervention {
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
        at(positions, AttentionChange::Swap(other))
    }

    fn row_of(intervention: &Intervention) -> [f32; 4] {
        let mut row = [0.5, 0.25, 0.125, 0.0625];
        intervention.apply(&mut row);
        row
    }

    #[test]
    #[allow(clippy::float_cmp)] // Powers of two: all arithmetic is exact.
    fn a_weight_acts_on_its_word_alone_and_a_swap_keeps_the_sum() {
        let weight = at(&[1], AttentionChange::Weight(2.0));
        assert_eq!(row_of(&weight), [0.5, 0.5, 0.125, 0.0625]);
        assert_eq!(row_of(&swap(&[0], &[2])), [0.125, 0.25, 0.5, 0.0625]);
        // All of the one word's attention goes to the other, however many pieces each has.
        assert_eq!(
            row_of(&swap(&[0], &[1, 2])),
            [0.375, 0.25, 0.25, 0.0625],
            "0.25 + 0.125 against 0.5 in halves"
        );
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let refused = |intervention: &Intervention| intervention.validate().unwrap_err();
        for factor in [-1.0, 100.5, f32::NAN, f32::INFINITY] {
            let error = refused(&at(&[1], AttentionChange::Weight(factor)));
            assert!(matches!(error, RequestError::Factor(_)), "{error}");
        }
        for (intervention, reason) in [
            (at(&[77], AttentionChange::Weight(2.0)), "0 to 76"),
            (at(&[], AttentionChange::Weight(2.0)), "none"),
            (at(&[3, 3], AttentionChange::Weight(2.0)), "twice"),
            (swap(&[3], &[2, 3]), "twice"),
            (swap(&[3], &[]), "none"),
        ] {
            let error = refused(&intervention).to_string();
            assert!(error.contains(reason), "{error}");
        }
        let mut backwards = at(&[1], AttentionChange::Weight(2.0));
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
    }
}

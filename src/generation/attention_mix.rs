//! What interventions make of the cross-attention of a step: a hook, and the matrix that it multiplies with.

use candle_core::{Device, Tensor};

use super::{Intervention, WordChange};
use crate::model::unet::CrossAttentionSite;
use crate::model::{self, Hook};

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
            .filter(|intervention| intervention.changes_attention_at(index))
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
        .filter_map(|intervention| largest_position(intervention));
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

impl Intervention {
    /// Changes a row of probabilities, one for each text position.
    pub(crate) fn apply(&self, row: &mut [f32]) {
        match &self.change {
            WordChange::Weight(factor) => {
                for &position in &self.positions {
                    row[position] *= factor;
                }
            }
            WordChange::Swap(other) => {
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
            // Acts on the text, before anything attends to it.
            WordChange::LeaveOut(_) => {}
        }
    }
}

/// The largest position that `intervention` names.
fn largest_position(intervention: &Intervention) -> Option<usize> {
    let other: &[usize] = match &intervention.change {
        WordChange::Weight(_) | WordChange::LeaveOut(_) => &[],
        WordChange::Swap(other) => &other.positions,
    };
    intervention.positions.iter().chain(other).copied().max()
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
    use super::super::intervention::OtherWord;
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

    fn row_of(intervention: &Intervention) -> [f32; 4] {
        let mut row = [0.5, 0.25, 0.125, 0.0625];
        intervention.apply(&mut row);
        row
    }

    #[test]
    #[allow(clippy::float_cmp)] // Powers of two: all arithmetic is exact.
    fn a_weight_acts_on_its_word_alone_and_a_swap_keeps_the_sum() {
        let weight = at(&[1], WordChange::Weight(2.0));
        assert_eq!(row_of(&weight), [0.5, 0.5, 0.125, 0.0625]);
        assert_eq!(row_of(&swap(&[0], &[2])), [0.125, 0.25, 0.5, 0.0625]);
        // All of the one word's attention goes to the other, however many pieces each has.
        assert_eq!(
            row_of(&swap(&[0], &[1, 2])),
            [0.375, 0.25, 0.25, 0.0625],
            "0.25 + 0.125 against 0.5 in halves"
        );
    }
}

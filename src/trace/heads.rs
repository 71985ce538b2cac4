//! What every head of the cross-attention does at a step, in a few numbers each: reduced while the step is computed, so
//! that no map has to be kept.

use std::sync::Arc;

use candle_core::{IndexOp as _, Tensor};

use super::AttentionMaps;
use super::options::{CancelToken, Guidance};
use crate::generation::AttentionLayer;
use crate::kernels::cuda::transfer::to_host;
use crate::model::hook::BatchItems;
use crate::model::{self, AttentionDetail, Hook};

/// What the heads of one cross-attention layer attend to, over all places of its feature map.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadSummary {
    /// The layer's module path: `down_blocks.0.attentions.0.transformer_blocks.0.attn2`.
    pub path: Arc<str>,
    /// Number of heads.
    pub heads: usize,
    /// Number of text positions (77).
    pub tokens: usize,
    /// `(heads, tokens)`, row-major: the mean probability of each text position over all places. A head's values sum to
    /// 1, unless the request weighs a word.
    pub shares: Vec<f32>,
    /// Of each head: the mean over all places of the entropy of a place's probabilities over the text positions, in bits:
    /// 0 where every place looks at one position, log2 77 = 6.27 where all look at all of them alike. As Clark et al.
    /// 2019 measure a head (arXiv 1906.04341). A place that attends to nothing at all has none.
    pub entropy: Vec<f32>,
}

impl HeadSummary {
    /// From probabilities that `at(head, place, token)` knows.
    fn reduce(
        path: &str,
        [heads, places, tokens]: [usize; 3],
        at: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        let mut shares = Vec::with_capacity(heads * tokens);
        let mut entropy = Vec::with_capacity(heads);
        for head in 0..heads {
            let mut sums = vec![0.0_f64; tokens];
            let (mut bits, mut counted) = (0.0, 0_usize);
            for place in 0..places {
                let (mut sum, mut logs) = (0.0, 0.0);
                for (token, total) in sums.iter_mut().enumerate() {
                    let value = f64::from(at(head, place, token));
                    *total += value;
                    sum += value;
                    if value > 0.0 {
                        logs += value * value.log2();
                    }
                }
                // Of the row divided by its sum, which is 1 where no word is weighed: -Σ s log2 s with s = value / sum.
                if sum > 0.0 {
                    bits += sum.log2() - logs / sum;
                    counted += 1;
                }
            }
            let mean = |sum: f64, count: usize| (sum / count.max(1) as f64) as f32;
            shares.extend(sums.iter().map(|&sum| mean(sum, places)));
            entropy.push(if counted > 0 {
                // Rounding may leave it a little below 0.
                mean(bits, counted).max(0.0)
            } else {
                f32::NAN
            });
        }
        Self {
            path: path.into(),
            heads,
            tokens,
            shares,
            entropy,
        }
    }

    /// From maps of every head; none of maps that are averages over heads.
    pub fn of_maps(maps: &AttentionMaps) -> Option<Self> {
        let heads = maps.heads?;
        let places = maps.height * maps.width;
        let at = |head: usize, place: usize, token: usize| {
            maps.data[(head * maps.tokens + token) * places + place]
        };
        let is_whole = maps.data.len() == heads * maps.tokens * places;
        is_whole.then(|| Self::reduce(&maps.path, [heads, places, maps.tokens], at))
    }

    /// The share of text position `token`, of `head` or of the mean of all heads; none where there is no such.
    pub fn share(&self, head: Option<usize>, token: usize) -> Option<f64> {
        if token >= self.tokens {
            return None;
        }
        let of = |head: usize| self.shares.get(head * self.tokens + token).copied();
        self.mean_of(head, of)
    }

    /// The entropy in bits, of `head` or the mean of all heads' (which is not that of their mean).
    pub fn bits(&self, head: Option<usize>) -> Option<f64> {
        self.mean_of(head, |head| self.entropy.get(head).copied())
    }

    fn mean_of(&self, head: Option<usize>, of: impl Fn(usize) -> Option<f32>) -> Option<f64> {
        let heads = match head {
            Some(head) if head < self.heads => head..head + 1,
            Some(_) => return None,
            None => 0..self.heads,
        };
        let count = heads.len();
        let values: Option<Vec<f64>> = heads.map(|head| of(head).map(f64::from)).collect();
        Some(values?.iter().sum::<f64>() / count.max(1) as f64)
    }

    /// Memory of the values, in bytes.
    pub fn bytes(&self) -> usize {
        (self.shares.len() + self.entropy.len()) * size_of::<f32>()
    }
}

/// The hook that reduces each layer's probabilities as they pass, and ends the forward pass after the last layer.
pub(super) struct Summarise<'a> {
    pub layers: &'a [AttentionLayer],
    pub guidance: Guidance,
    pub cancel: CancelToken,
    pub found: Vec<HeadSummary>,
}

impl Hook for Summarise<'_> {
    fn check(&mut self) -> Result<(), model::Error> {
        if self.cancel.is_cancelled() {
            return Err(model::Error::Cancelled);
        }
        if self.found.len() == self.layers.len() {
            return Err(model::Error::Enough);
        }
        Ok(())
    }

    fn wants_attention(&self, path: &str) -> AttentionDetail {
        if self.layers.iter().any(|layer| layer.path == path) {
            AttentionDetail::Heads
        } else {
            AttentionDetail::None
        }
    }

    fn attention_items(&self, _: &str) -> BatchItems {
        self.guidance.item()
    }

    fn attention(&mut self, path: &str, probs: &Tensor) -> Result<(), model::Error> {
        let (first, _) = self.guidance.item().range(probs.dim(0)?);
        let probs = probs.i(first)?;
        let (heads, places, tokens) = probs.dims3()?;
        let values = to_host::<f32>(std::slice::from_ref(&probs))?;
        let values = values.first().map_or(&[][..], Vec::as_slice);
        let at = |head: usize, place: usize, token: usize| {
            values[(head * places + place) * tokens + token]
        };
        self.found
            .push(HeadSummary::reduce(path, [heads, places, tokens], at));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two heads, two places, three positions.
    fn maps() -> AttentionMaps {
        AttentionMaps {
            path: "mid".into(),
            heads: Some(2),
            tokens: 3,
            height: 1,
            width: 2,
            // Head 0: place 0 looks at position 0 alone, place 1 at 1 and 2 alike. Head 1: everywhere a third.
            data: [[1.0, 0.0, 0.0, 0.5, 0.0, 0.5], [1.0 / 3.0; 6]]
                .concat()
                .into(),
        }
    }

    #[test]
    fn a_head_is_its_shares_and_how_evenly_its_places_look() {
        let summary = HeadSummary::of_maps(&maps()).unwrap();
        let close = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-6;
        assert!(close(summary.share(Some(0), 0), 0.5));
        assert!(close(summary.share(Some(0), 2), 0.25));
        assert!(close(summary.share(None, 0), 5.0 / 12.0));
        // 0 bit at one place, 1 bit at the other.
        assert!(close(summary.bits(Some(0)), 0.5));
        assert!(close(summary.bits(Some(1)), 3.0_f64.log2()));
        assert!(close(
            summary.bits(None),
            f64::midpoint(0.5, 3.0_f64.log2())
        ));
        assert_eq!(summary.share(Some(2), 0), None);
        assert_eq!(summary.share(Some(0), 3), None);
    }

    #[test]
    fn a_row_that_was_weighed_is_measured_by_its_parts_and_one_of_nothing_not_at_all() {
        let mut weighed = maps();
        weighed.data = weighed.data.iter().map(|value| value * 3.0).collect();
        let bits = |maps: &AttentionMaps| HeadSummary::of_maps(maps).unwrap().entropy;
        for (a, b) in bits(&weighed).iter().zip(bits(&maps())) {
            assert!((a - b).abs() < 1e-6);
        }
        weighed.data = vec![0.0; 12].into();
        assert!(bits(&weighed).iter().all(|bits| bits.is_nan()));
    }

    #[test]
    fn maps_without_heads_have_no_summary() {
        let mean = AttentionMaps {
            heads: None,
            ..maps()
        };
        assert!(HeadSummary::of_maps(&mean).is_none());
    }
}

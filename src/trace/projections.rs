//! Queries, keys and values of an attention layer: what its rows are computed from, one row at a time.
//!
//! A self-attention map of 64x64 places has 16 million values a head. Nobody looks at all of them at once, and a row
//! follows from one query and all keys: so these are kept, and rows are computed when they are looked at.

use std::sync::Arc;

use candle_core::{IndexOp as _, Tensor};

use super::options::{CancelToken, Guidance};
use crate::generation::AttentionLayer;
use crate::kernels::cuda::transfer::to_host;
use crate::model::unet::projection_paths;
use crate::model::{self, Hook};

/// Which of a transformer block's two attention layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttentionKind {
    /// `attn1`: of the picture's places to one another.
    Own,
    /// `attn2`: of the picture's places to the text.
    Text,
}

/// The most places of a map of which principal components are computed, and of the layers that are averaged: 32x32.
pub const MOST_PLACES: usize = 1024;

impl AttentionLayer {
    /// The path of this layer, or of the self-attention before it in the same transformer block.
    pub fn path_of(&self, kind: AttentionKind) -> String {
        match (kind, self.path.strip_suffix("attn2")) {
            (AttentionKind::Own, Some(block)) => format!("{block}attn1"),
            _ => self.path.clone(),
        }
    }
}

/// The layers whose self-attention is looked at together: the one at `selected`, or else all of the finest size of at
/// most 32x32 places, or of the smallest size where all are larger. Layers of one size are averaged, as
/// Prompt-to-Prompt's code does (Hertz et al. 2022, `aggregate_attention`); there is no mean of different sizes, whose
/// rows are over different places.
pub fn layers_together(layers: &[AttentionLayer], selected: Option<usize>) -> Vec<usize> {
    if let Some(selected) = selected {
        return layers.get(selected).map(|_| selected).into_iter().collect();
    }
    let size = |layer: &AttentionLayer| layer.height * layer.width;
    let fitting = layers.iter().map(size).filter(|&size| size <= MOST_PLACES);
    let Some(chosen) = fitting.max().or_else(|| layers.iter().map(size).min()) else {
        return Vec::new();
    };
    let indices = layers.iter().enumerate();
    indices
        .filter(|(_, layer)| size(layer) == chosen)
        .map(|(index, _)| index)
        .collect()
}

/// Queries, keys and values of one attention layer at one step, in one half of guidance. Channels are those of all
/// heads, side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Projections {
    /// The layer's module path, `….attn1` or `….attn2`; its queries are the output of the module `to_q` below it.
    pub path: Arc<str>,
    /// Number of heads; each has an equal share of the channels.
    pub heads: usize,
    /// Height of the layer's feature map.
    pub height: usize,
    /// Width of the layer's feature map.
    pub width: usize,
    /// Number of channels of all heads.
    pub channels: usize,
    /// `(height * width, channels)`.
    pub query: Arc<[f32]>,
    /// `(keys, channels)`: of every place (`attn1`), or of every text position (`attn2`).
    pub key: Arc<[f32]>,
    /// `(keys, channels)`; empty of `attn1`, of which nobody looks at them.
    pub value: Arc<[f32]>,
}

/// One row of attention, computed in f64 from the network's own queries and keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// q·k with each key.
    pub products: Vec<f64>,
    /// q·k / √d.
    pub scores: Vec<f64>,
    /// Of each: e to the power of the score minus the largest score. The largest is taken off so that none overflows; it
    /// cancels in the softmax.
    pub exponentials: Vec<f64>,
    /// `exponentials` divided by their sum: the softmax.
    pub probabilities: Vec<f64>,
}

impl Projections {
    /// Number of places.
    pub fn places(&self) -> usize {
        self.height * self.width
    }

    /// Number of keys.
    pub fn keys(&self) -> usize {
        self.key.len() / self.channels.max(1)
    }

    /// Number of features of one head, `d`.
    pub fn size(&self) -> usize {
        self.channels / self.heads.max(1)
    }

    /// Memory of the values, in bytes.
    pub fn bytes(&self) -> usize {
        (self.query.len() + self.key.len() + self.value.len()) * size_of::<f32>()
    }

    /// The place that covers `(across, down)`, both from 0 to 1: row-major.
    pub fn place_at(&self, (across, down): (f32, f32)) -> usize {
        let pixel =
            |part: f32, count: usize| ((part * count as f32) as usize).min(count.saturating_sub(1));
        pixel(down, self.height) * self.width + pixel(across, self.width)
    }

    /// The query of `head` at `place`; empty where there is none.
    pub fn query_of(&self, head: usize, place: usize) -> &[f32] {
        self.strip(&self.query, head, place)
    }

    /// The key of `head` at position `index`; empty where there is none.
    pub fn key_of(&self, head: usize, index: usize) -> &[f32] {
        self.strip(&self.key, head, index)
    }

    /// The value of `head` at position `index`; empty where there is none.
    pub fn value_of(&self, head: usize, index: usize) -> &[f32] {
        self.strip(&self.value, head, index)
    }

    fn strip<'a>(&self, all: &'a [f32], head: usize, row: usize) -> &'a [f32] {
        let size = self.size();
        if head >= self.heads {
            return &[];
        }
        let from = row * self.channels + head * size;
        all.get(from..from + size).unwrap_or(&[])
    }

    /// The row of attention of `head` at `place`: `softmax(q Kᵀ / √d)` (Vaswani et al. 2017, section 3.2.1).
    pub fn row(&self, head: usize, place: usize) -> Row {
        let query = self.query_of(head, place);
        let product = |index| dot(query, self.key_of(head, index));
        let products: Vec<f64> = (0..self.keys()).map(product).collect();
        let scale = 1.0 / (self.size().max(1) as f64).sqrt();
        let scores: Vec<f64> = products.iter().map(|product| product * scale).collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exponentials: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        let probabilities = exponentials.iter().map(|value| value / sum).collect();
        Row {
            products,
            scores,
            exponentials,
            probabilities,
        }
    }

    /// The probabilities of `head` at `place`, or the mean of all heads'.
    pub fn probabilities(&self, head: Option<usize>, place: usize) -> Vec<f64> {
        if let Some(head) = head {
            return self.row(head, place).probabilities;
        }
        let mut mean = vec![0.0; self.keys()];
        for head in 0..self.heads {
            for (mean, value) in mean.iter_mut().zip(self.row(head, place).probabilities) {
                *mean += value / self.heads as f64;
            }
        }
        mean
    }
}

/// The sum of the products of `a` and `b`, in f64.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
    products.sum()
}

/// The hook that keeps queries, keys and values of some layers, and ends the forward pass when it has all of them.
pub(super) struct Keep<'a> {
    /// Of each layer that is wanted: what is known of it, its path, and the sites of its projections.
    wanted: Vec<(&'a AttentionLayer, String, [String; 3])>,
    kind: AttentionKind,
    guidance: Guidance,
    cancel: CancelToken,
    /// What passed, by layer and projection.
    kept: Vec<[Option<Tensor>; 3]>,
}

impl<'a> Keep<'a> {
    pub fn new(
        layers: impl Iterator<Item = &'a AttentionLayer>,
        kind: AttentionKind,
        guidance: Guidance,
        cancel: CancelToken,
    ) -> Self {
        let wanted: Vec<_> = layers
            .map(|layer| {
                let path = layer.path_of(kind);
                let sites = projection_paths(&path);
                (layer, path, sites)
            })
            .collect();
        Self {
            kept: wanted.iter().map(|_| [const { None }; 3]).collect(),
            wanted,
            kind,
            guidance,
            cancel,
        }
    }

    /// The last projection that is looked at: of self-attention, values are not.
    fn parts(&self) -> usize {
        match self.kind {
            AttentionKind::Own => 2,
            AttentionKind::Text => 3,
        }
    }

    fn find(&self, path: &str) -> Option<(usize, usize)> {
        self.wanted.iter().enumerate().find_map(|(layer, wanted)| {
            let (_, _, sites) = wanted;
            let part = sites[..self.parts()].iter().position(|site| site == path)?;
            Some((layer, part))
        })
    }

    /// What was kept, on the host.
    pub fn finish(self) -> candle_core::Result<Vec<Projections>> {
        let mut found = Vec::new();
        for ((layer, path, _), parts) in self.wanted.into_iter().zip(self.kept) {
            let [Some(query), Some(key), value] = parts else {
                candle_core::bail!("{path} had no queries and keys in this pass");
            };
            let channels = query.dim(candle_core::D::Minus1)?;
            let tensors: Vec<Tensor> = [query, key].into_iter().chain(value).collect();
            let mut values = to_host::<f32>(&tensors)?.into_iter().map(Arc::from);
            let mut next = || values.next().unwrap_or_else(|| Arc::from([]));
            found.push(Projections {
                path: path.into(),
                heads: layer.heads,
                height: layer.height,
                width: layer.width,
                channels,
                query: next(),
                key: next(),
                value: next(),
            });
        }
        Ok(found)
    }
}

impl Hook for Keep<'_> {
    fn check(&mut self) -> Result<(), model::Error> {
        if self.cancel.is_cancelled() {
            return Err(model::Error::Cancelled);
        }
        let parts = self.parts();
        let mut kept = self.kept.iter().flat_map(|kept| &kept[..parts]);
        if kept.all(Option::is_some) {
            return Err(model::Error::Enough);
        }
        Ok(())
    }

    fn wants_output(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, model::Error> {
        if let Some((layer, part)) = self.find(path) {
            let (first, _) = self.guidance.item().range(value.dim(0)?);
            self.kept[layer][part] = Some(value.i(first)?);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(path: &str, side: usize) -> AttentionLayer {
        AttentionLayer {
            path: path.into(),
            heads: 8,
            height: side,
            width: side,
        }
    }

    /// The layers of Stable Diffusion v1 at 512x512, with their channels.
    fn stable_diffusion() -> Vec<(AttentionLayer, usize)> {
        let sides = [
            64, 64, 32, 32, 16, 16, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64,
        ];
        sides
            .into_iter()
            .map(|side| {
                let channels = match side {
                    64 => 320,
                    32 => 640,
                    _ => 1280,
                };
                (layer("x.attn2", side), channels)
            })
            .collect()
    }

    #[test]
    fn queries_and_keys_take_a_small_part_of_the_memory_for_attention_at_the_size_of_stable_diffusion()
     {
        let model = stable_diffusion();
        let layers: Vec<AttentionLayer> = model.iter().map(|(layer, _)| layer.clone()).collect();
        let bytes = |selected| -> usize {
            let chosen = layers_together(&layers, selected);
            let of = chosen.iter().map(|&index| {
                let (layer, channels) = &model[index];
                2 * layer.height * layer.width * channels * size_of::<f32>()
            });
            of.sum()
        };
        // One layer of 64x64; all five of 32x32, which are averaged. The maps of one head of one layer of 64x64 would be
        // 64 MiB, those of all heads 512 MiB.
        assert_eq!(bytes(Some(0)), 2 * 4096 * 320 * 4);
        assert!(bytes(None) <= 27 << 20, "{}", bytes(None));
        for index in 0..layers.len() {
            assert!(bytes(Some(index)) <= 11 << 20);
        }
    }

    #[test]
    fn layers_of_one_size_are_looked_at_together_the_finest_that_is_not_too_large() {
        let model = stable_diffusion();
        let layers: Vec<AttentionLayer> = model.into_iter().map(|(layer, _)| layer).collect();
        assert_eq!(layers_together(&layers, None), [2, 3, 10, 11, 12]);
        assert_eq!(layers_together(&layers, Some(6)), [6]);
        assert!(layers_together(&layers, Some(16)).is_empty());
        assert!(layers_together(&[], None).is_empty());
        assert_eq!(
            layers_together(&[layer("a", 64), layer("b", 96)], None),
            [0]
        );
        assert_eq!(layers[0].path_of(AttentionKind::Own), "x.attn1");
    }

    #[test]
    fn a_row_is_the_softmax_of_the_scaled_products() {
        // Two heads of two features, one place, two keys.
        let projections = Projections {
            path: "mid.attn2".into(),
            heads: 2,
            height: 1,
            width: 1,
            channels: 4,
            query: [1.0, 2.0, 0.0, 1.0].into(),
            key: [1.0, 0.5, 9.0, 9.0, 0.0, 0.5, 9.0, 9.0].into(),
            value: [].into(),
        };
        let row = projections.row(0, 0);
        assert_eq!(row.products, [2.0, 1.0]);
        let expected = 1.0 / (1.0 + (-1.0 / 2.0_f64.sqrt()).exp());
        assert!((row.probabilities[0] - expected).abs() < 1e-15);
        // The other head's keys are equal.
        assert_eq!(projections.row(1, 0).probabilities, [0.5, 0.5]);
        let mean = projections.probabilities(None, 0);
        assert!((mean[0] - f64::midpoint(expected, 0.5)).abs() < 1e-15);
        assert!(projections.key_of(2, 0).is_empty() && projections.key_of(0, 2).is_empty());
    }
}

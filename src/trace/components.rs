//! What belongs together in a picture, as its self-attention has it: the leading principal components of the map.
//!
//! Each place has a row of attention to all places. Places that look alike at the picture have rows that are alike, and
//! the first principal components of the rows, as colours, show regions: Tumanyan et al. 2023 ("Plug-and-Play Diffusion
//! Features", arXiv 2211.12572); Prompt-to-Prompt's code takes the same decomposition (Hertz et al. 2022,
//! `show_self_attention_comp`: the singular vectors of the map less its mean).

use std::sync::Arc;

use super::options::CancelToken;
use super::principal::{COMPONENTS, Moments};
use super::projections::{MOST_PLACES, Projections};
use crate::kernels::cpu::attention::{Input, Sizes};
use crate::model::{self, AttentionDetail};

/// Rows of a map that are computed at once: of 4096 keys, 4 MiB.
const ROWS: usize = 256;

/// The leading principal components of the self-attention of some layers of one size, averaged.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// The layers' module paths, `….attn1`.
    pub paths: Vec<Arc<str>>,
    /// Their height and width.
    pub layer_size: (usize, usize),
    /// Height and width of the components: smaller than the layers where their maps were too large, and pooled: of
    /// several queries the mean, of several keys the sum of their probabilities.
    pub height: usize,
    /// See `height`.
    pub width: usize,
    /// Of each component, the largest first: the place's coordinate, row-major. Their sign is arbitrary; here the largest
    /// coordinate is positive.
    pub scores: Vec<Vec<f32>>,
    /// Of each component: its share of the variance of the rows, 0 to 1.
    pub explained: Vec<f64>,
}

impl Components {
    /// Memory of the values, in bytes.
    pub fn bytes(&self) -> usize {
        self.scores
            .iter()
            .map(|scores| scores.len() * size_of::<f32>())
            .sum()
    }
}

/// Those of `layers`, of `head` or of the mean over heads; none without layers.
pub(super) fn components_of(
    layers: &[Projections],
    head: Option<usize>,
    cancel: &CancelToken,
) -> Result<Option<Components>, model::Error> {
    let Some(first) = layers.first() else {
        return Ok(None);
    };
    let size = (first.height, first.width);
    let mut pooled = Pooled::new(size);
    for layer in layers {
        if (layer.height, layer.width) != size {
            let message = "self-attention of layers of different sizes has no mean".to_owned();
            return Err(candle_core::Error::Msg(message).into());
        }
        for from in (0..layer.places()).step_by(ROWS) {
            if cancel.is_cancelled() {
                return Err(model::Error::Cancelled);
            }
            let count = ROWS.min(layer.places() - from);
            let rows = rows(layer, head, from, count);
            pooled.add(&rows, from, 1.0 / layers.len() as f32);
        }
    }
    let places = pooled.places();
    let (scores, explained) = principal(&pooled.map, places);
    if cancel.is_cancelled() {
        return Err(model::Error::Cancelled);
    }
    Ok(Some(Components {
        paths: layers.iter().map(|layer| Arc::clone(&layer.path)).collect(),
        layer_size: size,
        height: pooled.height,
        width: pooled.width,
        scores,
        explained,
    }))
}

/// Of each principal component of the rows of `map` `(places, places)` every row's coordinate, less the mean of all rows,
/// the largest of them positive; and the component's share of the variance. All 0 where rows are alike.
fn principal(map: &[f32], places: usize) -> (Vec<Vec<f32>>, Vec<f64>) {
    // A row's values are its features.
    let columns = (0..places).flat_map(|column| map.iter().skip(column).step_by(places));
    let planes: Vec<f32> = columns.copied().collect();
    let mut moments = Moments::new(places);
    moments.add(&planes);
    let Some(found) = moments.components() else {
        return (vec![vec![0.0; places]; COMPONENTS], vec![0.0; COMPONENTS]);
    };
    let with_sign = |along: Vec<f64>| -> Vec<f32> {
        let largest = along
            .iter()
            .copied()
            .max_by(|a, b| a.abs().total_cmp(&b.abs()));
        let sign = largest.map_or(1.0, f64::signum);
        along.iter().map(|value| (value * sign) as f32).collect()
    };
    let scores = found.coordinates(&planes).map(with_sign);
    (scores.into(), found.shares().into())
}

/// `count` rows of a layer's map from row `from` on, `(count, places)`, in f32 by the networks' own kernel.
fn rows(layer: &Projections, head: Option<usize>, from: usize, count: usize) -> Vec<f32> {
    let (channels, places) = (layer.channels, layer.places());
    let queries = &layer.query[from * channels..(from + count) * channels];
    let strip = |all: &[f32], head: usize| -> Vec<f32> {
        let rows = all.chunks_exact(channels);
        let size = layer.size();
        rows.flat_map(|row| &row[head * size..(head + 1) * size])
            .copied()
            .collect()
    };
    let (heads, query, key) = match head.filter(|&head| head < layer.heads) {
        Some(head) => (1, strip(queries, head), strip(&layer.key, head)),
        None => (layer.heads, queries.to_vec(), layer.key.to_vec()),
    };
    let sizes = Sizes {
        batch: 1,
        heads,
        queries: count,
        keys: places,
        size: layer.size(),
    };
    // Of the result nothing is used: any values do.
    let input = Input {
        query: &query,
        key: &key,
        value: &key,
        mask: None,
    };
    let (_, probabilities) = sizes.attend(&input, AttentionDetail::Mean);
    probabilities
}

/// The mean of maps, pooled so far that their places are at most 32x32.
struct Pooled {
    /// Width of the layers' own map.
    own_width: usize,
    own_height: usize,
    /// So many places across, and down, become one.
    factor: usize,
    height: usize,
    width: usize,
    /// `(places, places)`.
    map: Vec<f32>,
}

impl Pooled {
    fn new((own_height, own_width): (usize, usize)) -> Self {
        let mut factor = 1;
        while own_height.div_ceil(factor) * own_width.div_ceil(factor) > MOST_PLACES {
            factor += 1;
        }
        let (height, width) = (own_height.div_ceil(factor), own_width.div_ceil(factor));
        Self {
            own_width,
            own_height,
            factor,
            height,
            width,
            map: vec![0.0; (height * width).pow(2)],
        }
    }

    fn places(&self) -> usize {
        self.height * self.width
    }

    /// The place that `place` of the layers' own map becomes a part of, and of how many.
    fn pool(&self, place: usize) -> (usize, usize) {
        let (row, column) = (place / self.own_width, place % self.own_width);
        let (row, column) = (row / self.factor, column / self.factor);
        let length = |at: usize, whole: usize| (whole - at * self.factor).min(self.factor);
        let count = length(row, self.own_height) * length(column, self.own_width);
        (row * self.width + column, count)
    }

    /// Adds rows from row `first` on, times `weight`.
    fn add(&mut self, rows: &[f32], first: usize, weight: f32) {
        let (own, places) = (self.own_width * self.own_height, self.places());
        let columns: Vec<usize> = (0..own).map(|place| self.pool(place).0).collect();
        for (index, row) in rows.chunks_exact(own).enumerate() {
            let (place, count) = self.pool(first + index);
            let share = weight / count as f32;
            let sums = &mut self.map[place * places..(place + 1) * places];
            for (&column, value) in columns.iter().zip(row) {
                sums[column] += value * share;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Generator;

    fn layer((height, width): (usize, usize), heads: usize, seed: i128) -> Projections {
        let channels = heads * 4;
        let mut noise = Generator::manual_seed(seed);
        let mut values = || noise.randn(height * width * channels).into();
        Projections {
            path: "mid.attn1".into(),
            heads,
            height,
            width,
            channels,
            query: values(),
            key: values(),
            value: [].into(),
        }
    }

    #[test]
    fn rows_are_those_that_are_computed_one_by_one() {
        let layer = layer((5, 4), 2, 3);
        for head in [None, Some(1)] {
            let all = rows(&layer, head, 3, 9);
            for (index, row) in all.chunks_exact(20).enumerate() {
                let expected = layer.probabilities(head, 3 + index);
                for (value, expected) in row.iter().zip(expected) {
                    assert!((f64::from(*value) - expected).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn a_pooled_map_still_has_rows_that_sum_to_one() {
        // 33 of 34x31 do not divide: the last places are smaller.
        let layer = layer((34, 31), 1, 4);
        let mut pooled = Pooled::new((34, 31));
        assert_eq!((pooled.factor, pooled.height, pooled.width), (2, 17, 16));
        let all = rows(&layer, None, 0, layer.places());
        pooled.add(&all, 0, 1.0);
        for row in pooled.map.chunks_exact(pooled.places()) {
            let sum: f32 = row.iter().sum();
            assert!((sum - 1.0).abs() < 1e-4, "{sum}");
        }
        // The first place is the mean of four queries, over sums of keys.
        let four = [0, 1, 31, 32];
        let expected: f32 = four
            .iter()
            .flat_map(|&query| four.iter().map(move |&key| (query, key)))
            .map(|(query, key)| all[query * layer.places() + key] / 4.0)
            .sum();
        assert!((pooled.map[0] - expected).abs() < 1e-6);
    }

    #[test]
    fn layers_of_different_sizes_and_a_cancelled_search_are_no_components() {
        let layers = [layer((4, 4), 1, 1), layer((2, 2), 1, 2)];
        assert!(components_of(&layers, None, &CancelToken::default()).is_err());
        assert!(matches!(
            components_of(&[], None, &CancelToken::default()),
            Ok(None)
        ));
        let cancelled = CancelToken::default();
        cancelled.cancel();
        let found = components_of(&layers[..1], None, &cancelled);
        assert!(matches!(found, Err(model::Error::Cancelled)));
    }
}

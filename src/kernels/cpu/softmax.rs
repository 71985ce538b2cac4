//! Softmax down the columns of a block, `exp(x - max) / sum(exp(x - max))`, with the scale and the mask of attention.
//!
//! Every column is by itself, so that a vector's lanes hold as many of them and nothing has to be added up across
//! lanes. Three passes over a block that is in the cache: the largest value; the exponentials and their sum; the
//! division, as a product with the sum's inverse. NaN anywhere in a column makes all of it NaN, and so does a column
//! that is masked altogether, as in PyTorch.

use pulp::{Simd, WithSimd};

use super::activation::exp;
use super::simd::{LANES, mul_add, vectorised};

/// Scores `(keys, columns)` become probabilities, in place: each column the softmax of `scale x + mask`.
///
/// There are whole vectors of [`LANES`] columns. `mask` is of the scores' shape.
pub fn softmax(scores: &mut [f32], columns: usize, scale: f32, mask: Option<&[f32]>) {
    vectorised(Softmax {
        scores,
        columns,
        scale,
        mask,
    });
}

struct Softmax<'a> {
    scores: &'a mut [f32],
    columns: usize,
    scale: f32,
    mask: Option<&'a [f32]>,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let scale = match self.mask {
            Some(mask) => {
                for (score, &mask) in self.scores.iter_mut().zip(mask) {
                    *score = *score * self.scale + mask;
                }
                1.0
            }
            None => self.scale,
        };
        let columns = self.columns;
        for first in (0..columns).step_by(LANES) {
            let mut largest = [f32::NEG_INFINITY; LANES];
            for row in self.scores.chunks_exact(columns) {
                if let Some(row) = row[first..].first_chunk::<LANES>() {
                    for (largest, &x) in largest.iter_mut().zip(row) {
                        // NaN is larger than nothing.
                        *largest = if x > *largest { x } else { *largest };
                    }
                }
            }
            let mut sums = [0.0; LANES];
            for row in self.scores.chunks_exact_mut(columns) {
                if let Some(row) = row[first..].first_chunk_mut::<LANES>() {
                    for lane in 0..LANES {
                        let shift = -largest[lane] * scale;
                        row[lane] = exp::<S>(mul_add::<S>(row[lane], scale, shift));
                        sums[lane] += row[lane];
                    }
                }
            }
            let inverses = sums.map(|sum| 1.0 / sum);
            for row in self.scores.chunks_exact_mut(columns) {
                if let Some(row) = row[first..].first_chunk_mut::<LANES>() {
                    for (x, inverse) in row.iter_mut().zip(inverses) {
                        *x *= inverse;
                    }
                }
            }
        }
    }
}

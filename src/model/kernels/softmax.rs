//! Softmax of rows, `exp(x - max) / sum(exp(x - max))`, with the scale and the mask of attention in the same pass.
//!
//! Three passes over a row that is in the cache: its largest value, the exponentials and their sum, the division. NaN
//! anywhere in a row makes all of it NaN, and so does a row that is masked altogether, as in PyTorch.

use pulp::{Simd, WithSimd};

use super::activation::exp;
use super::simd::{LANES, fold, vectorised};

/// Rows of `keys` scores each become probabilities, in place: `softmax(scale x + mask)`.
///
/// `mask` has one row of `keys` values for each row of scores.
pub fn softmax(scores: &mut [f32], keys: usize, scale: f32, mask: Option<&[f32]>) {
    vectorised(Softmax {
        scores,
        keys,
        scale,
        mask,
    });
}

struct Softmax<'a> {
    scores: &'a mut [f32],
    keys: usize,
    scale: f32,
    mask: Option<&'a [f32]>,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (index, row) in self.scores.chunks_exact_mut(self.keys).enumerate() {
            match self.mask {
                Some(mask) => {
                    let mask = &mask[index * self.keys..][..self.keys];
                    for (score, &mask) in row.iter_mut().zip(mask) {
                        *score = *score * self.scale + mask;
                    }
                }
                None => row.iter_mut().for_each(|score| *score *= self.scale),
            }
            let largest = largest(row);
            let sum = exponentials::<S>(row, largest);
            for x in row {
                *x /= sum;
            }
        }
    }
}

/// The largest value that is not NaN.
#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, x);
    }
    fold(lanes, larger)
}

/// Makes every `x` of the row `exp(x - largest)`; returns their sum.
#[inline(always)]
fn exponentials<S: Simd>(row: &mut [f32], largest: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *x = exp::<S>(*x - largest);
            *lane += *x;
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *x = exp::<S>(*x - largest);
        *lane += *x;
    }
    fold(lanes, |a, b| a + b)
}

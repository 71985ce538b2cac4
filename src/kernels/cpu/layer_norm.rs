//! Layer normalisation (Ba et al. 2016): every row gets mean 0 and variance 1, then a scale and a shift a feature.
//!
//! A row fits the first cache, so it is simply read three times: for the mean, for the squared distances from it, and
//! to be written.

use pulp::{Simd, WithSimd};

use super::parallel;
use super::simd::{mul_add, sum, vectorised};

/// What a layer norm needs besides its input.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm<'a> {
    /// One value a feature.
    pub weight: &'a [f32],
    /// One value a feature.
    pub bias: &'a [f32],
    pub eps: f32,
}

impl LayerNorm<'_> {
    /// `values` `(rows, features)`, same shape out.
    pub fn forward(&self, values: &[f32]) -> Vec<f32> {
        const BLOCK: usize = 16 << 10;
        let features = self.weight.len();
        let block = (BLOCK / features).max(1) * features;
        let mut out = vec![0.0; values.len()];
        parallel::chunks(&mut out, block, |index, out| {
            vectorised(Rows {
                norm: *self,
                values: &values[index * block..][..out.len()],
                out,
            });
        });
        out
    }
}

struct Rows<'a> {
    norm: LayerNorm<'a>,
    values: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let LayerNorm { weight, bias, eps } = self.norm;
        let features = weight.len();
        let bias = &bias[..features];
        let rows = self.values.chunks_exact(features);
        for (row, out) in rows.zip(self.out.chunks_exact_mut(features)) {
            let mean = sum(row, |x| x) / features as f32;
            let variance = sum(row, |x| (x - mean) * (x - mean)) / features as f32;
            let inverse = 1.0 / (variance + eps).sqrt();
            for feature in 0..features {
                let normal = (row[feature] - mean) * inverse;
                out[feature] = mul_add::<S>(normal, weight[feature], bias[feature]);
            }
        }
    }
}

//! A linear layer, `x W + b`, and what every product of activations with weights has in common.
//!
//! The rows of `x` (pixels, tokens) are cut into blocks. A thread multiplies one block with all weights and, while the
//! result is still in its cache, adds the bias and whatever else is to be added (a residual).

use super::activation::geglu;
use super::parallel::{self, with_scratch};
use super::product::{Added, Matrix, MatrixMut};
use super::weights::Weights;

/// Weights of a linear layer, `(inputs, outputs)`: the transpose of what a checkpoint has, because a product is fastest
/// where the rows of its right factor are contiguous.
#[derive(Debug, Clone)]
pub struct Dense {
    weight: Weights,
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
}

impl Dense {
    /// `weight` `(outputs, inputs)`, as checkpoints have it; `bias` `(outputs)`.
    pub fn new(weight: &[f32], bias: Option<Vec<f32>>, inputs: usize, outputs: usize) -> Self {
        Self {
            weight: Weights::from_transposed(weight, outputs, inputs),
            bias,
            inputs,
            outputs,
        }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `x` `(rows, inputs)` to `(rows, outputs)`; `base`, of the result's shape, is added to it.
    pub fn forward(&self, x: &[f32], base: Option<&[f32]>) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let mut out = vec![0.0; rows * self.outputs];
        let at_once = rows_at_once(rows, self.weight.len());
        parallel::chunks(&mut out, at_once * self.outputs, |index, out| {
            let count = out.len() / self.outputs;
            let first = index * at_once;
            let x = Matrix::new(&x[first * self.inputs..], count, self.inputs);
            let added = Added {
                bias: self.bias.as_deref(),
                base: base.map(|base| &base[first * self.outputs..][..count * self.outputs]),
            };
            let mut out = MatrixMut::new(out, count, self.outputs);
            self.weight.multiply(x, &mut out, added);
        });
        out
    }

    /// The gated GELU of `forward(x)`: `(rows, inputs)` to `(rows, outputs / 2)`. What it is made of, the widest rows
    /// of a network, never leaves the cache.
    pub fn forward_geglu(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let inner = self.outputs / 2;
        let mut out = vec![0.0; rows * inner];
        let at_once = rows_at_once(rows, self.weight.len());
        parallel::chunks(&mut out, at_once * inner, |index, out| {
            let count = out.len() / inner;
            let x = &x[index * at_once * self.inputs..];
            with_scratch(count * self.outputs, |both| {
                let added = Added {
                    bias: self.bias.as_deref(),
                    base: None,
                };
                self.weight.multiply(
                    Matrix::new(x, count, self.inputs),
                    &mut MatrixMut::new(both, count, self.outputs),
                    added,
                );
                geglu(both, inner, out);
            });
        });
        out
    }
}

/// How many of `rows` a thread multiplies at once with `weights` weights. At least 8 blocks, to share among threads;
/// but so many rows that reading weights that fit no cache does not take longer than multiplying.
pub fn rows_at_once(rows: usize, weights: usize) -> usize {
    const SMALL_WEIGHTS: usize = 128 << 10;
    let least = if weights > SMALL_WEIGHTS { 48 } else { 12 };
    rows.div_ceil(8).clamp(least, 48)
}

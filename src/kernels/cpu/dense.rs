//! A linear layer, `x W + b`, and what every product of activations with weights has in common.
//!
//! The rows of `x` (pixels, tokens) are cut into blocks. A thread multiplies one block with all weights and, while the
//! result is still in its cache, adds the bias and whatever else is to be added (a residual). Where there are few rows,
//! the weights are what takes long to read: then the threads share those, and each is read once.

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
        if self.weight.are_better_shared(rows) {
            let x = Matrix::new(x, rows, self.inputs);
            return self.weight.multiply_shared(x, |_| Added {
                bias: self.bias.as_deref(),
                base,
            });
        }
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
        if self.weight.are_better_shared(rows) {
            let both = self.forward(x, None);
            let mut out = vec![0.0; rows * inner];
            parallel::chunks(&mut out, inner, |row, out| {
                geglu(&both[row * self.outputs..][..self.outputs], inner, out);
            });
            return out;
        }
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

/// How many of `rows` a thread multiplies at once with `weights` weights. Where these are few, at least 8 blocks to share
/// among threads. Else as many rows as make reading the weights, and widening them, a small part of the work, and yet
/// leave what is read beside them in the core's cache; in blocks of which 2, 4 or 8 threads get equally many.
pub fn rows_at_once(rows: usize, weights: usize) -> usize {
    const SMALL_WEIGHTS: usize = 128 << 10;
    const MOST: usize = 96;
    if weights <= SMALL_WEIGHTS {
        return rows.div_ceil(8).clamp(12, 48);
    }
    let blocks = rows.div_ceil(MOST).next_power_of_two();
    rows.div_ceil(blocks).max(1)
}

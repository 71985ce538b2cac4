//! A tensor that has left the network: its values on the host, with a name.

use std::slice;
use std::sync::Arc;

use candle_core::Tensor;

use super::Stats;
use crate::kernels::cuda::transfer::to_host;

/// A tensor's values on the host, named, with their statistics. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorData {
    /// The name that it has everywhere: `latents`, `text_model.encoder.layers.0`, …
    pub name: Arc<str>,
    /// Its shape, without a leading batch of one.
    pub shape: Vec<usize>,
    /// Statistics of all values.
    pub stats: Stats,
    /// The values, row-major.
    pub data: Arc<[f32]>,
}

impl TensorData {
    /// Copies `tensor` to the host as f32, dropping a leading dimension of 1.
    pub fn from_tensor(name: &str, tensor: &Tensor) -> candle_core::Result<Self> {
        let data = to_host(slice::from_ref(tensor))?;
        let data = data.into_iter().next().unwrap_or_default();
        Ok(Self::from_values(name, shape(tensor), data))
    }

    /// Of values that already are on the host. `data` has as many values as `shape` says.
    pub fn from_values(name: &str, shape: Vec<usize>, data: Vec<f32>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self {
            name: name.into(),
            shape,
            stats: Stats::of(&data),
            data: data.into(),
        }
    }

    /// Number of rows, where the last dimension is a row: `(tokens, features)` has `tokens` rows.
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// The `index`-th row along the last dimension; empty when there is no such row.
    pub fn row(&self, index: usize) -> &[f32] {
        let width = self.shape.last().copied().unwrap_or(0);
        self.data
            .chunks_exact(width.max(1))
            .nth(index)
            .unwrap_or(&[])
    }

    /// The `index`-th plane of the last two dimensions, `(height, width)` values: one channel of
    /// `(channels, height, width)`. Empty when there is no such plane.
    pub fn plane(&self, index: usize) -> &[f32] {
        let size: usize = self.shape.iter().rev().take(2).product();
        self.data
            .chunks_exact(size.max(1))
            .nth(index)
            .unwrap_or(&[])
    }
}

/// The shape of `tensor` without a leading dimension of 1.
pub fn shape(tensor: &Tensor) -> Vec<usize> {
    match tensor.dims() {
        [1, rest @ ..] if !rest.is_empty() => rest.to_vec(),
        all => all.to_vec(),
    }
}

//! Weights in the order in which products read them.

use super::parallel;
use super::product::{Added, Matrix, MatrixMut, product, transpose};

/// Columns of one panel of [`Weights`]: four vectors of AVX-512.
pub const PANEL: usize = 64;

/// A matrix of weights `(rows, columns)`, cut into panels of [`PANEL`] columns that lie one after another.
///
/// In a wide matrix a column's neighbour below is thousands of values away; every few of them a new page of memory, and
/// with widths that are powers of two all of them compete for the same few lines of the cache. In a panel, the kernel
/// reads from one end to the other.
#[derive(Debug, Clone)]
pub struct Weights {
    values: Vec<f32>,
    rows: usize,
}

impl Weights {
    /// From the transpose, `(columns, rows)`, which is how checkpoints have weights.
    pub fn from_transposed(matrix: Matrix) -> Self {
        let (columns, rows) = matrix.size();
        let mut values = vec![0.0; rows * columns];
        parallel::chunks(&mut values, PANEL * rows, |index, panel| {
            let width = panel.len() / rows;
            let mut panel = MatrixMut::new(panel, rows, width);
            transpose(matrix.some_rows(index * PANEL, width), &mut panel);
        });
        Self { values, rows }
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// `out = left weights + added`, on this thread.
    pub fn multiply(&self, left: Matrix, out: &mut MatrixMut, added: Added) {
        for (index, (panel, width)) in self.panels().enumerate() {
            let panel = Matrix::new(panel, self.rows, width);
            product(out, index * PANEL, left, panel, added);
        }
    }

    /// Its panels and the number of columns of each: `(rows, columns)`, one row after another.
    pub fn panels(&self) -> impl Iterator<Item = (&[f32], usize)> {
        let panels = self.values.chunks(PANEL * self.rows);
        panels.map(|panel| (panel, panel.len() / self.rows))
    }
}

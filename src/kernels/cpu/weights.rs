//! Weights in the order in which products read them.

use super::parallel::{self, with_scratch};
use super::product::{Added, Matrix, MatrixMut, add_block, blocks, product, transpose};
use super::sixteen_bits::Format;

/// Columns of one panel of [`Weights`]: four vectors of AVX-512.
pub const PANEL: usize = 64;

/// Matrices of fewer values stay in f32: a core's cache has room for them, and they take no memory worth saving.
pub const WORTH_HALVING: usize = 3 << 17;

/// A matrix of weights `(rows, columns)`, cut into panels of [`PANEL`] columns that lie one after another.
///
/// In a wide matrix a column's neighbour below is thousands of values away; every few of them a new page of memory, and
/// with widths that are powers of two all of them compete for the same few lines of the cache. In a panel, the kernel
/// reads from one end to the other.
///
/// A large matrix of values that came from 16 bits is kept in 16 bits, see [`sixteen_bits`](super::sixteen_bits).
#[derive(Debug, Clone)]
pub struct Weights {
    values: Values,
    rows: usize,
    len: usize,
}

#[derive(Debug, Clone)]
enum Values {
    Whole(Vec<f32>),
    Narrow(Format, Vec<u16>),
}

impl Weights {
    /// From the transpose, `(columns, rows)`, which is how checkpoints have weights.
    pub fn from_transposed(values: &[f32], columns: usize, rows: usize) -> Self {
        let format = (values.len() >= WORTH_HALVING)
            .then(|| Format::of(values))
            .flatten();
        Self::of_format(format, Matrix::new(values, columns, rows))
    }

    /// In `format`, which must hold all values; `None` is f32.
    fn of_format(format: Option<Format>, matrix: Matrix) -> Self {
        let (columns, rows) = matrix.size();
        let panel_of = |index: usize, panel: &mut [f32]| {
            let width = panel.len() / rows;
            let mut panel = MatrixMut::new(panel, rows, width);
            transpose(matrix.some_rows(index * PANEL, width), &mut panel);
        };
        let len = rows * columns;
        let values = match format {
            None => {
                let mut values = vec![0.0; len];
                parallel::chunks(&mut values, PANEL * rows, panel_of);
                Values::Whole(values)
            }
            Some(format) => {
                let mut values = vec![0; len];
                parallel::chunks(&mut values, PANEL * rows, |index, narrow| {
                    with_scratch(narrow.len(), |panel| {
                        panel_of(index, panel);
                        format.narrow(panel, narrow);
                    });
                });
                Values::Narrow(format, values)
            }
        };
        Self { values, rows, len }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// `out = left weights + added`, on this thread.
    pub fn multiply(&self, left: Matrix, out: &mut MatrixMut, added: Added) {
        for (index, panel) in self.panels().enumerate() {
            panel.multiply(left, out, index * PANEL, added);
        }
    }

    /// Are there so few rows to multiply with, and so many weights, that threads had better share the weights than the
    /// rows?
    pub fn are_better_shared(&self, rows: usize) -> bool {
        const FEW_ROWS: usize = 128;
        /// For many threads, too.
        const PANELS: usize = 8;
        rows <= FEW_ROWS && self.len >= PANELS * PANEL * self.rows
    }

    /// `left weights + added(row)`, on all threads, one panel each: every weight is read once. `base` of what is
    /// `added` is of the result's shape.
    pub fn multiply_shared<'a>(
        &self,
        left: Matrix,
        added: impl Fn(usize) -> Added<'a> + Send + Sync,
    ) -> Vec<f32> {
        let rows = left.size().0;
        let panels: Vec<Panel> = self.panels().collect();
        let products = parallel::map(panels.len(), |index| {
            let width = panels[index].width();
            let mut out = vec![0.0; rows * width];
            let matrix = &mut MatrixMut::new(&mut out, rows, width);
            panels[index].multiply(left, matrix, 0, Added::default());
            out
        });
        let columns = self.len / self.rows;
        let mut out = vec![0.0; rows * columns];
        parallel::chunks(&mut out, columns, |row, out| {
            for (panel, out) in products.iter().zip(out.chunks_mut(PANEL)) {
                out.copy_from_slice(&panel[row * out.len()..][..out.len()]);
            }
            let Added { bias, base } = added(row);
            let base = base.map(|base| &base[row * columns..]);
            for values in [bias, base].into_iter().flatten() {
                for (out, value) in out.iter_mut().zip(values) {
                    *out += value;
                }
            }
        });
        out
    }

    /// Its panels, from left to right.
    pub fn panels(&self) -> impl Iterator<Item = Panel<'_>> {
        let size = PANEL * self.rows;
        (0..self.len).step_by(size.max(1)).map(move |first| {
            let range = first..self.len.min(first + size);
            Panel {
                values: match &self.values {
                    Values::Whole(values) => PanelValues::Whole(&values[range]),
                    Values::Narrow(format, values) => PanelValues::Narrow(*format, &values[range]),
                },
                rows: self.rows,
            }
        })
    }
}

/// Up to [`PANEL`] columns of [`Weights`]: `(rows, width)`, one row after another.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'a> {
    values: PanelValues<'a>,
    rows: usize,
}

#[derive(Debug, Clone, Copy)]
enum PanelValues<'a> {
    Whole(&'a [f32]),
    Narrow(Format, &'a [u16]),
}

impl Panel<'_> {
    pub fn len(&self) -> usize {
        match self.values {
            PanelValues::Whole(values) => values.len(),
            PanelValues::Narrow(_, values) => values.len(),
        }
    }

    pub fn width(&self) -> usize {
        self.len() / self.rows
    }

    /// Calls `work` with its values, f32.
    pub fn with_values<R>(&self, work: impl FnOnce(&[f32]) -> R) -> R {
        match self.values {
            PanelValues::Whole(values) => work(values),
            PanelValues::Narrow(format, values) => with_scratch(values.len(), |wide| {
                format.widen(values, wide);
                work(wide)
            }),
        }
    }

    /// `left panel + added` into the columns of `out` from `column` on. What is narrow is widened block by block, so
    /// that it is in the core's cache when it is read.
    fn multiply(&self, left: Matrix, out: &mut MatrixMut, column: usize, added: Added) {
        let (rows, width) = (self.rows, self.width());
        match self.values {
            PanelValues::Whole(values) => {
                product(out, column, left, Matrix::new(values, rows, width), added);
            }
            PanelValues::Narrow(format, values) => {
                for block in blocks(rows) {
                    let count = block.len();
                    let values = &values[block.start * width..block.end * width];
                    with_scratch(values.len(), |wide| {
                        format.widen(values, wide);
                        let right = Matrix::new(wide, count, width);
                        add_block(out, column, left, (block, right), added);
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::images::Images;
    use super::super::values::to_vec;
    use super::super::winograd::Winograd;
    use super::*;
    use crate::random::Generator;

    /// Normal values that f16 holds, its smallest ones among them.
    fn halves(noise: &mut Generator, count: usize) -> Vec<f32> {
        let tensor = noise.randn_tensor(&[count], &Device::Cpu);
        let narrow = tensor.and_then(|values| (values * 1e-3)?.to_dtype(DType::F16));
        to_vec(
            &narrow
                .and_then(|values| values.to_dtype(DType::F32))
                .unwrap(),
        )
        .unwrap()
    }

    fn both(values: &[f32], columns: usize, rows: usize) -> [Weights; 2] {
        let format = Format::of(values);
        assert_eq!(format, Some(Format::F16));
        [None, format].map(|format| Weights::of_format(format, Matrix::new(values, columns, rows)))
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn a_product_with_narrow_weights_is_the_same_to_the_bit() {
        let noise = &mut Generator::manual_seed(5);
        for (count, rows, columns) in [(1, 1, 65), (13, 41, 70), (50, 600, 130), (7, 2500, 64)] {
            let [whole, narrow] = both(&halves(noise, rows * columns), columns, rows);
            let (left, bias) = (noise.randn(count * rows), noise.randn(columns));
            let base = noise.randn(count * columns);
            let added = Added {
                bias: Some(&bias),
                base: Some(&base),
            };
            let [a, b] = [whole, narrow].map(|weights| {
                let mut out = vec![f32::NAN; count * columns];
                let left = Matrix::new(&left, count, rows);
                weights.multiply(left, &mut MatrixMut::new(&mut out, count, columns), added);
                let shared = weights.multiply_shared(left, |_| added);
                assert_eq!(bits(&shared), bits(&out), "{count} {rows} {columns}");
                bits(&out)
            });
            assert_eq!(a, b, "{count} {rows} {columns}");
        }
    }

    #[test]
    fn so_is_a_convolution_by_winograd() {
        let noise = &mut Generator::manual_seed(6);
        let (inputs, outputs, size) = (100, 130, (17, 18));
        let [whole, narrow] = both(&halves(noise, 9 * inputs * outputs), outputs, 9 * inputs);
        let (picture, bias) = (noise.randn(size.0 * size.1 * inputs), noise.randn(outputs));
        let [a, b] = [whole, narrow].map(|weight| {
            let winograd = Winograd {
                weight: &weight,
                inputs,
                outputs,
            };
            let images = Images {
                values: &picture,
                batch: 1,
                size,
            };
            bits(&winograd.forward(images, &bias, None))
        });
        assert_eq!(a, b);
    }

    #[test]
    fn only_large_matrices_of_such_values_are_narrow() {
        let mut values = vec![0.5; WORTH_HALVING];
        let is_narrow = |values: &[f32]| {
            let weights = Weights::from_transposed(values, 1, values.len());
            matches!(weights.values, Values::Narrow(..))
        };
        assert!(is_narrow(&values));
        assert!(!is_narrow(&values[1..]));
        values[WORTH_HALVING - 1] = 0.1;
        assert!(!is_narrow(&values));
    }
}

//! The matrix product: the one operation that most of the time goes into, and the only one taken from a library.
//!
//! [`gemm`] cuts both factors into blocks that fit the caches and multiplies those with a kernel of 6 or more vector
//! registers by 8 columns, written for AVX-512, AVX2, NEON and plain code, chosen when it runs. What remains for us is to
//! hand it work of the right size and shape: it is fastest where the right factor's rows are contiguous (no packing),
//! so weights are transposed once, when they are loaded.

use gemm::Parallelism;
use pulp::{Simd, WithSimd};

use super::parallel;
use super::simd::vectorised;

/// A matrix in memory that belongs to somebody else.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// From one row to the next, in values.
    row_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` x `columns`, one row after another.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// `rows` x `columns`, a row every `row_stride` values.
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(fits(values.len(), rows, columns, row_stride));
        Self {
            values,
            rows,
            columns,
            row_stride,
        }
    }
}

impl<'a> Matrix<'a> {
    /// Some of its rows.
    pub fn some_rows(self, first: usize, count: usize) -> Matrix<'a> {
        assert!(first + count <= self.rows);
        let start = (first * self.row_stride).min(self.values.len());
        Matrix::strided(&self.values[start..], count, self.columns, self.row_stride)
    }

    /// Some of its columns.
    fn some_columns(self, first: usize, count: usize) -> Matrix<'a> {
        assert!(first + count <= self.columns);
        let start = first.min(self.values.len());
        Matrix::strided(&self.values[start..], self.rows, count, self.row_stride)
    }

    /// Its rows, one after another.
    pub fn rows(self) -> impl Iterator<Item = &'a [f32]> {
        (0..self.rows).map(move |row| &self.values[row * self.row_stride..][..self.columns])
    }
}

/// The same, to write into.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    values: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// `rows` x `columns`, one row after another.
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// `rows` x `columns`, a row every `row_stride` values.
    pub fn strided(values: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(fits(values.len(), rows, columns, row_stride));
        Self {
            values,
            rows,
            columns,
            row_stride,
        }
    }
}

/// Do `rows` x `columns` at that stride lie within `len` values, without overlap?
fn fits(len: usize, rows: usize, columns: usize, row_stride: usize) -> bool {
    let Some(before_last) = rows.checked_sub(1) else {
        return true;
    };
    let end = before_last
        .checked_mul(row_stride)
        .and_then(|start| start.checked_add(columns));
    columns <= row_stride && end.is_some_and(|end| end <= len)
}

/// What becomes of the values that a product's result has before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// They are overwritten.
    Replaced,
    /// The product is added to them.
    Kept,
}

/// How many of `count` products are added up one after another. Every addition rounds, and the error of a sum grows with
/// its length; sums of a few dozen, which then are added up, keep it small (Higham 1993, "The Accuracy of Floating Point
/// Summation"). Shorter ones would cost time: the result is read and written once more for each.
fn summands(count: usize) -> usize {
    match count {
        ..=512 => 24,
        513..=1024 => 48,
        _ => 128,
    }
}

/// `out = left right`, on this thread.
pub fn product(mut out: MatrixMut, left: Matrix, right: Matrix) {
    assert_eq!(left.columns, right.rows, "inner sizes of a product");
    let parts = left.columns.div_ceil(summands(left.columns)).max(1);
    let size = left.columns.div_ceil(parts);
    for first in (0..left.columns.max(1)).step_by(size.max(1)) {
        let count = size.min(left.columns - first);
        let before = if first == 0 {
            Before::Replaced
        } else {
            Before::Kept
        };
        let rows = right.some_rows(first, count);
        multiply(&mut out, before, left.some_columns(first, count), rows);
    }
}

#[allow(unsafe_code)] // There is no safe interface to gemm; every pointer is made here, from a checked slice.
fn multiply(out: &mut MatrixMut, before: Before, left: Matrix, right: Matrix) {
    assert_eq!(left.columns, right.rows, "inner sizes of a product");
    assert_eq!((out.rows, out.columns), (left.rows, right.columns));
    // SAFETY: gemm reads `rows x columns` elements of each factor and writes those of `out`, each at
    // `row * row_stride + column`. The constructors have checked that these lie in the slices; the sizes of the three
    // fit one another; `out` is borrowed mutably and so overlaps neither factor.
    unsafe {
        gemm::gemm(
            out.rows,
            out.columns,
            left.columns,
            out.values.as_mut_ptr(),
            1,
            out.row_stride.cast_signed(),
            before == Before::Kept,
            left.values.as_ptr(),
            1,
            left.row_stride.cast_signed(),
            right.values.as_ptr(),
            1,
            right.row_stride.cast_signed(),
            1.0, // times what is there before, if it is kept
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `(rows, columns)` to `(columns, rows)`, in squares that stay in the cache.
pub fn transpose(matrix: Matrix, out: &mut [f32]) {
    const SQUARE: usize = 16;
    for first_row in (0..matrix.rows).step_by(SQUARE) {
        for first_column in (0..matrix.columns).step_by(SQUARE) {
            for column in first_column..matrix.columns.min(first_column + SQUARE) {
                for row in first_row..matrix.rows.min(first_row + SQUARE) {
                    out[column * matrix.rows + row] =
                        matrix.values[row * matrix.row_stride + column];
                }
            }
        }
    }
}

/// Columns of one panel of [`Weights`]: the four vector registers of 16 that gemm's kernel for AVX-512 takes at once.
const PANEL: usize = 64;
/// Rows of the left factor that meet a panel at once; with more, gemm copies the panel first.
const ROWS: usize = 48;

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
        let (columns, rows) = (matrix.rows, matrix.columns);
        let mut values = vec![0.0; rows * columns];
        parallel::chunks(&mut values, PANEL * rows, |index, panel| {
            let width = panel.len() / rows;
            transpose(matrix.some_rows(index * PANEL, width), panel);
        });
        Self { values, rows }
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// `out = left weights + added`, on this thread.
    pub fn multiply(&self, left: Matrix, out: &mut MatrixMut, added: Added) {
        // A tile of the result is put together in memory of its own: in `out` its rows may be so far apart that they
        // push one another out of the cache.
        let mut tile = [0.0; ROWS * PANEL];
        for (index, panel) in self.values.chunks(PANEL * self.rows).enumerate() {
            let width = panel.len() / self.rows;
            let panel = Matrix::new(panel, self.rows, width);
            for first in (0..left.rows).step_by(ROWS) {
                let count = ROWS.min(left.rows - first);
                let tile = &mut tile[..count * width];
                product(
                    MatrixMut::new(tile, count, width),
                    left.some_rows(first, count),
                    panel,
                );
                vectorised(Finish {
                    tile,
                    added,
                    row: first,
                    column: index * PANEL,
                    width,
                    out,
                });
            }
        }
    }

    /// The sum of `factors.len()` equal blocks of rows, each times its factor.
    pub fn combined(&self, factors: &[f64]) -> Self {
        let rows = self.rows / factors.len();
        let mut values = vec![0.0; self.values.len() / factors.len()];
        let panels = self.values.chunks(PANEL * self.rows);
        for (out, panel) in values.chunks_mut(PANEL * rows).zip(panels) {
            let blocks: Vec<&[f32]> = panel.chunks_exact(out.len()).collect();
            for (index, out) in out.iter_mut().enumerate() {
                let terms = blocks.iter().zip(factors);
                let sum: f64 = terms
                    .map(|(block, factor)| f64::from(block[index]) * factor)
                    .sum();
                *out = sum as f32;
            }
        }
        Self { values, rows }
    }
}

/// What is added to a product.
#[derive(Debug, Clone, Copy, Default)]
pub struct Added<'a> {
    /// To every row.
    pub bias: Option<&'a [f32]>,
    /// To the result, of its shape: `(rows, columns)`, one row after another.
    pub base: Option<&'a [f32]>,
}

/// Moves a finished tile to its place.
struct Finish<'a, 'b> {
    tile: &'a [f32],
    added: Added<'a>,
    row: usize,
    column: usize,
    width: usize,
    out: &'a mut MatrixMut<'b>,
}

impl WithSimd for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.width;
        for (index, row) in self.tile.chunks_exact(width).enumerate() {
            let row_of_out = self.row + index;
            let start = row_of_out * self.out.row_stride + self.column;
            let out = &mut self.out.values[start..start + width];
            match self.added.bias {
                Some(bias) => {
                    let bias = &bias[self.column..self.column + width];
                    for ((out, &x), &bias) in out.iter_mut().zip(row).zip(bias) {
                        *out = x + bias;
                    }
                }
                None => out.copy_from_slice(row),
            }
            if let Some(base) = self.added.base {
                let start = row_of_out * self.out.columns + self.column;
                for (out, &base) in out.iter_mut().zip(&base[start..start + width]) {
                    *out += base;
                }
            }
        }
    }
}

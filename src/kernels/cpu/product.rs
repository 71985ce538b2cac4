//! The matrix product: the one operation that most of the time goes into.
//!
//! A product of two matrices reads each value many times; the art is to read it from the nearest memory (Goto & van de
//! Geijn 2008, "Anatomy of High-Performance Matrix Multiplication"). From the inside outwards:
//!
//! - A **tile** of the result, 6 rows by 4 vectors of columns, is summed up in registers. For each of the inner size's
//!   indices, 4 vectors of the right factor are read, and 6 values of the left one, each spread over a vector: 24
//!   multiplications and additions for 10 reads.
//! - All tiles of a **strip** of columns follow, one below the other. The strip of the right factor, 64 columns by at
//!   most 512 rows, stays in the core's cache meanwhile. [`Weights`](super::weights::Weights) lie in memory strip by
//!   strip.
//! - Then the next rows of the inner size, and then the next strip.
//!
//! There is one level of parallelism, above: whoever calls [`product`] does so for a few dozen rows on each thread.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::simd::{load, store, vectorised};

/// A borrowed matrix.
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

    pub fn some_rows(self, first: usize, count: usize) -> Matrix<'a> {
        assert!(first + count <= self.rows);
        let start = (first * self.row_stride).min(self.values.len());
        Matrix::strided(&self.values[start..], count, self.columns, self.row_stride)
    }

    pub fn size(self) -> (usize, usize) {
        (self.rows, self.columns)
    }
}

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

/// How many of `count` products are added up one after another. Every addition rounds, and the error of a sum grows
/// with its length; sums of a few dozen, which then are added up, keep it small (Higham 1993, "The Accuracy of Floating
/// Point Summation").
fn summands(count: usize) -> usize {
    let most = match count {
        ..=40 => 40,
        41..=512 => 24,
        513..=1024 => 48,
        _ => 128,
    };
    count.div_ceil(count.div_ceil(most).max(1)).max(1)
}

/// `left right + added` into the columns of `out` from `column` on, on this thread.
pub fn product(out: &mut MatrixMut, column: usize, left: Matrix, right: Matrix, added: Added) {
    assert_eq!(left.columns, right.rows, "inner sizes of a product");
    for block in blocks(right.rows) {
        let rows = right.some_rows(block.start, block.len());
        add_block(out, column, left, (block, rows), added);
    }
}

/// The inner size of a product in blocks: rows of the right factor that stay in the core's cache while all rows of the
/// left one meet them. There is always one.
pub fn blocks(inner: usize) -> impl Iterator<Item = Range<usize>> {
    const ROWS: usize = 512;
    let part = summands(inner);
    let block = (ROWS / part).max(1) * part;
    let firsts = (0..inner.max(1)).step_by(block);
    firsts.map(move |first| first..inner.min(first + block))
}

/// One of the [`blocks`] of a product, `right` being those rows of the right factor: the first writes to `out`, the
/// next add to what is there, and with the last comes what is `added`.
pub fn add_block(
    out: &mut MatrixMut,
    column: usize,
    left: Matrix,
    (inner, right): (Range<usize>, Matrix),
    added: Added,
) {
    assert_eq!(inner.len(), right.rows, "inner sizes of a product");
    assert!(inner.end <= left.columns, "inner sizes of a product");
    assert_eq!(out.rows, left.rows, "rows of a product");
    assert!(
        column + right.columns <= out.columns,
        "columns of a product"
    );
    vectorised(Product {
        out,
        column,
        left,
        right,
        inner,
        added,
    });
}

/// What is added to a product.
#[derive(Debug, Clone, Copy, Default)]
pub struct Added<'a> {
    /// To every row of `out`.
    pub bias: Option<&'a [f32]>,
    /// To the result, of `out`'s shape, one row after another.
    pub base: Option<&'a [f32]>,
}

struct Product<'a, 'b> {
    out: &'a mut MatrixMut<'b>,
    column: usize,
    left: Matrix<'a>,
    /// The rows `inner` of the right factor.
    right: Matrix<'a>,
    inner: Range<usize>,
    added: Added<'a>,
}

impl WithSimd for Product<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let part = summands(self.left.columns);
        let mut column = 0;
        while column < self.right.columns {
            let rest = self.right.columns - column;
            let vectors = rest / S::F32_LANES;
            let many = S::REGISTER_COUNT >= 32;
            let strip = Strip {
                part,
                column,
                width: rest.min(S::F32_LANES),
            };
            column += match vectors {
                4.. if many => strip.multiply::<S, 4>(simd, &mut self),
                3 if many => strip.multiply::<S, 3>(simd, &mut self),
                2.. => strip.multiply::<S, 2>(simd, &mut self),
                _ => strip.multiply::<S, 1>(simd, &mut self),
            };
        }
    }
}

/// Some columns of a product.
struct Strip {
    /// How many products are added up by themselves.
    part: usize,
    column: usize,
    /// Columns of a vector: all its lanes, but for the last columns.
    width: usize,
}

impl Strip {
    /// All rows of `N` vectors of columns; how many columns these were.
    #[inline(always)]
    fn multiply<S: Simd, const N: usize>(&self, simd: S, product: &mut Product) -> usize {
        let rows = product.left.rows;
        let mut row = 0;
        while row + 6 <= rows {
            self.tile::<S, 6, N>(simd, product, row);
            row += 6;
        }
        while row + 3 <= rows {
            self.tile::<S, 3, N>(simd, product, row);
            row += 3;
        }
        while row < rows {
            self.tile::<S, 1, N>(simd, product, row);
            row += 1;
        }
        N * self.width
    }

    /// `M` rows of `N` vectors. Their sums are kept in registers: 6 rows of 4 vectors are 24 of the 32 that AVX-512 and
    /// NEON have, 6 rows of 2 are 12 of AVX2's 16.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(
        &self,
        simd: S,
        product: &mut Product,
        row: usize,
    ) {
        let (left, right, inner) = (product.left, product.right, product.inner.clone());
        let column = product.column + self.column;
        let out = &mut *product.out;
        let none = simd.splat_f32s(0.0);
        let mut totals = [[none; N]; M];
        if inner.start > 0 {
            for (m, totals) in totals.iter_mut().enumerate() {
                let values = &out.values[(row + m) * out.row_stride + column..];
                for (n, total) in totals.iter_mut().enumerate() {
                    *total = load(simd, &values[n * self.width..(n + 1) * self.width]);
                }
            }
        }
        let mut first = inner.start;
        while first < inner.end {
            let count = self.part.min(inner.end - first);
            let mut factors = [&[][..]; M];
            for (m, factors) in factors.iter_mut().enumerate() {
                *factors = &left.values[(row + m) * left.row_stride + first..][..count];
            }
            let rows = &right.values[(first - inner.start) * right.row_stride + self.column..];
            let mut sums = [[none; N]; M];
            for k in 0..count {
                let values = &rows[k * right.row_stride..][..N * self.width];
                let mut vectors = [none; N];
                for (n, vector) in vectors.iter_mut().enumerate() {
                    *vector = load(simd, &values[n * self.width..(n + 1) * self.width]);
                }
                for m in 0..M {
                    let factor = simd.splat_f32s(factors[m][k]);
                    for n in 0..N {
                        sums[m][n] = simd.mul_add_e_f32s(factor, vectors[n], sums[m][n]);
                    }
                }
            }
            for m in 0..M {
                for n in 0..N {
                    totals[m][n] = simd.add_f32s(totals[m][n], sums[m][n]);
                }
            }
            first += count;
        }
        let is_last = inner.end == left.columns;
        for (m, totals) in totals.into_iter().enumerate() {
            let row = row + m;
            for (n, mut total) in totals.into_iter().enumerate() {
                let at = column + n * self.width;
                let columns = at..at + self.width;
                if is_last {
                    if let Some(bias) = product.added.bias {
                        total = simd.add_f32s(total, load(simd, &bias[columns.clone()]));
                    }
                    if let Some(base) = product.added.base {
                        let base = &base[row * out.columns..][columns.clone()];
                        total = simd.add_f32s(total, load(simd, base));
                    }
                }
                store(
                    simd,
                    &mut out.values[row * out.row_stride..][columns],
                    total,
                );
            }
        }
    }
}

/// `(rows, columns)` to `(columns, rows)`, in squares that stay in the cache.
pub fn transpose(matrix: Matrix, out: &mut MatrixMut) {
    const SQUARE: usize = 16;
    assert_eq!((out.rows, out.columns), (matrix.columns, matrix.rows));
    for first_row in (0..matrix.rows).step_by(SQUARE) {
        for first_column in (0..matrix.columns).step_by(SQUARE) {
            for column in first_column..matrix.columns.min(first_column + SQUARE) {
                for row in first_row..matrix.rows.min(first_row + SQUARE) {
                    out.values[column * out.row_stride + row] =
                        matrix.values[row * matrix.row_stride + column];
                }
            }
        }
    }
}

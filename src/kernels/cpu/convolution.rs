//! Convolution as a matrix product (im2col; Chellapilla et al. 2006, "High Performance Convolutional Neural Networks
//! for Document Processing").
//!
//! An output pixel of a 3x3 convolution is the product of one long row, the 9 pixels around it with all their channels,
//! with a matrix of `9 in x out` weights. Writing these rows down for the whole picture takes nine times its memory,
//! and that is what makes the plain method slow: the rows travel to memory and back. Here they are written for a few
//! dozen pixels at a time, into scratch memory that stays in the core's cache, and multiplied at once.
//!
//! ```text
//!            rows of a block (P, 9 in)        weights (9 in, out)       pixels of the block (P, out)
//!   pixel 0  [ .. in .. | .. in .. | .. ]        [        ]
//!   pixel 1  [ .. in .. | .. in .. | .. ]   ×    [        ]       =        + bias + shift + base
//! ```
//!
//! Pictures are `(batch, height, width, channels)`, channels last: a pixel's channels lie side by side, so that a row
//! is nine copies of contiguous memory (three, inside the picture: neighbours in x are neighbours in memory), a 1x1
//! convolution needs no copies at all, and a transformer's `(batch, pixels, channels)` is the same memory.

use super::dense::rows_at_once;
use super::images::Images;
use super::parallel::{self, with_scratch};
use super::product::{Added, Matrix, MatrixMut, transpose};
use super::weights::Weights;
use super::winograd::Winograd;
use crate::kernels::geometry::{Geometry, Size};

/// A convolution with its weights in the order in which they are multiplied: `(size, size, inputs, outputs)`.
#[derive(Debug, Clone)]
pub struct Convolution {
    weight: Weights,
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    geometry: Geometry,
}

impl Convolution {
    /// `weight` `(outputs, inputs, size, size)`, as checkpoints have it; `bias` `(outputs)`.
    pub fn new(weight: &[f32], bias: Vec<f32>, inputs: usize, geometry: Geometry) -> Self {
        let outputs = bias.len();
        Self {
            weight: packed(weight, inputs, outputs, geometry.size * geometry.size),
            bias,
            inputs,
            outputs,
            geometry,
        }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// `images` of `inputs` channels to `(batch, height', width', outputs)`; nothing where the kernel does not fit into
    /// them. `shift` is added to every pixel, `(outputs)` or one row an image (the time embedding); `base`, of the
    /// result's shape, to the result (a residual).
    pub fn forward(&self, images: Images, shift: Option<&[f32]>, base: Option<&[f32]>) -> Vec<f32> {
        let Some((height, width)) = self.geometry.output(images.size) else {
            return Vec::new();
        };
        let biases = self.biases(shift);
        if self.geometry == Winograd::GEOMETRY
            && Winograd::pays(self.inputs, self.outputs, images.size)
        {
            let winograd = Winograd {
                weight: &self.weight,
                inputs: self.inputs,
                outputs: self.outputs,
            };
            return winograd.forward(images, &biases, base);
        }
        let pixels = height * width;
        if self.weight.are_better_shared(images.batch * pixels) {
            return self.forward_shared(images, (height, width), &biases, base);
        }
        let mut out = vec![0.0; images.batch * pixels * self.outputs];
        let at_once = self.pixels_at_once(images.batch * pixels);
        let blocks = out
            .chunks_mut(pixels * self.outputs)
            .enumerate()
            .flat_map(|(image, out)| {
                let blocks = out.chunks_mut(at_once * self.outputs).enumerate();
                blocks.map(move |(index, out)| (image, index * at_once, out))
            })
            .collect();
        parallel::each(blocks, |(image, first, out)| {
            let count = out.len() / self.outputs;
            let start = (image * pixels + first) * self.outputs;
            let added = Added {
                bias: Some(&biases[image * self.outputs % biases.len()..][..self.outputs]),
                base: base.map(|base| &base[start..start + out.len()]),
            };
            let mut out = MatrixMut::new(out, count, self.outputs);
            let mut multiply = |rows: &[f32]| {
                let rows = Matrix::new(rows, count, self.row());
                self.weight.multiply(rows, &mut out, added);
            };
            if self.is_plain() {
                multiply(&images.values[(image * pixels + first) * self.inputs..]);
            } else {
                with_scratch(count * self.row(), |rows| {
                    let picture = images.one(image, self.inputs);
                    self.gather(picture, images.size, (first, width), rows);
                    multiply(rows);
                });
            }
        });
        out
    }

    /// The same for small pictures, `size` being the output's: all their rows are written down, and threads share the
    /// weights.
    fn forward_shared(
        &self,
        images: Images,
        size: Size,
        biases: &[f32],
        base: Option<&[f32]>,
    ) -> Vec<f32> {
        let pixels = size.0 * size.1;
        let added = |row: usize| Added {
            bias: Some(&biases[row / pixels * self.outputs % biases.len()..][..self.outputs]),
            base,
        };
        let count = images.batch * pixels;
        if self.is_plain() {
            let rows = Matrix::new(images.values, count, self.row());
            return self.weight.multiply_shared(rows, added);
        }
        let mut rows = vec![0.0; count * self.row()];
        parallel::chunks(&mut rows, self.row(), |index, row| {
            let picture = images.one(index / pixels, self.inputs);
            self.gather(picture, images.size, (index % pixels, size.1), row);
        });
        let rows = Matrix::new(&rows, count, self.row());
        self.weight.multiply_shared(rows, added)
    }

    /// Length of a row: what one output pixel looks at.
    fn row(&self) -> usize {
        self.geometry.size * self.geometry.size * self.inputs
    }

    /// Is it the same as a linear layer at every pixel?
    fn is_plain(&self) -> bool {
        let Geometry {
            size,
            stride,
            padding,
        } = self.geometry;
        (size, stride, padding) == (1, 1, 0)
    }

    /// The bias, with the shift if there is one: of all pictures, or one after another.
    fn biases(&self, shift: Option<&[f32]>) -> Vec<f32> {
        let Some(shift) = shift else {
            return self.bias.clone();
        };
        let bias = self.bias.iter().cycle();
        shift.iter().zip(bias).map(|(a, b)| a + b).collect()
    }

    /// How many of `pixels` are worked off at once: their rows have to stay in a core's cache.
    fn pixels_at_once(&self, pixels: usize) -> usize {
        const CACHE: usize = 192 << 10; // values; 768 KiB
        let fit = (CACHE / self.row() / 8 * 8).max(32);
        rows_at_once(pixels, self.weight.len()).min(fit)
    }

    /// Writes the rows of the output pixels from `first` on, in a picture of `width` output pixels a line, until `rows`
    /// is full. `picture` is `(height, width, inputs)`; pixels outside it are zeros.
    fn gather(
        &self,
        picture: &[f32],
        (lines, columns): Size,
        (first, width): Size,
        rows: &mut [f32],
    ) {
        let Geometry {
            size,
            stride,
            padding,
        } = self.geometry;
        let channels = self.inputs;
        for (index, row) in rows.chunks_exact_mut(self.row()).enumerate() {
            let (y, x) = ((first + index) / width, (first + index) % width);
            let left = (x * stride).checked_sub(padding);
            for (tap_y, taps) in row.chunks_exact_mut(size * channels).enumerate() {
                let line = (y * stride + tap_y)
                    .checked_sub(padding)
                    .filter(|&line| line < lines);
                let Some(line) = line else {
                    taps.fill(0.0);
                    continue;
                };
                let line = &picture[line * columns * channels..][..columns * channels];
                if let Some(left) = left
                    && left + size <= columns
                {
                    taps.copy_from_slice(&line[left * channels..][..size * channels]);
                    continue;
                }
                for (tap_x, tap) in taps.chunks_exact_mut(channels).enumerate() {
                    let column = (x * stride + tap_x)
                        .checked_sub(padding)
                        .filter(|&column| column < columns);
                    match column {
                        Some(column) => {
                            tap.copy_from_slice(&line[column * channels..][..channels]);
                        }
                        None => tap.fill(0.0),
                    }
                }
            }
        }
    }
}

/// `(outputs, inputs, taps)` as the matrix `(taps * inputs, outputs)`: a pixel's channels lie side by side, so they
/// come last in a row.
fn packed(weight: &[f32], inputs: usize, outputs: usize, taps: usize) -> Weights {
    let row = inputs * taps;
    let mut taps_first = vec![0.0; weight.len()];
    parallel::chunks(&mut taps_first, row, |output, out| {
        let mut out = MatrixMut::new(out, taps, inputs);
        transpose(Matrix::new(&weight[output * row..], inputs, taps), &mut out);
    });
    Weights::from_transposed(&taps_first, outputs, row)
}

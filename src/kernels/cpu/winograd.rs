//! 3x3 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3) (Lavin & Gray 2016, "Fast Algorithms
//! for Convolutional Neural Networks"; Winograd 1980 for the minimum).
//!
//! Two polynomials can be multiplied by evaluating both at enough points, multiplying the values, and interpolating. A
//! convolution in one dimension is such a product: 4 outputs of a kernel of 3 taps take 6 points instead of 12
//! multiplications. In two dimensions, tiles of 4x4 outputs take 36 instead of 144. With the matrices of the points,
//!
//! ```text
//! out = A^T [ (G g G^T) ∘ (B^T d B) ] A          d: 6x6 inputs, g: 3x3 taps, out: 4x4 outputs
//! ```
//!
//! The multiplications `∘` have to be summed over the input channels, so each of the 36 points becomes a matrix product
//! of its own: (tiles, in) times (in, out). The transforms on both sides are additions over all channels at once.
//!
//! The points decide how much rounding costs. The usual 0, ±1, ±2 and infinity make the result ten times less accurate
//! than the plain sum; 0, ±5/8, ±5/4 and infinity five times (measured over 320 channels; Barabasz et al. 2020, "Error
//! Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", explain why smaller is
//! better).
//!
//! The kernels at the 36 points take four times the memory of the kernels themselves, gigabytes for a large network. So
//! they are never kept: a piece of them, all inputs by a panel of outputs at one point, is put together in the core's
//! cache, multiplied with many tiles, and forgotten. Three passes make a convolution, over as many tiles at a time as
//! leave their values in the shared cache:
//!
//! ```text
//! 1. Forward    a task is a line of tiles              B^T d B                      (point, tile, input)
//! 2. products   a task is some lines and one panel     G g G^T, 36 products         (point, tile, output of the panel)
//! 3. Backward   a task is a line of tiles              A^T [..] A, bias, residual   pixels
//! ```

// Matrices are walked along both of their directions.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

use super::images::Images;
use super::parallel::{self, with_scratch};
use super::product::{Added, Matrix, MatrixMut, product};
use super::simd::{load, mul_add, store, vectorised};
use super::weights::{PANEL, Weights};
use crate::kernels::geometry::{Geometry, Size};

/// Width and height of a tile of outputs.
const TILE: usize = 4;
/// Of the inputs that they depend on.
const FIELD: usize = TILE + 2;
/// Points at which the polynomials are multiplied.
const POINTS: usize = FIELD * FIELD;

/// The points are 0, ±[`NEAR`], ±[`FAR`] and infinity.
const NEAR: f32 = 0.625;
const FAR: f32 = 1.25;

/// Tiles that meet a piece of the kernels before it is forgotten; with fewer, putting it together takes a share of the
/// time that is worth saving.
const TILES: usize = 128;

/// A 3x3 convolution of stride 1 and padding 1.
#[derive(Debug, Clone, Copy)]
pub struct Winograd<'a> {
    /// `(9 inputs, outputs)`, taps first, as the plain convolution has it.
    pub weight: &'a Weights,
    pub inputs: usize,
    pub outputs: usize,
}

impl Winograd<'_> {
    /// The only kind of convolution that this is for.
    pub const GEOMETRY: Geometry = Geometry {
        size: 3,
        stride: 1,
        padding: 1,
    };

    /// Does it pay? With few tiles or few channels the transforms take longer than what they save.
    pub fn pays(inputs: usize, outputs: usize, (height, width): Size) -> bool {
        let tiles = height.div_ceil(TILE) * width.div_ceil(TILE);
        inputs.min(outputs) >= 96 && tiles >= 16
    }

    /// `images` of `inputs` channels to `(batch, height, width, outputs)`; `biases` is one row, or one an image;
    /// `base`, of the result's shape, is added to it.
    pub fn forward(&self, images: Images, biases: &[f32], base: Option<&[f32]>) -> Vec<f32> {
        let (height, width) = images.size;
        let row = width * self.outputs;
        let mut out = vec![0.0; images.batch * height * row];
        let mut lines: Vec<Line> = (out.chunks_mut(height * row).enumerate())
            .flat_map(|(image, out)| {
                let lines = out.chunks_mut(TILE * row).enumerate();
                lines.map(move |(index, out)| Line {
                    image,
                    top: index * TILE,
                    out,
                })
            })
            .collect();
        let across = width.div_ceil(TILE);
        let part = (TILES / across).max(1);
        let parts = (self.tiles_at_once() / (part * across)).max(1);
        for lines in lines.chunks_mut(parts * part) {
            let tiles = lines.len() * across;
            with_scratch(POINTS * tiles * (self.inputs + self.outputs), |scratch| {
                let (fields, products) = scratch.split_at_mut(POINTS * tiles * self.inputs);
                let tasks = lines.iter().zip(self.lines_of(fields, part, across));
                parallel::each(tasks.collect(), |(line, fields)| {
                    vectorised(Forward {
                        picture: images.one(line.image, self.inputs),
                        size: images.size,
                        channels: self.inputs,
                        top: line.top,
                        fields,
                    });
                });
                let products = self.multiply(fields, part * across, products);
                let tasks = lines.iter_mut().enumerate().collect();
                parallel::each(tasks, |(index, line): (usize, &mut Line)| {
                    let start = line.image * height * row + line.top * row;
                    let len = line.out.len();
                    vectorised(Backward {
                        products: &products[index / part],
                        first: index % part * across,
                        bias: &biases[line.image * self.outputs % biases.len()..][..self.outputs],
                        base: base.map(|base| &base[start..start + len]),
                        width,
                        out: line.out,
                    });
                });
            });
        }
        out
    }

    /// `fields` are `(point, tile, input)` for every `part` lines of tiles; of every line, its tiles at each point.
    fn lines_of<'a>(
        &self,
        fields: &'a mut [f32],
        part: usize,
        across: usize,
    ) -> Vec<Vec<&'a mut [f32]>> {
        let line = across * self.inputs;
        let mut lines: Vec<Vec<_>> = Vec::new();
        for part in fields.chunks_mut(POINTS * part * line) {
            let first = lines.len();
            lines.resize_with(first + part.len() / POINTS / line, Vec::new);
            for point in part.chunks_mut(part.len() / POINTS) {
                for (all, values) in lines[first..].iter_mut().zip(point.chunks_mut(line)) {
                    all.push(values);
                }
            }
        }
        lines
    }

    /// The products at the points: for every `part` tiles, a piece `(point, tile, output)` for each panel of outputs.
    fn multiply<'a>(
        &self,
        fields: &[f32],
        part: usize,
        mut products: &'a mut [f32],
    ) -> Vec<Vec<&'a [f32]>> {
        let mut tasks = Vec::new();
        for fields in fields.chunks(POINTS * part * self.inputs) {
            for panel in self.weight.panels() {
                let size = fields.len() / self.inputs * panel.width();
                let (out, rest) = products.split_at_mut(size);
                products = rest;
                tasks.push((fields, panel, out));
            }
        }
        parallel::each(tasks.iter_mut().collect(), |(fields, panel, out)| {
            panel.with_values(|kernels| self.multiply_panel(fields, kernels, panel.width(), out));
        });
        let panels = self.weight.panels().count();
        let mut pieces = tasks.into_iter().map(|(.., out)| &*out);
        let mut parts = Vec::new();
        while pieces.len() > 0 {
            parts.push(pieces.by_ref().take(panels).collect());
        }
        parts
    }

    /// `fields` `(point, tile, input)` with the kernels of a panel, `(9 inputs, width)`, to `out` `(point, tile,
    /// width)`.
    fn multiply_panel(&self, fields: &[f32], panel: &[f32], width: usize, out: &mut [f32]) {
        let size = self.inputs * width;
        let tiles = fields.len() / POINTS / self.inputs;
        let mut pairs = fields
            .chunks_exact(tiles * self.inputs)
            .zip(out.chunks_exact_mut(tiles * width));
        with_scratch((3 + 1) * size, |scratch| {
            let (columns, kernels) = scratch.split_at_mut(3 * size);
            for line in KERNEL {
                // g has three columns; G goes along them first,
                for (column, out) in columns.chunks_exact_mut(size).enumerate() {
                    vectorised(Combined {
                        blocks: [0, 1, 2].map(|tap| &panel[(3 * tap + column) * size..][..size]),
                        factors: line,
                        out,
                    });
                }
                // and then across what they have become.
                for (factors, (fields, out)) in KERNEL.into_iter().zip(pairs.by_ref()) {
                    vectorised(Combined {
                        blocks: [0, 1, 2].map(|column| &columns[column * size..][..size]),
                        factors,
                        out: kernels,
                    });
                    product(
                        &mut MatrixMut::new(out, tiles, width),
                        0,
                        Matrix::new(fields, tiles, self.inputs),
                        Matrix::new(kernels, self.inputs, width),
                        Added::default(),
                    );
                }
            }
        });
    }

    /// How many tiles leave their values in the shared cache.
    fn tiles_at_once(&self) -> usize {
        const CACHE: usize = 6 << 20; // values; 24 MiB
        CACHE / POINTS / (self.inputs + self.outputs)
    }
}

/// A line of tiles of a picture.
struct Line<'a> {
    image: usize,
    /// Its first line of pixels.
    top: usize,
    /// Its pixels, `(lines, width, outputs)`; at the lower edge fewer lines than a tile has.
    out: &'a mut [f32],
}

/// The sum of three blocks, each times its factor.
struct Combined<'a> {
    blocks: [&'a [f32]; 3],
    factors: [f32; 3],
    out: &'a mut [f32],
}

impl WithSimd for Combined<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [a, b, c] = self.factors;
        let [first, second, third] = self.blocks;
        let taps = first.iter().zip(second).zip(third);
        for (out, ((&x, &y), &z)) in self.out.iter_mut().zip(taps) {
            *out = mul_add::<S>(c, z, mul_add::<S>(b, y, a * x));
        }
    }
}

/// `G`: the polynomial of three taps at each point, divided by what interpolation would divide by.
const KERNEL: [[f32; 3]; FIELD] = {
    let (a, b) = (NEAR as f64, FAR as f64);
    let (zero, near, far) = (
        1.0 / (a * a * b * b),
        1.0 / (2.0 * a * a * (a * a - b * b)),
        1.0 / (2.0 * b * b * (b * b - a * a)),
    );
    [
        [zero as f32, 0.0, 0.0],
        [near as f32, (near * a) as f32, (near * a * a) as f32],
        [near as f32, (-near * a) as f32, (near * a * a) as f32],
        [far as f32, (far * b) as f32, (far * b * b) as f32],
        [far as f32, (-far * b) as f32, (far * b * b) as f32],
        [0.0, 0.0, 1.0],
    ]
};

/// `a x + y` in every lane.
#[inline(always)]
fn axpy<S: Simd>(simd: S, a: f32, x: S::f32s, y: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(a), x, y)
}

/// `B^T`: the values of a line of inputs at the points, for as many channels as a vector has lanes.
#[inline(always)]
fn to_points<S: Simd>(simd: S, d: [S::f32s; FIELD]) -> [S::f32s; FIELD] {
    const A2: f32 = NEAR * NEAR;
    const B2: f32 = FAR * FAR;
    let even_near = axpy(simd, -B2, d[2], d[4]);
    let odd_near = axpy(simd, -B2, d[1], d[3]);
    let even_far = axpy(simd, -A2, d[2], d[4]);
    let odd_far = axpy(simd, -A2, d[1], d[3]);
    let (zero, infinite) = (
        axpy(simd, -(A2 + B2), d[2], d[4]),
        axpy(simd, -(A2 + B2), d[3], d[5]),
    );
    [
        axpy(simd, A2 * B2, d[0], zero),
        axpy(simd, NEAR, odd_near, even_near),
        axpy(simd, -NEAR, odd_near, even_near),
        axpy(simd, FAR, odd_far, even_far),
        axpy(simd, -FAR, odd_far, even_far),
        axpy(simd, A2 * B2, d[1], infinite),
    ]
}

/// `A^T`: a line of outputs from its values at the points.
#[inline(always)]
fn from_points<S: Simd>(simd: S, m: [S::f32s; FIELD]) -> [S::f32s; TILE] {
    const A3: f32 = NEAR * NEAR * NEAR;
    const B3: f32 = FAR * FAR * FAR;
    let (sum_near, difference_near) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (sum_far, difference_far) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    let first = simd.mul_f32s(simd.splat_f32s(FAR), difference_far);
    let second = simd.mul_f32s(simd.splat_f32s(FAR * FAR), sum_far);
    let third = simd.mul_f32s(simd.splat_f32s(B3), difference_far);
    [
        simd.add_f32s(m[0], simd.add_f32s(sum_near, sum_far)),
        axpy(simd, NEAR, difference_near, first),
        axpy(simd, NEAR * NEAR, sum_near, second),
        simd.add_f32s(m[5], axpy(simd, A3, difference_near, third)),
    ]
}

/// A line of tiles to their values at the points.
struct Forward<'a> {
    /// `(height, width, channels)`.
    picture: &'a [f32],
    size: Size,
    channels: usize,
    /// The tiles' first line.
    top: usize,
    /// `(tile, channel)` for each point.
    fields: Vec<&'a mut [f32]>,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let channels = self.channels;
        let (height, width) = self.size;
        let none = simd.splat_f32s(0.0);
        for tile in 0..width.div_ceil(TILE) {
            for channel in (0..channels).step_by(S::F32_LANES) {
                let end = channels.min(channel + S::F32_LANES);
                let mut field = [[none; FIELD]; FIELD];
                for (y, line) in field.iter_mut().enumerate() {
                    for (x, pixel) in line.iter_mut().enumerate() {
                        // The field begins one pixel above and to the left of its tile.
                        let y = (self.top + y).wrapping_sub(1);
                        let x = (tile * TILE + x).wrapping_sub(1);
                        if y < height && x < width {
                            let from = (y * width + x) * channels;
                            *pixel = load(simd, &self.picture[from + channel..from + end]);
                        }
                    }
                    *line = to_points(simd, *line);
                }
                for x in 0..FIELD {
                    let mut column = [none; FIELD];
                    for y in 0..FIELD {
                        column[y] = field[y][x];
                    }
                    let column = to_points(simd, column);
                    for y in 0..FIELD {
                        let out = &mut self.fields[y * FIELD + x][tile * channels..];
                        store(simd, &mut out[channel..end], column[y]);
                    }
                }
            }
        }
    }
}

/// Products at the points to a line of tiles of a picture.
struct Backward<'a> {
    /// One piece a panel of channels, `(point, tile, channel of the panel)`.
    products: &'a [&'a [f32]],
    /// The line's first tile in them.
    first: usize,
    /// `(channels)`.
    bias: &'a [f32],
    /// Of the shape of `out`.
    base: Option<&'a [f32]>,
    width: usize,
    /// `(lines, width, channels)`.
    out: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.bias.len();
        let row = self.width * channels;
        let lines = self.out.len() / row;
        let none = simd.splat_f32s(0.0);
        for (panel, products) in self.products.iter().enumerate() {
            let (from, to) = (panel * PANEL, channels.min((panel + 1) * PANEL));
            let panel = to - from;
            let point = products.len() / POINTS;
            for (tile, left) in (0..self.width).step_by(TILE).enumerate() {
                for channel in (from..to).step_by(S::F32_LANES) {
                    let end = to.min(channel + S::F32_LANES);
                    let bias = load(simd, &self.bias[channel..end]);
                    let at = (self.first + tile) * panel;
                    let mut columns = [[none; TILE]; FIELD];
                    for (x, column) in columns.iter_mut().enumerate() {
                        let mut values = [none; FIELD];
                        for (y, value) in values.iter_mut().enumerate() {
                            let tiles = &products[(y * FIELD + x) * point + at..];
                            *value = load(simd, &tiles[channel - from..end - from]);
                        }
                        *column = from_points(simd, values);
                    }
                    for y in 0..TILE.min(lines) {
                        let mut line = [none; FIELD];
                        for x in 0..FIELD {
                            line[x] = columns[x][y];
                        }
                        let line = from_points(simd, line);
                        for x in 0..TILE.min(self.width - left) {
                            let at = y * row + (left + x) * channels;
                            let at = at + channel..at + end;
                            let mut pixel = simd.add_f32s(line[x], bias);
                            if let Some(base) = self.base {
                                pixel = simd.add_f32s(pixel, load(simd, &base[at.clone()]));
                            }
                            store(simd, &mut self.out[at], pixel);
                        }
                    }
                }
            }
        }
    }
}

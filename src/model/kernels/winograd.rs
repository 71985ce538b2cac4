//! 3x3 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3) (Lavin & Gray 2016, "Fast Algorithms for
//! Convolutional Neural Networks"; Winograd 1980 for the minimum).
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
//! Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", explain why smaller is better).
//!
//! The kernels at the 36 points take four times the memory of the kernels themselves. They are computed when a convolution
//! first meets a picture that is worth it.

use pulp::{Simd, WithSimd};

use super::convolution::{Geometry, Input, Size};
use super::parallel::{self, with_scratch};
use super::product::{Added, Matrix, MatrixMut, Weights};
use super::simd::{LANES, vectorised};

/// Width and height of a tile of outputs.
const TILE: usize = 4;
/// Of the inputs that they depend on.
const FIELD: usize = TILE + 2;
/// Points at which the polynomials are multiplied.
const POINTS: usize = FIELD * FIELD;

/// The points are 0, ±[`NEAR`], ±[`FAR`] and infinity.
const NEAR: f32 = 0.625;
const FAR: f32 = 1.25;

/// A 3x3 convolution of stride 1 and padding 1, at its points.
#[derive(Debug, Clone)]
pub struct Winograd {
    /// `(inputs, outputs)` of each point.
    points: Vec<Weights>,
    inputs: usize,
    outputs: usize,
}

impl Winograd {
    /// The only kind of convolution that this is for.
    pub const GEOMETRY: Geometry = Geometry {
        size: 3,
        stride: 1,
        padding: 1,
    };

    /// Does it pay? Products with few tiles or few channels are slower than what they save, and for the largest kernels
    /// the memory is dearer than the time.
    pub fn pays(inputs: usize, outputs: usize, (height, width): Size) -> bool {
        const MOST_WEIGHTS: usize = 900 << 10;
        let tiles = height.div_ceil(TILE) * width.div_ceil(TILE);
        inputs.min(outputs) >= 96 && tiles >= 64 && inputs * outputs <= MOST_WEIGHTS
    }

    /// `weight` `(9 inputs, outputs)`, taps first, as the plain convolution has it.
    pub fn new(weight: &Weights, inputs: usize, outputs: usize) -> Self {
        let points = parallel::map(POINTS, |point| {
            let (line, column) = (KERNEL[point / FIELD], KERNEL[point % FIELD]);
            let factors: [f64; 9] = std::array::from_fn(|tap| line[tap / 3] * column[tap % 3]);
            weight.combined(&factors)
        });
        Self {
            points,
            inputs,
            outputs,
        }
    }

    /// `(batch, height, width, outputs)`; `biases` is one row, or one a picture.
    pub fn forward(&self, input: &Input, biases: &[f32]) -> Vec<f32> {
        let (height, width) = input.size;
        let line = width * self.outputs;
        let mut out = vec![0.0; input.batch * height * line];
        // A task is some lines of tiles of one picture.
        let across = width.div_ceil(TILE);
        let lines = (self.tiles_at_once() / across).max(1) * TILE;
        let tasks = out
            .chunks_mut(height * line)
            .enumerate()
            .flat_map(|(image, out)| {
                let parts = out.chunks_mut(lines * line).enumerate();
                parts.map(move |(index, out)| (image, index * lines, out))
            })
            .collect();
        parallel::each(tasks, |(image, top, out): (usize, usize, &mut [f32])| {
            let down = (out.len() / line).div_ceil(TILE);
            let tiles = down * across;
            with_scratch(POINTS * tiles * (self.inputs + self.outputs), |scratch| {
                let (fields, products) = scratch.split_at_mut(POINTS * tiles * self.inputs);
                let size = height * width * self.inputs;
                vectorised(Forward {
                    picture: &input.values[image * size..][..size],
                    size: input.size,
                    channels: self.inputs,
                    top,
                    across,
                    fields,
                });
                let pairs = fields
                    .chunks_exact(tiles * self.inputs)
                    .zip(products.chunks_exact_mut(tiles * self.outputs));
                for (point, (fields, products)) in self.points.iter().zip(pairs) {
                    point.multiply(
                        Matrix::new(fields, tiles, self.inputs),
                        &mut MatrixMut::new(products, tiles, self.outputs),
                        Added::default(),
                    );
                }
                let start = image * height * line + top * line;
                vectorised(Backward {
                    products,
                    bias: &biases[image * self.outputs % biases.len()..][..self.outputs],
                    base: input.base.map(|base| &base[start..start + out.len()]),
                    channels: self.outputs,
                    width,
                    across,
                    out,
                });
            });
        });
        out
    }

    /// How many tiles are worth reading all weights for, and still leave their values in the shared cache.
    fn tiles_at_once(&self) -> usize {
        const CACHE: usize = 3 << 20; // values; 12 MiB
        (CACHE / POINTS / (self.inputs + self.outputs)).clamp(16, 96)
    }
}

/// `G`: the polynomial of three taps at each point, divided by what interpolation would divide by.
const KERNEL: [[f64; 3]; FIELD] = {
    let (a, b) = (NEAR as f64, FAR as f64);
    let (zero, near, far) = (
        1.0 / (a * a * b * b),
        1.0 / (2.0 * a * a * (a * a - b * b)),
        1.0 / (2.0 * b * b * (b * b - a * a)),
    );
    [
        [zero, 0.0, 0.0],
        [near, near * a, near * a * a],
        [near, -near * a, near * a * a],
        [far, far * b, far * b * b],
        [far, -far * b, far * b * b],
        [0.0, 0.0, 1.0],
    ]
};

/// As many channels as are transformed at once.
type Lanes = [f32; LANES];

/// `a x + y` in every lane.
#[inline(always)]
fn axpy(a: f32, x: Lanes, y: Lanes) -> Lanes {
    std::array::from_fn(|lane| a * x[lane] + y[lane])
}

/// `B^T`: the values of a line of inputs at the points.
#[inline(always)]
fn to_points(d: [Lanes; FIELD]) -> [Lanes; FIELD] {
    const A2: f32 = NEAR * NEAR;
    const B2: f32 = FAR * FAR;
    let none = [0.0; LANES];
    let even_near = axpy(-B2, d[2], d[4]);
    let odd_near = axpy(-B2, d[1], d[3]);
    let even_far = axpy(-A2, d[2], d[4]);
    let odd_far = axpy(-A2, d[1], d[3]);
    [
        axpy(A2 * B2, d[0], axpy(-(A2 + B2), d[2], d[4])),
        axpy(NEAR, odd_near, even_near),
        axpy(-NEAR, odd_near, even_near),
        axpy(FAR, odd_far, even_far),
        axpy(-FAR, odd_far, even_far),
        axpy(A2 * B2, d[1], axpy(-(A2 + B2), d[3], axpy(1.0, d[5], none))),
    ]
}

/// `A^T`: a line of outputs from its values at the points.
#[inline(always)]
fn from_points(m: [Lanes; FIELD]) -> [Lanes; TILE] {
    let (sum_near, difference_near) = (axpy(1.0, m[1], m[2]), axpy(-1.0, m[2], m[1]));
    let (sum_far, difference_far) = (axpy(1.0, m[3], m[4]), axpy(-1.0, m[4], m[3]));
    let none = [0.0; LANES];
    let both = |a: f32, near: Lanes, b: f32, far: Lanes| axpy(a, near, axpy(b, far, none));
    [
        axpy(1.0, m[0], axpy(1.0, sum_near, sum_far)),
        both(NEAR, difference_near, FAR, difference_far),
        both(NEAR * NEAR, sum_near, FAR * FAR, sum_far),
        axpy(
            1.0,
            m[5],
            both(
                NEAR * NEAR * NEAR,
                difference_near,
                FAR * FAR * FAR,
                difference_far,
            ),
        ),
    ]
}

/// Up to [`LANES`] values; zeros where there are fewer.
#[inline(always)]
fn load(values: &[f32]) -> Lanes {
    match values.first_chunk() {
        Some(lanes) => *lanes,
        None => std::array::from_fn(|lane| values.get(lane).copied().unwrap_or(0.0)),
    }
}

/// The other way round.
#[inline(always)]
fn store(lanes: &Lanes, out: &mut [f32]) {
    let count = out.len().min(LANES);
    if count == LANES {
        out[..LANES].copy_from_slice(lanes);
    } else {
        out.copy_from_slice(&lanes[..count]);
    }
}

/// Tiles of a picture to their values at the points, `(points, tiles, channels)`.
struct Forward<'a> {
    picture: &'a [f32],
    size: Size,
    channels: usize,
    /// The first line of outputs.
    top: usize,
    /// Tiles in a line.
    across: usize,
    fields: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let channels = self.channels;
        let (height, width) = self.size;
        let tiles = self.fields.len() / POINTS / channels;
        for tile in 0..tiles {
            let (y, x) = (
                self.top + tile / self.across * TILE,
                tile % self.across * TILE,
            );
            for channel in (0..channels).step_by(LANES) {
                let count = LANES.min(channels - channel);
                let pixel = |point_y: usize, point_x: usize| -> Lanes {
                    // The field begins one pixel above and to the left of its tile.
                    let (y, x) = ((y + point_y).wrapping_sub(1), (x + point_x).wrapping_sub(1));
                    if y < height && x < width {
                        load(&self.picture[(y * width + x) * channels + channel..][..count])
                    } else {
                        [0.0; LANES]
                    }
                };
                let mut field = [[[0.0; LANES]; FIELD]; FIELD];
                for (line, values) in field.iter_mut().enumerate() {
                    *values = to_points(std::array::from_fn(|point| pixel(line, point)));
                }
                for column in 0..FIELD {
                    let values = to_points(field.map(|line| line[column]));
                    for (line, values) in values.iter().enumerate() {
                        let at = ((line * FIELD + column) * tiles + tile) * channels + channel;
                        store(values, &mut self.fields[at..at + count]);
                    }
                }
            }
        }
    }
}

/// Products at the points, `(points, tiles, channels)`, to lines of a picture.
struct Backward<'a> {
    products: &'a [f32],
    /// `(channels)`.
    bias: &'a [f32],
    /// Of the shape of `out`.
    base: Option<&'a [f32]>,
    channels: usize,
    width: usize,
    /// Tiles in a line.
    across: usize,
    /// `(lines, width, channels)`.
    out: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let channels = self.channels;
        let lines = self.out.len() / channels / self.width;
        let tiles = self.products.len() / POINTS / channels;
        for tile in 0..tiles {
            let (top, left) = (tile / self.across * TILE, tile % self.across * TILE);
            for channel in (0..channels).step_by(LANES) {
                let count = LANES.min(channels - channel);
                let product = |line: usize, column: usize| -> Lanes {
                    let at = ((line * FIELD + column) * tiles + tile) * channels + channel;
                    load(&self.products[at..at + count])
                };
                let bias = load(&self.bias[channel..channel + count]);
                let mut half = [[[0.0; LANES]; FIELD]; TILE];
                for column in 0..FIELD {
                    let values = from_points(std::array::from_fn(|line| product(line, column)));
                    for (half, values) in half.iter_mut().zip(values) {
                        half[column] = values;
                    }
                }
                for (y, half) in half.into_iter().enumerate().take(lines - top) {
                    let pixels = from_points(half).into_iter().enumerate();
                    for (x, pixel) in pixels.take(self.width - left) {
                        let at = ((top + y) * self.width + left + x) * channels + channel;
                        let mut pixel = axpy(1.0, pixel, bias);
                        if let Some(base) = self.base {
                            pixel = axpy(1.0, pixel, load(&base[at..at + count]));
                        }
                        store(&pixel, &mut self.out[at..at + count]);
                    }
                }
            }
        }
    }
}

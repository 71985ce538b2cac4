//! Group normalisation (Wu & He 2018), with SiLU in the same pass.
//!
//! All values of a group of channels of one picture get mean 0 and variance 1, then a scale and a shift a channel. The
//! two passes that this takes are both cut into blocks of pixels:
//!
//! 1. Sums. Channels lie side by side, so that a vector register holds the sums of 16 channels, and one pixel after
//!    another is added to it. Sums of squares lose their digits where the mean is large against the spread, so what is
//!    summed is the distance from the picture's first pixel (Chan et al. 1983, "shifted data"). The sums of
//!    blocks and then of a group's channels are put together in f64, in a fixed order.
//! 2. `x scale + shift`, one of each a channel, and SiLU while the value is in a register.
//!
//! Pictures are `(batch, pixels, channels)`.

use pulp::{Simd, WithSimd};

use super::activation::silu;
use super::parallel;
use super::simd::{mul_add, vectorised};

/// What a group norm needs besides its input.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    /// One value a channel.
    pub weight: Vec<f32>,
    /// One value a channel.
    pub bias: Vec<f32>,
    /// Number of groups, which divides the number of channels.
    pub groups: usize,
    pub eps: f64,
}

/// Values of one block: 64 KiB, twice that with what comes out.
const BLOCK: usize = 16 << 10;

impl GroupNorm {
    /// `values` `(batch, pixels, channels)`, same shape out; with SiLU after it where `silu` says so.
    pub fn forward(&self, values: &[f32], batch: usize, silu: bool) -> Vec<f32> {
        let channels = self.weight.len();
        let picture = values.len() / batch.max(1);
        let block = (BLOCK / channels).max(1) * channels;
        let per_picture = picture.div_ceil(block).max(1);
        let sums = parallel::map(batch * per_picture, |index| {
            let picture = &values[index / per_picture * picture..][..picture];
            let first = index % per_picture * block;
            vectorised(Sums {
                values: &picture[first..picture.len().min(first + block)],
                origin: &picture[..channels],
            })
        });
        let affine: Vec<Affine> = (sums.chunks(per_picture).enumerate())
            .map(|(image, sums)| {
                let origin = &values[image * picture..][..channels];
                self.affine(sums, origin, picture / channels)
            })
            .collect();

        let mut out = vec![0.0; values.len()];
        let blocks = (out.chunks_mut(picture.max(1)).enumerate())
            .flat_map(|(image, out)| {
                let blocks = out.chunks_mut(block).enumerate();
                blocks.map(move |(index, out)| (image, image * picture + index * block, out))
            })
            .collect();
        parallel::each(blocks, |(image, first, out): (usize, usize, &mut [f32])| {
            vectorised(Apply {
                values: &values[first..first + out.len()],
                affine: &affine[image],
                silu,
                out,
            });
        });
        out
    }

    /// Scale and shift of every channel of a picture of `pixels` pixels, from the sums of its blocks.
    fn affine(&self, sums: &[Distances], origin: &[f32], pixels: usize) -> Affine {
        let channels = self.weight.len();
        let size = channels / self.groups;
        let pixels = pixels as f64;
        let mut affine = Affine {
            scale: vec![0.0; channels],
            shift: vec![0.0; channels],
        };
        let total = |of: fn(&Distances) -> &[f64], channel: usize| -> f64 {
            sums.iter().map(|sums| of(sums)[channel]).sum()
        };
        for first in (0..channels).step_by(size) {
            let group = first..first + size;
            // Of each channel: its mean, and the sum of squared distances from that mean.
            let moments: Vec<(f64, f64)> = group
                .clone()
                .map(|channel| {
                    let sum = total(|sums| &sums.sum, channel);
                    let squares = total(|sums| &sums.squares, channel);
                    let mean = f64::from(origin[channel]) + sum / pixels;
                    (mean, squares - sum * sum / pixels)
                })
                .collect();
            let mean = moments.iter().map(|(mean, _)| mean).sum::<f64>() / size as f64;
            let squares: f64 = moments
                .iter()
                .map(|(of_channel, squares)| squares + pixels * (of_channel - mean).powi(2))
                .sum();
            let variance = squares / (pixels * size as f64);
            let inverse = 1.0 / (variance + self.eps).sqrt();
            for channel in group {
                let scale = inverse * f64::from(self.weight[channel]);
                affine.scale[channel] = scale as f32;
                affine.shift[channel] = (f64::from(self.bias[channel]) - mean * scale) as f32;
            }
        }
        affine
    }
}

/// Of each channel of a block: the sums of the distances from an origin, and of their squares.
struct Distances {
    sum: Vec<f64>,
    squares: Vec<f64>,
}

struct Sums<'a> {
    values: &'a [f32],
    origin: &'a [f32],
}

impl WithSimd for Sums<'_> {
    type Output = Distances;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Distances {
        let channels = self.origin.len();
        let mut sums = Distances {
            sum: vec![0.0; channels],
            squares: vec![0.0; channels],
        };
        let (sum, squares) = (&mut sums.sum[..channels], &mut sums.squares[..channels]);
        // Sums of a few pixels in f32, and their sum in f64.
        let (mut few, mut few_squares) = (vec![0.0f32; channels], vec![0.0f32; channels]);
        let (few, few_squares) = (&mut few[..channels], &mut few_squares[..channels]);
        for pixels in self.values.chunks(16 * channels) {
            few.fill(0.0);
            few_squares.fill(0.0);
            for pixel in pixels.chunks_exact(channels) {
                for channel in 0..channels {
                    let distance = pixel[channel] - self.origin[channel];
                    few[channel] += distance;
                    few_squares[channel] = mul_add::<S>(distance, distance, few_squares[channel]);
                }
            }
            for channel in 0..channels {
                sum[channel] += f64::from(few[channel]);
                squares[channel] += f64::from(few_squares[channel]);
            }
        }
        sums
    }
}

/// What a group norm does to a picture, once the moments are known.
struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

struct Apply<'a> {
    values: &'a [f32],
    affine: &'a Affine,
    silu: bool,
    out: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if self.silu {
            self.pixels::<S>(silu::<S>);
        } else {
            self.pixels::<S>(|x| x);
        }
    }
}

impl Apply<'_> {
    #[inline(always)]
    fn pixels<S: Simd>(self, after: impl Fn(f32) -> f32) {
        let channels = self.affine.scale.len();
        let (scale, shift) = (&self.affine.scale[..], &self.affine.shift[..channels]);
        let pixels = self.values.chunks_exact(channels);
        for (pixel, out) in pixels.zip(self.out.chunks_exact_mut(channels)) {
            for channel in 0..channels {
                out[channel] = after(mul_add::<S>(pixel[channel], scale[channel], shift[channel]));
            }
        }
    }
}

//! Torch's CPU random generator, bit for bit: the same seed gives the same noise.
//!
//! Torch draws uniform numbers with the Mersenne Twister MT19937 (Matsumoto and
//! Nishimura, 1998) and turns pairs of them into normal ones with the Box-Muller
//! transform (Box and Muller, 1958). Two different code paths do so:
//!
//! - 16 numbers or more: single precision, sixteen at a time, with polynomial
//!   approximations of the logarithm, sine and cosine (those of the Cephes library) that
//!   torch evaluates on eight lanes with fused multiply-adds;
//! - fewer than 16 numbers: double precision, one pair at a time, the second of a pair
//!   kept for the next draw.
//!
//! Everything here is scalar arithmetic whose every rounding is fixed, so the numbers
//! do not depend on the processor. They are those of torch on a processor with AVX2 or
//! AVX-512; torch itself differs from them by about 1e-7 on processors without.

use candle_core::{Device, Shape, Tensor};
use rand_mt::Mt;

/// A seed that nobody has chosen, from the operating system's entropy.
///
/// From 0 to 2^32 - 1: torch takes more, but only 32 bits reach the generator, so that these are all noises that there
/// are, each under one name.
///
/// # Errors
/// Where the system has no entropy to give.
pub fn random_seed() -> Result<u32, NoEntropy> {
    getrandom::u32().map_err(NoEntropy)
}

/// The system gave no random numbers.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gives no random numbers ({0}); name a seed")]
pub struct NoEntropy(getrandom::Error);

/// The state of `torch.Generator("cpu")`.
///
/// A clone is a snapshot: it goes on with the same numbers as the original.
#[derive(Clone, PartialEq)]
pub struct Generator {
    twister: Mt,
    /// The sine half of the last pair drawn in double precision, if still unused.
    cached_normal: Option<f64>,
}

impl Generator {
    /// A generator in the state that `torch.Generator("cpu").manual_seed(seed)` leaves.
    ///
    /// Torch takes -2^63 to 2^64 - 1 and reads a negative seed as its two's
    /// complement; of the 64 bits only the lower 32 reach the twister, so seeds that
    /// differ by a multiple of 2^32 give the same numbers. Callers check the range;
    /// outside it the same 32 bits are used.
    pub fn manual_seed(seed: i128) -> Self {
        Self {
            twister: Mt::new(seed as u32),
            cached_normal: None,
        }
    }

    /// The next `n` standard normal numbers, those of `torch.randn(n, generator=g)`.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        if n < BLOCK {
            return (0..n).map(|_| self.normal_f64() as f32).collect();
        }
        let mut values: Vec<f32> = (0..n).map(|_| self.uniform_f32()).collect();
        for block in values.chunks_exact_mut(BLOCK) {
            box_muller_block(block);
        }
        if !n.is_multiple_of(BLOCK) {
            // Torch redraws the whole last block, which overlaps the one before it.
            let last = &mut values[n - BLOCK..];
            for value in last.iter_mut() {
                *value = self.uniform_f32();
            }
            box_muller_block(last);
        }
        values
    }

    /// Standard normal numbers as an f32 tensor of `shape` on `device`, those of
    /// `torch.randn(shape, generator=g)`; drawn on the CPU whatever the device.
    pub fn randn_tensor(
        &mut self,
        shape: impl Into<Shape>,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let shape = shape.into();
        let values = self.randn(shape.elem_count());
        Tensor::from_vec(values, shape, device)
    }

    /// Uniform in [0, 1), a multiple of 2^-24.
    fn uniform_f32(&mut self) -> f32 {
        (self.twister.next_u32() & 0x00FF_FFFF) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    fn uniform_f64(&mut self) -> f64 {
        let high = u64::from(self.twister.next_u32());
        let low = u64::from(self.twister.next_u32());
        let bits = ((high << 32) | low) & ((1 << 53) - 1);
        bits as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// One normal number in double precision, `sqrt(-2 ln(1 - u2)) cos(2 pi u1)`; the
    /// sine is kept for the next call.
    fn normal_f64(&mut self) -> f64 {
        if let Some(value) = self.cached_normal.take() {
            return value;
        }
        let u1 = self.uniform_f64();
        let u2 = self.uniform_f64();
        let radius = (-2.0 * libm::log1p(-u2)).sqrt();
        let theta = 2.0 * std::f64::consts::PI * u1;
        self.cached_normal = Some(radius * libm::sin(theta));
        radius * libm::cos(theta)
    }
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The twister's 624 words say nothing to a reader.
        f.debug_struct("Generator")
            .field("cached_normal", &self.cached_normal)
            .finish_non_exhaustive()
    }
}

/// Torch transforms this many uniform numbers at a time: eight of the first kind of
/// Box-Muller's pair, then eight of the second.
const BLOCK: usize = 16;

/// Turns 16 uniform numbers into 16 normal ones, in place.
fn box_muller_block(block: &mut [f32]) {
    let (first, second) = block.split_at_mut(BLOCK / 2);
    for (a, b) in first.iter_mut().zip(second) {
        let radius = (-2.0 * ln(1.0 - *a)).sqrt();
        let (sin, cos) = sin_cos(std::f32::consts::TAU * *b);
        // Adding zero turns -0 into 0, as torch's multiplication by the standard
        // deviation 1 and addition of the mean 0 does.
        *a = radius * cos + 0.0;
        *b = radius * sin + 0.0;
    }
}

/// Natural logarithm of a normal number in (0, 1], Cephes' `logf` with fused multiply-adds.
fn ln(x: f32) -> f32 {
    /// Coefficients of the polynomial in `m - 1`, highest power first.
    const P: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_85e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_4e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    /// ln 2 as the sum of a short number and a small rest.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;

    // x = m 2^e with m in [sqrt(1/2), sqrt(2))
    let bits = x.to_bits();
    let mut e = (bits >> 23) as f32 - 126.0;
    let mut m = f32::from_bits((bits & 0x007F_FFFF) | 0x3F00_0000);
    if m < std::f32::consts::FRAC_1_SQRT_2 {
        e -= 1.0;
        m = (m - 1.0) + m;
    } else {
        m -= 1.0;
    }
    let square = m * m;
    let mut y = P[0];
    for coefficient in &P[1..] {
        y = y.mul_add(m, *coefficient);
    }
    y *= m;
    y = y.mul_add(square, e * LN2_LOW);
    y = (-0.5f32).mul_add(square, y);
    e.mul_add(LN2_HIGH, m + y)
}

/// Sine and cosine of an angle in [0, 2 pi], Cephes' `sinf` and `cosf` with fused multiply-adds.
fn sin_cos(x: f32) -> (f32, f32) {
    /// Minus pi/4 as the sum of three numbers, the first two short.
    const PI_4: [f32; 3] = [-0.785_156_25, -2.418_756_5e-4, -3.774_895e-8];
    const COS: [f32; 3] = [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2];
    const SIN: [f32; 3] = [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1];

    // The octant, rounded up to an even one, and the rest in [-pi/4, pi/4].
    let octant = ((x * (4.0 / std::f32::consts::PI)) as i32 + 1) & !1;
    let y = octant as f32;
    let rest = PI_4.iter().fold(x, |rest, part| y.mul_add(*part, rest));

    let square = rest * rest;
    let mut cos = COS[0].mul_add(square, COS[1]).mul_add(square, COS[2]);
    cos *= square;
    cos = cos.mul_add(square, -0.5 * square) + 1.0;
    let mut sin = SIN[0].mul_add(square, SIN[1]).mul_add(square, SIN[2]);
    sin = (sin * square).mul_add(rest, rest);

    // Each quarter turn swaps the two and changes signs.
    let (mut s, mut c) = if octant & 2 == 0 {
        (sin, cos)
    } else {
        (cos, sin)
    };
    if octant & 4 != 0 {
        s = -s;
    }
    if (octant - 2) & 4 == 0 {
        c = -c;
    }
    (s, c)
}

//! Activations: SiLU, CLIP's quick GELU, GELU, and the exponential that all of them and softmax need.
//!
//! A library's `exp` takes one number at a time and looks things up in a table. This one is arithmetic alone, so that
//! the compiler can do 8 or 16 at a time:
//!
//! 1. `exp(x) = 2^n exp(r)` with `n = round(x / ln 2)`, so that `|r| <= ln 2 / 2`. `ln 2` is subtracted in two parts,
//!    the first short enough that `n` times it is exact (Cody & Waite 1980, chapter 6).
//! 2. `exp(r)` by its Taylor polynomial of degree 7, whose first omitted term is below 6e-9 there.
//! 3. `2^n` by writing `n + 127` into the exponent of a float.
//!
//! The error function of GELU is taken from the same exponential, see [`erf`].

use pulp::{Simd, WithSimd};

use super::parallel;
use super::simd::{mul_add, vectorised};

/// `exp(x)` to about 1 unit in the last place; 0 below -87.3, NaN for NaN.
#[inline(always)]
pub fn exp<S: Simd>(x: f32) -> f32 {
    // Adding it pushes the fraction out of a float: the sum's last bits are the rounded integer.
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    const LN_2_HIGH: f32 = 0.693_359_4; // 355 / 512
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const SMALLEST: f32 = -87.336;
    const LARGEST: f32 = 88.722;

    // Comparisons with NaN are false, so that NaN goes through.
    let bounded = if x < SMALLEST { SMALLEST } else { x };
    let bounded = if bounded > LARGEST { LARGEST } else { bounded };
    let shifted = mul_add::<S>(bounded, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add::<S>(n, -LN_2_LOW, bounded - n * LN_2_HIGH);
    let mut taylor = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
        taylor = mul_add::<S>(taylor, r, coefficient);
    }
    // In halves, because 2^128 is no float.
    let half = f32::from_bits((shifted.to_bits().wrapping_add(126)) << 23);
    let result = mul_add::<S>(taylor, r, 1.0) * half * 2.0;
    if x < SMALLEST { 0.0 } else { result }
}

/// `1 / (1 + exp::<S>(-x))`.
#[inline(always)]
pub fn sigmoid<S: Simd>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<S>(-x))
}

/// `x sigmoid(x)` (Elfwing et al. 2017).
#[inline(always)]
pub fn silu<S: Simd>(x: f32) -> f32 {
    x / (1.0 + exp::<S>(-x))
}

/// `x sigmoid(1.702 x)`, CLIP's approximation of GELU.
#[inline(always)]
pub fn quick_gelu<S: Simd>(x: f32) -> f32 {
    x * sigmoid::<S>(1.702 * x)
}

/// `x Φ(x)`, with `Φ(x) = (1 + erf(x / √2)) / 2` (Hendrycks & Gimpel 2016).
#[inline(always)]
pub fn gelu<S: Simd>(x: f32) -> f32 {
    0.5 * x * (1.0 + erf::<S>(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function, to 7e-8.
///
/// Two polynomials, both least-squares fits on Chebyshev nodes, computed in f64: for `|x| <= 1` of `erf(x) / x - 1` in
/// `x^2`; beyond, of `ln(erfc(x)) / x` in `x`, so that `erf(x) = 1 - exp(x p(x))`. From 4 on it is 1 in f32.
#[inline(always)]
pub fn erf<S: Simd>(x: f32) -> f32 {
    const SMALL: [f32; 7] = [
        0.128_379_17,
        -0.376_126_27,
        0.112_835_98,
        -0.026_854_33,
        0.005_189_312,
        -0.000_801_885_5,
        7.882_497e-5,
    ];
    const LARGE: [f32; 8] = [
        -1.128_934_3,
        -0.634_050_84,
        -0.107_979_04,
        0.025_223_063,
        -0.004_336_510_3,
        0.000_506_273_7,
        -3.530_377e-5,
        1.093_036_2e-6,
    ];
    let size = x.abs();
    let bounded = if size > 4.0 { 4.0 } else { size };
    let beyond = (1.0 - exp::<S>(bounded * polynomial::<S, _>(&LARGE, bounded))).copysign(x);
    let within = mul_add::<S>(x, polynomial::<S, _>(&SMALL, x * x), x);
    if size > 1.0 { beyond } else { within }
}

/// `c[0] + c[1] x + c[2] x^2 + ..`, after Horner.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(coefficients: &[f32; N], x: f32) -> f32 {
    let mut sum = coefficients[N - 1];
    for index in (0..N - 1).rev() {
        sum = mul_add::<S>(sum, x, coefficients[index]);
    }
    sum
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Silu,
    QuickGelu,
    Gelu,
}

/// How many values one task of an element-wise kernel handles: enough to be worth handing to another thread.
const TASK: usize = 16 << 10;

/// The activation of every value.
pub fn activate(values: &[f32], activation: Activation) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    parallel::chunks(&mut out, TASK, |index, out| {
        let from = index * TASK;
        let values = &values[from..from + out.len()];
        vectorised(Activate {
            values,
            out,
            activation,
        });
    });
    out
}

struct Activate<'a> {
    values: &'a [f32],
    out: &'a mut [f32],
    activation: Activation,
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.activation {
            Activation::Silu => map(self.values, self.out, silu::<S>),
            Activation::QuickGelu => map(self.values, self.out, quick_gelu::<S>),
            Activation::Gelu => map(self.values, self.out, gelu::<S>),
        }
    }
}

#[inline(always)]
fn map(values: &[f32], out: &mut [f32], function: impl Fn(f32) -> f32) {
    for (out, &x) in out.iter_mut().zip(values) {
        *out = function(x);
    }
}

/// The gated GELU's gate (Shazeer 2020): rows `[value, gate]` of `2 inner` values to rows `value gelu(gate)` of
/// `inner`.
pub fn geglu(rows: &[f32], inner: usize, out: &mut [f32]) {
    vectorised(Geglu { rows, inner, out });
}

struct Geglu<'a> {
    rows: &'a [f32],
    inner: usize,
    out: &'a mut [f32],
}

impl WithSimd for Geglu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.rows.chunks_exact(2 * self.inner);
        for (row, out) in rows.zip(self.out.chunks_exact_mut(self.inner)) {
            let (values, gates) = row.split_at(self.inner);
            for ((out, &value), &gate) in out.iter_mut().zip(values).zip(gates) {
                *out = value * gelu::<S>(gate);
            }
        }
    }
}

//! One source, many processors: code that the compiler vectorises, compiled once for each kind of vector unit.
//!
//! The loops of these kernels are plain Rust over slices. What they become depends on the instructions that the
//! compiler may use, and a program for "x86-64" may use only those of 2003. [`pulp`] compiles a piece of code for
//! AVX-512, for AVX2 with fused multiply-add, and for the base that every processor has (on ARM: NEON), and takes the
//! best that the processor has when it runs.
//!
//! Two habits let the compiler vectorise a loop: no branch in it (choose between two values instead), and no sum that
//! runs through all of it. Floating-point addition is not associative, so the compiler may not reorder a sum; [`LANES`]
//! sums side by side may be kept in a vector register.
//!
//! Where values have to stay in registers from one loop to the next, in the matrix product and in Winograd's
//! transforms, the compiler does not find that by itself; there, vectors are written as such (`S::f32s`), and in loops:
//! closures, and what takes them, may not be inlined, and then every vector travels through memory (four times slower,
//! measured).

use std::sync::OnceLock;

use pulp::{Arch, Simd, WithSimd};

/// How many sums or maxima run side by side in a reduction: a vector of AVX-512, two of AVX2, four of NEON. It is the
/// same on every processor, and so is what comes out.
pub const LANES: usize = 16;

/// Tests take the path of a processor without vector units.
#[cfg(test)]
pub static PORTABLE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// The environment variable that chooses vector instructions, to compare what each of them computes: `avx512`, `avx2`
/// or `portable`. What the processor does not have, and any other value, leaves the choice as it is.
const CHOICE: &str = "DIFFUSCOPE_VECTORS";

/// The best vector instructions that this processor has, or those of [`CHOICE`].
pub fn arch() -> Arch {
    static CHOSEN: OnceLock<Arch> = OnceLock::new();
    #[cfg(test)]
    if PORTABLE.load(std::sync::atomic::Ordering::Relaxed) {
        return Arch::Scalar;
    }
    *CHOSEN.get_or_init(|| {
        let choice = std::env::var(CHOICE).unwrap_or_default();
        match choice.as_str() {
            "portable" => Arch::Scalar,
            #[cfg(target_arch = "x86_64")]
            "avx2" => pulp::x86::V3::try_new().map_or_else(Arch::new, Arch::V3),
            // The best there is, AVX-512 where there is any.
            _ => Arch::new(),
        }
    })
}

/// Runs `work`, compiled for the best vector instructions that this processor has.
///
/// A kernel is a struct with its arguments, and its `with_simd` is `#[inline(always)]`: only what is inlined is
/// compiled for those instructions.
pub fn vectorised<W: WithSimd>(work: W) -> W::Output {
    arch().dispatch(work)
}

/// `a b + c`, rounded once where the processor can do that in one instruction. Where it cannot, rounded twice: to
/// imitate it would take a hundred times as long.
#[inline(always)]
pub fn mul_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    // All vector units that pulp knows have the instruction; one lane means none of them.
    if S::F32_LANES > 1 {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// Sum of `value(x)` over `values`, in [`LANES`] partial sums.
#[inline(always)]
pub fn sum(values: &[f32], value: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += value(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += value(x);
    }
    fold(lanes, |a, b| a + b)
}

/// One value of [`LANES`], in a tree: neighbours far apart first, which is how vector units halve a vector.
#[inline(always)]
pub fn fold(mut lanes: [f32; LANES], both: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = both(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// Loads a vector; values that are missing are zeros.
#[inline(always)]
pub fn load<S: Simd>(simd: S, values: &[f32]) -> S::f32s {
    match S::as_simd_f32s(values) {
        ([whole], _) => *whole,
        _ => simd.partial_load_f32s(values),
    }
}

/// Stores a vector, or as much of it as fits.
#[inline(always)]
pub fn store<S: Simd>(simd: S, out: &mut [f32], value: S::f32s) {
    match S::as_mut_simd_f32s(out) {
        ([whole], _) => *whole = value,
        _ => simd.partial_store_f32s(out, value),
    }
}

//! Weights that take half the memory: f32 values of which 16 bits say all.
//!
//! Most checkpoints are files of f16 or bf16, and a value that came from 16 bits goes back into them without loss. So
//! [`Format::of`] asks the values themselves, not the file: where all of them are such, they are kept in 16 bits, and
//! [`widen`]ed a piece at a time, just before a product reads it. The arithmetic is that of f32, to the bit.
//!
//! | | sign | exponent | fraction |
//! |---|---|---|---|
//! | f32 | 1 | 8, bias 127 | 23 |
//! | f16 (IEEE 754 binary16) | 1 | 5, bias 15 | 10 |
//! | bf16, the upper half of an f32 | 1 | 8, bias 127 | 7 |
//!
//! The conversions are integer arithmetic without a branch, which the compiler makes vectors of on every processor. Only
//! the one that products wait for, from f16 to f32, has an instruction of its own on x86-64: a tenth of the operations.

use pulp::{Arch, Simd, WithSimd};

use super::parallel;
use super::simd::{arch, vectorised};

/// A type of 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    F16,
    Bf16,
}

/// 2^-14, the smallest normal f16, as the bits of an f32. Below it, f16 counts in steps of [`STEP`].
const SMALLEST_NORMAL: u32 = (127 - 14) << 23;
/// 2^-24, the smallest f16 above zero.
const STEP: f32 = 1.0 / (1 << 24) as f32;
/// 2^16, above which f16 has only infinity, as the bits of an f32.
const TOO_LARGE: u32 = (127 + 16) << 23;
/// From f16's bias of the exponent to f32's.
const REBIAS: u32 = (127 - 15) << 23;
/// The bits of a fraction that f32 has and f16 has not.
const FRACTION: u32 = (1 << 13) - 1;

const SIGN: u32 = 1 << 31;

impl Format {
    /// The format that holds each of `values` exactly; `None` where none does. f16 holds no value here that is not
    /// finite: of NaN it would lose bits.
    pub fn of(values: &[f32]) -> Option<Self> {
        [Self::F16, Self::Bf16].into_iter().find(|&format| {
            // Most that do not fit are found out at once.
            let (first, rest) = values.split_at(values.len().min(64));
            let pieces = rest.chunks(1 << 16).collect::<Vec<_>>();
            format.fits(first)
                && parallel::map(pieces.len(), |index| format.fits(pieces[index]))
                    .into_iter()
                    .all(|fits| fits)
        })
    }

    fn fits(self, values: &[f32]) -> bool {
        vectorised(Fits {
            format: self,
            values,
        })
    }

    /// `values` in this format, which must hold them.
    pub fn narrow(self, values: &[f32], out: &mut [u16]) {
        vectorised(Narrow {
            format: self,
            values,
            out,
        });
    }

    /// What [`narrow`](Self::narrow) made of f32, f32 again.
    pub fn widen(self, values: &[u16], out: &mut [f32]) {
        self.widen_on(arch(), values, out);
    }

    fn widen_on(self, arch: Arch, values: &[u16], out: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if self == Self::F16 && x86::widen_f16(arch, values, out) {
            return;
        }
        arch.dispatch(Widen {
            format: self,
            values,
            out,
        });
    }
}

struct Fits<'a> {
    format: Format,
    values: &'a [f32],
}

impl WithSimd for Fits<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        // What is lost of any of them, all together: an early end would be a branch.
        let mut lost = 0;
        match self.format {
            Format::F16 => {
                for &value in self.values {
                    lost |= lost_in_f16(value);
                }
            }
            Format::Bf16 => {
                for value in self.values {
                    lost |= value.to_bits() << 16;
                }
            }
        }
        lost == 0
    }
}

/// Zero for a value that f16 holds.
#[inline(always)]
fn lost_in_f16(value: f32) -> u32 {
    let magnitude = value.to_bits() & !SIGN;
    let steps = f32::from_bits(magnitude) * (1.0 / STEP);
    // Below 2^-14 there are fewer than 1,024 steps; larger ones, and NaN, are not looked at.
    let whole = steps.min(1024.0) as i32 as f32;
    let small = u32::from(whole.to_bits() != steps.to_bits());
    let normal = (magnitude & FRACTION) | u32::from(magnitude >= TOO_LARGE);
    if magnitude < SMALLEST_NORMAL {
        small
    } else {
        normal
    }
}

struct Narrow<'a> {
    format: Format,
    values: &'a [f32],
    out: &'a mut [u16],
}

impl WithSimd for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let pairs = self.out.iter_mut().zip(self.values);
        match self.format {
            Format::F16 => {
                for (out, &value) in pairs {
                    *out = f16_of(value);
                }
            }
            Format::Bf16 => {
                for (out, value) in pairs {
                    *out = (value.to_bits() >> 16) as u16;
                }
            }
        }
    }
}

#[inline(always)]
fn f16_of(value: f32) -> u16 {
    let bits = value.to_bits();
    let magnitude = bits & !SIGN;
    let small = (f32::from_bits(magnitude) * (1.0 / STEP)).min(1024.0) as i32 as u32;
    let normal = magnitude.wrapping_sub(REBIAS) >> 13;
    let magnitude = if magnitude < SMALLEST_NORMAL {
        small
    } else {
        normal
    };
    (magnitude | (bits & SIGN) >> 16) as u16
}

struct Widen<'a> {
    format: Format,
    values: &'a [u16],
    out: &'a mut [f32],
}

impl WithSimd for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let pairs = self.out.iter_mut().zip(self.values);
        match self.format {
            Format::F16 => {
                for (out, &value) in pairs {
                    *out = f32_of(value);
                }
            }
            Format::Bf16 => {
                for (out, &value) in pairs {
                    *out = f32::from_bits(u32::from(value) << 16);
                }
            }
        }
    }
}

#[inline(always)]
fn f32_of(value: u16) -> f32 {
    let bits = u32::from(value);
    let magnitude = bits & 0x7fff;
    let small = (magnitude.cast_signed() as f32 * STEP).to_bits();
    let normal = (magnitude << 13) + REBIAS;
    let magnitude = if magnitude < 1 << 10 { small } else { normal };
    f32::from_bits(magnitude | (bits & 0x8000) << 16)
}

/// The instruction that widens f16, `vcvtph2ps`. It is exact, of the smallest values, too.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::is_x86_feature_detected;
    use std::arch::x86_64::{_mm256_cvtph_ps, _mm512_cvtph_ps};

    use pulp::Arch;

    use super::f32_of;

    /// Widens all of `values` if the instruction goes with the vector instructions of `arch`; does it?
    #[allow(unsafe_code)]
    pub fn widen_f16(arch: Arch, values: &[u16], out: &mut [f32]) -> bool {
        match arch {
            // SAFETY: pulp has found AVX-512F, which the instruction is a part of.
            Arch::V4(_) => unsafe { sixteen_at_once(values, out) },
            // SAFETY: the processor has both.
            Arch::V3(_) if is_x86_feature_detected!("f16c") => unsafe {
                eight_at_once(values, out);
            },
            _ => return false,
        }
        true
    }

    #[target_feature(enable = "avx512f")]
    fn sixteen_at_once(values: &[u16], out: &mut [f32]) {
        let (vectors, rest) = values.as_chunks::<16>();
        let (wide, wide_rest) = out.as_chunks_mut::<16>();
        for (out, &values) in wide.iter_mut().zip(vectors) {
            *out = pulp::cast(_mm512_cvtph_ps(pulp::cast(values)));
        }
        one_by_one(rest, wide_rest);
    }

    #[target_feature(enable = "avx,f16c")]
    fn eight_at_once(values: &[u16], out: &mut [f32]) {
        let (vectors, rest) = values.as_chunks::<8>();
        let (wide, wide_rest) = out.as_chunks_mut::<8>();
        for (out, &values) in wide.iter_mut().zip(vectors) {
            *out = pulp::cast(_mm256_cvtph_ps(pulp::cast(values)));
        }
        one_by_one(rest, wide_rest);
    }

    fn one_by_one(values: &[u16], out: &mut [f32]) {
        for (out, &value) in out.iter_mut().zip(values) {
            *out = f32_of(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;
    use crate::kernels::cpu::values::to_vec;

    /// All 65,536 values of `dtype` as candle widens them, but for those that are not finite.
    fn all(dtype: DType) -> Vec<f32> {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let tensor = Tensor::from_raw_buffer(&bytes, dtype, &[1 << 16], &Device::Cpu);
        let values = to_vec(&tensor.unwrap().to_dtype(DType::F32).unwrap()).unwrap();
        values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect()
    }

    fn there_and_back(format: Format, values: &[f32]) -> Vec<f32> {
        let mut narrow = vec![0; values.len()];
        format.narrow(values, &mut narrow);
        let mut wide = vec![f32::NAN; values.len()];
        format.widen(&narrow, &mut wide);
        wide
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn every_value_of_sixteen_bits_comes_back_to_the_bit() {
        for (format, dtype, count) in [
            (Format::F16, DType::F16, 63488),
            (Format::Bf16, DType::BF16, 65280),
        ] {
            let values = all(dtype);
            assert_eq!(values.len(), count);
            assert!(format.fits(&values));
            assert_eq!(bits(&there_and_back(format, &values)), bits(&values));
        }
        assert_eq!(Format::of(&all(DType::F16)), Some(Format::F16));
        assert_eq!(Format::of(&all(DType::BF16)), Some(Format::Bf16));
    }

    #[test]
    fn every_processor_widens_to_the_same_bits() {
        let halves: Vec<u16> = (0..=u16::MAX)
            .filter(|bits| bits & 0x7c00 != 0x7c00)
            .chain([0x3c00; 13])
            .collect();
        let widened = |arch| {
            let mut wide = vec![f32::NAN; halves.len()];
            Format::F16.widen_on(arch, &halves, &mut wide);
            bits(&wide)
        };
        let expected = widened(Arch::Scalar);
        #[cfg(target_arch = "x86_64")]
        for arch in [
            pulp::x86::V3::try_new().map(Arch::V3),
            pulp::x86::V4::try_new().map(Arch::V4),
        ]
        .into_iter()
        .flatten()
        {
            assert_eq!(widened(arch), expected, "{arch:?}");
        }
        assert_eq!(widened(arch()), expected);
    }

    #[test]
    fn what_would_lose_a_bit_is_told() {
        let halves = all(DType::F16);
        let next = |value: &f32| f32::from_bits(value.to_bits() + 1);
        // Between two neighbours, beyond the largest, below the smallest, and what is not finite.
        for value in halves.iter().map(next).chain([
            65536.0,
            -1e9,
            STEP / 2.0,
            f32::from_bits(1),
            f32::INFINITY,
            f32::NAN,
        ]) {
            assert!(!Format::F16.fits(&[value]), "{value}");
        }
        // One among many, at any place.
        for place in [0, 63, 64, 70_000, 140_000] {
            let mut values = vec![0.5; 140_001];
            values[place] = 0.1;
            assert_eq!(Format::of(&values), None);
            values[place] = 65536.0;
            assert_eq!(Format::of(&values), Some(Format::Bf16));
        }
        assert_eq!(Format::of(&[]), Some(Format::F16));
    }
}

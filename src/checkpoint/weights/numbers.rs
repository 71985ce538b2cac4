//! The types that numbers have in weights files: how they become what is computed in, and which are not finite.

use std::sync::LazyLock;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;

use crate::kernels::cpu::parallel;
use crate::kernels::cpu::sixteen_bits::Format;

/// Can weights be read in this type?
pub fn is_read(dtype: Dtype) -> bool {
    matches!(
        dtype,
        Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64 | Dtype::F8_E4M3 | Dtype::F8_E5M2
    )
}

/// What numbers of a type that is not read most often mean, and what to do about them.
pub fn why_not(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::BOOL | Dtype::C64 => "which are no weights of these networks",
        Dtype::F8_E8M0 | Dtype::F4 | Dtype::F6_E2M3 | Dtype::F6_E3M2 => {
            "which are quantised in blocks; give the original checkpoint, in F16, BF16 or F32"
        }
        _ => {
            "whole numbers, which are quantised weights; give the original checkpoint, in F16, BF16 or F32"
        }
    }
}

/// A tensor on the CPU from a file's bytes. Types that the networks compute in are taken as they are; f64 is rounded to
/// f32 and f8 becomes f32, which holds it exactly, as torch's `to` does both.
pub fn tensor(dtype: Dtype, bytes: &[u8], shape: &[usize]) -> candle_core::Result<Tensor> {
    let raw = |dtype| Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu);
    match dtype {
        Dtype::F16 => raw(DType::F16),
        Dtype::BF16 => raw(DType::BF16),
        Dtype::F32 => raw(DType::F32),
        Dtype::F64 => raw(DType::F64)?.to_dtype(DType::F32),
        Dtype::F8_E4M3 | Dtype::F8_E5M2 => {
            let table = table(dtype);
            let values: Vec<f32> = bytes.iter().map(|byte| table[usize::from(*byte)]).collect();
            Tensor::from_vec(values, shape, &Device::Cpu)
        }
        other => candle_core::bail!("numbers of type {other} are not read"),
    }
}

/// f32 from numbers of 16 bits, all of which must be finite; `None` for other types. On all cores: most of what opening a
/// checkpoint takes is this, over gigabytes.
pub fn widened(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    const TOGETHER: usize = 1 << 12;
    const CHUNK: usize = 64 * TOGETHER;
    let format = match dtype {
        Dtype::F16 => Format::F16,
        Dtype::BF16 => Format::Bf16,
        _ => return None,
    };
    let numbers = bytes.as_chunks::<2>().0;
    let mut wide = vec![0.0; numbers.len()];
    parallel::chunks(&mut wide, CHUNK, |index, wide| {
        // In a file they may begin at an odd byte.
        let mut aligned = [0; TOGETHER];
        let numbers = numbers[index * CHUNK..].chunks(TOGETHER);
        for (numbers, wide) in numbers.zip(wide.chunks_mut(TOGETHER)) {
            let aligned = &mut aligned[..wide.len()];
            for (number, bytes) in aligned.iter_mut().zip(numbers) {
                *number = u16::from_le_bytes(*bytes);
            }
            format.widen(aligned, wide);
        }
    });
    Some(wide)
}

/// How many of the numbers are not a number, and how many are infinite.
pub fn not_finite(dtype: Dtype, bytes: &[u8]) -> (usize, usize) {
    /// Whole numbers of every type.
    const CHUNK: usize = 1 << 20;
    let chunks: Vec<&[u8]> = bytes.chunks(CHUNK).collect();
    let counts = parallel::map(chunks.len(), |index| not_finite_of(dtype, chunks[index]));
    let counts = counts.into_iter();
    counts.fold((0, 0), |(nan, infinite), (more_nan, more_infinite)| {
        (nan + more_nan, infinite + more_infinite)
    })
}

fn not_finite_of(dtype: Dtype, bytes: &[u8]) -> (usize, usize) {
    match dtype {
        Dtype::F16 => count(bytes, |bytes| u16::from_le_bytes(bytes) & 0x7fff, 0x7c00),
        Dtype::BF16 => count(bytes, |bytes| u16::from_le_bytes(bytes) & 0x7fff, 0x7f80),
        Dtype::F32 => count(
            bytes,
            |bytes| u32::from_le_bytes(bytes) & 0x7fff_ffff,
            0x7f80_0000,
        ),
        Dtype::F64 => {
            // What is too large for f32 is infinite there.
            let f32s = bytes.as_chunks::<8>().0.iter();
            f32s.map(|bytes| f64::from_le_bytes(*bytes) as f32).fold(
                (0, 0),
                |(nan, infinite), value| {
                    (
                        nan + usize::from(value.is_nan()),
                        infinite + usize::from(value.is_infinite()),
                    )
                },
            )
        }
        Dtype::F8_E4M3 | Dtype::F8_E5M2 => {
            let table = table(dtype);
            let values = bytes.iter().map(|byte| table[usize::from(*byte)]);
            values.fold((0, 0), |(nan, infinite), value| {
                (
                    nan + usize::from(value.is_nan()),
                    infinite + usize::from(value.is_infinite()),
                )
            })
        }
        _ => (0, 0),
    }
}

/// Counts numbers by their bits without the sign: those above `infinity` are none, those equal to it are infinite.
fn count<const N: usize, T: Copy + PartialOrd>(
    bytes: &[u8],
    bits: impl Fn([u8; N]) -> T,
    infinity: T,
) -> (usize, usize) {
    /// Numbers that are looked at before the counts are asked for: nearly always they are zero.
    const TOGETHER: usize = 1 << 12;
    let (mut nan, mut infinite) = (0, 0);
    for part in bytes.as_chunks::<N>().0.chunks(TOGETHER) {
        let is_finite = part
            .iter()
            .fold(true, |finite, bytes| finite & (bits(*bytes) < infinity));
        if is_finite {
            continue;
        }
        nan += part.iter().filter(|bytes| bits(**bytes) > infinity).count();
        infinite += part
            .iter()
            .filter(|bytes| bits(**bytes) == infinity)
            .count();
    }
    (nan, infinite)
}

/// The values of all numbers of eight bits.
fn table(dtype: Dtype) -> &'static [f32; 256] {
    static E4M3: LazyLock<[f32; 256]> =
        LazyLock::new(|| std::array::from_fn(|byte| e4m3(byte as u8)));
    static E5M2: LazyLock<[f32; 256]> =
        LazyLock::new(|| std::array::from_fn(|byte| e5m2(byte as u8)));
    if dtype == Dtype::F8_E4M3 {
        &E4M3
    } else {
        &E5M2
    }
}

/// torch's `float8_e4m3fn`: a sign, four bits of exponent with a bias of 7, three of mantissa; no infinities, and NaN
/// where all seven are set.
fn e4m3(byte: u8) -> f32 {
    let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from(byte >> 3 & 0xf), f32::from(byte & 7));
    match (exponent, byte & 7) {
        (0xf, 7) => f32::NAN,
        (0, _) => sign * mantissa / 8.0 * 2_f32.powi(-6),
        _ => sign * (1.0 + mantissa / 8.0) * 2_f32.powi(exponent - 7),
    }
}

/// torch's `float8_e5m2`: a sign, five bits of exponent with a bias of 15, two of mantissa, as in half precision.
fn e5m2(byte: u8) -> f32 {
    let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from(byte >> 2 & 0x1f), f32::from(byte & 3));
    match (exponent, byte & 3) {
        (0x1f, 0) => sign * f32::INFINITY,
        (0x1f, _) => f32::NAN,
        (0, _) => sign * mantissa / 4.0 * 2_f32.powi(-14),
        _ => sign * (1.0 + mantissa / 4.0) * 2_f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn numbers_of_eight_bits_have_the_values_that_torch_gives_them() {
        let golden = include_str!("../../../tests/goldens/float8.json");
        let golden: HashMap<String, Vec<u32>> = serde_json::from_str(golden).unwrap();
        for dtype in [Dtype::F8_E4M3, Dtype::F8_E5M2] {
            for (byte, &bits) in golden[&dtype.to_string()].iter().enumerate() {
                let (found, expected) = (table(dtype)[byte], f32::from_bits(bits));
                let same = found.to_bits() == bits || (found.is_nan() && expected.is_nan());
                assert!(same, "{dtype} {byte:#x}: {found} and {expected}");
            }
        }
    }

    #[test]
    fn numbers_of_sixteen_bits_are_widened_as_candle_does() {
        let count = 3 * (1 << 18) + 77;
        for (dtype, exponent) in [(Dtype::F16, 0x7c00), (Dtype::BF16, 0x7f80)] {
            let finite = |bits: &usize| (*bits as u16) & exponent != exponent;
            let bits = (0..usize::MAX).step_by(7).filter(finite).take(count);
            let bytes: Vec<u8> = bits.flat_map(|bits| (bits as u16).to_le_bytes()).collect();
            let expected = tensor(dtype, &bytes, &[count]).unwrap();
            let expected: Vec<f32> = expected
                .to_dtype(DType::F32)
                .and_then(|x| x.to_vec1())
                .unwrap();
            // At an odd address, too.
            let moved = [&[0], &bytes[..]].concat();
            for bytes in [&bytes[..], &moved[1..]] {
                let found = widened(dtype, bytes).unwrap();
                let same = found
                    .iter()
                    .zip(&expected)
                    .all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same && found.len() == count, "{dtype}");
            }
        }
        assert_eq!(widened(Dtype::F32, &[0; 8]), None);
    }

    #[test]
    fn what_is_not_finite_is_counted_in_every_type() {
        let values = [
            1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            -f64::NAN,
            3e38,
        ];
        let f32s: Vec<u8> = values
            .iter()
            .flat_map(|&value| (value as f32).to_le_bytes())
            .collect();
        assert_eq!(not_finite(Dtype::F32, &f32s), (2, 2));
        let f64s: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert_eq!(not_finite(Dtype::F64, &f64s), (2, 2));
        // Too large for the f32 that it becomes.
        assert_eq!(not_finite(Dtype::F64, &1e40_f64.to_le_bytes()), (0, 1));
        let bytes =
            |bits: &[u16]| -> Vec<u8> { bits.iter().flat_map(|b| b.to_le_bytes()).collect() };
        let f16s = bytes(&[0x3c00, 0x7c00, 0xfc00, 0x7e00, 0xfc01, 0x7bff]);
        assert_eq!(not_finite(Dtype::F16, &f16s), (2, 2));
        let bf16s = bytes(&[0x3f80, 0x7f80, 0xff80, 0x7fc0, 0xff81, 0x7f7f]);
        assert_eq!(not_finite(Dtype::BF16, &bf16s), (2, 2));
        assert_eq!(
            not_finite(Dtype::F8_E5M2, &[0x7c, 0xfc, 0x7d, 0x7b]),
            (1, 2)
        );
        assert_eq!(not_finite(Dtype::F8_E4M3, &[0x7f, 0xff, 0x7e]), (2, 0));
    }
}

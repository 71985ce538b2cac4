//! The kernels against candle's own operations, over shapes that divide by nothing, on every path of this processor.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use candle_core::{DType, Device, IndexOp as _, Result, Tensor};

use super::attention::by_tensors;
use super::*;
use crate::kernels::Backend;
use crate::kernels::cpu::simd::PORTABLE;
use crate::kernels::cpu::values::to_vec;
use crate::model::Error;
use crate::model::hook::{AttentionDetail, Hook};
use crate::random::Generator;

/// Runs `check` with the best vector instructions that there are, and without any.
fn on_all_paths(check: impl Fn() -> Result<()>) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock();
    for portable in [false, true] {
        PORTABLE.store(portable, Ordering::Relaxed);
        let result = check();
        PORTABLE.store(false, Ordering::Relaxed);
        result.unwrap_or_else(|error| panic!("portable {portable}: {error}"));
    }
    drop(guard);
}

thread_local! {
    /// Every test has a thread of its own, and so the same values each time: bounds hold for values of ordinary size,
    /// and among millions there are others.
    static NOISE: RefCell<Generator> = RefCell::new(Generator::manual_seed(0));
}

/// Standard normal values.
fn randn(shape: &[usize]) -> Result<Tensor> {
    NOISE.with_borrow_mut(|noise| noise.randn_tensor(shape, &Device::Cpu))
}

/// Fails where any two values are further apart than `bound`, or one alone is NaN.
#[track_caller]
fn assert_near(kernels: &Tensor, expected: &Tensor, bound: f32, what: &str) -> Result<()> {
    assert_eq!(kernels.dims(), expected.dims(), "{what}");
    let (kernels, expected) = (to_vec(kernels)?, to_vec(expected)?);
    for (index, (a, b)) in kernels.iter().zip(&expected).enumerate() {
        let near =
            (a - b).abs() <= bound || (a.is_nan() && b.is_nan()) || a.to_bits() == b.to_bits();
        assert!(near, "{what}: value {index} is {a} instead of {b}");
    }
    Ok(())
}

#[test]
fn a_linear_layer_is_candles_over_any_shape() {
    on_all_paths(|| {
        for (rows, inputs, outputs) in [(1, 1, 1), (3, 7, 5), (77, 96, 200), (130, 1100, 65)] {
            let (weight, bias) = (randn(&[outputs, inputs])?, randn(&[outputs])?);
            let (x, base) = (randn(&[2, rows, inputs])?, randn(&[2, rows, outputs])?);
            for bias in [None, Some(bias)] {
                let kernels = Linear::from_tensors(weight.clone(), bias.clone())?;
                assert!(matches!(kernels.0, linear::Kernel::Cpu(_)));
                let candle = Linear::on(Backend::Candle, weight.clone(), bias)?;
                let what = format!("{rows}x{inputs} to {outputs}");
                let bound = 1e-5 * (inputs as f32).sqrt();
                assert_near(&kernels.forward(&x)?, &candle.forward(&x)?, bound, &what)?;
                let (kernels, candle) = (kernels.add_to(&base, &x)?, candle.add_to(&base, &x)?);
                assert_near(&kernels, &candle, bound, &what)?;
            }
        }
        Ok(())
    });
}

/// Batch, inputs, outputs, height, width; then size, stride and padding of the kernel.
const CONVOLUTIONS: [([usize; 5], [usize; 3]); 9] = [
    ([1, 1, 1, 1, 1], [3, 1, 1]),
    ([1, 3, 5, 7, 4], [3, 1, 1]),
    ([2, 4, 70, 9, 6], [3, 2, 1]),
    ([3, 5, 7, 8, 9], [1, 1, 0]),
    ([2, 3, 4, 6, 7], [3, 2, 0]),
    ([1, 2, 3, 5, 5], [5, 1, 2]),
    ([2, 40, 33, 11, 13], [1, 2, 0]),
    // By Winograd's method, the last with tiles that stick out.
    ([1, 96, 128, 32, 32], [3, 1, 1]),
    ([2, 130, 97, 30, 35], [3, 1, 1]),
];

#[test]
fn a_convolution_is_candles_over_any_shape() {
    on_all_paths(|| {
        for ([batch, inputs, outputs, height, width], [size, stride, padding]) in CONVOLUTIONS {
            let geometry = Geometry {
                size,
                stride,
                padding,
            };
            let weight = randn(&[outputs, inputs, size, size])?;
            let bias = randn(&[outputs])?;
            let kernels = Conv2d::from_tensors(&weight, bias.clone(), geometry)?;
            assert!(matches!(kernels.0, conv::Kernel::Cpu(_)));
            let candle = Conv2d::on(Backend::Candle, &weight, bias, geometry)?;
            let what = format!("{batch}x{inputs}x{height}x{width} to {outputs}, {geometry:?}");
            let bound = 4e-6 * (size * size * inputs) as f32 / (inputs as f32).sqrt() + 1e-6;

            // Channels first, as candle has them, and channels last, as the results of the kernels lie.
            let x = randn(&[batch, inputs, height, width])?;
            let expected = candle.forward(&x)?;
            assert_near(&kernels.forward(&x)?, &expected, bound, &what)?;
            let last = x.permute((0, 2, 3, 1))?.contiguous()?;
            let last = last.permute((0, 3, 1, 2))?;
            assert_near(&kernels.forward(&last)?, &expected, bound, &what)?;
            for rows in [1, batch] {
                let shift = randn(&[rows, outputs])?;
                let expected = candle.forward_shifted(&x, &shift)?;
                assert_near(
                    &kernels.forward_shifted(&x, &shift)?,
                    &expected,
                    bound,
                    &what,
                )?;
            }
            let base = randn(expected.dims())?;
            let expected = candle.add_to(&base, &x)?;
            assert_near(&kernels.add_to(&base, &x)?, &expected, bound, &what)?;
        }
        Ok(())
    });
}

#[test]
fn what_does_not_fit_is_an_error() -> Result<()> {
    let geometry = Geometry {
        size: 3,
        stride: 1,
        padding: 0,
    };
    let conv = Conv2d::from_tensors(&randn(&[4, 3, 3, 3])?, randn(&[4])?, geometry)?;
    let message = |result: Result<Tensor>| result.expect_err("it does not fit").to_string();
    let too_small = message(conv.forward(&randn(&[1, 3, 2, 8])?));
    assert!(too_small.contains("8x2 is smaller"), "{too_small}");
    let channels = message(conv.forward(&randn(&[1, 5, 8, 8])?));
    assert!(channels.contains("5 channels instead of 3"), "{channels}");
    let (x, base) = (randn(&[1, 3, 8, 8])?, randn(&[1, 4, 8, 8])?);
    assert!(message(conv.add_to(&base, &x)).contains("[1, 8, 8, 4]"));
    assert!(message(conv.forward_shifted(&x, &randn(&[2, 4])?)).contains("[2, 4]"));
    let linear = Linear::from_tensors(randn(&[4, 3])?, None)?;
    let features = message(linear.forward(&randn(&[2, 5])?));
    assert!(features.contains("5 features instead of 3"), "{features}");
    Ok(())
}

#[test]
fn a_group_norm_is_candles_and_keeps_its_digits_far_from_zero() {
    on_all_paths(|| {
        for [batch, channels, groups, height, width] in [
            [1, 1, 1, 3, 3],
            [2, 6, 3, 5, 7],
            [1, 320, 32, 9, 11],
            [3, 66, 2, 1, 1],
        ] {
            let (weight, bias) = (randn(&[channels])?, randn(&[channels])?);
            let kernels = GroupNorm::from_tensors(weight.clone(), bias.clone(), groups, 1e-5)?;
            assert!(matches!(kernels.0, norm::Kernel::Cpu(_)));
            let candle = GroupNorm::on(Backend::Candle, weight, bias, groups, 1e-5)?;
            let x = randn(&[batch, channels, height, width])?;
            let what = format!("{channels} channels in {groups}");
            assert_near(&kernels.forward(&x)?, &candle.forward(&x)?, 2e-5, &what)?;
            let (a, b) = (kernels.forward_silu(&x)?, candle.forward_silu(&x)?);
            assert_near(&a, &b, 2e-5, &what)?;
            // Exact in f32: a mean of 4096 takes none of the eighths away.
            let eighths = ((&x * 8.0)?.round()? / 8.0)?;
            let (near, far) = (
                kernels.forward(&eighths)?,
                kernels.forward(&(&eighths + 4096.0)?)?,
            );
            assert_near(&far, &near, 2e-3, "4096 away")?;
        }
        Ok(())
    });
}

#[test]
fn layer_norms_and_activations_are_candles() {
    on_all_paths(|| {
        for (rows, features) in [(1, 1), (5, 7), (77, 96), (3, 1281)] {
            let (weight, bias) = (randn(&[features])?, randn(&[features])?);
            let norm = LayerNorm::from_tensors(weight.clone(), bias.clone(), 1e-5);
            let x = ((randn(&[rows, features])? * 5.0)? + 1.0)?;
            let expected = candle_nn::ops::layer_norm_slow(&x, &weight, &bias, 1e-5)?;
            assert_near(&norm.forward(&x)?, &expected, 2e-5, "layer norm")?;

            assert_near(&silu(&x)?, &x.silu()?, 3e-6, "SiLU")?;
            assert_near(&gelu(&x)?, &x.gelu_erf()?, 3e-6, "GELU")?;
            let expected = (&x * candle_nn::ops::sigmoid(&(&x * 1.702)?)?)?;
            assert_near(&quick_gelu(&x)?, &expected, 3e-6, "quick GELU")?;
            let (weight, bias) = (randn(&[2 * features, 7])?, randn(&[2 * features])?);
            let kernels = Linear::from_tensors(weight.clone(), Some(bias.clone()))?;
            let candle = Linear::on(Backend::Candle, weight, Some(bias))?;
            let x = randn(&[2, rows, 7])?;
            let expected = candle.forward_geglu(&x)?;
            assert_near(&kernels.forward_geglu(&x)?, &expected, 3e-5, "GEGLU")?;
        }
        let edges = [
            0.0,
            -0.0,
            1e-30,
            -1e-30,
            88.0,
            -88.0,
            150.0,
            -150.0,
            f32::INFINITY,
            f32::NAN,
        ];
        let edges = Tensor::new(&edges, &Device::Cpu)?;
        assert_near(&silu(&edges)?, &edges.silu()?, 1e-6, "SiLU's edges")?;
        assert_near(&gelu(&edges)?, &edges.gelu_erf()?, 1e-6, "GELU's edges")
    });
}

#[test]
fn feature_maps_are_joined_and_upsampled_as_candle_does() {
    on_all_paths(|| {
        for [batch, first, second, height, width] in
            [[1, 1, 1, 1, 1], [2, 3, 5, 7, 4], [1, 64, 33, 30, 20]]
        {
            let a = randn(&[batch, first, height, width])?;
            let b = randn(&[batch, second, height, width])?;
            let expected = Tensor::cat(&[&a, &b], 1)?;
            assert_near(&concat_channels(&a, &b)?, &expected, 0.0, "joined")?;
            for size in [
                (height, width),
                (2 * height, 2 * width),
                (2 * height - 1, 2 * width),
            ] {
                let expected = a.upsample_nearest2d(size.0, size.1)?;
                assert_near(&upsample_nearest(&a, size)?, &expected, 0.0, "upsampled")?;
            }
        }
        Ok(())
    });
}

/// Wants one kind of probabilities, keeps what it gets, and can halve them.
struct Watch {
    detail: AttentionDetail,
    halves: bool,
    seen: Option<Tensor>,
}

impl Hook for Watch {
    fn wants_attention(&self, _: &str) -> AttentionDetail {
        self.detail
    }

    fn attention(&mut self, _: &str, probs: &Tensor) -> std::result::Result<(), Error> {
        self.seen = Some(probs.clone());
        Ok(())
    }

    fn replaces_attention(&self, _: &str) -> bool {
        self.halves
    }

    fn replace_attention(&mut self, _: &str, probs: &Tensor) -> std::result::Result<Tensor, Error> {
        Ok((probs * 0.5)?)
    }
}

#[test]
fn attention_is_candles_and_looking_changes_no_bit() {
    on_all_paths(|| {
        // Batch, heads, queries, keys, features of a head.
        for [batch, heads, queries, keys, size] in [
            [1, 1, 1, 1, 1],
            [2, 3, 5, 7, 4],
            [2, 4, 64, 77, 24],
            [1, 2, 130, 301, 40],
        ] {
            let features = heads * size;
            let query = randn(&[batch, queries, features])?;
            let (key, value) = (
                randn(&[batch, keys, features])?,
                randn(&[batch, keys, features])?,
            );
            let mask: Vec<f32> = (0..queries * keys)
                .map(|at| {
                    if at % keys > at / keys {
                        f32::NEG_INFINITY
                    } else {
                        0.0
                    }
                })
                .collect();
            let mask = Tensor::from_vec(mask, (queries, keys), &Device::Cpu)?;
            for (mask, halves) in [(None, false), (Some(&mask), false), (None, true)] {
                let input = AttentionInput {
                    heads,
                    query: &query,
                    key: &key,
                    value: &value,
                    mask,
                };
                let mut results = Vec::new();
                for detail in [
                    AttentionDetail::None,
                    AttentionDetail::Mean,
                    AttentionDetail::Heads,
                ] {
                    let watch = || Watch {
                        detail,
                        halves,
                        seen: None,
                    };
                    let (mut kernels, mut candles) = (watch(), watch());
                    let run = |result: std::result::Result<Tensor, Error>| {
                        result.map_err(candle_core::Error::wrap)
                    };
                    let out = run(attention(&input, "", &mut kernels))?;
                    let expected = run(by_tensors(&input, "", &mut candles))?;
                    assert_near(&out, &expected, 2e-5, "attention")?;
                    match (kernels.seen, candles.seen) {
                        (Some(kernels), Some(candles)) => {
                            assert_near(&kernels, &candles, 2e-6, "probabilities")?;
                        }
                        (None, None) => assert_eq!(detail, AttentionDetail::None),
                        _ => panic!("only one of the two hooks was called"),
                    }
                    results.push(to_vec(&out)?);
                }
                assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
            }
        }
        Ok(())
    });
}

#[test]
fn what_is_no_number_stays_visible_where_it_belongs() {
    on_all_paths(|| {
        let mut values = vec![1.0f32; 2 * 3 * 64];
        values[3 * 64 - 1] = f32::NAN;
        let x = Tensor::from_vec(values, (2, 3, 8, 8), &Device::Cpu)?;
        let (of_first, of_second) = (|y: &Tensor| to_vec(&y.i(0)?), |y: &Tensor| to_vec(&y.i(1)?));
        let geometry = Geometry {
            size: 3,
            stride: 1,
            padding: 1,
        };
        let conv = Conv2d::from_tensors(&randn(&[5, 3, 3, 3])?, randn(&[5])?, geometry)?;
        let y = conv.forward(&x)?;
        // Four pixels of each of five channels see the corner.
        assert_eq!(of_first(&y)?.iter().filter(|x| x.is_nan()).count(), 20);
        assert!(of_second(&y)?.iter().all(|x| x.is_finite()));
        let ones = Tensor::ones(3, DType::F32, &Device::Cpu)?;
        let norm = GroupNorm::from_tensors(ones.clone(), ones, 3, 1e-5)?;
        let y = norm.forward_silu(&x)?;
        assert_eq!(of_first(&y)?.iter().filter(|x| x.is_nan()).count(), 64);
        assert!(of_second(&y)?.iter().all(|x| x.is_finite()));
        Ok(())
    });
}

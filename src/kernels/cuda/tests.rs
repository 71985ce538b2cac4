//! The kernels on the emulator, against candle's operations in f32.

use candle_core::{DType, Device, Result, Tensor};

use super::check::{compare, distance, heads_of};
use super::launch::{Argument, Kernel, Launch};
use super::{Conv2d, GroupNorm, Linear, attend, concat_channels, layer_norm, probabilities};
use crate::kernels::attention::AttentionInput;
use crate::kernels::geometry::{Geometry, channels_first, channels_last};
use crate::random::Generator;

/// Rounding of a result, and of attention's probabilities on the way, relative: twice the half of a unit in the last
/// place.
fn bound(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 1e-3,
        _ => 8e-3,
    }
}

fn randn(noise: &mut Generator, shape: &[usize], dtype: DType) -> Result<Tensor> {
    noise.randn_tensor(shape, &Device::Cpu)?.to_dtype(dtype)
}

#[test]
fn what_is_checked_before_the_kernels_are_used_holds() {
    for (dtype, bound) in [(DType::F32, 1e-5), (DType::F16, 1e-3)] {
        for finding in compare(dtype, &Device::Cpu, bound) {
            assert_eq!(finding.failure(), None);
        }
    }
}

#[test]
fn attention_is_right_at_every_size_of_a_head_and_at_every_border() -> Result<()> {
    let noise = &mut Generator::manual_seed(1);
    // Batch, heads, queries, keys, features of a head.
    let sizes = [
        [1, 1, 1, 1, 2],
        [2, 3, 70, 77, 24],
        [1, 2, 64, 64, 16],
        [2, 2, 130, 150, 40],
        [1, 1, 65, 129, 64],
        [1, 1, 33, 65, 80],
        [1, 1, 65, 63, 90],
        [1, 1, 20, 30, 6],
        [1, 1, 40, 96, 126],
        [1, 1, 100, 200, 160],
    ];
    for dtype in [DType::F16, DType::BF16] {
        for [batch, heads, queries, keys, size] in sizes {
            let features = heads * size;
            let query = randn(noise, &[batch, queries, features], dtype)?;
            let key = randn(noise, &[batch, keys, features], dtype)?;
            let value = randn(noise, &[batch, keys, features], dtype)?;
            let apart = |x: &Tensor| heads_of(x, heads);
            let scores = (apart(&query)?.matmul(&apart(&key)?.t()?)? / (size as f64).sqrt())?;
            let probs = candle_nn::ops::softmax_last_dim(&scores)?;
            let expected = probs.matmul(&apart(&value)?)?.transpose(1, 2)?;
            let input = AttentionInput {
                heads,
                query: &query,
                key: &key,
                value: &value,
                mask: None,
            };
            let out = distance(&attend(&input)?, &expected.flatten_from(2)?)?;
            assert!(out < bound(dtype), "{dtype:?} {sizes:?}: {out}");
            for (is_mean, expected) in [(false, probs.clone()), (true, probs.mean(1)?)] {
                match probabilities(&input, is_mean)? {
                    Some(probs) => {
                        let apart = distance(&probs, &expected)?;
                        assert!(apart < 1e-6, "{dtype:?} {keys} keys: {apart}");
                    }
                    None => assert!(keys > 96),
                }
            }
        }
    }
    Ok(())
}

/// Every bit, for comparison.
fn bits(x: &Tensor) -> Result<Vec<u32>> {
    let values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.into_iter().map(f32::to_bits).collect())
}

#[test]
fn attention_reads_queries_keys_and_values_where_one_product_left_them() -> Result<()> {
    let noise = &mut Generator::manual_seed(5);
    // Heads that are read 16 bytes at a time, and 4; and values that begin where neither can be read.
    for (heads, size, first) in [(2, 24, 0), (3, 6, 0), (2, 24, 3)] {
        let features = heads * size;
        let all = randn(noise, &[2, 70, 3 * features + first], DType::F16)?;
        let part = |index| all.narrow(2, first + index * features, features);
        let (query, key, value) = (part(0)?, part(1)?, part(2)?);
        let views = AttentionInput {
            heads,
            query: &query,
            key: &key,
            value: &value,
            mask: None,
        };
        let (query, key, value) = (
            query.force_contiguous()?,
            key.force_contiguous()?,
            value.force_contiguous()?,
        );
        let copies = AttentionInput {
            query: &query,
            key: &key,
            value: &value,
            ..views
        };
        assert_eq!(bits(&attend(&views)?)?, bits(&attend(&copies)?)?);
        let [views, copies] = [views, copies].map(|input| probabilities(&input, true));
        let (Some(views), Some(copies)) = (views?, copies?) else {
            panic!("70 keys are few");
        };
        assert_eq!(bits(&views)?, bits(&copies)?);
        // A map of the picture for each key, without being moved.
        assert!(views.transpose(1, 2)?.is_contiguous());
    }
    Ok(())
}

#[test]
fn the_emulator_refuses_what_a_gpu_cannot_read() -> Result<()> {
    let rows = Tensor::zeros((1, 8, 40), DType::F16, &Device::Cpu)?.narrow(2, 3, 16)?;
    let error = Launch::grid(
        [1, 1, 1],
        128,
        Kernel::of("attention", DType::F16, 1).steps(1),
    )
    .with([&rows; 3].map(Argument::Rows))
    .ints([8, 8, 16, 40, 40, 40])
    .with([Argument::Float(1.0)])
    .run(&rows, DType::F16, &[1, 8, 16])
    .unwrap_err();
    assert!(error.to_string().contains("refuses"), "{error}");
    Ok(())
}

#[test]
fn layers_side_by_side_give_what_each_gives() -> Result<()> {
    let noise = &mut Generator::manual_seed(6);
    let x = randn(noise, &[2, 5, 24], DType::F16)?;
    let layers: Vec<Linear> = [16, 5, 40]
        .into_iter()
        .map(|outputs| {
            let weight = randn(noise, &[outputs, 24], DType::F16)?;
            Ok(Linear::new(
                weight,
                Some(randn(noise, &[outputs], DType::F16)?),
            ))
        })
        .collect::<Result<_>>()?;
    let all: Vec<&Linear> = layers.iter().collect();
    let together = Linear::side_by_side(&all)?.forward(&x, None)?;
    let mut first = 0;
    for layer in all {
        let part = together.narrow(2, first, layer.outputs())?;
        let alone = layer.forward(&x, None)?;
        assert!(distance(&part, &alone.to_dtype(DType::F32)?)? < bound(DType::F16));
        first += layer.outputs();
    }
    Ok(())
}

#[test]
fn a_layer_norm_of_nearly_equal_values_far_from_zero_is_right() -> Result<()> {
    let noise = &mut Generator::manual_seed(7);
    for features in [64, 75] {
        let (weight, bias) = (
            randn(noise, &[features], DType::F32)?,
            randn(noise, &[features], DType::F32)?,
        );
        let near_zero = randn(noise, &[9, features], DType::F32)?;
        let x = (&near_zero + 1000.0)?;
        // As f32 knows them at 1000.
        let near_zero = (x.to_dtype(DType::F64)? - 1000.0)?.to_dtype(DType::F32)?;
        let expected = candle_nn::ops::layer_norm_slow(&near_zero, &weight, &bias, 1e-5)?;
        let apart = distance(&layer_norm(&x, &weight, &bias, 1e-5)?, &expected)?;
        assert!(apart < 1e-3, "{apart}");
        // The mean of equal values may be a little beside them, and the variance is 0: not less.
        let constant = Tensor::full(1000.1_f32, (1, features), &Device::Cpu)?;
        let apart = distance(
            &layer_norm(&constant, &weight, &bias, 1e-5)?,
            &bias.unsqueeze(0)?,
        )?;
        assert!(apart < 0.1, "{apart}");
    }
    Ok(())
}

#[test]
fn group_norm_keeps_its_digits_far_from_zero_and_shows_what_is_no_number() -> Result<()> {
    let noise = &mut Generator::manual_seed(2);
    let (weight, bias) = (
        randn(noise, &[64], DType::F32)?,
        randn(noise, &[64], DType::F32)?,
    );
    // One pixel, a few, and so many that a group falls into more than one chunk, of which the last is smaller.
    for (height, width) in [(1, 1), (3, 5), (64, 65), (91, 97)] {
        let x = (randn(noise, &[2, 64, height, width], DType::F32)? + 1000.0)?;
        let norm = GroupNorm::new(weight.clone(), bias.clone(), 32, 1e-5);
        let candle = candle_nn::GroupNorm::new(weight.clone(), bias.clone(), 64, 32, 1e-5)?;
        let wide = x.to_dtype(DType::F64)?;
        let mean = wide.reshape((2, 32, ()))?.mean_keepdim(2)?;
        let near_zero = wide.reshape((2, 32, ()))?.broadcast_sub(&mean)?;
        let near_zero = near_zero.reshape(x.shape())?.to_dtype(DType::F32)?;
        let expected = near_zero.apply(&candle)?;
        let apart = distance(&norm.forward(&x, false)?, &expected)?;
        // At 1000, f32 itself knows 3e-5; the mean of the squares less the square of the mean would know 6e-2.
        assert!(apart < 1e-3, "{height}x{width}: {apart}");
    }
    let mut values = vec![1.0_f32; 2 * 64 * 4];
    values[0] = f32::NAN;
    let x = Tensor::from_vec(values, (2, 64, 2, 2), &Device::Cpu)?;
    let norm = GroupNorm::new(weight, bias, 32, 1e-5);
    let y = norm.forward(&x, true)?.flatten_all()?.to_vec1::<f32>()?;
    // Two channels of four pixels are a group.
    assert_eq!(y.iter().filter(|y| y.is_nan()).count(), 8);
    Ok(())
}

#[test]
fn group_norms_of_every_width_are_right() -> Result<()> {
    let noise = &mut Generator::manual_seed(8);
    // Groups that share 16 bytes with another one, that are as wide, wider; and channels of which a block has a part.
    let shapes = [
        (40, 4),
        (320, 32),
        (16, 2),
        (64, 2),
        (1280, 32),
        (2560, 32),
        (6, 3),
    ];
    for (channels, groups) in shapes {
        let x = (randn(noise, &[2, channels, 5, 7], DType::F16)? + 0.5)?;
        let (weight, bias) = (
            randn(noise, &[channels], DType::F16)?,
            randn(noise, &[channels], DType::F16)?,
        );
        let norm = GroupNorm::new(weight.clone(), bias.clone(), groups, 1e-5);
        let wide = |x: &Tensor| x.to_dtype(DType::F32);
        let (weight, bias) = (wide(&weight)?, wide(&bias)?);
        let candle = candle_nn::GroupNorm::new(weight, bias, channels, groups, 1e-5)?;
        let apart = distance(&norm.forward(&x, false)?, &wide(&x)?.apply(&candle)?)?;
        assert!(apart < bound(DType::F16), "{channels} in {groups}: {apart}");
    }
    Ok(())
}

#[test]
fn channels_are_joined_whatever_their_numbers_are() -> Result<()> {
    let noise = &mut Generator::manual_seed(9);
    // 16 bytes at a time, where only one of them could be moved so, and single values.
    for (first, second) in [(24, 8), (8, 3), (3, 24), (1, 1)] {
        let a = randn(noise, &[2, first, 3, 5], DType::F16)?;
        let b = randn(noise, &[2, second, 3, 5], DType::F16)?;
        let joined = concat_channels(&a, &b)?.contiguous()?;
        assert_eq!(bits(&joined)?, bits(&Tensor::cat(&[&a, &b], 1)?)?);
        assert!(concat_channels(&a, &b.narrow(2, 0, 2)?).is_err());
    }
    Ok(())
}

#[test]
fn a_convolution_in_pieces_is_that_at_once() -> Result<()> {
    let noise = &mut Generator::manual_seed(3);
    // Channels that can be moved 8 at a time, and others.
    for channels in [24, 4, 3] {
        let x = randn(noise, &[2, channels, 9, 7], DType::F16)?;
        let weight = randn(noise, &[5, channels, 3, 3], DType::F16)?;
        let bias = randn(noise, &[5], DType::F16)?;
        let geometry = Geometry {
            size: 3,
            stride: 2,
            padding: 1,
        };
        let conv = Conv2d::new(&weight, bias, geometry)?;
        let x = channels_last(&x)?;
        let at_once = conv.by_product(&x, (5, 4), 1 << 20)?;
        for most in [1, channels * 9 * 7, channels * 9 * 39] {
            let pieces = conv.by_product(&x, (5, 4), most)?;
            assert_eq!(
                pieces
                    .flatten_all()?
                    .to_dtype(DType::F32)?
                    .to_vec1::<f32>()?,
                at_once
                    .flatten_all()?
                    .to_dtype(DType::F32)?
                    .to_vec1::<f32>()?,
            );
        }
    }
    Ok(())
}

#[test]
fn shifts_and_bases_are_added_where_they_belong() -> Result<()> {
    let noise = &mut Generator::manual_seed(4);
    let x = randn(noise, &[2, 8, 3, 5], DType::F16)?;
    let weight = randn(noise, &[6, 8, 3, 3], DType::F16)?;
    let bias = randn(noise, &[6], DType::F16)?;
    let geometry = Geometry {
        size: 3,
        stride: 1,
        padding: 1,
    };
    let conv = Conv2d::new(&weight, bias, geometry)?;
    let plain = conv.forward(&x, None, None)?.to_dtype(DType::F32)?;
    let base = randn(noise, &[2, 6, 3, 5], DType::F16)?;
    for rows in [1, 2] {
        let shift = randn(noise, &[rows, 6], DType::F16)?;
        let result = conv.forward(&x, Some(&shift), Some(&base))?;
        let wide = shift.to_dtype(DType::F32)?.reshape((rows, 6, 1, 1))?;
        let expected = (plain.broadcast_add(&wide)? + base.to_dtype(DType::F32)?)?;
        let apart = distance(&result, &expected)?;
        assert!(apart < bound(DType::F16), "{rows} rows: {apart}");
    }
    // A picture that lies channels last, and begins in the middle of its memory.
    let both = channels_first(&randn(noise, &[2, 3, 5, 8], DType::F16)?)?;
    let second = conv.forward(&both, None, None)?.narrow(0, 1, 1)?;
    let alone = conv.forward(&both.narrow(0, 1, 1)?, None, None)?;
    let apart = distance(&alone, &second.to_dtype(DType::F32)?)?;
    assert!(apart < f64::EPSILON, "{apart}");
    // Kernels read blindly: what does not fit is refused before.
    for wrong in [
        randn(noise, &[2, 6, 3, 5], DType::F32)?,
        randn(noise, &[2, 6, 3, 4], DType::F16)?,
    ] {
        assert!(conv.forward(&x, None, Some(&wrong)).is_err());
    }
    let shift = randn(noise, &[3, 6], DType::F16)?;
    assert!(conv.forward(&x, Some(&shift), None).is_err());
    Ok(())
}

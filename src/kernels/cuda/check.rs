//! Do the kernels compute the right thing on this machine?
//!
//! They are checked once, when the device is opened, against candle's operations in f32 on the CPU: a driver that
//! cannot load them, a card that is too old for their tensor cores, or a defect then costs speed and not a wrong
//! picture.

use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Tensor};

use super::attention::{attend, probabilities};
use super::convolution::Conv2d;
use super::group_norm::GroupNorm;
use super::linear::{add, geglu};
use super::upsample::upsample_nearest;
use crate::kernels::attention::AttentionInput;
use crate::kernels::geometry::{Geometry, channels_first};
use crate::random::Generator;

/// How far a result may be from that of candle's operations, relative to its length.
const BOUNDS: [(DType, f64); 3] = [(DType::F32, 1e-4), (DType::F16, 4e-3), (DType::BF16, 3e-2)];

/// Why the kernels are not used on `device`: `None` where they are.
pub fn why_not(device: &Device) -> Option<&'static str> {
    // One device at a time is all that this program opens.
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            BOUNDS.iter().find_map(|&(dtype, bound)| {
                compare(dtype, device, bound)
                    .err()
                    .map(|error| error.to_string())
            })
        })
        .as_deref()
}

/// An error if a kernel fails, or its result is further than `bound` from candle's.
pub(super) fn compare(dtype: DType, device: &Device, bound: f64) -> Result<()> {
    let mut noise = Generator::manual_seed(0);
    // As rounded to `dtype`: what both begin with.
    let mut randn = |shape: &[usize]| noise.randn_tensor(shape, device)?.to_dtype(dtype);
    let check = |what: &str, result: &Tensor, expected: &Tensor| {
        let apart = distance(result, expected)?;
        // Not `apart > bound`: NaN is no success.
        if apart <= bound {
            Ok(())
        } else {
            candle_core::bail!("{what} in {} is {apart:.1e} from candle's", dtype.as_str())
        }
    };

    let (x, bias, base) = (randn(&[2, 7, 24])?, randn(&[24])?, randn(&[2, 7, 24])?);
    let expected = (wide(&x)?.broadcast_add(&wide(&bias)?)? + wide(&base)?)?;
    check(
        "a sum",
        &add(&x, Some(&bias), None, Some(&base))?,
        &expected,
    )?;

    let sum = wide(&x)?.broadcast_add(&wide(&bias)?)?;
    let (value, gate) = (sum.narrow(2, 0, 12)?, sum.narrow(2, 12, 12)?);
    let expected = (value * gate.contiguous()?.gelu_erf()?)?;
    check("the gated GELU", &geglu(&x, &bias)?, &expected)?;

    // Channels last and far from zero, in more than one chunk.
    let x = channels_first(&(randn(&[2, 40, 30, 24])? + 3.0)?)?;
    let (weight, bias) = (randn(&[24])?, randn(&[24])?);
    let norm = GroupNorm::new(weight.clone(), bias.clone(), 4, 1e-5);
    let inner = candle_nn::GroupNorm::new(wide(&weight)?, wide(&bias)?, 24, 4, 1e-5)?;
    let expected = wide(&x)?.contiguous()?.apply(&inner)?.silu()?;
    check("a group norm", &norm.forward(&x, true)?, &expected)?;

    let x = channels_first(&randn(&[2, 9, 6, 24])?)?;
    let expected = wide(&x)?.contiguous()?.upsample_nearest2d(18, 11)?;
    check("upsampling", &upsample_nearest(&x, (18, 11))?, &expected)?;

    for (size, stride, padding) in [(3, 1, 1), (3, 2, 1), (1, 1, 0)] {
        let geometry = Geometry {
            size,
            stride,
            padding,
        };
        let (weight, bias) = (randn(&[16, 24, size, size])?, randn(&[16])?);
        let result = Conv2d::new(&weight, bias.clone(), geometry)?.forward(&x, None, None)?;
        let expected = wide(&x)?
            .contiguous()?
            .conv2d(&wide(&weight)?, padding, stride, 1, 1)?
            .broadcast_add(&wide(&bias)?.reshape((1, 16, 1, 1))?)?;
        check("a convolution", &result, &expected)?;
    }

    if dtype != DType::F32 {
        let (heads, size) = (2, 40);
        let (query, key, value) = (
            randn(&[2, 70, heads * size])?,
            randn(&[2, 77, heads * size])?,
            randn(&[2, 77, heads * size])?,
        );
        let input = AttentionInput {
            heads,
            query: &query,
            key: &key,
            value: &value,
            mask: None,
        };
        let heads_of = |x: &Tensor| heads_of(x, heads);
        let scores = heads_of(&query)?.matmul(&heads_of(&key)?.t()?)?;
        let probs = candle_nn::ops::softmax_last_dim(&(scores / (size as f64).sqrt())?)?;
        let out = probs.matmul(&heads_of(&value)?)?;
        let out = out.transpose(1, 2)?.flatten_from(2)?;
        check("attention", &attend(&input)?, &out)?;
        for (is_mean, expected) in [(false, probs.clone()), (true, probs.mean(1)?)] {
            if let Some(probs) = probabilities(&input, is_mean)? {
                check("attention's probabilities", &probs, &expected)?;
            }
        }
    }
    Ok(())
}

/// The same values in f32 on the CPU.
fn wide(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)
}

/// `(batch, positions, heads * size)` as `(batch, heads, positions, size)` in f32 on the CPU.
pub(super) fn heads_of(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, length, features) = x.dims3()?;
    let apart = wide(x)?.reshape((batch, length, heads, features / heads))?;
    apart.transpose(1, 2)?.contiguous()
}

/// The length of the difference over that of `b`, which is in f32 on the CPU.
pub(super) fn distance(a: &Tensor, b: &Tensor) -> Result<f64> {
    let length = |x: &Tensor| x.sqr()?.sum_all()?.to_scalar::<f32>();
    let apart = length(&(wide(a)? - b)?)?;
    Ok(f64::from(apart / length(b)?).sqrt())
}

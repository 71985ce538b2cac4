//! Do the kernels compute the right thing on this machine?
//!
//! They are checked once, when the device is opened, against candle's operations in f32 on the CPU: a driver that cannot
//! load them, a card that they do not know, or a defect that gives wrong numbers then costs speed and not a wrong picture.
//! A defect that reads where nothing is costs more: such an error ruins the GPU's context, and candle's kernels fail after
//! it, too. The first failure is the one that is told.

use std::fmt::Write as _;
use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Tensor};

use super::attention::{attend, can_attend, probabilities};
use super::convolution::Conv2d;
use super::group_norm::GroupNorm;
use super::layer_norm::layer_norm;
use super::linear::{add, geglu};
use super::moves::{concat_channels, upsample_nearest};
use crate::kernels::attention::AttentionInput;
use crate::kernels::geometry::{Geometry, channels_first};
use crate::random::Generator;

/// How far a result may be from that of candle's operations, relative to its length.
const BOUNDS: [(DType, f64); 3] = [(DType::F32, 1e-4), (DType::F16, 4e-3), (DType::BF16, 3e-2)];

/// What one kernel gave.
#[derive(Debug)]
pub struct Finding {
    what: &'static str,
    dtype: DType,
    bound: f64,
    /// How far it is from candle's; `None` where the kernels do not do it on this device.
    distance: std::result::Result<Option<f64>, String>,
}

impl Finding {
    /// What is wrong, if something is.
    pub(super) fn failure(&self) -> Option<String> {
        let (what, dtype) = (self.what, self.dtype.as_str());
        match &self.distance {
            Err(error) => Some(format!("{what} in {dtype}: {error}")),
            Ok(Some(apart)) if apart.is_nan() || *apart > self.bound => {
                Some(format!("{what} in {dtype} is {apart:.1e} from candle's"))
            }
            Ok(_) => None,
        }
    }
}

/// Why the kernels are not used on `device`: `None` where they are.
pub fn why_not(device: &Device) -> Option<String> {
    static FAILURE: OnceLock<Option<String>> = OnceLock::new();
    if !device.is_cuda() {
        return None;
    }
    let first = || findings(device).iter().find_map(Finding::failure);
    FAILURE.get_or_init(first).clone()
}

/// Every kernel's distance, a line each.
pub fn report(device: &Device) -> String {
    let mut report = "our kernels' distance from candle's operations:".to_owned();
    for finding in findings(device) {
        let distance = match &finding.distance {
            Ok(Some(apart)) => format!("{apart:.2e}, bound {:.0e}", finding.bound),
            Ok(None) => "not on this device".to_owned(),
            Err(error) => format!("failed: {error}"),
        };
        let (what, dtype) = (finding.what, finding.dtype.as_str());
        // Writing to a string does not fail.
        let _ = write!(report, "\n  {what}, {dtype}: {distance}");
    }
    report
}

/// All of them, whatever the first says. One device is all that this program opens.
fn findings(device: &Device) -> &'static [Finding] {
    static FOUND: OnceLock<Vec<Finding>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let all = BOUNDS.iter();
        all.flat_map(|&(dtype, bound)| compare(dtype, device, bound))
            .collect()
    })
}

/// What each kernel gives in `dtype`, beside what candle's operations give.
pub(super) fn compare(dtype: DType, device: &Device, bound: f64) -> Vec<Finding> {
    let mut values = Values {
        noise: Generator::manual_seed(0),
        device,
        dtype,
    };
    let cases = CASES.iter().map(|&(what, case)| Finding {
        what,
        dtype,
        bound,
        distance: case(&mut values).map_err(|error| error.to_string()),
    });
    cases.collect()
}

/// Values to compute with.
struct Values<'a> {
    noise: Generator,
    device: &'a Device,
    dtype: DType,
}

impl Values<'_> {
    /// Normal ones, as rounded to the type: what both sides begin with.
    fn randn(&mut self, shape: &[usize]) -> Result<Tensor> {
        self.noise
            .randn_tensor(shape, self.device)?
            .to_dtype(self.dtype)
    }
}

type Case = fn(&mut Values) -> Result<Option<f64>>;

const CASES: [(&str, Case); 15] = [
    ("a sum", |values| sum(values, 24)),
    ("a sum of an odd width", |values| sum(values, 11)),
    ("the gated GELU", |values| gated_gelu(values, 24)),
    ("the gated GELU of an odd width", |values| {
        gated_gelu(values, 7)
    }),
    ("a layer norm", |values| normed_rows(values, 40)),
    ("a layer norm of an odd width", |values| {
        normed_rows(values, 21)
    }),
    ("a group norm", |values| normed_groups(values, 24, 4)),
    ("a group norm of an odd width", |values| {
        normed_groups(values, 21, 3)
    }),
    ("upsampling", upsampled),
    ("joining channels", concatenated),
    ("a 3x3 convolution", |values| convolved(values, (3, 1, 1))),
    ("a convolution with stride 2", |values| {
        convolved(values, (3, 2, 1))
    }),
    ("a 1x1 convolution", |values| convolved(values, (1, 1, 0))),
    ("attention", |values| attended(values, None)),
    ("attention's probabilities", |values| {
        let heads = attended(values, Some(false))?;
        let mean = attended(values, Some(true))?;
        Ok(heads.zip(mean).map(|(heads, mean)| heads.max(mean)))
    }),
];

fn sum(values: &mut Values, features: usize) -> Result<Option<f64>> {
    let x = values.randn(&[2, 7, features])?;
    let (bias, shift) = (values.randn(&[features])?, values.randn(&[2, features])?);
    let base = values.randn(&[2, 7, features])?;
    let expected = wide(&x)?
        .broadcast_add(&wide(&bias)?)?
        .broadcast_add(&wide(&shift)?.unsqueeze(1)?)?;
    let result = add(&x, Some(&bias), Some(&shift), Some(&base))?;
    distance(&result, &(expected + wide(&base)?)?).map(Some)
}

fn gated_gelu(values: &mut Values, inner: usize) -> Result<Option<f64>> {
    let (x, bias) = (
        values.randn(&[2, 7, 2 * inner])?,
        values.randn(&[2 * inner])?,
    );
    let sum = wide(&x)?.broadcast_add(&wide(&bias)?)?;
    let (value, gate) = (sum.narrow(2, 0, inner)?, sum.narrow(2, inner, inner)?);
    let expected = (value * gate.contiguous()?.gelu_erf()?)?;
    distance(&geglu(&x, &bias)?, &expected).map(Some)
}

fn normed_rows(values: &mut Values, features: usize) -> Result<Option<f64>> {
    let x = (values.randn(&[2, 5, features])? + 3.0)?;
    let (weight, bias) = (values.randn(&[features])?, values.randn(&[features])?);
    let expected = candle_nn::ops::layer_norm(&wide(&x)?, &wide(&weight)?, &wide(&bias)?, 1e-5)?;
    distance(&layer_norm(&x, &weight, &bias, 1e-5)?, &expected).map(Some)
}

/// Channels last and far from zero, in more than one chunk.
fn normed_groups(values: &mut Values, channels: usize, groups: usize) -> Result<Option<f64>> {
    let x = channels_first(&(values.randn(&[2, 40, 30, channels])? + 3.0)?)?;
    let (weight, bias) = (values.randn(&[channels])?, values.randn(&[channels])?);
    let norm = GroupNorm::new(weight.clone(), bias.clone(), groups, 1e-5);
    let inner = candle_nn::GroupNorm::new(wide(&weight)?, wide(&bias)?, channels, groups, 1e-5)?;
    let expected = wide(&x)?.contiguous()?.apply(&inner)?.silu()?;
    distance(&norm.forward(&x, true)?, &expected).map(Some)
}

fn upsampled(values: &mut Values) -> Result<Option<f64>> {
    let x = channels_first(&values.randn(&[2, 9, 6, 24])?)?;
    let expected = wide(&x)?.contiguous()?.upsample_nearest2d(18, 11)?;
    distance(&upsample_nearest(&x, (18, 11))?, &expected).map(Some)
}

fn concatenated(values: &mut Values) -> Result<Option<f64>> {
    let a = channels_first(&values.randn(&[2, 3, 5, 24])?)?;
    let b = channels_first(&values.randn(&[2, 3, 5, 16])?)?;
    let expected = Tensor::cat(&[wide(&a)?, wide(&b)?], 1)?;
    distance(&concat_channels(&a, &b)?, &expected).map(Some)
}

fn convolved(
    values: &mut Values,
    (size, stride, padding): (usize, usize, usize),
) -> Result<Option<f64>> {
    let geometry = Geometry {
        size,
        stride,
        padding,
    };
    let x = channels_first(&values.randn(&[2, 9, 6, 24])?)?;
    let (weight, bias) = (values.randn(&[16, 24, size, size])?, values.randn(&[16])?);
    let result = Conv2d::new(&weight, bias.clone(), geometry)?.forward(&x, None, None)?;
    let expected = wide(&x)?
        .contiguous()?
        .conv2d(&wide(&weight)?, padding, stride, 1, 1)?
        .broadcast_add(&wide(&bias)?.reshape((1, 16, 1, 1))?)?;
    distance(&result, &expected).map(Some)
}

/// The result, or the probabilities: of every head, or their mean.
fn attended(values: &mut Values, is_mean: Option<bool>) -> Result<Option<f64>> {
    let (heads, size) = (2, 40);
    let query = values.randn(&[2, 70, heads * size])?;
    let key = values.randn(&[2, 77, heads * size])?;
    let value = values.randn(&[2, 77, heads * size])?;
    let input = AttentionInput {
        heads,
        query: &query,
        key: &key,
        value: &value,
        mask: None,
    };
    if !can_attend(&input) {
        return Ok(None);
    }
    let scores = heads_of(&query, heads)?.matmul(&heads_of(&key, heads)?.t()?)?;
    let probs = candle_nn::ops::softmax_last_dim(&(scores / (size as f64).sqrt())?)?;
    let Some(is_mean) = is_mean else {
        let out = probs.matmul(&heads_of(&value, heads)?)?;
        let out = out.transpose(1, 2)?.flatten_from(2)?;
        return distance(&attend(&input)?, &out).map(Some);
    };
    let expected = if is_mean { probs.mean(1)? } else { probs };
    let apart = probabilities(&input, is_mean)?.map(|probs| distance(&probs, &expected));
    apart.transpose()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(distance: std::result::Result<Option<f64>, String>) -> Option<String> {
        let (what, dtype, bound) = ("a sum", DType::F16, 1e-3);
        let finding = Finding {
            what,
            dtype,
            bound,
            distance,
        };
        finding.failure()
    }

    #[test]
    fn a_kernel_fails_that_is_far_away_or_no_number_and_not_one_that_is_not_used() {
        assert_eq!(finding(Ok(Some(1e-4))), None);
        assert_eq!(finding(Ok(None)), None);
        assert!(
            finding(Ok(Some(1e-2))).is_some_and(|said| said.contains("a sum in f16 is 1.0e-2"))
        );
        assert!(finding(Ok(Some(f64::NAN))).is_some());
        assert!(finding(Err("no image".into())).is_some_and(|said| said.contains("no image")));
    }
}

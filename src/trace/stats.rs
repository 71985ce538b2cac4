//! Statistics of a tensor's values.

use candle_core::{DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Statistics of a tensor's finite values; those that are not finite are counted, and left out of the rest.
///
/// Sums run in `f64`, so the figures do not depend on the order of the values in any visible way.
/// `std` is the population's: the root of the mean squared distance from the mean. All are 0 where no value is finite.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Number of values.
    pub count: usize,
    /// Number of values that are NaN or infinite.
    pub non_finite: usize,
    /// Smallest finite value.
    pub min: f32,
    /// Largest finite value.
    pub max: f32,
    /// Mean of the finite values.
    pub mean: f64,
    /// Population standard deviation of the finite values.
    pub std: f64,
    /// Euclidean (L2) norm of the finite values.
    pub norm: f64,
}

impl Stats {
    /// Statistics of `values`.
    pub fn of(values: &[f32]) -> Self {
        let mut stats = Self {
            count: values.len(),
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            ..Self::default()
        };
        let (mut sum, mut squares) = (0.0_f64, 0.0_f64);
        for &value in values {
            if !value.is_finite() {
                stats.non_finite += 1;
                continue;
            }
            stats.min = stats.min.min(value);
            stats.max = stats.max.max(value);
            let value = f64::from(value);
            sum += value;
            squares += value * value;
        }
        let finite = values.len() - stats.non_finite;
        if finite == 0 {
            return Self {
                count: stats.count,
                non_finite: stats.non_finite,
                ..Self::default()
            };
        }
        stats.mean = sum / finite as f64;
        stats.norm = squares.sqrt();
        // A second pass: the textbook one-pass variance cancels badly where |mean| >> std.
        let spread: f64 = values
            .iter()
            .filter(|value| value.is_finite())
            .map(|&value| (f64::from(value) - stats.mean).powi(2))
            .sum();
        stats.std = (spread / finite as f64).sqrt();
        stats
    }
}

impl Stats {
    /// Statistics of a tensor's values. Those on a GPU are reduced there, and only the sums come to the host.
    pub fn of_tensor(values: &Tensor) -> Result<Self> {
        let values = values.flatten_all()?.to_dtype(DType::F32)?;
        if values.device().is_cpu() || values.elem_count() == 0 {
            return Ok(Self::of(&values.to_vec1::<f32>()?));
        }
        Self::reduced(&values)
    }

    /// By reductions on the values' own device. `values` is a vector of f32 that is not empty.
    fn reduced(values: &Tensor) -> Result<Self> {
        let count = values.elem_count();
        // Zero times infinity is NaN, and NaN equals nothing.
        let finite = (values * 0.0)?.eq(0_f32)?;
        let zeros = values.zeros_like()?;
        let wide = finite.where_cond(values, &zeros)?.to_dtype(DType::F64)?;
        let number = finite.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
        if number == 0.0 {
            return Ok(Self {
                count,
                non_finite: count,
                ..Self::default()
            });
        }
        let extreme = |infinity: f32, largest: bool| -> Result<f32> {
            let others = (values.ones_like()? * f64::from(infinity))?;
            let candidates = finite.where_cond(values, &others)?;
            let extreme = if largest {
                candidates.max_all()?
            } else {
                candidates.min_all()?
            };
            extreme.to_scalar()
        };
        let mean = wide.sum_all()?.to_scalar::<f64>()? / number;
        let weight = finite.to_dtype(DType::F64)?;
        let spread = ((&wide - mean)?.sqr()? * weight)?.sum_all()?;
        Ok(Self {
            count,
            non_finite: count - number as usize,
            min: extreme(f32::INFINITY, false)?,
            max: extreme(f32::NEG_INFINITY, true)?,
            mean,
            std: (spread.to_scalar::<f64>()? / number).sqrt(),
            norm: wide.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_known_values() {
        let stats = Stats::of(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!((stats.min, stats.max, stats.count), (1.0, 4.0, 4));
        assert!((stats.mean - 2.5).abs() < 1e-12);
        assert!((stats.std - 1.25_f64.sqrt()).abs() < 1e-12);
        assert!((stats.norm - 30.0_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn values_that_are_not_finite_are_counted_and_left_out() {
        let stats = Stats::of(&[f32::NAN, 2.0, f32::INFINITY, 4.0]);
        assert_eq!((stats.count, stats.non_finite), (4, 2));
        assert!((stats.mean - 3.0).abs() < 1e-12);
        assert_eq!(Stats::of(&[f32::NAN]).non_finite, 1);
        assert_eq!(Stats::of(&[]), Stats::default());
    }

    #[test]
    fn a_large_mean_does_not_swallow_a_small_spread() {
        let values: Vec<f32> = (0..1000).map(|i| 1e4 + (i % 2) as f32).collect();
        assert!((Stats::of(&values).std - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_reduction_on_the_device_gives_the_same_figures() {
        let device = candle_core::Device::Cpu;
        let mut values: Vec<f32> = (0..1000)
            .map(|i| (i as f32 * 0.37).sin() * 3.0 + 1.0)
            .collect();
        for broken in [
            None,
            Some(f32::NAN),
            Some(f32::INFINITY),
            Some(f32::NEG_INFINITY),
        ] {
            values.extend(broken);
            let tensor = Tensor::new(values.as_slice(), &device).unwrap();
            let (reduced, direct) = (Stats::reduced(&tensor).unwrap(), Stats::of(&values));
            assert_eq!(
                (reduced.count, reduced.non_finite, reduced.min, reduced.max),
                (direct.count, direct.non_finite, direct.min, direct.max)
            );
            for (a, b) in [
                (reduced.mean, direct.mean),
                (reduced.std, direct.std),
                (reduced.norm, direct.norm),
            ] {
                assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} {b}");
            }
        }
        let none = Tensor::new(&[f32::NAN, f32::INFINITY], &device).unwrap();
        assert_eq!(
            Stats::reduced(&none).unwrap(),
            Stats::of(&[f32::NAN, f32::INFINITY])
        );
    }
}

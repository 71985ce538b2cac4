//! Statistics of a tensor's values.

use candle_core::{DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::cuda::transfer::to_host;

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

/// Statistics of a tensor, or what a device will say of it once it is asked.
#[derive(Debug)]
pub enum PendingStats {
    /// Already known.
    Known(Stats),
    /// Reduced on the tensor's own device.
    Reduced {
        /// Number of values.
        count: usize,
        /// Six figures in f64: how many are finite; their smallest, largest, mean, standard deviation and norm.
        figures: Tensor,
    },
}

impl PendingStats {
    /// Statistics of a tensor's values. Those on a GPU are reduced there, and nobody waits for it.
    pub fn of(values: &Tensor) -> Result<Self> {
        let values = values.flatten_all()?.to_dtype(DType::F32)?;
        if values.device().is_cpu() || values.elem_count() == 0 {
            return Ok(Self::Known(Stats::of(&values.to_vec1::<f32>()?)));
        }
        Self::reduced(&values)
    }

    /// By reductions on the values' own device. `values` is a vector of f32 that is not empty.
    fn reduced(values: &Tensor) -> Result<Self> {
        let count = values.elem_count();
        // As rows, for a device reduces rows side by side and one row on a single processor.
        let rows = (count & count.wrapping_neg()).min(256);
        let values = values.reshape((rows, count / rows))?;
        let sum = |values: Tensor| values.sum(1)?.sum(0);
        // Zero times infinity is NaN, and NaN equals nothing.
        let finite = (&values * 0.0)?.eq(0_f32)?;
        let weight = finite.to_dtype(DType::F64)?;
        let among = |others: f32| -> Result<Tensor> {
            let others = Tensor::full(others, values.shape(), values.device())?;
            finite.where_cond(&values, &others)
        };
        let wide = among(0.0)?.to_dtype(DType::F64)?;
        let number = sum(weight.clone())?;
        let divisor = number.maximum(1.0)?;
        let mean = (sum(wide.clone())? / &divisor)?;
        let spread = (wide.broadcast_sub(&mean)?.sqr()? * weight)?;
        let figures = [
            number,
            among(f32::INFINITY)?.min(1)?.min(0)?.to_dtype(DType::F64)?,
            among(f32::NEG_INFINITY)?
                .max(1)?
                .max(0)?
                .to_dtype(DType::F64)?,
            mean,
            (sum(spread)? / divisor)?.sqrt()?,
            sum(wide.sqr()?)?.sqrt()?,
        ];
        Ok(Self::Reduced {
            count,
            figures: Tensor::stack(&figures, 0)?,
        })
    }

    /// Asks the device, once for all of them.
    pub fn ask(pending: &[Self]) -> Result<Vec<Stats>> {
        let figures: Vec<Tensor> = pending
            .iter()
            .filter_map(|pending| match pending {
                Self::Known(_) => None,
                Self::Reduced { figures, .. } => Some(figures.clone()),
            })
            .collect();
        let mut answers = to_host::<f64>(&figures)?.into_iter();
        let read = |pending: &Self| match pending {
            Self::Known(stats) => *stats,
            Self::Reduced { count, .. } => {
                Stats::of_figures(*count, &answers.next().unwrap_or_default())
            }
        };
        Ok(pending.iter().map(read).collect())
    }
}

impl Stats {
    fn of_figures(count: usize, figures: &[f64]) -> Self {
        match *figures {
            [number, min, max, mean, std, norm] if number > 0.0 => Self {
                count,
                non_finite: count - number as usize,
                min: min as f32,
                max: max as f32,
                mean,
                std,
                norm,
            },
            _ => Self {
                count,
                non_finite: count,
                ..Self::default()
            },
        }
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

    fn reduced(values: &Tensor) -> Stats {
        let pending = [PendingStats::reduced(values).unwrap()];
        PendingStats::ask(&pending).unwrap()[0]
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
            let (reduced, direct) = (reduced(&tensor), Stats::of(&values));
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
        assert_eq!(reduced(&none), Stats::of(&[f32::NAN, f32::INFINITY]));
    }
}

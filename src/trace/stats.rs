//! Statistics of a tensor's values.

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
}

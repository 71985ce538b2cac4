//! Which timesteps are visited, and the sigmas between the training timesteps.
//!
//! Timesteps are spread over the training's as in Lin et al., "Common Diffusion Noise
//! Schedules and Sample Steps are Flawed" (2023), table 2. All functions count down: the
//! noisiest timestep comes first. The arithmetic is numpy's, in f64.

use super::config::TimestepSpacing;

/// `n` equally spaced numbers from `start` to `end`, both included (`numpy.linspace`).
/// One number is `start`.
pub(super) fn linspace(start: f64, end: f64, n: usize) -> Vec<f64> {
    let step = (end - start) / (n.max(2) - 1) as f64;
    let mut values: Vec<f64> = (0..n).map(|i| i as f64 * step + start).collect();
    if n > 1 {
        values[n - 1] = end;
    }
    values
}

/// `steps` timesteps as real numbers, for the samplers that take them unrounded.
pub(super) fn real_timesteps(
    spacing: TimestepSpacing,
    train: usize,
    steps: usize,
    offset: usize,
) -> Vec<f64> {
    match spacing {
        TimestepSpacing::Linspace => {
            let mut timesteps = linspace(0.0, (train - 1) as f64, steps);
            timesteps.reverse();
            timesteps
        }
        TimestepSpacing::Leading => leading(train / steps, steps, offset as f64),
        TimestepSpacing::Trailing => trailing(train, steps),
    }
}

/// `steps` whole timesteps, for the samplers that look them up in a table.
pub(super) fn whole_timesteps(
    spacing: TimestepSpacing,
    train: usize,
    steps: usize,
    offset: usize,
) -> Vec<f64> {
    real_timesteps(spacing, train, steps, offset)
        .into_iter()
        .map(f64::round_ties_even)
        .collect()
}

/// `steps` timesteps, a whole `stride` apart, counted down to `lowest`.
pub(super) fn leading(stride: usize, steps: usize, lowest: f64) -> Vec<f64> {
    (0..steps)
        .rev()
        .map(|i| (i as f64) * (stride as f64) + lowest)
        .collect()
}

/// Strides of `train / steps` counted down from the last timestep, rounded.
///
/// For some counts the division's rounding makes diffusers go one stride too far, to
/// timestep -1; here there are always `steps`.
pub(super) fn trailing(train: usize, steps: usize) -> Vec<f64> {
    trailing_from(train, train, steps)
}

/// The same counted down from the timestep before `start`, as far as 0: fewer than `steps` where that is not the last.
pub(super) fn trailing_from(start: usize, train: usize, steps: usize) -> Vec<f64> {
    let start = start as f64;
    // numpy.arange takes the difference of its first two values as the stride.
    let stride = (start - train as f64 / steps as f64) - start;
    (0..steps)
        .map(|i| start + i as f64 * stride)
        .take_while(|timestep| *timestep > 0.0)
        .map(|timestep| timestep.round_ties_even() - 1.0)
        .collect()
}

/// `torch.linspace` in f32: counted from both ends, each value rounded once.
pub(super) fn linspace_f32(start: f32, end: f32, n: usize) -> Vec<f32> {
    if n == 1 {
        return vec![start];
    }
    let step = (end - start) / (n - 1) as f32;
    (0..n)
        .map(|i| {
            if i < n / 2 {
                step.mul_add(i as f32, start)
            } else {
                (-step).mul_add((n - 1 - i) as f32, end)
            }
        })
        .collect()
}

/// `n` noise levels whose logarithms fall in equal steps from the highest to the lowest of `table`, which rises: Euler's
/// `log_linear`, in f32.
pub(super) fn log_linear(table: &[f32], n: usize) -> Vec<f64> {
    let log = |sigma: f32| libm::log(f64::from(sigma)) as f32;
    linspace_f32(log(table[table.len() - 1]), log(table[0]), n)
        .into_iter()
        .map(|log| f64::from(libm::exp(f64::from(log)) as f32))
        .collect()
}

/// The value of `table` at each real index, linear in between, constant outside (`numpy.interp`).
pub(super) fn interpolate(indices: &[f64], table: &[f32]) -> Vec<f64> {
    let last = table.len() - 1;
    indices
        .iter()
        .map(|&index| {
            if index >= last as f64 {
                return f64::from(table[last]);
            }
            // Truncation is the floor: negative indices become 0.
            let low = index.max(0.0) as usize;
            let (a, b) = (f64::from(table[low]), f64::from(table[low + 1]));
            (b - a) * (index.max(0.0) - low as f64) + a
        })
        .collect()
}

/// Karras' noise levels: equally spaced after raising to 1/7 (Karras et al., "Elucidating
/// the Design Space of Diffusion-Based Generative Models", 2022, equation 5, rho = 7),
/// from `sigma_max` down to `sigma_min`.
pub(super) fn karras(sigma_min: f64, sigma_max: f64, steps: usize) -> Vec<f64> {
    const RHO: f64 = 7.0;
    let min = libm::pow(sigma_min, 1.0 / RHO);
    let max = libm::pow(sigma_max, 1.0 / RHO);
    linspace(0.0, 1.0, steps)
        .into_iter()
        .map(|ramp| libm::pow(max + ramp * (min - max), RHO))
        .collect()
}

/// Noise levels whose logarithms fall in equal steps, from `sigma_max` down to `sigma_min`.
pub(super) fn exponential(sigma_min: f64, sigma_max: f64, steps: usize) -> Vec<f64> {
    linspace(libm::log(sigma_max), libm::log(sigma_min), steps)
        .into_iter()
        .map(libm::exp)
        .collect()
}

/// Noise levels at the quantiles of a beta distribution with both parameters 0.6, from `sigma_max` down to `sigma_min`:
/// many at both ends (Lee et al., "Beta Sampling is All You Need", 2024).
pub(super) fn beta(sigma_min: f64, sigma_max: f64, steps: usize) -> Vec<f64> {
    const SHAPE: f64 = 0.6;
    linspace(0.0, 1.0, steps)
        .into_iter()
        .map(|ramp| sigma_min + quantile(1.0 - ramp, SHAPE) * (sigma_max - sigma_min))
        .collect()
}

/// The value below which a share `p` of a beta distribution lies whose parameters both are `shape`.
///
/// Newton's method on the regularized incomplete beta function, between bounds that are halved where it would leave them.
fn quantile(p: f64, shape: f64) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return 1.0;
    }
    // The distribution is symmetric, and the lower half has the finer numbers.
    if p > 0.5 {
        return 1.0 - quantile(1.0 - p, shape);
    }
    let beta = statrs::function::beta::beta(shape, shape);
    let (mut low, mut high) = (0.0, 0.5);
    // The series' first term: p = x^shape / (shape B).
    let mut x = libm::pow(p * shape * beta, 1.0 / shape).min(high);
    for _ in 0..100 {
        let excess = statrs::function::beta::beta_reg(shape, shape, x) - p;
        if excess > 0.0 {
            high = x;
        } else {
            low = x;
        }
        let density = libm::pow(x * (1.0 - x), shape - 1.0) / beta;
        let next = x - excess / density;
        let next = if low < next && next < high {
            next
        } else {
            f64::midpoint(low, high)
        };
        if (next - x).abs() <= f64::EPSILON * x {
            return next;
        }
        x = next;
    }
    x
}

/// The real index at which `table`, which rises, has the value `sigma`, linear in the
/// logarithm, between 0 and the last index.
pub(super) fn timestep_of_sigma(sigma: f64, table: &[f32]) -> f64 {
    if table.len() < 2 {
        return 0.0;
    }
    let log = |value: f32| f64::from(libm::log(f64::from(value)) as f32);
    let log_sigma = libm::log(sigma.max(1e-10));
    let below = table.partition_point(|&entry| log(entry) <= log_sigma);
    let low = below.saturating_sub(1).min(table.len() - 2);
    let (log_low, log_high) = (log(table[low]), log(table[low + 1]));
    let span = f64::from((log_low - log_high) as f32);
    let weight = ((log_low - log_sigma) / span).clamp(0.0, 1.0);
    (1.0 - weight) * low as f64 + weight * (low + 1) as f64
}

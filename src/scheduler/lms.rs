//! Linear multistep sampling (LMS), order 4.
//!
//! With `d = (x - x0) / sigma` the sample follows `dx/dsigma = d` (Karras et al.,
//! "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, equation 3).
//! LMS is Adams and Bashforth's method on the uneven steps of the schedule, as in
//! k-diffusion: a polynomial through the last four derivatives is integrated over the step,
//! `x += sum_j c_j d_j`, where `c_j` is the integral of the j-th Lagrange basis polynomial.

use candle_core::Result;

use super::prediction::{divide, scale, x0_exploding};
use super::{StepInput, StepOutput};

const ORDER: usize = 4;

/// The derivatives of up to four steps, the newest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Lms {
    derivatives: Vec<candle_core::Tensor>,
}

impl Lms {
    pub fn step(&mut self, input: &StepInput<'_>) -> Result<StepOutput> {
        let sigmas = &input.schedule.sigmas;
        let sigma = sigmas[input.index];
        let x0 = x0_exploding(input.prediction, input.model_output, input.sample, sigma)?;
        let derivative = divide(&(input.sample - &x0)?, sigma)?;

        let mut derivatives = vec![derivative];
        derivatives.extend(self.derivatives.iter().take(ORDER - 1).cloned());
        let coefficients = coefficients(sigmas, input.index, derivatives.len());
        let mut change = scale(&derivatives[0], coefficients[0])?;
        for (derivative, coefficient) in derivatives.iter().zip(coefficients).skip(1) {
            change = (change + scale(derivative, coefficient)?)?;
        }
        let prev_sample = (input.sample + change)?;
        self.derivatives = derivatives;
        Ok(StepOutput { prev_sample, x0 })
    }
}

/// For each of the last `order` derivatives, the newest first, the integral of its Lagrange
/// basis polynomial over the step at `index`.
///
/// Two-point Gauss-Legendre quadrature is exact for the cubics that these are at most.
fn coefficients(sigmas: &[f32], index: usize, order: usize) -> Vec<f32> {
    let nodes: Vec<f64> = (0..order).map(|k| f64::from(sigmas[index - k])).collect();
    let (from, to) = (f64::from(sigmas[index]), f64::from(sigmas[index + 1]));
    let (middle, half) = (f64::midpoint(from, to), (to - from) / 2.0);
    let basis = |j: usize, sigma: f64| -> f64 {
        (0..order)
            .filter(|k| *k != j)
            .map(|k| (sigma - nodes[k]) / (nodes[j] - nodes[k]))
            .product()
    };
    let reach = half / 3f64.sqrt();
    (0..order)
        .map(|j| (half * (basis(j, middle - reach) + basis(j, middle + reach))) as f32)
        .collect()
}

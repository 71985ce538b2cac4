//! Euler's method.
//!
//! With `d = (x - x0) / sigma`, one step is `x += d (sigma_next - sigma)` (Karras et al.,
//! "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, algorithm 2
//! without churn and without the second-order correction).

use candle_core::Result;

use super::prediction::{divide, scale, x0_exploding};
use super::{StepInput, StepOutput};

pub(super) fn step(input: &StepInput<'_>) -> Result<StepOutput> {
    let sigma = input.schedule.sigmas[input.index];
    let sigma_next = input.schedule.sigmas[input.index + 1];
    let x0 = x0_exploding(input.prediction, input.model_output, input.sample, sigma)?;
    let derivative = divide(&(input.sample - &x0)?, sigma)?;
    let prev_sample = (input.sample + scale(&derivative, sigma_next - sigma)?)?;
    Ok(StepOutput { prev_sample, x0 })
}

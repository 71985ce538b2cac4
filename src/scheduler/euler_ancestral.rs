//! Euler's method with fresh noise at every step (ancestral sampling).
//!
//! The step goes down to `sigma_down`, below the next sigma, and noise of `sigma_up` brings
//! it back, with `sigma_up^2 = s'^2 (s^2 - s'^2) / s^2` and `sigma_down^2 = s'^2 - sigma_up^2`
//! for the sigmas s and s' (the posterior of Ho, Jain and Abbeel, "Denoising Diffusion
//! Probabilistic Models", 2020, in the form of k-diffusion). Noise is drawn on the last step
//! too, where `sigma_up` is 0.

use candle_core::{Result, Tensor};

use super::prediction::{divide, scale, x0_exploding};
use super::{StepInput, StepOutput};

/// `noise` is standard normal, of the sample's shape.
pub(super) fn step(input: &StepInput<'_>, noise: &Tensor) -> Result<StepOutput> {
    let from = input.schedule.sigmas[input.index];
    let to = input.schedule.sigmas[input.index + 1];
    let x0 = x0_exploding(input.prediction, input.model_output, input.sample, from)?;
    let (from_squared, to_squared) = (from * from, to * to);
    let up = (to_squared * (from_squared - to_squared) / from_squared).sqrt();
    let down = (to_squared - up * up).sqrt();
    let derivative = divide(&(input.sample - &x0)?, from)?;
    let prev_sample = (input.sample + scale(&derivative, down - from)?)?;
    let prev_sample = (prev_sample + scale(noise, up)?)?;
    Ok(StepOutput { prev_sample, x0 })
}

//! Denoising diffusion implicit models (DDIM) with eta 0.
//!
//! `x' = sqrt(a') x0 + sqrt(1 - a') eps` (Song, Meng and Ermon, "Denoising Diffusion Implicit
//! Models", 2020, equation 12 with sigma 0), where a and a' are `alphas_cumprod` at the
//! timestep and `num_train_timesteps / steps` timesteps before it.

use candle_core::Result;

use super::config::{SchedulerConfig, TimestepSpacing};
use super::noise_schedule::{NoiseSchedule, sigma_of};
use super::prediction::{epsilon_preserving, scale, x0_preserving};
use super::thresholding::Thresholding;
use super::{SchedulerKind, StepInput, StepOutput, spacing};

/// What each step needs of the noise schedule.
#[derive(Debug, Clone)]
pub(super) struct Ddim {
    /// `alphas_cumprod` before and after each step.
    alphas: Vec<(f32, f32)>,
    /// x0 is clipped to plus or minus this.
    clip: Option<f64>,
    /// x0 is clipped so instead.
    thresholding: Option<Thresholding>,
}

/// The whole timesteps that DDIM visits.
pub(super) fn timesteps(config: &SchedulerConfig, train: usize, steps: usize) -> Vec<f64> {
    let spacing = config.spacing_or(TimestepSpacing::Leading);
    let offset = config.steps_offset_of(SchedulerKind::Ddim);
    spacing::whole_timesteps(spacing, train, steps, offset)
}

impl Ddim {
    /// `timesteps` are those of [`timesteps`], all of them within the training's.
    pub fn new(
        config: &SchedulerConfig,
        noise: &NoiseSchedule,
        timesteps: &[f32],
        steps: usize,
    ) -> Self {
        let after_last = noise.final_alpha_cumprod(SchedulerKind::Ddim, config);
        let stride = noise.len() / steps;
        let alphas = timesteps
            .iter()
            .map(|&t| {
                let t = t as usize;
                let after = t
                    .checked_sub(stride)
                    .map_or(after_last, |t| noise.alphas_cumprod[t]);
                (noise.alphas_cumprod[t], after)
            })
            .collect();
        Self {
            alphas,
            clip: config.clips().then_some(config.clip_sample_range),
            thresholding: Thresholding::of(config),
        }
    }

    /// Begins the step at `index` where the noise over the signal is `sigma`, wherever its own timestep would.
    pub fn begin_at(&mut self, index: usize, sigma: f32) {
        let alpha_cumprod = 1.0 / (sigma * sigma + 1.0);
        // Where that is the timestep's own, its digits stay as diffusers has them.
        let own = self.alphas[index].0;
        if sigma_of(own).to_bits() != sigma.to_bits() {
            self.alphas[index].0 = alpha_cumprod;
        }
    }

    pub fn step(&self, input: &StepInput<'_>) -> Result<StepOutput> {
        let (before, after) = self.alphas[input.index];
        let (signal, noise) = (before.sqrt(), (1.0 - before).sqrt());
        let mut x0 = x0_preserving(
            input.prediction,
            input.model_output,
            input.sample,
            signal,
            noise,
        )?;
        let epsilon = epsilon_preserving(
            input.prediction,
            input.model_output,
            input.sample,
            signal,
            noise,
        )?;
        if let Some(thresholding) = &self.thresholding {
            x0 = thresholding.apply(&x0)?;
        } else if let Some(range) = self.clip {
            x0 = x0.clamp(-range, range)?;
        }
        let direction = scale(&epsilon, (1.0 - after).sqrt())?;
        let prev_sample = (scale(&x0, after.sqrt())? + direction)?;
        Ok(StepOutput { prev_sample, x0 })
    }
}

//! DPM-Solver++ of order 2, multistep (DPM++ 2M), midpoint form.
//!
//! With `alpha = 1 / sqrt(sigma^2 + 1)`, `lambda = ln(alpha) - ln(alpha sigma)` and
//! `h = lambda' - lambda`, a step is
//! `x' = (s'/s) x - alpha' (e^-h - 1) (x0 + (x0 - x0_before) / (2 r))`, `r = h_before / h`,
//! where s is `alpha sigma` (Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of
//! Diffusion Probabilistic Models", 2022, algorithm 2). The first step and the last one,
//! which ends without noise, leave the correction out.
//!
//! Karras' variant takes the sigmas of Karras et al., "Elucidating the Design Space of
//! Diffusion-Based Generative Models" (2022), equation 5, and for each the nearest timestep.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, TimestepSpacing};
use super::noise_schedule::NoiseSchedule;
use super::prediction::{scale, x0_preserving};
use super::{SchedulerError, SchedulerKind, StepInput, StepOutput, spacing};

/// The x0 of the step before.
#[derive(Debug, Clone, Default)]
pub(super) struct DpmSolver {
    x0_before: Option<Tensor>,
}

/// The whole timesteps that are visited, and the sigmas with a final 0.
pub(super) fn schedule(
    kind: SchedulerKind,
    config: &SchedulerConfig,
    noise: &NoiseSchedule,
    steps: usize,
) -> std::result::Result<(Vec<f64>, Vec<f32>), SchedulerError> {
    let train = noise.len();
    let (timesteps, sigmas) = if kind == SchedulerKind::DpmPlusPlus2MKarras {
        let sigmas = spacing::karras(
            f64::from(noise.sigmas[0]),
            f64::from(noise.sigmas[train - 1]),
            steps,
        );
        let timesteps = sigmas
            .iter()
            .map(|sigma| spacing::timestep_of_sigma(*sigma, &noise.sigmas).round_ties_even())
            .collect();
        (timesteps, sigmas)
    } else {
        let timesteps: Vec<f64> = match config.spacing_or(TimestepSpacing::Linspace) {
            // One more than asked for, of which the last, timestep 0, is left out.
            TimestepSpacing::Linspace => spacing::linspace(0.0, (train - 1) as f64, steps + 1)
                .into_iter()
                .skip(1)
                .rev()
                .map(f64::round_ties_even)
                .collect(),
            TimestepSpacing::Leading => {
                let stride = train / (steps + 1);
                if stride == 0 {
                    return Err(SchedulerError::Steps {
                        found: steps,
                        largest: train - 1,
                    });
                }
                // One more than asked for here too: the lowest is left out.
                let lowest = stride as f64 + config.steps_offset as f64;
                spacing::leading(stride, steps, lowest)
            }
            TimestepSpacing::Trailing => spacing::trailing(train, steps),
        };
        let sigmas = spacing::interpolate(&timesteps, &noise.sigmas);
        (timesteps, sigmas)
    };
    let mut sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
    sigmas.push(0.0);
    Ok((timesteps, sigmas))
}

impl DpmSolver {
    pub fn step(&mut self, input: &StepInput<'_>) -> Result<StepOutput> {
        let sigmas = &input.schedule.sigmas;
        let from = Level::new(sigmas[input.index]);
        let to = Level::new(sigmas[input.index + 1]);
        let x0 = x0_preserving(
            input.prediction,
            input.model_output,
            input.sample,
            from.alpha,
            from.sigma,
        )?;

        let h = to.lambda - from.lambda;
        let kept = scale(input.sample, to.sigma / from.sigma)?;
        let weight = to.alpha * (exp(-h) - 1.0);
        let mut prev_sample = (kept - scale(&x0, weight)?)?;
        let is_last = input.index + 1 == input.schedule.len();
        if let Some(x0_before) = &self.x0_before
            && !is_last
        {
            let h_before = from.lambda - Level::new(sigmas[input.index - 1]).lambda;
            // With as many steps as training timesteps one timestep comes twice: there is no
            // slope between equal sigmas, where diffusers divides by zero.
            if h_before != 0.0 {
                let slope = scale(&(&x0 - x0_before)?, 1.0 / (h_before / h))?;
                prev_sample = (prev_sample - scale(&slope, 0.5 * weight)?)?;
            }
        }
        self.x0_before = Some(x0.clone());
        Ok(StepOutput { prev_sample, x0 })
    }
}

/// One noise level of a variance-preserving sample `alpha x0 + sigma eps`.
struct Level {
    alpha: f32,
    sigma: f32,
    /// Half the logarithm of the signal-to-noise ratio; infinite without noise.
    lambda: f32,
}

impl Level {
    /// From the noise over the signal.
    fn new(ratio: f32) -> Self {
        let alpha = 1.0 / (ratio * ratio + 1.0).sqrt();
        let sigma = ratio * alpha;
        Self {
            alpha,
            sigma,
            lambda: ln(alpha) - ln(sigma),
        }
    }
}

fn ln(x: f32) -> f32 {
    libm::log(f64::from(x)) as f32
}

fn exp(x: f32) -> f32 {
    libm::exp(f64::from(x)) as f32
}

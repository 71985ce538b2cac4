//! A schedule: the timesteps that a run visits and how noisy the latents are at each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::{
    FinalSigma, InterpolationType, Levels, PredictionType, SchedulerConfig, TimestepSpacing,
};
use super::noise_schedule::{NoiseSchedule, sigma_of};
use super::{SchedulerError, SchedulerKind, ddim, dpm_solver, pndm, spacing};

/// Everything about a run's noise that is known before its first step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// The timestep of each model call, in `0..num_train_timesteps`, the noisiest first.
    /// Real numbers: LMS, Euler and Euler ancestral visit them between the training's.
    pub timesteps: Vec<f32>,
    /// Noise over signal at each model call, then after the last one: `timesteps.len() + 1` numbers.
    pub sigmas: Vec<f32>,
    /// What standard normal noise is multiplied with to begin.
    pub init_noise_sigma: f32,
    /// Variance of the signal left at each training timestep: `num_train_timesteps` numbers.
    pub alphas_cumprod: Vec<f32>,
    /// Variance of the noise that each training timestep adds: `num_train_timesteps` numbers.
    pub betas: Vec<f32>,
    /// How the latents between the steps are scaled.
    pub space: LatentSpace,
}

/// How noisy latents are scaled; sigma is the noise over the signal in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatentSpace {
    /// `x = x0 + sigma eps`: the variance grows with the noise, to `sigma^2 + 1`.
    VarianceExploding,
    /// `x = (x0 + sigma eps) / sqrt(sigma^2 + 1)`: the variance stays about 1.
    VariancePreserving,
}

impl Schedule {
    /// The schedule that diffusers' scheduler of this kind has after `set_timesteps(steps)`.
    ///
    /// # Errors
    /// A configuration that [`SchedulerConfig::validate_for`] refuses, and step counts
    /// that the training timesteps do not allow.
    pub fn new(
        kind: SchedulerKind,
        config: &SchedulerConfig,
        steps: usize,
    ) -> Result<Self, SchedulerError> {
        config.validate_for(kind)?;
        let noise = NoiseSchedule::new(config, Some(kind))?;
        if !(1..=noise.len()).contains(&steps) {
            return Err(SchedulerError::Steps {
                found: steps,
                largest: noise.len(),
            });
        }
        let (timesteps, sigmas, space) = match kind {
            SchedulerKind::Lms | SchedulerKind::Euler | SchedulerKind::EulerAncestral => {
                let (timesteps, sigmas) = exploding(kind, config, &noise, steps);
                (timesteps, sigmas, LatentSpace::VarianceExploding)
            }
            SchedulerKind::Ddim | SchedulerKind::Pndm => {
                let timesteps = if kind == SchedulerKind::Ddim {
                    ddim::timesteps(config, noise.len(), steps)
                } else {
                    pndm::timesteps(config, noise.len(), steps)?
                };
                check_last(&timesteps, noise.len())?;
                check_signal(kind, config, &noise, &timesteps)?;
                let sigmas = preserving(kind, config, &noise, &timesteps, steps);
                (timesteps, sigmas, LatentSpace::VariancePreserving)
            }
            SchedulerKind::DpmPlusPlus2M | SchedulerKind::DpmPlusPlus2MKarras => {
                let (timesteps, sigmas) = dpm_solver::schedule(kind, config, &noise, steps)?;
                (timesteps, sigmas, LatentSpace::VariancePreserving)
            }
        };
        check_last(&timesteps, noise.len())?;
        let init_noise_sigma = match space {
            LatentSpace::VariancePreserving => 1.0,
            LatentSpace::VarianceExploding => {
                let largest = sigmas.iter().copied().fold(0.0, f32::max);
                match config.spacing_or(TimestepSpacing::Linspace) {
                    TimestepSpacing::Linspace | TimestepSpacing::Trailing => largest,
                    TimestepSpacing::Leading => (largest * largest + 1.0).sqrt(),
                }
            }
        };
        Ok(Self {
            timesteps: timesteps.iter().map(|t| *t as f32).collect(),
            sigmas,
            init_noise_sigma,
            alphas_cumprod: noise.alphas_cumprod,
            betas: noise.betas,
            space,
        })
    }

    /// Number of model calls.
    #[allow(clippy::len_without_is_empty)] // There is always at least one.
    pub fn len(&self) -> usize {
        self.timesteps.len()
    }

    /// What to divide the latents before step `index` by so that their variance is about 1.
    /// After the last step `index` is [`len`](Self::len), and larger ones count as that.
    pub fn preview_scale(&self, index: usize) -> f32 {
        match self.space {
            LatentSpace::VariancePreserving => 1.0,
            LatentSpace::VarianceExploding => {
                let sigma = self.sigmas[index.min(self.len())];
                (sigma * sigma + 1.0).sqrt()
            }
        }
    }
}

/// Timesteps and sigmas of the samplers that work on `x0 + sigma eps`.
fn exploding(
    kind: SchedulerKind,
    config: &SchedulerConfig,
    noise: &NoiseSchedule,
    steps: usize,
) -> (Vec<f64>, Vec<f32>) {
    let spacing = config.spacing_or(TimestepSpacing::Linspace);
    let offset = config.steps_offset_of(kind);
    // Rounded to f32 before the sigmas are interpolated, as in diffusers' Euler.
    let timesteps: Vec<f64> = spacing::real_timesteps(spacing, noise.len(), steps, offset)
        .into_iter()
        .map(|t| f64::from(t as f32))
        .collect();
    let is_log_linear =
        kind == SchedulerKind::Euler && config.interpolation_type == InterpolationType::LogLinear;
    let sigmas = if is_log_linear {
        spacing::log_linear(&noise.sigmas, steps + 1)
    } else {
        spacing::interpolate(&timesteps, &noise.sigmas)
    };
    // Noise levels of their own begin and end where those of the timesteps do.
    let ends = (sigmas[sigmas.len() - 1], sigmas[0]);
    let (timesteps, sigmas) = match spread(config.levels(kind), ends, kind, config, steps) {
        Some(sigmas) => {
            let timestep = |sigma: &f64| spacing::timestep_of_sigma(*sigma, &noise.sigmas);
            (sigmas.iter().map(timestep).collect(), sigmas)
        }
        None => (timesteps, sigmas),
    };
    let mut sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
    sigmas.push(match (kind, config.final_sigmas_type) {
        (SchedulerKind::Euler, FinalSigma::SigmaMin) => noise.sigmas[0],
        _ => 0.0,
    });
    // With one more level than steps the last step ends there, and what is appended is never reached.
    sigmas.truncate(timesteps.len() + 1);
    (timesteps, sigmas)
}

/// Noise levels that are not those of the timesteps, which lie between `ends`, the lowest and the highest of them; none
/// where they are those of the timesteps. `sigma_min` and `sigma_max` of the configuration take the ends' place where
/// diffusers' class reads them.
pub(super) fn spread(
    levels: Levels,
    ends: (f64, f64),
    kind: SchedulerKind,
    config: &SchedulerConfig,
    steps: usize,
) -> Option<Vec<f64>> {
    let set = (
        config.sigma_min.unwrap_or(ends.0),
        config.sigma_max.unwrap_or(ends.1),
    );
    let spread = match levels {
        Levels::OfTimesteps => return None,
        Levels::Karras if kind == SchedulerKind::Lms => spacing::karras(ends.0, ends.1, steps),
        Levels::Karras => spacing::karras(set.0, set.1, steps),
        Levels::Exponential => spacing::exponential(set.0, set.1, steps),
        Levels::Beta => spacing::beta(set.0, set.1, steps),
        Levels::Lu => spacing::exponential(ends.0, ends.1, steps),
    };
    Some(spread)
}

/// Sigmas of the samplers that look alphas up at whole timesteps; diffusers keeps none for them.
fn preserving(
    kind: SchedulerKind,
    config: &SchedulerConfig,
    noise: &NoiseSchedule,
    timesteps: &[f64],
    steps: usize,
) -> Vec<f32> {
    let mut sigmas: Vec<f32> = timesteps
        .iter()
        .map(|t| noise.sigmas[*t as usize])
        .collect();
    let last = timesteps.last().map_or(0, |t| *t as isize);
    let after = last - (noise.len() / steps).cast_signed();
    sigmas.push(match usize::try_from(after) {
        Ok(timestep) => noise.sigmas[timestep],
        Err(_) => sigma_of(noise.final_alpha_cumprod(kind, config)),
    });
    sigmas
}

/// Refuses noise predictions where there is nothing but noise, for they say nothing of x0.
fn check_signal(
    kind: SchedulerKind,
    config: &SchedulerConfig,
    noise: &NoiseSchedule,
    timesteps: &[f64],
) -> Result<(), SchedulerError> {
    let is_lost = |t: &f64| noise.alphas_cumprod[*t as usize] == 0.0;
    if config.prediction_type != PredictionType::Epsilon || !timesteps.iter().any(is_lost) {
        return Ok(());
    }
    let others = SchedulerKind::ALL.into_iter();
    Err(SchedulerError::Unsupported {
        file: config.file_prefix(),
        key: "rescale_betas_zero_snr",
        found: "true".to_owned(),
        kind,
        supported: "that with predictions of the velocity, or with timesteps below the last",
        others: others
            .filter(|other| *other != kind && config.validate_for(*other).is_ok())
            .collect(),
    })
}

/// Refuses timesteps that the model was not trained on.
fn check_last(timesteps: &[f64], train: usize) -> Result<(), SchedulerError> {
    let largest = timesteps.iter().copied().fold(0.0, f64::max);
    if largest > (train - 1) as f64 {
        return Err(SchedulerError::TimestepOutOfRange {
            found: largest,
            last: train - 1,
        });
    }
    Ok(())
}

//! The noise that the model was trained on: betas, and how much signal each timestep leaves.
//!
//! A training sample at timestep t is `x_t = sqrt(a_t) x0 + sqrt(1 - a_t) eps`, where
//! `a_t = prod_{s <= t} (1 - beta_s)` is `alphas_cumprod` (Ho, Jain and Abbeel, "Denoising
//! Diffusion Probabilistic Models", 2020, equation 4). Divided by `sqrt(a_t)` it is
//! `x0 + sigma_t eps` with `sigma_t = sqrt((1 - a_t) / a_t)`.

use super::config::{BetaSchedule, SchedulerConfig};
use super::spacing::linspace_f32;
use super::{SchedulerError, SchedulerKind};

/// One value for each training timestep, in f32 as in diffusers.
#[derive(Debug, Clone)]
pub(super) struct NoiseSchedule {
    /// Variance of the noise that the timestep adds.
    pub betas: Vec<f32>,
    /// Variance of the signal that is left, falling from nearly 1.
    pub alphas_cumprod: Vec<f32>,
    /// Noise over signal, rising from nearly 0.
    pub sigmas: Vec<f32>,
}

impl NoiseSchedule {
    /// The configuration's betas and what follows from them, for a sampler; without one, before any rescaling.
    ///
    /// # Errors
    /// [`SchedulerError::NoSignalLeft`] where `alphas_cumprod` rounds to zero (or to one, which leaves no noise). With
    /// `rescale_betas_zero_snr` it is zero at the last timestep in DDIM.
    pub fn new(
        config: &SchedulerConfig,
        kind: Option<SchedulerKind>,
    ) -> Result<Self, SchedulerError> {
        let mut betas = betas(config);
        let rescale = config.rescale_betas_zero_snr
            && !matches!(kind, None | Some(SchedulerKind::Lms | SchedulerKind::Pndm));
        if rescale {
            betas = rescaled_to_zero_snr(&betas);
        }
        let mut alphas_cumprod = cumulated(&betas);
        let mut sigmas: Vec<f32> = alphas_cumprod.iter().copied().map(sigma_of).collect();
        if rescale
            && let (Some(alpha), Some(sigma)) = (alphas_cumprod.last_mut(), sigmas.last_mut())
        {
            // diffusers' stand-in for 0, which would make sigma infinite. DDIM has no sigmas there, and takes 0.
            let instead = 2f32.powi(-24);
            *sigma = sigma_of(instead);
            if kind != Some(SchedulerKind::Ddim) {
                *alpha = instead;
            }
        }
        if let Some(timestep) = sigmas
            .iter()
            .position(|sigma| !(sigma.is_finite() && *sigma > 0.0))
        {
            return Err(SchedulerError::NoSignalLeft {
                timestep,
                alpha_cumprod: alphas_cumprod[timestep],
            });
        }
        Ok(Self {
            betas,
            alphas_cumprod,
            sigmas,
        })
    }

    /// Number of training timesteps, at least 1.
    pub fn len(&self) -> usize {
        self.sigmas.len()
    }

    /// `alphas_cumprod` where a step of DDIM or PNDM ends below timestep 0: 1 (no noise), or that of timestep 0.
    pub fn final_alpha_cumprod(&self, kind: SchedulerKind, config: &SchedulerConfig) -> f32 {
        let to_one = config
            .set_alpha_to_one
            .unwrap_or(kind == SchedulerKind::Ddim);
        if to_one { 1.0 } else { self.alphas_cumprod[0] }
    }
}

/// `sqrt((1 - a) / a)`: the noise-to-signal ratio where `a` of the variance is signal.
pub(super) fn sigma_of(alpha_cumprod: f32) -> f32 {
    ((1.0 - alpha_cumprod) / alpha_cumprod).sqrt()
}

/// `alphas_cumprod`. Torch accumulates in f64 and rounds each product.
fn cumulated(betas: &[f32]) -> Vec<f32> {
    betas
        .iter()
        .scan(1.0f64, |product, beta| {
            *product *= f64::from(1.0 - beta);
            Some(*product as f32)
        })
        .collect()
}

/// Betas that leave as much signal at the first timestep as these, and none at the last (Lin et al., "Common Diffusion
/// Noise Schedules and Sample Steps are Flawed", 2023, algorithm 1).
fn rescaled_to_zero_snr(betas: &[f32]) -> Vec<f32> {
    let mut roots: Vec<f32> = cumulated(betas).into_iter().map(f32::sqrt).collect();
    let (Some(&first), Some(&last)) = (roots.first(), roots.last()) else {
        return Vec::new();
    };
    let stretch = first / (first - last);
    for root in &mut roots {
        *root = (*root - last) * stretch;
    }
    let mut before = 1.0;
    roots
        .iter()
        .map(|root| {
            let alpha_cumprod = root * root;
            let alpha = alpha_cumprod / before;
            before = alpha_cumprod;
            1.0 - alpha
        })
        .collect()
}

fn betas(config: &SchedulerConfig) -> Vec<f32> {
    if let Some(betas) = &config.trained_betas {
        return betas.iter().map(|beta| *beta as f32).collect();
    }
    let (start, end, n) = (
        config.beta_start,
        config.beta_end,
        config.num_train_timesteps,
    );
    match config.beta_schedule {
        BetaSchedule::Linear => linspace_f32(start as f32, end as f32, n),
        BetaSchedule::ScaledLinear => linspace_f32(start.sqrt() as f32, end.sqrt() as f32, n)
            .into_iter()
            .map(|root| root * root)
            .collect(),
        BetaSchedule::SquaredCosine => (0..n).map(|i| squared_cosine(i, n)).collect(),
    }
}

/// The beta at timestep `i` of `n`, capped, where `alphas_cumprod` is to be a squared cosine of time.
fn squared_cosine(i: usize, n: usize) -> f32 {
    const MOST: f64 = 0.999;
    let signal = |i: usize| {
        let time = i as f64 / n as f64;
        let cosine = libm::cos((time + 0.008) / 1.008 * std::f64::consts::PI / 2.0);
        cosine * cosine
    };
    (1.0 - signal(i + 1) / signal(i)).min(MOST) as f32
}

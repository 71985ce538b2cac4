//! What `scheduler_config.json` says: the noise that the model was trained on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SchedulerKind;

/// The largest `num_train_timesteps` that is taken; published models have 1000.
pub const MAX_TRAIN_TIMESTEPS: usize = 100_000;

/// The keys of `scheduler_config.json`, with diffusers' defaults where one is absent.
///
/// A key whose default differs from scheduler to scheduler is an `Option`; each sampler fills in its own, as
/// `from_config` does in diffusers when schedulers are exchanged. Each sampler uses the keys that its class in diffusers
/// has, and no others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
// They are the file's keys.
#[allow(clippy::struct_excessive_bools)]
pub struct SchedulerConfig {
    /// The class that the file is for, where it comes with a pipeline. Where the file is silent, that class, and no
    /// other, gets what `StableDiffusionPipeline` corrects its defaults to: [`Self::steps_offset_of`],
    /// [`Self::clips`].
    #[serde(rename = "_class_name")]
    pub class_name: Option<String>,
    /// The file, for messages.
    #[serde(skip)]
    pub file: Option<String>,
    /// Timesteps the model was trained on, `1..=`[`MAX_TRAIN_TIMESTEPS`].
    pub num_train_timesteps: usize,
    /// Variance of the noise that the first timestep adds, between 0 and 1.
    pub beta_start: f64,
    /// Variance of the noise that the last timestep adds, between 0 and 1.
    pub beta_end: f64,
    /// How beta goes from the first to the last.
    pub beta_schedule: BetaSchedule,
    /// Every beta, one a timestep; takes the place of the three keys above.
    pub trained_betas: Option<Vec<f64>>,
    /// Euler, Euler ancestral, DDIM, DPM-Solver++: the betas are rescaled so that the last timestep has no signal (Lin et
    /// al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", 2023, algorithm 1).
    pub rescale_betas_zero_snr: bool,
    /// What the model's output is.
    pub prediction_type: PredictionType,
    /// How the steps are spread over the timesteps.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Added to every timestep by [`TimestepSpacing::Leading`]; absent, 0.
    pub steps_offset: Option<usize>,
    /// DDIM and PNDM: the last step ends at no noise at all instead of at the noise of timestep 0.
    pub set_alpha_to_one: Option<bool>,
    /// DDIM: x0 is clipped to ±[`clip_sample_range`](Self::clip_sample_range); absent, it is.
    pub clip_sample: Option<bool>,
    /// DDIM: where x0 is clipped, if it is.
    pub clip_sample_range: f64,
    /// DDIM and DPM-Solver++: x0 is clipped to a quantile of its absolute values and divided by that (dynamic
    /// thresholding: Saharia et al., "Photorealistic Text-to-Image Diffusion Models", 2022).
    pub thresholding: bool,
    /// The quantile of dynamic thresholding, 0 to 1.
    pub dynamic_thresholding_ratio: f64,
    /// The largest value that dynamic thresholding clips to.
    pub sample_max_value: f64,
    /// PNDM: no Runge-Kutta steps at the start.
    pub skip_prk_steps: bool,
    /// LMS, Euler, DPM-Solver++: the noise levels are Karras'.
    pub use_karras_sigmas: bool,
    /// LMS, Euler, DPM-Solver++: the logarithms of the noise levels fall in equal steps.
    pub use_exponential_sigmas: bool,
    /// LMS, Euler, DPM-Solver++: the noise levels are quantiles of a beta distribution.
    pub use_beta_sigmas: bool,
    /// DPM-Solver++: as with `use_exponential_sigmas`, at whole timesteps.
    pub use_lu_lambdas: bool,
    /// The lowest of Karras', exponential and beta noise levels, instead of the schedule's own.
    pub sigma_min: Option<f64>,
    /// The highest of them.
    pub sigma_max: Option<f64>,
    /// Euler, DPM-Solver++: where the last step ends.
    pub final_sigmas_type: FinalSigma,
    /// Euler: how the noise levels of the steps come from those of the training.
    pub interpolation_type: InterpolationType,
    /// DPM-Solver++: how many x0 a step looks at, 1 to 3.
    pub solver_order: usize,
    /// DPM-Solver++: the form of the second order.
    pub solver_type: SolverType,
    /// DPM-Solver++: which equation is solved; the plain DPM-Solver is among them.
    pub algorithm_type: AlgorithmType,
    /// DPM-Solver++: the last steps of fewer than 15 are of lower order.
    pub lower_order_final: bool,
    /// DPM-Solver++: the last step is of order 1.
    pub euler_at_final: bool,
    /// DPM-Solver++: timesteps with a lower logarithm of signal over noise are left out.
    #[serde(skip_serializing_if = "is_unlimited")]
    pub lambda_min_clipped: f64,
    /// Every other key. [`validate_for`](Self::validate_for) refuses those that would change the result.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Is no timestep left out? JSON has no infinity.
// serde hands a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_unlimited(lambda: &f64) -> bool {
    *lambda == f64::NEG_INFINITY
}

/// Where the last step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinalSigma {
    /// At no noise.
    #[default]
    Zero,
    /// At the noise of timestep 0.
    SigmaMin,
}

/// The form of DPM-Solver++'s second order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SolverType {
    #[default]
    Midpoint,
    Heun,
}

/// How Euler's noise levels come from those of the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InterpolationType {
    /// They are those of the timesteps, linear in between.
    #[default]
    Linear,
    /// Their logarithms fall in equal steps, from the highest to the lowest of the training, where the last step ends.
    LogLinear,
}

/// What the DPM-Solvers solve.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AlgorithmType {
    /// The ordinary differential equation, as an integral over x0.
    #[default]
    #[serde(rename = "dpmsolver++")]
    DpmSolverPlusPlus,
    /// The stochastic one: noise is drawn at every step.
    #[serde(rename = "sde-dpmsolver++")]
    SdeDpmSolverPlusPlus,
    /// The ordinary one, as an integral over the predicted noise.
    #[serde(rename = "dpmsolver")]
    DpmSolver,
    /// The stochastic one, over the predicted noise.
    #[serde(rename = "sde-dpmsolver")]
    SdeDpmSolver,
    /// What other samplers call theirs; [`SchedulerConfig::validate_for`] refuses what these cannot do.
    #[serde(untagged)]
    Other(String),
}

impl AlgorithmType {
    /// Is noise drawn at every step?
    pub fn is_stochastic(&self) -> bool {
        matches!(self, Self::SdeDpmSolverPlusPlus | Self::SdeDpmSolver)
    }

    /// Is it the predicted noise that is integrated, and not x0?
    pub fn integrates_noise(&self) -> bool {
        matches!(self, Self::DpmSolver | Self::SdeDpmSolver)
    }
}

/// How beta, the variance of the noise that a timestep adds, goes from `beta_start` to `beta_end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
    /// In equal steps.
    #[default]
    Linear,
    /// Its square root in equal steps; Stable Diffusion's.
    ScaledLinear,
    /// So that the signal that is left falls as a squared cosine (Nichol and Dhariwal, "Improved Denoising Diffusion
    /// Probabilistic Models", 2021).
    #[serde(rename = "squaredcos_cap_v2")]
    SquaredCosine,
}

/// What the model predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
    /// The noise in the sample.
    #[default]
    Epsilon,
    /// The velocity `v = sqrt(a) eps - sqrt(1 - a) x0` (Salimans and Ho, "Progressive
    /// Distillation for Fast Sampling of Diffusion Models", 2022).
    VPrediction,
    /// The clean sample, x0.
    Sample,
}

/// How the steps are spread over the training timesteps (Lin et al., "Common Diffusion
/// Noise Schedules and Sample Steps are Flawed", 2023, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// Equally, the first and the last timestep included.
    Linspace,
    /// Multiples of the whole-number stride, from 0 (plus `steps_offset`).
    Leading,
    /// Strides counted down from the last timestep, which is included.
    Trailing,
}

impl Default for SchedulerConfig {
    /// What diffusers assumes where `scheduler_config.json` says nothing.
    fn default() -> Self {
        Self {
            class_name: None,
            file: None,
            num_train_timesteps: 1000,
            beta_start: 0.0001,
            beta_end: 0.02,
            beta_schedule: BetaSchedule::Linear,
            trained_betas: None,
            rescale_betas_zero_snr: false,
            prediction_type: PredictionType::Epsilon,
            timestep_spacing: None,
            steps_offset: None,
            set_alpha_to_one: None,
            clip_sample: None,
            clip_sample_range: 1.0,
            thresholding: false,
            dynamic_thresholding_ratio: 0.995,
            sample_max_value: 1.0,
            skip_prk_steps: false,
            use_karras_sigmas: false,
            use_exponential_sigmas: false,
            use_beta_sigmas: false,
            use_lu_lambdas: false,
            sigma_min: None,
            sigma_max: None,
            final_sigmas_type: FinalSigma::Zero,
            interpolation_type: InterpolationType::Linear,
            solver_order: 2,
            solver_type: SolverType::Midpoint,
            algorithm_type: AlgorithmType::DpmSolverPlusPlus,
            lower_order_final: true,
            euler_at_final: false,
            lambda_min_clipped: f64::MIN,
            other: BTreeMap::new(),
        }
    }
}

impl SchedulerConfig {
    /// The configuration that Stable Diffusion v1 is published with.
    pub fn stable_diffusion_v1() -> Self {
        Self {
            beta_start: 0.00085,
            beta_end: 0.012,
            beta_schedule: BetaSchedule::ScaledLinear,
            steps_offset: Some(1),
            set_alpha_to_one: Some(false),
            clip_sample: Some(false),
            skip_prk_steps: true,
            ..Self::default()
        }
    }

    /// The configuration's spacing, or the sampler's own.
    pub(super) fn spacing_or(&self, default: TimestepSpacing) -> TimestepSpacing {
        self.timestep_spacing.unwrap_or(default)
    }

    /// What [`TimestepSpacing::Leading`] adds to every timestep.
    pub(super) fn steps_offset_of(&self, kind: SchedulerKind) -> usize {
        self.steps_offset.unwrap_or(usize::from(self.is_for(kind)))
    }

    /// Does DDIM clip x0?
    pub(super) fn clips(&self) -> bool {
        self.clip_sample
            .unwrap_or(!self.is_for(SchedulerKind::Ddim))
    }

    /// Is the file for this sampler's class?
    pub fn is_for(&self, kind: SchedulerKind) -> bool {
        self.class_name.as_deref() == Some(kind.class_name())
    }

    /// The sampler that the file is for, where it is one of ours.
    pub fn own_kind(&self) -> Option<SchedulerKind> {
        let mut own = SchedulerKind::ALL
            .into_iter()
            .filter(|kind| self.is_for(*kind));
        own.find(|kind| kind.forces_karras() == self.use_karras_sigmas)
            .or_else(|| {
                SchedulerKind::ALL
                    .into_iter()
                    .find(|kind| self.is_for(*kind))
            })
    }

    /// How the sampler's noise levels are spread.
    pub(super) fn levels(&self, kind: SchedulerKind) -> Levels {
        let is_dpm = match kind {
            SchedulerKind::Lms | SchedulerKind::Euler => false,
            SchedulerKind::DpmPlusPlus2M | SchedulerKind::DpmPlusPlus2MKarras => true,
            SchedulerKind::EulerAncestral | SchedulerKind::Ddim | SchedulerKind::Pndm => {
                return Levels::OfTimesteps;
            }
        };
        if self.use_karras_sigmas || kind.forces_karras() {
            Levels::Karras
        } else if is_dpm && self.use_lu_lambdas {
            Levels::Lu
        } else if self.use_exponential_sigmas {
            Levels::Exponential
        } else if self.use_beta_sigmas {
            Levels::Beta
        } else {
            Levels::OfTimesteps
        }
    }
}

/// How noise levels are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Levels {
    /// They are those of the timesteps.
    OfTimesteps,
    Karras,
    Lu,
    Exponential,
    Beta,
}

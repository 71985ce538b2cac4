//! What `scheduler_config.json` says: the noise that the model was trained on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest `num_train_timesteps` that is taken; published models have 1000.
pub const MAX_TRAIN_TIMESTEPS: usize = 100_000;

/// The keys of `scheduler_config.json`, with diffusers' defaults where one is absent.
///
/// A key whose default differs from scheduler to scheduler is an `Option`; each sampler
/// fills in its own, as `from_config` does in diffusers when schedulers are exchanged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SchedulerConfig {
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
    /// What the model's output is.
    pub prediction_type: PredictionType,
    /// How the steps are spread over the timesteps.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Added to every timestep by [`TimestepSpacing::Leading`].
    pub steps_offset: usize,
    /// DDIM and PNDM: the last step ends at no noise at all instead of at the noise of timestep 0.
    pub set_alpha_to_one: Option<bool>,
    /// DDIM: x0 is clipped to ±[`clip_sample_range`](Self::clip_sample_range).
    pub clip_sample: Option<bool>,
    /// DDIM: where x0 is clipped, if it is.
    pub clip_sample_range: Option<f64>,
    /// PNDM: no Runge-Kutta steps at the start.
    pub skip_prk_steps: Option<bool>,
    /// Every other key. [`validate_for`](Self::validate_for) refuses those that would change the result.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
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
            num_train_timesteps: 1000,
            beta_start: 0.0001,
            beta_end: 0.02,
            beta_schedule: BetaSchedule::Linear,
            trained_betas: None,
            prediction_type: PredictionType::Epsilon,
            timestep_spacing: None,
            steps_offset: 0,
            set_alpha_to_one: None,
            clip_sample: None,
            clip_sample_range: None,
            skip_prk_steps: None,
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
            steps_offset: 1,
            set_alpha_to_one: Some(false),
            clip_sample: Some(false),
            skip_prk_steps: Some(true),
            ..Self::default()
        }
    }

    /// The configuration's spacing, or the sampler's own.
    pub(super) fn spacing_or(&self, default: TimestepSpacing) -> TimestepSpacing {
        self.timestep_spacing.unwrap_or(default)
    }
}

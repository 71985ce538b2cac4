//! `diffuscope.json`: what a checkpoint may say to this program beyond diffusers' files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checkpoint::CheckpointError;
use crate::scheduler::{SchedulerConfig, SchedulerKind};
use crate::text::printable;

/// Settings that suit a checkpoint; all are optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Extras {
    /// The guidance scale that suits it.
    #[serde(default)]
    pub default_guidance: Option<f64>,
    /// The sampler that a run takes where none is asked for.
    #[serde(default)]
    pub default_scheduler: Option<SchedulerKind>,
    /// A quick map from latents to colours.
    #[serde(default)]
    pub latent_rgb: Option<LatentRgb>,
}

/// A linear map from a latent to the colour of its 8x8 pixels: `rgb = latent * weight + bias`, colours from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatentRgb {
    /// For each latent channel, what it adds to red, green and blue.
    pub weight: [[f32; 3]; 4],
    /// The colour of latents that are zero.
    pub bias: [f32; 3],
}

impl Extras {
    /// The file's path in the checkpoint's folder.
    pub(in crate::checkpoint) const FILE: &str = "diffuscope.json";

    /// Reads and checks `bytes`, the contents of `file`.
    pub(in crate::checkpoint) fn read(file: &str, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let extras: Self =
            serde_json::from_slice(bytes).map_err(|error| CheckpointError::Json {
                file: file.to_owned(),
                reason: printable(&error.to_string()),
            })?;
        if let Some(guidance) = extras.default_guidance
            && !(0.0..=1000.0).contains(&guidance)
        {
            return Err(CheckpointError::Config {
                file: file.to_owned(),
                key: "default_guidance".to_owned(),
                found: guidance.to_string(),
                expected: "a number from 0 to 1000".to_owned(),
            });
        }
        if let Some(LatentRgb { weight, bias }) = &extras.latent_rgb
            && !weight.iter().chain([bias]).flatten().all(|x| x.is_finite())
        {
            return Err(CheckpointError::Config {
                file: file.to_owned(),
                key: "latent_rgb".to_owned(),
                found: "not finite".to_owned(),
                expected: "numbers that fit a 32-bit float".to_owned(),
            });
        }
        Ok(extras)
    }

    /// The sampler that a run takes where none is asked for: the one that is named here, or the checkpoint's own.
    pub fn default_scheduler(&self, scheduler: &SchedulerConfig) -> SchedulerKind {
        self.default_scheduler
            .filter(|kind| scheduler.validate_for(*kind).is_ok())
            .unwrap_or_else(|| scheduler.default_kind())
    }
}

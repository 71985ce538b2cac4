//! `diffuscope.json`: what a checkpoint may say to this program beyond diffusers' files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Reader;
use crate::checkpoint::CheckpointError;
use crate::scheduler::{SchedulerConfig, SchedulerKind};

/// Settings that suit a checkpoint; all are optional.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extras {
    /// The guidance scale that suits it, 0 to 100.
    pub default_guidance: Option<f64>,
    /// The sampler that a run takes where none is asked for.
    pub default_scheduler: Option<SchedulerKind>,
    /// A quick map from latents to colours.
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

impl LatentRgb {
    fn is_finite(&self) -> bool {
        let lists = [&self.weight[..], &[self.bias]];
        let mut numbers = lists.into_iter().flatten().flatten();
        numbers.all(|number| number.is_finite())
    }
}

impl Extras {
    /// The file's path in the checkpoint's folder.
    pub(in crate::checkpoint) const FILE: &str = "diffuscope.json";

    /// Reads and checks the file.
    pub(in crate::checkpoint) fn read(
        json: Reader,
    ) -> Result<(Self, Vec<String>), CheckpointError> {
        let default_guidance = match json.value("default_guidance") {
            None => None,
            Some(_) => Some(json.number("default_guidance", 0.0, 0.0..=100.0)?),
        };
        let (latent_rgb, more) = latent_rgb(&json)?;
        let extras = Self {
            default_guidance,
            default_scheduler: default_scheduler(&json)?,
            latent_rgb,
        };
        json.name_unknown_here();
        let mut notes = json.notes();
        notes.extend(more);
        Ok((extras, notes))
    }

    /// The sampler that a run takes where none is asked for: the one that is named here, or the checkpoint's own.
    pub fn default_scheduler(&self, scheduler: &SchedulerConfig) -> SchedulerKind {
        self.default_scheduler
            .filter(|kind| scheduler.validate_for(*kind).is_ok())
            .unwrap_or_else(|| scheduler.default_kind())
    }
}

fn default_scheduler(json: &Reader) -> Result<Option<SchedulerKind>, CheckpointError> {
    const KEY: &str = "default_scheduler";
    let Some(value) = json.value(KEY) else {
        return Ok(None);
    };
    let mut all = SchedulerKind::ALL.into_iter();
    all.find(|kind| value == kind.name())
        .map(Some)
        .ok_or_else(|| {
            let names = SchedulerKind::ALL.map(SchedulerKind::name);
            json.wrong(KEY, &format!("one of {}", names.join(", ")))
        })
}

/// The map, and what is to be said of it.
fn latent_rgb(json: &Reader) -> Result<(Option<LatentRgb>, Vec<String>), CheckpointError> {
    const KEY: &str = "latent_rgb";
    let Some(value) = json.value(KEY) else {
        return Ok((None, Vec::new()));
    };
    let expected = "weight, four lists of three numbers, and bias, three numbers, all of which fit a 32-bit float";
    let wrong = || json.wrong(KEY, expected);
    let map: LatentRgb = serde_json::from_value(value.clone()).map_err(|_| wrong())?;
    if !map.is_finite() {
        return Err(wrong());
    }
    let within = json.nested(KEY).ok_or_else(wrong)?;
    within.value("weight");
    within.value("bias");
    within.name_unknown_here();
    Ok((Some(map), within.notes()))
}

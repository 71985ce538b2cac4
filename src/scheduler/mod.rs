//! Noise schedules and samplers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sampler, by the name users type.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
pub enum SchedulerKind {
    /// Linear multistep, order 4 (`LMSDiscreteScheduler`).
    #[serde(rename = "lms")]
    #[value(name = "lms")]
    Lms,
    /// Euler (`EulerDiscreteScheduler`).
    #[serde(rename = "euler")]
    #[value(name = "euler")]
    Euler,
    /// Euler with fresh noise at every step (`EulerAncestralDiscreteScheduler`).
    #[serde(rename = "euler-a")]
    #[value(name = "euler-a")]
    EulerAncestral,
    /// Denoising diffusion implicit model, eta 0 (`DDIMScheduler`).
    #[serde(rename = "ddim")]
    #[value(name = "ddim")]
    Ddim,
    /// DPM-Solver++ of order 2, multistep (`DPMSolverMultistepScheduler`).
    #[serde(rename = "dpm++-2m")]
    #[value(name = "dpm++-2m")]
    DpmPlusPlus2M,
    /// DPM-Solver++ 2M on Karras' sigmas.
    #[serde(rename = "dpm++-2m-karras")]
    #[value(name = "dpm++-2m-karras")]
    DpmPlusPlus2MKarras,
    /// Pseudo linear multistep (`PNDMScheduler`), the sampler that SD v1 ships with.
    #[serde(rename = "pndm")]
    #[value(name = "pndm")]
    Pndm,
}

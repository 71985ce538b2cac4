//! The samplers by their names.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sampler, by the name users type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SchedulerKind {
    /// Linear multistep, order 4 (`LMSDiscreteScheduler`).
    #[serde(rename = "lms")]
    Lms,
    /// Euler (`EulerDiscreteScheduler`).
    #[serde(rename = "euler")]
    Euler,
    /// Euler with fresh noise at every step (`EulerAncestralDiscreteScheduler`).
    #[serde(rename = "euler-a")]
    EulerAncestral,
    /// Denoising diffusion implicit model, eta 0 (`DDIMScheduler`).
    #[serde(rename = "ddim")]
    Ddim,
    /// DPM-Solver++, multistep, of order 2 unless the checkpoint asks for another order or for the plain DPM-Solver
    /// (`DPMSolverMultistepScheduler`).
    #[serde(rename = "dpm++-2m")]
    DpmPlusPlus2M,
    /// DPM-Solver++ 2M on Karras' sigmas.
    #[serde(rename = "dpm++-2m-karras")]
    DpmPlusPlus2MKarras,
    /// Pseudo linear multistep (`PNDMScheduler`), the sampler that SD v1 ships with.
    #[serde(rename = "pndm")]
    Pndm,
}

impl SchedulerKind {
    /// Every one of them, in the order in which they are offered.
    pub const ALL: [Self; 7] = [
        Self::Lms,
        Self::Euler,
        Self::EulerAncestral,
        Self::Ddim,
        Self::DpmPlusPlus2M,
        Self::DpmPlusPlus2MKarras,
        Self::Pndm,
    ];

    /// The name that users type; in documents, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lms => "lms",
            Self::Euler => "euler",
            Self::EulerAncestral => "euler-a",
            Self::Ddim => "ddim",
            Self::DpmPlusPlus2M => "dpm++-2m",
            Self::DpmPlusPlus2MKarras => "dpm++-2m-karras",
            Self::Pndm => "pndm",
        }
    }

    /// Its class in diffusers.
    pub fn class_name(self) -> &'static str {
        match self {
            Self::Lms => "LMSDiscreteScheduler",
            Self::Euler => "EulerDiscreteScheduler",
            Self::EulerAncestral => "EulerAncestralDiscreteScheduler",
            Self::Ddim => "DDIMScheduler",
            Self::DpmPlusPlus2M | Self::DpmPlusPlus2MKarras => "DPMSolverMultistepScheduler",
            Self::Pndm => "PNDMScheduler",
        }
    }

    /// Does it set `use_karras_sigmas`, whatever the checkpoint says?
    pub(super) fn forces_karras(self) -> bool {
        self == Self::DpmPlusPlus2MKarras
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

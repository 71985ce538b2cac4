//! What a user asks for: the whole input of a generation, besides the model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scheduler::SchedulerKind;

/// The largest number of denoising steps: a schedule has this many training timesteps.
pub const MAX_STEPS: usize = 1000;

/// The whole input of a generation, besides the model.
///
/// The same request on the same model and device gives the same image, bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// What to draw.
    pub prompt: String,
    /// What to steer away from: the text of the unconditional half of guidance. Empty by default.
    pub negative_prompt: String,
    /// Seed of the initial noise, read as `torch.Generator.manual_seed` does: negative ones wrap, and the CPU
    /// generator uses the low 32 bits.
    pub seed: i128,
    /// Number of denoising steps, 1 to 1000.
    pub steps: usize,
    /// Classifier-free guidance scale `w` in `uncond + w (text - uncond)`. At 1 or below, there is no guidance and
    /// the unconditional half is not computed.
    pub guidance_scale: f64,
    /// The sampler and its noise schedule.
    pub scheduler: SchedulerKind,
}

/// The parts of a request that a user named; the model's defaults fill the rest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestOverrides {
    /// See [`Request::prompt`].
    pub prompt: Option<String>,
    /// See [`Request::negative_prompt`].
    pub negative_prompt: Option<String>,
    /// See [`Request::seed`].
    pub seed: Option<i128>,
    /// See [`Request::steps`].
    pub steps: Option<usize>,
    /// See [`Request::guidance_scale`].
    pub guidance_scale: Option<f64>,
    /// See [`Request::scheduler`].
    pub scheduler: Option<SchedulerKind>,
}

impl RequestOverrides {
    /// `request` with the parts that were named replaced.
    pub fn apply(&self, request: Request) -> Request {
        Request {
            prompt: self.prompt.clone().unwrap_or(request.prompt),
            negative_prompt: self
                .negative_prompt
                .clone()
                .unwrap_or(request.negative_prompt),
            seed: self.seed.unwrap_or(request.seed),
            steps: self.steps.unwrap_or(request.steps),
            guidance_scale: self.guidance_scale.unwrap_or(request.guidance_scale),
            scheduler: self.scheduler.unwrap_or(request.scheduler),
        }
    }
}

/// A request that cannot be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// `steps` out of range.
    #[error("steps is {0}; it must be from 1 to {MAX_STEPS}")]
    Steps(usize),
    /// `guidance_scale` is not finite or out of range.
    #[error("guidance is {0}; it must be a number from 0 to 100")]
    Guidance(f64),
    /// A seed that `torch.Generator.manual_seed` would refuse.
    #[error(
        "seed {0} is outside what a torch generator accepts ({min} to {max})",
        min = -0x8000_0000_0000_0000_i128,
        max = 0xffff_ffff_ffff_ffff_i128
    )]
    Seed(i128),
}

impl Request {
    /// Checks every field's range.
    pub fn validate(&self) -> Result<(), RequestError> {
        if self.steps == 0 || self.steps > MAX_STEPS {
            return Err(RequestError::Steps(self.steps));
        }
        if !self.guidance_scale.is_finite() || !(0.0..=100.0).contains(&self.guidance_scale) {
            return Err(RequestError::Guidance(self.guidance_scale));
        }
        if !(-(1_i128 << 63)..(1_i128 << 64)).contains(&self.seed) {
            return Err(RequestError::Seed(self.seed));
        }
        Ok(())
    }

    /// Is classifier-free guidance on? (diffusers: `guidance_scale > 1`.)
    pub fn is_guided(&self) -> bool {
        self.guidance_scale > 1.0
    }
}

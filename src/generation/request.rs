//! What a user asks for: the whole input of a generation, besides the model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Intervention;
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
    /// Changes of the prompt's cross-attention, one after another. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<Intervention>,
}

/// The parts of a request that a user named; the model's defaults fill the rest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestPatch {
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
    /// See [`Request::interventions`]; none leaves the request's.
    pub interventions: Vec<Intervention>,
}

impl RequestPatch {
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
            interventions: if self.interventions.is_empty() {
                request.interventions
            } else {
                self.interventions.clone()
            },
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
    /// An intervention's factor is not finite or out of range.
    #[error("a word's weight is {0}; it must be a number from 0 to 100")]
    Factor(f32),
    /// An intervention's text positions are none, twice the same, or not there.
    #[error("the positions of “{word}” cannot be used: {reason}")]
    Positions {
        /// The word, or the whole intervention.
        word: String,
        /// What is wrong with them.
        reason: String,
    },
    /// An intervention's steps end before they begin.
    #[error("an intervention is to act from step {first} to step {last}, which is before it")]
    StepRange {
        /// The first step.
        first: usize,
        /// The last one.
        last: usize,
    },
    /// An intervention names a word that the prompt does not have.
    #[error("the prompt has no word “{word}”; it has {}", if words.is_empty() { "none" } else { words })]
    NoSuchWord {
        /// The word.
        word: String,
        /// The prompt's words, with commas between them.
        words: String,
    },
    /// An intervention names a word that the model does not see.
    #[error("“{word}” is past the end of what the model sees of the prompt; shorten the prompt")]
    WordCutOff {
        /// The word.
        word: String,
    },
}

impl Request {
    /// The same request for another prompt. Interventions that name their word act on it wherever the new prompt has it;
    /// their positions are looked up when the run begins.
    #[must_use]
    pub fn with_prompt(&self, prompt: &str) -> Self {
        let mut request = self.clone();
        prompt.clone_into(&mut request.prompt);
        for intervention in &mut request.interventions {
            intervention.forget_positions();
        }
        request
    }

    /// Checks every field's range. Interventions must have positions, as those of a generation have.
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
        self.interventions
            .iter()
            .try_for_each(Intervention::validate)
    }

    /// Is classifier-free guidance on? (diffusers: `guidance_scale > 1`.)
    pub fn is_guided(&self) -> bool {
        self.guidance_scale > 1.0
    }
}

//! What a user asks for: the whole input of a generation, besides the model.

use serde::{Deserialize, Serialize};

use super::guidance::MAX_GUIDANCE;
use super::intervention::check_steps;
use super::request_json::RequestJson;
use super::{Intervention, LeftOutOf, Patch, StepRange};
use crate::scheduler::SchedulerKind;

/// The largest number of denoising steps: a schedule has this many training timesteps.
pub const MAX_STEPS: usize = 1000;

/// The whole input of a generation, besides the model.
///
/// The same request on the same model and device gives the same image, bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RequestJson", into = "RequestJson")]
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
    /// The steps in which there is guidance; all where there are none. In the others the scale is 1: the noise is what is
    /// predicted with the prompt, and the unconditional half is not computed.
    pub guidance_steps: Option<StepRange>,
    /// How much of the guided prediction is brought to the standard deviation of the one with the prompt, 0 to 1: `phi`
    /// of Lin et al. 2023 (arXiv 2305.08891). 0 by default.
    pub guidance_rescale: f64,
    /// The sampler and its noise schedule.
    pub scheduler: SchedulerKind,
    /// How many of the text encoder's layers the prompt passes before its final layer norm, from 0; all where there is
    /// no number. The negative prompt passes all of them.
    pub text_layers: Option<usize>,
    /// Changes of what the prompt's words do; those of its cross-attention one after another. None by default.
    pub interventions: Vec<Intervention>,
    /// Changes of what modules of the UNet put out, in both halves of guidance; of one module, one after another. None by
    /// default.
    pub patches: Vec<Patch>,
}

/// Stable Diffusion's own: 25 steps of LMS with a guidance scale of 7.5, seed 42, of the empty prompt.
impl Default for Request {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            negative_prompt: String::new(),
            seed: 42,
            steps: 25,
            guidance_scale: 7.5,
            guidance_steps: None,
            guidance_rescale: 0.0,
            scheduler: SchedulerKind::Lms,
            text_layers: None,
            interventions: Vec::new(),
            patches: Vec::new(),
        }
    }
}

/// Some parts of a request, to put in the place of another request's.
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
    /// See [`Request::guidance_steps`].
    pub guidance_steps: Option<StepRange>,
    /// See [`Request::guidance_rescale`].
    pub guidance_rescale: Option<f64>,
    /// See [`Request::scheduler`].
    pub scheduler: Option<SchedulerKind>,
    /// See [`Request::text_layers`].
    pub text_layers: Option<usize>,
    /// Words and the factors of their attention, see [`Intervention::weight`]. This, `swap` and `leave_out` together
    /// replace [`Request::interventions`].
    pub weight: Option<Vec<(String, f32)>>,
    /// Words and those that they change places with, see [`Intervention::swap`].
    pub swap: Option<Vec<(String, String)>>,
    /// Words that are left out, and of what, see [`Intervention::leave_out`].
    pub leave_out: Option<Vec<(String, LeftOutOf)>>,
    /// See [`Request::patches`].
    pub patches: Option<Vec<Patch>>,
}

impl RequestPatch {
    /// Does it change nothing?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Does it change what words do?
    fn changes_words(&self) -> bool {
        self.weight.is_some() || self.swap.is_some() || self.leave_out.is_some()
    }

    /// Does it reach into the networks?
    pub fn intervenes(&self) -> bool {
        self.changes_words() || self.patches.is_some() || self.text_layers.is_some()
    }

    /// `request` with the parts that are named replaced. Where that is the prompt, interventions that are left look for
    /// their words in the new one.
    #[must_use]
    pub fn apply(&self, request: &Request) -> Request {
        let mut patched = match &self.prompt {
            Some(prompt) => request.with_prompt(prompt),
            None => request.clone(),
        };
        if let Some(negative_prompt) = &self.negative_prompt {
            patched.negative_prompt.clone_from(negative_prompt);
        }
        patched.seed = self.seed.unwrap_or(patched.seed);
        patched.steps = self.steps.unwrap_or(patched.steps);
        patched.guidance_scale = self.guidance_scale.unwrap_or(patched.guidance_scale);
        patched.guidance_steps = self.guidance_steps.or(patched.guidance_steps);
        patched.guidance_rescale = self.guidance_rescale.unwrap_or(patched.guidance_rescale);
        patched.scheduler = self.scheduler.unwrap_or(patched.scheduler);
        patched.text_layers = self.text_layers.or(patched.text_layers);
        if let Some(patches) = &self.patches {
            patched.patches.clone_from(patches);
        }
        if self.changes_words() {
            let weights = self.weight.iter().flatten();
            let swaps = self.swap.iter().flatten();
            let weights = weights.map(|(word, factor)| Intervention::weight(word, *factor));
            let swaps = swaps.map(|(word, other)| Intervention::swap(word, other));
            let left_out = self.leave_out.iter().flatten();
            let left_out = left_out.map(|(word, of)| Intervention::leave_out(word, *of));
            patched.interventions = weights.chain(swaps).chain(left_out).collect();
        }
        patched
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
    /// `guidance_rescale` is not finite or out of range.
    #[error("guidance_rescale is {0}; it must be a number from 0 to 1")]
    GuidanceRescale(f64),
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
    /// A word is to be left out in some steps alone.
    #[error(
        "“{word}” is left out of a run as a whole; to leave it out from a step on, branch before that step"
    )]
    LeftOutInSteps {
        /// The word.
        word: String,
    },
    /// More layers than the text encoder has.
    #[error(
        "text_layers is {layers}; the model's text encoder has {most} layers: name a number from 0 to {most}"
    )]
    TextLayers {
        /// As asked for.
        layers: usize,
        /// What there is.
        most: usize,
    },
    /// A range of steps ends before it begins.
    #[error(
        "steps are to begin with `first`, {first}, and to end with `last`, {last}, which is before it"
    )]
    StepRange {
        /// The first step.
        first: usize,
        /// The last one.
        last: usize,
    },
    /// A range of steps goes beyond the run's last.
    #[error("{what} is to act in {steps}, and the run has {len} steps; name steps from 1 to {len}")]
    StepsBeyond {
        /// What is to act in them.
        what: String,
        /// The range.
        steps: StepRange,
        /// Number of the run's steps.
        len: usize,
    },
    /// A patch that cannot be: its factor, its head.
    #[error("the patch of {module} cannot be used: {reason}")]
    Patch {
        /// The module that it names.
        module: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A patch names a module that the UNet does not have, or has no site for.
    #[error(
        "there is no module {module} in the UNet whose output can be changed; there are {near} (`run --modules` \
         exports the names of all)"
    )]
    NoSuchModule {
        /// As it was named.
        module: String,
        /// Three that may be meant.
        near: String,
    },
    /// A patch takes a value from a run that is not there.
    #[error("the run `{run}`, which a patch takes a value from, has not been opened")]
    NoDonor {
        /// As it was named.
        run: String,
    },
    /// A patch takes a value from a step that a run does not have.
    #[error(
        "a patch takes a value from step {step} of `{run}`, which has {len}; name one of its steps, as in {run}@{len}, or \
         the steps in which the patch acts"
    )]
    NoDonorStep {
        /// As it was named.
        run: String,
        /// From 1.
        step: usize,
        /// Number of its steps.
        len: usize,
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
    /// One step of LMS without guidance: every field is in its range, and is there to be changed.
    pub(crate) fn plain(prompt: &str) -> Self {
        Self {
            prompt: prompt.to_owned(),
            seed: 0,
            steps: 1,
            guidance_scale: 1.0,
            ..Self::default()
        }
    }

    /// The same request for another prompt. Interventions that name their word act on it wherever the new prompt has
    /// it; their positions are looked up when the run begins.
    #[must_use]
    pub fn with_prompt(&self, prompt: &str) -> Self {
        let mut request = self.clone();
        prompt.clone_into(&mut request.prompt);
        for intervention in &mut request.interventions {
            intervention.forget_positions();
        }
        request
    }

    /// The same without guidance's range of steps and without patches where they name steps that a run of another length
    /// or sampler than `before` has not. Nothing is left out where both are the same.
    #[must_use]
    pub fn kept_within(mut self, before: &Self) -> Self {
        let is_same = (self.steps, self.scheduler) == (before.steps, before.scheduler);
        let steps = self.steps;
        let fits = |range: &StepRange| is_same || range.last < steps;
        self.guidance_steps = self.guidance_steps.filter(fits);
        self.patches
            .retain(|patch| patch.steps.as_ref().is_none_or(fits));
        self
    }

    /// Checks every field's range. Interventions must have positions, as those of a generation have.
    pub fn validate(&self) -> Result<(), RequestError> {
        self.validate_numbers()?;
        self.interventions
            .iter()
            .try_for_each(Intervention::validate)?;
        self.patches.iter().try_for_each(Patch::validate)
    }

    /// The same of steps, guidance and seed alone.
    pub(crate) fn validate_numbers(&self) -> Result<(), RequestError> {
        if self.steps == 0 || self.steps > MAX_STEPS {
            return Err(RequestError::Steps(self.steps));
        }
        if !(0.0..=MAX_GUIDANCE).contains(&self.guidance_scale) {
            return Err(RequestError::Guidance(self.guidance_scale));
        }
        if !(0.0..=1.0).contains(&self.guidance_rescale) {
            return Err(RequestError::GuidanceRescale(self.guidance_rescale));
        }
        check_steps(self.guidance_steps)?;
        if !(-(1_i128 << 63)..(1_i128 << 64)).contains(&self.seed) {
            return Err(RequestError::Seed(self.seed));
        }
        Ok(())
    }

    /// Checks that a text encoder of `most` layers has as many as are asked for.
    pub(crate) fn validate_text_layers(&self, most: usize) -> Result<(), RequestError> {
        match self.text_layers {
            Some(layers) if layers > most => Err(RequestError::TextLayers { layers, most }),
            _ => Ok(()),
        }
    }

    /// Checks that every range of steps lies within a run of `len` steps.
    pub(super) fn validate_steps(&self, len: usize) -> Result<(), RequestError> {
        let guidance = self
            .guidance_steps
            .map(|steps| ("guidance".to_owned(), steps));
        let patches = self.patches.iter();
        let patches = patches.filter_map(|patch| Some((patch.typed(), patch.steps?)));
        let mut beyond = guidance.into_iter().chain(patches);
        match beyond.find(|(_, steps)| steps.last >= len) {
            Some((what, steps)) => Err(RequestError::StepsBeyond { what, steps, len }),
            None => Ok(()),
        }
    }

    /// What is done otherwise than a plain run does it, a few words each: `apple × 2`,
    /// `guidance only in steps 4 to 10`. What reaches into the networks comes first.
    pub fn changes(&self) -> Vec<String> {
        let interventions = self.interventions.iter().map(ToString::to_string);
        let patches = self.patches.iter().map(ToString::to_string);
        let mut changes: Vec<String> = interventions.chain(patches).collect();
        if let Some(layers) = self.text_layers {
            changes.push(format!("text after {layers} layers"));
        }
        if let Some(steps) = self.guidance_steps {
            changes.push(format!("guidance only in {steps}"));
        }
        if self.guidance_rescale > 0.0 {
            changes.push(format!("guidance rescaled by {}", self.guidance_rescale));
        }
        changes
    }
}

//! What happened in a run, as plain owned data, in the order in which it happened.

use std::collections::BTreeSet;
use std::sync::Arc;

use image::RgbImage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AttentionMaps, AttentionStore, Stats, TensorData};
use crate::generation::{BranchPoint, Request};
use crate::model::tokenizer::Tokens;
use crate::scheduler::Schedule;

/// One stage or one denoising step, finished. Cheap to clone: large parts are shared.
#[derive(Debug, Clone)]
pub enum Event {
    /// The prompts became tokens.
    Tokens(Arc<TokensTrace>),
    /// The text encoder ran over both prompts.
    Text(Arc<TextTrace>),
    /// The seed became noise, and the schedule is known.
    Noise(Arc<NoiseTrace>),
    /// One denoising step was done.
    Step(Arc<StepTrace>),
    /// The autoencoder decoded the last latents.
    Image(Arc<ImageTrace>),
}

/// Both prompts as tokens.
#[derive(Debug, Clone)]
pub struct TokensTrace {
    /// The prompt's 77 positions.
    pub prompt: Tokens,
    /// The negative prompt's 77 positions.
    pub negative_prompt: Tokens,
    /// Ids of those among them that the model never saw in its training.
    pub unseen: BTreeSet<u32>,
}

impl TokensTrace {
    /// For each position of one of the two: did the model never see its token?
    pub fn are_unseen(&self, tokens: &Tokens) -> Vec<bool> {
        let ids = tokens.ids().into_iter();
        ids.map(|id| self.unseen.contains(&id)).collect()
    }
}

/// What the text encoder did.
#[derive(Debug, Clone)]
pub struct TextTrace {
    /// For the prompt: `token_embedding`, `position_embedding`, `text_model.encoder.layers.N` and last
    /// `prompt_embedding` (what the UNet gets), each `(77, hidden)`; only the last where layers are not recorded.
    pub prompt: Vec<TensorData>,
    /// For the negative prompt: `negative_prompt_embedding`, `(77, hidden)`. Computed even when guidance is off.
    /// Without rows in a replay of a run that did not record it.
    pub negative_prompt_embedding: TensorData,
    /// Causal self-attention of each layer for the prompt, head-averaged `(77, 77)`:
    /// `text_model.encoder.layers.N.self_attn`. Empty where layers are not recorded.
    pub attention: Vec<TensorData>,
    /// The same for every head, `(heads, 77, 77)` each: to look at, not exported.
    pub heads: Vec<TensorData>,
    /// Statistics of every module's output, in the order in which they came. Empty where they are not recorded.
    pub modules: Vec<ModuleStats>,
    /// Seconds that the stage took.
    pub seconds: f64,
}

/// The initial noise and the noise schedule.
#[derive(Debug, Clone)]
pub struct NoiseTrace {
    /// Timesteps and sigmas, with the training schedule behind them.
    pub schedule: Schedule,
    /// `initial_noise`: standard normal, before it is multiplied with the initial sigma; `(channels, height, width)`.
    pub initial_noise: TensorData,
}

/// Statistics of what a module put out: every value that passes, without keeping it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleStats {
    /// The module's path in the checkpoint.
    pub path: String,
    /// Its output's shape, without the batch.
    pub shape: Vec<usize>,
    /// Statistics of its values.
    pub stats: Stats,
}

/// One denoising step.
#[derive(Debug, Clone)]
pub struct StepTrace {
    /// Counts from 0.
    pub index: usize,
    /// The UNet's time: real numbers for LMS and Euler.
    pub timestep: f32,
    /// Noise level before the step.
    pub sigma: f32,
    /// Noise level after the step.
    pub sigma_next: f32,
    /// Seconds that the step took: those that the device worked on it, whatever the program did meanwhile.
    pub seconds: f64,
    /// `latents` (before the step), `noise_uncond` and `noise_text` (only the latter without guidance), `noise_guided`,
    /// `latents_next`, `x0`; each `(channels, height, width)`.
    pub tensors: Vec<TensorData>,
    /// Statistics of every module's output in the prediction with the prompt, in the order of the forward pass. Empty
    /// where they are not recorded.
    pub modules: Vec<ModuleStats>,
    /// Cross-attention of the prediction with the prompt, one for each of the UNet's cross-attention layers.
    pub attention: Vec<AttentionMaps>,
    /// Divide `latents` by this for about unit variance (previews): `sqrt(sigma² + 1)` where variance explodes, else 1.
    pub preview_scale: f32,
}

impl StepTrace {
    /// The step's tensor called `name`, if it was recorded.
    pub fn tensor(&self, name: &str) -> Option<&TensorData> {
        self.tensors.iter().find(|tensor| &*tensor.name == name)
    }
}

/// The decoded picture.
#[derive(Debug, Clone)]
pub struct ImageTrace {
    /// 8-bit RGB, rounded as diffusers rounds.
    pub image: RgbImage,
    /// Statistics of what the decoder gave, before it is clipped and rounded; none in a replay of a run that did not
    /// record them.
    pub stats: Option<Stats>,
    /// The type that it was decoded in: `f32`. None in a replay of a run that did not record it.
    pub dtype: Option<String>,
    /// Where it was decoded again in f32: how many values were not finite before, in the networks' type.
    pub overflowed: Option<usize>,
    /// Seconds that decoding took.
    pub seconds: f64,
}

/// A run so far, in memory: what the inspector shows. Built by applying events.
#[derive(Debug, Clone)]
pub struct Trace {
    /// What was asked for, from the last branch on.
    pub request: Request,
    /// Where the request was changed on the way, in the order of the steps.
    pub branches: Vec<BranchPoint>,
    /// Both prompts as tokens, once known.
    pub tokens: Option<Arc<TokensTrace>>,
    /// What the text encoder did, once it ran.
    pub text: Option<Arc<TextTrace>>,
    /// Noise and schedule, once drawn.
    pub noise: Option<Arc<NoiseTrace>>,
    /// The denoising steps done so far. Their attention maps are in `attention`, under its budget.
    pub steps: Vec<Arc<StepTrace>>,
    /// Cross-attention of the steps done so far, as many as the budget allows.
    pub attention: AttentionStore,
    /// The decoded picture, once there.
    pub image: Option<Arc<ImageTrace>>,
}

impl Trace {
    /// An empty trace for `request`, keeping at most `attention_budget` bytes of attention maps.
    pub fn new(request: Request, attention_budget: usize) -> Self {
        Self {
            request,
            branches: Vec::new(),
            tokens: None,
            text: None,
            noise: None,
            steps: Vec::new(),
            attention: AttentionStore::new(attention_budget),
            image: None,
        }
    }

    /// What was asked for in step `index`.
    pub fn request_at(&self, index: usize) -> &Request {
        BranchPoint::request_at(&self.branches, &self.request, index)
    }

    /// Forgets the steps from `step` on, and the picture that they led to.
    pub fn truncate(&mut self, step: usize) {
        self.steps.truncate(step);
        self.attention.truncate(step);
        self.image = None;
    }

    /// Takes an event into the trace. A step whose index is already there replaces it and drops what came after.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Tokens(tokens) => self.tokens = Some(tokens),
            Event::Text(text) => self.text = Some(text),
            Event::Noise(noise) => self.noise = Some(noise),
            Event::Step(step) => {
                if step.index < self.steps.len() {
                    self.truncate(step.index);
                }
                let mut step = Arc::unwrap_or_clone(step);
                self.attention
                    .insert(step.index, std::mem::take(&mut step.attention));
                self.steps.push(Arc::new(step));
            }
            Event::Image(image) => self.image = Some(image),
        }
    }
}

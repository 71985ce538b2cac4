//! Where a lesson takes its reader, and what the reader looks at: the same words for both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::generation::{Intervention, Request};
use crate::scheduler::SchedulerKind;

/// A view of the inspector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // Their names are those of the screen.
pub enum Stage {
    Prompt,
    Tokens,
    Embedding,
    TextEncoder,
    Noise,
    Schedule,
    Denoising,
    Attention,
    Image,
}

/// Whose tokens are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The prompt's.
    Prompt,
    /// The negative prompt's.
    Negative,
}

/// Which part of an embedding is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The token's.
    Token,
    /// The position's.
    Position,
    /// Both added.
    Sum,
}

/// Which curve of the schedule is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// Noise over signal.
    Sigmas,
    /// Variance of the signal that is left.
    AlphasCumprod,
    /// Variance that each training step adds.
    Betas,
}

/// The denoising view's third picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepPicture {
    /// `|noise_text - noise_uncond|`.
    Difference,
    /// `noise_text`.
    NoiseText,
    /// `noise_uncond`.
    NoiseUncond,
    /// `noise_guided`.
    NoiseGuided,
}

/// Which half of guidance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// With the prompt.
    Prompt,
    /// Without it.
    Uncond,
}

/// What the small attention maps go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grid {
    /// Every word.
    Words,
    /// Every step.
    Steps,
    /// Every layer.
    Layers,
    /// Every head.
    Heads,
}

/// A number, or a word that stands for one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum NumberOrWord {
    /// Counted from 0.
    Number(usize),
    /// A word of the prompt, `start`, `end`; `mean` of a head.
    Word(String),
}

/// A text, or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// A block of TOML that has the keys of a place, and some of its own.
macro_rules! with_place {
    ($name:ident { $($field:ident: $type:ty,)* }) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct $name {
            view: Option<Stage>,
            step: Option<usize>,
            token: Option<NumberOrWord>,
            side: Option<Side>,
            part: Option<Part>,
            text_layer: Option<usize>,
            channel: Option<usize>,
            scaled: Option<bool>,
            curve: Option<Curve>,
            overlay: Option<SchedulerKind>,
            overlay_steps: Option<usize>,
            tensor: Option<StepPicture>,
            layer: Option<String>,
            head: Option<NumberOrWord>,
            half: Option<Half>,
            grid: Option<Grid>,
            decode: Option<bool>,
            $($field: $type,)*
        }

        impl $name {
            fn place(&mut self) -> Place {
                Place {
                    view: self.view,
                    step: self.step,
                    token: self.token.take(),
                    side: self.side,
                    part: self.part,
                    text_layer: self.text_layer,
                    channel: self.channel,
                    scaled: self.scaled,
                    curve: self.curve,
                    overlay: self.overlay,
                    overlay_steps: self.overlay_steps,
                    tensor: self.tensor,
                    layer: self.layer.take(),
                    head: self.head.take(),
                    half: self.half,
                    grid: self.grid,
                    decode: self.decode,
                }
            }
        }
    };
}

/// What the reader is shown; what is not said stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place {
    /// The view.
    pub view: Option<Stage>,
    /// The denoising step, counted from 1 as on the screen.
    pub step: Option<usize>,
    /// The position in the prompt.
    pub token: Option<NumberOrWord>,
    /// Whose tokens.
    pub side: Option<Side>,
    /// Which part of the embedding.
    pub part: Option<Part>,
    /// The text encoder's state, from 0, its input.
    pub text_layer: Option<usize>,
    /// The latents' channel, from 0.
    pub channel: Option<usize>,
    /// Is the noise shown times the first sigma?
    pub scaled: Option<bool>,
    /// The schedule's curve.
    pub curve: Option<Curve>,
    /// The scheduler whose schedule lies over this run's.
    pub overlay: Option<SchedulerKind>,
    /// The number of steps that it has.
    pub overlay_steps: Option<usize>,
    /// The denoising view's third picture.
    pub tensor: Option<StepPicture>,
    /// The cross-attention layer, by its name on the screen, or `all`.
    pub layer: Option<String>,
    /// The attention head, from 0, or `mean`.
    pub head: Option<NumberOrWord>,
    /// The half of guidance.
    pub half: Option<Half>,
    /// What the small maps go through.
    pub grid: Option<Grid>,
    /// Is the predicted picture decoded by the autoencoder?
    pub decode: Option<bool>,
}

/// What is asked for: parts of a request, over those of another.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ask {
    /// See [`Request::prompt`].
    pub prompt: Option<String>,
    /// See [`Request::negative_prompt`].
    pub negative: Option<String>,
    /// See [`Request::seed`].
    pub seed: Option<i64>,
    /// See [`Request::steps`].
    pub steps: Option<usize>,
    /// See [`Request::guidance_scale`].
    pub guidance: Option<f64>,
    /// See [`Request::scheduler`].
    pub scheduler: Option<SchedulerKind>,
    /// Words and the factors of their attention.
    pub weight: Option<BTreeMap<String, f32>>,
    /// Words and those that they change places with.
    pub swap: Option<BTreeMap<String, String>>,
}

/// A second run, beside the page's.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// What it asks for, over the page's request.
    pub ask: Ask,
    /// For a branch of the page's run: the step that it begins with, counted from 1.
    pub branch: Option<usize>,
}

/// Where a page takes its reader.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Goto {
    /// What is shown.
    pub place: Place,
    /// What the page's run asks for, over the lesson's.
    pub request: Ask,
    /// The run that stands beside it.
    pub beside: Option<Beside>,
    /// Texts that are marked on the screen.
    pub highlight: Vec<String>,
}

/// What a reader can do.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Look at something.
    Look(Place),
    /// Ask for a new run, over the one on the screen.
    Ask(Ask),
    /// Leave the run on the screen before a step, counted from 1.
    Branch(usize, Ask),
}

with_place!(RawGoto {
    request: Ask,
    beside: Option<RawBeside>,
    highlight: Option<Texts>,
});

with_place!(RawAct {
    branch: Option<usize>,
    prompt: Option<String>,
    negative: Option<String>,
    seed: Option<i64>,
    steps: Option<usize>,
    guidance: Option<f64>,
    scheduler: Option<SchedulerKind>,
    weight: Option<BTreeMap<String, f32>>,
    swap: Option<BTreeMap<String, String>>,
});

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawBeside {
    branch: Option<usize>,
    prompt: Option<String>,
    negative: Option<String>,
    seed: Option<i64>,
    steps: Option<usize>,
    guidance: Option<f64>,
    scheduler: Option<SchedulerKind>,
    weight: Option<BTreeMap<String, f32>>,
    swap: Option<BTreeMap<String, String>>,
}

impl<'de> Deserialize<'de> for Goto {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut raw = RawGoto::deserialize(deserializer)?;
        Ok(Self {
            place: raw.place(),
            request: raw.request,
            beside: raw.beside.map(|raw| Beside {
                branch: raw.branch,
                ask: Ask {
                    prompt: raw.prompt,
                    negative: raw.negative,
                    seed: raw.seed,
                    steps: raw.steps,
                    guidance: raw.guidance,
                    scheduler: raw.scheduler,
                    weight: raw.weight,
                    swap: raw.swap,
                },
            }),
            highlight: raw.highlight.map(Texts::into_list).unwrap_or_default(),
        })
    }
}

impl<'de> Deserialize<'de> for Act {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut raw = RawAct::deserialize(deserializer)?;
        let place = raw.place();
        let ask = Ask {
            prompt: raw.prompt,
            negative: raw.negative,
            seed: raw.seed,
            steps: raw.steps,
            guidance: raw.guidance,
            scheduler: raw.scheduler,
            weight: raw.weight,
            swap: raw.swap,
        };
        match (raw.branch, place == Place::default(), ask.is_empty()) {
            (None, false, true) => Ok(Self::Look(place)),
            (None, true, false) => Ok(Self::Ask(ask)),
            (Some(step), true, _) => Ok(Self::Branch(step, ask)),
            (None, true, true) => Err(D::Error::custom(
                "an action that does nothing; expected a place to look at, or something to ask for",
            )),
            (_, false, _) => Err(D::Error::custom(
                "an action looks at something or asks for a run, not both; make two of it",
            )),
        }
    }
}

impl Ask {
    /// Does it ask for nothing?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `request` with the parts that are named replaced.
    #[must_use]
    pub fn apply(&self, request: &Request) -> Request {
        let mut asked = match &self.prompt {
            Some(prompt) => request.with_prompt(prompt),
            None => request.clone(),
        };
        if let Some(negative) = &self.negative {
            asked.negative_prompt.clone_from(negative);
        }
        if let Some(seed) = self.seed {
            asked.seed = seed.into();
        }
        asked.steps = self.steps.unwrap_or(asked.steps);
        asked.guidance_scale = self.guidance.unwrap_or(asked.guidance_scale);
        asked.scheduler = self.scheduler.unwrap_or(asked.scheduler);
        if self.weight.is_some() || self.swap.is_some() {
            let weights = self.weight.iter().flatten();
            let swaps = self.swap.iter().flatten();
            let weights = weights.map(|(word, factor)| Intervention::weight(word, *factor));
            let swaps = swaps.map(|(word, other)| Intervention::swap(word, other));
            asked.interventions = weights.chain(swaps).collect();
        }
        asked
    }

    /// Does it change how words are listened to?
    pub fn intervenes(&self) -> bool {
        self.weight.is_some() || self.swap.is_some()
    }
}

/// What the reader looks at, as filters see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)] // As in `Place`; differences are said.
pub struct Selection {
    pub view: Stage,
    /// Counted from 0, as in the document; `null` before the first one.
    pub step: Option<usize>,
    /// The position, from 0.
    pub token: usize,
    /// The selected word of the prompt, as typed.
    pub word: Option<String>,
    pub side: Side,
    pub part: Part,
    pub text_layer: usize,
    /// The text encoder's head; `null` for the mean.
    pub text_head: Option<usize>,
    pub channel: usize,
    pub scaled: bool,
    pub curve: Curve,
    pub overlay: Option<SchedulerKind>,
    pub overlay_steps: Option<usize>,
    pub tensor: StepPicture,
    /// The layer's path; `null` for the mean of all.
    pub layer: Option<String>,
    /// The head; `null` for the mean.
    pub head: Option<usize>,
    pub half: Half,
    pub grid: Grid,
    pub decode: bool,
    /// The number of the run on the screen.
    pub run: u64,
    /// How many runs there are.
    pub runs: usize,
    /// Of a branch: the run that it left.
    pub parent: Option<u64>,
    /// Of a branch: the first step of its own, from 0.
    pub branched_at: Option<usize>,
}

//! The exported document: the types of `run.json` and of a tensor's file, and their JSON Schema.
//!
//! The one description of both: what is read, what is written and what the schema says are these types. Where a
//! tensor's values are written they are borrowed and not copied: that is what the type parameters are for.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

pub use super::number::Number;
pub(crate) use super::number::Numbers;
use super::selection::ATTENTION;
use super::watch::{Stopped, WatchValues};
use crate::checkpoint::LatentRgb;
use crate::generation::{AttentionLayer, BranchPoint, ModelInfo, Request};
use crate::model::tokenizer::{Token, TokenKind};
use crate::scheduler::{LatentSpace, SchedulerConfig};
use crate::trace::{
    AttentionMaps, ImageTrace, ModuleStats, NotFinite, Stats, StepTrace, TensorData, TextTrace,
    TokensTrace,
};

/// The version of the format that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// `run.json`: a whole run, with the tensors' values in files beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Diffuscope run")]
pub struct RunDocument {
    /// What kind of document this is.
    pub format: Format,
    /// Version of the format. Readers should refuse a version that they do not know; members may be added to objects
    /// without a new version.
    #[schemars(extend("const" = FORMAT_VERSION))]
    pub version: u32,
    /// The program that wrote the document.
    pub program: Program,
    /// The model that ran.
    pub model: Model,
    /// The device that it ran on: `cpu`, `cuda:0`.
    pub device: String,
    /// The type of the numbers that it computed with, by numpy's name: `float32`.
    pub dtype: String,
    /// The model's sizes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// What was asked for, with defaults filled in: together with the model, with `branches` where there are some, and with
    /// the runs that its `patches` take from, all that is needed to run it again.
    pub request: Request,
    /// Where the run went on with another request, in the order of the steps: the first item's request is that of the
    /// steps before its `step`, and so on; `request` is that of the steps after the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<BranchPoint>,
    /// The prompts as tokens.
    pub tokens: Tokens,
    /// What the text encoder did, besides its tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextStage>,
    /// The noise schedule that the model was trained with: what every sampler makes its own from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_config: Option<SchedulerConfig>,
    /// The noise schedule.
    pub schedule: Schedule,
    /// Where the first values of the run arose that are NaN or infinite, where some did: the picture is not what the
    /// model means then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_finite: Option<NotFinite>,
    /// The denoising steps, in order. The scheduler `pndm` has one more than was asked for.
    pub steps: Vec<Step>,
    /// The tensors of the whole run, by name: `token_embedding`, `position_embedding`,
    /// `text_model.encoder.layers.N`, `prompt_embedding`, `negative_prompt_embedding`, `initial_noise`.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// The picture; of a run that a breakpoint stopped, the predicted x0 of its last step, decoded.
    pub image: Image,
    /// Watch expressions, and what each gave after every step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watches: Vec<WatchValues>,
    /// Where a breakpoint stopped the run, where one did: it has fewer steps than its schedule then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// What kind of document this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Format {
    /// A run of Diffuscope.
    #[serde(rename = "diffuscope-trace")]
    Trace,
}

/// The program that wrote the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Program {
    /// `diffuscope`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The model that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// The model's name.
    pub name: String,
    /// SHA-256 of the model's files, in hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// The model's sizes, and how to look at its latents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Architecture {
    /// Width and height of its pictures.
    pub image_size: (usize, usize),
    /// `[channels, height, width]` of its latents.
    pub latent_shape: [usize; 3],
    /// Number of the text encoder's layers.
    pub text_layers: usize,
    /// Width of the text encoder.
    pub hidden_size: usize,
    /// Number of parameters of all networks together.
    pub parameters: usize,
    /// The guidance scale that suits it.
    pub default_guidance: f64,
    /// Every cross-attention layer, in the order of a forward pass.
    pub cross_attention: Vec<AttentionLayer>,
    /// A quick map from latents to colours.
    pub latent_rgb: LatentRgb,
    /// What the checkpoint's configurations ask for that was done in another way, or passed over: a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What the text encoder did, besides its tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TextStage {
    /// Seconds that it took.
    pub seconds: f64,
    /// Statistics of what every module put out for the prompt, in the order of the forward pass; only where they were
    /// asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<ModuleStats>,
}

/// The prompts as tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// The prompt's 77 positions.
    pub prompt: Vec<TokenEntry>,
    /// The negative prompt's 77 positions.
    pub negative_prompt: Vec<TokenEntry>,
    /// How many of the prompt's tokens did not fit, so that the model did not see them.
    pub prompt_truncated: usize,
    /// How many of the negative prompt's tokens did not fit.
    pub negative_prompt_truncated: usize,
    /// The prompt's tokens that did not fit, with the positions that they would have had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prompt_rest: Vec<TokenEntry>,
    /// The same of the negative prompt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub negative_prompt_rest: Vec<TokenEntry>,
}

/// One of a prompt's 77 positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenEntry {
    /// Counts from 0.
    pub position: usize,
    /// The token's id, a row of the token embedding.
    pub id: u32,
    /// The token as the vocabulary spells it: `astronaut</w>`, where `</w>` ends a word.
    pub piece: String,
    /// Was it added to the vocabulary as a whole word, and is no product of merges?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub added: bool,
    /// Is it no part of the text: the start, the end or padding?
    pub special: bool,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TokenKind>,
    /// The bytes of the lower-cased text that it stands for; of a special token, those of its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<u8>,
    /// First byte, and the one after the last, of the place in the text that it came from; none where it is not from the
    /// text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<[usize; 2]>,
    /// Did the model never see this token in its training?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
}

/// The noise schedule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// The UNet's time at each step.
    pub timesteps: Vec<Number>,
    /// The noise level before each step, and last the one after the last step: one more than `timesteps`.
    pub sigmas: Vec<Number>,
    /// What the initial noise is multiplied with.
    pub init_noise_sigma: Number,
    /// How the latents between the steps are scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<LatentSpace>,
    /// Variance of the noise that each training timestep adds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub betas: Vec<Number>,
    /// Variance of the signal that is left at each training timestep: as many as `betas`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alphas_cumprod: Vec<Number>,
}

/// One denoising step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Counts from 0.
    pub index: usize,
    /// The UNet's time.
    pub timestep: Number,
    /// The noise level before the step.
    pub sigma: Number,
    /// The noise level after the step.
    pub sigma_next: Number,
    /// Seconds that the step took.
    pub seconds: f64,
    /// What to divide `latents` by so that their variance is about 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_scale: Option<Number>,
    /// The step's tensors, by name: `latents` (before the step), `noise_uncond`, `noise_text`, `noise_guided`,
    /// `latents_next`, `x0`, each `(channels, height, width)`; and `attention/<module path>`, the cross-attention of
    /// the prompt's half, `(77, height, width)` or `(heads, 77, height, width)`, as the request's interventions left it.
    pub tensors: BTreeMap<String, TensorEntry>,
    /// Statistics of what every module of the UNet put out for the prompt's half, in the order of the forward pass, of what
    /// the heads of attention layers gave (`….heads`) and of the skips (`….skip`); only where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<ModuleStats>,
}

/// A tensor, without its values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TensorEntry {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Statistics of its values.
    pub stats: Stats,
    /// The file that has its values: a path relative to `run.json`, with `/` between its parts.
    pub file: String,
}

/// The picture.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// The PNG file: a path relative to `run.json`.
    pub file: String,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The type of the numbers that it was decoded in, by numpy's name: `float32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Statistics of what the decoder gave, before it is clipped to -1 to 1 and rounded to 8 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
    /// Where it was decoded again in float32: how many values were not finite before, in the networks' type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflowed: Option<usize>,
    /// Seconds that decoding took.
    pub seconds: f64,
}

impl Image {
    /// That of a run, in `file`.
    pub(crate) fn new(image: &ImageTrace, file: String) -> Self {
        Self {
            file,
            width: image.image.width(),
            height: image.image.height(),
            dtype: image.dtype.as_deref().map(DataType::name_of),
            stats: image.stats,
            overflowed: image.overflowed,
            seconds: image.seconds,
        }
    }
}

/// A tensor's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Diffuscope tensor", rename = "TensorDocument")]
pub struct TensorDocument<D = Vec<Number>> {
    /// Its name, as in `run.json`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type of its values.
    pub dtype: DataType,
    /// Its values, row-major: as many as the product of `shape`.
    pub data: D,
}

/// A step on its own, with its values, as the inspector saves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Diffuscope step", rename = "StepDocument")]
pub struct StepDocument<T = Vec<TensorDocument>> {
    /// What kind of document this is.
    pub format: StepFormat,
    /// Version of the format, the same as that of `run.json`.
    #[schemars(extend("const" = FORMAT_VERSION))]
    pub version: u32,
    /// The program that wrote the document.
    pub program: Program,
    /// The model that ran.
    pub model: Model,
    /// What was asked for.
    pub request: Request,
    /// Where the run went on with another request, as in `run.json`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<BranchPoint>,
    /// Counts from 0.
    pub index: usize,
    /// The UNet's time.
    pub timestep: Number,
    /// The noise level before the step.
    pub sigma: Number,
    /// The noise level after the step.
    pub sigma_next: Number,
    /// Seconds that the step took.
    pub seconds: f64,
    /// Statistics of what every module put out, where they were recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<ModuleStats>,
    /// The step's tensors, attention among them, by the names that they have in `run.json`.
    pub tensors: T,
}

/// What kind of document this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepFormat {
    /// A step of a run of Diffuscope.
    #[serde(rename = "diffuscope-step")]
    Step,
}

/// The type of a tensor's values, by numpy's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// IEEE 754 single precision.
    Float32,
}

/// The JSON Schema of `run.json`.
pub fn run_schema() -> Schema {
    schema_for!(RunDocument)
}

/// The JSON Schema of a tensor's file.
pub fn tensor_schema() -> Schema {
    schema_for!(TensorDocument)
}

/// The JSON Schema of a step on its own.
pub fn step_schema() -> Schema {
    schema_for!(StepDocument)
}

impl Architecture {
    /// That of a model.
    pub fn of(info: &ModelInfo) -> Self {
        Self {
            image_size: info.image_size,
            latent_shape: info.latent_shape,
            text_layers: info.text_layers,
            hidden_size: info.hidden_size,
            parameters: info.parameters,
            default_guidance: info.default_guidance,
            cross_attention: info.cross_attention.clone(),
            latent_rgb: info.latent_rgb.clone(),
            notes: info.notes.clone(),
        }
    }
}

impl Model {
    /// That of a run.
    pub fn of(info: &ModelInfo) -> Self {
        Self {
            name: info.name.clone(),
            sha256: info.sha256.clone(),
        }
    }
}

impl Program {
    /// This program.
    pub fn this() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

impl DataType {
    /// The name that numpy has for a type of the tensor library: `float32` for `f32`.
    pub fn name_of(dtype: &str) -> String {
        match dtype {
            "f16" => "float16".into(),
            "bf16" => "bfloat16".into(),
            "f32" => "float32".into(),
            "f64" => "float64".into(),
            other => other.into(),
        }
    }

    /// The other way round: `f32` for `float32`.
    pub fn short_name_of(name: &str) -> String {
        let short = ["f16", "bf16", "f32", "f64"];
        let known = short.into_iter().find(|short| Self::name_of(short) == name);
        known.unwrap_or(name).to_owned()
    }
}

impl From<&Token> for TokenEntry {
    fn from(token: &Token) -> Self {
        Self {
            position: token.position,
            id: token.id,
            piece: token.piece.clone(),
            added: token.added,
            special: token.kind != TokenKind::Word,
            kind: Some(token.kind),
            bytes: token.bytes.clone(),
            span: token.span.clone().map(|span| [span.start, span.end]),
            unseen: false,
        }
    }
}

impl From<&TokensTrace> for Tokens {
    fn from(tokens: &TokensTrace) -> Self {
        let entries = |list: &[Token]| {
            let entries = list.iter().map(|token| TokenEntry {
                unseen: token.kind == TokenKind::Word && tokens.unseen.contains(&token.id),
                ..TokenEntry::from(token)
            });
            entries.collect()
        };
        let (prompt, negative) = (&tokens.prompt, &tokens.negative_prompt);
        Self {
            prompt: entries(&prompt.tokens),
            negative_prompt: entries(&negative.tokens),
            prompt_truncated: prompt.truncated.len(),
            negative_prompt_truncated: negative.truncated.len(),
            prompt_rest: entries(&prompt.truncated),
            negative_prompt_rest: entries(&negative.truncated),
        }
    }
}

impl From<&TextTrace> for TextStage {
    fn from(text: &TextTrace) -> Self {
        Self {
            seconds: text.seconds,
            modules: text.modules.clone(),
        }
    }
}

impl Step {
    /// What a document says of `step`, with entries of these `tensors`.
    pub fn new(step: &StepTrace, tensors: BTreeMap<String, TensorEntry>) -> Self {
        Self {
            index: step.index,
            timestep: Number(step.timestep),
            sigma: Number(step.sigma),
            sigma_next: Number(step.sigma_next),
            seconds: step.seconds,
            preview_scale: Some(Number(step.preview_scale)),
            tensors,
            modules: step.modules.clone(),
        }
    }
}

impl From<&crate::scheduler::Schedule> for Schedule {
    fn from(schedule: &crate::scheduler::Schedule) -> Self {
        let numbers = |values: &[f32]| values.iter().copied().map(Number).collect();
        Self {
            timesteps: numbers(&schedule.timesteps),
            sigmas: numbers(&schedule.sigmas),
            init_noise_sigma: Number(schedule.init_noise_sigma),
            space: Some(schedule.space),
            betas: numbers(&schedule.betas),
            alphas_cumprod: numbers(&schedule.alphas_cumprod),
        }
    }
}

/// What a tensor and an attention layer's maps have in common, for writing them.
#[derive(Debug, Clone)]
pub(crate) struct TensorView<'a> {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: &'a [f32],
    pub stats: Stats,
}

impl<'a> TensorView<'a> {
    /// What a run's document says of it, with its values in `file`.
    pub fn entry(&self, file: String) -> TensorEntry {
        TensorEntry {
            shape: self.shape.clone(),
            stats: self.stats,
            file,
        }
    }

    /// The document of its values.
    pub fn into_document(self) -> TensorDocument<Numbers<'a>> {
        TensorDocument {
            name: self.name,
            shape: self.shape,
            dtype: DataType::Float32,
            data: Numbers(self.data),
        }
    }
}

impl<'a> From<&'a TensorData> for TensorView<'a> {
    fn from(tensor: &'a TensorData) -> Self {
        Self {
            name: tensor.name.to_string(),
            shape: tensor.shape.clone(),
            data: &tensor.data,
            stats: tensor.stats,
        }
    }
}

impl<'a> From<&'a AttentionMaps> for TensorView<'a> {
    fn from(maps: &'a AttentionMaps) -> Self {
        Self {
            name: format!("{ATTENTION}{}", maps.path),
            shape: maps.shape(),
            data: &maps.data,
            stats: Stats::of(&maps.data),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_name_every_member_that_users_rely_on() {
        let schema = run_schema();
        for member in [
            "format", "version", "program", "model", "device", "dtype", "request", "tokens",
            "schedule", "steps", "tensors", "image",
        ] {
            assert!(
                schema.as_value()["properties"][member].is_object(),
                "{member}"
            );
        }
        assert_eq!(schema.as_value()["properties"]["version"]["const"], 1);
    }
}

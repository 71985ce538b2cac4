//! What the inspector's views can show, under the names that lessons use.

use serde::{Deserialize, Serialize};

/// A view of the inspector: one stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    Prompt,
    Tokens,
    Embedding,
    TextEncoder,
    /// The noise that a picture begins as.
    Noise,
    /// How much noise there is at each step.
    Schedule,
    /// One step of taking noise out.
    Denoising,
    /// How much each pixel attends to each word.
    Attention,
    Image,
}

/// Which of the two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    #[default]
    Prompt,
    Negative,
}

/// Which part of what the text encoder's first layer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The row that the token's id picks.
    #[default]
    Token,
    /// The row of its place in the text.
    Position,
    /// Both added: what goes in.
    Sum,
}

/// What the schedule's view draws against the timesteps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Curve {
    /// Noise over signal.
    #[default]
    #[serde(rename = "sigmas")]
    Sigma,
    /// Variance of the signal that is left.
    #[serde(rename = "alphas_cumprod")]
    Alphas,
    /// Variance of the noise that each training timestep adds.
    #[serde(rename = "betas")]
    Betas,
}

/// What the denoising view shows beside `x_t` and predicted x0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepTensor {
    /// `|noise_text - noise_uncond|`: where the prompt matters.
    #[serde(rename = "difference")]
    Difference,
    /// `noise_text`.
    #[serde(rename = "noise_text")]
    Text,
    /// `noise_uncond`.
    #[serde(rename = "noise_uncond")]
    Uncond,
    /// `noise_guided`.
    #[serde(rename = "noise_guided")]
    Guided,
}

/// What the attention view shows beside the selected map: small maps of what they go through; or what it shows in its
/// place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grid {
    /// Every word of the prompt, at this step.
    Words,
    /// The selected word at every step.
    Steps,
    /// The selected word in every layer.
    Layers,
    /// The selected word in every head of the layer.
    Heads,
    /// One matrix of all heads of all layers, in one figure each.
    Matrix,
    /// Self-attention: from a place of the picture to all its places.
    #[serde(rename = "self")]
    Own,
    /// Query, key and value of a place and a word, by hand.
    Numbers,
}

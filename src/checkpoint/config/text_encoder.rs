//! `text_encoder/config.json`: CLIP's text model.

use super::Reader;
use crate::checkpoint::CheckpointError;

/// The activation between the two layers of a transformer block's MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`: CLIP ViT-L/14, so Stable Diffusion v1.
    QuickGelu,
    /// `x * Φ(x)` with the exact error function: OpenCLIP, so Stable Diffusion v2.
    Gelu,
}

/// The shape of CLIP's text model; keys and defaults are those of transformers' `CLIPTextConfig`.
#[derive(Debug, Clone, PartialEq)]
pub struct TextEncoderConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the residual stream, and of the prompt embedding.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// How many transformer blocks.
    pub num_hidden_layers: usize,
    /// Heads of each block's self-attention; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Rows of the position embedding: the number of token positions, 77 in CLIP.
    pub max_position_embeddings: usize,
    /// The MLP's activation.
    pub hidden_act: Activation,
    /// Added to the variance in every layer norm.
    pub layer_norm_eps: f64,
}

impl TextEncoderConfig {
    /// Reads and checks the configuration.
    pub(in crate::checkpoint) fn read(json: &Reader) -> Result<Self, CheckpointError> {
        let kind = json.text("model_type", "clip_text_model")?;
        if kind != "clip_text_model" {
            return Err(json.unsupported(
                "model_type",
                "the text encoder must be CLIP's text model, clip_text_model",
            ));
        }
        let config = Self {
            vocab_size: json.size("vocab_size", 49408)?,
            hidden_size: json.size("hidden_size", 512)?,
            intermediate_size: json.size("intermediate_size", 2048)?,
            num_hidden_layers: json.layers("num_hidden_layers", 12)?,
            num_attention_heads: json.size("num_attention_heads", 8)?,
            max_position_embeddings: json.size("max_position_embeddings", 77)?,
            hidden_act: match json.text("hidden_act", "quick_gelu")? {
                "quick_gelu" => Activation::QuickGelu,
                "gelu" => Activation::Gelu,
                _ => {
                    return Err(
                        json.unsupported("hidden_act", "the activation must be quick_gelu or gelu")
                    );
                }
            },
            layer_norm_eps: json.number("layer_norm_eps", 1e-5, 1e-12..=1.0)?,
        };
        if !config
            .hidden_size
            .is_multiple_of(config.num_attention_heads)
        {
            let expected = format!("a divisor of hidden_size, {}", config.hidden_size);
            return Err(json.wrong("num_attention_heads", &expected));
        }
        if !(3..=1024).contains(&config.max_position_embeddings) {
            return Err(json.wrong(
                "max_position_embeddings",
                "from 3 (a start, a word and an end) to 1024",
            ));
        }
        Ok(config)
    }
}

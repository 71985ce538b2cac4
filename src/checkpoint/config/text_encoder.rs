//! `text_encoder/config.json`: CLIP's text model.

use super::Reader;
use crate::checkpoint::CheckpointError;
use crate::model::config::{Activation, TextEncoderConfig};

impl TextEncoderConfig {
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

//! `text_encoder/config.json`: CLIP's text model.

use super::Reader;
use super::reader::{Fate, Keys};
use crate::checkpoint::CheckpointError;
use crate::model::config::{Activation, TextEncoderConfig};

/// What does nothing once the network is trained.
const TRAINING: Fate = Fate::Harmless("it acts in training");
/// What is beside the embedding of each token, which is all that Stable Diffusion takes.
const OTHER_OUTPUT: Fate = Fate::Harmless("it acts on other outputs than the prompt embedding");
/// What the text model does not read.
const OTHER_MODELS: Fate = Fate::Harmless("transformers writes it for every kind of model");

/// The keys of `CLIPTextConfig`, and those that earlier versions of transformers wrote for every model.
const KEYS: Keys = Keys {
    class: "CLIPTextConfig",
    keys: &[
        (
            "use_attention_mask",
            Fate::Only(
                &["false", "null"],
                "a text encoder that does not look at padding is not supported",
            ),
        ),
        (
            "quantization_config",
            Fate::Only(&["null"], "quantised weights are not supported"),
        ),
        ("attention_dropout", TRAINING),
        ("dropout", TRAINING),
        ("initializer_range", TRAINING),
        ("initializer_factor", TRAINING),
        ("gradient_checkpointing", TRAINING),
        ("projection_dim", OTHER_OUTPUT),
        ("eos_token_id", OTHER_OUTPUT),
        ("bos_token_id", OTHER_OUTPUT),
        ("pad_token_id", OTHER_OUTPUT),
        ("output_hidden_states", OTHER_OUTPUT),
        ("output_attentions", OTHER_OUTPUT),
        ("return_dict", OTHER_OUTPUT),
        ("use_cache", OTHER_OUTPUT),
        (
            "torch_dtype",
            Fate::Harmless("--dtype says in what is computed"),
        ),
        ("dtype", Fate::Harmless("--dtype says in what is computed")),
        ("architectures", OTHER_MODELS),
        ("transformers_version", OTHER_MODELS),
        ("attn_implementation", OTHER_MODELS),
        ("chunk_size_feed_forward", OTHER_MODELS),
        ("is_encoder_decoder", OTHER_MODELS),
        ("is_decoder", OTHER_MODELS),
        ("add_cross_attention", OTHER_MODELS),
        ("cross_attention_hidden_size", OTHER_MODELS),
        ("tie_encoder_decoder", OTHER_MODELS),
        ("tie_word_embeddings", OTHER_MODELS),
        ("id2label", OTHER_MODELS),
        ("label2id", OTHER_MODELS),
        ("problem_type", OTHER_MODELS),
        ("finetuning_task", OTHER_MODELS),
        ("task_specific_params", OTHER_MODELS),
        ("tokenizer_class", OTHER_MODELS),
        ("prefix", OTHER_MODELS),
        ("pruned_heads", OTHER_MODELS),
        ("torchscript", OTHER_MODELS),
        ("use_bfloat16", OTHER_MODELS),
        ("tf_legacy_loss", OTHER_MODELS),
        ("auto_map", OTHER_MODELS),
        ("sep_token_id", OTHER_MODELS),
        ("decoder_start_token_id", OTHER_MODELS),
        ("max_length", OTHER_MODELS),
        ("min_length", OTHER_MODELS),
        ("do_sample", OTHER_MODELS),
        ("early_stopping", OTHER_MODELS),
        ("num_beams", OTHER_MODELS),
        ("num_beam_groups", OTHER_MODELS),
        ("diversity_penalty", OTHER_MODELS),
        ("temperature", OTHER_MODELS),
        ("top_k", OTHER_MODELS),
        ("top_p", OTHER_MODELS),
        ("typical_p", OTHER_MODELS),
        ("repetition_penalty", OTHER_MODELS),
        ("length_penalty", OTHER_MODELS),
        ("no_repeat_ngram_size", OTHER_MODELS),
        ("encoder_no_repeat_ngram_size", OTHER_MODELS),
        ("bad_words_ids", OTHER_MODELS),
        ("num_return_sequences", OTHER_MODELS),
        ("output_scores", OTHER_MODELS),
        ("return_dict_in_generate", OTHER_MODELS),
        ("forced_bos_token_id", OTHER_MODELS),
        ("forced_eos_token_id", OTHER_MODELS),
        ("remove_invalid_values", OTHER_MODELS),
        ("exponential_decay_length_penalty", OTHER_MODELS),
        ("suppress_tokens", OTHER_MODELS),
        ("begin_suppress_tokens", OTHER_MODELS),
    ],
};

impl TextEncoderConfig {
    /// Reads the file, which may be that of a whole CLIP with the text model's configuration inside it.
    pub(in crate::checkpoint) fn read(
        json: Reader,
    ) -> Result<(Self, Vec<String>), CheckpointError> {
        let json = json.nested("text_config").unwrap_or(json);
        json.refuse(&KEYS)?;
        let kind = json.text("model_type", "clip_text_model")?;
        if !["clip_text_model", "clip"].contains(&kind) {
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
                "gelu" | "gelu_python" => Activation::Gelu,
                _ => {
                    return Err(
                        json.unsupported("hidden_act", "the activation must be quick_gelu or gelu")
                    );
                }
            },
            layer_norm_eps: json.number("layer_norm_eps", 1e-5, 1e-12..=1.0)?,
        };
        config.check(&json)?;
        json.name_unknown(KEYS.class);
        Ok((config, json.notes()))
    }

    fn check(&self, json: &Reader) -> Result<(), CheckpointError> {
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let expected = format!("a divisor of hidden_size, {}", self.hidden_size);
            return Err(json.wrong("num_attention_heads", &expected));
        }
        if !(3..=1024).contains(&self.max_position_embeddings) {
            return Err(json.wrong(
                "max_position_embeddings",
                "from 3 (a start, a word and an end) to 1024",
            ));
        }
        Ok(())
    }
}

//! The tokenizer of a checkpoint: which files hold its vocabulary, and how it pads.

use super::Files;
use crate::checkpoint::{config::Reader, error::CheckpointError};
use crate::model::config::TextEncoderConfig;
use crate::model::tokenizer::ClipTokenizer;

pub const CONFIG: &str = "tokenizer/tokenizer_config.json";
/// The special tokens, where the settings do not name them.
pub const SPECIAL_TOKENS: &str = "tokenizer/special_tokens_map.json";

/// The vocabulary in two files.
pub const PAIR: [&str; 2] = ["tokenizer/vocab.json", "tokenizer/merges.txt"];
/// The vocabulary in one file, where it is not there in two.
pub const WHOLE: &str = "tokenizer/tokenizer.json";

/// Reads the tokenizer and makes sure that the text encoder has a row for every token.
pub fn read(
    files: &Files,
    text_encoder: &TextEncoderConfig,
) -> Result<ClipTokenizer, CheckpointError> {
    let paths = vocabulary(files)?;
    let settings = Settings::read(files, text_encoder)?;
    let (max_length, pad) = (settings.max_length, settings.pad_token.as_deref());
    let shown: Vec<String> = paths.iter().map(|path| files.shown_file(path)).collect();
    let file = shown.join(" and ");
    let tokenizer = match paths[..] {
        [vocab, merges] => ClipTokenizer::from_vocab_and_merges(
            &files.read(vocab)?,
            &files.read(merges)?,
            max_length,
            pad,
        ),
        _ => ClipTokenizer::from_tokenizer_json(&files.read(paths[0])?, max_length, pad),
    }
    .map_err(|source| CheckpointError::Tokenizer {
        file: file.clone(),
        source,
    })?;
    let rows = text_encoder.vocab_size;
    if tokenizer.vocab_size() > rows {
        return Err(CheckpointError::Config {
            file,
            key: "the vocabulary's largest id".to_owned(),
            found: (tokenizer.vocab_size() - 1).to_string(),
            expected: format!("less than {rows}, the text encoder's vocab_size"),
        });
    }
    Ok(tokenizer)
}

/// The vocabulary's files: `vocab.json` and `merges.txt`, or else `tokenizer.json`.
pub fn vocabulary(files: &Files) -> Result<Vec<&'static str>, CheckpointError> {
    if PAIR.iter().all(|path| files.has(path)) {
        Ok(PAIR.to_vec())
    } else if files.has(WHOLE) {
        Ok(vec![WHOLE])
    } else {
        Err(CheckpointError::Missing {
            folder: files.shown(),
            what: "the tokenizer's vocabulary is",
            looked_for: format!("{} and {}, or {WHOLE}", PAIR[0], PAIR[1]),
        })
    }
}

/// What `tokenizer_config.json` and `special_tokens_map.json` say.
struct Settings {
    max_length: usize,
    pad_token: Option<String>,
}

impl Settings {
    /// `model_max_length` is bounded by the positions that the text encoder has; absent, it is all of them. The
    /// padding token is that of the configuration, or else that of the map, or else the end token.
    fn read(files: &Files, text_encoder: &TextEncoderConfig) -> Result<Self, CheckpointError> {
        let mut settings = Self {
            max_length: text_encoder.max_position_embeddings,
            pad_token: None,
        };
        if files.has(CONFIG) {
            let json = files.json(CONFIG)?;
            // transformers writes 1e30 where no length was given.
            let length = json.number("model_max_length", f64::MAX, 3.0..=f64::MAX)?;
            settings.max_length = settings.max_length.min(length as usize);
            settings.pad_token = special_token(&json, "pad_token")?;
        }
        if settings.pad_token.is_none() && files.has(SPECIAL_TOKENS) {
            settings.pad_token = special_token(&files.json(SPECIAL_TOKENS)?, "pad_token")?;
        }
        Ok(settings)
    }
}

/// A special token, written as a text or as an object with its text in `content`.
fn special_token(json: &Reader, key: &str) -> Result<Option<String>, CheckpointError> {
    let Some(value) = json.value(key) else {
        return Ok(None);
    };
    value
        .as_str()
        .or_else(|| value.get("content")?.as_str())
        .map(|text| Some(text.to_owned()))
        .ok_or_else(|| json.wrong(key, "a token's text"))
}

//! The tokenizer of a checkpoint: which files hold its vocabulary and its rules, read as transformers' `CLIPTokenizer`
//! reads them.

mod keys;
mod settings;
mod words;

use super::Files;
use crate::checkpoint::error::CheckpointError;
use crate::model::config::TextEncoderConfig;
use crate::model::tokenizer::{ClipTokenizer, TokenizerError, Vocabulary};
use crate::text::printable;
use settings::Settings;

pub const CONFIG: &str = "tokenizer/tokenizer_config.json";
/// What older versions of transformers wrote beside the settings; where they do not list the added words, it is
/// stronger than they are.
pub const SPECIAL_TOKENS: &str = "tokenizer/special_tokens_map.json";
/// Words that were added to the vocabulary, as older versions of transformers wrote them.
pub const ADDED_TOKENS: &str = "tokenizer/added_tokens.json";

/// The vocabulary in one file.
pub const WHOLE: &str = "tokenizer/tokenizer.json";
/// The vocabulary in two files, where it is not there in one.
pub const PAIR: [&str; 2] = ["tokenizer/vocab.json", "tokenizer/merges.txt"];

/// Reads the tokenizer and makes sure that the text encoder has a row for every token.
pub fn read(
    files: &Files,
    text_encoder: &TextEncoderConfig,
) -> Result<ClipTokenizer, CheckpointError> {
    let paths = vocabulary(files)?;
    let rules = Settings::read(files)?.rules(text_encoder.max_position_embeddings)?;
    let shown: Vec<String> = paths.iter().map(|path| files.shown_file(path)).collect();
    let file = shown.join(" and ");
    let broken = |source| CheckpointError::Tokenizer {
        file: file.clone(),
        source,
    };
    let vocabulary = match paths[..] {
        [vocab, merges] => Vocabulary::from_pair(&files.read(vocab)?, &files.read(merges)?),
        _ => Vocabulary::from_tokenizer_json(&files.read(paths[0])?),
    };
    let vocabulary = vocabulary.map_err(broken)?;
    let without_added = vocabulary.ids.values().copied().max().unwrap_or(0);
    let tokenizer = ClipTokenizer::new(vocabulary, rules).map_err(|source| match source {
        // Words are from any of the files.
        TokenizerError::SameWord { .. } => CheckpointError::Tokenizer {
            file: files.shown_file("tokenizer"),
            source,
        },
        _ => broken(source),
    })?;
    let rows = text_encoder.vocab_size;
    if tokenizer.vocab_size() <= rows {
        return Ok(tokenizer);
    }
    let added = tokenizer.added().iter().next_back();
    let key = match added {
        Some((&id, word)) if id > without_added => {
            format!("the id of the added word {}", printable(word))
        }
        _ => "the vocabulary's largest id".to_owned(),
    };
    Err(CheckpointError::Config {
        file: match added {
            Some((&id, _)) if id > without_added => files.shown_file("tokenizer"),
            _ => file,
        },
        key,
        found: (tokenizer.vocab_size() - 1).to_string(),
        expected: format!(
            "less than {rows}, the text encoder's vocab_size: the text encoder has no embedding for it; save tokenizer and text encoder together, or remove the word"
        ),
    })
}

/// What stands in the settings and is passed over, since neither transformers nor this program knows it.
pub fn warnings(files: &Files) -> Vec<String> {
    Settings::read(files).map_or_else(|_| Vec::new(), |settings| settings.unknown_keys())
}

/// The vocabulary's files: `tokenizer.json`, or else `vocab.json` and `merges.txt`.
pub fn vocabulary(files: &Files) -> Result<Vec<&'static str>, CheckpointError> {
    if files.has(WHOLE) {
        Ok(vec![WHOLE])
    } else if PAIR.iter().all(|path| files.has(path)) {
        Ok(PAIR.to_vec())
    } else {
        for path in PAIR.iter().chain(&[WHOLE]) {
            files.refuse_what_is_no_file(path)?;
        }
        Err(CheckpointError::Missing {
            folder: files.shown(),
            what: "the tokenizer's vocabulary is",
            looked_for: format!("{WHOLE}, or {} and {}", PAIR[0], PAIR[1]),
        })
    }
}

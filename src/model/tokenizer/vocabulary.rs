//! The vocabulary of byte-pair encoding: pieces with their ids, and the merges that were learnt.

use std::collections::HashMap;

use serde::Deserialize;

use super::TokenizerError;
use crate::text::{printable, python_json};

const VOCABULARY: &str = "the vocabulary";
const MERGES: &str = "the list of merges";

/// Pieces and merges.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    /// The id of each piece.
    pub ids: HashMap<String, u32>,
    /// Pairs of pieces that become one, most important first.
    pub merges: Vec<(String, String)>,
}

impl Vocabulary {
    /// From the contents of `vocab.json` (pieces with their ids) and `merges.txt` (a pair of pieces on each line, most
    /// important first).
    pub fn from_pair(vocab_json: &[u8], merges_txt: &[u8]) -> Result<Self, TokenizerError> {
        let ids = python_json::from_slice(vocab_json)
            .map_err(|error| format_error(VOCABULARY, &error))?;
        let text = std::str::from_utf8(merges_txt).map_err(|error| format_error(MERGES, &error))?;
        let merges = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.starts_with("#version") && !line.is_empty())
            .map(|(number, line)| {
                split_merge(line).ok_or_else(|| {
                    format_error(MERGES, &format!("line {} is not two pieces", number + 1))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { ids, merges })
    }

    /// From the contents of `tokenizer.json`. Of its parts only the vocabulary and the merges are read here: the rules
    /// around them are CLIP's own, as in transformers' `CLIPTokenizer`.
    pub fn from_tokenizer_json(json: &[u8]) -> Result<Self, TokenizerError> {
        #[derive(Deserialize)]
        struct Document {
            model: Model,
        }
        #[derive(Deserialize)]
        struct Model {
            vocab: HashMap<String, u32>,
            merges: Vec<Merge>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Merge {
            Pair(String, String),
            Line(String),
        }
        let Document { model } =
            python_json::from_slice(json).map_err(|error| format_error(VOCABULARY, &error))?;
        let merges = model
            .merges
            .into_iter()
            .enumerate()
            .map(|(number, merge)| match merge {
                Merge::Pair(left, right) => Ok((left, right)),
                Merge::Line(line) => split_merge(&line).ok_or_else(|| {
                    format_error(MERGES, &format!("merge {} is not two pieces", number + 1))
                }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            ids: model.vocab,
            merges,
        })
    }

    /// Refuses merges of pieces, or into pieces, that are not there.
    pub(super) fn check_merges(&self) -> Result<(), TokenizerError> {
        let mut joined = String::new();
        for (left, right) in &self.merges {
            joined.clear();
            joined.push_str(left);
            joined.push_str(right);
            if let Some(lacking) = [left, right, &joined]
                .into_iter()
                .find(|piece| !self.ids.contains_key(*piece))
            {
                return Err(TokenizerError::MissingToken {
                    token: printable(lacking),
                    why: "which a merge needs".to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn split_merge(line: &str) -> Option<(String, String)> {
    let (left, right) = line.trim_end_matches('\r').split_once(' ')?;
    (!left.is_empty() && !right.is_empty() && !right.contains(' '))
        .then(|| (left.to_owned(), right.to_owned()))
}

fn format_error(what: &'static str, reason: &dyn std::fmt::Display) -> TokenizerError {
    TokenizerError::Format {
        what,
        reason: printable(&reason.to_string()),
    }
}

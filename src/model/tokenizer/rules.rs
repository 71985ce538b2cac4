//! The rules around the byte-pair encoding: CLIP's own, and what a tokenizer's files say beside them.

use std::collections::HashMap;

use tokenizers::{
    AddedToken, NormalizedString, Normalizer as _, NormalizerWrapper, PreTokenizerWrapper,
    SplitDelimiterBehavior, Tokenizer,
    models::bpe::BPE,
    normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
};

use super::TokenizerError;
use crate::text::printable;

/// The token that opens every sequence, where the checkpoint names no other.
pub const START: &str = "<|startoftext|>";
/// The token that closes every sequence, where the checkpoint names no other.
pub const END: &str = "<|endoftext|>";
/// How CLIP splits a prompt: English contractions, runs of letters, single digits, runs of anything else.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Which end of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// The end.
    #[default]
    Right,
    /// The beginning.
    Left,
}

/// What frames a prompt and what is found in it, beside the vocabulary: what a tokenizer's files say.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How many tokens a sequence has.
    pub max_length: usize,
    /// The token that opens every sequence.
    pub start: String,
    /// The token that closes every sequence.
    pub end: String,
    /// The token that fills sequences up.
    pub pad: String,
    /// The token that stands for bytes that the vocabulary lacks.
    pub unknown: Option<String>,
    /// Words that are found before all others, special tokens among them. One that the vocabulary lacks gets the next
    /// id, in this order.
    pub added: Vec<AddedToken>,
    /// Where sequences are filled up.
    pub padding_side: Side,
    /// Where prompts that are too long are cut.
    pub truncation_side: Side,
    /// Is a special token that the prompt spells out cut into pieces as any other text?
    pub split_special_tokens: bool,
}

impl Rules {
    /// Those of CLIP: its special tokens, and nothing added.
    pub fn new(max_length: usize) -> Self {
        // A special token that the prompt spells out stands for itself, in lower case only.
        let special = |token: &str| AddedToken::from(token, true);
        Self {
            max_length,
            start: START.to_owned(),
            end: END.to_owned(),
            pad: END.to_owned(),
            unknown: Some(END.to_owned()),
            added: vec![special(START), special(END)],
            padding_side: Side::Right,
            truncation_side: Side::Right,
            split_special_tokens: false,
        }
    }
}

/// CLIP's rules around the byte-pair encoding.
pub fn pipeline(model: BPE) -> tokenizers::Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(model);
    let normalizer = Normalizers::new(vec![
        NormalizerWrapper::NFC(NFC),
        NormalizerWrapper::Replace(Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ")?),
        NormalizerWrapper::Lowercase(Lowercase),
    ]);
    tokenizer.with_normalizer(Some(normalizer))?;
    let split = Split::new(
        SplitPattern::Regex(WORDS.to_owned()),
        SplitDelimiterBehavior::Removed,
        true,
    )?;
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![
        PreTokenizerWrapper::Split(split),
        PreTokenizerWrapper::ByteLevel(ByteLevel::default().add_prefix_space(false)),
    ])));
    Ok(tokenizer)
}

/// Refuses added words that are found in the prompt's normal form (composed, lower-cased) and are the same in it: which
/// of them the library finds is left to chance.
pub fn refuse_same_words(tokenizer: &Tokenizer) -> Result<(), TokenizerError> {
    let mut words: Vec<(u32, AddedToken)> =
        tokenizer.get_added_tokens_decoder().into_iter().collect();
    words.sort_unstable_by_key(|(id, _)| *id);
    let mut seen: HashMap<String, String> = HashMap::new();
    for (_, word) in words.into_iter().filter(|(_, word)| word.normalized) {
        let mut normal = NormalizedString::from(&word.content[..]);
        if let Some(normalizer) = tokenizer.get_normalizer() {
            normalizer
                .normalize(&mut normal)
                .map_err(|error| TokenizerError::Library(printable(&error.to_string())))?;
        }
        if let Some(one) = seen.insert(normal.get().to_owned(), word.content.clone()) {
            return Err(TokenizerError::SameWord {
                one: printable(&one),
                other: printable(&word.content),
            });
        }
    }
    Ok(())
}

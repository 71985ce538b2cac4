//! The tokenizer of CLIP: from a prompt to 77 numbers.
//!
//! Byte-level byte-pair encoding: the prompt is put in composed form (NFC), white space is collapsed, letters are
//! lower-cased; it is split into words, numbers and punctuation; each of those is written as bytes and joined again,
//! pair by pair, in the order in which the merges were learnt. A word's last piece carries `</w>`.
//!
//! The ids are those of transformers' `CLIPTokenizer`; the rules are its own, run by the same library.

use std::{collections::HashMap, ops::Range, sync::OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokenizers::{
    AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer,
    models::bpe::{BPE, Vocab},
    normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
};

use crate::text::printable;

/// The token that opens every sequence.
pub const START: &str = "<|startoftext|>";
/// The token that closes every sequence.
pub const END: &str = "<|endoftext|>";
/// What marks the last piece of a word.
const END_OF_WORD: &str = "</w>";

/// How CLIP splits a prompt: English contractions, runs of letters, single digits, runs of anything else.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// The start of the sequence.
    Start,
    /// A piece of the prompt; also a special token that the prompt itself spells out.
    Word,
    /// The end of the sequence.
    End,
    /// Fills the sequence up.
    Padding,
}

/// One token of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Where it stands in the sequence, from 0. A token that was cut off has the position it would have had.
    pub position: usize,
    /// Its number: the row of the token embedding.
    pub id: u32,
    /// How the vocabulary spells it: `apple</w>`, `èĭ`.
    pub piece: String,
    /// The bytes of the lower-cased prompt that it stands for; of a special token, those of its name.
    pub bytes: Vec<u8>,
    /// The bytes of the prompt, as it was typed, that it came from; always whole characters, so that several pieces
    /// of one character have the same span. `None` for a token that is not from the prompt.
    pub span: Option<Range<usize>>,
    /// What it is for.
    pub kind: TokenKind,
}

/// A prompt as the text encoder gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Start, the prompt's tokens, end, padding: always as many as the text encoder has positions, 77 in CLIP.
    pub tokens: Vec<Token>,
    /// The prompt's tokens that found no place and that the model does not see.
    pub truncated: Vec<Token>,
}

impl Tokens {
    /// The ids, one for each position.
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }

    /// The prompt's own tokens: without start, end and padding, and without what was cut off.
    pub fn content(&self) -> &[Token] {
        let first = self
            .tokens
            .partition_point(|token| token.kind == TokenKind::Start);
        let end = self
            .tokens
            .iter()
            .rposition(|token| token.kind == TokenKind::Word)
            .map_or(first, |last| last + 1);
        &self.tokens[first..end]
    }
}

/// What is wrong with a vocabulary.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file is not in its format.
    #[error("{what} is damaged: {reason}")]
    Format {
        /// The vocabulary or the merges.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The vocabulary lacks a token that is needed.
    #[error("the vocabulary has no token {token}, {why}")]
    MissingToken {
        /// The token.
        token: String,
        /// What it is needed for.
        why: String,
    },
    /// There is no room for a prompt.
    #[error("the length is {0} tokens, expected at least 3: a start, a word and an end")]
    TooShort(usize),
    /// The library failed.
    #[error("the tokenizer failed: {0}")]
    Library(String),
}

/// CLIP's tokenizer with its vocabulary.
pub struct ClipTokenizer {
    inner: Tokenizer,
    merges: Vec<(String, String)>,
    ranks: OnceLock<HashMap<String, usize>>,
    max_length: usize,
    vocab_size: usize,
    start: u32,
    end: u32,
    pad: u32,
    bytes: HashMap<char, u8>,
}

impl std::fmt::Debug for ClipTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClipTokenizer")
            .field("vocab_size", &self.vocab_size)
            .field("max_length", &self.max_length)
            .finish_non_exhaustive()
    }
}

impl ClipTokenizer {
    /// From the contents of `vocab.json` (pieces with their ids) and `merges.txt` (a pair of pieces on each line, most
    /// important first). Sequences have `max_length` tokens and are filled up with `pad_token`, or else [`END`].
    pub fn from_vocab_and_merges(
        vocab_json: &[u8],
        merges_txt: &[u8],
        max_length: usize,
        pad_token: Option<&str>,
    ) -> Result<Self, TokenizerError> {
        let vocab: HashMap<String, u32> =
            serde_json::from_slice(vocab_json).map_err(|error| format_error(VOCABULARY, &error))?;
        let text = std::str::from_utf8(merges_txt).map_err(|error| format_error(MERGES, &error))?;
        let merges = text
            .lines()
            .enumerate()
            .filter(|(number, line)| {
                let version = *number == 0 && line.starts_with("#version");
                !version && !line.is_empty()
            })
            .map(|(number, line)| {
                split_merge(line).ok_or_else(|| {
                    format_error(MERGES, &format!("line {} is not two pieces", number + 1))
                })
            })
            .collect::<Result<_, _>>()?;
        Self::new(vocab, merges, max_length, pad_token)
    }

    /// From the contents of `tokenizer.json`. Its vocabulary and merges are used; the rules are CLIP's own.
    pub fn from_tokenizer_json(
        json: &[u8],
        max_length: usize,
        pad_token: Option<&str>,
    ) -> Result<Self, TokenizerError> {
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
        let document: Document =
            serde_json::from_slice(json).map_err(|error| format_error(VOCABULARY, &error))?;
        let merges = document
            .model
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
        Self::new(document.model.vocab, merges, max_length, pad_token)
    }

    /// The tokens of a prompt.
    pub fn encode(&self, text: &str) -> Result<Tokens, TokenizerError> {
        let encoding = self
            .inner
            .encode(text, false)
            .map_err(|error| library(&*error))?;
        let ids = encoding.get_ids();
        let spans = spans(text, encoding.get_offsets());
        let mut words: Vec<Token> = ids
            .iter()
            .zip(encoding.get_tokens())
            .zip(spans)
            .enumerate()
            .map(|(index, ((&id, piece), span))| Token {
                position: index + 1,
                id,
                piece: piece.clone(),
                bytes: self.bytes_of(piece),
                span: Some(span),
                kind: TokenKind::Word,
            })
            .collect();
        let truncated = words.split_off(words.len().min(self.max_length - 2));
        let mut tokens = vec![self.special(0, self.start, TokenKind::Start)];
        tokens.append(&mut words);
        tokens.push(self.special(tokens.len(), self.end, TokenKind::End));
        while tokens.len() < self.max_length {
            tokens.push(self.special(tokens.len(), self.pad, TokenKind::Padding));
        }
        Ok(Tokens { tokens, truncated })
    }

    /// One more than the largest id: how many rows the token embedding needs.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// How many tokens a sequence has.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// How the vocabulary spells the token with this id.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a piece, spelt as in the vocabulary.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.inner.token_to_id(piece)
    }

    /// How `word` (one word, lower-cased, without white space) becomes pieces: first its single bytes, then the
    /// pieces after each merge, one pair at a time; the last entry is the result. Empty for an empty word.
    pub fn merges_of(&self, word: &str) -> Vec<Vec<String>> {
        let ranks = self.ranks.get_or_init(|| {
            let numbered = self.merges.iter().enumerate();
            numbered
                .map(|(rank, (left, right))| (format!("{left} {right}"), rank))
                .collect()
        });
        let mut spelling: HashMap<u8, char> = HashMap::new();
        spelling.extend(self.bytes.iter().map(|(&c, &byte)| (byte, c)));
        let mut pieces: Vec<String> = word
            .bytes()
            .filter_map(|byte| spelling.get(&byte))
            .map(char::to_string)
            .collect();
        let Some(last) = pieces.last_mut() else {
            return Vec::new();
        };
        last.push_str(END_OF_WORD);
        let mut steps = vec![pieces.clone()];
        while let Some((_, at)) = pieces
            .windows(2)
            .enumerate()
            .filter_map(|(at, pair)| Some((*ranks.get(&pair.join(" "))?, at)))
            .min()
        {
            let right = pieces.remove(at + 1);
            pieces[at].push_str(&right);
            steps.push(pieces.clone());
        }
        steps
    }

    fn new(
        vocab: HashMap<String, u32>,
        merges: Vec<(String, String)>,
        max_length: usize,
        pad_token: Option<&str>,
    ) -> Result<Self, TokenizerError> {
        if max_length < 3 {
            return Err(TokenizerError::TooShort(max_length));
        }
        let id = |token: &str, why: &str| {
            vocab
                .get(token)
                .copied()
                .ok_or_else(|| TokenizerError::MissingToken {
                    token: printable(token),
                    why: why.to_owned(),
                })
        };
        let start = id(START, "which opens every prompt")?;
        let end = id(END, "which closes every prompt")?;
        let pad = id(pad_token.unwrap_or(END), "which fills prompts up")?;
        let mut joined = String::new();
        for (left, right) in &merges {
            joined.clear();
            joined.push_str(left);
            joined.push_str(right);
            for token in [left, right, &joined] {
                id(token, "which a merge needs")?;
            }
        }
        let largest = vocab.values().copied().max().unwrap_or(0);
        let vocab: Vocab = vocab.into_iter().collect();
        let model = BPE::builder()
            .vocab_and_merges(vocab, merges.clone())
            .unk_token(END.to_owned())
            .continuing_subword_prefix(String::new())
            .end_of_word_suffix(END_OF_WORD.to_owned())
            .build()
            .map_err(|error| library(&*error))?;
        Ok(Self {
            inner: pipeline(model, pad_token.unwrap_or(END)).map_err(|error| library(&*error))?,
            merges,
            ranks: OnceLock::new(),
            max_length,
            vocab_size: largest as usize + 1,
            start,
            end,
            pad,
            bytes: byte_spelling(),
        })
    }

    fn special(&self, position: usize, id: u32, kind: TokenKind) -> Token {
        let piece = self.piece(id).unwrap_or_default();
        Token {
            position,
            id,
            bytes: self.bytes_of(&piece),
            piece,
            span: None,
            kind,
        }
    }

    /// The bytes that a piece, spelt as in the vocabulary, stands for; its end-of-word mark is none of them.
    pub fn bytes_of(&self, piece: &str) -> Vec<u8> {
        piece
            .strip_suffix(END_OF_WORD)
            .unwrap_or(piece)
            .chars()
            .filter_map(|c| self.bytes.get(&c).copied())
            .collect()
    }
}

const VOCABULARY: &str = "the vocabulary";
const MERGES: &str = "the list of merges";

/// CLIP's rules around the byte-pair encoding.
fn pipeline(model: BPE, pad: &str) -> tokenizers::Result<Tokenizer> {
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
    // A special token that the prompt spells out stands for itself, in lower case only.
    let special = |token: &str| AddedToken::from(token, true).normalized(false);
    tokenizer.add_special_tokens([special(START), special(END), special(pad)])?;
    Ok(tokenizer)
}

/// The prompt's bytes that each token came from, from the library's offsets: widened to whole characters, and over
/// the characters that were composed into the one before (an accent, typed as a character of its own).
fn spans(text: &str, offsets: &[(usize, usize)]) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = offsets
        .iter()
        .map(|&(start, end)| {
            text.floor_char_boundary(start)..text.ceil_char_boundary(end.max(start))
        })
        .collect();
    let mut next = text.len();
    let mut start = text.len();
    for span in spans.iter_mut().rev() {
        if span.start < start {
            next = start;
            start = span.start;
        }
        // Nothing but white space is dropped between tokens, so the rest of the gap belongs to this one.
        let gap = text.get(span.end..next).unwrap_or_default();
        span.end += gap.find(char::is_whitespace).unwrap_or(gap.len());
    }
    spans
}

/// How byte-level vocabularies spell bytes: printable ones as themselves (in Latin-1), the other 68 as the characters
/// from U+0100 on.
fn byte_spelling() -> HashMap<char, u8> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=u8::MAX).filter(|byte| !printable(byte));
    (0..=u8::MAX)
        .filter(printable)
        .map(|byte| (char::from(byte), byte))
        .chain(('\u{100}'..).zip(others))
        .collect()
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

fn library(error: &dyn std::fmt::Display) -> TokenizerError {
    TokenizerError::Library(printable(&error.to_string()))
}

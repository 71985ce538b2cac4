//! The tokenizer of CLIP: from a prompt to 77 numbers.
//!
//! Byte-level byte-pair encoding: the prompt is put in composed form (NFC), white space is collapsed, letters are
//! lower-cased; it is split into words, numbers and punctuation; each of those is written as bytes and joined again,
//! pair by pair, in the order in which the merges were learnt. A word's last piece carries `</w>`. Words that were
//! added to the vocabulary (special tokens, those of a textual inversion) are found before and are one token each.
//!
//! The ids are those of transformers' `CLIPTokenizer`; the rules are its own, run by the same library.

mod rules;
mod spans;
mod token;
mod vocabulary;

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::OnceLock,
};

pub use tokenizers::AddedToken;
use tokenizers::{
    Tokenizer,
    models::bpe::{BPE, Vocab},
};

use crate::text::printable;
pub use rules::{END, Rules, START, Side};
use spans::{Replaced, spans};
pub use token::{Token, TokenKind, Tokens};
pub use vocabulary::Vocabulary;

/// What marks the last piece of a word.
const END_OF_WORD: &str = "</w>";

/// The longest prompt, in bytes, that words of several vectors may make of a shorter one.
const LONGEST_PROMPT: usize = 4 << 20;

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
    /// Which of two added words is meant cannot be told.
    #[error(
        "the added words {one} and {other} are the same in lower case, so that which of them a prompt means is not known; remove one"
    )]
    SameWord {
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// There is no room for a prompt.
    #[error("the length is {0} tokens, expected at least 3: a start, a word and an end")]
    TooShort(usize),
    /// Words of several vectors are repeated too often.
    #[error(
        "the prompt becomes longer than {LONGEST_PROMPT} bytes where its words of several vectors are written out"
    )]
    TooLong,
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
    padding_side: Side,
    truncation_side: Side,
    vocab_size: usize,
    start: u32,
    end: u32,
    pad: u32,
    /// The words that were added to the vocabulary, by id.
    added: BTreeMap<u32, String>,
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
    /// The tokenizer of a vocabulary.
    ///
    /// # Errors
    /// A merge or a special token that the vocabulary lacks, and a length that leaves no room for a word.
    pub fn new(vocabulary: Vocabulary, rules: Rules) -> Result<Self, TokenizerError> {
        if rules.max_length < 3 {
            return Err(TokenizerError::TooShort(rules.max_length));
        }
        vocabulary.check_merges()?;
        let Vocabulary { ids, merges } = vocabulary;
        let mut largest = ids.values().copied().max().unwrap_or(0);
        let ids: Vocab = ids.into_iter().collect();
        let mut model = BPE::builder()
            .vocab_and_merges(ids, merges.clone())
            .continuing_subword_prefix(String::new())
            .end_of_word_suffix(END_OF_WORD.to_owned());
        if let Some(unknown) = rules.unknown {
            model = model.unk_token(unknown);
        }
        let model = model.build().map_err(|error| library(&*error))?;
        let mut inner = rules::pipeline(model).map_err(|error| library(&*error))?;
        inner
            .add_tokens(rules.added)
            .map_err(|error| library(&*error))?;
        rules::refuse_same_words(&inner)?;
        inner.set_encode_special_tokens(rules.split_special_tokens);
        let added: BTreeMap<u32, String> = inner
            .get_added_tokens_decoder()
            .into_iter()
            .map(|(id, token)| (id, token.content))
            .collect();
        largest = largest.max(added.keys().copied().max().unwrap_or(0));
        let id = |token: &str, why: &str| {
            inner
                .token_to_id(token)
                .ok_or_else(|| TokenizerError::MissingToken {
                    token: printable(token),
                    why: why.to_owned(),
                })
        };
        Ok(Self {
            start: id(&rules.start, "which opens every prompt")?,
            end: id(&rules.end, "which closes every prompt")?,
            pad: id(&rules.pad, "which fills prompts up")?,
            inner,
            merges,
            ranks: OnceLock::new(),
            max_length: rules.max_length,
            padding_side: rules.padding_side,
            truncation_side: rules.truncation_side,
            vocab_size: largest as usize + 1,
            added,
            bytes: byte_spelling(),
        })
    }

    /// The tokens of a prompt.
    pub fn encode(&self, text: &str) -> Result<Tokens, TokenizerError> {
        let mut words = self.words(text)?;
        let room = self.max_length - 2;
        let excess = words.len().saturating_sub(room);
        let mut truncated = match self.truncation_side {
            Side::Right => words.split_off(words.len() - excess),
            Side::Left => {
                let kept = words.split_off(excess);
                std::mem::replace(&mut words, kept)
            }
        };
        let special = |id, kind| self.special(id, kind);
        let padding = self.max_length - 2 - words.len();
        let padding =
            std::iter::repeat_with(|| special(self.pad, TokenKind::Padding)).take(padding);
        let mut tokens = Vec::with_capacity(self.max_length);
        if self.padding_side == Side::Left {
            tokens.extend(padding.clone());
        }
        tokens.push(special(self.start, TokenKind::Start));
        tokens.append(&mut words);
        tokens.push(special(self.end, TokenKind::End));
        if self.padding_side == Side::Right {
            tokens.extend(padding);
        }
        for (position, token) in tokens.iter_mut().enumerate() {
            token.position = position;
        }
        for (index, token) in truncated.iter_mut().enumerate() {
            token.position = self.max_length - 1 + index;
        }
        Ok(Tokens { tokens, truncated })
    }

    /// The prompt's own tokens, however many.
    fn words(&self, text: &str) -> Result<Vec<Token>, TokenizerError> {
        let encode = |text: &str| {
            let encoding = self.inner.encode(text, false);
            encoding.map_err(|error| library(&*error))
        };
        let mut encoding = encode(text)?;
        let offsets = |encoding: &tokenizers::Encoding| -> Vec<Range<usize>> {
            let offsets = encoding.get_offsets().iter();
            offsets.map(|&(start, end)| start..end).collect()
        };
        let spans = match self.written_out(text, encoding.get_tokens())? {
            None => spans(text, offsets(&encoding).into_iter()),
            Some(replaced) => {
                encoding = encode(&replaced.text)?;
                let offsets = offsets(&encoding).into_iter();
                spans(text, offsets.map(|range| replaced.origin(range)))
            }
        };
        let ids = encoding.get_ids().iter();
        let pieces = ids.zip(encoding.get_tokens()).zip(spans);
        Ok(pieces
            .map(|((&id, piece), span)| {
                let added = self
                    .added
                    .get(&id)
                    .filter(|_| !piece.ends_with(END_OF_WORD));
                let piece = added.unwrap_or(piece);
                Token {
                    position: 0,
                    id,
                    piece: piece.clone(),
                    added: added.is_some(),
                    bytes: self.bytes_of(piece),
                    span: Some(span),
                    kind: TokenKind::Word,
                }
            })
            .collect())
    }

    /// The prompt with each word of several vectors written out: where `<cat>_1`, `<cat>_2`… are added words beside
    /// `<cat>`, that becomes `<cat> <cat>_1 <cat>_2`. `None` where there is no such word. The rule is that of
    /// diffusers' `TextualInversionLoaderMixin.maybe_convert_prompt`.
    fn written_out(
        &self,
        text: &str,
        pieces: &[String],
    ) -> Result<Option<Replaced>, TokenizerError> {
        let is_added = |word: &str| {
            let id = self.inner.token_to_id(word);
            id.and_then(|id| self.added.get(&id))
                .is_some_and(|added| added == word)
        };
        let mut replaced = None;
        let mut seen: Vec<&str> = Vec::new();
        for piece in pieces {
            if !is_added(&format!("{piece}_1")) || !is_added(piece) || seen.contains(&&piece[..]) {
                continue;
            }
            seen.push(piece);
            let more = (1..).map(|number| format!("{piece}_{number}"));
            let vectors =
                std::iter::once(piece.clone()).chain(more.take_while(|word| is_added(word)));
            let vectors = vectors.collect::<Vec<String>>().join(" ");
            let before = replaced.unwrap_or_else(|| Replaced::new(text));
            let after = before.replace(piece, &vectors, LONGEST_PROMPT);
            replaced = Some(after.ok_or(TokenizerError::TooLong)?);
        }
        Ok(replaced)
    }

    /// One more than the largest id: how many rows the token embedding needs.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The words that were added to the vocabulary, special tokens among them, by id.
    pub fn added(&self) -> &BTreeMap<u32, String> {
        &self.added
    }

    /// The id of the token that fills prompts up.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// How many tokens a sequence has.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// How the vocabulary spells the token with this id.
    pub fn piece(&self, id: u32) -> Option<String> {
        let added = self.added.get(&id).cloned();
        added.or_else(|| self.inner.id_to_token(id))
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

    /// A token that is not from the prompt; its position is not known yet.
    fn special(&self, id: u32, kind: TokenKind) -> Token {
        let piece = self.piece(id).unwrap_or_default();
        Token {
            position: 0,
            id,
            added: false,
            bytes: self.bytes_of(&piece),
            piece,
            span: None,
            kind,
        }
    }

    /// The bytes that a piece, spelt as in the vocabulary, stands for; its end-of-word mark is none of them. An added
    /// word stands for itself.
    pub fn bytes_of(&self, piece: &str) -> Vec<u8> {
        let id = self.inner.token_to_id(piece);
        if !piece.ends_with(END_OF_WORD) && id.is_some_and(|id| self.added.contains_key(&id)) {
            return piece.as_bytes().to_vec();
        }
        piece
            .strip_suffix(END_OF_WORD)
            .unwrap_or(piece)
            .chars()
            .filter_map(|c| self.bytes.get(&c).copied())
            .collect()
    }
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

fn library(error: &dyn std::fmt::Display) -> TokenizerError {
    TokenizerError::Library(printable(&error.to_string()))
}

//! The tokens of a prompt.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::END_OF_WORD;

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
    /// How the vocabulary spells it: `apple</w>`, `èĭ`, `<cat-toy>`.
    pub piece: String,
    /// Is it a word of the prompt that was added to the vocabulary as a whole, and no product of merges? So are the words
    /// of a textual inversion, and special tokens that the prompt spells out.
    #[serde(default)]
    pub added: bool,
    /// The bytes of the lower-cased prompt that it stands for; of an added word, those of its name.
    pub bytes: Vec<u8>,
    /// The bytes of the prompt, as it was typed, that it came from; always whole characters, so that several pieces
    /// of one character have the same span. `None` for a token that is not from the prompt.
    pub span: Option<Range<usize>>,
    /// What it is for.
    pub kind: TokenKind,
}

impl Token {
    /// Does a word end with it?
    pub fn ends_word(&self) -> bool {
        self.added || self.piece.ends_with(END_OF_WORD)
    }
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
        let is_word = |token: &Token| token.kind == TokenKind::Word;
        let first = self.tokens.iter().position(is_word);
        let last = self.tokens.iter().rposition(is_word);
        match (first, last) {
            (Some(first), Some(last)) => &self.tokens[first..=last],
            _ => &[],
        }
    }
}

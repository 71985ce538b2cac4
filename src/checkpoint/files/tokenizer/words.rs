//! Words that a tokenizer's files add to the vocabulary, special tokens among them.

use serde_json::Value;

use crate::model::tokenizer::AddedToken;

/// The longest added word, in bytes.
const LONGEST: usize = 4096;

/// A token as a file names it: by its text alone, or with how it is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Named {
    Text(String),
    Word(AddedToken),
}

impl Named {
    /// From JSON: a text, or an object with the text in `content`. The error says what may stand there.
    pub fn read(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::String(text) if text.len() <= LONGEST => Ok(Self::Text(text.clone())),
            Value::Object(_) => word(value).map(Self::Word),
            _ => Err("a token's text, or an object with the text in content"),
        }
    }

    /// The text.
    pub fn content(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Word(word) => &word.content,
        }
    }

    /// The word to add. What is named by its text alone is a special token.
    pub fn into_word(self) -> AddedToken {
        match self {
            Self::Text(text) => AddedToken::from(text, true),
            Self::Word(word) => word,
        }
    }
}

/// A word with how it is to be found, as transformers writes its `AddedToken`; what is absent has the library's
/// defaults.
pub fn word(value: &Value) -> Result<AddedToken, &'static str> {
    const EXPECTED: &str = "an object with a text in content, and true or false in lstrip, rstrip, single_word, normalized and special";
    let content = value.get("content").and_then(Value::as_str);
    let content = content
        .filter(|content| content.len() <= LONGEST)
        .ok_or(EXPECTED)?;
    let flag = |key: &str, default: bool| match value.get(key) {
        None => Ok(default),
        Some(flag) => flag.as_bool().ok_or(EXPECTED),
    };
    let special = flag("special", false)?;
    Ok(AddedToken::from(content, special)
        .lstrip(flag("lstrip", false)?)
        .rstrip(flag("rstrip", false)?)
        .single_word(flag("single_word", false)?)
        .normalized(flag("normalized", !special)?))
}

//! The words of a prompt, and where they stand among its tokens.

use super::{Intervention, Request, RequestError, WordChange};
use crate::model::tokenizer::{ClipTokenizer, Token, TokenKind, Tokens};

/// A word of a prompt, and the tokens that it is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// As it was typed.
    pub text: &'a str,
    /// Its pieces, at least one.
    pub tokens: &'a [Token],
}

/// The words of the prompt `text` that the model sees. Punctuation is no word, unless it was added to the vocabulary as
/// one; the tokens of an added word of several vectors are one word.
pub fn words<'a>(text: &'a str, tokens: &'a Tokens) -> impl Iterator<Item = Word<'a>> {
    let is_one_word = |token: &Token, next: &Token| {
        !token.ends_word() || (token.added && next.added && token.span == next.span)
    };
    let pieces = tokens.content().chunk_by(is_one_word);
    pieces.filter_map(|tokens| {
        let start = tokens.first()?.span.as_ref()?.start;
        let end = tokens.last()?.span.as_ref()?.end;
        let text = text.get(start..end)?;
        let is_added = tokens.iter().any(|token| token.added);
        let is_word = is_added || text.chars().any(char::is_alphanumeric);
        is_word.then_some(Word { text, tokens })
    })
}

/// `request` with the positions of those interventions that only name a word, and every field in its range.
///
/// # Errors
/// A field out of range; an intervention whose word the prompt does not have, or the model does not see.
pub fn checked(request: Request, tokenizer: &ClipTokenizer) -> Result<Request, super::Error> {
    let request = with_positions(request, tokenizer)?;
    request.validate()?;
    Ok(request)
}

/// `request` with the positions of those interventions that only name a word.
fn with_positions(
    mut request: Request,
    tokenizer: &ClipTokenizer,
) -> Result<Request, super::Error> {
    if request.interventions.is_empty() {
        return Ok(request);
    }
    let prompt = request.prompt.clone();
    let tokens = tokenizer.encode(&prompt)?;
    let find = |word: &str, positions: &mut Vec<usize>| -> Result<(), super::Error> {
        if positions.is_empty() {
            *positions = positions_of(word, &prompt, &tokens, tokenizer)?;
        }
        Ok(())
    };
    for Intervention {
        word,
        positions,
        change,
        ..
    } in &mut request.interventions
    {
        find(word, positions)?;
        if let WordChange::Swap(other) = change {
            find(&other.word, &mut other.positions)?;
        }
    }
    Ok(request)
}

/// Every place in the prompt at which the tokens of `word` stand, which may be several words.
fn positions_of(
    word: &str,
    prompt: &str,
    tokens: &Tokens,
    tokenizer: &ClipTokenizer,
) -> Result<Vec<usize>, super::Error> {
    let wanted = tokenizer.encode(word)?;
    let wanted: Vec<u32> = wanted.content().iter().map(|token| token.id).collect();
    let found = |within: &[Token]| -> Vec<usize> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let places = within.windows(wanted.len()).filter(|place| {
            let is_word =
                |(token, id): (&Token, &u32)| token.id == *id && token.kind == TokenKind::Word;
            place.iter().zip(&wanted).all(is_word)
        });
        let mut positions: Vec<usize> = places.flatten().map(|token| token.position).collect();
        // Places may overlap.
        positions.sort_unstable();
        positions.dedup();
        positions
    };
    let positions = found(tokens.content());
    if !positions.is_empty() {
        return Ok(positions);
    }
    let word = word.to_owned();
    if !found(&tokens.truncated).is_empty() {
        return Err(RequestError::WordCutOff { word }.into());
    }
    let mut names: Vec<&str> = Vec::new();
    for word in words(prompt, tokens) {
        if !names.contains(&word.text) {
            names.push(word.text);
        }
    }
    let words = names.join(", ");
    Err(RequestError::NoSuchWord { word, words }.into())
}

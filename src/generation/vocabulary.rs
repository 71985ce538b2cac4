//! What only the model knows of a text: how its words were merged, and which tokens of the whole vocabulary lie
//! nearest.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{DType, Tensor};

use super::pipeline::has_no_embedding;
use super::{Error, Pipeline};
use crate::model::tokenizer::{ClipTokenizer, Token, TokenKind, Tokens};

/// Nearest tokens that are kept for each token.
const NEAREST: usize = 16;
/// Rows of the table of embeddings that are compared at a time: bounds the memory for it.
const ROWS_AT_ONCE: usize = 4096;

/// What the vocabulary says of a request's two texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    /// The prompt's words.
    pub prompt: Vec<MergedWord>,
    /// The negative prompt's words.
    pub negative_prompt: Vec<MergedWord>,
    /// The nearest tokens of those of the prompt.
    pub nearest: NearestTokens,
}

/// A word and how it was merged.
#[derive(Debug, Clone, PartialEq)]
pub struct MergedWord {
    /// Its positions. They can reach beyond the last one, where a word was cut off.
    pub positions: Range<usize>,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// From single bytes to the result, one merge at a time; empty for a word that was added to the vocabulary.
    pub steps: Vec<MergeStep>,
}

/// A word's pieces at one moment of its merging.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeStep {
    /// How many bytes each piece has.
    pub lengths: Vec<usize>,
    /// Which piece was just joined; `None` at the beginning.
    pub joined: Option<usize>,
    /// That piece's id.
    pub id: Option<u32>,
}

/// The nearest tokens of the prompt's tokens in the whole vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct NearestTokens {
    /// For each id of the prompt (without those the model never saw): other tokens, the most alike first.
    pub of: BTreeMap<u32, Vec<Neighbour>>,
    /// Tokens that the model has an embedding for: rows that are not zero.
    pub known: usize,
    /// Rows of the table.
    pub rows: usize,
}

/// A token of the vocabulary, near to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbour {
    /// Its id.
    pub id: u32,
    /// Its spelling in the vocabulary.
    pub piece: String,
    /// The bytes that it stands for.
    pub bytes: Vec<u8>,
    /// Cosine of the angle between the two embeddings.
    pub cosine: f32,
}

impl Pipeline {
    /// What the vocabulary says of a prompt and a negative prompt.
    ///
    /// # Errors
    /// Where the device cannot compare the embeddings.
    pub fn vocabulary(
        &self,
        prompt: &Tokens,
        negative_prompt: &Tokens,
    ) -> Result<Vocabulary, Error> {
        Ok(Vocabulary {
            prompt: merged_words(self.tokenizer(), prompt),
            negative_prompt: merged_words(self.tokenizer(), negative_prompt),
            nearest: nearest_tokens(self, &prompt.ids())?,
        })
    }
}

/// The cosine of the angle between two vectors; `NaN` where one is zero.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y));
        products.sum()
    };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 {
        dot(a, b) / norms
    } else {
        f64::NAN
    }
}

/// The words of a text: tokens up to one that ends a word belong together.
fn merged_words(tokenizer: &ClipTokenizer, tokens: &Tokens) -> Vec<MergedWord> {
    let pieces = tokens.content().iter().chain(&tokens.truncated);
    let mut found = Vec::new();
    let mut open: Vec<&Token> = Vec::new();
    for token in pieces.filter(|token| token.kind == TokenKind::Word) {
        open.push(token);
        if token.ends_word() {
            found.push(merged_word(tokenizer, &open, token.added));
            open.clear();
        }
    }
    found
}

fn merged_word(tokenizer: &ClipTokenizer, tokens: &[&Token], added: bool) -> MergedWord {
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token.bytes.clone())
        .collect();
    let first = tokens.first().map_or(0, |token| token.position);
    let text = std::str::from_utf8(&bytes).ok().filter(|_| !added);
    let merges = text.map_or_else(Vec::new, |text| tokenizer.merges_of(text));
    let mut steps: Vec<MergeStep> = Vec::with_capacity(merges.len());
    for pieces in &merges {
        let lengths: Vec<usize> = pieces
            .iter()
            .map(|piece| tokenizer.bytes_of(piece).len())
            .collect();
        let joined = steps.last().and_then(|before: &MergeStep| {
            let same = before.lengths.iter().zip(&lengths);
            same.take_while(|(before, now)| before == now)
                .count()
                .into()
        });
        let id = joined
            .and_then(|joined| pieces.get(joined))
            .and_then(|piece| tokenizer.id(piece));
        steps.push(MergeStep {
            lengths,
            joined,
            id,
        });
    }
    MergedWord {
        positions: first..first + tokens.len(),
        bytes,
        steps,
    }
}

/// The nearest tokens of the tokens with these ids, in the whole table of embeddings; those without an embedding are
/// left out on both sides.
fn nearest_tokens(pipeline: &Pipeline, ids: &[u32]) -> Result<NearestTokens, Error> {
    let tokenizer = pipeline.tokenizer();
    let found = nearest_rows(pipeline.token_embeddings(), ids, NEAREST)?;
    let of = found.of.into_iter().map(|(id, rows)| {
        let rows = rows.into_iter().map(|(id, cosine)| {
            let piece = tokenizer.piece(id).unwrap_or_default();
            Neighbour {
                id,
                bytes: tokenizer.bytes_of(&piece),
                piece,
                cosine,
            }
        });
        (id, rows.collect())
    });
    Ok(NearestTokens {
        of: of.collect(),
        known: found.known,
        rows: found.rows,
    })
}

struct Found {
    of: BTreeMap<u32, Vec<(u32, f32)>>,
    known: usize,
    rows: usize,
}

/// For each of `ids` the `most` rows of `table`, `(vocabulary, hidden)`, with the largest cosine to its own, itself
/// left out; rows of zeros have no direction and are left out.
fn nearest_rows(table: &Tensor, ids: &[u32], most: usize) -> candle_core::Result<Found> {
    let rows = table.dim(0)?;
    let mut wanted: Vec<u32> = ids
        .iter()
        .copied()
        .filter(|&id| (id as usize) < rows)
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    let unseen = has_no_embedding(table, &wanted)?;
    let mut keep = unseen.iter().map(|unseen| !unseen);
    wanted.retain(|_| keep.next().unwrap_or(false));
    let mut best: Vec<Vec<(u32, f32)>> = vec![Vec::new(); wanted.len()];
    let mut known = 0;
    let unit = |part: &Tensor| -> candle_core::Result<(Tensor, Vec<f32>)> {
        let part = part.to_dtype(DType::F32)?;
        let norms = part.sqr()?.sum_keepdim(1)?.sqrt()?;
        let lengths = norms.flatten_all()?.to_vec1::<f32>()?;
        Ok((
            part.broadcast_div(&norms.maximum(f32::MIN_POSITIVE)?)?,
            lengths,
        ))
    };
    let selected = if wanted.is_empty() {
        None
    } else {
        let index = Tensor::new(wanted.as_slice(), table.device())?;
        Some(unit(&table.index_select(&index, 0)?)?.0)
    };
    for start in (0..rows).step_by(ROWS_AT_ONCE) {
        let count = ROWS_AT_ONCE.min(rows - start);
        let (part, lengths) = unit(&table.narrow(0, start, count)?)?;
        known += lengths.iter().filter(|&&length| length > 0.0).count();
        let Some(selected) = &selected else { continue };
        let cosines = selected.matmul(&part.t()?)?.to_vec2::<f32>()?;
        for ((best, cosines), &own) in best.iter_mut().zip(cosines).zip(&wanted) {
            let rows = cosines.into_iter().zip(&lengths).enumerate();
            best.extend(rows.filter_map(|(row, (cosine, &length))| {
                let id = (start + row) as u32;
                (length > 0.0 && id != own && cosine.is_finite()).then_some((id, cosine))
            }));
            best.sort_by(|a, b| b.1.total_cmp(&a.1));
            best.truncate(most);
        }
    }
    Ok(Found {
        of: wanted.into_iter().zip(best).collect(),
        known,
        rows,
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_nearest_rows_are_those_with_the_largest_cosine() {
        let rows: [[f32; 2]; 5] = [[1.0, 0.0], [0.0, 0.0], [3.0, 3.0], [-2.0, 0.0], [5.0, 0.5]];
        let table = Tensor::new(&rows, &Device::Cpu).unwrap();
        let found = nearest_rows(&table, &[0, 1, 0, 99], 2).unwrap();
        assert_eq!(
            (found.known, found.rows),
            (4, 5),
            "a row of zeros is not known"
        );
        assert_eq!(found.of.len(), 1, "no neighbours of what has no direction");
        let ids: Vec<u32> = found.of[&0].iter().map(|&(id, _)| id).collect();
        assert_eq!(ids, [4, 2]);
        assert!((found.of[&0][1].1 - 0.5_f32.sqrt()).abs() < 1e-6);
    }
}

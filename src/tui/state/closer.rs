//! What a closer look at the attention of a step shows: every head in a figure, a row of self-attention, one product by
//! hand.

use super::cursor::{Cursor, Measure};
use super::run::Run;
use crate::model::tokenizer::{Token, TokenKind};
use crate::trace::{AttentionKind, Components, Guidance, HeadSummary, Projections, Row};
use crate::tui::worker::{Look, LookKey, Looked};

/// The tokens that are attended to in a half of guidance: the prompt's, or the negative prompt's.
pub fn tokens(run: &Run, half: Guidance) -> &[Token] {
    match (half, &run.trace.tokens) {
        (Guidance::Uncond, Some(tokens)) => &tokens.negative_prompt.tokens,
        _ => run.tokens(),
    }
}

fn at(cursor: &Cursor, step: usize, look: Look) -> LookKey {
    LookKey {
        step,
        half: cursor.attention.half,
        look,
    }
}

/// Every head of `step`, layer by layer; none where it was not looked at.
pub fn heads<'a>(run: &'a Run, cursor: &Cursor, step: usize) -> Option<&'a [HeadSummary]> {
    match run.looked.get(at(cursor, step, Look::Heads))? {
        Looked::Heads(heads) => Some(heads),
        _ => None,
    }
}

/// What `measure` says of a layer's `head`, or of the mean of its heads: bits, or a share from 0 to 1.
pub fn figure(
    layer: &HeadSummary,
    head: Option<usize>,
    measure: Measure,
    (token, tokens): (usize, &[Token]),
) -> Option<f64> {
    let of_kind = |kind| {
        let all = tokens.iter().filter(|token| token.kind == kind);
        let shares: Option<Vec<f64>> = all.map(|token| layer.share(head, token.position)).collect();
        Some(shares?.iter().sum())
    };
    match measure {
        Measure::Entropy => layer.bits(head),
        Measure::Token => layer.share(head, token),
        Measure::Start => of_kind(TokenKind::Start),
        Measure::End => of_kind(TokenKind::End),
        Measure::Padding => of_kind(TokenKind::Padding),
    }
}

/// Queries and keys of the self-attention at the cursor; none where they are not there yet.
pub fn projections<'a>(run: &'a Run, cursor: &Cursor) -> Option<&'a [Projections]> {
    let look = Look::Projections(AttentionKind::Own, cursor.attention.layer);
    match run.looked.get(at(cursor, cursor.step, look))? {
        Looked::Projections(layers) => Some(layers),
        _ => None,
    }
}

/// What belongs together in that self-attention.
pub fn components<'a>(run: &'a Run, cursor: &Cursor) -> Option<&'a Components> {
    let (layer, head) = (cursor.attention.layer, cursor.attention.head);
    let look = Look::Components { layer, head };
    match run.looked.get(at(cursor, cursor.step, look))? {
        Looked::Components(found) => found.as_ref(),
        _ => None,
    }
}

/// Where `place` of layers of one size looks: the probability of each place, `(height, width)`, mean over the layers, of
/// `head` or of the mean of all.
pub fn row(layers: &[Projections], head: Option<usize>, place: usize) -> Vec<f32> {
    let Some(first) = layers.first() else {
        return Vec::new();
    };
    let mut mean = vec![0.0; first.places()];
    for layer in layers {
        for (mean, value) in mean.iter_mut().zip(layer.probabilities(head, place)) {
            *mean += value / layers.len() as f64;
        }
    }
    mean.into_iter().map(|value| value as f32).collect()
}

/// How a row is spread over a map `width` places wide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// What the place gives to itself.
    pub own: f64,
    /// What it gives to the places around it, eight unless it lies at the border.
    pub around: f64,
    /// Entropy in bits, and the most that it could be.
    pub bits: f64,
    pub most: f64,
}

impl Spread {
    /// Of the row of `place`.
    pub fn of(row: &[f32], place: usize, width: usize) -> Self {
        let width = width.max(1);
        let (down, across) = (place / width, place % width);
        let mut spread = Self {
            own: 0.0,
            around: 0.0,
            bits: 0.0,
            most: (row.len().max(1) as f64).log2(),
        };
        for (index, &value) in row.iter().enumerate() {
            let value = f64::from(value);
            let is_near =
                (index / width).abs_diff(down) <= 1 && (index % width).abs_diff(across) <= 1;
            if index == place {
                spread.own = value;
            } else if is_near {
                spread.around += value;
            }
            if value > 0.0 {
                spread.bits -= value * value.log2();
            }
        }
        spread
    }
}

/// Cross-attention of one head, at one place, worked out in f64 from the network's own numbers.
#[derive(Debug, Clone)]
pub struct ByHand<'a> {
    pub layer: &'a Projections,
    pub head: usize,
    /// Row-major in the layer's feature map.
    pub place: usize,
    pub row: Row,
    /// What the network goes on with: the row's probabilities, or what the request's weights and swaps make of them.
    pub shares: Vec<f64>,
    /// Does the request change them?
    pub is_changed: bool,
}

impl<'a> ByHand<'a> {
    /// At the cursor; none where queries and keys are not there yet.
    pub fn at(run: &'a Run, cursor: &Cursor) -> Option<Self> {
        let (layer, head) = cursor.attention.by_hand();
        let look = Look::Projections(AttentionKind::Text, Some(layer));
        let Looked::Projections(layers) = run.looked.get(at(cursor, cursor.step, look))? else {
            return None;
        };
        let layer = layers.first()?;
        let place = layer.place_at(cursor.attention.place);
        let row = layer.row(head, place);
        let request = run.trace.request_at(cursor.step);
        let changes = request.interventions.iter();
        let changes: Vec<_> = changes
            .filter(|change| change.changes_attention_at(cursor.step))
            .collect();
        let mut shares = row.probabilities.clone();
        let is_changed = cursor.attention.half == Guidance::Cond && !changes.is_empty();
        if is_changed {
            let mut narrow: Vec<f32> = shares.iter().map(|&share| share as f32).collect();
            for change in changes {
                change.apply(&mut narrow);
            }
            shares = narrow.into_iter().map(f64::from).collect();
        }
        Some(Self {
            layer,
            head,
            place,
            row,
            shares,
            is_changed,
        })
    }

    /// What `token` brings: its share times its value, a number for each of the head's features.
    pub fn brought(&self, token: usize) -> Vec<f64> {
        let share = self.shares.get(token).copied().unwrap_or(0.0);
        let value = self.layer.value_of(self.head, token);
        value
            .iter()
            .map(|&value| share * f64::from(value))
            .collect()
    }

    /// What all tokens bring together: the head's output at this place.
    pub fn whole(&self) -> Vec<f64> {
        let mut sum = vec![0.0; self.layer.size()];
        for token in 0..self.layer.keys() {
            for (sum, value) in sum.iter_mut().zip(self.brought(token)) {
                *sum += value;
            }
        }
        sum
    }
}

/// The root of the mean square.
pub fn rms(values: &[f64]) -> f64 {
    let squares: f64 = values.iter().map(|value| value * value).sum();
    (squares / values.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_spread_over_itself_its_neighbours_and_the_rest() {
        // 3x3, the middle: itself a half, one neighbour a half.
        let mut row = [0.0; 9];
        (row[4], row[0]) = (0.5, 0.5);
        let spread = Spread::of(&row, 4, 3);
        assert!((spread.own - 0.5).abs() < 1e-9 && (spread.around - 0.5).abs() < 1e-9);
        assert!((spread.bits - 1.0).abs() < 1e-9);
        // The end of one line and the beginning of the next are no neighbours.
        let mut row = [0.0; 12];
        row[4] = 1.0;
        assert!(Spread::of(&row, 3, 4).around < 1e-9);
    }
}

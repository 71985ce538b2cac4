//! What a token's id stands for: its row of the embedding table, and the words whose rows lie nearest to it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, fitting_of, line, matrix, neighbours, top};
use crate::model::tokenizer::{Token, TokenKind};
use crate::tui::ui::context::RunContext;
use crate::tui::ui::widgets::heat_map::{Scale, legend};
use crate::tui::ui::widgets::{histogram::Histogram, token_strip};

/// Rows of the nearest words, with their title.
const NEAREST: u16 = 17;

/// The words whose vectors lie nearest to the selected token's: what its id stands for.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext, token: &Token) {
    let Some(vocabulary) = ctx.run.vocabulary.as_deref() else {
        return;
    };
    if area.height < 6 || token.kind != TokenKind::Word {
        return;
    }
    let name = token_strip::label(token, ctx.language);
    let forms = ctx.say([
        [
            format!("vectors like that of {name}"),
            format!("vectors like {name}"),
        ],
        [
            format!("与 {name} 的向量相近的"),
            format!("与 {name} 相近的"),
        ],
    ]);
    let title = fitting_of(&forms, area.width);
    let area = line(buffer, area, title, ctx.theme.title());
    let near = top(area, NEAREST);
    neighbours::draw_nearest(buffer, near, ctx, (token.id, vocabulary), true);
    draw_vector(buffer, below(area, NEAREST + 1), ctx, token);
}

/// The numbers of the row of the embedding table that the selected token's id picks, and how they are distributed.
fn draw_vector(buffer: &mut Buffer, area: Rect, ctx: &RunContext, token: &Token) {
    let id = |other: &&Token| other.id == token.id;
    let position = ctx.run.tokens().iter().find(id).map(|token| token.position);
    let table = ctx.run.text_tensor("token_embedding");
    let (Some(table), Some(position)) = (table, position) else {
        return;
    };
    let vector = table.row(position);
    if area.height < 10 || area.width < 16 || vector.is_empty() {
        return;
    }
    let (id, length) = (token.id, vector.len());
    let title = ctx.say([
        format!("its vector: {length} numbers, row {id} of the table"),
        format!("它的向量：{length} 个数，表的第 {id} 行"),
    ]);
    let mut area = line(buffer, area, &title, ctx.theme.title());
    let scale = Scale::signed(vector.iter().copied());
    // As many rows as leave half of the place for the distribution; a cell may stand for several numbers.
    let most = usize::from(area.height / 2);
    let rows = vector.len().div_ceil(area.width.into()).min(most);
    for numbers in vector.chunks(vector.len().div_ceil(rows)) {
        matrix::vector(buffer, top(area, 1), numbers, scale, ctx);
        area = below(area, 1);
    }
    legend(buffer, top(area, 1), scale, "", ctx.theme);
    Histogram {
        values: vector,
        range: (scale.low, scale.high),
        normal: false,
    }
    .draw(buffer, top(below(area, 2), 10), ctx.theme);
}

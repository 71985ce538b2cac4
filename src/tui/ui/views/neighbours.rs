//! Words with vectors like a token's: of this prompt, and of the whole vocabulary.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{fitting, line, split};
use crate::generation::{Neighbour, Vocabulary, cosine};
use crate::model::tokenizer::{Token, TokenKind};
use crate::trace::TensorData;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::widgets::{bars, token_strip};

/// The prompt's other tokens with their cosines, the most alike first.
pub fn alike(ctx: &RunContext, embedding: &TensorData) -> Vec<(String, f64)> {
    let token = ctx.cursor.token;
    let selected = embedding.row(token);
    let is_other = |other: &&Token| other.kind != TokenKind::Padding && other.position != token;
    let others = ctx.run.tokens().iter().filter(is_other).map(|other| {
        let cosine = cosine(selected, embedding.row(other.position));
        (token_strip::word(other, ctx.language), cosine)
    });
    let mut others: Vec<_> = others.filter(|(_, cosine)| cosine.is_finite()).collect();
    others.sort_by(|a, b| b.1.total_cmp(&a.1));
    others
}

/// The nearest words of the whole vocabulary; beside them, where there is room, those of this prompt.
pub fn draw_both(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    id: u32,
    in_prompt: &[(String, f64)],
) {
    let Some(vocabulary) = ctx.run.vocabulary.as_deref() else {
        draw_alike(buffer, area, ctx, in_prompt);
        return;
    };
    let both = area.width >= 52;
    let width = if both { area.width * 3 / 5 } else { area.width };
    let (left, right) = split(area, width.saturating_sub(2), 3);
    draw_nearest(buffer, left, ctx, (id, vocabulary), both);
    if both {
        draw_alike(buffer, right, ctx, in_prompt);
    }
}

/// The words of the whole vocabulary that lie nearest to the token `id`; `in_full` says what was searched.
pub fn draw_nearest(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    (id, vocabulary): (u32, &Vocabulary),
    in_full: bool,
) {
    let nearest = &vocabulary.nearest;
    let known = nearest.known;
    let short = ctx.say([
        format!("nearest of {known} words"),
        format!("最近的词（共 {known} 个）"),
    ]);
    let long = ctx.say([
        format!("nearest of the {known} it has learnt"),
        format!("最近的词（在它学过的 {known} 个中）"),
    ]);
    let title = if nearest.known == nearest.rows || !in_full {
        short.as_str()
    } else {
        fitting(&[&long, &short], area.width)
    };
    let rows = nearest.of.get(&id).into_iter().flatten();
    let rows = rows.map(|neighbour: &Neighbour| {
        let name = token_strip::piece(&neighbour.piece, &neighbour.bytes);
        (name, f64::from(neighbour.cosine))
    });
    let rows: Vec<(String, f64)> = rows.collect();
    if rows.is_empty() {
        let rest = line(buffer, area, title, ctx.theme.muted());
        let none = ctx.say(["none: it has no vector", "没有：它没有向量"]);
        line(buffer, rest, none, ctx.theme.warning());
    } else {
        draw_list(buffer, area, ctx, title, &rows);
    }
}

pub fn draw_alike(buffer: &mut Buffer, area: Rect, ctx: &RunContext, in_prompt: &[(String, f64)]) {
    let title = ctx.say(if ctx.recorded {
        [
            "in this prompt (a recording has no vocabulary to search)",
            "在这句提示词里（记录里没有词表可搜索）",
        ]
    } else {
        ["in this prompt", "在这句提示词里"]
    });
    draw_list(buffer, area, ctx, title, in_prompt);
}

/// Words and their cosines, in as many columns as the place is wide and the rows are short of.
fn draw_list(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    title: &str,
    rows: &[(String, f64)],
) {
    const NAME: usize = 12;
    const PART: usize = NAME + 8;
    let theme = ctx.theme;
    let area = line(buffer, area, title, theme.muted());
    let height = usize::from(area.height);
    if height == 0 || area.width == 0 {
        return;
    }
    let most = (usize::from(area.width) / PART).max(1);
    let columns = rows.len().div_ceil(height).clamp(1, most);
    let most = if columns == 1 { 12 } else { 0 };
    let bar = usize::from(area.width).saturating_sub(PART + 1).min(most);
    for (index, (name, cosine)) in rows.iter().take(columns * height).enumerate() {
        let x = area.x + ((index / height) * PART) as u16;
        let y = area.y + (index % height) as u16;
        let room = usize::from(area.right().saturating_sub(x));
        let words = format!("{} {:>6} ", text::fit(name, NAME), text::fixed(*cosine, 3));
        let (x, _) = buffer.set_stringn(x, y, words, room, theme.text());
        buffer.set_stringn(x, y, bars::share(*cosine, bar), bar, theme.muted());
    }
}

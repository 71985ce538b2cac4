//! What tall screens have room for: every head of the layer side by side, and every layer's movement of every token.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{NAMES, State, heads_of, movement, without_padding};
use crate::trace::TensorData;
use crate::tui::state::in_words;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{below, columns, line, matrix, right_of, scroll, split, top};
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale, legend};

/// The least rows that both need, and the least columns of one head's map.
pub const ROWS: u16 = 9;
const MAP: u16 = 12;
/// Columns of a number of the movement.
const NUMBER: usize = 7;

pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    state: &State,
    states: &[(String, TensorData)],
) {
    let (left, right) = split(area, area.width * 3 / 5, 3);
    match heads_of(ctx.run, state.name) {
        Some(heads) => {
            draw_heads(buffer, left, ctx, heads);
            draw_movements(buffer, right, ctx, state, states);
        }
        None => draw_movements(buffer, area, ctx, state, states),
    }
}

/// The attention of every head, `(heads, 77, 77)`, as far as the words go: rows attend to columns.
fn draw_heads(buffer: &mut Buffer, area: Rect, ctx: &RunContext, heads: &TensorData) {
    let theme = ctx.theme;
    let [count, _, keys] = heads.shape[..] else {
        return;
    };
    let words = without_padding(ctx).min(keys);
    let title = ctx.say(["every head: row attends to column", "每个头：行关注列"]);
    let area = line(buffer, area, title, theme.title());
    let across = (count as u16).min((area.width + 2) / (MAP + 2)).max(1);
    let selected = ctx.cursor.detail.text_head;
    let first = scroll(selected.unwrap_or(0), count, across.into());
    let scale = Scale::magnitudes([1.0]);
    let mut used = 0;
    for (index, place) in columns(area, across, 2).into_iter().enumerate() {
        let head = first + index;
        let style = theme.accent_if(selected == Some(head), theme.muted());
        let name = ctx.say([format!("head {head}"), format!("头 {head}")]);
        let place = line(buffer, place, &name, style);
        let plane = heads.plane(head);
        let rows = plane.chunks(keys).take(words);
        let values: Vec<f32> = rows
            .flat_map(|row| row.iter().take(words).copied())
            .collect();
        let map = HeatMap::new(&values, (words, words), scale);
        let place = top(place, place.height.saturating_sub(1));
        used = used.max(map.draw(buffer, place, theme).height + 1);
    }
    let note = ctx.say(match count - usize::from(across) {
        0 => ["one scale for all", "共用一个色标"].map(str::to_owned),
        _ => [
            format!("one scale; {across} of {count} heads"),
            format!("共用色标；{count} 个头中的 {across} 个"),
        ],
    });
    legend(buffer, top(below(area, used), 1), scale, &note, theme);
}

/// How far each layer moved each token: 1 − cosine of its vector before and after.
fn draw_movements(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    state: &State,
    states: &[(String, TensorData)],
) {
    let theme = ctx.theme;
    let title = ctx.say([
        "moved by each layer: 1 − cosine",
        "每一层带来的变化：1 − 余弦",
    ]);
    let area = line(buffer, area, title, theme.title());
    let layers = states.len().saturating_sub(1);
    let shown = (usize::from(area.width).saturating_sub(NAMES) / NUMBER).min(layers);
    let selected = states.iter().position(|(name, _)| name == state.name);
    let first = scroll(selected.unwrap_or(0).saturating_sub(1), layers, shown) + 1;
    for (index, (name, _)) in states.iter().skip(first).take(shown).enumerate() {
        let place = right_of(area, area.x + (NAMES + index * NUMBER) as u16);
        let number = name.strip_prefix("layer ").map(str::to_owned);
        let name = number.unwrap_or_else(|| in_words::text_state(name, ctx.language));
        let style = theme.accent_if(selected == Some(first + index), theme.muted());
        let name = text::truncate(&name, NUMBER - 1);
        line(buffer, place, &text::right(&name, NUMBER - 1), style);
    }
    let count = without_padding(ctx);
    let rows = usize::from(area.height.saturating_sub(2)).min(count);
    let first_row = scroll(ctx.cursor.token, count, rows);
    let moved = |layer: usize, row| movement(&states[layer - 1].1, &states[layer].1, row);
    let of_layers = (first..first + shown).map(|layer| (0..count).map(move |row| (layer, row)));
    let all = of_layers
        .flatten()
        .map(|(layer, row)| moved(layer, row) as f32);
    let scale = Scale::magnitudes(all);
    for (index, row) in (first_row..first_row + rows).enumerate() {
        let y = area.y + 1 + index as u16;
        let style = theme.accent_if(row == ctx.cursor.token, theme.text());
        let name = text::fit(&ctx.word(row), NAMES);
        buffer.set_stringn(area.x, y, name, usize::from(area.width), style);
        for index in 0..shown {
            let x = area.x + (NAMES + index * NUMBER) as u16;
            let value = moved(first + index, row) as f32;
            matrix::cell(buffer, (x, y), NUMBER, value, scale, ctx);
        }
    }
    let place = top(below(area, 1 + rows as u16), 1);
    let note = ctx.say(match layers - shown {
        0 => ["one scale for all", "共用一个色标"].map(str::to_owned),
        _ => [
            format!("one scale; {shown} of {layers} layers"),
            format!("共用色标；{layers} 层中的 {shown} 层"),
        ],
    });
    legend(buffer, place, scale, &note, theme);
}

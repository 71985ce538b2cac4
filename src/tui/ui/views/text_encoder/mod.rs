//! The text encoder, layer by layer: how far each token moved, whom any head of it attended to, its vector before and
//! after, and what is the same for every prompt.

mod comparisons;
mod overview;
mod table;
mod vectors;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{DRAWN, below, line, split, strip, top};
use crate::generation::cosine;
use crate::model::tokenizer::{Token, TokenKind};
use crate::trace::TensorData;
use crate::tui::state::in_words;
use crate::tui::state::run::Run;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::tabs;

/// Columns of a token's name.
const NAMES: usize = 11;
/// Rows of the vectors and of what stands beside them, where there is room for more.
const VECTORS: u16 = 15;
/// The least columns for the panel at the right of the vectors.
const WIDE: u16 = 90;

struct State<'a> {
    name: &'a str,
    before: Option<&'a TensorData>,
    vectors: &'a TensorData,
}

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    let states = ctx.run.text_states();
    if states.is_empty() {
        return None;
    }
    let roomy = area.height > 24;
    let area = strip(buffer, area, ctx);
    let selected = ctx.cursor.text_layer.min(states.len() - 1);
    let area = draw_states(buffer, area, ctx, &states, selected);
    let state = State {
        name: &states[selected].0,
        before: selected.checked_sub(1).map(|before| &states[before].1),
        vectors: &states[selected].1,
    };
    let area = draw_heads(buffer, area, ctx, &state);
    let area = below(area, u16::from(roomy));
    let least_below = if roomy { 13 } else { 5 };
    let place = top(area, area.height.saturating_sub(least_below).max(4));
    let used = table::draw(buffer, place, ctx, &state);
    let area = below(area, used + u16::from(area.height > used + 8));
    // The vectors need no more than so many rows; what is left is for what one has to scroll through elsewhere.
    let (area, rest) = if area.height >= VECTORS + 1 + overview::ROWS {
        (top(area, VECTORS), below(area, VECTORS + 1))
    } else {
        (area, below(area, area.height))
    };
    if rest.height > 0 {
        overview::draw(buffer, rest, ctx, &state, &states);
    }
    if area.width >= WIDE && area.height >= 8 {
        let width = area.width * 3 / 5;
        let (left, right) = split(area, width, 3);
        vectors::draw(buffer, left, ctx, &state);
        let right = comparisons::draw_looks_at(buffer, right, ctx, &state);
        comparisons::draw_start(buffer, right, ctx);
    } else {
        let rows = area.height.saturating_sub(1);
        vectors::draw(buffer, top(area, rows), ctx, &state);
        if area.height > 0 {
            comparisons::draw_start(buffer, below(area, rows), ctx);
        }
    }
    DRAWN
}

/// The states in a row, from input to output; beneath them, where there is room, how far the selected token moved.
fn draw_states(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    states: &[(String, TensorData)],
    selected: usize,
) -> Rect {
    let theme = ctx.theme;
    let with_moves = area.height > 20;
    let (names, gap) = names_of(states, ctx, area.width.into(), with_moves);
    let first = first_shown(&names, gap, selected, area.width.into());
    let room = |x: u16| usize::from(area.right().saturating_sub(x));
    let mut x = area.x;
    for (index, name) in names.iter().enumerate().skip(first) {
        if room(x) == 0 {
            break;
        }
        let (style, quiet) = if index == selected {
            (theme.selected(), theme.accent())
        } else {
            (theme.text(), theme.muted())
        };
        let (end, _) = buffer.set_stringn(x, area.y, name, room(x), style);
        if with_moves && let Some(before) = index.checked_sub(1) {
            let (before, after) = (&states[before].1, &states[index].1);
            let moved = movement(before, after, ctx.cursor.token);
            let caption = format!(" {}", text::fixed(moved, 2));
            let columns = room(x).min(text::width(name));
            buffer.set_stringn(x, area.y + 1, caption, columns, quiet);
        }
        x = end;
        if index + 1 < names.len() {
            (x, _) = buffer.set_stringn(x, area.y, gap, room(x), theme.muted());
        }
    }
    let caption = ctx.say(["moved by", "变化"]);
    if with_moves && room(x + 2) > text::width(caption) {
        buffer.set_string(x + 2, area.y + 1, caption, theme.muted());
    }
    below(area, 1 + u16::from(with_moves))
}

/// The names of the states, each with a margin and wide enough for what stands beneath it, and what stands between
/// them: where there is no room for all of them, layers are called by their numbers.
fn names_of(
    states: &[(String, TensorData)],
    ctx: &RunContext,
    room: usize,
    with_moves: bool,
) -> (Vec<String>, &'static str) {
    let least = if with_moves { 4 } else { 1 };
    let padded = |name: &str| {
        let columns = text::width(name).max(least) + 1;
        format!(" {}", text::fit(name, columns))
    };
    let long = states.iter();
    let long = long.map(|(name, _)| padded(&in_words::text_state(name, ctx.language)));
    let long: Vec<String> = long.collect();
    let gap = " → ";
    let needed: usize = long
        .iter()
        .map(|name| text::width(name) + text::width(gap))
        .sum();
    if needed <= room + text::width(gap) {
        return (long, gap);
    }
    let short = states.iter().map(|(name, _)| {
        let number = name.strip_prefix("layer ").map(str::to_owned);
        padded(&number.unwrap_or_else(|| in_words::text_state(name, ctx.language)))
    });
    (short.collect(), "")
}

/// The first of `names` to be shown: as many as fit `room` columns before the selected one.
fn first_shown(names: &[String], gap: &str, selected: usize, room: usize) -> usize {
    let each = |index: usize| text::width(&names[index]) + text::width(gap);
    let mut first = selected;
    let mut used = each(selected);
    while first > 0 && used + each(first - 1) <= room {
        first -= 1;
        used += each(first);
    }
    first
}

/// How far the vector of `token` turned: 1 − cosine.
fn movement(before: &TensorData, after: &TensorData, token: usize) -> f64 {
    1.0 - cosine(before.row(token), after.row(token))
}

fn draw_heads(buffer: &mut Buffer, area: Rect, ctx: &RunContext, state: &State) -> Rect {
    let Some(heads) = heads_of(ctx.run, state.name).and_then(|heads| heads.shape.first()) else {
        let caption = ctx.say(["attention is within the layers", "注意力在各层里面"]);
        return line(buffer, area, caption, ctx.theme.muted());
    };
    let mut names = vec![ctx.say(["mean of heads", "各头平均"]).to_owned()];
    names.extend((0..*heads).map(|head| match head {
        0 => ctx.say(["head 0", "头 0"]).to_owned(),
        _ => head.to_string(),
    }));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let selected = ctx.cursor.detail.text_head.map_or(0, |head| head + 1);
    tabs::draw(buffer, top(area, 1), "h", &names, selected, ctx.theme);
    below(area, 1)
}

/// Every head's causal attention in the layer that `name` ("layer 3") is the output of, `(heads, 77, 77)`.
fn heads_of<'a>(run: &'a Run, name: &str) -> Option<&'a TensorData> {
    let text = run.trace.text.as_deref()?;
    let path = attention_path(name)?;
    text.heads.iter().find(|map| *map.name == *path)
}

fn attention_path(name: &str) -> Option<String> {
    let layer = name.strip_prefix("layer ")?;
    Some(format!("text_model.encoder.layers.{layer}.self_attn"))
}

/// A position's row of the selected head's attention, or of the mean where none is selected.
fn attention_row<'a>(ctx: &RunContext<'a>, name: &str, position: usize) -> Option<&'a [f32]> {
    let row = if let Some(head) = ctx.cursor.detail.text_head {
        let heads = heads_of(ctx.run, name)?;
        let plane = heads.plane(head);
        let keys = *heads.shape.last()?;
        plane.get(position * keys..(position + 1) * keys)?
    } else {
        let text = ctx.run.trace.text.as_deref()?;
        let path = attention_path(name)?;
        let mut maps = text.attention.iter();
        maps.find(|map| *map.name == *path)?.row(position)
    };
    (!row.is_empty()).then_some(row)
}

/// How many tokens there are before the padding: that attends to all of these, too, and is left to the token strip.
fn without_padding(ctx: &RunContext) -> usize {
    let is_padding = |token: &Token| token.kind == TokenKind::Padding;
    let others = ctx.run.tokens().iter();
    others.take_while(|token| !is_padding(token)).count()
}

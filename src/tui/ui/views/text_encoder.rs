//! The text encoder, layer by layer: how far each token moved, whom any head of it attended to, its vector before and
//! after, and what is the same for every prompt.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{DRAWN, below, fitting, fitting_of, left, line, matrix, paragraph, right_of, scroll};
use super::{split, strip, top};
use crate::generation::cosine;
use crate::model::tokenizer::{Token, TokenKind};
use crate::trace::{Stats, TensorData};
use crate::tui::state::run::Run;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale, legend};
use crate::tui::ui::widgets::{bars, tabs, token_strip};

/// Columns of a token's name.
const NAMES: usize = 11;
/// Columns of a number, and of the bar that stands for the movement.
const NUMBER: usize = 8;
/// The least columns for the attention beside the table; where there are fewer, the table makes room.
const MATRIX: usize = 8;
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
    let table = top(area, area.height.saturating_sub(least_below).max(4));
    let used = draw_table(buffer, table, ctx, &state);
    let area = below(area, used + u16::from(area.height > used + 8));
    if area.width >= WIDE && area.height >= 8 {
        let width = area.width * 3 / 5;
        let (left, right) = split(area, width, 3);
        draw_vectors(buffer, left, ctx, &state);
        let right = draw_looks_at(buffer, right, ctx, &state);
        draw_start(buffer, right, ctx);
    } else {
        let rows = area.height.saturating_sub(1);
        draw_vectors(buffer, top(area, rows), ctx, &state);
        if area.height > 0 {
            draw_start(buffer, below(area, rows), ctx);
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
    let long = states.iter().map(|(name, _)| name.as_str());
    // Twelve layers have room only by their numbers.
    let short = long
        .clone()
        .map(|name| name.strip_prefix("layer ").unwrap_or(name));
    let with_moves = area.height > 20;
    // A number stands beneath the name, or nothing.
    let least = if with_moves { 4 } else { 1 };
    let width = |name: &str| text::width(name).max(least) + 2;
    let room = usize::from(area.width);
    let needed: usize = long.clone().map(|name| width(name) + 3).sum();
    let (names, gap): (Vec<&str>, &str) = if needed <= room + 3 {
        (long.collect(), " → ")
    } else {
        (short.collect(), "")
    };
    let each = names.iter().map(|name| width(name) + text::width(gap));
    let each: Vec<usize> = each.collect();
    // As many states as fit before the selected one.
    let mut first = selected;
    let mut used = each[selected];
    while first > 0 && used + each[first - 1] <= room {
        first -= 1;
        used += each[first];
    }
    let mut x = area.x;
    for (index, name) in names.iter().enumerate().skip(first) {
        let room = |x: u16| usize::from(area.right().saturating_sub(x));
        if room(x) == 0 {
            break;
        }
        let (style, quiet) = if index == selected {
            (theme.selected(), theme.accent())
        } else {
            (theme.text(), theme.muted())
        };
        let columns = width(name);
        let caption = format!(" {}", text::fit(name, columns - 1));
        let (end, _) = buffer.set_stringn(x, area.y, caption, room(x), style);
        if with_moves && let Some(before) = index.checked_sub(1) {
            let (before, after) = (&states[before].1, &states[index].1);
            let moved = movement(before, after, ctx.cursor.token);
            let caption = format!(" {}", text::fixed(moved, 2));
            buffer.set_stringn(x, area.y + 1, caption, room(x).min(columns), quiet);
        }
        x = end;
        if index + 1 < names.len() {
            (x, _) = buffer.set_stringn(x, area.y, gap, room(x), theme.muted());
        }
    }
    let caption = "moved by";
    if with_moves && usize::from(area.right().saturating_sub(x + 2)) > caption.len() {
        buffer.set_string(x + 2, area.y + 1, caption, theme.muted());
    }
    below(area, 1 + u16::from(with_moves))
}

/// How far the vector of `token` turned: 1 − cosine.
fn movement(before: &TensorData, after: &TensorData, token: usize) -> f64 {
    1.0 - cosine(before.row(token), after.row(token))
}

fn draw_heads(buffer: &mut Buffer, area: Rect, ctx: &RunContext, state: &State) -> Rect {
    let Some(heads) = heads_of(ctx.run, state.name).and_then(|heads| heads.shape.first()) else {
        let caption = "attention is within the layers";
        return line(buffer, area, caption, ctx.theme.muted());
    };
    let mut names = vec!["mean of heads".to_owned()];
    names.extend((0..*heads).map(|head| match head {
        0 => "head 0".to_owned(),
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

/// Which columns the table has.
struct TableColumns {
    norm: bool,
    bar: bool,
    width: usize,
}

impl TableColumns {
    /// Those that fit `columns` columns, with the attention beside them.
    fn new(columns: usize) -> Self {
        let with = |norm: bool, bar: bool| Self {
            norm,
            bar,
            width: NAMES + NUMBER * (1 + usize::from(norm) + usize::from(bar)) + 1,
        };
        let all = [with(true, true), with(true, false), with(false, false)];
        let fits = |table: &Self| table.width + MATRIX <= columns;
        all.into_iter().find(fits).unwrap_or_else(|| Self {
            width: columns.min(NAMES + NUMBER + 1),
            ..with(false, false)
        })
    }
}

/// One row a token: norm, movement, and whom it attended to. Returns the rows used.
fn draw_table(buffer: &mut Buffer, area: Rect, ctx: &RunContext, state: &State) -> u16 {
    let theme = ctx.theme;
    // Start, words and end: padding attends to all of these, too, and is left to the token strip.
    let is_padding = |token: &Token| token.kind == TokenKind::Padding;
    let count = (ctx.run.tokens().iter()).take_while(|token| !is_padding(token));
    let count = count.count();
    let shown = usize::from(area.height.saturating_sub(2)).min(count);
    let first = scroll(ctx.cursor.token, count, shown);
    let has_attention = attention_row(ctx, state.name, 0).is_some();
    let table = TableColumns::new(area.width.into());
    let room = usize::from(area.width).saturating_sub(table.width);
    let cell = matrix::cell_width(count, room);
    let columns = (room / cell).min(count);
    let first_column = scroll(ctx.cursor.token, count, columns);
    let norm_head = if table.norm { "norm" } else { "" };
    let norm_width = if table.norm { NUMBER } else { 0 };
    let head = text::fit("token", NAMES);
    let head = format!("{head}{norm_head:>norm_width$}{:>NUMBER$}", "moved");
    buffer.set_stringn(area.x, area.y, head, table.width, theme.muted());
    let matrix_x = area.x + table.width as u16;
    let scale = Scale::magnitudes([1.0]);
    if has_attention {
        let shown = first_column..first_column + columns;
        matrix::headings(buffer, (matrix_x, area.y), cell, shown, ctx);
    } else {
        let forms = if state.before.is_none() {
            ["token + position: no attention yet", "no attention yet", ""]
        } else {
            ["normalised: no attention here", "no attention", ""]
        };
        let caption = fitting(&forms, room as u16);
        buffer.set_stringn(matrix_x, area.y, caption, room, theme.muted());
    }
    let moves = (0..count).map(|row| Some(movement(state.before?, state.vectors, row)));
    let moves: Vec<Option<f64>> = moves.collect();
    let farthest = moves.iter().flatten().copied().fold(0.0, f64::max);
    for index in 0..shown {
        let row = first + index;
        let y = area.y + 1 + index as u16;
        let is_selected = row == ctx.cursor.token;
        let style = theme.accent_if(is_selected, theme.text());
        let moved = moves[row];
        let norm = text::fixed(Stats::of(state.vectors.row(row)).norm, 2);
        let norm = if table.norm { norm.as_str() } else { "" };
        let moved_words = moved.map_or("–".to_owned(), |moved| text::fixed(moved, 3));
        let name = text::fit(&ctx.word(row), NAMES);
        let caption = format!("{name}{norm:>norm_width$}{moved_words:>NUMBER$} ");
        let (x, _) = buffer.set_stringn(area.x, y, caption, table.width, style);
        if let (true, Some(moved)) = (table.bar, moved) {
            let style = if is_selected { style } else { theme.muted() };
            let bar = bars::share(moved / farthest, NUMBER - 2);
            buffer.set_stringn(x, y, bar, NUMBER - 2, style);
        }
        let Some(attention) = attention_row(ctx, state.name, row) else {
            continue;
        };
        for index in 0..columns {
            let x = matrix_x + (index * cell) as u16;
            let column = first_column + index;
            if column <= row {
                let value = attention.get(column).copied().unwrap_or(f32::NAN);
                matrix::cell(buffer, (x, y), cell, value, scale, ctx);
            } else {
                buffer.set_stringn(x, y, "·", cell, theme.rule());
            }
        }
    }
    let y = area.y + 1 + shown as u16;
    if y < area.bottom() {
        let counted = format!("{shown} of {count}");
        let long = format!("{counted} · moved: 1 − cosine");
        let forms = if shown < count {
            [long.as_str(), &counted]
        } else {
            ["moved: 1 − cosine to before", "moved: 1 − cosine"]
        };
        let beneath = below(area, y - area.y);
        let place = if has_attention {
            left(beneath, table.width as u16 - 1)
        } else {
            beneath
        };
        line(buffer, place, fitting(&forms, place.width), theme.muted());
        if has_attention {
            let whose = match ctx.cursor.detail.text_head {
                Some(head) => format!("row attends to column, head {head}"),
                None => "row attends to column, mean of heads".to_owned(),
            };
            legend(buffer, right_of(beneath, matrix_x), scale, &whose, theme);
        }
    }
    2 + shown as u16
}

/// The selected token's vector before and after, number by number, on one scale.
fn draw_vectors(buffer: &mut Buffer, area: Rect, ctx: &RunContext, state: &State) {
    let token = ctx.cursor.token;
    let name = ctx.word(token);
    let after = state.vectors.row(token);
    let vectors: Vec<(&str, &[f32])> = match state.before {
        Some(before) => vec![("before", before.row(token)), ("after", after)],
        None => vec![("input", after)],
    };
    let length = after.len();
    if length == 0 || area.height < 3 || area.width < 20 {
        return;
    }
    let all = vectors
        .iter()
        .flat_map(|(_, vector)| vector.iter().copied());
    let scale = Scale::signed(all);
    let title = format!("{name}: its {length} numbers");
    let mut area = line(buffer, area, &title, ctx.theme.title());
    let label = 8;
    let room = usize::from(area.width) - label;
    let rows_for_each = (usize::from(area.height).saturating_sub(1) / vectors.len()).clamp(1, 6);
    let (columns, height) = fold(length, (room, 2 * rows_for_each));
    for (name, vector) in &vectors {
        if area.height < 2 {
            break;
        }
        buffer.set_stringn(area.x, area.y, name, label, ctx.theme.muted());
        let mut values = vector.to_vec();
        values.resize(columns * height, 0.0);
        let place = right_of(area, area.x + label as u16);
        let place = top(place, (rows_for_each as u16).min(area.height - 1));
        let map = HeatMap::new(&values, (columns, height), scale);
        let drawn = map.draw(buffer, place, ctx.theme);
        area = below(area, drawn.height.max(1));
    }
    let place = right_of(top(area, 1), area.x + label as u16);
    legend(buffer, place, scale, "shared scale", ctx.theme);
}

/// The positions that the selected token attends to most. Returns the place beneath.
fn draw_looks_at(buffer: &mut Buffer, area: Rect, ctx: &RunContext, state: &State) -> Rect {
    let theme = ctx.theme;
    let token = ctx.cursor.token;
    let Some(row) = attention_row(ctx, state.name, token) else {
        return area;
    };
    let shares = row.iter().take(token + 1).map(|&share| f64::from(share));
    let mut shares: Vec<(usize, f64)> = shares.enumerate().collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let title = format!("{} attends most to", ctx.word(token));
    let mut area = line(buffer, area, &title, theme.title());
    let most = usize::from(area.height.saturating_sub(7)).clamp(1, 6);
    for (position, share) in shares.into_iter().take(most) {
        let name = text::fit(&ctx.word(position), NAMES + 1);
        let caption = format!(
            "{name}{:>6} % {}",
            text::fixed(100.0 * share, 1),
            bars::share(share, 14)
        );
        area = line(buffer, area, &caption, theme.text());
    }
    below(area, 1)
}

/// What is the same for every prompt: the start token's row, seen beside the negative prompt's.
fn draw_start(buffer: &mut Buffer, area: Rect, ctx: &RunContext) {
    let theme = ctx.theme;
    let Some(text) = ctx.run.trace.text.as_deref() else {
        return;
    };
    let mut states = text.prompt.iter();
    let Some(prompt) = states.find(|state| &*state.name == "prompt_embedding") else {
        return;
    };
    let negative = &text.negative_prompt_embedding;
    let difference = |position: usize| {
        let pairs = prompt.row(position).iter().zip(negative.row(position));
        pairs.fold(0.0_f64, |most, (a, b)| most.max(f64::from((a - b).abs())))
    };
    let mut starts = prompt.row(0).iter().zip(negative.row(0));
    let verdict = if starts.all(|(a, b)| a.to_bits() == b.to_bits()) {
        "0, exactly the same".to_owned()
    } else {
        text::number(difference(0))
    };
    if area.height < 4 {
        let forms = [
            format!("start, output against the negative prompt's: {verdict}"),
            format!("start, against the negative prompt's: {verdict}"),
            format!("start and the negative's: {verdict}"),
            format!("start, negative's: {}", verdict.replace("exactly ", "")),
        ];
        let caption = fitting_of(&forms, area.width);
        line(buffer, area, caption, theme.text());
        return;
    }
    let mut area = line(buffer, area, "against the negative prompt", theme.title());
    let caption = "largest difference of the outputs:";
    area = line(buffer, area, caption, theme.muted());
    let mut shown: Vec<usize> = Vec::new();
    for position in [0, ctx.cursor.token, 1] {
        if shown.contains(&position) || area.height < 2 && position != 0 {
            continue;
        }
        shown.push(position);
        let (value, style) = if position == 0 {
            (verdict.clone(), theme.good())
        } else {
            (text::number(difference(position)), theme.text())
        };
        let caption = format!("{} {value}", text::fit(&pair(ctx.run, position), NAMES + 5));
        area = line(buffer, area, &caption, style);
    }
    let caption = "start is the same for every prompt";
    paragraph(buffer, area, caption, theme.muted());
}

/// What stands at `position` in the prompt and in the negative prompt.
fn pair(run: &Run, position: usize) -> String {
    let name = |tokens: &[Token]| token_strip::name_at(tokens, position);
    let negative = run
        .trace
        .tokens
        .as_deref()
        .map(|tokens| &tokens.negative_prompt.tokens);
    let negative = name(negative.map_or(&[], Vec::as_slice));
    let prompt = name(run.tokens());
    if prompt == negative {
        prompt
    } else {
        format!("{prompt} / {negative}")
    }
}

/// Columns and rows that `length` numbers fold into without a rest, so that each is drawn as large as possible in
/// `room` (columns, rows of pixels).
fn fold(length: usize, room: (usize, usize)) -> (usize, usize) {
    (1..=length.min(room.0))
        .filter(|columns| length.is_multiple_of(*columns))
        .map(|columns| (columns, length / columns))
        .filter(|&(_, rows)| rows <= room.1)
        .max_by_key(|&(columns, rows)| ((room.0 / columns).min(room.1 / rows), columns))
        .unwrap_or_else(|| {
            let columns = length.min(room.0).max(1);
            (columns, length.div_ceil(columns))
        })
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn numbers_fold_without_a_rest_into_large_pixels() {
        assert_eq!(fold(96, (93, 12)), (24, 4));
        assert_eq!(fold(768, (93, 12)), (64, 12));
        assert_eq!(fold(97, (50, 4)), (50, 2), "a prime number has a rest");
    }
}

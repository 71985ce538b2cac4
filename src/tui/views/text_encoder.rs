//! The text encoder, layer by layer: how far each token moved, whom it attended to, and its vector before and after.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, cosine, empty, line, matrix, scroll, strip, top};
use crate::model::tokenizer::TokenKind;
use crate::trace::{Snapshot, Stats};
use crate::tui::app::App;
use crate::tui::run::Run;
use crate::tui::text;
use crate::tui::widgets::heat_map::{HeatMap, Scale, legend};
use crate::tui::widgets::{bars, token_strip};

/// Columns of a token's name.
const NAMES: usize = 11;
/// Columns of name, norm and movement.
const TABLE: usize = NAMES + 8 + 8 + 8;

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, app: &App) {
    let found = app.run.as_ref().and_then(|run| {
        let states = run.text_states();
        (!states.is_empty()).then_some((run, states))
    });
    let Some((run, states)) = found else {
        empty(buffer, area, app, "The text encoder's layers");
        return;
    };
    let area = strip(buffer, area, app, run);
    let selected = app.cursor.text_layer.min(states.len() - 1);
    let area = draw_states(buffer, area, app, &states, selected);
    let area = below(area, u16::from(area.height > 16));
    let state = &states[selected].1;
    let before = selected.checked_sub(1).map(|before| &states[before].1);
    let least_below = if area.height > 20 { 9 } else { 4 };
    let table = top(area, area.height.saturating_sub(least_below).max(4));
    let used = draw_table(
        buffer,
        table,
        app,
        run,
        (before, state),
        &states[selected].0,
    );
    let area = below(area, used + u16::from(area.height > used + 8));
    draw_vectors(buffer, area, app, run, before, state);
}

/// The states in a row, from input to output.
fn draw_states(
    buffer: &mut Buffer,
    area: Rect,
    app: &App,
    states: &[(String, Snapshot)],
    selected: usize,
) -> Rect {
    let mut x = area.x;
    let room = |x: u16| usize::from(area.right().saturating_sub(x));
    // As many states as fit before the selected one.
    let width = |name: &str| text::width(name) + 5;
    let mut first = selected;
    let mut used = width(&states[selected].0);
    while first > 0 && used + width(&states[first - 1].0) <= usize::from(area.width) {
        first -= 1;
        used += width(&states[first].0);
    }
    for (index, (name, _)) in states.iter().enumerate().skip(first) {
        let style = if index == selected {
            app.theme.selected()
        } else {
            app.theme.text()
        };
        (x, _) = buffer.set_stringn(x, area.y, format!(" {name} "), room(x), style);
        if index + 1 < states.len() {
            (x, _) = buffer.set_stringn(x, area.y, " → ", room(x), app.theme.muted());
        }
    }
    below(area, 1)
}

/// One row a token: norm, movement, and whom it attended to. Returns the rows used.
fn draw_table(
    buffer: &mut Buffer,
    area: Rect,
    app: &App,
    run: &Run,
    (before, state): (Option<&Snapshot>, &Snapshot),
    name: &str,
) -> u16 {
    let theme = app.theme;
    // Start, words and end: padding attends to all of these, too, and is left to the token strip.
    let count = run
        .tokens()
        .iter()
        .take_while(|token| token.kind != TokenKind::Padding)
        .count();
    let shown = usize::from(area.height.saturating_sub(2)).min(count);
    let first = scroll(app.cursor.token, count, shown);
    let attention = attention_of(run, name);
    let room = usize::from(area.width).saturating_sub(TABLE);
    let cell = matrix::cell_width(count, room);
    let columns = (room / cell).min(count);
    let first_column = scroll(app.cursor.token, count, columns);
    let head = format!("{}{:>8}{:>8}", text::fit("token", NAMES), "norm", "moved");
    buffer.set_stringn(area.x, area.y, head, TABLE, theme.muted());
    let matrix_x = area.x + TABLE as u16;
    let scale = Scale {
        low: 0.0,
        high: 1.0,
        map: crate::tui::colour_map::ColourMap::Magnitude,
    };
    if attention.is_some() {
        for index in 0..columns {
            let column = first_column + index;
            let words = match cell {
                1 => String::new(),
                2 => format!("{column:>2}"),
                _ => text::fit(&token_name(run, column), cell - 1),
            };
            let style = if column == app.cursor.token {
                theme.accent()
            } else {
                theme.muted()
            };
            buffer.set_stringn(matrix_x + (index * cell) as u16, area.y, words, cell, style);
        }
    } else {
        let words = if before.is_none() {
            "token + position: no attention yet"
        } else {
            "normalised: no attention here"
        };
        buffer.set_stringn(matrix_x, area.y, words, room, theme.muted());
    }
    for index in 0..shown {
        let row = first + index;
        let y = area.y + 1 + index as u16;
        let is_selected = row == app.cursor.token;
        let style = if is_selected {
            theme.accent()
        } else {
            theme.text()
        };
        let vector = state.row(row);
        let moved = before.map(|before| 1.0 - cosine(before.row(row), vector));
        let norm = text::fixed(Stats::of(vector).norm, 2);
        let moved_words = moved.map_or("–".to_owned(), |moved| text::fixed(moved, 3));
        let bar = moved.map_or_else(String::new, |moved| bars::share(moved, 6));
        let name = text::fit(&token_name(run, row), NAMES);
        let words = format!("{name}{norm:>8}{moved_words:>8} ");
        let (x, _) = buffer.set_stringn(area.x, y, words, TABLE, style);
        buffer.set_stringn(
            x,
            y,
            bar,
            6,
            if is_selected { style } else { theme.muted() },
        );
        if let Some(attention) = attention {
            for index in 0..columns {
                let x = matrix_x + (index * cell) as u16;
                let column = first_column + index;
                if column <= row {
                    let value = attention.row(row).get(column).copied().unwrap_or(f32::NAN);
                    matrix::cell(buffer, (x, y), cell, value, scale, app);
                } else {
                    buffer.set_stringn(x, y, "·", cell, theme.rule());
                }
            }
        }
    }
    let y = area.y + 1 + shown as u16;
    if y < area.bottom() {
        let words = "moved: 1 − cosine to the one before";
        let words = if shown < count {
            format!("{shown} of {count} · moved: 1 − cosine")
        } else {
            words.to_owned()
        };
        let room_left = if attention.is_some() {
            TABLE - 1
        } else {
            usize::from(area.width)
        };
        buffer.set_stringn(
            area.x,
            y,
            text::truncate(&words, room_left),
            room_left,
            theme.muted(),
        );
        if attention.is_some() {
            let place = Rect {
                x: matrix_x,
                y,
                width: area.right().saturating_sub(matrix_x),
                height: 1,
            };
            legend(
                buffer,
                place,
                scale,
                "row attends to column, mean of heads",
                theme,
            );
        }
    }
    2 + shown as u16
}

fn token_name(run: &Run, position: usize) -> String {
    run.tokens()
        .get(position)
        .map_or_else(String::new, token_strip::word)
}

/// The causal attention of the layer that `name` ("layer 3") is the output of.
fn attention_of<'a>(run: &'a Run, name: &str) -> Option<&'a Snapshot> {
    let layer = name.strip_prefix("layer ")?;
    let path = format!("text_model.encoder.layers.{layer}.self_attn");
    let text = run.trace.text.as_deref()?;
    text.attention.iter().find(|map| *map.name == *path)
}

/// The selected token's vector before and after, number by number, on one scale.
fn draw_vectors(
    buffer: &mut Buffer,
    area: Rect,
    app: &App,
    run: &Run,
    before: Option<&Snapshot>,
    after: &Snapshot,
) {
    let token = app.cursor.token;
    let name = token_name(run, token);
    let vectors: Vec<(&str, &[f32])> = match before {
        Some(before) => vec![("before", before.row(token)), ("after", after.row(token))],
        None => vec![("input", after.row(token))],
    };
    let length = after.row(token).len();
    if length == 0 || area.height < 3 || area.width < 20 {
        return;
    }
    let scale = Scale::signed(
        vectors
            .iter()
            .flat_map(|(_, vector)| vector.iter().copied()),
    );
    let title = format!("{name}: its {length} numbers");
    let mut area = line(buffer, area, &title, app.theme.title());
    let label = 8;
    let room = usize::from(area.width) - label;
    let rows_for_each = (usize::from(area.height).saturating_sub(1) / vectors.len()).clamp(1, 6);
    let (columns, height) = fold(length, (room, 2 * rows_for_each));
    for (name, vector) in &vectors {
        if area.height < 2 {
            break;
        }
        buffer.set_stringn(area.x, area.y, name, label, app.theme.muted());
        let mut values = vector.to_vec();
        values.resize(columns * height, 0.0);
        let place = Rect {
            x: area.x + label as u16,
            width: room as u16,
            height: (rows_for_each as u16).min(area.height - 1),
            ..area
        };
        let map = HeatMap {
            values: &values,
            width: columns,
            height,
            scale,
        };
        let drawn = map.draw(buffer, place, app.theme);
        area = below(area, drawn.height.max(1));
    }
    let place = Rect {
        x: area.x + label as u16,
        width: room as u16,
        ..top(area, 1)
    };
    legend(buffer, place, scale, "shared scale", app.theme);
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

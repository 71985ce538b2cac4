//! The prompt's tokens as vectors: their statistics, how alike they are, how one is distributed, and which words of the
//! whole vocabulary lie nearest to it.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{DRAWN, below, fitting, left, line, matrix, right_of, scroll};
use super::{split, strip, top};
use crate::generation::{Neighbour, cosine};
use crate::model::tokenizer::{Token, TokenKind};
use crate::trace::{Stats, TensorData};
use crate::tui::state::detail::Part;
use crate::tui::state::run::Run;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::heat_map::{Scale, legend};
use crate::tui::ui::widgets::{bars, histogram::Histogram, tabs, token_strip};

/// Columns of a token's name.
const NAMES: usize = 11;
/// What is said of each vector.
const STATISTICS: [&str; 5] = ["mean", "std", "min", "max", "norm"];
/// Columns of one statistic.
const NUMBER: usize = 7;
/// The least columns for histogram and neighbours side by side.
const WIDE: u16 = 90;

/// Where there are fewer rows, what is nearest stands beside the table, in so many columns.
const LOW: u16 = 9;
const NEAREST: u16 = 30;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    let run = ctx.run;
    let embedding = vectors(run, ctx.cursor.detail.part)?;
    let area = strip(buffer, area, ctx);
    let area = draw_parts(buffer, area, ctx);
    let words = run.words();
    // Something to compare where the prompt is empty: start and end.
    let words = if words.is_empty() { 0..2 } else { words };
    let rows: Vec<usize> = words.collect();
    if area.height < LOW && area.width >= 2 * NEAREST {
        // What lies nearest stands beside the table where there is no room beneath it.
        let (left, right) = split(area, area.width - NEAREST - 2, 2);
        draw_table(buffer, left, ctx, &embedding, &rows);
        draw_neighbours(buffer, right, ctx, &embedding);
        return DRAWN;
    }
    let least_below = if area.height > 24 { 15 } else { 5 };
    let room = usize::from(area.height.saturating_sub(least_below)).max(4);
    let used = draw_table(buffer, top(area, room as u16), ctx, &embedding, &rows);
    let area = below(area, used + u16::from(area.height > used + 6));
    draw_selected(buffer, area, ctx, &embedding);
    DRAWN
}

/// The selected part of what goes into the first layer, `(77, hidden)`.
fn vectors(run: &Run, part: Part) -> Option<Cow<'_, TensorData>> {
    let text = run.trace.text.as_deref()?;
    let find = |name: &str| text.prompt.iter().find(|state| &*state.name == name);
    match part {
        Part::Token => find("token_embedding").map(Cow::Borrowed),
        Part::Position => find("position_embedding").map(Cow::Borrowed),
        Part::Sum => {
            let (_, input) = run.text_states().into_iter().next()?;
            Some(Cow::Owned(input))
        }
    }
}

/// The parts to choose among, and how long each is for the selected token.
fn draw_parts(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Rect {
    let names = Part::ALL.map(Part::name);
    let selected = ctx.cursor.detail.part as usize;
    let x = tabs::draw(buffer, top(area, 1), "v", &names, selected, ctx.theme);
    let token = ctx.cursor.token;
    let vectors = [Part::Token, Part::Position].map(|part| vectors(ctx.run, part));
    if let [Some(of_token), Some(of_position)] = vectors {
        let norms = [of_token, of_position].map(|vectors| Stats::of(vectors.row(token)).norm);
        let lengths = norms.map(|norm| text::fixed(norm, 3)).join(" + ");
        let long = format!("   {}: length {lengths}", ctx.word(token));
        let place = right_of(area, x);
        let short = format!("   length {lengths}");
        let words = fitting(&[&long, &short, ""], place.width);
        line(buffer, place, words, ctx.theme.muted());
    }
    below(area, 1 + u16::from(area.height > 24))
}

/// One row a token: statistics and cosines. Returns the rows used.
fn draw_table(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    embedding: &TensorData,
    rows: &[usize],
) -> u16 {
    let theme = ctx.theme;
    let width = usize::from(area.width);
    // Of the statistics the last one, the norm, stays where there is little room.
    let count = if width < 40 { 1 } else { STATISTICS.len() };
    let shown_statistics = &STATISTICS[STATISTICS.len() - count..];
    let statistics_end = NAMES + count * NUMBER + 2;
    let room = width.saturating_sub(statistics_end);
    let cell = matrix::cell_width(rows.len(), room);
    let shown_columns = (room / cell).min(rows.len());
    let shown_rows = usize::from(area.height.saturating_sub(2)).min(rows.len());
    let selected = rows.iter().position(|&row| row == ctx.cursor.token);
    let first_row = scroll(selected.unwrap_or(0), rows.len(), shown_rows);
    let first_column = scroll(selected.unwrap_or(0), rows.len(), shown_columns);
    let matrix_x = area.x + statistics_end as u16;
    let names = shown_statistics.iter();
    let names: Vec<String> = names.map(|name| format!("{name:>NUMBER$}")).collect();
    let head = format!("{}{}", text::fit("token", NAMES), names.concat());
    buffer.set_stringn(area.x, area.y, head, width, theme.muted());
    let columns = &rows[first_column..first_column + shown_columns];
    let shown = columns.iter().copied();
    matrix::headings(buffer, (matrix_x, area.y), cell, shown, ctx);
    let scale = Scale::around_zero(1.0);
    for (index, &row) in rows.iter().skip(first_row).take(shown_rows).enumerate() {
        let y = area.y + 1 + index as u16;
        let vector = embedding.row(row);
        let style = theme.accent_if(row == ctx.cursor.token, theme.text());
        let name = text::fit(&ctx.word(row), NAMES - 1);
        buffer.set_stringn(area.x, y, name, width, style);
        let is_zero = !vector.is_empty() && vector.iter().all(|&value| value == 0.0);
        let (numbers, style) = if is_zero {
            let forms = ["   never seen: a row of zeros", "  zeros"];
            let words = fitting(&forms, (count * NUMBER) as u16).to_owned();
            (words, theme.warning())
        } else {
            (numbers(&Stats::of(vector), count), style)
        };
        buffer.set_stringn(area.x + NAMES as u16, y, numbers, count * NUMBER, style);
        for (index, &column) in columns.iter().enumerate() {
            let x = matrix_x + (index * cell) as u16;
            let value = cosine(vector, embedding.row(column));
            if value.is_finite() {
                matrix::cell(buffer, (x, y), cell, value as f32, scale, ctx);
            } else {
                buffer.set_stringn(x, y, "·", cell, theme.muted());
            }
        }
    }
    let y = area.y + 1 + shown_rows as u16;
    if y < area.bottom() {
        let beneath = right_of(below(area, y - area.y), matrix_x);
        legend(buffer, beneath, scale, "cosine", theme);
        if shown_rows < rows.len() {
            let words = format!("{} of {} tokens", shown_rows, rows.len());
            buffer.set_stringn(area.x, y, words, statistics_end, theme.muted());
        }
    }
    2 + shown_rows as u16
}

fn numbers(stats: &Stats, count: usize) -> String {
    let numbers = [stats.mean, stats.std, stats.min.into(), stats.max.into()];
    let numbers = numbers.iter().map(|&number| text::fixed(number, 3));
    let numbers = numbers.chain([text::fixed(stats.norm, 2)]);
    let numbers = numbers.map(|number| format!("{number:>NUMBER$}"));
    numbers.skip(STATISTICS.len() - count).collect()
}

/// How the selected token's numbers are distributed, and what lies nearest to it.
fn draw_selected(buffer: &mut Buffer, area: Rect, ctx: &RunContext, embedding: &TensorData) {
    let token = ctx.cursor.token;
    let vector = embedding.row(token);
    if vector.is_empty() || area.height < 3 {
        return;
    }
    let stats = Stats::of(vector);
    let mut title = described(ctx, vector.len());
    let wide = area.width >= WIDE;
    if wide {
        let (mean, std, norm) = (stats.mean, stats.std, stats.norm);
        let precise = format!(" · mean {mean:.6}  std {std:.6}  norm {norm:.6}");
        title.push_str(&precise.replace('-', "−"));
    }
    let area = line(buffer, area, &title, ctx.theme.title());
    let area = below(area, u16::from(wide && area.height > 12));
    let histogram = area.width * if wide { 2 } else { 1 } / 5;
    let place = top(left(area, histogram), 12);
    let limit = Scale::signed(vector.iter().copied()).high.max(0.01);
    Histogram {
        values: vector,
        range: (-limit, limit),
        normal: false,
    }
    .draw(buffer, place, ctx.theme);
    let place = right_of(area, area.x + histogram + 3);
    draw_beside(buffer, place, ctx, embedding);
}

/// The selected token's vector: how long it is, and where it is from.
fn described(ctx: &RunContext, length: usize) -> String {
    let token = ctx.cursor.token;
    let name = ctx.word(token);
    let id = id(ctx);
    let whose = match ctx.cursor.detail.part {
        Part::Token => format!("row {id} of the table"),
        Part::Position => format!("position {token}"),
        Part::Sum => format!("row {id} + position {token}"),
    };
    format!("{name}: {length} numbers, {whose}")
}

fn id(ctx: &RunContext) -> u32 {
    let token = ctx.run.tokens().get(ctx.cursor.token);
    token.map_or(0, |token| token.id)
}

/// What lies nearest to the selected token's vector.
fn draw_beside(buffer: &mut Buffer, area: Rect, ctx: &RunContext, embedding: &TensorData) {
    let in_prompt = alike(ctx.run, embedding, ctx.cursor.token);
    if ctx.cursor.detail.part == Part::Token {
        draw_nearest(buffer, area, ctx, &in_prompt);
    } else {
        draw_alike(buffer, area, ctx, &in_prompt);
    }
}

/// The same beneath the vector's description.
fn draw_neighbours(buffer: &mut Buffer, area: Rect, ctx: &RunContext, embedding: &TensorData) {
    let length = embedding.row(ctx.cursor.token).len();
    let title = described(ctx, length);
    let forms = [&title, title.trim_end_matches(" of the table")];
    let title = fitting(&forms, area.width);
    let area = line(buffer, area, title, ctx.theme.title());
    draw_beside(buffer, area, ctx, embedding);
}

/// The prompt's other tokens with their cosines, the most alike first.
fn alike(run: &Run, embedding: &TensorData, token: usize) -> Vec<(String, f64)> {
    let selected = embedding.row(token);
    let is_other = |other: &&Token| other.kind != TokenKind::Padding && other.position != token;
    let others = run.tokens().iter().filter(is_other).map(|other| {
        let cosine = cosine(selected, embedding.row(other.position));
        (token_strip::word(other), cosine)
    });
    let mut others: Vec<_> = others.filter(|(_, cosine)| cosine.is_finite()).collect();
    others.sort_by(|a, b| b.1.total_cmp(&a.1));
    others
}

/// The nearest words of the whole vocabulary; beside them, where there is room, those of this prompt.
fn draw_nearest(buffer: &mut Buffer, area: Rect, ctx: &RunContext, in_prompt: &[(String, f64)]) {
    let theme = ctx.theme;
    let id = id(ctx);
    let Some(vocabulary) = ctx.run.vocabulary.as_deref() else {
        draw_alike(buffer, area, ctx, in_prompt);
        return;
    };
    let nearest = &vocabulary.nearest;
    let both = area.width >= 52;
    let width = if both { area.width * 3 / 5 } else { area.width };
    let (left, right) = split(area, width.saturating_sub(2), 3);
    let known = nearest.known;
    let title = if nearest.known == nearest.rows || !both {
        format!("nearest of {known} words")
    } else {
        format!("nearest of the {known} it has learnt")
    };
    let rows = nearest.of.get(&id).into_iter().flatten();
    let rows = rows.map(|neighbour: &Neighbour| {
        let name = token_strip::piece(&neighbour.piece, &neighbour.bytes);
        (name, f64::from(neighbour.cosine))
    });
    let rows: Vec<(String, f64)> = rows.collect();
    if rows.is_empty() {
        let rest = line(buffer, left, &title, theme.muted());
        line(buffer, rest, "none: it has no vector", theme.warning());
    } else {
        draw_list(buffer, left, ctx, &title, &rows);
    }
    if both {
        draw_alike(buffer, right, ctx, in_prompt);
    }
}

fn draw_alike(buffer: &mut Buffer, area: Rect, ctx: &RunContext, in_prompt: &[(String, f64)]) {
    let title = if ctx.recorded {
        "in this prompt (a recording has no vocabulary to search)"
    } else {
        "in this prompt"
    };
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

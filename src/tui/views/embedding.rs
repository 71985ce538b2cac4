//! The prompt's tokens as vectors: their statistics, how alike they are, and how one is distributed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, cosine, empty, line, matrix, scroll, strip, top};
use crate::model::tokenizer::TokenKind;
use crate::trace::{Snapshot, Stats};
use crate::tui::app::App;
use crate::tui::run::Run;
use crate::tui::text;
use crate::tui::widgets::heat_map::{Scale, legend};
use crate::tui::widgets::{histogram::Histogram, token_strip};

/// Columns of a token's name.
const NAMES: usize = 11;
/// Columns of one statistic.
const NUMBER: usize = 7;

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, app: &App) {
    let found = app.run.as_ref().and_then(|run| {
        let text = run.trace.text.as_deref()?;
        let embedding = text
            .prompt
            .iter()
            .find(|state| &*state.name == "token_embedding")?;
        Some((run, embedding))
    });
    let Some((run, embedding)) = found else {
        empty(buffer, area, app, "The tokens' vectors");
        return;
    };
    let area = strip(buffer, area, app, run);
    let words = run.words();
    // Something to compare where the prompt is empty: start and end.
    let rows: Vec<usize> = if words.is_empty() {
        vec![0, 1]
    } else {
        words.collect()
    };
    let least_below = if area.height > 24 { 12 } else { 5 };
    let room = usize::from(area.height.saturating_sub(least_below + 2)).max(3);
    let used = draw_table(buffer, top(area, room as u16), app, run, embedding, &rows);
    let area = below(area, used + u16::from(area.height > used + 6));
    draw_selected(buffer, area, app, run, embedding);
}

/// One row a token: statistics and cosines. Returns the rows used.
fn draw_table(
    buffer: &mut Buffer,
    area: Rect,
    app: &App,
    run: &Run,
    embedding: &Snapshot,
    rows: &[usize],
) -> u16 {
    let theme = app.theme;
    let width = usize::from(area.width);
    let statistics_end = NAMES + 5 * NUMBER + 2;
    let room = width.saturating_sub(statistics_end);
    let cell = matrix::cell_width(rows.len(), room);
    let shown_columns = (room / cell).min(rows.len());
    let shown_rows = usize::from(area.height.saturating_sub(2)).min(rows.len());
    let selected = rows.iter().position(|&row| row == app.cursor.token);
    let first_row = scroll(selected.unwrap_or(0), rows.len(), shown_rows);
    let first_column = scroll(selected.unwrap_or(0), rows.len(), shown_columns);
    let matrix_x = area.x + statistics_end as u16;
    let head = format!(
        "{}{:>NUMBER$}{:>NUMBER$}{:>NUMBER$}{:>NUMBER$}{:>NUMBER$}",
        text::fit("token", NAMES),
        "mean",
        "std",
        "min",
        "max",
        "norm"
    );
    buffer.set_stringn(area.x, area.y, head, width, theme.muted());
    for (index, &column) in rows
        .iter()
        .skip(first_column)
        .take(shown_columns)
        .enumerate()
    {
        let x = matrix_x + (index * cell) as u16;
        let name = if cell >= 5 {
            text::fit(&token_name(run, column), cell - 1)
        } else if cell == 2 {
            format!("{column:>2}")
        } else {
            String::new()
        };
        let style = if column == app.cursor.token {
            theme.accent()
        } else {
            theme.muted()
        };
        buffer.set_stringn(x, area.y, name, cell, style);
    }
    let scale = Scale::around_zero(1.0);
    for (index, &row) in rows.iter().skip(first_row).take(shown_rows).enumerate() {
        let y = area.y + 1 + index as u16;
        let vector = embedding.row(row);
        let stats = Stats::of(vector);
        let is_selected = row == app.cursor.token;
        let style = if is_selected {
            theme.accent()
        } else {
            theme.text()
        };
        let name = text::fit(&token_name(run, row), NAMES - 1);
        buffer.set_stringn(area.x, y, name, width, style);
        let unseen = run.unseen.get(row).copied().unwrap_or(false);
        let numbers = if unseen {
            "   never seen: a row of zeros".to_owned()
        } else {
            let numbers = [stats.mean, stats.std, stats.min.into(), stats.max.into()];
            let numbers = numbers.iter().map(|&number| text::fixed(number, 3));
            let numbers: Vec<String> = numbers
                .chain([text::fixed(stats.norm, 2)])
                .map(|number| format!("{number:>NUMBER$}"))
                .collect();
            numbers.concat()
        };
        let style = if unseen { theme.warning() } else { style };
        buffer.set_stringn(area.x + NAMES as u16, y, numbers, 5 * NUMBER, style);
        for (index, &column) in rows
            .iter()
            .skip(first_column)
            .take(shown_columns)
            .enumerate()
        {
            let x = matrix_x + (index * cell) as u16;
            let value = cosine(vector, embedding.row(column));
            if value.is_finite() {
                matrix::cell(buffer, (x, y), cell, value as f32, scale, app);
            } else {
                buffer.set_stringn(x, y, "·", cell, theme.muted());
            }
        }
    }
    let y = area.y + 1 + shown_rows as u16;
    if y < area.bottom() {
        let place = Rect {
            x: matrix_x.min(area.right()),
            y,
            width: area.right().saturating_sub(matrix_x),
            height: 1,
        };
        legend(buffer, place, scale, "cosine", theme);
        if shown_rows < rows.len() {
            let words = format!("{} of {} tokens", shown_rows, rows.len());
            buffer.set_stringn(area.x, y, words, statistics_end, theme.muted());
        }
    }
    2 + shown_rows as u16
}

fn token_name(run: &Run, position: usize) -> String {
    run.tokens()
        .get(position)
        .map_or_else(String::new, token_strip::word)
}

/// How the selected token's numbers are distributed, and which tokens are nearest to it.
fn draw_selected(buffer: &mut Buffer, area: Rect, app: &App, run: &Run, embedding: &Snapshot) {
    let vector = embedding.row(app.cursor.token);
    if vector.is_empty() || area.height < 4 {
        return;
    }
    let name = token_name(run, app.cursor.token);
    let title = format!(
        "{name}: {} numbers, row {} of the table",
        vector.len(),
        id(app, run)
    );
    let area = line(buffer, area, &title, app.theme.title());
    let limit = Scale::signed(vector.iter().copied()).high.max(0.01);
    let wide = area.width >= 90;
    let place = Rect {
        width: if wide { area.width / 2 } else { area.width },
        height: area.height.min(12),
        ..area
    };
    Histogram {
        values: vector,
        range: (-limit, limit),
        normal: false,
    }
    .draw(buffer, place, app.theme);
    if wide {
        let x = area.x + area.width / 2 + 3;
        let place = Rect {
            x,
            width: area.right().saturating_sub(x),
            ..area
        };
        draw_nearest(buffer, place, app, run, embedding);
    }
}

fn id(app: &App, run: &Run) -> u32 {
    run.tokens()
        .get(app.cursor.token)
        .map_or(0, |token| token.id)
}

/// The prompt's other tokens, the most alike first.
fn draw_nearest(buffer: &mut Buffer, area: Rect, app: &App, run: &Run, embedding: &Snapshot) {
    let selected = embedding.row(app.cursor.token);
    let mut others: Vec<(f64, usize)> = run
        .tokens()
        .iter()
        .filter(|token| token.kind != TokenKind::Padding && token.position != app.cursor.token)
        .map(|token| {
            (
                cosine(selected, embedding.row(token.position)),
                token.position,
            )
        })
        .filter(|(cosine, _)| cosine.is_finite())
        .collect();
    others.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut area = line(buffer, area, "most alike in this prompt", app.theme.muted());
    for (cosine, position) in others.into_iter().take(area.height.into()) {
        let name = text::fit(&token_name(run, position), NAMES + 3);
        let words = format!("{name} {:>6}", text::fixed(cosine, 3));
        area = line(buffer, area, &words, app.theme.text());
    }
}

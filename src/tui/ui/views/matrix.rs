//! A row of cells for each token: the columns of a table that are colours.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::state::plane::{Plane, covered};
use crate::tui::ui::context::{RunContext, ViewContext};
use crate::tui::ui::text;
use crate::tui::ui::widgets::half_blocks;
use crate::tui::ui::widgets::heat_map::Scale;

/// Columns of one cell, so that `count` of them fit `room` columns: wide enough for a number where that is possible.
pub fn cell_width(count: usize, room: usize) -> usize {
    match room / count.max(1) {
        0 | 1 => 1,
        2..=5 => 2,
        _ => 6,
    }
}

/// The number of a narrow column: every second one, and the selected one, so that they do not run together.
fn heading(column: usize, width: usize, selected: usize) -> String {
    let shown = column == selected
        || column.is_multiple_of(2) && (column < 9 || column.abs_diff(selected) > 1);
    if width >= 2 && shown {
        format!("{column:>width$}")
    } else {
        String::new()
    }
}

/// Draws the headings of `columns`, each a position of the prompt: its word where there is room, else its number.
pub fn headings(
    buffer: &mut Buffer,
    (mut x, y): (u16, u16),
    width: usize,
    columns: impl Iterator<Item = usize>,
    ctx: &RunContext,
) {
    let selected = ctx.cursor.token;
    for column in columns {
        let name = if width >= 5 {
            text::fit(&ctx.word(column), width - 1)
        } else {
            heading(column, width, selected)
        };
        let style = ctx.theme.accent_if(column == selected, ctx.theme.muted());
        buffer.set_stringn(x, y, name, width, style);
        x += width as u16;
    }
}

/// Draws `vector` as one row of cells, a colour each: of one number, or of the mean of those that a cell stands for.
pub fn vector(buffer: &mut Buffer, area: Rect, vector: &[f32], scale: Scale, ctx: &ViewContext) {
    let columns = usize::from(area.width).min(vector.len());
    let plane = Plane {
        values: vector,
        width: vector.len(),
        height: 1,
    };
    for column in 0..columns {
        let value = plane.mean(covered(column, columns, vector.len()), 0..1);
        cell(
            buffer,
            (area.x + column as u16, area.y),
            1,
            value,
            scale,
            ctx,
        );
    }
}

/// Draws one cell, `width` columns wide: the value's colour, and the value itself where there is room.
pub fn cell(
    buffer: &mut Buffer,
    (x, y): (u16, u16),
    width: usize,
    value: f32,
    scale: Scale,
    ctx: &ViewContext,
) {
    let pixel = scale.pixel(value);
    let style = ctx.theme.on(pixel.paint);
    let caption = if width >= 5 {
        format!("{:>w$} ", text::fixed(f64::from(value), 2), w = width - 1)
    } else if ctx.theme.is_monochrome() {
        half_blocks::shade(pixel.level).repeat(width)
    } else {
        " ".repeat(width)
    };
    buffer.set_stringn(x, y, caption, width, style);
}

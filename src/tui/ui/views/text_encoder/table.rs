//! One row a token: its norm, how far it moved, and whom it attended to.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{NAMES, State, attention_row, movement};
use crate::trace::Stats;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{below, fitting, left, line, matrix, right_of, scroll};
use crate::tui::ui::widgets::bars;
use crate::tui::ui::widgets::heat_map::{Scale, legend};

/// Columns of a number, and of the bar that stands for the movement.
const NUMBER: usize = 8;
/// The least columns for the attention beside the table; where there are fewer, the table makes room.
const MATRIX: usize = 8;

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

/// The table, and which part of it is shown.
struct Table<'a> {
    ctx: &'a RunContext<'a>,
    state: &'a State<'a>,
    columns: TableColumns,
    /// Tokens in all, and those that are shown.
    count: usize,
    rows: std::ops::Range<usize>,
    /// Where the attention begins, how wide a cell of it is, and whose it is.
    matrix_x: u16,
    cell: usize,
    keys: std::ops::Range<usize>,
    has_attention: bool,
    moves: Vec<Option<f64>>,
}

/// Draws the table at the top of `area`; returns the rows used.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext, state: &State) -> u16 {
    let table = Table::new(area, ctx, state);
    table.draw_head(buffer, area);
    for (index, row) in table.rows.clone().enumerate() {
        table.draw_row(buffer, below(area, 1 + index as u16), row);
    }
    let shown = table.rows.len() as u16;
    table.draw_foot(buffer, below(area, 1 + shown));
    2 + shown
}

impl<'a> Table<'a> {
    fn new(area: Rect, ctx: &'a RunContext, state: &'a State) -> Self {
        let count = super::without_padding(ctx);
        let shown = usize::from(area.height.saturating_sub(2)).min(count);
        let first = scroll(ctx.cursor.token, count, shown);
        let columns = TableColumns::new(area.width.into());
        let room = usize::from(area.width).saturating_sub(columns.width);
        let cell = matrix::cell_width(count, room);
        let keys = (room / cell).min(count);
        let first_key = scroll(ctx.cursor.token, count, keys);
        let moves = (0..count).map(|row| Some(movement(state.before?, state.vectors, row)));
        Self {
            ctx,
            state,
            matrix_x: area.x + columns.width as u16,
            columns,
            count,
            rows: first..first + shown,
            cell,
            keys: first_key..first_key + keys,
            has_attention: attention_row(ctx, state.name, 0).is_some(),
            moves: moves.collect(),
        }
    }

    fn norm_width(&self) -> usize {
        if self.columns.norm { NUMBER } else { 0 }
    }

    fn draw_head(&self, buffer: &mut Buffer, area: Rect) {
        let style = self.ctx.theme.muted();
        let say = |said| self.ctx.say(said);
        let norm = if self.columns.norm {
            say(["norm", "范数"])
        } else {
            ""
        };
        let norm = text::right(norm, self.norm_width());
        let head = text::fit(say(["token", "词元"]), NAMES);
        let moved = text::right(say(["moved", "变化"]), NUMBER);
        let head = format!("{head}{norm}{moved}");
        buffer.set_stringn(area.x, area.y, head, self.columns.width, style);
        if self.has_attention {
            let place = (self.matrix_x, area.y);
            matrix::headings(buffer, place, self.cell, self.keys.clone(), self.ctx);
            return;
        }
        let forms = self.ctx.say(if self.state.before.is_none() {
            [
                ["token + position: no attention yet", "no attention yet", ""],
                ["词元 + 位置：还没有注意力", "还没有注意力", ""],
            ]
        } else {
            [
                ["normalised: no attention here", "no attention", ""],
                ["归一化：这里没有注意力", "没有注意力", ""],
            ]
        });
        let place = right_of(area, self.matrix_x);
        line(buffer, place, fitting(&forms, place.width), style);
    }

    /// The row of the token at the position `row`.
    fn draw_row(&self, buffer: &mut Buffer, area: Rect, row: usize) {
        let theme = self.ctx.theme;
        let is_selected = row == self.ctx.cursor.token;
        let style = theme.accent_if(is_selected, theme.text());
        let norm = text::fixed(Stats::of(self.state.vectors.row(row)).norm, 2);
        let norm = if self.columns.norm { norm.as_str() } else { "" };
        let moved = self.moves[row].map_or("–".to_owned(), |moved| text::fixed(moved, 3));
        let name = text::fit(&self.ctx.word(row), NAMES);
        let width = self.norm_width();
        let caption = format!("{name}{norm:>width$}{moved:>NUMBER$} ");
        let (x, _) = buffer.set_stringn(area.x, area.y, caption, self.columns.width, style);
        if let (true, Some(moved)) = (self.columns.bar, self.moves[row]) {
            let style = if is_selected { style } else { theme.muted() };
            let farthest = self.moves.iter().flatten().copied().fold(0.0, f64::max);
            let bar = bars::share(moved / farthest, NUMBER - 2);
            buffer.set_stringn(x, area.y, bar, NUMBER - 2, style);
        }
        if let Some(attention) = attention_row(self.ctx, self.state.name, row) {
            self.draw_attention(buffer, area.y, row, attention);
        }
    }

    /// The shares of the token at `row`, which attends to itself and to what stands before it.
    fn draw_attention(&self, buffer: &mut Buffer, y: u16, row: usize, attention: &[f32]) {
        let scale = Scale::magnitudes([1.0]);
        for (index, key) in self.keys.clone().enumerate() {
            let x = self.matrix_x + (index * self.cell) as u16;
            if key <= row {
                let value = attention.get(key).copied().unwrap_or(f32::NAN);
                matrix::cell(buffer, (x, y), self.cell, value, scale, self.ctx);
            } else {
                buffer.set_stringn(x, y, "·", self.cell, self.ctx.theme.rule());
            }
        }
    }

    /// What the numbers are, and the scale of the attention.
    fn draw_foot(&self, buffer: &mut Buffer, area: Rect) {
        if area.height == 0 {
            return;
        }
        let theme = self.ctx.theme;
        let say = |said| self.ctx.say(said);
        let (shown, count) = (self.rows.len(), self.count);
        let counted = self
            .ctx
            .say([format!("{shown} of {count}"), format!("{shown} / {count}")]);
        let moved = say(["moved: 1 − cosine", "变化：1 − 余弦"]);
        let long = format!("{counted} · {moved}");
        let forms = if shown < count {
            [long.as_str(), &counted]
        } else {
            let longest = ["moved: 1 − cosine to before", "变化：1 − 与前一状态的余弦"];
            [say(longest), moved]
        };
        let style: Style = theme.muted();
        if !self.has_attention {
            line(buffer, area, fitting(&forms, area.width), style);
            return;
        }
        let place = left(area, self.columns.width as u16 - 1);
        line(buffer, place, fitting(&forms, place.width), style);
        let whose = self.ctx.say(match self.ctx.cursor.detail.text_head {
            Some(head) => [
                format!("row attends to column, head {head}"),
                format!("行关注列，头 {head}"),
            ],
            None => {
                ["row attends to column, mean of heads", "行关注列，各头平均"].map(str::to_owned)
            }
        });
        let scale = Scale::magnitudes([1.0]);
        legend(buffer, right_of(area, self.matrix_x), scale, &whose, theme);
    }
}

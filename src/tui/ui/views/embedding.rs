//! The prompt's tokens as vectors: their statistics, how alike they are, how one is distributed, and which words of the
//! whole vocabulary lie nearest to it.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{DRAWN, below, fitting, fitting_of, left, line, matrix, neighbours, not_finite};
use super::{right_of, scroll, split, strip, top};
use crate::generation::cosine;
use crate::lesson::Said;
use crate::model::tokenizer::{Token, TokenKind};
use crate::trace::{Stats, TensorData};
use crate::tui::state::detail::Part;
use crate::tui::state::run::Run;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::heat_map::{Scale, legend};
use crate::tui::ui::widgets::{histogram::Histogram, tabs};

/// Columns of a token's name.
const NAMES: usize = 11;
/// What is said of each vector.
const STATISTICS: [Said; 5] = [
    ["mean", "均值"],
    ["std", "标准差"],
    ["min", "最小"],
    ["max", "最大"],
    ["norm", "范数"],
];
/// Columns of one statistic.
const NUMBER: usize = 7;
/// The least columns for histogram and neighbours side by side.
const WIDE: u16 = 90;

/// Rows of the selected token's part, where there is room for more: then every number of every token, in so many at least.
const SELECTED: u16 = 14;
const LEAST_NUMBERS: u16 = 7;
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
    if area.height >= SELECTED + 1 + LEAST_NUMBERS {
        draw_selected(buffer, top(area, SELECTED), ctx, &embedding);
        draw_numbers(buffer, below(area, SELECTED + 1), ctx, &embedding);
    } else {
        draw_selected(buffer, area, ctx, &embedding);
    }
    DRAWN
}

/// Every number of every token before the padding, a row each, the tokens' numbers above one another on one scale.
fn draw_numbers(buffer: &mut Buffer, area: Rect, ctx: &RunContext, embedding: &TensorData) {
    let theme = ctx.theme;
    let is_padding = |token: &Token| token.kind == TokenKind::Padding;
    let tokens = ctx.run.tokens().iter();
    let count = tokens.take_while(|token| !is_padding(token)).count();
    let length = embedding.row(0).len();
    let room = usize::from(area.width).saturating_sub(NAMES);
    let note = ctx.say(if length > room {
        [
            format!("{length} numbers of each token, the mean of those in one cell"),
            format!("每个词元的 {length} 个数，每格是其中几个的平均"),
        ]
    } else {
        [
            format!("{length} numbers of each token"),
            format!("每个词元的 {length} 个数"),
        ]
    });
    let area = line(buffer, area, &note, theme.title());
    let room = area.height.saturating_sub(1);
    let shown = usize::from(room).min(count);
    let first = scroll(ctx.cursor.token, count, shown);
    // Where all tokens fit twice, each has two rows.
    let each = (room / shown.max(1) as u16).clamp(1, 2);
    let rows = || (first..first + shown).map(|row| embedding.row(row));
    let scale = Scale::signed(rows().flatten().copied());
    for (index, vector) in rows().enumerate() {
        let from = index as u16 * each;
        let y = area.y + from;
        let row = first + index;
        let style = theme.accent_if(row == ctx.cursor.token, theme.text());
        let name = text::fit(&ctx.word(row), NAMES - 1);
        buffer.set_stringn(area.x, y, name, usize::from(area.width), style);
        let place = right_of(below(area, from), area.x + NAMES as u16);
        for row in top(place, each).rows() {
            matrix::vector(buffer, row, vector, scale, ctx);
        }
    }
    let place = right_of(below(area, shown as u16 * each), area.x + NAMES as u16);
    let whose = ctx.say(["one scale for all", "共用一个色标"]);
    legend(buffer, top(place, 1), scale, whose, theme);
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
    let names = Part::ALL.map(|part| ctx.say(part.name()));
    let selected = ctx.cursor.detail.part as usize;
    let x = tabs::draw(buffer, top(area, 1), "v", &names, selected, ctx.theme);
    let token = ctx.cursor.token;
    let vectors = [Part::Token, Part::Position].map(|part| vectors(ctx.run, part));
    if let [Some(of_token), Some(of_position)] = vectors {
        let norms = [of_token, of_position].map(|vectors| Stats::of(vectors.row(token)).norm);
        let lengths = norms.map(|norm| text::fixed(norm, 3)).join(" + ");
        let (name, length) = (ctx.word(token), ctx.say(["length", "长度"]));
        let colon = ctx.say([": ", "："]);
        let long = format!("   {name}{colon}{length} {lengths}");
        let place = right_of(area, x);
        let short = format!("   {length} {lengths}");
        let words = fitting(&[&long, &short, ""], place.width);
        line(buffer, place, words, ctx.theme.muted());
    }
    below(area, 1 + u16::from(area.height > 24))
}

/// The table of tokens: statistics and cosines, and which part of it is shown.
struct Table<'a> {
    ctx: &'a RunContext<'a>,
    embedding: &'a TensorData,
    /// How many statistics there are: where there is little room the last one stays, the norm.
    count: usize,
    /// The positions that have a row, and those that have a column.
    rows: &'a [usize],
    columns: &'a [usize],
    /// Where the cosines begin, and how wide a cell of them is.
    matrix_x: u16,
    cell: usize,
}

/// One row a token: statistics and cosines. Returns the rows used.
fn draw_table(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    embedding: &TensorData,
    rows: &[usize],
) -> u16 {
    let width = usize::from(area.width);
    let count = if width < 40 { 1 } else { STATISTICS.len() };
    let statistics_end = NAMES + count * NUMBER + 2;
    let room = width.saturating_sub(statistics_end);
    let cell = matrix::cell_width(rows.len(), room);
    let selected = rows.iter().position(|&row| row == ctx.cursor.token);
    // As many of the rows, or columns, as there is room for, around the selected one.
    let part = |room: usize| {
        let shown = room.min(rows.len());
        let first = scroll(selected.unwrap_or(0), rows.len(), shown);
        &rows[first..first + shown]
    };
    let table = Table {
        ctx,
        embedding,
        count,
        rows: part(usize::from(area.height.saturating_sub(2))),
        columns: part(room / cell),
        matrix_x: area.x + statistics_end as u16,
        cell,
    };
    table.draw_head(buffer, area);
    for (index, &row) in table.rows.iter().enumerate() {
        table.draw_row(buffer, below(area, 1 + index as u16), row);
    }
    let shown = table.rows.len() as u16;
    table.draw_foot(buffer, below(area, 1 + shown), rows.len());
    2 + shown
}

impl Table<'_> {
    fn draw_head(&self, buffer: &mut Buffer, area: Rect) {
        let ctx = self.ctx;
        let names = STATISTICS[STATISTICS.len() - self.count..].iter();
        let names: String = names
            .map(|&name| text::right(ctx.say(name), NUMBER))
            .collect();
        let head = text::fit(ctx.say(["token", "词元"]), NAMES);
        let head = format!("{head}{names}");
        let width = usize::from(area.width);
        buffer.set_stringn(area.x, area.y, head, width, ctx.theme.muted());
        let shown = self.columns.iter().copied();
        matrix::headings(buffer, (self.matrix_x, area.y), self.cell, shown, ctx);
    }

    /// The row of the token at the position `row`.
    fn draw_row(&self, buffer: &mut Buffer, area: Rect, row: usize) {
        let (ctx, theme) = (self.ctx, self.ctx.theme);
        let vector = self.embedding.row(row);
        let style = theme.accent_if(row == ctx.cursor.token, theme.text());
        let name = text::fit(&ctx.word(row), NAMES - 1);
        buffer.set_stringn(area.x, area.y, name, area.width.into(), style);
        let room = self.count * NUMBER;
        let is_zero = !vector.is_empty() && vector.iter().all(|&value| value == 0.0);
        let (numbers, style) = if is_zero {
            let forms = ctx.say([
                ["   never seen: a row of zeros", "  zeros"],
                ["   从没见过：全是零的一行", "  全零"],
            ]);
            (fitting(&forms, room as u16).to_owned(), theme.warning())
        } else {
            (numbers(&Stats::of(vector), self.count), style)
        };
        buffer.set_stringn(area.x + NAMES as u16, area.y, numbers, room, style);
        let scale = Scale::around_zero(1.0);
        for (index, &column) in self.columns.iter().enumerate() {
            let place = (self.matrix_x + (index * self.cell) as u16, area.y);
            let value = cosine(vector, self.embedding.row(column));
            if value.is_finite() {
                matrix::cell(buffer, place, self.cell, value as f32, scale, ctx);
            } else {
                buffer.set_stringn(place.0, place.1, "·", self.cell, theme.muted());
            }
        }
    }

    /// The scale of the cosines, and how many of `all` rows there are.
    fn draw_foot(&self, buffer: &mut Buffer, area: Rect, all: usize) {
        if area.height == 0 {
            return;
        }
        let (ctx, shown) = (self.ctx, self.rows.len());
        let beneath = right_of(area, self.matrix_x);
        let scale = Scale::around_zero(1.0);
        let whose = ctx.say(["cosine", "余弦"]);
        legend(buffer, beneath, scale, whose, ctx.theme);
        if shown < all {
            let words = ctx.say([
                format!("{shown} of {all} tokens"),
                format!("{all} 个词元中的 {shown} 个"),
            ]);
            let room = usize::from(self.matrix_x - area.x);
            buffer.set_stringn(area.x, area.y, words, room, ctx.theme.muted());
        }
    }
}

fn numbers(stats: &Stats, count: usize) -> String {
    let numbers = [stats.mean, stats.std, stats.min.into(), stats.max.into()];
    let numbers = numbers.iter().map(|&number| text::fixed(number, 3));
    let numbers = numbers.chain([text::fixed(stats.norm, 2)]);
    // Those of the finite values alone would look as if all were well.
    let is_sound = stats.non_finite == 0;
    let numbers = numbers.map(|number| if is_sound { number } else { "NaN".to_owned() });
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
    let forms = described(ctx, vector.len());
    let mut title = fitting_of(&forms, area.width).to_owned();
    let wide = area.width >= WIDE;
    if wide {
        let (mean, std, norm) = (stats.mean, stats.std, stats.norm);
        let precise = ctx.say([
            format!(" · mean {mean:.6}  std {std:.6}  norm {norm:.6}"),
            format!(" · 均值 {mean:.6}  标准差 {std:.6}  范数 {norm:.6}"),
        ]);
        title.push_str(&precise.replace('-', "−"));
        if stats.non_finite > 0 {
            title.push_str("  ");
            title.push_str(&not_finite(stats.non_finite, ctx.language));
        }
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

/// The selected token's vector: how long it is, and where it is from; in full, and in short.
fn described(ctx: &RunContext, length: usize) -> [String; 2] {
    let (name, token, id) = (ctx.word(ctx.cursor.token), ctx.cursor.token, id(ctx));
    let numbers = ctx.say([
        format!("{name}: {length} numbers, "),
        format!("{name}：{length} 个数，"),
    ]);
    let row = ctx.say([format!("row {id}"), format!("第 {id} 行")]);
    let position = ctx.say([format!("position {token}"), format!("位置 {token}")]);
    match ctx.cursor.detail.part {
        Part::Token => [
            ctx.say([
                format!("{numbers}{row} of the table"),
                format!("{numbers}表的{row}"),
            ]),
            format!("{numbers}{row}"),
        ],
        Part::Position => [(); 2].map(|()| format!("{numbers}{position}")),
        Part::Sum => [(); 2].map(|()| format!("{numbers}{row} + {position}")),
    }
}

fn id(ctx: &RunContext) -> u32 {
    let token = ctx.run.tokens().get(ctx.cursor.token);
    token.map_or(0, |token| token.id)
}

/// What lies nearest to the selected token's vector.
fn draw_beside(buffer: &mut Buffer, area: Rect, ctx: &RunContext, embedding: &TensorData) {
    let in_prompt = neighbours::alike(ctx, embedding);
    if ctx.cursor.detail.part == Part::Token {
        neighbours::draw_both(buffer, area, ctx, id(ctx), &in_prompt);
    } else {
        neighbours::draw_alike(buffer, area, ctx, &in_prompt);
    }
}

/// The same beneath the vector's description.
fn draw_neighbours(buffer: &mut Buffer, area: Rect, ctx: &RunContext, embedding: &TensorData) {
    let length = embedding.row(ctx.cursor.token).len();
    let forms = described(ctx, length);
    let title = fitting_of(&forms, area.width);
    let area = line(buffer, area, title, ctx.theme.title());
    draw_beside(buffer, area, ctx, embedding);
}

//! One place and one word, by hand: q · k, the scale, the softmax, and what the share brings.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::tokenizer::{Token, TokenKind};
use crate::trace::Guidance;
use crate::tui::state::attention::short_path;
use crate::tui::state::closer::{ByHand, rms};
use crate::tui::state::in_words;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{below, fitting, fitting_of, line, paragraph, split, top};
use crate::tui::ui::widgets::heat_map::Scale;
use crate::tui::ui::widgets::{bars, token_strip};

/// Columns of a line's name.
const NAME: u16 = 5;
/// Columns of one number, with three decimals.
const NUMBER: usize = 8;
/// From so many columns on the table and what the word brings stand side by side.
const WIDE: u16 = 96;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) {
    let cursor = &ctx.cursor;
    let Some(hand) = ByHand::at(ctx.run, cursor) else {
        super::draw_lack(buffer, area, ctx, &cursor.looks());
        return;
    };
    let caption = describe(ctx, &hand);
    let area = line(
        buffer,
        area,
        fitting_of(&caption, area.width),
        ctx.theme.text(),
    );
    let gap = u16::from(area.height > 18);
    let area = below(area, gap);
    let area = product(buffer, area, ctx, &hand);
    let area = below(area, gap);
    if area.width >= WIDE {
        let (left, right) = split(area, area.width * 3 / 5, 3);
        table(buffer, left, ctx, &hand);
        brings(buffer, right, ctx, &hand);
    } else {
        let rows = area.height.saturating_sub(2);
        table(buffer, top(area, rows), ctx, &hand);
        brings(buffer, below(area, rows), ctx, &hand);
    }
}

fn describe(ctx: &RunContext, hand: &ByHand) -> [String; 3] {
    let (cursor, layer) = (&ctx.cursor, hand.layer);
    let step = in_words::step(cursor.step, ctx.language);
    let path = short_path(&layer.path);
    let (row, column) = (
        hand.place / layer.width.max(1),
        hand.place % layer.width.max(1),
    );
    let (width, height, head) = (layer.width, layer.height, hand.head);
    let word = word(ctx, cursor.token);
    let half = match cursor.attention.half {
        Guidance::Cond => "",
        Guidance::Uncond => ctx.say([" · without the prompt", " · 没有提示词"]),
    };
    ctx.say([
        [
            format!("{step} · {path} · head {head} · column {column}, row {row} of {width}×{height} · “{word}”{half}"),
            format!("{path} · head {head} · {column}, {row} of {width}×{height} · “{word}”"),
            format!("{path} · {head} · “{word}”"),
        ],
        [
            format!("{step} · {path} · 头 {head} · {width}×{height} 的第 {column} 列第 {row} 行 · “{word}”{half}"),
            format!("{path} · 头 {head} · {width}×{height} 的 {column}, {row} · “{word}”"),
            format!("{path} · {head} · “{word}”"),
        ],
    ])
}

/// What a token is called; padding, of which there is more, by its position.
fn word(ctx: &RunContext, position: usize) -> String {
    let tokens = super::tokens(ctx);
    match tokens.get(position).map(|token| token.kind) {
        Some(TokenKind::Padding) => format!("{} {position}", ctx.say(token_strip::PADDING)),
        _ => token_strip::name_at(tokens, position, ctx.language),
    }
}

/// Query and key, their product number by number, its sum and what becomes of it; returns the place beneath.
fn product(buffer: &mut Buffer, mut area: Rect, ctx: &RunContext, hand: &ByHand) -> Rect {
    let token = ctx.cursor.token;
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| f64::from(x)).collect() };
    let query = wide(hand.layer.query_of(hand.head, hand.place));
    let key = wide(hand.layer.key_of(hand.head, token));
    let products: Vec<f64> = query.iter().zip(&key).map(|(q, k)| q * k).collect();
    let rows = [("q", &query), ("k", &key), ("q×k", &products)];
    // A third of the place, and at least one chunk.
    let chunks = usize::from(area.height / 9).max(1);
    let shown = numbers(buffer, &mut area, ctx, &rows, chunks);
    let left_out = query.len() - shown;
    let more = if left_out > 0 {
        ctx.say([
            format!("  (and {left_out} more of {})", query.len()),
            format!("（还有 {left_out} 个，共 {} 个）", query.len()),
        ])
    } else {
        String::new()
    };
    let get = |values: &[f64]| values.get(token).copied().unwrap_or(f64::NAN);
    let (product, score) = (get(&hand.row.products), get(&hand.row.scores));
    let size = hand.layer.size();
    let [product, score] = [product, score].map(|value| text::fixed(value, 3));
    let exponential = text::fixed(get(&hand.row.exponentials), 4);
    let sum = text::fixed(hand.row.exponentials.iter().sum(), 3);
    let share = text::fixed(get(&hand.row.probabilities), 4);
    let largest = hand
        .row
        .scores
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    let largest = text::fixed(largest, 3);
    let first = format!("q·k = {product}{more}   q·k / √{size} = {score}");
    let second =
        format!("e^({score} − {largest}) = {exponential}   {exponential} / {sum} = {share}");
    let short = [
        format!("q·k {product}  /√{size} {score}"),
        format!("e^ {exponential}  / {sum} = {share}"),
    ];
    let whole = format!("{first}   {second}");
    if text::width(&whole) <= usize::from(area.width) {
        return line(buffer, area, &whole, ctx.theme.accent());
    }
    let [short_first, short_second] = &short;
    for (long, short) in [(&first, short_first), (&second, short_second)] {
        let said = fitting(&[long, short], area.width);
        area = line(buffer, area, said, ctx.theme.accent());
    }
    area
}

/// Rows of numbers below each other, in at most `chunks` pieces of a line's length; says how many are shown.
fn numbers(
    buffer: &mut Buffer,
    area: &mut Rect,
    ctx: &RunContext,
    rows: &[(&str, &Vec<f64>)],
    chunks: usize,
) -> usize {
    let room = usize::from(area.width.saturating_sub(NAME)) / NUMBER;
    let count = rows.first().map_or(0, |(_, values)| values.len());
    if room == 0 {
        return 0;
    }
    let mut shown = 0;
    for from in (0..count).step_by(room).take(chunks) {
        let to = (from + room).min(count);
        for (name, values) in rows {
            if area.height == 0 {
                return shown;
            }
            let scale = Scale::signed(values.iter().map(|&value| value as f32));
            buffer.set_stringn(area.x, area.y, name, NAME.into(), ctx.theme.title());
            for (index, &value) in values[from..to].iter().enumerate() {
                let x = area.x + NAME + (index * NUMBER) as u16;
                let decimals = if value.abs() < 100.0 { 3 } else { 1 };
                let number = text::right(&text::fixed(value, decimals), NUMBER - 1);
                let style = ctx.theme.on(scale.pixel(value as f32).paint);
                buffer.set_stringn(x, area.y, format!("{number} "), NUMBER, style);
            }
            *area = below(*area, 1);
        }
        shown = to;
    }
    shown
}

/// One row of the table of the softmax.
struct TableRow {
    name: String,
    score: Option<f64>,
    exponential: f64,
    probability: f64,
    share: f64,
    is_selected: bool,
}

/// The softmax over all text positions: those with the largest share, the selected one, the others together, their sum.
fn table(buffer: &mut Buffer, area: Rect, ctx: &RunContext, hand: &ByHand) {
    let keys = hand.layer.keys();
    let title = ctx.say([
        format!("softmax over {keys}"),
        format!("对 {keys} 个位置的 softmax"),
    ]);
    let names = usize::from(area.width / 3).clamp(6, 18);
    let headings = if hand.is_changed {
        ["softmax", ctx.say(["changed", "改动后"]), ""]
    } else {
        ["q·k/√d", "e^", ctx.say(["share", "份额"])]
    };
    let head = headings.map(|name| text::right(name, 8)).concat();
    let title = format!("{}{head}", text::fit(&title, names));
    let area = line(buffer, area, title.trim_end(), ctx.theme.title());
    let mut area = area;
    for row in table_rows(ctx, hand, usize::from(area.height)) {
        let numbers = if hand.is_changed {
            [Some(row.probability), Some(row.share), None]
        } else {
            [row.score, Some(row.exponential), Some(row.share)]
        };
        let numbers = numbers.map(|value| {
            let value = value.map_or_else(String::new, |value| text::fixed(value, 4));
            text::right(&value, 8)
        });
        let room = usize::from(area.width).saturating_sub(names + 26);
        let bar = if row.score.is_some() {
            bars::share(row.share, room.min(16))
        } else {
            String::new()
        };
        let said = format!("{}{}  {bar}", text::fit(&row.name, names), numbers.concat());
        let style = ctx.theme.accent_if(row.is_selected, ctx.theme.text());
        area = line(buffer, area, said.trim_end(), style);
    }
}

fn table_rows(ctx: &RunContext, hand: &ByHand, room: usize) -> Vec<TableRow> {
    let tokens = super::tokens(ctx);
    let selected = ctx.cursor.token;
    let row = |token: &Token| {
        let at = token.position;
        let get = |values: &[f64]| values.get(at).copied().unwrap_or(0.0);
        TableRow {
            name: word(ctx, at),
            score: hand.row.scores.get(at).copied(),
            exponential: get(&hand.row.exponentials),
            probability: get(&hand.row.probabilities),
            share: get(&hand.shares),
            is_selected: at == selected,
        }
    };
    let sum = |name: String, rows: &[TableRow]| {
        let of = |value: fn(&TableRow) -> f64| rows.iter().map(value).sum();
        TableRow {
            name,
            score: None,
            exponential: of(|row| row.exponential),
            probability: of(|row| row.probability),
            share: of(|row| row.share),
            is_selected: false,
        }
    };
    let mut all: Vec<TableRow> = tokens.iter().map(row).collect();
    all.sort_by(|a, b| b.share.total_cmp(&a.share));
    let whole = sum(ctx.say(["sum", "合计"]).to_owned(), &all);
    // The selected one is always there, and the last two rows are those of all others and of the sum.
    let most = room.saturating_sub(2).max(1);
    if let Some(at) = all.iter().position(|row| row.is_selected)
        && at >= most
    {
        let row = all.remove(at);
        all.insert(most - 1, row);
    }
    let rest: Vec<TableRow> = all.split_off(most.min(all.len()));
    let count = rest.len();
    let name = ctx.say([format!("{count} others"), format!("其余 {count} 个")]);
    let others = (count > 0).then(|| sum(name, &rest));
    all.extend(others);
    all.push(whole);
    all.truncate(room);
    all
}

/// What the word brings: its value times its share, and what all positions bring together.
fn brings(buffer: &mut Buffer, area: Rect, ctx: &RunContext, hand: &ByHand) {
    let token = ctx.cursor.token;
    let value = hand.layer.value_of(hand.head, token);
    let value: Vec<f64> = value.iter().map(|&value| f64::from(value)).collect();
    let (brought, whole) = (hand.brought(token), hand.whole());
    let share = hand.shares.get(token).copied().unwrap_or(0.0);
    let [of_value, of_brought, of_whole] =
        [&value, &brought, &whole].map(|values| text::fixed(rms(values), 4));
    let keys = hand.layer.keys();
    let shown = text::fixed(share, 4);
    let said = ctx.say([
        format!("What it brings: {shown} × v, rms {shown} × {of_value} = {of_brought}; all {keys} together, the head's output here, rms {of_whole}."),
        format!("它带来的：{shown} × v，rms {shown} × {of_value} = {of_brought}；{keys} 个位置合起来就是这个头在这里的输出，rms {of_whole}。"),
    ]);
    let mut area = paragraph(buffer, area, &said, ctx.theme.text());
    if hand.is_changed {
        let note = ctx.say([
            "This run changes attention after the softmax: the changed share is what the network goes on with.",
            "这个运行在 softmax 之后改动注意力：网络用的是改动后的份额。",
        ]);
        area = paragraph(buffer, area, note, ctx.theme.warning());
    }
    let rows = [("v", &value), ("p×v", &brought), ("Σp×v", &whole)];
    let chunks = usize::from(area.height / 3);
    if chunks > 0 {
        let area = &mut below(area, u16::from(area.height > 6));
        numbers(buffer, area, ctx, &rows, chunks);
    }
}

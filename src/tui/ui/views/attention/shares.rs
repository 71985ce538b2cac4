//! Shares of attention in numbers: of the whole picture, or of one place of it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::model::tokenizer::{Token, TokenKind};
use crate::tui::state::attention::{SelectedMaps, short_path};
use crate::tui::ui::context::{RunContext, ViewContext};
use crate::tui::ui::text;
use crate::tui::ui::views::{below, fitting, fitting_of, line, scroll};
use crate::tui::ui::widgets::{bars, token_strip};

/// Where there are fewer columns, shares stand without bars and without their unit.
const NARROW: u16 = 16;

/// What all places together attend to, and how evenly the selected word's attention is spread.
pub fn draw_shares(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    selection: &SelectedMaps,
    map: &[f32],
) {
    let theme = ctx.theme;
    let token = ctx.cursor.token;
    let tokens = super::tokens(ctx);
    let selected = tokens.get(token);
    let name = match selected.map(|selected| selected.kind) {
        // There are others of it: it is told apart by its position, as in the strip of words.
        Some(TokenKind::Padding) => format!("{} {token}", ctx.say(token_strip::PADDING)),
        _ => token_strip::name_at(tokens, token, ctx.language),
    };
    let forms = ctx.say(if area.width < NARROW {
        [["share, %"; 2], ["份额，%"; 2]]
    } else {
        [
            ["share of attention", "attention"],
            ["注意力的份额", "注意力"],
        ]
    });
    let mut area = line(buffer, area, fitting(&forms, area.width), theme.title());
    area = draw_share(buffer, area, &name, selection.share(token), theme.accent());
    let room = name_width(area.width) as u16;
    let words = ctx.say([
        ["other words", "others", "else"],
        ["其余的词", "其余", "其余"],
    ]);
    let words = fitting(&words, room);
    let padding = match selected.map(|selected| selected.kind) {
        Some(TokenKind::Padding) => [["other padding", "others"], ["其余的填充", "其余"]],
        _ => [["padding", "pad"], ["填充", "填充"]],
    };
    let padding = ctx.say(padding);
    let padding = fitting(&padding, room);
    for (name, kind) in [
        (ctx.say(token_strip::START), TokenKind::Start),
        (words, TokenKind::Word),
        (padding, TokenKind::Padding),
        // One position of 77: the row that can be missed where there is no room.
        (ctx.say(token_strip::END), TokenKind::End),
    ] {
        let others =
            || (tokens.iter()).filter(|other| other.kind == kind && other.position != token);
        // The selected token has its row already.
        if others().next().is_some() {
            let share = others().map(|other| selection.share(other.position)).sum();
            area = draw_share(buffer, area, name, share, theme.text());
        }
    }
    let needed = 3 + u16::from(!selection.all.is_empty());
    area = draw_spread(buffer, area, ctx, map, needed);
    if area.height > needed {
        draw_layers(buffer, below(area, 1), ctx, selection);
    }
}

/// How evenly the map is spread: its entropy, and the places that an even map of that entropy would have, unless that
/// takes the list of layers one of the rows that it needs.
fn draw_spread(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    map: &[f32],
    needed: u16,
) -> Rect {
    let (bits, most) = entropy(map);
    let even = text::fixed(bits.exp2(), 0);
    let (least, most) = (text::fixed(bits, 2), text::fixed(most, 0));
    let bits = ctx.say([
        format!("{least} of {most} bit"),
        format!("{least} / {most} bit"),
    ]);
    let long = format!("{} {bits}", ctx.say(["entropy", "熵"]));
    let short = format!("H {bits}");
    let words = fitting(&[&long, &short, &bits, &least], area.width);
    let area = line(buffer, area, words, ctx.theme.muted());
    let places = map.len();
    let forms = ctx.say([
        [
            format!("as even as {even} of {places} places"),
            format!("as {even} of {places} places"),
            format!("{even} of {places}"),
        ],
        [
            format!("相当于均匀分布在 {even} / {places} 个位置"),
            format!("均匀 {even} / {places} 个位置"),
            format!("{even} / {places}"),
        ],
    ]);
    if area.height == needed + 1 || area.width < NARROW {
        return area;
    }
    line(
        buffer,
        area,
        fitting_of(&forms, area.width),
        ctx.theme.muted(),
    )
}

/// The words that one place attends to, the largest share first.
pub fn draw_place(buffer: &mut Buffer, area: Rect, ctx: &RunContext, selection: &SelectedMaps) {
    let theme = ctx.theme;
    let place = ctx.cursor.attention.place;
    let tokens = super::tokens(ctx);
    let share_of = |token: &Token| selection.at(token.position, place);
    let is_word = |token: &&Token| token.kind == TokenKind::Word;
    let mut words: Vec<(&Token, f64)> = (tokens.iter().filter(is_word))
        .map(|token| (token, share_of(token)))
        .collect();
    words.sort_by(|a, b| b.1.total_cmp(&a.1));
    let [across, down] = [place.0, place.1].map(|part| text::fixed(f64::from(part) * 100.0, 0));
    let forms = ctx.say([
        [
            format!("here, {across} % across, {down} % down"),
            format!("{across} % across, {down} % down"),
            format!("at {across} %, {down} %"),
        ],
        [
            format!("这里：从左 {across} %，从上 {down} %"),
            format!("从左 {across} %，从上 {down} %"),
            format!("{across} %，{down} %"),
        ],
    ]);
    let mut area = line(buffer, area, fitting_of(&forms, area.width), theme.title());
    let others = [
        (token_strip::START, TokenKind::Start),
        (token_strip::END, TokenKind::End),
        (token_strip::PADDING, TokenKind::Padding),
    ];
    let rows = usize::from(area.height).saturating_sub(others.len() + 1);
    for (token, share) in words.iter().take(rows) {
        let style = theme.accent_if(token.position == ctx.cursor.token, theme.text());
        area = draw_share(
            buffer,
            area,
            &token_strip::word(token, ctx.language),
            *share,
            style,
        );
    }
    if rows < words.len() {
        let rest: f64 = words.iter().skip(rows).map(|(_, share)| share).sum();
        let name = ctx.say(["other words", "其余的词"]);
        area = draw_share(buffer, area, name, rest, theme.muted());
    }
    for (name, kind) in others {
        let of_kind = tokens.iter().filter(|token| token.kind == kind);
        let share = of_kind.map(share_of).sum();
        area = draw_share(buffer, area, ctx.say(name), share, theme.muted());
    }
}

/// Columns of a name in a row of `columns` columns.
fn name_width(columns: u16) -> usize {
    let number = if columns < NARROW { 5 } else { 8 };
    usize::from(columns).saturating_sub(number).min(14)
}

fn draw_share(buffer: &mut Buffer, area: Rect, name: &str, share: f64, style: Style) -> Rect {
    let name = text::fit(name, name_width(area.width));
    let percent = text::fixed(100.0 * share, 1);
    let words = if area.width < NARROW {
        // Two runs side by side on a small screen.
        format!("{name}{percent:>5}")
    } else {
        let bar = usize::from(area.width).saturating_sub(24).min(16);
        format!("{name}{percent:>6} % {}", bars::share(share, bar))
    };
    line(buffer, area, words.trim_end(), style)
}

/// Entropy of a map over places, in bits, and the most that it could be.
fn entropy(map: &[f32]) -> (f64, f64) {
    let sum: f64 = map.iter().map(|&value| f64::from(value)).sum();
    let bits = map.iter().filter(|value| **value > 0.0).map(|&value| {
        let share = f64::from(value) / sum;
        -share * share.log2()
    });
    (bits.sum(), (map.len().max(1) as f64).log2())
}

fn draw_layers(buffer: &mut Buffer, area: Rect, ctx: &ViewContext, selection: &SelectedMaps) {
    let theme = ctx.theme;
    let maps = selection.all;
    let title = ctx.say(["layers ↑↓", "层 ↑↓"]);
    let mut area = line(buffer, area, title, theme.title());
    let selected = ctx.cursor.attention.layer.map_or(0, |layer| layer + 1);
    let rows = usize::from(area.height).min(maps.len() + 1);
    let first = scroll(selected, maps.len() + 1, rows);
    for index in first..first + rows {
        let forms = match index.checked_sub(1).and_then(|layer| maps.get(layer)) {
            None => {
                let count = maps.len();
                [
                    ctx.say([
                        format!("mean of all {count}"),
                        format!("全部 {count} 层平均"),
                    ]),
                    ctx.say(["mean", "平均"]).to_owned(),
                ]
            }
            Some(map) => {
                let path = short_path(&map.path);
                [format!("{path} · {}×{}", map.width, map.height), path]
            }
        };
        let words = fitting_of(&forms, area.width.saturating_sub(2));
        let (mark, style) = if index == selected {
            ("▸", theme.accent())
        } else {
            (" ", theme.text())
        };
        area = line(buffer, area, &format!("{mark} {words}"), style);
    }
}

//! The selected head of the matrix: all its figures, and what it attends to.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::heads::{mean_of, measure_name, value};
use crate::model::tokenizer::{Token, TokenKind};
use crate::trace::HeadSummary;
use crate::tui::state::Measure;
use crate::tui::state::attention::short_path;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{below, line, paragraph, scroll};
use crate::tui::ui::widgets::{bars, token_strip};

/// All figures of the selected head.
pub fn describe(buffer: &mut Buffer, area: Rect, ctx: &RunContext, layers: &[HeadSummary]) {
    let (cursor, tokens) = (&ctx.cursor, super::tokens(ctx));
    let (layer, head) = (cursor.attention.layer, cursor.attention.head);
    let which = match layer.and_then(|layer| layers.get(layer)) {
        Some(layer) => short_path(&layer.path),
        None => ctx.say([
            format!("mean of {} layers", layers.len()),
            format!("{} 层平均", layers.len()),
        ]),
    };
    let head_name = match head {
        Some(head) => ctx.say([format!("head {head}"), format!("头 {head}")]),
        None => ctx.say(["mean of heads", "各头平均"]).to_owned(),
    };
    let index = layer.map_or(0, |layer| layer + 1);
    let figures = Measure::ALL.into_iter().filter_map(|measure| {
        let value = text::fixed(value(ctx, layers, index, head, measure)?, 2);
        let unit = if measure == Measure::Entropy {
            "bit"
        } else {
            "%"
        };
        // The selected token may be one that has its own figure.
        let is_twice = measure == Measure::Token
            && tokens
                .get(cursor.token)
                .is_some_and(|token| matches!(token.kind, TokenKind::Start | TokenKind::End));
        (!is_twice).then(|| format!("{} {value} {unit}", measure_name(ctx, measure)))
    });
    let figures: Vec<String> = figures.collect();
    let said = format!("{which} · {head_name}: {}", figures.join(" · "));
    let area = paragraph(buffer, area, &text::clean(&said), ctx.theme.text());
    let hint = ctx.say([
        "x moves from head to head, enter opens its maps; steps are filled when they are looked at",
        "按 x 在头之间移动，enter 打开它的图；看过的步才有值",
    ]);
    let area = paragraph(buffer, area, hint, ctx.theme.muted());
    if area.height > 5 {
        words(buffer, below(area, 1), ctx, (layers, index, head));
    }
}

/// What the selected heads attend to, position by position; all padding together.
fn words(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    (layers, index, head): (&[HeadSummary], usize, Option<usize>),
) {
    let tokens = super::tokens(ctx);
    let is_padding = |token: &&Token| token.kind == TokenKind::Padding;
    let title = ctx.say(["what it attends to", "它关注什么"]);
    let mut area = line(buffer, area, title, ctx.theme.title());
    let share = |token: &Token| {
        let of = |layer: &HeadSummary| layer.share(head, token.position);
        mean_of(layers, index, of).map(|share| 100.0 * share)
    };
    let words = tokens.iter().filter(|token| !is_padding(token));
    let words = words.map(|token| {
        let name = token_strip::word(token, ctx.language);
        (name, share(token), token.position == ctx.cursor.token)
    });
    let padding = ctx.say(token_strip::PADDING).to_owned();
    let all = value(ctx, layers, index, head, Measure::Padding);
    let is_selected = tokens
        .get(ctx.cursor.token)
        .is_some_and(|token| is_padding(&token));
    let rows = words.chain([(padding, all, is_selected)]);
    let rows: Vec<(String, Option<f64>, bool)> = rows.collect();
    let selected = rows.iter().position(|(.., is_selected)| *is_selected);
    let room = usize::from(area.height);
    let first = scroll(selected.unwrap_or(0), rows.len(), room);
    for (name, share, is_selected) in rows.iter().skip(first).take(room) {
        let percent = share.map_or_else(|| "·".to_owned(), |share| text::fixed(share, 2));
        let columns = usize::from(area.width.saturating_sub(28)).min(40);
        let bar = bars::share(share.unwrap_or(0.0) / 100.0, columns);
        let said = format!(
            "{} {} %  {bar}",
            text::fit(name, 16),
            text::right(&percent, 6)
        );
        let style = ctx.theme.accent_if(*is_selected, ctx.theme.text());
        area = line(buffer, area, said.trim_end(), style);
    }
}

//! What the picture loses with every word of the prompt, beside the attention that the word gets.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::generation::LeftOutOf;
use crate::lesson::Said;
use crate::tui::state::detail::{EffectsOrder, PromptPart};
use crate::tui::state::variants::{Effect, Series, difference_map};
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::views::{
    below, columns, fitting, fitting_of, line, paragraph, part_tabs, progress, split, titled_map,
    top,
};
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale};
use crate::tui::ui::widgets::{bars, picture};
use crate::tui::worker::Variant;

/// Columns of a word, and of a number with its bar.
const WORD: usize = 12;
const NUMBER: usize = 8;

pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    of: LeftOutOf,
) -> Option<Vec<PlacedPicture>> {
    ctx.run.trace.tokens.as_ref()?;
    let effects = ctx.run.effects(of, ctx.cursor.detail.order);
    let area = part_tabs(
        buffer,
        area,
        ctx,
        &PromptPart::ALL.map(PromptPart::name),
        || {
            let at = PromptPart::ALL
                .iter()
                .position(|part| *part == PromptPart::Effects(of));
            at.unwrap_or(0)
        },
    );
    let area = progress(buffer, area, ctx, Series::LeftOut(of));
    if effects.is_empty() {
        let why = ctx.say([
            "The prompt has no word that could be left out. p changes it.",
            "提示词里没有可以去掉的词。按 p 改提示词。",
        ]);
        paragraph(buffer, area, why, ctx.theme.text());
        return Some(Vec::new());
    }
    let narrow = area.width < 84;
    let table = if narrow { 44 } else { 58 };
    let (left, right) = split(area, table, 2);
    draw_table(buffer, left, ctx, &effects, of);
    let selected = effects
        .iter()
        .find(|row| row.positions.contains(&ctx.cursor.token));
    Some(draw_change(
        buffer,
        right,
        ctx,
        selected.unwrap_or(&effects[0]),
        of,
    ))
}

fn draw_table(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    effects: &[Effect],
    of: LeftOutOf,
) {
    let bar = usize::from(area.width).saturating_sub(4 + WORD + 2 * NUMBER) / 2;
    let column = NUMBER + bar;
    draw_names(buffer, area, ctx, column);
    let area = below(area, 1);
    let largest =
        |of: fn(&Effect) -> Option<f64>| effects.iter().filter_map(of).fold(0.0, f64::max);
    let most = (largest(|row| row.share), largest(|row| row.apart));
    let at = effects
        .iter()
        .position(|row| row.positions.contains(&ctx.cursor.token));
    let first = super::scroll(at.unwrap_or(0), effects.len(), area.height.into());
    for ((index, row), place) in effects.iter().enumerate().skip(first).zip(area.rows()) {
        let part = |value: Option<f64>, most: f64, number: String| match value {
            Some(value) => {
                let share = if most > 0.0 { value / most } else { 0.0 };
                text::fit(&format!("{number:>6} {}", bars::share(share, bar)), column)
            }
            None => text::fit(&format!("{:>6}", missing(ctx, row, of)), column),
        };
        let share = row.share.map_or_else(String::new, |share| {
            format!("{}%", text::fixed(100.0 * share, 1))
        });
        let apart = row
            .apart
            .map_or_else(String::new, |apart| text::fixed(apart, 2));
        let share = match row.share {
            None => text::fit("     –", column),
            known => part(known, most.0, share),
        };
        let is_selected = at.map_or(index == 0, |at| at == index);
        let mark = if is_selected { "▸ " } else { "  " };
        let word = text::fit(&text::clean(&row.word), WORD - 1);
        let caption = format!("{mark}{word} {share} {}", part(row.apart, most.1, apart));
        line(
            buffer,
            place,
            caption.trim_end(),
            ctx.theme.accent_if(is_selected, ctx.theme.text()),
        );
    }
}

/// What stands in each column; the one that the rows are sorted by is marked.
fn draw_names(buffer: &mut Buffer, area: Rect, ctx: &RunContext, column: usize) {
    let columns: [(&[Said], usize, EffectsOrder); 3] = [
        (&[["word", "词"]], 2 + WORD, EffectsOrder::Prompt),
        (
            &[
                ["share of attention", "注意力的份额"],
                ["attention", "注意力"],
            ],
            column + 1,
            EffectsOrder::Attention,
        ),
        (
            &[
                ["picture changes, of 255", "图片变化（满 255）"],
                ["picture, of 255", "变化（满 255）"],
                ["of 255", "满 255"],
            ],
            column + 1,
            EffectsOrder::Picture,
        ),
    ];
    let mut x = area.x;
    for (names, width, own) in columns {
        let is_own = own == ctx.cursor.detail.order;
        let mark = if is_own { "▾" } else { "" };
        let forms: Vec<String> = (names.iter())
            .map(|name| format!("{}{mark}", ctx.say(*name)))
            .collect();
        let room = usize::from(area.right().saturating_sub(x)).min(width);
        let caption = text::fit(fitting_of(&forms, room as u16), room);
        if area.height > 0 {
            let style = ctx.theme.accent_if(is_own, ctx.theme.title());
            buffer.set_stringn(x, area.y, caption, room, style);
        }
        x += width as u16;
    }
}

/// What stands in the place of a figure that is not there.
fn missing(ctx: &RunContext, row: &Effect, of: LeftOutOf) -> &'static str {
    let (run, position) = (ctx.run.id, row.positions.start);
    if ctx
        .variants
        .is_refused(run, Variant::LeaveOut { position, of })
    {
        "✗"
    } else if ctx.variants.is_making(run, Series::LeftOut(of)) {
        "…"
    } else {
        "–"
    }
}

/// The picture without the selected word, and where it is another one than the run's.
fn draw_change(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    row: &Effect,
    of: LeftOutOf,
) -> Vec<PlacedPicture> {
    let theme = ctx.theme;
    let position = row.positions.start;
    let variant = ctx.run.variants.get(&Variant::LeaveOut { position, of });
    let (Some(variant), Some(own)) = (variant, &ctx.run.trace.image) else {
        return Vec::new();
    };
    let word = text::clean(&row.word);
    let title = ctx.say([format!("without “{word}”"), format!("没有“{word}”")]);
    let places = match (area.width, area.height) {
        (66.., _) => columns(area, 3, 2),
        (44.., ..24) => columns(area, 2, 2),
        (_, 24..) => vec![top(area, area.height / 2), below(area, area.height / 2)],
        _ => vec![area],
    };
    let mut pictures = Vec::new();
    let mut show =
        |buffer: &mut Buffer, place: Rect, title: &str, image: &std::sync::Arc<image::RgbImage>| {
            let place = line(buffer, place, title, theme.title());
            pictures.push(PlacedPicture {
                area: picture::draw(buffer, place, image, theme),
                image: std::sync::Arc::clone(image),
            });
        };
    if let [own_place, _, _] = places[..] {
        let own = std::sync::Arc::new(own.image.clone());
        show(
            buffer,
            own_place,
            ctx.say(["the run's picture", "这次运行的图片"]),
            &own,
        );
    }
    if places.len() > 1 {
        show(buffer, places[places.len() - 2], &title, &variant.image);
    }
    let values = difference_map(&own.image, &variant.image);
    let scale = Scale::magnitudes(values.iter().copied());
    let size = (own.image.width() as usize, own.image.height() as usize);
    let map = HeatMap::new(&values, size, scale);
    let forms = ctx.say([
        ["where it changed, in levels", "where it changed", "changed"],
        ["哪里变了，单位：级", "哪里变了", "变化"],
    ]);
    let place = places[places.len() - 1];
    let title = if places.len() > 1 {
        fitting(&forms, place.width).to_owned()
    } else {
        title
    };
    let rows = place.height.saturating_sub(2);
    titled_map(buffer, place, &title, &map, rows, ctx);
    pictures
}

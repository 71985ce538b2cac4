//! The picture of a step, lit where attention lies.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::Layout;
use crate::export::colour_map::ColourMap;
use crate::export::colour_map::Rgb;
use crate::tui::state::Mode;
use crate::tui::state::run::Run;
use crate::tui::ui::context::ViewContext;
use crate::tui::ui::views::{below, fitting, line, top};
use crate::tui::ui::widgets::heat_map::HeatMap;
use crate::tui::ui::widgets::{half_blocks, picture, token_strip};

/// By strength: how far a place without attention is darkened, and how much of the map's colour one with it gets.
const COVER: [(f32, f32); 5] = [(0.0, 0.0), (0.4, 0.2), (0.7, 0.35), (0.85, 0.6), (1.0, 0.9)];

/// Draws the picture in as many cells as the map beside it.
pub fn draw(
    buffer: &mut Buffer,
    place: Rect,
    map_area: Rect,
    ctx: &ViewContext,
    run: &Run,
    map: &HeatMap,
) {
    let tokens = super::tokens(ctx, run);
    let word = token_strip::name_at(tokens, ctx.cursor.token);
    let title = format!("“{word}” over x0");
    let title = fitting(&[&title, "over x0", "x0"], place.width);
    let place = line(buffer, place, title, ctx.theme.title());
    let decoded = run.decoded.get(&ctx.cursor.step).filter(|_| ctx.decode);
    let preview = run.pictures.get(ctx.cursor.step);
    let Some(image) = decoded.or(preview.map(|pictures| &pictures.x0)) else {
        return;
    };
    let area = Rect {
        width: map_area.width.min(place.width),
        height: map_area.height.min(place.height),
        ..place
    };
    let cover = COVER[usize::from(ctx.cursor.attention.strength).min(COVER.len() - 1)];
    let drawn = picture::draw_with(buffer, area, image, ctx.theme, |x, y, rgb| {
        lit(
            rgb,
            map.scale.position(map.sample(x, y)).unwrap_or(0.0),
            cover,
        )
    });
    if *ctx.mode == Mode::Place {
        mark(buffer, drawn, ctx);
    }
    let caption = if decoded.is_some() {
        "decoded by the VAE"
    } else {
        "preview; d decodes"
    };
    let short = caption.split([';', ' ']).next().unwrap_or_default();
    let caption = fitting(&[caption, short, ""], place.width);
    line(
        buffer,
        below(place, drawn.height),
        caption,
        ctx.theme.muted(),
    );
}

/// Where the picture is, for a map of `size`.
pub fn area(layout: &Layout, size: (usize, usize)) -> Rect {
    let map = top(below(layout.columns[1], 1), layout.room);
    let cells = half_blocks::cells(half_blocks::fit(size, map), map);
    let place = below(layout.columns[0], 1);
    Rect {
        width: cells.width.min(place.width),
        height: cells.height.min(place.height),
        ..place
    }
}

/// Marks the place that is looked at.
pub fn mark(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) {
    if area.is_empty() {
        return;
    }
    let (across, down) = ctx.cursor.attention.place;
    let x = area.x + ((across * f32::from(area.width)) as u16).min(area.width - 1);
    let y = area.y + ((down * f32::from(area.height)) as u16).min(area.height - 1);
    buffer[(x, y)]
        .set_symbol("✛")
        .set_style(ctx.theme.selected());
}

/// The picture's pixel, dark where no attention lies and its own colour, warmed, where all of it does.
fn lit(rgb: Rgb, position: f32, (darkened, coloured): (f32, f32)) -> Rgb {
    let heat = ColourMap::Magnitude.at(0.25 + 0.6 * position);
    std::array::from_fn(|channel| {
        let own = f32::from(rgb[channel]) * (1.0 - darkened * (1.0 - position));
        let heat = f32::from(heat[channel]);
        (own + (heat - own) * coloured * position)
            .round()
            .clamp(0.0, 255.0) as u8
    })
}

//! The picture of a step, lit where attention lies.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::Layout;
use crate::export::colour_map::{ColourMap, Rgb};
use crate::tui::state::{Grid, Mode};
use crate::tui::ui::context::{RunContext, ViewContext};
use crate::tui::ui::views::{below, fitting, left, line, top};
use crate::tui::ui::widgets::heat_map::HeatMap;
use crate::tui::ui::widgets::{half_blocks, picture};

/// By strength: how far a place without attention is darkened, and how much of the map's colour one with it gets.
const COVER: [(f32, f32); 5] = [(0.0, 0.0), (0.4, 0.2), (0.7, 0.35), (0.85, 0.6), (1.0, 0.9)];

/// Draws the picture in as many `cells` as the map beside it has.
pub fn draw(
    buffer: &mut Buffer,
    place: Rect,
    cells: Rect,
    ctx: &RunContext,
    map: &HeatMap,
    title: &str,
) {
    let run = ctx.run;
    let place = line(buffer, place, title, ctx.theme.title());
    let decoded = run.decoded.get(&ctx.cursor.step).filter(|_| ctx.decode);
    let preview = run.pictures.get(ctx.cursor.step);
    let Some(image) = decoded.or(preview.map(|pictures| &pictures.x0)) else {
        return;
    };
    let area = top(left(place, cells.width), cells.height);
    let cover = COVER[usize::from(ctx.cursor.attention.strength).min(COVER.len() - 1)];
    let drawn = picture::draw_with(buffer, area, image, ctx.theme, |x, y, rgb| {
        let position = map.scale.position(map.sample(x, y));
        lit(rgb, position.unwrap_or(0.0), cover)
    });
    if *ctx.mode == Mode::Place || ctx.cursor.attention.grid == Grid::Own {
        mark(buffer, drawn, ctx);
    }
    let forms = ctx.say(match decoded {
        Some(_) => [
            ["decoded by the VAE", "decoded", ""],
            ["由 VAE 解码", "已解码", ""],
        ],
        None => [
            ["preview; d decodes", "preview", ""],
            ["预览；按 d 解码", "预览", ""],
        ],
    });
    let caption = fitting(&forms, place.width);
    line(
        buffer,
        below(place, drawn.height),
        caption,
        ctx.theme.muted(),
    );
}

pub fn area(layout: &Layout, size: (usize, usize), tall: f32) -> Rect {
    let map = top(below(layout.columns[1], 1), layout.room);
    let cells = half_blocks::cells(half_blocks::fit(size, map, tall), map);
    let place = below(layout.columns[0], 1);
    top(left(place, cells.width), cells.height)
}

/// Marks the place that is looked at.
pub fn mark(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) {
    if area.is_empty() {
        return;
    }
    let (across, down) = ctx.cursor.attention.place;
    let x = area.x + ((across * f32::from(area.width)) as u16).min(area.width - 1);
    let y = area.y + ((down * f32::from(area.height)) as u16).min(area.height - 1);
    buffer.set_string(x, y, "✛", ctx.theme.selected());
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

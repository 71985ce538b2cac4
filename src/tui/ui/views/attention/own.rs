//! Self-attention: where a place looks in the picture itself, and which places look alike.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::grid::{Cells, Small, draw_cells};
use super::{Layout, overlay};
use crate::trace::{Guidance, Projections};
use crate::tui::state::attention::short_path;
use crate::tui::state::closer::{self, Spread};
use crate::tui::state::export_closer::colours;
use crate::tui::state::in_words;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{below, fitting, fitting_of, line, titled_map, top};
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale};
use crate::tui::ui::widgets::picture;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) {
    let cursor = &ctx.cursor;
    let (layers, looks) = (closer::projections(ctx.run, cursor), cursor.looks());
    let Some(layers @ [first, ..]) = layers else {
        super::draw_lack(buffer, area, ctx, &looks);
        return;
    };
    let place = first.place_at(cursor.attention.place);
    let row = closer::row(layers, cursor.attention.head, place);
    let area = line(
        buffer,
        area,
        fitting_of(&describe(ctx, layers), area.width),
        ctx.theme.text(),
    );
    let layout = Layout::new(area);
    let size = (first.width, first.height);
    let scale = Scale::magnitudes(row.iter().copied());
    let heat_map = HeatMap::new(&row, size, scale);
    let titles = ctx.say([["where it looks", "it looks"], ["它看向哪里", "看向"]]);
    let title = fitting(&titles, layout.columns[1].width);
    let drawn = titled_map(
        buffer,
        layout.columns[1],
        title,
        &heat_map,
        layout.room,
        ctx,
    );
    overlay::mark(buffer, drawn, ctx);
    let titles = ctx.say([["its look over x0", "over x0"], ["叠在 x0 上", "x0"]]);
    let title = fitting(&titles, layout.columns[0].width);
    overlay::draw(buffer, layout.columns[0], drawn, ctx, &heat_map, title);
    draw_components(buffer, layout.columns[2], drawn, ctx, layout.room);
    let beneath = layout.beneath(drawn);
    let beneath = draw_spread(buffer, beneath, ctx, Spread::of(&row, place, first.width));
    draw_heads(buffer, beneath, ctx, layers, place);
}

/// What is shown, in a line: in full, and shorter twice.
fn describe(ctx: &RunContext, layers: &[Projections]) -> [String; 3] {
    let cursor = &ctx.cursor;
    let step = in_words::step(cursor.step, ctx.language);
    let (width, height) = layers
        .first()
        .map_or((0, 0), |layer| (layer.width, layer.height));
    let (which, short) = if let (Some(index), [layer, ..]) = (cursor.attention.layer, layers) {
        let (number, count) = (index + 1, ctx.run.info.cross_attention.len());
        let path = short_path(&layer.path);
        let which = ctx.say([
            format!("self-attention, layer {number} of {count}: {path} · {width}×{height}"),
            format!("自注意力，第 {number} 层，共 {count} 层：{path} · {width}×{height}"),
        ]);
        (which, path)
    } else {
        let count = layers.len();
        let which = ctx.say([
            format!("self-attention, mean of the {count} layers of {width}×{height}"),
            format!("自注意力，{width}×{height} 的 {count} 层平均"),
        ]);
        (which, format!("{width}×{height}"))
    };
    let head = match cursor.attention.head {
        Some(head) => ctx.say([format!("head {head}"), format!("头 {head}")]),
        None => ctx.say(["mean of heads", "各头平均"]).to_owned(),
    };
    let half = match cursor.attention.half {
        Guidance::Cond => "",
        Guidance::Uncond => ctx.say([" · without the prompt", " · 没有提示词"]),
    };
    [
        format!("{step} · {which} · {head}{half}"),
        format!("{step} · {short} · {head}{half}"),
        format!("{short} · {head}"),
    ]
}

/// The components as a picture: the first is red, the second green, the third blue.
fn draw_components(buffer: &mut Buffer, place: Rect, cells: Rect, ctx: &RunContext, room: u16) {
    let titles = ctx.say([
        ["3 components of all rows", "components"],
        ["所有行的 3 个主成分", "主成分"],
    ]);
    let title = fitting(&titles, place.width);
    let place = line(buffer, place, title, ctx.theme.title());
    let Some(components) = closer::components(ctx.run, &ctx.cursor) else {
        let forms = ctx.say([["being computed …", "…"], ["正在计算 …", "…"]]);
        let words = fitting(&forms, place.width);
        line(buffer, place, words, ctx.theme.muted());
        return;
    };
    let area = Rect {
        width: place.width.min(cells.width),
        ..top(place, room.min(cells.height))
    };
    let drawn = picture::draw(buffer, area, &colours(components), ctx.theme);
    let percent = |share: &f64| text::fixed(100.0 * share, 0);
    let shares: Vec<String> = components.explained.iter().map(percent).collect();
    let (shares, (height, width)) = (shares.join(" + "), components.layer_size);
    let pooled = if (components.height, components.width) == (height, width) {
        String::new()
    } else {
        let (to_width, to_height) = (components.width, components.height);
        ctx.say([
            format!(", pooled to {to_width}×{to_height}"),
            format!("，合并为 {to_width}×{to_height}"),
        ])
    };
    let forms = ctx.say([
        [
            format!("{shares} % of the variance{pooled}"),
            format!("{shares} %{pooled}"),
            format!("{shares} %"),
        ],
        [
            format!("方差的 {shares} %{pooled}"),
            format!("{shares} %{pooled}"),
            format!("{shares} %"),
        ],
    ]);
    let words = fitting_of(&forms, place.width);
    line(buffer, below(place, drawn.height), words, ctx.theme.muted());
}

/// How the row is spread, in figures.
fn draw_spread(buffer: &mut Buffer, area: Rect, ctx: &RunContext, spread: Spread) -> Rect {
    let percent = |share: f64| text::fixed(100.0 * share, 1);
    let (own, around) = (percent(spread.own), percent(spread.around));
    let (bits, most) = (text::fixed(spread.bits, 2), text::fixed(spread.most, 0));
    let even = text::fixed(spread.bits.exp2(), 0);
    let places = text::fixed(spread.most.exp2(), 0);
    let forms = ctx.say([
        [
            format!("itself {own} % · around it {around} % · entropy {bits} of {most} bit, as even as {even} of {places} places"),
            format!("itself {own} % · around it {around} % · entropy {bits} of {most} bit"),
            format!("itself {own} % · around {around} %"),
            format!("{own} % · {around} %"),
        ],
        [
            format!("自己 {own} % · 周围 {around} % · 熵 {bits} / {most} bit，相当于均匀分布在 {even} / {places} 个位置"),
            format!("自己 {own} % · 周围 {around} % · 熵 {bits} / {most} bit"),
            format!("自己 {own} % · 周围 {around} %"),
            format!("{own} % · {around} %"),
        ],
    ]);
    line(
        buffer,
        area,
        fitting_of(&forms, area.width),
        ctx.theme.text(),
    )
}

/// Where the place looks in every head.
fn draw_heads(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    layers: &[Projections],
    place: usize,
) {
    let size = layers
        .first()
        .map_or((1, 1), |layer| (layer.width, layer.height));
    let heads = layers.iter().map(|layer| layer.heads).min().unwrap_or(0);
    let cells = Cells {
        title: ctx
            .say(["the same place in every head", "同一个位置在每个头里"])
            .to_owned(),
        count: heads,
        selected: ctx.cursor.attention.head,
    };
    draw_cells(buffer, area, ctx, &cells, size, |head| {
        Some(Small {
            name: ctx.say([format!("head {head}"), format!("头 {head}")]),
            size,
            values: closer::row(layers, Some(head), place),
        })
    });
}

//! A picture from every layer of the text encoder.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, fitting_of, line, part_tabs, progress, top};
use crate::tui::state::detail::TextPart;
use crate::tui::state::variants::Series;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::sheet::{self, Frame};
use crate::tui::worker::Variant;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    ctx.run.trace.text.as_ref()?;
    let area = part_tabs(buffer, area, ctx, &TextPart::ALL.map(TextPart::name), || 1);
    let area = progress(buffer, area, ctx, Series::TextLayers);
    let run = ctx.run;
    let (all, own) = (run.info.text_layers, run.own_text_layers());
    let frames: Vec<Frame> = (0..=all).map(|layers| frame(ctx, layers, own)).collect();
    let selected = ctx.cursor.text_layer.min(all);
    let (width, height) = run.info.image_size;
    let aspect = width as f32 / height.max(1) as f32;
    let captions = captions(ctx, selected, own);
    let room = area.height.saturating_sub(captions.len() as u16 + 1);
    let (pictures, used) = sheet::draw(
        buffer,
        top(area, room),
        &frames,
        aspect,
        selected,
        ctx.theme,
    );
    let mut area = below(area, used + u16::from(area.height > used + 3));
    for (index, forms) in captions.iter().enumerate() {
        let style = if index == 0 {
            ctx.theme.text()
        } else {
            ctx.theme.muted()
        };
        area = line(buffer, area, fitting_of(forms, area.width), style);
    }
    Some(pictures)
}

/// The picture from the state after so many layers; `own` is the run's own number of them.
fn frame(ctx: &RunContext, layers: usize, own: usize) -> Frame {
    let variant = Variant::TextLayers(layers);
    let image = if layers == own {
        let own = ctx.run.trace.image.as_ref();
        own.map(|own| Arc::new(own.image.clone()))
    } else {
        let made = ctx.run.variants.get(&variant);
        made.map(|made| Arc::clone(&made.image))
    };
    let name = match layers {
        0 => ctx.say(["input", "输入"]).to_owned(),
        _ => ctx.say([format!("after {layers}"), format!("经过 {layers} 层")]),
    };
    let mark = if layers == own { "✓ " } else { "" };
    let why = if ctx.variants.is_refused(ctx.run.id, variant) {
        "✗"
    } else if ctx.variants.is_making(ctx.run.id, Series::TextLayers) {
        "…"
    } else {
        "–"
    };
    Frame {
        title: format!("{mark}{name}"),
        image,
        why,
    }
}

/// What the selected picture is of, and what other programs call it.
fn captions(ctx: &RunContext, layers: usize, own: usize) -> Vec<Vec<String>> {
    let all = ctx.run.info.text_layers;
    let variant = ctx.run.variants.get(&Variant::TextLayers(layers));
    let apart = match variant {
        Some(variant) => {
            let apart = text::fixed(variant.apart, 1);
            ctx.say([
                format!(": {apart} of 255 levels from the run's picture"),
                format!("：和这次运行的图片相差 {apart} 级（满 255）"),
            ])
        }
        None if layers == own => ctx
            .say([": the run's picture", "：这次运行的图片"])
            .to_owned(),
        None => String::new(),
    };
    let what = ctx.say([
        format!("after {layers} of {all} layers"),
        format!("经过 {all} 层中的 {layers} 层"),
    ]);
    // diffusers counts the layers that are skipped from 0; other programs call all of the layers 1.
    let skipped = all - layers;
    let others = format!("clip_skip={skipped}");
    let elsewhere = ctx.say([
        format!(
            "--text-layers {layers}; in diffusers {others}, in WebUI clip skip {}",
            skipped + 1
        ),
        format!(
            "--text-layers {layers}；diffusers 里是 {others}，WebUI 里是 clip skip {}",
            skipped + 1
        ),
    ]);
    vec![
        vec![format!("{what}{apart}"), what],
        vec![
            elsewhere,
            format!("--text-layers {layers}, {others}"),
            format!("--text-layers {layers}"),
        ],
    ]
}

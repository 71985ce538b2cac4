//! The picture, and what it came from.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, columns, empty, line, paragraph, right_of, statistics};
use crate::tui::state::editor::scheduler_name;
use crate::tui::state::run::Run;
use crate::tui::ui::context::ViewContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::text::wrap_words;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale, legend};
use crate::tui::ui::widgets::picture;

/// Columns for the request beside the picture, at least.
const BESIDE: u16 = 26;

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    let Some(run) = ctx.run else {
        empty(buffer, area, ctx, "The picture");
        return Vec::new();
    };
    let step = ctx.cursor.step;
    let newest = step + 1 >= run.total_steps();
    let finished = run
        .trace
        .image
        .as_deref()
        .filter(|_| newest || !run.pictures.is_empty());
    let decoded = run.decoded.get(&step).filter(|_| ctx.decode && !newest);
    let preview = run.pictures.get(step).map(|pictures| &pictures.x0);
    // A narrow view has the picture alone: what it came from is said beside the other views, too.
    let narrow = area.width < 2 * BESIDE + 12;
    let place = Rect {
        width: area
            .width
            .saturating_sub(if narrow { 0 } else { BESIDE + 2 }),
        ..area
    };
    let (image, what) = match (decoded, finished, preview) {
        (Some(image), ..) => (
            Arc::clone(image),
            format!("predicted x0 of step {}, decoded", step + 1),
        ),
        (None, Some(data), _) if newest || !ctx.decode => {
            (Arc::new(data.image.clone()), "the picture".to_owned())
        }
        (None, _, Some(preview)) => (
            Arc::clone(preview),
            format!("quick preview of x0 at step {}", step + 1),
        ),
        _ => {
            empty(buffer, area, ctx, "The picture");
            return Vec::new();
        }
    };
    let drawn = picture::draw(buffer, place, &image, ctx.theme);
    let x = drawn.right() + 2;
    let beside = if narrow {
        below(area, drawn.height + 1)
    } else {
        right_of(area, x)
    };
    let rest = draw_request(
        buffer,
        beside,
        ctx,
        run,
        &what,
        (image.width(), image.height()),
    );
    draw_latents(buffer, below(rest, 1), ctx, run, step);
    vec![PlacedPicture { area: drawn, image }]
}

fn draw_request(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &ViewContext,
    run: &Run,
    what: &str,
    (width, height): (u32, u32),
) -> Rect {
    let theme = ctx.theme;
    let request = &run.trace.request;
    let mut area = area;
    area = paragraph(buffer, area, what, theme.title());
    area = line(
        buffer,
        area,
        &format!("{width}×{height} pixels"),
        theme.muted(),
    );
    area = below(area, 1);
    for caption in wrap_words(&text::clean(&request.prompt), area.width.into())
        .iter()
        .take(8)
    {
        area = line(buffer, area, caption, theme.text());
    }
    if !request.negative_prompt.is_empty() {
        let caption = format!("without: {}", text::clean(&request.negative_prompt));
        for caption in wrap_words(&caption, area.width.into()).iter().take(4) {
            area = line(buffer, area, caption, theme.muted());
        }
    }
    area = below(area, 1);
    let mut rows = vec![
        ("seed", request.seed.to_string()),
        ("steps", run.total_steps().to_string()),
        ("guidance", request.guidance_scale.to_string()),
        ("scheduler", scheduler_name(request.scheduler)),
    ];
    if let Some(image) = &run.trace.image {
        rows.push(("", String::new()));
        rows.push((
            "text",
            time(run.trace.text.as_ref().map_or(0.0, |text| text.seconds)),
        ));
        let steps: f64 = run.trace.steps.iter().map(|step| step.seconds).sum();
        rows.push(("denoising", time(steps)));
        rows.push(("decoding", time(image.seconds)));
    }
    for intervention in &request.interventions {
        rows.push(("attention", text::clean(&intervention.to_string())));
    }
    for (name, value) in rows {
        area = line(buffer, area, &format!("{name:<11}{value}"), theme.muted());
    }
    area
}

/// The way to the pixels: the latents that the decoder gets, channel by channel.
fn draw_latents(buffer: &mut Buffer, area: Rect, ctx: &ViewContext, run: &Run, step: usize) {
    let last = step + 1 >= run.total_steps();
    let name = if last { "latents_next" } else { "x0" };
    let Some(latents) = run.step(step).and_then(|step| step.tensor(name)) else {
        return;
    };
    let [channels, height, width] = latents.shape[..] else {
        return;
    };
    let theme = ctx.theme;
    let title = if last {
        "decoded from"
    } else {
        "x0 of this step"
    };
    let mut area = line(buffer, area, title, theme.title());
    let caption = format!("latents {channels}×{height}×{width}");
    area = line(buffer, area, &caption, theme.muted());
    let caption = statistics(&latents.stats, area.width);
    area = line(buffer, area, &caption, theme.muted());
    let scale = Scale::signed(latents.data.iter().copied());
    let size = height * width;
    // Two in a row where two rows have room, else all in one.
    let rows_of = |across: u16| (usize::from(area.width / across) * height / width).div_ceil(2);
    let across = if 2 * rows_of(2) < usize::from(area.height) {
        2
    } else {
        4
    };
    let places = columns(area, across, 1);
    let mut bottom = area.y;
    for channel in 0..channels.min(4) {
        let place = places[channel % usize::from(across)];
        let from = bottom.max(area.y) - area.y;
        let place = below(place, from);
        // A map of which only a part would be seen says less than none.
        if usize::from(place.height) < (usize::from(place.width) * height / width).div_ceil(2) {
            break;
        }
        let map = HeatMap::new(
            &latents.data[channel * size..(channel + 1) * size],
            (width, height),
            scale,
        );
        let drawn = map.draw(buffer, place, theme);
        if (channel + 1) % usize::from(across) == 0 {
            bottom = drawn.bottom();
        }
    }
    let rest = below(area, bottom.max(area.y) - area.y);
    if bottom > area.y {
        legend(buffer, super::top(rest, 1), scale, "", theme);
    }
}

fn time(seconds: f64) -> String {
    text::seconds(seconds)
}

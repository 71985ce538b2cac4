//! The picture, and what it came from.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, columns, first_lines, left, line, paragraph, right_of, statistics};
use crate::tui::state::in_words;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale, legend};
use crate::tui::ui::widgets::picture;

/// Columns for the request beside the picture, at least.
const BESIDE: u16 = 26;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    let (run, step) = (ctx.run, ctx.cursor.step);
    let newest = step + 1 >= run.total_steps();
    let finished = run.trace.image.as_deref();
    let finished = finished.filter(|_| newest || !run.pictures.is_empty());
    let decoded = run.decoded.get(&step).filter(|_| ctx.decode && !newest);
    let preview = run.pictures.get(step).map(|pictures| &pictures.x0);
    // A narrow view has the picture alone: what it came from is said beside the other views, too.
    let narrow = area.width < 2 * BESIDE + 12;
    let beside = if narrow { 0 } else { BESIDE + 2 };
    let place = left(area, area.width.saturating_sub(beside));
    let number = step + 1;
    let (image, what) = match (decoded, finished, preview) {
        (Some(image), ..) => (
            Arc::clone(image),
            [
                format!("predicted x0 of step {number}, decoded"),
                format!("第 {number} 步预测的 x0，已解码"),
            ],
        ),
        (None, Some(data), _) if newest || !ctx.decode => (
            Arc::new(data.image.clone()),
            ["the picture", "画完的图片"].map(str::to_owned),
        ),
        (None, _, preview) => (
            Arc::clone(preview?),
            [
                format!("quick preview of x0 at step {number}"),
                format!("第 {number} 步 x0 的快速预览"),
            ],
        ),
    };
    let drawn = picture::draw(buffer, place, &image, ctx.theme);
    let mut beside = if narrow {
        below(area, drawn.height + 1)
    } else {
        right_of(area, drawn.right() + 2)
    };
    beside = paragraph(buffer, beside, &ctx.say(what), ctx.theme.title());
    let (width, height) = image.dimensions();
    let size = ctx.say([
        format!("{width}×{height} pixels"),
        format!("{width}×{height} 像素"),
    ]);
    beside = line(buffer, beside, &size, ctx.theme.muted());
    let rest = draw_request(buffer, below(beside, 1), ctx);
    draw_latents(buffer, below(rest, 1), ctx);
    Some(vec![PlacedPicture { area: drawn, image }])
}

fn draw_request(buffer: &mut Buffer, mut area: Rect, ctx: &RunContext) -> Rect {
    let (run, theme) = (ctx.run, ctx.theme);
    let request = &run.trace.request;
    let prompt = text::clean(&request.prompt);
    area = first_lines(buffer, area, &prompt, 8, theme.text());
    if !request.negative_prompt.is_empty() {
        let caption = ctx.say(["without: ", "不要："]);
        let caption = format!("{caption}{}", text::clean(&request.negative_prompt));
        area = first_lines(buffer, area, &caption, 4, theme.muted());
    }
    area = below(area, 1);
    let mut rows = vec![
        (["seed", "种子"], request.seed.to_string()),
        (["steps", "步数"], run.total_steps().to_string()),
        (["guidance", "引导"], request.guidance_scale.to_string()),
        (
            ["scheduler", "采样器"],
            in_words::scheduler_name(request.scheduler),
        ),
    ];
    if let Some(image) = &run.trace.image {
        rows.push((["", ""], String::new()));
        let of_text = run.trace.text.as_ref().map_or(0.0, |text| text.seconds);
        let steps = run.trace.steps.iter().map(|step| step.seconds).sum();
        rows.push((["text", "文本"], text::seconds(of_text)));
        rows.push((["denoising", "去噪"], text::seconds(steps)));
        rows.push((["decoding", "解码"], text::seconds(image.seconds)));
    }
    for change in in_words::special(request, ctx.language) {
        rows.push((["changed", "改动"], text::clean(&change)));
    }
    for (name, value) in rows {
        let name = text::fit(ctx.say(name), 11);
        area = line(buffer, area, &format!("{name}{value}"), theme.muted());
    }
    area
}

/// The way to the pixels: the latents that the decoder gets, channel by channel.
fn draw_latents(buffer: &mut Buffer, area: Rect, ctx: &RunContext) {
    let (run, step) = (ctx.run, ctx.cursor.step);
    let last = step + 1 >= run.total_steps();
    let name = if last { "latents_next" } else { "x0" };
    let Some(latents) = run.step(step).and_then(|step| step.tensor(name)) else {
        return;
    };
    let [channels, height, width] = latents.shape[..] else {
        return;
    };
    let theme = ctx.theme;
    let title = ctx.say(if last {
        ["decoded from", "解码自"]
    } else {
        ["x0 of this step", "这一步的 x0"]
    });
    let mut area = line(buffer, area, title, theme.title());
    let caption = ctx.say(["latents", "潜变量"]);
    let caption = format!("{caption} {channels}×{height}×{width}");
    area = line(buffer, area, &caption, theme.muted());
    let caption = statistics(&latents.stats, area.width, ctx.language);
    area = line(buffer, area, &caption, theme.muted());
    let scale = Scale::signed(latents.data.iter().copied());
    // Two in a row where two rows have room, else all in one.
    let rows_of = |across: u16| (usize::from(area.width / across) * height / width).div_ceil(2);
    let in_two_rows = 2 * rows_of(2) < usize::from(area.height);
    let across = if in_two_rows { 2 } else { 4 };
    let places = columns(area, across, 1);
    let mut bottom = area.y;
    for channel in 0..channels.min(4) {
        let place = below(places[channel % usize::from(across)], bottom - area.y);
        // A map of which only a part would be seen says less than none.
        if usize::from(place.height) < (usize::from(place.width) * height / width).div_ceil(2) {
            break;
        }
        let map = HeatMap::new(latents.plane(channel), (width, height), scale);
        let drawn = map.draw(buffer, place, theme);
        if (channel + 1) % usize::from(across) == 0 {
            bottom = drawn.bottom();
        }
    }
    if bottom > area.y {
        legend(buffer, below(area, bottom - area.y), scale, "", theme);
    }
}

//! All steps of a run as one sheet, and the same step of several runs.

use std::sync::Arc;

use image::RgbImage;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, fitting_of, line, part_tabs, top};
use crate::tui::state::detail::ImagePart;
use crate::tui::state::in_words;
use crate::tui::state::run::Run;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::sheet::{self, Frame};

/// Every step of the run; the one at the cursor is marked.
pub fn draw_steps(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    ctx.run.newest()?;
    let area = part_tabs(
        buffer,
        area,
        ctx,
        &ImagePart::ALL.map(ImagePart::name),
        || 1,
    );
    let frames: Vec<Frame> = (0..ctx.run.trace.steps.len())
        .map(|step| Frame {
            title: (step + 1).to_string(),
            image: picture_of(ctx.run, step, ctx.decode),
            why: "…",
        })
        .collect();
    let caption = caption(ctx, ctx.cursor.step);
    Some(draw_sheet(
        buffer,
        area,
        ctx,
        &frames,
        ctx.cursor.step,
        &caption,
    ))
}

/// The step at the cursor of every run on the sheet, the one on the screen first.
pub fn draw_runs(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    ctx.run.newest()?;
    let area = part_tabs(
        buffer,
        area,
        ctx,
        &ImagePart::ALL.map(ImagePart::name),
        || 2,
    );
    let runs = ctx.runs.together();
    let frames: Vec<Frame> = runs
        .iter()
        .map(|run| Frame {
            title: title(ctx, run),
            image: picture_of(run, ctx.cursor.step, ctx.decode),
            why: ctx.say(["not so far yet", "还没到"]),
        })
        .collect();
    let selected = runs.iter().position(|run| run.id == ctx.run.id);
    let caption = if runs.len() > 1 {
        caption(ctx, ctx.cursor.step)
    } else {
        vec![
            ctx.say([
                "There is one run so far: r and p make others, b branches.",
                "目前只有一个运行：按 r 或 p 再运行，按 b 分支。",
            ])
            .to_owned(),
        ]
    };
    Some(draw_sheet(
        buffer,
        area,
        ctx,
        &frames,
        selected.unwrap_or(0),
        &caption,
    ))
}

fn draw_sheet(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    frames: &[Frame],
    selected: usize,
    caption: &[String],
) -> Vec<PlacedPicture> {
    let area = line(
        buffer,
        area,
        fitting_of(caption, area.width),
        ctx.theme.muted(),
    );
    let area = below(area, u16::from(area.height > 20));
    let (width, height) = ctx.run.info.image_size;
    let aspect = width as f32 / height.max(1) as f32;
    let place = top(area, area.height);
    sheet::draw(buffer, place, frames, aspect, selected, ctx.theme).0
}

/// What is shown of a step: x0 as decoded, where that is wanted and there, else its quick preview; of the last step the
/// picture. None where the run has not come so far.
fn picture_of(run: &Run, step: usize, decode: bool) -> Option<Arc<RgbImage>> {
    let decoded = run.decoded.get(&step).filter(|_| decode);
    let preview = run.pictures.get(step).map(|pictures| &pictures.x0);
    if let (Some(image), true) = (&run.trace.image, step + 1 >= run.total_steps()) {
        return Some(Arc::new(image.image.clone()));
    }
    decoded.or(preview).map(Arc::clone)
}

/// The run's number, and what tells it from others at a glance.
fn title(ctx: &RunContext, run: &Run) -> String {
    let seed = in_words::seed(&run.trace.request, ctx.language);
    let said = if run.id == ctx.run.id {
        vec![seed]
    } else {
        in_words::changes(&run.trace.request, &ctx.run.trace.request, ctx.language)
    };
    text::clean(&format!("{} {}", run.id, said.join(" · ")))
}

fn caption(ctx: &RunContext, step: usize) -> Vec<String> {
    let number = step + 1;
    let how = ctx.say(if ctx.decode {
        ["decoded", "已解码"]
    } else {
        ["quick previews; d decodes them", "快速预览；按 d 解码"]
    });
    vec![
        ctx.say([
            format!("predicted x0, {how}; the last one is the picture · step {number} is marked"),
            format!("预测的 x0，{how}；最后一张是画完的图片 · 标出的是第 {number} 步"),
        ]),
        ctx.say([
            format!("step {number} · {how}"),
            format!("第 {number} 步 · {how}"),
        ]),
    ]
}

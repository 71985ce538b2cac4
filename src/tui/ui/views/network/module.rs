//! The module that is looked at: what goes in and out, its features as pictures, and its figures.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, line, picture, shape};
use crate::checkpoint::Component;
use crate::model::modules::{Module, ModuleKind};
use crate::trace::Features;
use crate::tui::state::inside::{Inside, Shows};
use crate::tui::ui::area::{left, right_of, split, top};
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{fitting_of, statistics};
use crate::tui::ui::widgets::{bars, tabs};

/// Columns of the figures beside the pictures.
const FIGURES: u16 = 36;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext, inside: Inside) {
    let run = ctx.run;
    let (Some(module), Some((all, at))) = (inside.module(&run.info), ctx.cursor.probed(run)) else {
        return;
    };
    let features = &all[at];
    let area = draw_head(buffer, area, ctx, inside, (module, features));
    let wide = area.width >= 3 * 14 + FIGURES;
    let (pictures, figures) = if area.height >= 5 {
        split(area, area.width.saturating_sub(FIGURES + 2), 2)
    } else {
        (left(area, 0), area)
    };
    if wide && area.height >= 7 {
        let width = pictures.width.div_ceil(3);
        for (index, shows) in Shows::ALL.into_iter().enumerate() {
            let place = right_of(pictures, pictures.x + index as u16 * width);
            let place = left(place, width.saturating_sub(2));
            let one = Inside { shows, ..inside };
            draw_picture(buffer, place, ctx, one, features, shows == inside.shows);
        }
    } else {
        draw_picture(buffer, pictures, ctx, inside, features, true);
    }
    draw_figures(buffer, figures, ctx, inside, features);
}

/// What it is, with the shapes of what goes in and out; returns the place beneath.
fn draw_head(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    inside: Inside,
    (module, features): (&Module, &Features),
) -> Rect {
    let what = ctx.say(match module.kind {
        ModuleKind::Convolution => ["convolution", "卷积"],
        ModuleKind::Resnet {
            takes_time: true, ..
        } => [
            "residual block: the time enters here",
            "残差块：时间从这里进入",
        ],
        ModuleKind::Resnet { .. } => ["residual block", "残差块"],
        ModuleKind::Transformer { .. } => [
            "transformer: the prompt enters here",
            "Transformer：提示词从这里进入",
        ],
        ModuleKind::PixelAttention => ["attention of all places to all", "所有位置之间的注意力"],
        ModuleKind::Downsampler => ["half the size", "缩小一半"],
        ModuleKind::Upsampler => ["twice the size", "放大一倍"],
        ModuleKind::TextLayer => ["layer", "层"],
    });
    let out = shape(&features.shape);
    let path = text::clean(&module.path);
    let shapes = match input(ctx, inside) {
        Some(input) => ctx.say([
            format!("in {} → out {out}", shape(&input)),
            format!("输入 {} → 输出 {out}", shape(&input)),
        ]),
        None => ctx.say([format!("out {out}"), format!("输出 {out}")]),
    };
    let forms = [
        format!("{path}   {what}   {shapes}"),
        format!("{path}   {shapes}"),
        shapes,
    ];
    let caption = fitting_of(&forms, area.width).to_owned();
    let area = line(buffer, area, &caption, ctx.theme.title());
    let skip = module.skip.and_then(|skip| {
        let from = ctx.run.info.modules.of(inside.network).get(skip)?;
        Some(text::clean(&from.path))
    });
    match skip {
        Some(from) if area.height > 4 => {
            let caption = ctx.say([
                format!("takes {from} beside what comes from below (skip)"),
                format!("另外接入 {from} 的输出（跳跃连接）"),
            ]);
            line(buffer, area, &caption, ctx.theme.muted())
        }
        _ => area,
    }
}

/// The shape of what goes in: what the module before gives, with the skip's channels where one is taken.
fn input(ctx: &RunContext, inside: Inside) -> Option<Vec<usize>> {
    let run = ctx.run;
    let modules = run.info.modules.of(inside.network);
    let Some(before) = inside.module.checked_sub(1) else {
        return Some(run.info.latent_shape.to_vec());
    };
    let features = run.probes.get(ctx.cursor.probe_key()?)?;
    let mut shape = features.get(before)?.shape.clone();
    if let Some(skip) = modules.get(inside.module)?.skip {
        let channels = features.get(skip)?.shape.first().copied()?;
        *shape.first_mut()? += channels;
    }
    Some(shape)
}

fn draw_picture(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    inside: Inside,
    features: &Features,
    is_chosen: bool,
) {
    let titles = ctx.say(picture::titles(features, inside));
    let title = fitting_of(&titles, area.width).to_owned();
    let style = ctx.theme.accent_if(is_chosen, ctx.theme.muted());
    let place = line(buffer, area, &title, style);
    picture::draw(buffer, place, features, inside, ctx.theme);
}

/// Statistics, what a branch adds, and the size over the steps.
fn draw_figures(
    buffer: &mut Buffer,
    mut area: Rect,
    ctx: &RunContext,
    inside: Inside,
    features: &Features,
) {
    let theme = ctx.theme;
    if area.height >= 5 {
        let names = Shows::ALL.map(|shows| ctx.say(shows.name()));
        tabs::draw(buffer, area, "v", &names, inside.shows as usize, theme);
        area = below(area, 1);
    }
    let stats = &features.stats;
    let caption = statistics(stats, area.width, ctx.language);
    area = line(buffer, area, &caption, theme.text());
    let [low, high] = [stats.min, stats.max].map(|value| text::fixed(f64::from(value), 2));
    let rms = text::fixed(features.rms(), 3);
    let finite = ctx.say(if stats.non_finite == 0 {
        ["finite ✓", "有限 ✓"]
    } else {
        ["not all finite ✗", "不全有限 ✗"]
    });
    let caption = ctx.say([
        format!("{low} to {high}  rms {rms}  {finite}"),
        format!("{low} 到 {high}  rms {rms}  {finite}"),
    ]);
    area = line(buffer, area, &caption, theme.muted());
    if let Some(branch) = features.branch {
        let ratio = text::fixed(branch.added / branch.base.max(f64::MIN_POSITIVE), 2);
        let caption = ctx.say([
            format!("adds {ratio} of what it adds to (rms)"),
            format!("加上的是被加者的 {ratio} 倍（rms）"),
        ]);
        area = line(buffer, area, &caption, theme.text());
    }
    if let Some(components) = features.components.as_deref().filter(|_| area.height >= 2) {
        let caption = ctx.say(match components.steps {
            Some(1) => ["components fitted on 1 step", "主成分由 1 步拟合"].map(str::to_owned),
            Some(steps) => [
                format!("components fitted on {steps} steps"),
                format!("主成分由 {steps} 步拟合"),
            ],
            None => ["components fitted on this step", "主成分由这一步拟合"].map(str::to_owned),
        });
        area = line(buffer, area, &caption, theme.muted());
    }
    if inside.network == Component::UNet && area.height >= 2 {
        draw_over_steps(buffer, area, ctx, inside);
    }
}

/// The root mean square of the module's output at every step that was computed again.
fn draw_over_steps(buffer: &mut Buffer, area: Rect, ctx: &RunContext, inside: Inside) {
    let run = ctx.run;
    let (half, done) = (ctx.cursor.attention.half, run.trace.steps.len());
    let sizes = run.probes.sizes(half, inside.module, done);
    let known = sizes.iter().filter(|size| size.is_finite()).count();
    if known == 0 {
        return;
    }
    let caption = ctx.say([
        format!("rms over the steps ({known} of {done})"),
        format!("各步的 rms（{known} / {done}）"),
    ]);
    let area = line(buffer, area, &caption, ctx.theme.muted());
    let total = run.total_steps();
    let current = Some(ctx.cursor.step);
    bars::steps(buffer, top(area, 4), &sizes, total, current, ctx.theme);
}

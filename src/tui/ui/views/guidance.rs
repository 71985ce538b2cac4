//! Guidance in the open: both predictions of a step and what is made of them, as arrows in one plane.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::Marker;
use ratatui::text::Line as TextLine;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Context, Line};

use super::{DRAWN, below, columns, fitting_of, line, paragraph, part_tabs, split, top};
use crate::trace::guidance_plane::{GuidancePlane, length};
use crate::tui::errors::steps_in_chinese;
use crate::tui::state::detail::StepPart;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::bars;

/// Columns of the numbers beside the arrows.
const NUMBERS: u16 = 31;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    let figures = ctx.run.figures.get(ctx.cursor.step)?;
    let area = part_tabs(buffer, area, ctx, &StepPart::ALL.map(StepPart::name), || 1);
    let curves = if area.height > 22 { 5 } else { 3 };
    let upper = top(area, area.height.saturating_sub(curves + 1));
    match figures.plane {
        Some(plane) => draw_plane(buffer, upper, ctx, &plane),
        None => {
            paragraph(buffer, upper, &why_empty(ctx), ctx.theme.text());
        }
    }
    draw_curves(buffer, below(area, upper.height + 1), ctx);
    DRAWN
}

/// Why the step has no plane, and what gives it one.
fn why_empty(ctx: &RunContext) -> String {
    let index = ctx.cursor.step;
    let request = ctx.run.trace.request_at(index);
    let number = index + 1;
    ctx.say(match request.guidance_steps {
        _ if !request.is_guided() => {
            let scale = request.guidance_scale;
            [
                format!(
                    "The guidance scale is {scale}: at 1 or below there is no guidance, and the prediction without the prompt \
                     is not computed. One arrow spans no plane. p changes the guidance scale."
                ),
                format!(
                    "引导强度是 {scale}：不大于 1 时没有引导，也就不算没有提示词的预测。一个箭头张不成平面。按 p 改引导强度。"
                ),
            ]
        }
        Some(steps) if !request.is_guided_at(index) => [
            format!(
                "Guidance acts only in {steps}; in step {number} the prediction without the prompt is not computed. One arrow \
                 spans no plane."
            ),
            format!(
                "只在{}引导；第 {number} 步不算没有提示词的预测。一个箭头张不成平面。",
                steps_in_chinese(steps)
            ),
        ],
        _ => [
            format!("The predictions of step {number} are 0 or not finite, or were not recorded: they have no direction."),
            format!("第 {number} 步的预测为 0、不是有限的数，或没有记录：没有方向。"),
        ],
    })
}

fn draw_plane(buffer: &mut Buffer, area: Rect, ctx: &RunContext, plane: &GuidancePlane) {
    let (numbers, plot) = if area.width >= 2 * NUMBERS {
        let (plot, numbers) = split(area, area.width - NUMBERS - 2, 2);
        (numbers, Some(plot))
    } else {
        (area, None)
    };
    draw_numbers(buffer, numbers, ctx, plane);
    if let Some(plot) = plot.filter(|plot| plot.height >= 4) {
        draw_arrows(buffer, plot, ctx, plane);
    }
}

/// The marks at the arrows' ends.
const UNCOND: &str = "○";
const TEXT: &str = "●";
const GUIDED: &str = "◆";
const PLAIN: &str = "◇";

fn draw_numbers(buffer: &mut Buffer, mut area: Rect, ctx: &RunContext, plane: &GuidancePlane) {
    let theme = ctx.theme;
    let request = ctx.run.trace.request_at(ctx.cursor.step);
    let scale = request.guidance_scale;
    let rms = |value: f64| text::fixed(value, 4);
    let degrees = |value: f64| format!("{}°", text::fixed(value, 2));
    let title = ctx.say(["lengths (rms) and angles", "长度（rms）和角度"]);
    area = line(buffer, area, title, theme.title());
    let mut rows = vec![
        (
            format!("{UNCOND} ε_uncond"),
            rms(plane.uncond),
            theme.muted(),
        ),
        (
            format!("{TEXT} ε_text"),
            rms(length(plane.text)),
            theme.text(),
        ),
        (
            "  ε_text − ε_uncond".to_owned(),
            rms(length(plane.difference())),
            theme.text(),
        ),
        (
            format!("{GUIDED} ε_guided"),
            rms(length(plane.guided)),
            theme.accent(),
        ),
    ];
    if request.guidance_rescale > 0.0 {
        let plain = length(plane.at_scale(scale));
        let name = ctx.say(["not rescaled", "重缩放之前"]);
        rows.push((format!("{PLAIN} {name}"), rms(plain), theme.muted()));
    }
    rows.extend([
        (String::new(), String::new(), theme.text()),
        (
            format!("  ∠ {UNCOND} {TEXT}"),
            degrees(plane.angle()),
            theme.text(),
        ),
        (
            format!("  ∠ {UNCOND} Δ"),
            degrees(plane.turn()),
            theme.text(),
        ),
        (String::new(), String::new(), theme.text()),
    ]);
    for (name, value, style) in rows {
        let caption = format!("{}{value:>9}", text::fit(&name, 20));
        area = line(buffer, area, caption.trim_end(), style);
    }
    let formula = format!("{GUIDED} = {UNCOND} + {scale} ({TEXT} − {UNCOND})");
    area = line(buffer, area, &formula, theme.muted());
    if request.guidance_rescale > 0.0 {
        let phi = request.guidance_rescale;
        let said = ctx.say([
            format!("brought by {phi} to the standard deviation of ε_text (Lin et al. 2023)"),
            format!("再以 {phi} 靠近 ε_text 的标准差（Lin 等 2023）"),
        ]);
        area = paragraph(buffer, area, &said, theme.muted());
    }
    let source = ctx.say(["Ho & Salimans 2022", "出处：Ho & Salimans 2022"]);
    line(buffer, area, source, theme.muted());
}

/// The arrows, with one scale across and up.
fn draw_arrows(buffer: &mut Buffer, area: Rect, ctx: &RunContext, plane: &GuidancePlane) {
    let theme = ctx.theme;
    let request = ctx.run.trace.request_at(ctx.cursor.step);
    let plain = plane.at_scale(request.guidance_scale);
    let uncond = (plane.uncond, 0.0);
    let places = [uncond, plane.text, plane.guided, plain];
    let (low, high) = bounds(&places, area, theme);
    let arrow = |context: &mut Context, from: (f64, f64), to: (f64, f64), style: Style| {
        let colour = style.fg.unwrap_or_default();
        context.draw(&Line::new(from.0, from.1, to.0, to.1, colour));
    };
    let origin = (0.0, 0.0);
    let is_rescaled = request.guidance_rescale > 0.0;
    Canvas::default()
        .marker(Marker::Braille)
        .x_bounds([low.0, high.0])
        .y_bounds([low.1, high.1])
        .paint(|context| {
            // What guidance prolongs: from the one tip over the other to the guided prediction.
            arrow(context, uncond, plain, theme.rule());
            context.layer();
            arrow(context, origin, uncond, theme.muted());
            arrow(context, origin, plane.text, theme.text());
            arrow(context, origin, plane.guided, theme.accent());
            context.layer();
            let mut tips = vec![
                (uncond, UNCOND, theme.muted()),
                (plane.text, TEXT, theme.text()),
                (plane.guided, GUIDED, theme.accent()),
            ];
            if is_rescaled {
                tips.insert(0, (plain, PLAIN, theme.muted()));
            }
            for ((x, y), glyph, style) in tips {
                context.print(x, y, TextLine::styled(glyph, style));
            }
        })
        .render(area, buffer);
}

/// The corners of what is seen: all of `places` and the origin, with a margin, as far across as up.
fn bounds(places: &[(f64, f64)], area: Rect, theme: Theme) -> ((f64, f64), (f64, f64)) {
    let fold = |of: fn(&(f64, f64)) -> f64, with: fn(f64, f64) -> f64| {
        places.iter().map(of).fold(0.0, with)
    };
    let (left, right) = (fold(|at| at.0, f64::min), fold(|at| at.0, f64::max));
    let up = fold(|at| at.1, f64::max);
    // Cells are higher than wide.
    let ratio = f64::from(area.height) * f64::from(theme.tall()) / f64::from(area.width);
    let margin = 1.12;
    let width = ((right - left) * margin).max(up * margin / ratio).max(1e-9);
    let middle = f64::midpoint(left, right);
    let below = -0.06 * width * ratio;
    let low = (middle - width / 2.0, below);
    (low, (middle + width / 2.0, below + width * ratio))
}

/// Over all steps: the angle, what guidance scales, and how long the guided prediction is.
fn draw_curves(buffer: &mut Buffer, area: Rect, ctx: &RunContext) {
    let run = ctx.run;
    let planes: Vec<Option<GuidancePlane>> =
        run.figures.iter().map(|figures| figures.plane).collect();
    let curve = |of: fn(&GuidancePlane) -> f64| -> Vec<f64> {
        let values = planes
            .iter()
            .map(|plane| plane.as_ref().map_or(f64::NAN, of));
        values.collect()
    };
    let (index, total, theme) = (ctx.cursor.step, run.total_steps(), ctx.theme);
    let curves: [([String; 2], Vec<f64>); 3] = [
        (
            ctx.say([
                ["angle of both, °", "angle, °"],
                ["两者的夹角，°", "夹角，°"],
            ])
            .map(str::to_owned),
            curve(GuidancePlane::angle),
        ),
        (
            ["rms(ε_text − ε_uncond)", "rms(Δε)"].map(str::to_owned),
            curve(|plane| length(plane.difference())),
        ),
        (
            ["rms(ε_guided)", "rms(ε_g)"].map(str::to_owned),
            curve(|plane| length(plane.guided)),
        ),
    ];
    for (place, (names, values)) in columns(area, 3, 2).into_iter().zip(curves) {
        let number = text::number(values.get(index).copied().unwrap_or(f64::NAN));
        let number = if number == "NaN" {
            "–".to_owned()
        } else {
            number
        };
        let room = place.width.saturating_sub(text::width(&number) as u16 + 1);
        let name = text::fit(fitting_of(&names, room), room.into());
        let place = line(buffer, place, &format!("{name} {number}"), theme.muted());
        let height = place.height.saturating_sub(1);
        bars::steps(
            buffer,
            top(place, height),
            &values,
            total,
            Some(index),
            theme,
        );
        draw_guided(buffer, below(place, height), ctx, &planes, total);
    }
}

/// A row that marks the steps that have guidance.
fn draw_guided(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    planes: &[Option<GuidancePlane>],
    total: usize,
) {
    if area.is_empty() {
        return;
    }
    let columns = usize::from(area.width);
    for column in 0..columns {
        let index = column * total.max(1) / columns;
        let Some(plane) = planes.get(index) else {
            continue;
        };
        let (mark, style) = match plane {
            Some(_) => ("━", ctx.theme.rule()),
            None => ("·", ctx.theme.warning()),
        };
        buffer.set_string(area.x + column as u16, area.y, mark, style);
    }
    let outside = planes.iter().filter(|plane| plane.is_none()).count();
    if outside > 0 {
        let said = ctx.say([
            format!("· {outside} steps without"),
            format!("· {outside} 步没有引导"),
        ]);
        if text::width(&said) + 2 < columns {
            let x = area.right() - text::width(&said) as u16;
            buffer.set_string(x, area.y, said, ctx.theme.muted());
        }
    }
}

//! Every step's numbers, and the selected step's in full.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Both, OTHER, Other, TABLE, alpha, in_full};
use crate::scheduler::Schedule;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{below, fitting_of, left, line, right_of, scroll};

/// The numbers of every step, and the selected step's in full where there is room.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext, (schedule, other): Both) {
    let theme = ctx.theme;
    let own_count = schedule.timesteps.len();
    let title = in_full(ctx.run.trace.request.scheduler, own_count, ctx);
    let with_other = other.filter(|_| area.width >= TABLE.0 + OTHER);
    if let Some(other) = with_other {
        let place = right_of(area, area.x + TABLE.0 + 2);
        line(buffer, place, &other.name(ctx), theme.good());
    }
    let area = line(buffer, area, &title, theme.title());
    let head = table_head(area.width, with_other.is_some(), ctx);
    let area = line(buffer, area, &head, theme.muted());
    let footer = if area.height > 24 { 6 } else { 0 };
    let rows = usize::from(area.height.saturating_sub(footer));
    let shown = with_other.and_then(Other::schedule);
    let count = own_count.max(shown.map_or(0, |other| other.timesteps.len()));
    let first = scroll(ctx.cursor.step, count, rows);
    let shown_rows = first..count.min(first + rows);
    for (index, place) in shown_rows.zip(area.rows()) {
        if index < own_count {
            draw_row(buffer, place, ctx, schedule, index);
        }
        if let Some(other) = shown.filter(|other| index < other.timesteps.len()) {
            let (timestep, sigma) = (other.timesteps[index], other.sigmas[index]);
            let caption = format!("{timestep:>9.3} {sigma:>8.4}");
            let place = right_of(place, area.x + TABLE.0 + 1);
            line(buffer, place, &caption, theme.text());
        }
    }
    if footer > 0 {
        let used = rows.min(count) as u16 + 1;
        draw_precise(buffer, below(area, used), ctx, schedule);
    }
}

/// What stands above the columns of [`own_row`], and above those of the other schedule.
fn table_head(columns: u16, with_other: bool, ctx: &RunContext) -> String {
    let own = ctx.say(match columns {
        _ if columns >= TABLE.0 => [
            "step timestep    sigma     next      SNR",
            "  步   时间步    sigma   下一个      SNR",
        ],
        30.. => [
            "step timestep   sigma      SNR",
            "  步   时间步   sigma      SNR",
        ],
        21.. => ["step timestep   sigma", "  步   时间步   sigma"],
        _ => ["step   sigma", "  步   sigma"],
    });
    let others = ctx.say(["  timestep    sigma", "    时间步    sigma"]);
    let others = if with_other { others } else { "" };
    format!("{own}{others}")
}

/// A step of the run's own schedule.
fn draw_row(buffer: &mut Buffer, area: Rect, ctx: &RunContext, schedule: &Schedule, index: usize) {
    let theme = ctx.theme;
    let caption = own_row(schedule, index, area.width);
    let style = if ctx.has_steps() && index == ctx.cursor.step {
        theme.selected()
    } else if index < ctx.run.trace.steps.len() {
        theme.text()
    } else {
        theme.muted()
    };
    // Only where the other schedule stands beside it is it wider.
    let place = left(area, TABLE.0);
    let caption = text::fit(&caption, place.width.into());
    line(buffer, place, &caption, style);
}

/// A step's numbers: as many as `columns` columns have room for, the noise level before all others.
fn own_row(schedule: &Schedule, index: usize, columns: u16) -> String {
    let sigma_at = |index: usize| f64::from(schedule.sigmas.get(index).copied().unwrap_or(0.0));
    let (sigma, next) = (sigma_at(index), sigma_at(index + 1));
    let ratio = text::number(1.0 / (sigma * sigma));
    let timestep = f64::from(schedule.timesteps[index]);
    let step = index + 1;
    match columns {
        _ if columns >= TABLE.0 => {
            format!("{step:>4} {timestep:>8.3} {sigma:>8.4} {next:>8.4} {ratio:>8}")
        }
        30.. => format!("{step:>4} {timestep:>8.2} {sigma:>7.3} {ratio:>8}"),
        21.. => format!("{step:>4} {timestep:>8.2} {sigma:>7.3}"),
        _ => format!("{step:>4} {sigma:>7.3}"),
    }
}

fn draw_precise(buffer: &mut Buffer, area: Rect, ctx: &RunContext, schedule: &Schedule) {
    let theme = ctx.theme;
    let step = ctx.cursor.step;
    let (Some(timestep), Some(&sigma), Some(&next)) = (
        schedule.timesteps.get(step),
        schedule.sigmas.get(step),
        schedule.sigmas.get(step + 1),
    ) else {
        return;
    };
    let alpha = alpha(f64::from(sigma));
    let number = step + 1;
    let title = ctx.say([
        format!("step {number}: timestep {timestep}"),
        format!("第 {number} 步：时间步 {timestep}"),
    ]);
    let mut area = line(buffer, area, &title, theme.title());
    let [signal, noise] = [alpha, 1.0 - alpha].map(|share| text::fixed(100.0 * share, 3));
    let short = |sigma: f32| text::number(f64::from(sigma));
    let input = match schedule.preview_scale(step) {
        scale if scale > 1.0 => [
            format!("x / √(σ² + 1) = x / {scale}"),
            format!("x / √(σ² + 1) = x / {}", short(scale)),
            format!("x / {}", short(scale)),
        ],
        _ => [(); 3].map(|()| ctx.say(["x as it is", "x 照原样"]).to_owned()),
    };
    let to = ctx.say(["to", "到"]);
    let sigmas = [
        format!("{sigma} {to} {next}"),
        format!("{sigma:.5} {to} {next:.5}"),
        format!("{} {to} {}", short(sigma), short(next)),
    ];
    let shares = ctx.say([
        [
            format!("{signal} % of the variance, noise {noise} %"),
            format!("{signal} %, noise {noise} %"),
            format!("{signal} %"),
        ],
        [
            format!("占方差的 {signal} %，噪声 {noise} %"),
            format!("{signal} %，噪声 {noise} %"),
            format!("{signal} %"),
        ],
    ]);
    for (name, forms) in [
        (["sigma", "sigma"], sigmas),
        (["signal", "信号"], shares),
        (["input", "输入"], input),
    ] {
        let name = text::fit(ctx.say(name), 7);
        let forms = forms.map(|caption| format!("{name} {caption}"));
        let caption = fitting_of(&forms, area.width);
        area = line(buffer, area, caption, theme.text());
    }
}

//! The noise schedule: betas, alphas and sigmas against the timesteps, every step's numbers, and another scheduler's
//! schedule over this one for comparison.

mod table;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use super::{DRAWN, below, fitting, line, paragraph, right_of, top};
use crate::scheduler::{Schedule, SchedulerKind};
use crate::tui::errors;
use crate::tui::state::detail::{Axis, Curve};
use crate::tui::state::in_words;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::curve::{Curves, GLYPHS};
use crate::tui::ui::widgets::tabs;

/// The least columns for the whole table beside the curves.
const WIDE: u16 = 90;
/// Columns of the table where there is room, and where there is little.
const TABLE: (u16, u16) = (40, 31);
/// Columns of the other schedule's part of the table.
const OTHER: u16 = 20;

/// Another scheduler's schedule for the same model.
struct Other {
    kind: SchedulerKind,
    /// The schedule, or why there is none, in English and in Chinese.
    schedule: Result<Schedule, [String; 2]>,
    steps: usize,
}

impl Other {
    fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref().ok()
    }

    fn name(&self, ctx: &RunContext) -> String {
        in_full(self.kind, self.steps, ctx)
    }
}

/// A scheduler with its number of steps.
fn in_full(kind: SchedulerKind, steps: usize, ctx: &RunContext) -> String {
    let steps = in_words::steps(steps, ctx.language);
    format!("{} · {steps}", in_words::scheduler_name(kind))
}

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    let schedule = ctx.run.schedule()?;
    let other = other(ctx);
    let area = draw_choices(buffer, area, ctx);
    let wide = area.width >= WIDE;
    let table = match (&other, wide) {
        (Some(_), true) => TABLE.0 + OTHER,
        (None, true) => TABLE.0,
        (_, false) => TABLE.1,
    };
    let table = table.min(area.width * 3 / 5);
    let columns = [Constraint::Fill(1), Constraint::Length(table)];
    let [left, right] = Layout::horizontal(columns).spacing(2).areas(area);
    let both = (schedule, other.as_ref());
    draw_curves(buffer, left, ctx, both);
    table::draw(buffer, right, ctx, both);
    DRAWN
}

/// The run's schedule, and the one laid over it.
type Both<'a> = (&'a Schedule, Option<&'a Other>);

/// The schedule to lay over this run's, where one is chosen and the model that made the run is known.
fn other(ctx: &RunContext) -> Option<Other> {
    let (run, detail) = (ctx.run, &ctx.cursor.detail);
    let kind = detail.other?;
    let steps = detail.other_steps.unwrap_or(run.trace.request.steps);
    let schedule = match run.scheduler_config.as_deref() {
        Some(config) => Schedule::new(kind, config, steps).map_err(|error| errors::said(&error)),
        None => Err([
            "a recording does not say what other schedulers need to know",
            "记录里没有别的采样器需要知道的",
        ]
        .map(str::to_owned)),
    };
    Some(Other {
        kind,
        schedule,
        steps,
    })
}

/// The curves and the axes to choose among.
fn draw_choices(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Rect {
    let detail = &ctx.cursor.detail;
    let names = Curve::ALL.map(Curve::name);
    let row = top(area, 1);
    let x = tabs::draw(buffer, row, "v", &names, detail.curve as usize, ctx.theme);
    let place = right_of(row, x + 3);
    let short = ctx.say([["lin", "log"], ["线性", "对数"]]);
    // With the key, and what stands between them.
    let needed = 5 + text::width(short[0]) + text::width(short[1]);
    let axes = match usize::from(place.width) {
        24.. => ctx.say([["linear", "logarithmic"], ["线性", "对数"]]),
        room if room >= needed => short,
        _ => return below(area, 1 + u16::from(area.height > 16)),
    };
    tabs::draw(buffer, place, "a", &axes, detail.axis as usize, ctx.theme);
    below(area, 1 + u16::from(area.height > 16))
}

fn draw_curves(buffer: &mut Buffer, area: Rect, ctx: &RunContext, both: Both) {
    let chosen = ctx.cursor.detail.curve;
    let area = draw_legend(buffer, area, ctx, both);
    if area.height < 26 {
        draw_curve(buffer, area, ctx, both, chosen);
        return;
    }
    let rows = [Constraint::Fill(5), Constraint::Fill(3)];
    let [upper, lower] = Layout::vertical(rows).spacing(1).areas(area);
    draw_curve(buffer, upper, ctx, both, chosen);
    let rest = (Curve::ALL.into_iter()).filter(|&curve| curve != chosen);
    let places = super::columns(lower, Curve::ALL.len() as u16 - 1, 2);
    for (curve, place) in rest.zip(places) {
        draw_curve(buffer, place, ctx, both, curve);
    }
}

/// Which marks are whose; beneath, why the other schedule is missing.
fn draw_legend(buffer: &mut Buffer, area: Rect, ctx: &RunContext, (schedule, other): Both) -> Rect {
    let theme = ctx.theme;
    let room = |x: u16| usize::from(area.right().saturating_sub(x));
    if area.height < 5 {
        return area;
    }
    let own = in_words::steps(schedule.timesteps.len(), ctx.language);
    let own = format!("{} {own}", GLYPHS[0]);
    let style = theme.warning();
    let (x, _) = buffer.set_stringn(area.x, area.y, own, room(area.x), style);
    let Some(other) = other else {
        let forms = ctx.say([
            [
                "   o lays another schedule over it",
                "   o another schedule",
                "",
            ],
            ["   按 o 叠加另一个噪声调度", "   o 另一个", ""],
        ]);
        let caption = fitting(&forms, room(x) as u16);
        buffer.set_stringn(x, area.y, caption, room(x), theme.muted());
        return below(area, 1);
    };
    let caption = format!("   {} {}", GLYPHS[1], other.name(ctx));
    let mut area = below(area, 1);
    if text::width(&caption) <= room(x) {
        let (x, _) = buffer.set_stringn(x, area.y - 1, caption, room(x), theme.good());
        let forms = [ctx.say(["   - + steps", "   - + 步数"]), ""];
        let caption = fitting(&forms, room(x) as u16);
        buffer.set_stringn(x, area.y - 1, caption, room(x), theme.muted());
    } else {
        // A row of its own: its number of steps is what one changes.
        let short = format!(
            "{} {} · {}",
            GLYPHS[1],
            in_words::scheduler_name(other.kind),
            other.steps
        );
        let forms = [caption.trim_start(), &short];
        area = line(buffer, area, fitting(&forms, area.width), theme.good());
    }
    if let Err([english, chinese]) = &other.schedule {
        let why = text::clean(ctx.say([english, chinese]));
        let why = ctx.say([
            format!("There is no such schedule: {why}."),
            format!("没有这样的噪声调度：{why}。"),
        ]);
        area = paragraph(buffer, area, &why, theme.warning());
    }
    area
}

/// One curve over the training's timesteps, with the steps on it.
fn draw_curve(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    (schedule, other): Both,
    curve: Curve,
) {
    let theme = ctx.theme;
    let Some(last) = schedule.alphas_cumprod.len().checked_sub(1) else {
        return;
    };
    let axis = ctx.cursor.detail.axis;
    let training: Vec<(f64, f64)> = (0..=last)
        .map(|t| (t as f64, at(axis, of_training(schedule, curve, t))))
        .collect();
    let own = steps_of(schedule, schedule, curve, axis);
    let others = other.and_then(Other::schedule);
    let others = others.map_or_else(Vec::new, |other| steps_of(other, schedule, curve, axis));
    let (low, high) = range([&training[..], &own, &others], axis);
    let labels = [low, high].map(|y| {
        text::number(match axis {
            Axis::Linear => y,
            Axis::Logarithmic => 10_f64.powf(y),
        })
    });
    let now = schedule.timesteps.get(ctx.cursor.step);
    let title = match curve {
        _ if area.width < 38 => curve.name(),
        Curve::Sigma => ctx.say(["sigmas: noise over signal", "sigmas：噪声比信号"]),
        Curve::Alphas => ctx.say([
            "alphas_cumprod: the signal's variance",
            "alphas_cumprod：信号的方差",
        ]),
        Curve::Betas => ctx.say([
            "betas: noise that a timestep adds",
            "betas：一个时间步所加的噪声",
        ]),
    };
    let x_label = if area.width < 24 {
        last.to_string()
    } else {
        ctx.say([format!("timestep {last}"), format!("时间步 {last}")])
    };
    Curves {
        title,
        lines: &[(&training, theme.muted())],
        points: &[(&own, theme.warning()), (&others, theme.good())],
        x: (last as f64, 0.0),
        y: (low, high),
        x_labels: (&x_label, "0"),
        y_labels: (&labels[0], &labels[1]),
        mark: now.filter(|_| ctx.has_steps()).map(|&t| f64::from(t)),
    }
    .draw(buffer, area, theme);
}

/// The steps of the schedule `of` as points of a curve of the model that `trained` speaks of.
fn steps_of(of: &Schedule, trained: &Schedule, curve: Curve, axis: Axis) -> Vec<(f64, f64)> {
    let last = trained.alphas_cumprod.len().saturating_sub(1);
    let steps = of.timesteps.iter().zip(&of.sigmas).map(|(&t, &sigma)| {
        let nearest = (t.round() as usize).min(last);
        let value = match curve {
            Curve::Sigma => f64::from(sigma),
            Curve::Alphas => alpha(f64::from(sigma)),
            Curve::Betas => of_training(trained, curve, nearest),
        };
        (f64::from(t), at(axis, value))
    });
    steps.collect()
}

/// The least and the largest value of all `points` that are finite; a linear axis begins at 0.
fn range(points: [&[(f64, f64)]; 3], axis: Axis) -> (f64, f64) {
    let finite = || {
        let all = points.into_iter().flatten();
        all.map(|&(_, y)| y).filter(|y| y.is_finite())
    };
    let low = match axis {
        Axis::Linear => 0.0,
        Axis::Logarithmic => finite().fold(f64::MAX, f64::min),
    };
    (low, finite().fold(f64::MIN, f64::max))
}

fn of_training(schedule: &Schedule, curve: Curve, timestep: usize) -> f64 {
    let at = |values: &[f32]| values.get(timestep).copied().map_or(f64::NAN, f64::from);
    let alpha = at(&schedule.alphas_cumprod);
    match curve {
        Curve::Sigma => ((1.0 - alpha) / alpha).sqrt(),
        Curve::Alphas => alpha,
        Curve::Betas => at(&schedule.betas),
    }
}

/// The signal's variance where noise over signal is `sigma`.
fn alpha(sigma: f64) -> f64 {
    1.0 / (sigma * sigma + 1.0)
}

/// A value's place on the axis.
fn at(axis: Axis, value: f64) -> f64 {
    match axis {
        Axis::Linear => value,
        Axis::Logarithmic => value.log10(),
    }
}

//! The noise schedule: betas, alphas and sigmas against the timesteps, every step's numbers, and another scheduler's
//! schedule over this one for comparison.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use super::{DRAWN, below, fitting, fitting_of, left, line, paragraph, right_of, scroll, top};
use crate::scheduler::{Schedule, SchedulerKind};
use crate::tui::state::detail::{Axis, Curve};
use crate::tui::state::editor::scheduler_name;
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
    /// The schedule, or why there is none.
    schedule: Result<Schedule, String>,
    steps: usize,
}

impl Other {
    fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref().ok()
    }

    fn name(&self) -> String {
        format!("{} · {} steps", scheduler_name(self.kind), self.steps)
    }
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
    draw_table(buffer, right, ctx, both);
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
        Some(config) => Schedule::new(kind, config, steps).map_err(|error| error.to_string()),
        None => Err("a recording does not say what other schedulers need to know".to_owned()),
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
    let axes = match place.width {
        24.. => ["linear", "logarithmic"],
        11.. => ["lin", "log"],
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
    let own = format!("{} {} steps", GLYPHS[0], schedule.timesteps.len());
    let style = theme.warning();
    let (x, _) = buffer.set_stringn(area.x, area.y, own, room(area.x), style);
    let Some(other) = other else {
        let forms = [
            "   o lays another schedule over it",
            "   o another schedule",
            "",
        ];
        let caption = fitting(&forms, room(x) as u16);
        buffer.set_stringn(x, area.y, caption, room(x), theme.muted());
        return below(area, 1);
    };
    let caption = format!("   {} {}", GLYPHS[1], other.name());
    let mut area = below(area, 1);
    if text::width(&caption) <= room(x) {
        let (x, _) = buffer.set_stringn(x, area.y - 1, caption, room(x), theme.good());
        let caption = fitting(&["   - + steps", ""], room(x) as u16);
        buffer.set_stringn(x, area.y - 1, caption, room(x), theme.muted());
    } else {
        // A row of its own: its number of steps is what one changes.
        let short = format!(
            "{} {} · {}",
            GLYPHS[1],
            scheduler_name(other.kind),
            other.steps
        );
        let forms = [caption.trim_start(), &short];
        area = line(buffer, area, fitting(&forms, area.width), theme.good());
    }
    if let Err(why) = &other.schedule {
        let why = format!("There is no such schedule: {}.", text::clean(why));
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
        Curve::Sigma => "sigmas: noise over signal",
        Curve::Alphas => "alphas_cumprod: the signal's variance",
        Curve::Betas => "betas: noise that a timestep adds",
    };
    let x_label = if area.width < 24 {
        last.to_string()
    } else {
        format!("timestep {last}")
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

fn draw_table(buffer: &mut Buffer, area: Rect, ctx: &RunContext, (schedule, other): Both) {
    let theme = ctx.theme;
    let wide = area.width >= TABLE.0;
    let run = ctx.run;
    let name = scheduler_name(run.trace.request.scheduler);
    let title = format!("{name} · {} steps", schedule.timesteps.len());
    let with_other = other.filter(|_| area.width >= TABLE.0 + OTHER);
    let other_x = area.x + TABLE.0;
    if let Some(other) = with_other {
        let place = right_of(area, other_x + 2);
        line(buffer, place, &other.name(), theme.good());
    }
    let area = line(buffer, area, &title, theme.title());
    let mut head = match area.width {
        _ if wide => "step timestep    sigma     next      SNR",
        30.. => "step timestep   sigma      SNR",
        21.. => "step timestep   sigma",
        _ => "step   sigma",
    }
    .to_owned();
    if with_other.is_some() {
        head.push_str("  timestep    sigma");
    }
    let area = line(buffer, area, &head, theme.muted());
    let footer = if area.height > 24 { 6 } else { 0 };
    let rows = usize::from(area.height.saturating_sub(footer));
    let shown = with_other.and_then(Other::schedule);
    let own_count = schedule.timesteps.len();
    let count = own_count.max(shown.map_or(0, |other| other.timesteps.len()));
    let first = scroll(ctx.cursor.step, count, rows);
    for row in 0..rows.min(count - first) {
        let index = first + row;
        let place = top(below(area, row as u16), 1);
        if index < own_count {
            let caption = own_row(schedule, index, area.width);
            let style = if ctx.has_steps() && index == ctx.cursor.step {
                theme.selected()
            } else if index < run.trace.steps.len() {
                theme.text()
            } else {
                theme.muted()
            };
            let place = if wide { left(place, TABLE.0) } else { place };
            line(
                buffer,
                place,
                &text::fit(&caption, place.width.into()),
                style,
            );
        }
        if let Some(other) = shown.filter(|other| index < other.timesteps.len()) {
            let (timestep, sigma) = (other.timesteps[index], other.sigmas[index]);
            let caption = format!("{timestep:>9.3} {sigma:>8.4}");
            let place = right_of(place, other_x + 1);
            line(buffer, place, &caption, theme.text());
        }
    }
    if footer > 0 {
        let used = rows.min(count) as u16 + 1;
        draw_precise(buffer, below(area, used), ctx, schedule);
    }
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
    let title = format!("step {}: timestep {timestep}", step + 1);
    let mut area = line(buffer, area, &title, theme.title());
    let [signal, noise] = [alpha, 1.0 - alpha].map(|share| text::fixed(100.0 * share, 3));
    let short = |sigma: f32| text::number(f64::from(sigma));
    let input = match schedule.preview_scale(step) {
        scale if scale > 1.0 => [
            format!("x / √(σ² + 1) = x / {scale}"),
            format!("x / √(σ² + 1) = x / {}", short(scale)),
            format!("x / {}", short(scale)),
        ],
        _ => ["", "", ""].map(|_| "x as it is".to_owned()),
    };
    let sigmas = [
        format!("{sigma} to {next}"),
        format!("{sigma:.5} to {next:.5}"),
        format!("{} to {}", short(sigma), short(next)),
    ];
    let shares = [
        format!("{signal} % of the variance, noise {noise} %"),
        format!("{signal} %, noise {noise} %"),
        format!("{signal} %"),
    ];
    for (name, forms) in [("sigma", sigmas), ("signal", shares), ("input", input)] {
        let forms = forms.map(|caption| format!("{name:<7} {caption}"));
        let caption = fitting_of(&forms, area.width);
        area = line(buffer, area, caption, theme.text());
    }
}

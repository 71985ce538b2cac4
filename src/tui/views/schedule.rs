//! The noise schedule: sigma against time, and every step's numbers.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use super::{empty, scroll};
use crate::scheduler::Schedule;
use crate::tui::app::App;
use crate::tui::editor::scheduler_name;
use crate::tui::run::Run;
use crate::tui::text;
use crate::tui::widgets::curve::Curves;

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, app: &App) {
    let found = app
        .run
        .as_ref()
        .and_then(|run| Some((run, run.schedule()?)));
    let Some((run, schedule)) = found else {
        empty(buffer, area, app, "The schedule");
        return;
    };
    let wide = area.width >= 90;
    let table = if wide { 56 } else { 31 };
    let [left, _, right] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(2),
        Constraint::Length(table),
    ])
    .areas(area);
    draw_curves(buffer, left, app, schedule);
    draw_table(buffer, right, app, run, schedule, wide);
}

fn draw_curves(buffer: &mut Buffer, area: Rect, app: &App, schedule: &Schedule) {
    let theme = app.theme;
    let alphas = &schedule.alphas_cumprod;
    if alphas.is_empty() {
        return;
    }
    let last = (alphas.len() - 1) as f64;
    let training = alphas.iter().enumerate().map(|(t, &a)| {
        let a = f64::from(a);
        (t as f64, ((1.0 - a) / a).sqrt().log10())
    });
    let training: Vec<(f64, f64)> = training.collect();
    let kept: Vec<(f64, f64)> = alphas
        .iter()
        .enumerate()
        .map(|(t, &a)| (t as f64, f64::from(a)))
        .collect();
    let timesteps = schedule.timesteps.iter().map(|&t| f64::from(t));
    let sigmas: Vec<(f64, f64)> = timesteps
        .zip(&schedule.sigmas)
        .map(|(t, &sigma)| (t, f64::from(sigma).max(1e-6).log10()))
        .collect();
    let mark = app
        .has_steps()
        .then(|| schedule.timesteps.get(app.cursor.step))
        .flatten()
        .map(|&t| f64::from(t));
    let finite = training.iter().chain(&sigmas).map(|&(_, y)| y);
    let low = finite
        .clone()
        .filter(|y| y.is_finite())
        .fold(f64::MAX, f64::min)
        .max(-2.0);
    let high = finite.filter(|y| y.is_finite()).fold(f64::MIN, f64::max);
    let labels = [low, high].map(|y| text::number(10_f64.powf(y)));
    let sigma = Curves {
        title: "sigma, logarithmic; • the steps",
        lines: &[(&training, theme.rule_colour())],
        points: &[(&sigmas, theme.warning_colour())],
        x: (last, 0.0),
        y: (low, high),
        x_labels: (&format!("timestep {last}"), "0"),
        y_labels: (&labels[0], &labels[1]),
        mark,
    };
    let kept_curve = Curves {
        title: "alphas_cumprod, the picture's share",
        lines: &[(&kept, theme.muted_colour())],
        points: &[],
        x: (last, 0.0),
        y: (0.0, 1.0),
        x_labels: (&format!("timestep {last}"), "0"),
        y_labels: ("0.0", "1.0"),
        mark,
    };
    if area.height >= 22 {
        let [upper, _, lower] = Layout::vertical([
            Constraint::Fill(1),
            Constraint::Length(1),
            Constraint::Fill(1),
        ])
        .areas(area);
        sigma.draw(buffer, upper, theme);
        kept_curve.draw(buffer, lower, theme);
    } else {
        sigma.draw(buffer, area, theme);
    }
}

fn draw_table(
    buffer: &mut Buffer,
    area: Rect,
    app: &App,
    run: &Run,
    schedule: &Schedule,
    wide: bool,
) {
    let theme = app.theme;
    let width = usize::from(area.width);
    let title = format!(
        "{} · {} steps",
        scheduler_name(run.trace.request.scheduler),
        schedule.timesteps.len()
    );
    buffer.set_stringn(area.x, area.y, title, width, theme.title());
    let head = if wide {
        "step  timestep     sigma      next    alpha       SNR"
    } else {
        "step timestep   sigma      SNR"
    };
    if area.height < 3 {
        return;
    }
    buffer.set_stringn(area.x, area.y + 1, head, width, theme.muted());
    let rows = usize::from(area.height - 2);
    let count = schedule.timesteps.len();
    let first = scroll(app.cursor.step, count, rows);
    for row in 0..rows.min(count - first) {
        let index = first + row;
        let y = area.y + 2 + row as u16;
        let sigma = f64::from(schedule.sigmas.get(index).copied().unwrap_or(0.0));
        let next = f64::from(schedule.sigmas.get(index + 1).copied().unwrap_or(0.0));
        let ratio = 1.0 / (sigma * sigma);
        let alpha = 1.0 / (sigma * sigma + 1.0);
        let timestep = f64::from(schedule.timesteps[index]);
        let step = index + 1;
        let words = if wide {
            format!(
                "{step:>4} {timestep:>9.3} {sigma:>9.4} {next:>9.4} {alpha:>8.5} {:>9}",
                text::number(ratio)
            )
        } else {
            format!(
                "{step:>4} {timestep:>8.2} {sigma:>7.3} {:>8}",
                text::number(ratio)
            )
        };
        let style = if app.has_steps() && index == app.cursor.step {
            theme.selected()
        } else if index < run.trace.steps.len() {
            theme.text()
        } else {
            theme.muted()
        };
        buffer.set_stringn(area.x, y, text::fit(&words, width), width, style);
    }
}

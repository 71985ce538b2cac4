//! Two runs side by side in one view, and what differs between them.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use super::{below, first_lines, keeps_variance, line, titled_map};
use crate::trace::{StepTrace, TensorData};
use crate::tui::state::View;
use crate::tui::state::editor::changes;
use crate::tui::state::run::Run;
use crate::tui::ui::context::ViewContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale};
use crate::tui::ui::wrap::wrap_words;

/// Columns of the difference's own picture.
const DIFFERENCE: u16 = 30;

/// Draws the view for the run on the screen, for `other` beside it, and their difference.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &ViewContext, other: &Run) -> Vec<PlacedPicture> {
    let Some(run) = ctx.run else {
        return Vec::new();
    };
    let (caption, map) = difference(ctx.view, ctx.cursor.step, run, other);
    let lines = wrap_words(&caption, area.width.into());
    let rows = (lines.len() as u16).min(3);
    let [upper, lower] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(rows)]).areas(area);
    let map = map.filter(|_| area.width >= 110);
    let difference = Constraint::Length(if map.is_some() { DIFFERENCE } else { 0 });
    let columns = [Constraint::Fill(1), Constraint::Fill(1), difference];
    let [left, right, third] = Layout::horizontal(columns).spacing(2).areas(upper);
    let mut pictures = draw_one(buffer, left, ctx, run, other);
    let mut beside = ctx.beside(other);
    // Beside the finished picture of the one stands that of the other, however many steps it took.
    if ctx.view == View::Image && ctx.cursor.step + 1 >= run.total_steps() {
        beside.cursor.step = other.total_steps().saturating_sub(1);
    }
    pictures.extend(draw_one(buffer, right, &beside, other, run));
    if let Some(map) = map {
        let scale = Scale::magnitudes(map.values.iter().copied());
        let heat_map = HeatMap::new(&map.values, map.size, scale);
        titled_map(buffer, third, map.title, &heat_map, third.height, ctx.theme);
    }
    for (row, caption) in lines.iter().enumerate() {
        let style = ctx.theme.accent_if(row == 0, ctx.theme.text());
        line(buffer, below(lower, row as u16), caption, style);
    }
    pictures
}

fn draw_one(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &ViewContext,
    run: &Run,
    other: &Run,
) -> Vec<PlacedPicture> {
    let asked = changes(&run.trace.request, &other.trace.request);
    let colon = if asked.is_empty() { "" } else { ": " };
    let title = format!("run {}{colon}{}", run.id, asked.join(" · "));
    let title = text::clean(&title);
    let area = first_lines(buffer, area, &title, 2, ctx.theme.title());
    super::draw_stage(buffer, below(area, u16::from(area.height > 24)), ctx)
}

struct Map {
    title: &'static str,
    values: Vec<f32>,
    size: (usize, usize),
}

/// What differs between two runs at a stage, and where.
fn difference(view: View, step: usize, a: &Run, b: &Run) -> (String, Option<Map>) {
    let mut map = None;
    let caption = match view {
        View::Prompt => {
            let changes = changes(&a.trace.request, &b.trace.request);
            match changes.len() {
                0 => "The two requests are equal.".to_owned(),
                count => format!("The two requests differ in {count}."),
            }
        }
        View::Tokens => {
            let pairs = a.tokens().iter().zip(b.tokens());
            let differing = pairs.filter(|(a, b)| a.id != b.id).count();
            format!("{differing} of {} positions differ.", a.tokens().len())
        }
        View::Embedding => text_difference(a, b, "token_embedding"),
        View::TextEncoder => text_difference(a, b, "prompt_embedding"),
        View::Noise => match (&a.trace.noise, &b.trace.noise) {
            (Some(a), Some(b)) => between("initial noise", &a.initial_noise, &b.initial_noise),
            _ => not_yet(),
        },
        View::Schedule => match (a.schedule(), b.schedule()) {
            (Some(a), Some(b)) if a.sigmas == b.sigmas => "The sigmas are equal.".to_owned(),
            (Some(a), Some(b)) if a.sigmas.len() == b.sigmas.len() => {
                let pairs = a.sigmas.iter().zip(&b.sigmas);
                let most = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                let most = text::number(f64::from(most));
                format!("The sigmas differ by {most} at most.")
            }
            (Some(a), Some(b)) => {
                let [a, b] = [a, b].map(|schedule| schedule.timesteps.len());
                format!("{a} steps and {b} steps: different sigmas.")
            }
            _ => not_yet(),
        },
        View::Denoising | View::Attention => match (a.step(step), b.step(step)) {
            (Some(a), Some(b)) => {
                let mut caption = Vec::new();
                if let (Some(of_a), Some(of_b)) = (a.tensor("latents"), b.tensor("latents")) {
                    caption.push(latents_between((a, of_a), (b, of_b)));
                }
                for (name, what) in [("x0", "x0"), ("noise_guided", "ε_guided")] {
                    if let (Some(a), Some(b)) = (a.tensor(name), b.tensor(name)) {
                        caption.push(between(what, a, b));
                    }
                }
                if let (Some(a), Some(b)) = (a.tensor("x0"), b.tensor("x0")) {
                    map = places(a, b);
                }
                caption.join(" ")
            }
            _ => not_yet(),
        },
        View::Image => match (&a.trace.image, &b.trace.image) {
            (Some(a), Some(b)) => return pixels(&a.image, &b.image),
            _ => not_yet(),
        },
    };
    (caption, map)
}

fn not_yet() -> String {
    "One of the two has not come so far yet.".to_owned()
}

fn text_difference(a: &Run, b: &Run, name: &str) -> String {
    let of = |run: &Run| {
        let text = run.trace.text.as_deref()?;
        let mut states = text.prompt.iter();
        states.find(|state| &*state.name == name).cloned()
    };
    match (of(a), of(b)) {
        (Some(a), Some(b)) => between(&name.replace('_', " "), &a, &b),
        _ => not_yet(),
    }
}

/// How far apart the latents of two steps are. Where one run scales them so that their variance stays and the other
/// does not, both are compared with the variance that the first one has.
fn latents_between(a: (&StepTrace, &TensorData), b: (&StepTrace, &TensorData)) -> String {
    if keeps_variance(a.0) == keeps_variance(b.0) {
        return between("x_t", a.1, b.1);
    }
    let [a, b] = [a, b].map(|(step, latents)| {
        let scaled = latents.data.iter().map(|value| value / step.preview_scale);
        TensorData::from_values(&latents.name, latents.shape.clone(), scaled.collect())
    });
    between("x_t, one of them divided by √(σ²+1)", &a, &b)
}

/// How far apart two tensors are, as root mean square of their difference beside that of the first.
fn between(what: &str, a: &TensorData, b: &TensorData) -> String {
    if a.shape != b.shape || a.data.is_empty() {
        return format!("{what}: different shapes.");
    }
    if a.data == b.data {
        return format!("{what}: equal, bit for bit.");
    }
    let rms = |values: &mut dyn Iterator<Item = f64>| {
        let sum: f64 = values.map(|value| value * value).sum();
        (sum / a.data.len() as f64).sqrt()
    };
    let pairs = || a.data.iter().zip(b.data.iter());
    let apart = rms(&mut pairs().map(|(a, b)| f64::from(a - b)));
    let size = rms(&mut a.data.iter().map(|&a| f64::from(a)));
    format!(
        "{what}: {} apart, {} % of its size.",
        text::number(apart),
        text::fixed(100.0 * apart / size.max(f64::MIN_POSITIVE), 1)
    )
}

/// Where two tensors `(channels, height, width)` differ: the length of the difference over channels.
fn places(a: &TensorData, b: &TensorData) -> Option<Map> {
    let [channels, height, width] = a.shape[..] else {
        return None;
    };
    if a.shape != b.shape {
        return None;
    }
    let size = height * width;
    let apart = |index: usize| a.data[index] - b.data[index];
    let at = |place: usize| {
        let squares = (0..channels).map(|channel| apart(channel * size + place).powi(2));
        squares.sum::<f32>().sqrt()
    };
    Some(Map {
        title: "|Δx0|",
        values: (0..size).map(at).collect(),
        size: (width, height),
    })
}

fn pixels(a: &image::RgbImage, b: &image::RgbImage) -> (String, Option<Map>) {
    if a.dimensions() != b.dimensions() {
        return ("The pictures have different sizes.".to_owned(), None);
    }
    let values: Vec<f32> = (a.pixels().zip(b.pixels()))
        .map(|(a, b)| {
            let levels = (0..3).map(|channel| f32::from(a[channel].abs_diff(b[channel])));
            levels.sum::<f32>() / 3.0
        })
        .collect();
    let differing = values.iter().filter(|&&value| value > 0.0).count();
    if differing == 0 {
        return ("The pictures are equal, bit for bit.".to_owned(), None);
    }
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let caption = format!(
        "{} % of pixels differ, by {} of 255 levels on average.",
        text::fixed(100.0 * differing as f64 / count, 1),
        text::fixed(mean, 2)
    );
    let map = Map {
        title: "|Δ| in levels",
        values,
        size: (a.width() as usize, a.height() as usize),
    };
    (caption, Some(map))
}

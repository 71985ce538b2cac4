//! The views: one file a stage. Each begins with a sentence that says what happens at its stage.

pub(super) mod attention;
pub(super) mod compare;
mod denoising;
mod embedding;
mod image;
mod matrix;
mod merges;
mod noise;
mod prompt;
mod schedule;
mod text_encoder;
mod tokens;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::context::ViewContext;
use super::pixels::PlacedPicture;
use super::text::{self, wrap_words};
use super::theme::Theme;
use super::widgets::heat_map::{HeatMap, legend};
use crate::trace::{Stats, StepTrace};
use crate::tui::state::run::{Run, RunState};
use crate::tui::state::{Model, View};

/// Draws the view on the screen in `area`; returns its pictures.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    let area = sentence(buffer, area, ctx);
    draw_stage(buffer, area, ctx)
}

/// Draws what belongs to the view's stage, without its sentence.
fn draw_stage(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    match ctx.view {
        View::Prompt => prompt::draw(buffer, area, ctx),
        View::Tokens => tokens::draw(buffer, area, ctx),
        View::Embedding => embedding::draw(buffer, area, ctx),
        View::TextEncoder => text_encoder::draw(buffer, area, ctx),
        View::Noise => noise::draw(buffer, area, ctx),
        View::Schedule => schedule::draw(buffer, area, ctx),
        View::Denoising => return denoising::draw(buffer, area, ctx),
        View::Attention => return attention::draw(buffer, area, ctx),
        View::Image => return image::draw(buffer, area, ctx),
    }
    Vec::new()
}

/// The place beneath the view's sentence: where its own part begins.
pub fn place(area: Rect, view: View) -> Rect {
    let lines = wrap_words(words(view), area.width.into());
    // A gap where there is room for one.
    let gap = usize::from(area.height >= 24);
    below(area, (lines.len() + gap) as u16)
}

/// Draws the sentence of the view and returns the place beneath it.
fn sentence(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Rect {
    paragraph(buffer, area, words(ctx.view), ctx.theme.muted());
    place(area, ctx.view)
}

/// What happens at the view's stage, in a sentence.
fn words(view: View) -> &'static str {
    match view {
        View::Prompt => "What is asked for. With the model, it decides all that follows.",
        View::Tokens => "The text becomes pieces, each with a number; always 77 of them.",
        View::Embedding => "Each token's id picks a vector; like words have like vectors.",
        View::TextEncoder => "Layer by layer, each token takes in the tokens before it.",
        View::Noise => "A picture begins as noise. The seed fixes every number of it.",
        View::Schedule => "How much noise each step begins with (sigma), down to none.",
        View::Denoising => "The UNet says what of x_t is noise; a step takes part of it out.",
        View::Attention => "Bright is where the picture listens to the selected word.",
        View::Image => "The autoencoder's decoder turns the last latents into pixels.",
    }
}

/// `area` without its first `rows` rows.
fn below(area: Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    Rect {
        y: area.y + rows,
        height: area.height - rows,
        ..area
    }
}

/// The first `rows` rows of `area`.
fn top(area: Rect, rows: u16) -> Rect {
    Rect {
        height: rows.min(area.height),
        ..area
    }
}

/// `area` from column `x` on.
fn right_of(area: Rect, x: u16) -> Rect {
    let x = x.min(area.right());
    let width = area.right() - x;
    Rect { x, width, ..area }
}

/// The first `width` columns of `area`, and what is left of it after a gap.
fn split(area: Rect, width: u16, gap: u16) -> (Rect, Rect) {
    let left = Rect { width, ..area };
    (left, right_of(area, left.right() + gap))
}

/// `count` columns of equal width with gaps between them.
fn columns(area: Rect, count: u16, gap: u16) -> Vec<Rect> {
    let width = (area.width + gap) / count.max(1);
    (0..count)
        .map(|index| Rect {
            x: area.x + index * width,
            width: width.saturating_sub(gap),
            ..area
        })
        .collect()
}

/// The first of `forms`, from the longest to the shortest, that fits `columns` columns; the last where none does.
fn fitting<'a>(forms: &[&'a str], columns: u16) -> &'a str {
    let fits = |form: &&&str| text::width(form) <= usize::from(columns);
    forms.iter().find(fits).or(forms.last()).unwrap_or(&"")
}

/// The same of forms that were put together.
fn fitting_of(forms: &[String], columns: u16) -> &str {
    let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
    fitting(&forms, columns)
}

/// Does the run of `step` keep the variance of its latents, so that they are divided by √(σ²+1)? Karras et al. 2022, arXiv
/// 2206.00364, appendix B: the schedulers of the DDPM family do, those of k-diffusion have x0 + σ·ε as it is.
fn keeps_variance(step: &StepTrace) -> bool {
    step.preview_scale <= 1.0
}

/// Puts one line of text at the top of `area` and returns the place beneath it.
fn line(buffer: &mut Buffer, area: Rect, caption: &str, style: Style) -> Rect {
    if area.height > 0 {
        let caption = text::truncate(caption, area.width.into());
        buffer.set_stringn(area.x, area.y, caption, area.width.into(), style);
    }
    below(area, 1)
}

/// Puts a text of several lines at the top of `area` and returns the place beneath it.
fn paragraph(buffer: &mut Buffer, mut area: Rect, text: &str, style: Style) -> Rect {
    for caption in wrap_words(text, area.width.into()) {
        area = line(buffer, area, &caption, style);
    }
    area
}

/// Says why there is nothing to see yet, and what brings it.
fn empty(buffer: &mut Buffer, area: Rect, ctx: &ViewContext, what: &str) {
    let why = match (ctx.model, ctx.run) {
        (Model::Failed(failure), _) => format!("{}. {}", failure.what, failure.advice),
        (Model::Loading, _) => format!("{what} will stand here: the model is being loaded."),
        (_, None) => format!("{what} will stand here: r starts a run."),
        (_, Some(run)) => match run.state {
            RunState::Running | RunState::Pausing => {
                format!("{what} will stand here: the run has not come so far yet.")
            }
            RunState::Paused | RunState::Cancelled | RunState::Cancelling => {
                format!("{what} will stand here when the run gets there: space lets it go on.")
            }
            RunState::Failed => {
                format!(
                    "{what} is missing because the run failed: r runs again, p changes the request."
                )
            }
            RunState::Done => format!("{what} was not recorded: r runs again."),
        },
    };
    let why = text::clean(&why);
    paragraph(buffer, below(area, 1), &why, ctx.theme.text());
}

/// The statistics that stand below a tensor, in at most `columns` columns where that is possible.
fn statistics(stats: &Stats, columns: u16) -> String {
    let (mean, std) = (text::fixed(stats.mean, 3), text::fixed(stats.std, 3));
    let long = match stats.non_finite {
        0 => format!("mean {mean}  std {std}"),
        count => format!("mean {mean}  std {std}  {count} not finite"),
    };
    let short = format!(
        "{} ± {}",
        text::fixed(stats.mean, 2),
        text::fixed(stats.std, 2)
    );
    let least = format!("±{}", text::fixed(stats.std, 2));
    fitting(&[&long, &short, &least, ""], columns).to_owned()
}

/// Draws a heat map of at most `rows` rows with its title above and its scale beneath; returns the map's cells.
fn titled_map(
    buffer: &mut Buffer,
    area: Rect,
    title: &str,
    map: &HeatMap,
    rows: u16,
    theme: Theme,
) -> Rect {
    let area = line(buffer, area, title, theme.title());
    let drawn = map.draw(buffer, top(area, rows), theme);
    let beneath = top(below(area, drawn.height), 1);
    legend(buffer, beneath, map.scale, "own scale", theme);
    drawn
}

/// The first of `rows` visible ones among `count`, so that `selected` is in their middle where that is possible.
pub(super) fn scroll(selected: usize, count: usize, rows: usize) -> usize {
    selected
        .saturating_sub(rows / 2)
        .min(count.saturating_sub(rows))
}

/// Draws the token strip at the top of `area` and returns the place beneath it.
fn strip(buffer: &mut Buffer, area: Rect, ctx: &ViewContext, run: &Run) -> Rect {
    let row = top(area, 1);
    if row.height > 0 {
        super::widgets::token_strip::draw(
            buffer,
            row,
            run.tokens(),
            ctx.cursor.token,
            run.unseen(),
            ctx.theme,
        );
    }
    below(area, strip_rows(area))
}

/// Rows that the token strip takes, with the gap beneath it.
fn strip_rows(area: Rect) -> u16 {
    if area.height >= 22 { 2 } else { 1 }
}

//! The views: one file a stage. Each begins with a sentence that says what happens at its stage.

pub(super) mod attention;
pub(super) mod compare;
mod denoising;
mod embedding;
mod image;
mod matrix;
mod merges;
mod neighbours;
mod noise;
mod prompt;
mod schedule;
mod text_encoder;
mod tokens;
mod vector;

use std::collections::BTreeSet;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::area::{below, columns, left, right_of, scroll, split, top};
use super::context::{RunContext, ViewContext};
use super::pixels::PlacedPicture;
use super::text;
use super::theme::Theme;
use super::widgets::heat_map::{HeatMap, legend};
use super::widgets::token_strip;
use super::wrap::wrap_words;
use crate::model::tokenizer::Token;
use crate::trace::{Stats, StepTrace};
use crate::tui::state::run::RunState;
use crate::tui::state::{Model, View};

/// Draws the view on the screen in `area`; returns its pictures.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    let area = sentence(buffer, area, ctx);
    draw_stage(buffer, area, ctx)
}

/// Draws what belongs to the view's stage, without its sentence.
fn draw_stage(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    let draw = match ctx.view {
        View::Prompt => return prompt::draw(buffer, area, ctx),
        View::Tokens => tokens::draw,
        View::Embedding => embedding::draw,
        View::TextEncoder => text_encoder::draw,
        View::Noise => noise::draw,
        View::Schedule => schedule::draw,
        View::Denoising => denoising::draw,
        View::Attention => attention::draw,
        View::Image => image::draw,
    };
    let drawn = ctx.of_run().and_then(|of_run| draw(buffer, area, &of_run));
    drawn.unwrap_or_else(|| empty(buffer, area, ctx))
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
        View::Attention => "Bright is where the picture attends to the selected word.",
        View::Image => "The autoencoder's decoder turns the last latents into pixels.",
    }
}

/// What a view returns that was drawn, and has no pictures.
const DRAWN: Option<Vec<PlacedPicture>> = Some(Vec::new());

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

/// Does the run of `step` keep the variance of its latents, so that they are divided by √(σ²+1)? Karras et al. 2022,
/// arXiv 2206.00364, appendix B: the schedulers of the DDPM family do, those of k-diffusion have x0 + σ·ε as it is.
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
fn paragraph(buffer: &mut Buffer, area: Rect, text: &str, style: Style) -> Rect {
    first_lines(buffer, area, text, usize::MAX, style)
}

/// The same of the first `most` lines.
fn first_lines(buffer: &mut Buffer, mut area: Rect, text: &str, most: usize, style: Style) -> Rect {
    for caption in wrap_words(text, area.width.into()).iter().take(most) {
        area = line(buffer, area, caption, style);
    }
    area
}

/// Says why there is nothing to see yet, and what brings it.
fn empty(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    let what = match ctx.view {
        View::Prompt => "The request",
        View::Tokens => "The prompt's tokens",
        View::Embedding => "The tokens' vectors",
        View::TextEncoder => "The text encoder's layers",
        View::Noise => "The noise",
        View::Schedule => "The schedule",
        View::Denoising => "The latents of each step",
        View::Attention => "Attention maps",
        View::Image => "The picture",
    };
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
    Vec::new()
}

/// The statistics that stand below a tensor, in at most `columns` columns where that is possible.
fn statistics(stats: &Stats, columns: u16) -> String {
    let (mean, std) = (text::fixed(stats.mean, 3), text::fixed(stats.std, 3));
    let long = format!("mean {mean}  std {std}");
    if stats.non_finite > 0 {
        // Not left out for want of room: the figures are those of the other values.
        let count = format!("{} not finite", stats.non_finite);
        let all = format!("{long}  {count}");
        return fitting(&[&all, &count, "NaN"], columns).to_owned();
    }
    let least = format!("±{}", text::fixed(stats.std, 2));
    let short = format!(
        "{} {}",
        text::fixed(stats.mean, 2),
        least.replace('±', "± ")
    );
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

/// Draws the token strip at the top of `area` and returns the place beneath it.
fn strip(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Rect {
    strip_of(buffer, area, ctx, ctx.run.tokens(), ctx.run.unseen())
}

/// The same of `tokens`, those of the ids `unseen` with a warning.
fn strip_of(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &ViewContext,
    tokens: &[Token],
    unseen: &BTreeSet<u32>,
) -> Rect {
    if area.height > 0 {
        token_strip::draw(
            buffer,
            top(area, 1),
            tokens,
            ctx.cursor.token,
            unseen,
            ctx.theme,
        );
    }
    below(area, strip_rows(area))
}

/// Rows that the token strip takes, with the gap beneath it.
fn strip_rows(area: Rect) -> u16 {
    if area.height >= 22 { 2 } else { 1 }
}

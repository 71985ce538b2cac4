//! The request, to read and to edit, and the model that will carry it out.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, empty, line, paragraph, right_of, split};
use crate::generation::Request;
use crate::model::tokenizer::Token;
use crate::tui::state::Mode;
use crate::tui::state::editor::{Editor, Field, scheduler_name};
use crate::tui::ui::context::ViewContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;

/// Columns of the fields' names.
const NAMES: u16 = 18;
/// Rows that a long text may take.
const TEXT_ROWS: usize = 5;
/// The least columns for the model and what the request becomes side by side.
const WIDE: u16 = 90;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    let Some(request) = ctx.request else {
        return empty(buffer, area, ctx);
    };
    let editor = match ctx.mode {
        Mode::Edit(editor) => Some(editor.as_ref()),
        _ => None,
    };
    let mut area = area;
    let is_branch = editor.is_some_and(Editor::is_branch);
    for &field in Field::of(is_branch) {
        area = draw_field(buffer, area, ctx, request, editor, field);
    }
    area = below(area, 1);
    if let Some(editor) = editor {
        let (caption, style) = match &editor.error {
            Some(problem) => (text::clean(problem), ctx.theme.error()),
            None => (what_enter_does(editor).to_owned(), ctx.theme.muted()),
        };
        area = paragraph(buffer, area, &caption, style);
    } else {
        let caption = "enter edits the selected field; it takes effect with the next run";
        area = line(buffer, area, caption, ctx.theme.muted());
    }
    let area = below(area, 1);
    if area.width >= WIDE {
        let width = area.width / 2;
        let (left, right) = split(area, width, 0);
        draw_model(buffer, left, ctx);
        draw_consequences(buffer, right, ctx);
    } else {
        let area = draw_model(buffer, area, ctx);
        draw_consequences(buffer, below(area, 1), ctx);
    }
    Vec::new()
}

fn what_enter_does(editor: &Editor) -> &'static str {
    if editor.is_branch() {
        "enter goes on as the form says, from the latents before that step, beside the run as it was; esc leaves everything as it was"
    } else {
        "enter runs this request from its first stage; esc leaves everything as it was"
    }
}

fn draw_field(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &ViewContext,
    request: &Request,
    editor: Option<&Editor>,
    field: Field,
) -> Rect {
    let theme = ctx.theme;
    if area.height == 0 {
        return area;
    }
    let is_selected = editor.map_or(ctx.cursor.field, |editor| editor.field) == field;
    let style = theme.accent_if(is_selected, theme.muted());
    let name = editor.map_or(field.name(), |editor| editor.name(field));
    let name = format!("{} {name}", if is_selected { "▸" } else { " " });
    buffer.set_stringn(area.x, area.y, name, area.width.into(), style);
    let x = area.x + NAMES.min(area.width);
    let columns = usize::from(area.right().saturating_sub(x));
    let typed = editor.and_then(|editor| editor.line(field));
    let (before, after) = match typed {
        Some(line) => line.parts(),
        None => ("", ""),
    };
    // Cleaning replaces character by character, so that what stands before the cursor stays before it.
    let value = match (typed, editor) {
        (Some(_), _) => text::clean(before) + &text::clean(after),
        (None, Some(editor)) if field == Field::Scheduler => scheduler_name(editor.scheduler()),
        _ => text::clean(&value_of(ctx, request, field)),
    };
    let has_cursor = editor.is_some() && is_selected;
    let cursor = text::clean(before).len();
    let lines = text::wrap(&value, columns.saturating_sub(1));
    let cursor_row = text::row_of(&lines, cursor);
    let first = if has_cursor {
        super::scroll(cursor_row, lines.len(), TEXT_ROWS)
    } else {
        0
    };
    let rows = lines.len().min(TEXT_ROWS).min(area.height.into());
    let mut start: usize = lines.iter().take(first).map(|caption| caption.len()).sum();
    for (row, caption) in lines.iter().skip(first).take(rows).enumerate() {
        let y = area.y + row as u16;
        buffer.set_stringn(x, y, caption, columns, theme.text());
        if has_cursor && first + row == cursor_row && typed.is_some() {
            let column = text::width(&caption[..(cursor - start).min(caption.len())]);
            let cell = (x + column as u16).min(area.right() - 1);
            buffer[(cell, y)].set_style(theme.selected());
        }
        start += caption.len();
    }
    if lines.len() > rows && !has_cursor {
        let y = area.y + rows as u16 - 1;
        buffer.set_string(area.right() - 1, y, "…", theme.muted());
    }
    if value.is_empty() && !has_cursor {
        buffer.set_stringn(x, area.y, "(none)", columns, theme.muted());
    }
    if field == Field::Scheduler && has_cursor {
        let caption = format!("‹ {value} ›   ←→ choose");
        buffer.set_stringn(x, area.y, caption, columns, theme.accent());
    }
    let long = matches!(field, Field::Prompt | Field::Negative) && area.height > 20;
    below(area, rows as u16 + u16::from(long))
}

fn value_of(ctx: &ViewContext, request: &Request, field: Field) -> String {
    match field {
        Field::Prompt => request.prompt.clone(),
        Field::Negative => request.negative_prompt.clone(),
        Field::Seed => request.seed.to_string(),
        Field::Steps => request.steps.to_string(),
        Field::Guidance => {
            let off = if request.is_guided() {
                ""
            } else {
                " (off: the negative prompt is not used)"
            };
            format!("{}{off}", request.guidance_scale)
        }
        Field::Scheduler => scheduler_name(request.scheduler),
        Field::Model => ctx
            .info()
            .map_or_else(String::new, |info| info.name.clone()),
    }
}

/// The model; returns the place beneath.
fn draw_model(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Rect {
    let Some(info) = ctx.info() else {
        return area;
    };
    let [channels, height, width] = info.latent_shape;
    let layers = info.cross_attention.len();
    let (across, down) = info.image_size;
    let (text_layers, hidden) = (info.text_layers, info.hidden_size);
    let rows = [
        (
            "its size",
            format!("{} parameters", thousands(info.parameters)),
        ),
        ("", format!("{} {}", info.device, info.dtype)),
        (
            "text encoder",
            format!("{text_layers} layers, {hidden} numbers a token"),
        ),
        (
            "latents",
            format!("{channels} channels of {width}×{height}"),
        ),
        ("UNet", format!("{layers} layers of cross-attention")),
        ("picture", format!("{across}×{down} pixels")),
    ];
    draw_rows(buffer, area, ctx, &rows, NAMES)
}

/// What the run on the screen made of its request, as far as it has come.
fn draw_consequences(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) {
    let Some(run) = ctx.run else {
        return;
    };
    let trace = &run.trace;
    let request = &trace.request;
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let Some(tokens) = trace.tokens.as_deref() {
        let places = tokens.prompt.tokens.len().saturating_sub(2);
        let count = tokens.prompt.content().len();
        rows.push(("becomes", format!("{count} tokens in {places} places")));
        let cut_off = tokens.prompt.truncated.len();
        if cut_off > 0 {
            rows.push(("", format!("{cut_off} tokens were cut off")));
        }
        let is_unseen = |token: &&Token| tokens.unseen.contains(&token.id);
        let unseen = tokens.prompt.tokens.iter().filter(is_unseen).count();
        if unseen > 0 {
            rows.push(("", format!("{unseen} never seen in training")));
        }
    }
    if let Some(output) = trace.text.as_deref().and_then(|text| text.prompt.last()) {
        let [positions, hidden] = output.shape[..] else {
            return;
        };
        rows.push(("", format!("{positions} vectors of {hidden} numbers")));
    }
    if let Some(noise) = trace.noise.as_deref() {
        let first = text::number(f64::from(noise.schedule.init_noise_sigma));
        let count = noise.initial_noise.data.len();
        rows.push(("", format!("{count} numbers of noise, times {first}")));
        let calls = noise.schedule.timesteps.len();
        let both = if request.is_guided() {
            "each without and with the prompt"
        } else {
            "each with the prompt alone"
        };
        rows.push(("", format!("{calls} calls of the UNet")));
        rows.push(("", both.to_owned()));
    }
    if let Some(image) = trace.image.as_deref() {
        let (width, height) = image.image.dimensions();
        let seconds = text::seconds(run.seconds());
        rows.push(("", format!("a picture of {width}×{height}, in {seconds}")));
    }
    // Beside the model its column is narrow; beneath it, the values stand under the model's.
    let names = if area.width < 60 { 11 } else { NAMES };
    draw_rows(buffer, area, ctx, &rows, names);
}

/// Names and values in two columns; returns the place beneath.
fn draw_rows(
    buffer: &mut Buffer,
    mut area: Rect,
    ctx: &ViewContext,
    rows: &[(&str, String)],
    names: u16,
) -> Rect {
    for (name, value) in rows {
        if area.height > 0 {
            let width = area.width.into();
            buffer.set_stringn(
                area.x,
                area.y,
                format!("  {name}"),
                width,
                ctx.theme.muted(),
            );
            let place = right_of(area, area.x + names);
            buffer.set_stringn(
                place.x,
                place.y,
                value,
                place.width.into(),
                ctx.theme.text(),
            );
        }
        area = below(area, 1);
    }
    area
}

/// A whole number with narrow gaps between thousands.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

//! The request, to read and to edit, and the model that will carry it out.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, empty, line};
use crate::generation::Request;
use crate::tui::app::{App, Mode, Model};
use crate::tui::editor::{Editor, Field, scheduler_name};
use crate::tui::text;

/// Columns of the fields' names.
const NAMES: u16 = 18;
/// Rows that a long text may take.
const TEXT_ROWS: usize = 5;

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, app: &App) {
    let Some(request) = app.request() else {
        empty(buffer, area, app, "The request");
        return;
    };
    let editor = match &app.mode {
        Mode::Edit(editor) => Some(editor.as_ref()),
        _ => None,
    };
    let mut area = area;
    for field in Field::ALL {
        area = draw_field(buffer, area, app, request, editor, field);
    }
    area = below(area, 1);
    if let Some(editor) = editor {
        let (words, style) = match &editor.error {
            Some(problem) => (text::clean(problem), app.theme.error()),
            None => (
                "enter runs this request from its first stage; esc leaves everything as it was"
                    .to_owned(),
                app.theme.muted(),
            ),
        };
        for words in crate::tui::screen::wrap_words(&words, area.width.into()) {
            area = line(buffer, area, &words, style);
        }
    } else {
        let words = "enter edits the selected field; it takes effect with the next run";
        area = line(buffer, area, words, app.theme.muted());
    }
    draw_model(buffer, below(area, 1), app);
}

fn draw_field(
    buffer: &mut Buffer,
    area: Rect,
    app: &App,
    request: &Request,
    editor: Option<&Editor>,
    field: Field,
) -> Rect {
    let theme = app.theme;
    if area.height == 0 {
        return area;
    }
    let is_selected = editor.map_or(app.cursor.field, |editor| editor.field) == field;
    let style = if is_selected {
        theme.accent()
    } else {
        theme.muted()
    };
    let name = format!("{} {}", if is_selected { "▸" } else { " " }, field.name());
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
        _ => text::clean(&value_of(request, field)),
    };
    let has_cursor = editor.is_some() && is_selected;
    let cursor = text::clean(before).len();
    let lines = text::wrap(&value, columns.saturating_sub(1));
    let mut start = 0;
    let mut cursor_row = 0;
    for (row, words) in lines.iter().enumerate() {
        if cursor >= start {
            cursor_row = row;
        }
        start += words.len();
    }
    let first = if has_cursor {
        super::scroll(cursor_row, lines.len(), TEXT_ROWS)
    } else {
        0
    };
    let rows = lines.len().min(TEXT_ROWS).min(area.height.into());
    let mut start: usize = lines.iter().take(first).map(|words| words.len()).sum();
    for (row, words) in lines.iter().skip(first).take(rows).enumerate() {
        let y = area.y + row as u16;
        let style = if value.is_empty() {
            theme.muted()
        } else {
            theme.text()
        };
        buffer.set_stringn(x, y, words, columns, style);
        if has_cursor && first + row == cursor_row && typed.is_some() {
            let column = text::width(&words[..(cursor - start).min(words.len())]);
            let cell = (x + column as u16).min(area.right() - 1);
            buffer[(cell, y)].set_style(theme.selected());
        }
        start += words.len();
    }
    if lines.len() > rows && !has_cursor {
        let y = area.y + rows as u16 - 1;
        buffer.set_string(area.right() - 1, y, "…", theme.muted());
    }
    if value.is_empty() && !has_cursor {
        buffer.set_stringn(x, area.y, "(none)", columns, theme.muted());
    }
    if field == Field::Scheduler && has_cursor {
        let words = format!("‹ {value} ›   ←→ choose");
        buffer.set_stringn(x, area.y, words, columns, theme.accent());
    }
    let long = matches!(field, Field::Prompt | Field::Negative) && area.height > 20;
    below(area, rows as u16 + u16::from(long))
}

fn value_of(request: &Request, field: Field) -> String {
    match field {
        Field::Prompt => request.prompt.clone(),
        Field::Negative => request.negative_prompt.clone(),
        Field::Seed => request.seed.to_string(),
        Field::Steps => request.steps.to_string(),
        Field::Guidance if !request.is_guided() => {
            format!(
                "{} (off: the negative prompt is not used)",
                request.guidance_scale
            )
        }
        Field::Guidance => request.guidance_scale.to_string(),
        Field::Scheduler => scheduler_name(request.scheduler),
    }
}

fn draw_model(buffer: &mut Buffer, mut area: Rect, app: &App) {
    let Model::Ready(info) = &app.model else {
        return;
    };
    let [channels, height, width] = info.latent_shape;
    let layers = info.cross_attention.len();
    let rows = [
        ("model", text::clean(&info.name)),
        ("", format!("{} parameters", thousands(info.parameters))),
        ("", format!("{} {}", info.device, info.dtype)),
        (
            "text encoder",
            format!(
                "{} layers, {} numbers a token",
                info.text_layers, info.hidden_size
            ),
        ),
        (
            "latents",
            format!("{channels} channels of {width}×{height}"),
        ),
        ("UNet", format!("{layers} layers of cross-attention")),
        (
            "picture",
            format!("{}×{} pixels", info.image_size.0, info.image_size.1),
        ),
    ];
    for (name, value) in rows {
        if area.height == 0 {
            break;
        }
        let style = app.theme.muted();
        buffer.set_stringn(
            area.x,
            area.y,
            format!("  {name}"),
            area.width.into(),
            style,
        );
        let x = area.x + NAMES.min(area.width);
        let columns = usize::from(area.right().saturating_sub(x));
        buffer.set_stringn(x, area.y, value, columns, app.theme.text());
        area = below(area, 1);
    }
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

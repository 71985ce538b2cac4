//! The request, to read and to edit, and the model that will carry it out.

mod outcome;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, empty, fitting, line, paragraph, right_of, split};
use crate::generation::Request;
use crate::text::printable;
use crate::tui::state::Mode;
use crate::tui::state::editor::{Editor, Field, scheduler_name};
use crate::tui::ui::context::ViewContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;

/// Columns of the fields' names.
const NAMES: u16 = 18;
/// Rows that a long text may take.
const TEXT_ROWS: usize = 5;
/// The least columns and rows for the picture, too.
const ROOMY: (u16, u16) = (150, 36);
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
    let of_run = ctx.of_run();
    let is_roomy = area.width >= ROOMY.0 && area.height >= ROOMY.1;
    let (mut area, beside) = match of_run {
        Some(_) if is_roomy => split(area, area.width * 3 / 5, 3),
        _ => split(area, area.width, 0),
    };
    let is_branch = editor.is_some_and(Editor::is_branch);
    for &field in Field::of(is_branch) {
        area = draw_field(buffer, area, ctx, request, editor, field);
    }
    let area = draw_note(buffer, below(area, 1), ctx, editor);
    let area = below(area, 1);
    let used = if area.width >= WIDE {
        let width = area.width / 2;
        let (left, right) = split(area, width, 0);
        let ends = [
            draw_model(buffer, left, ctx),
            outcome::draw(buffer, right, ctx),
        ];
        ends.map(|rest| rest.y - area.y).into_iter().max()
    } else {
        let rest = draw_model(buffer, area, ctx);
        outcome::draw(buffer, below(rest, 1), ctx);
        None
    };
    let Some(of_run) = of_run else {
        return Vec::new();
    };
    if let Some(used) = used {
        let rest = outcome::draw_words(buffer, below(area, used + 1), &of_run);
        outcome::draw_pull(buffer, rest, &of_run);
    }
    if is_roomy {
        outcome::draw_picture(buffer, beside, &of_run)
    } else {
        Vec::new()
    }
}

/// What enter does, or what is wrong with what was typed; returns the place beneath.
fn draw_note(buffer: &mut Buffer, area: Rect, ctx: &ViewContext, editor: Option<&Editor>) -> Rect {
    let theme = ctx.theme;
    let Some(editor) = editor else {
        let forms = ctx.language.choose([
            [
                "enter edits the selected field; it takes effect with the next run",
                "enter edits the selected field",
            ],
            [
                "enter 编辑所选的一项；下一次运行时生效",
                "enter 编辑所选的一项",
            ],
        ]);
        return line(buffer, area, fitting(&forms, area.width), theme.muted());
    };
    match &editor.error {
        Some(problem) => paragraph(buffer, area, &text::clean(problem), theme.error()),
        None => paragraph(
            buffer,
            area,
            ctx.language.choose(hint(editor)),
            theme.muted(),
        ),
    }
}

/// What can be typed in the field at hand, or what enter does.
fn hint(editor: &Editor) -> [&'static str; 2] {
    match editor.field {
        Field::Seed => [
            "a whole number, or the word random: then one is drawn, and shown; enter runs",
            "整数，或单词 random（随机）：随机取一个并显示；enter 运行",
        ],
        _ if editor.is_branch() => [
            "enter goes on as the form says, from the latents before that step, beside the run as it was; esc leaves everything as it was",
            "enter 按表单从那一步之前的潜变量继续，放在原来的运行旁边；esc 一切照旧",
        ],
        _ => [
            "enter runs this request from its first stage; esc leaves everything as it was",
            "enter 从第一个阶段运行这个请求；esc 一切照旧",
        ],
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
    let mut area = draw_rows(buffer, area, ctx, &rows, NAMES);
    // A recording may say anything, and any number of times.
    for note in info.notes.iter().take(8) {
        area = paragraph(
            buffer,
            area,
            &text::clean(&printable(&format!("  ! {note}"))),
            ctx.theme.muted(),
        );
    }
    area
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

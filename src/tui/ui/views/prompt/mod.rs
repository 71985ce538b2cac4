//! The request, to read and to edit, and the model that will carry it out.

mod effects;
mod outcome;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, empty, fitting, line, paragraph, right_of, scroll, split};
use crate::generation::Request;
use crate::lesson::Said;
use crate::text::printable;
use crate::tui::notes;
use crate::tui::state::detail::PromptPart;
use crate::tui::state::editor::{Editor, Field, typed_patches};
use crate::tui::state::in_words::scheduler_name;
use crate::tui::state::{LineEditor, Mode};
use crate::tui::ui::context::ViewContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::wrap::wrap;

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
    if let (None, Some(of_run), PromptPart::Effects(of)) =
        (editor, of_run, ctx.cursor.detail.prompt)
    {
        let drawn = effects::draw(buffer, area, &of_run, of);
        return drawn.unwrap_or_else(|| empty(buffer, area, ctx));
    }
    let is_roomy = area.width >= ROOMY.0 && area.height >= ROOMY.1;
    let (mut area, beside) = match of_run {
        Some(_) if is_roomy => split(area, area.width * 3 / 5, 3),
        _ => split(area, area.width, 0),
    };
    let is_branch = editor.is_some_and(Editor::is_branch);
    let of = editor.map_or(request, Editor::before);
    for &field in Field::of(is_branch, of) {
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
fn hint(editor: &Editor) -> Said {
    match editor.field {
        Field::Seed => [
            "a whole number, or the word random: then one is drawn, and shown; enter runs",
            "整数，或单词 random（随机）：随机取一个并显示；enter 运行",
        ],
        Field::Patches => [
            "PATH=off or PATH=factor, several with ; between them; nothing takes them away; enter runs",
            "路径=off 或 路径=倍数，几个之间用 ; 隔开；清空就去掉；enter 运行",
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

/// Draws one field of the request, or of the form; returns the place beneath.
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
    let name = ctx.say(editor.map_or(field.name(), |editor| editor.name(field)));
    let name = format!("{} {name}", if is_selected { "▸" } else { " " });
    buffer.set_stringn(area.x, area.y, name, area.width.into(), style);
    let place = right_of(area, area.x + NAMES);
    let rows = match editor {
        Some(editor) if field == Field::Scheduler => {
            let name = scheduler_name(editor.scheduler());
            let (caption, style) = if is_selected {
                let choose = ctx.say(["choose", "选择"]);
                (format!("‹ {name} ›   ←→ {choose}"), theme.accent())
            } else {
                (name, theme.text())
            };
            line(buffer, place, &caption, style);
            1
        }
        Some(editor) if is_selected && editor.line(field).is_some() => {
            let (before, after) = editor.line(field).map_or(("", ""), LineEditor::parts);
            draw_typed(buffer, place, (before, after), theme)
        }
        _ => {
            let typed = editor.and_then(|editor| editor.line(field));
            let value = match typed.map(LineEditor::parts) {
                Some((before, after)) => format!("{before}{after}"),
                None => value_of(ctx, request, field),
            };
            draw_value(buffer, place, &text::clean(&value), ctx)
        }
    };
    let long = matches!(field, Field::Prompt | Field::Negative) && area.height > 20;
    below(area, rows + u16::from(long))
}

/// What a field has, as far as it has room; returns the rows used.
fn draw_value(buffer: &mut Buffer, area: Rect, value: &str, ctx: &ViewContext) -> u16 {
    let theme = ctx.theme;
    if value.is_empty() {
        line(buffer, area, ctx.say(["(none)", "（无）"]), theme.muted());
        return 1;
    }
    // A column is left for the mark of what is cut.
    let lines = text::wrap(value, usize::from(area.width).saturating_sub(1));
    let rows = lines.len().min(TEXT_ROWS).min(area.height.into());
    for (caption, place) in lines.iter().take(rows).zip(area.rows()) {
        line(buffer, place, caption, theme.text());
    }
    if lines.len() > rows && !area.is_empty() {
        let y = area.y + rows as u16 - 1;
        buffer.set_string(area.right() - 1, y, "…", theme.muted());
    }
    rows as u16
}

/// What is typed in a field, its rows around the cursor; returns the rows used.
fn draw_typed(buffer: &mut Buffer, area: Rect, (before, after): (&str, &str), theme: Theme) -> u16 {
    // Cleaning replaces character by character, so that what stands before the cursor stays before it.
    let before = text::clean(before);
    let value = format!("{before}{}", text::clean(after));
    // A column is left for the cursor behind the last character.
    let lines = text::wrap(&value, usize::from(area.width).saturating_sub(1));
    let cursor_row = text::row_of(&lines, before.len());
    let first = scroll(cursor_row, lines.len(), TEXT_ROWS);
    let rows = lines.len().min(TEXT_ROWS).min(area.height.into());
    let mut start: usize = lines.iter().take(first).map(|caption| caption.len()).sum();
    let shown = lines.iter().enumerate().skip(first).take(rows);
    for ((row, caption), place) in shown.zip(area.rows()) {
        line(buffer, place, caption, theme.text());
        if row == cursor_row && !place.is_empty() {
            let column = text::width(&caption[..(before.len() - start).min(caption.len())]);
            let cell = (place.x + column as u16).min(place.right() - 1);
            buffer[(cell, place.y)].set_style(theme.selected());
        }
        start += caption.len();
    }
    rows as u16
}

fn value_of(ctx: &ViewContext, request: &Request, field: Field) -> String {
    match field {
        Field::Prompt => request.prompt.clone(),
        Field::Negative => request.negative_prompt.clone(),
        Field::Seed => request.seed.to_string(),
        Field::Steps => request.steps.to_string(),
        Field::Guidance => {
            let off = if request.is_guided() {
                ["", ""]
            } else {
                [
                    " (off: the negative prompt is not used)",
                    "（关：负面提示词不起作用）",
                ]
            };
            format!("{}{}", request.guidance_scale, ctx.say(off))
        }
        Field::Scheduler => scheduler_name(request.scheduler),
        Field::Model => ctx
            .info()
            .map_or_else(String::new, |info| info.name.clone()),
        Field::Patches => typed_patches(request),
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
    let parameters = thousands(info.parameters);
    let rows = [
        [
            ("its size", format!("{parameters} parameters")),
            ("大小", format!("{parameters} 个参数")),
        ],
        [(); 2].map(|()| ("", format!("{} {}", info.device, info.dtype))),
        [
            (
                "text encoder",
                format!("{text_layers} layers, {hidden} numbers a token"),
            ),
            (
                "文本编码器",
                format!("{text_layers} 层，每个词元 {hidden} 个数"),
            ),
        ],
        [
            (
                "latents",
                format!("{channels} channels of {width}×{height}"),
            ),
            ("潜变量", format!("{channels} 个通道，{width}×{height}")),
        ],
        [
            ("UNet", format!("{layers} layers of cross-attention")),
            ("UNet", format!("{layers} 个交叉注意力层")),
        ],
        [
            ("picture", format!("{across}×{down} pixels")),
            ("图片", format!("{across}×{down} 像素")),
        ],
    ];
    let rows = rows.map(|row| ctx.say(row));
    let mut area = draw_rows(buffer, area, ctx, &rows, NAMES);
    // A recording may say anything, and any number of times.
    for note in info.notes.iter().take(8) {
        let note = ctx.say([note.clone(), notes::chinese(note)]);
        let spans = [(text::clean(&printable(&note)), ctx.theme.muted())];
        for said in wrap(&spans, area.width.into(), "  ! ", "    ") {
            area = line(buffer, area, &said.to_string(), ctx.theme.muted());
        }
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

//! The prompt's 77 positions.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, columns, empty, line, scroll};
use crate::model::tokenizer::{Token, TokenKind};
use crate::tui::app::App;
use crate::tui::run::Run;
use crate::tui::text;
use crate::tui::widgets::token_strip;

/// The least columns of one part of the table.
const PART: u16 = 46;

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, app: &App) {
    let Some(run) = app.run.as_ref().filter(|run| !run.tokens().is_empty()) else {
        empty(buffer, area, app, "The prompt's tokens");
        return;
    };
    let area = draw_prompt(buffer, area, app, run);
    let area = draw_selected(buffer, area, app, run);
    let area = draw_cut_off(buffer, area, app, run);
    let area = below(area, u16::from(area.height > 16));
    draw_table(buffer, area, app, run);
}

/// The prompt as it was typed, with the selected token's part of it marked.
fn draw_prompt(buffer: &mut Buffer, area: Rect, app: &App, run: &Run) -> Rect {
    let theme = app.theme;
    let prompt = &run.trace.request.prompt;
    let span = run
        .tokens()
        .get(app.cursor.token)
        .and_then(|token| token.span.clone())
        .filter(|span| prompt.get(span.clone()).is_some());
    let span = span.unwrap_or(prompt.len()..prompt.len());
    let before = text::clean(&prompt[..span.start]);
    let marked = text::clean(&prompt[span.clone()]);
    let whole = format!("{before}{marked}{}", text::clean(&prompt[span.end..]));
    if whole.is_empty() {
        return line(buffer, area, "(the prompt is empty)", theme.muted());
    }
    let marked = before.len()..before.len() + marked.len();
    let lines = text::wrap(&whole, area.width.into());
    // The rows around the marked part, where the prompt is long.
    let most = if area.height > 24 { 6 } else { 3 };
    let mut starts = Vec::with_capacity(lines.len());
    let mut length = 0;
    for words in &lines {
        starts.push(length);
        length += words.len();
    }
    let marked_row = starts
        .partition_point(|&start| start <= marked.start)
        .saturating_sub(1);
    let first = scroll(marked_row, lines.len(), most);
    let mut start = starts.get(first).copied().unwrap_or(0);
    let mut y = area.y;
    for words in lines.iter().skip(first).take(most) {
        if y >= area.bottom() {
            break;
        }
        let mut x = area.x;
        let cut = |index: usize| index.clamp(start, start + words.len()) - start;
        let (from, to) = (cut(marked.start), cut(marked.end));
        for (part, style) in [
            (&words[..from], theme.text()),
            (&words[from..to], theme.selected()),
            (&words[to..], theme.text()),
        ] {
            let room = usize::from(area.right().saturating_sub(x));
            (x, _) = buffer.set_stringn(x, y, part, room, style);
        }
        start += words.len();
        y += 1;
    }
    let rows = y - area.y;
    below(area, rows + u16::from(area.height > 16))
}

/// Everything about the selected token.
fn draw_selected(buffer: &mut Buffer, area: Rect, app: &App, run: &Run) -> Rect {
    let Some(token) = run.tokens().get(app.cursor.token) else {
        return area;
    };
    let is_unseen = run.unseen.get(token.position).copied().unwrap_or(false);
    let mut parts = vec![
        format!("position {}", token.position),
        format!("id {}", token.id),
        text::clean(&token.piece),
        format!("{} bytes", token.bytes.len()),
    ];
    match token.kind {
        TokenKind::Start => parts.push("begins every text".to_owned()),
        TokenKind::End => parts.push("ends the text".to_owned()),
        TokenKind::Padding => parts.push("fills up to 77; the model attends to it, too".to_owned()),
        TokenKind::Word if is_unseen => parts.push("the model never saw this token".to_owned()),
        TokenKind::Word if token.piece.ends_with("</w>") => {
            parts.push("ends a word".to_owned());
        }
        TokenKind::Word => parts.push("the word goes on".to_owned()),
    }
    let style = if is_unseen && token.kind == TokenKind::Word {
        app.theme.warning()
    } else {
        app.theme.accent()
    };
    line(buffer, area, &parts.join(" · "), style)
}

/// What found no place in the 77 positions.
fn draw_cut_off(buffer: &mut Buffer, area: Rect, app: &App, run: &Run) -> Rect {
    let truncated = run
        .trace
        .tokens
        .as_deref()
        .map_or(&[][..], |tokens| tokens.prompt.truncated.as_slice());
    if truncated.is_empty() {
        return area;
    }
    let words: Vec<String> = truncated.iter().map(token_strip::word).collect();
    let count = match truncated.len() {
        1 => "1 token was cut off and is".to_owned(),
        count => format!("{count} tokens were cut off and are"),
    };
    let words = format!("{count} not seen by the model: {}", words.join(" "));
    line(buffer, area, &words, app.theme.warning())
}

fn draw_table(buffer: &mut Buffer, area: Rect, app: &App, run: &Run) {
    if area.height < 2 {
        return;
    }
    let parts = columns(area, (area.width / PART).max(1), 2);
    let rows = usize::from(area.height - 1);
    let visible = rows * parts.len();
    let tokens = run.tokens();
    // Scrolled by whole columns where there are several, so that rows do not jump sideways.
    let first = scroll(app.cursor.token, tokens.len(), visible);
    for (index, part) in parts.iter().enumerate() {
        let columns = usize::from(part.width);
        let head = " pos     id  token          bytes";
        buffer.set_stringn(part.x, part.y, head, columns, app.theme.title());
        let shown = tokens.iter().skip(first + index * rows).take(rows);
        for (row, token) in shown.enumerate() {
            let y = part.y + 1 + row as u16;
            draw_row(
                buffer,
                Rect {
                    y,
                    height: 1,
                    ..*part
                },
                app,
                run,
                token,
            );
        }
    }
}

fn draw_row(buffer: &mut Buffer, area: Rect, app: &App, run: &Run, token: &Token) {
    let theme = app.theme;
    let is_unseen = run.unseen.get(token.position).copied().unwrap_or(false);
    let bytes: Vec<String> = match token.kind {
        TokenKind::Word => token
            .bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        _ => Vec::new(),
    };
    let unseen = if is_unseen && token.kind == TokenKind::Word {
        "never seen  "
    } else {
        ""
    };
    let words = format!(
        "{:>4} {:>6}  {} {unseen}{}",
        token.position,
        token.id,
        text::fit(&token_strip::label(token), 14),
        bytes.join(" ")
    );
    let style = if token.position == app.cursor.token {
        theme.selected()
    } else if !unseen.is_empty() {
        theme.warning()
    } else if token.kind == TokenKind::Word {
        theme.text()
    } else {
        theme.muted()
    };
    let words = text::fit(&words, area.width.into());
    buffer.set_stringn(area.x, area.y, words, area.width.into(), style);
}

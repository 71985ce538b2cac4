//! How the selected word was merged from its bytes, step by step.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{line, paragraph};
use crate::generation::{MergeStep, MergedWord};
use crate::model::tokenizer::{Token, TokenKind};
use crate::tui::ui::context::ViewContext;
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::token_strip::hexadecimal;

/// Draws the merges of the word that `token` belongs to at the top of `area`; returns the place beneath.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    words: Option<&[MergedWord]>,
    token: &Token,
    ctx: &ViewContext,
) -> Rect {
    let is_of = |word: &&MergedWord| word.positions.contains(&token.position);
    let word = words.map(|words| words.iter().find(is_of));
    let why = match (token.kind, word) {
        (TokenKind::Start, _) => [
            "start is put before every text: it stands for no letters",
            "开头放在每段文本之前：它不代表任何字母",
        ],
        (TokenKind::End, _) => [
            "end is put behind every text: it stands for no letters",
            "结尾放在每段文本之后：它不代表任何字母",
        ],
        (TokenKind::Padding, _) => [
            "padding fills the places that are left; the UNet gets their vectors, too",
            "填充占满剩下的位置；UNet 也会得到它们的向量",
        ],
        (_, None) => [
            "The merges stand in the model's vocabulary, which a recording does not have.",
            "合并写在模型的词表里，而记录里没有词表。",
        ],
        (_, Some(Some(word))) if word.steps.is_empty() => [
            "This word was added to the vocabulary as a whole: it is not cut into pieces.",
            "这个词是整个加到词表里的：不切成小块。",
        ],
        (_, Some(Some(word))) => return draw_word(buffer, area, word, token, ctx),
        (_, Some(None)) => return area,
    };
    paragraph(buffer, area, ctx.say(why), ctx.theme.muted())
}

fn draw_word(
    buffer: &mut Buffer,
    area: Rect,
    word: &MergedWord,
    token: &Token,
    ctx: &ViewContext,
) -> Rect {
    let theme = ctx.theme;
    let name = text::clean(&String::from_utf8_lossy(&word.bytes));
    let title = ctx.say([
        format!("how “{name}” is merged"),
        format!("“{name}”是怎样合并的"),
    ]);
    let mut area = line(buffer, area, &title, theme.title());
    let last = word.steps.len() - 1;
    let rows = usize::from(area.height);
    // Where there are more steps than rows, those in the middle go.
    let cut = word.steps.len() > rows && rows > 2;
    let head = if cut { rows / 2 } else { rows };
    for (index, step) in word.steps.iter().enumerate() {
        if area.height == 0 {
            return area;
        }
        if cut && index == head {
            let left_out = word.steps.len() + 1 - rows;
            let words = ctx.say([
                format!("… {left_out} more …"),
                format!("… 还有 {left_out} 行 …"),
            ]);
            area = line(buffer, area, &words, theme.muted());
            continue;
        }
        if cut && index > head && index < word.steps.len() + 1 + head - rows {
            continue;
        }
        let own = (index == last).then(|| token.position - word.positions.start);
        draw_step(buffer, area, word, step, own, theme);
        area = super::below(area, 1);
    }
    if last == 0 && word.bytes.len() > 1 {
        let (bytes, tokens) = (word.bytes.len(), word.positions.len());
        let words = ctx.say([
            format!(
                "No two neighbours stand in the list of merges: its {bytes} bytes stay {tokens} tokens."
            ),
            format!("合并表里没有任何相邻的一对：它的 {bytes} 个字节仍是 {tokens} 个词元。"),
        ]);
        area = paragraph(buffer, area, &words, theme.muted());
    }
    area
}

/// One row: the pieces with gaps between them, the one just joined with the accent; at the end its id. `own` is the
/// piece that is the selected token, in the last row.
fn draw_step(
    buffer: &mut Buffer,
    area: Rect,
    word: &MergedWord,
    step: &MergeStep,
    own: Option<usize>,
    theme: Theme,
) {
    let id = step.id.map_or_else(String::new, |id| id.to_string());
    let width = usize::from(area.width);
    let room = width.saturating_sub(if id.is_empty() { 0 } else { 7 });
    let mut x = area.x;
    let end = area.x + room as u16;
    let mut start = 0;
    let count = step.lengths.len();
    for (index, &length) in step.lengths.iter().enumerate() {
        let bytes = word.bytes.get(start..start + length).unwrap_or_default();
        start += length;
        let mark = if index + 1 == count { "␣" } else { "" };
        let style = match (own, step.joined) {
            (Some(own), _) if own == index => theme.selected(),
            (_, Some(joined)) if joined == index => theme.accent(),
            _ => theme.text(),
        };
        let read = std::str::from_utf8(bytes);
        let name = read.map_or_else(|_| hexadecimal(bytes, ""), text::clean);
        let name = format!("{name}{mark}");
        let left = usize::from(end.saturating_sub(x));
        if text::width(&name) > left {
            buffer.set_stringn(x.min(area.right() - 1), area.y, "…", 1, theme.muted());
            break;
        }
        (x, _) = buffer.set_stringn(x, area.y, name, left, style);
        x += 1;
    }
    let id_x = area.right().saturating_sub(text::width(&id) as u16);
    buffer.set_stringn(id_x, area.y, id, 7, theme.muted());
}

//! The prompt as a strip of words, with the selected one marked.

use std::collections::BTreeSet;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;

use crate::lesson::{Language, Said};
use crate::model::tokenizer::{Token, TokenKind};
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;

/// What the tokens are called that stand for no letters.
pub const START: Said = ["start", "开头"];
pub const END: Said = ["end", "结尾"];
pub const PADDING: Said = ["padding", "填充"];

/// What a token is called on the screen: its text with the end of a word shown as `␣`; bytes that are no text by
/// themselves, as `‹e8›`.
pub fn label(token: &Token, language: Language) -> String {
    match token.kind {
        TokenKind::Start => language.choose(START).to_owned(),
        TokenKind::End => language.choose(END).to_owned(),
        TokenKind::Padding => language.choose(PADDING).to_owned(),
        TokenKind::Word => piece(&token.piece, &token.bytes),
    }
}

/// A piece of the vocabulary that spells `bytes`: as text where they are some, else in hexadecimal, `‹e8›`.
pub fn piece(piece: &str, bytes: &[u8]) -> String {
    let mark = if piece.ends_with("</w>") { "␣" } else { "" };
    match std::str::from_utf8(bytes) {
        Ok(read) => format!("{}{mark}", text::clean(read)),
        Err(_) => format!("‹{}›{mark}", hexadecimal(bytes, "")),
    }
}

/// Bytes as two digits each, with `gap` between them.
pub fn hexadecimal(bytes: &[u8], gap: &str) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(gap)
}

/// The word alone, for titles and labels of maps.
pub fn word(token: &Token, language: Language) -> String {
    let label = label(token, language);
    label.strip_suffix('␣').map(str::to_owned).unwrap_or(label)
}

/// The same of the token at `position`; nothing where there is none.
pub fn name_at(tokens: &[Token], position: usize, language: Language) -> String {
    let token = tokens.get(position);
    token.map_or_else(String::new, |token| word(token, language))
}

/// Draws start, words, end and padding in one row, so that the selected token can always be seen.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    tokens: &[Token],
    selected: usize,
    unseen: &BTreeSet<u32>,
    language: Language,
    theme: Theme,
) {
    let (parts, chosen) = parts(tokens, selected, unseen, language, theme);
    let room = usize::from(area.width);
    let widths: Vec<usize> = parts.iter().map(|(name, _)| text::width(name)).collect();
    let total: usize = widths.iter().sum();
    let before: usize = widths.iter().take(chosen).sum();
    let width = widths.get(chosen).copied().unwrap_or(0);
    let skip = (before + width / 2).saturating_sub(room / 2);
    let skip = skip.min(total.saturating_sub(room));
    let cut = [skip > 0, total > skip + room].map(|cut| cut && area.width > 2);
    // Whole characters only, and none where a mark says that there are more.
    let (first, last) = (
        skip + usize::from(cut[0]),
        skip + room - usize::from(cut[1]),
    );
    let mut column = 0;
    for (name, style) in &parts {
        for grapheme in name.graphemes(true) {
            let width = text::width(grapheme);
            if column >= first && column + width <= last {
                let x = area.x + (column - skip) as u16;
                buffer.set_stringn(x, area.y, grapheme, width, *style);
            }
            column += width;
        }
    }
    for (cut, x) in cut
        .into_iter()
        .zip([area.x, area.right().saturating_sub(1)])
    {
        if cut {
            buffer.set_string(x, area.y, "…", theme.muted());
        }
    }
}

/// The names of the tokens with their styles, and which of them is the selected one's.
fn parts(
    tokens: &[Token],
    selected: usize,
    unseen: &BTreeSet<u32>,
    language: Language,
    theme: Theme,
) -> (Vec<(String, Style)>, usize) {
    let name_of_padding = language.choose(PADDING);
    let is_padding = |token: &&Token| token.kind == TokenKind::Padding;
    let padding = tokens.iter().filter(is_padding).count();
    let (mut parts, mut chosen) = (Vec::new(), 0);
    for token in tokens {
        let is_selected = token.position == selected;
        let name = match token.kind {
            TokenKind::Word => format!(" {} ", word(token, language)),
            // One part stands for the whole padding.
            TokenKind::Padding if is_selected => format!(" {name_of_padding} {selected} "),
            TokenKind::Padding => continue,
            _ => format!(" {} ", label(token, language)),
        };
        let style = if is_selected {
            chosen = parts.len();
            theme.selected()
        } else if unseen.contains(&token.id) {
            theme.warning()
        } else if token.kind == TokenKind::Word {
            theme.text()
        } else {
            theme.muted()
        };
        parts.push((name, style));
    }
    if padding > 0 {
        parts.push((format!(" {name_of_padding} ×{padding}"), theme.muted()));
    }
    (parts, chosen)
}

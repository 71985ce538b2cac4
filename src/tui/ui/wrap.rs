//! Text in lines: broken between words, and in Chinese between characters.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;

use crate::tui::ui::text::width;

/// Styled text in lines of at most `columns` columns, with `first` before the first line and `rest` before the others.
pub fn wrap(
    spans: &[(String, Style)],
    columns: usize,
    first: &str,
    rest: &str,
) -> Vec<Line<'static>> {
    let mut lines = vec![Line::raw(first.to_owned())];
    let indent = width(first).max(width(rest));
    let room = columns.saturating_sub(indent).max(4);
    let mut used = 0;
    let mut gap: Option<Style> = None;
    for piece in words_of(spans) {
        let word = match piece {
            Piece::Gap(style) => {
                gap = Some(style);
                continue;
            }
            Piece::Word(word) => word,
        };
        let columns: usize = word.iter().map(|(text, _)| width(text)).sum();
        match gap.take().filter(|_| used > 0) {
            space if used > 0 && used + usize::from(space.is_some()) + columns > room => {
                lines.push(Line::raw(rest.to_owned()));
                used = 0;
            }
            Some(style) => {
                append(&mut lines, " ", style);
                used += 1;
            }
            None => {}
        }
        for (text, style) in word {
            for grapheme in text.graphemes(true) {
                let grapheme = if grapheme == KEPT { " " } else { grapheme };
                // Only a word that is longer than a line is broken itself.
                if used + width(grapheme) > room {
                    lines.push(Line::raw(rest.to_owned()));
                    used = 0;
                }
                used += width(grapheme);
                append(&mut lines, grapheme, style);
            }
        }
    }
    lines
}

/// `words` in lines of at most `columns` columns; never none.
pub fn wrap_words(words: &str, columns: usize) -> Vec<String> {
    let lines = wrap(&[(words.to_owned(), Style::new())], columns, "", "");
    lines.iter().map(ToString::to_string).collect()
}

fn append(lines: &mut [Line<'static>], text: &str, style: Style) {
    let Some(line) = lines.last_mut() else {
        return;
    };
    match line.spans.last_mut() {
        // Indentation stays apart.
        Some(last) if last.style == style && !last.content.trim().is_empty() => {
            last.content.to_mut().push_str(text);
        }
        _ => line.push_span(Span::styled(text.to_owned(), style)),
    }
}

/// A space that is shown however many there are: a space without a break.
pub const KEPT: &str = "\u{a0}";

/// What a line may be broken at, and what not.
enum Piece {
    Gap(Style),
    Word(Vec<(String, Style)>),
}

fn words_of(spans: &[(String, Style)]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    // Nothing may stand between these two.
    let mut joined = false;
    for (text, style) in spans {
        for grapheme in text.graphemes(true) {
            if grapheme != KEPT && grapheme.chars().all(char::is_whitespace) {
                if matches!(pieces.last(), Some(Piece::Word(_))) {
                    pieces.push(Piece::Gap(*style));
                }
                joined = false;
                continue;
            }
            let wide = is_wide(grapheme);
            let grown = match pieces.last_mut() {
                Some(Piece::Word(word)) if joined || !wide || closes(grapheme) => {
                    let ends_wide = word
                        .last()
                        .and_then(|(text, _)| text.graphemes(true).next_back())
                        .is_some_and(|last| is_wide(last) && !opens(last));
                    (joined || closes(grapheme) || !ends_wide).then_some(word)
                }
                _ => None,
            };
            match grown {
                Some(word) => match word.last_mut() {
                    Some((last, same)) if *same == *style => last.push_str(grapheme),
                    _ => word.push((grapheme.to_owned(), *style)),
                },
                None => pieces.push(Piece::Word(vec![(grapheme.to_owned(), *style)])),
            }
            joined = opens(grapheme);
        }
    }
    pieces
}

/// `text`, which shows all its spaces: of several in a row, a line may be broken at the last.
pub fn with_spaces(text: &str) -> String {
    let mut characters = text.chars().peekable();
    let mut kept = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            (' ', Some(' ')) => kept.push_str(KEPT),
            _ => kept.push(character),
        }
    }
    kept
}

/// Is it a character that lines may be broken at, such as a Chinese one?
fn is_wide(grapheme: &str) -> bool {
    width(grapheme) > 1 || closes(grapheme) || opens(grapheme)
}

/// Does it belong to what is before it?
fn closes(grapheme: &str) -> bool {
    "，。、；：？！）」』”’》…".contains(grapheme)
}

/// Does it belong to what comes after it?
fn opens(grapheme: &str) -> bool {
    "（「『“‘《".contains(grapheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_between_chinese_characters() {
        assert_eq!(wrap_words("a red apple", 7), ["a red", "apple"]);
        assert_eq!(wrap_words("abcdefgh", 5), ["abcde", "fgh"]);
        assert_eq!(wrap_words("", 5), [""]);
        // No line begins with what closes, or ends with what opens.
        assert_eq!(wrap_words("红苹果，很好", 6), ["红苹", "果，很", "好"]);
        assert_eq!(wrap_words("按 q 退出", 6), ["按 q", "退出"]);
    }
}

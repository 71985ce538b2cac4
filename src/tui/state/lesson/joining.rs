//! What stands between two texts that are put together: a space, or nothing where Chinese has none.

use unicode_segmentation::UnicodeSegmentation;

use unicode_width::UnicodeWidthStr;

pub fn joined(before: &str, after: &str) -> String {
    let gap = if needs_space(before, after) { " " } else { "" };
    format!("{before}{gap}{after}")
}

/// Does a space belong between `before` and `after`? None belongs beside a full-width mark or between two Chinese
/// characters; one belongs between words, and between Chinese characters and words or numbers.
pub fn needs_space(before: &str, after: &str) -> bool {
    let last = before.graphemes(true).next_back().map(Kind::of);
    let first = after.graphemes(true).next().map(Kind::of);
    let (Some(last), Some(first)) = (last, first) else {
        return false;
    };
    let is_chinese = last == Kind::Chinese || first == Kind::Chinese;
    let is_word = last == Kind::Word || first == Kind::Word;
    let has_mark = last == Kind::Mark || first == Kind::Mark;
    !has_mark && (is_word || !is_chinese)
}

/// A character, as far as spaces beside it are concerned.
#[derive(PartialEq)]
enum Kind {
    /// A Chinese character.
    Chinese,
    /// A full-width mark, which brings its own room.
    Mark,
    /// A mark that English and Chinese have in common.
    Quote,
    /// Anything else.
    Word,
}

impl Kind {
    fn of(grapheme: &str) -> Self {
        match grapheme.chars().next() {
            Some('“' | '”' | '‘' | '’' | '…' | '—') => Self::Quote,
            Some(
                '\u{3000}'..='\u{303f}'
                | '\u{ff00}'..='\u{ff0f}'
                | '\u{ff1a}'..='\u{ff20}'
                | '\u{ff3b}'..='\u{ff40}'
                | '\u{ff5b}'..='\u{ff65}',
            ) => Self::Mark,
            Some(character) if grapheme.width() > 1 && character.is_alphanumeric() => Self::Chinese,
            _ => Self::Word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_stands_where_each_language_has_one() {
        for (before, after, together) in [
            ("Right:", "67", "Right: 67"),
            ("对了：", "67", "对了：67"),
            ("“8”", "不对。", "“8”不对。"),
            ("“8”", "is not it.", "“8” is not it."),
            ("不对。", "按 H 看提示。", "不对。按 H 看提示。"),
            ("把它换成", "blue", "把它换成 blue"),
            ("blue", "以后", "blue 以后"),
            ("每块有", "一个编号", "每块有一个编号"),
            ("start", "（开始）", "start（开始）"),
            ("an 🍎", "a day", "an 🍎 a day"),
            ("", "a", "a"),
        ] {
            assert_eq!(joined(before, after), together);
        }
    }
}

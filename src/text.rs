//! Text from outside on its way to a terminal: nothing in it can steer one.

pub(crate) mod python_json;

use std::fmt::Write as _;
use std::path::Path;

/// Characters of a message's part that are kept: names and reasons from files may be of any length.
const LONGEST: usize = 400;

/// `text` with what would steer a terminal made visible: control characters and those that reorder or hide text are
/// written as `\u{1b}`. Line breaks stay.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_visible(&mut out, c, c != '\n' && is_steering(c));
    }
    out
}

/// `text` as a part of a one-line message: line breaks are made visible, too, and a very long text is shortened.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(LONGEST) {
        push_visible(&mut out, c, is_steering(c));
    }
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// `path` as a part of a one-line message.
pub(crate) fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// JSON in which what would steer a terminal is written as `\u009b`: it says the same.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_steering(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// `text` for a place on the screen: one visible character for every one that could steer the terminal. Control characters
/// become their pictures (`␛`), direction overrides and the like `�`.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
            '\x7f' => '\u{2421}',
            _ if c.is_control() || turns_text(c) => '\u{fffd}',
            _ => c,
        })
        .collect()
}

fn push_visible(out: &mut String, c: char, escape: bool) {
    if escape {
        out.extend(c.escape_unicode());
    } else {
        out.push(c);
    }
}

/// Is `c` a control character, or one of those that change the direction of text or hide in it?
fn is_steering(c: char) -> bool {
    // The last are of no width.
    c.is_control()
        || turns_text(c)
        || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}')
}

/// Does `c` change the direction of the text after it, or end a line?
fn turns_text(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        assert_eq!(visible("a\u{1b}[2J\u{7}b"), "a\\u{1b}[2J\\u{7}b");
        assert_eq!(visible("\u{9b}31m\r\u{202e}"), "\\u{9b}31m\\u{d}\\u{202e}");
        assert_eq!(visible("苹果 é\nx"), "苹果 é\nx");
        assert_eq!(visible("\u{61c}a\u{200b}"), "\\u{61c}a\\u{200b}");
        assert_eq!(
            clean("\u{61c}a\u{9b}\u{1b}\u{200d}"),
            "\u{fffd}a\u{fffd}␛\u{200d}"
        );
        assert_eq!(printable("a\nb\u{1b}"), "a\\u{a}b\\u{1b}");
    }

    #[test]
    fn a_very_long_part_of_a_message_is_shortened() {
        assert_eq!(printable(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
        let shortened = printable(&"é".repeat(LONGEST + 1));
        assert_eq!(shortened, format!("{}…", "é".repeat(LONGEST)));
    }

    #[test]
    fn escaped_json_says_the_same() {
        let text = "苹果\u{1b}[2J\u{9b}31m\u{202e}\u{7f}";
        let json = escaped_json(&serde_json::to_string(text).unwrap());
        assert!(!json.chars().any(is_steering), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn what_stands_on_the_screen_keeps_its_characters_in_their_places() {
        assert_eq!(clean("a\x1b[31mb\n\x7f\u{9b}"), "a␛[31mb␊␡\u{fffd}");
        assert_eq!(clean("apple 苹果 🍎"), "apple 苹果 🍎");
        assert_eq!(clean("\u{202e}evil"), "\u{fffd}evil");
    }
}

//! Text that comes from outside, on its way to the terminal or from standard input.

use std::fmt::Write;
use std::io::Read;

use anyhow::Context;

/// `text` with what would steer a terminal made visible: control characters and those that reorder or hide text are
/// written as `\u{1b}`. Line breaks stay.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_steering(c) {
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON in which what would steer a terminal is written as `\u009b`: it says the same.
pub fn escaped_json(json: &str) -> String {
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

/// Is `c` a control character, or one of those that change the direction of text or hide in it?
fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `text`, or what standard input has where that is `-`; without the line break at its end.
pub fn or_standard_input(text: String) -> anyhow::Result<String> {
    if text != "-" {
        return Ok(text);
    }
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .read_to_string(&mut text)
        .context("cannot read the text from standard input")?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        assert_eq!(visible("a\u{1b}[2J\u{7}b"), "a\\u{1b}[2J\\u{7}b");
        assert_eq!(visible("\u{9b}31m\r\u{202e}"), "\\u{9b}31m\\u{d}\\u{202e}");
        assert_eq!(visible("苹果 é\nx"), "苹果 é\nx");
    }

    #[test]
    fn escaped_json_says_the_same() {
        let text = "苹果\u{1b}[2J\u{9b}31m\u{202e}\u{7f}";
        let json = escaped_json(&serde_json::to_string(text).unwrap());
        assert!(!json.chars().any(is_steering), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}

//! Text for the screen, measured by display width.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

pub(crate) use crate::text::clean;

pub fn width(text: &str) -> usize {
    text.width()
}

/// `text`, cut to at most `columns` columns; what was cut is marked by `…`.
pub fn truncate(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let next = used + width(grapheme);
        if next + 1 > columns {
            break;
        }
        cut.push_str(grapheme);
        used = next;
    }
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// `text` in exactly `columns` columns, cut or padded on the right.
pub fn fit(text: &str, columns: usize) -> String {
    let mut text = truncate(text, columns);
    let pad = columns.saturating_sub(width(&text));
    text.push_str(&" ".repeat(pad));
    text
}

/// `text` at the right end of `columns` columns; what is longer is not cut.
pub fn right(text: &str, columns: usize) -> String {
    let pad = columns.saturating_sub(width(text));
    " ".repeat(pad) + text
}

/// `text` in lines of at most `columns` columns, broken between graphemes. Never empty.
pub fn wrap(text: &str, columns: usize) -> Vec<&str> {
    let columns = columns.max(2);
    let (mut lines, mut start, mut used) = (Vec::new(), 0, 0);
    for (index, grapheme) in text.grapheme_indices(true) {
        let next = width(grapheme);
        if used + next > columns && index > start {
            lines.push(&text[start..index]);
            (start, used) = (index, 0);
        }
        used += next;
    }
    lines.push(&text[start..]);
    lines
}

/// Which of `lines`, cut from one text, byte `at` of that text stands in.
pub fn row_of(lines: &[&str], at: usize) -> usize {
    let mut start = 0;
    let begin_before = lines.iter().take_while(|line| {
        let begins = start <= at;
        start += line.len();
        begins
    });
    begin_before.count().saturating_sub(1)
}

/// A signed number in a column: four significant digits where they fit seven columns, a true minus sign.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        let name = match value {
            f64::INFINITY => "∞",
            f64::NEG_INFINITY => "−∞",
            _ => "NaN",
        };
        return name.to_owned();
    }
    let magnitude = value.abs();
    let text = match magnitude {
        0.0 => "0.000".to_owned(),
        0.0005..10.0 => format!("{magnitude:.3}"),
        10.0..100.0 => format!("{magnitude:.2}"),
        100.0..1000.0 => format!("{magnitude:.1}"),
        1000.0..10_000.0 => format!("{magnitude:.0}"),
        _ => format!("{magnitude:.1e}"),
    };
    if value < 0.0 {
        format!("−{text}")
    } else {
        text
    }
}

/// A signed number with `decimals` decimals and a true minus sign: equal columns line up.
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return number(value);
    }
    let text = format!("{:.decimals$}", value.abs());
    let is_zero = text.chars().all(|digit| matches!(digit, '0' | '.'));
    if value < 0.0 && !is_zero {
        format!("−{text}")
    } else {
        text
    }
}

/// A duration as one reads it: `38 ms`, `1.2 s`, `3 min 5 s`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 0.9995 {
        format!("{:.0} ms", 1000.0 * seconds)
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_measured_in_columns() {
        assert_eq!(fit("苹果", 6), "苹果  ");
        assert_eq!(truncate("苹果树", 5), "苹果…");
        assert_eq!(truncate("苹果树", 4), "苹…");
        assert_eq!(width(&fit("an 🍎 a day", 7)), 7);
        assert_eq!(right("均值", 7), "   均值");
        assert_eq!(truncate("abc", 0), "");
    }

    #[test]
    fn lines_break_between_graphemes() {
        assert_eq!(wrap("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(wrap("苹果树", 5), ["苹果", "树"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn numbers_keep_their_column() {
        assert_eq!(number(-0.5), "−0.500");
        assert_eq!(number(14.6146), "14.61");
        assert_eq!(number(0.000_012), "1.2e-5");
        assert_eq!(number(f64::NAN), "NaN");
        assert_eq!(fixed(-0.001, 2), "0.00");
        assert_eq!(fixed(-1.5, 2), "−1.50");
        assert_eq!(seconds(0.038), "38 ms");
        assert_eq!(seconds(1.23), "1.2 s");
        assert_eq!(seconds(185.0), "3 min 5 s");
    }
}

//! JSON as Python's `json` module writes and reads it, in which diffusers and transformers keep their files.
//!
//! It has three words that JSON has not, `Infinity`, `-Infinity` and `NaN`, and numbers beyond the range of a float
//! (`1e999`) are infinite. An infinity is read as the largest number that there is, of its sign: it is as far beyond every
//! range. `NaN` is read as the text "NaN", so that wherever a number is expected it is refused by its name. Of a key that is written
//! twice the last value counts, in Python as in `serde_json`. Nesting deeper than 128 is an error.

use std::borrow::Cow;

use serde::de::{DeserializeOwned, Error as _};

/// Reads a value from the bytes of a file.
///
/// # Errors
/// What is neither JSON nor Python's, with its line; what is no `T`. A byte order mark is none of it, in Python either.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(serde_json::Error::custom(
            "it begins with a byte order mark; save it in UTF-8 without one",
        ));
    }
    serde_json::from_slice(&standard(bytes))
}

/// The same file in standard JSON.
fn standard(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    // What of `bytes` is already in `out`.
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let length = match byte {
            b'"' => string(&bytes[at..]),
            _ if is_word(byte) => {
                let rest = &bytes[at..];
                rest.iter()
                    .position(|byte| !is_word(*byte))
                    .unwrap_or(rest.len())
            }
            _ => 1,
        };
        if let Some(instead) = replacement(&bytes[at..at + length]) {
            out.extend(&bytes[copied..at]);
            out.extend(instead);
            copied = at + length;
        }
        at += length;
    }
    if copied == 0 {
        return Cow::Borrowed(bytes);
    }
    out.extend(&bytes[copied..]);
    Cow::Owned(out)
}

/// The length of the string that `bytes` begin with, quotation marks included; all of them where it does not end.
fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Can it be part of a number or a name?
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_')
}

/// What stands for a word of Python's in JSON.
fn replacement(word: &[u8]) -> Option<Vec<u8>> {
    let value = match word {
        b"NaN" => return Some(b"\"NaN\"".to_vec()),
        b"Infinity" => f64::INFINITY,
        b"-Infinity" => f64::NEG_INFINITY,
        // Shorter ones without an exponent are below 1e308.
        [b'-' | b'0'..=b'9', ..]
            if word.len() > 308 || word.iter().any(|c| matches!(c, b'e' | b'E')) =>
        {
            std::str::from_utf8(word).ok()?.parse().ok()?
        }
        _ => return None,
    };
    value
        .is_infinite()
        .then(|| format!("{:e}", f64::MAX.copysign(value)).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> Result<Value, String> {
        from_slice(text.as_bytes()).map_err(|error| error.to_string())
    }

    /// What Python 3.11 reads, and what it refuses.
    #[test]
    fn files_are_read_as_python_reads_them() {
        let largest = f64::MAX;
        for (text, value) in [
            ("{\"a\": Infinity}", json!({"a": largest})),
            ("[-Infinity,Infinity]", json!([-largest, largest])),
            ("NaN", json!("NaN")),
            ("[1e999, -1E+400, 1e-999]", json!([largest, -largest, 0.0])),
            ("{\"a\": 1, \"b\": 2, \"a\": 3}", json!({"a": 3, "b": 2})),
            (
                "[\"NaN\", \"a \\\" Infinity\"]",
                json!(["NaN", "a \" Infinity"]),
            ),
            ("{\"NaN\": 1.5e3}", json!({"NaN": 1500.0})),
            ("[1e3, -0.5, true, null]", json!([1000.0, -0.5, true, null])),
            (
                "123456789012345678901234567890",
                json!(123_456_789_012_345_678_901_234_567_890.0),
            ),
        ] {
            assert_eq!(read(text), Ok(value), "{text}");
        }
        let long = "9".repeat(400);
        assert_eq!(read(&long), Ok(json!(largest)));
        for text in [
            "nan",
            "-NaN",
            "+Infinity",
            "Infinityx",
            "{\"a\": inf}",
            "\u{feff}{}",
            "\"NaN",
            "\"\\",
            "",
            "[1e999",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_an_error() {
        for depth in [200, 1_000_000] {
            let error = read(&"[".repeat(depth)).unwrap_err();
            assert!(error.contains("recursion limit"), "{error}");
        }
    }
}

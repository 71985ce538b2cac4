//! Text from standard input.

use std::io::Read;

use anyhow::Context;

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

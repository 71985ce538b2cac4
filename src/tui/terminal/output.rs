//! What the screen is written to: a frame in one piece, and colours as the terminal knows them.

use std::io::{self, Stdout, Write};

/// Standard output. What is written is kept until it is flushed.
pub struct Output {
    out: Stdout,
    held: Vec<u8>,
    /// The terminal library names each of the 16 colours as one of the 256, which a terminal of 16 need not know.
    is_sixteen: bool,
}

impl Output {
    pub fn new(is_sixteen: bool) -> Self {
        Self {
            out: io::stdout(),
            held: Vec::new(),
            is_sixteen,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut held = std::mem::take(&mut self.held);
        if self.is_sixteen {
            held = in_sixteen(&held);
        }
        self.out.write_all(&held)?;
        self.out.flush()
    }
}

/// `bytes` with the first 16 of the 256 colours in sequences of their own: 30 to 37 and 90 to 97, 10 more for the
/// background.
fn in_sixteen(bytes: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(start) = rest.windows(2).position(|pair| pair == b"\x1b[") {
        let (before, sequence) = rest.split_at(start + 2);
        written.extend(before);
        let length = sequence
            .iter()
            .take_while(|byte| (0x20..0x40).contains(*byte));
        let (parameters, after) = sequence.split_at(length.count());
        match std::str::from_utf8(parameters) {
            Ok(parameters) if after.first() == Some(&b'm') => {
                written.extend(renamed(parameters).bytes());
            }
            _ => written.extend(parameters),
        }
        rest = after;
    }
    written.extend(rest);
    written
}

fn renamed(parameters: &str) -> String {
    let parts: Vec<&str> = parameters.split(';').collect();
    let mut renamed = Vec::new();
    let mut index = 0;
    while index < parts.len() {
        let colour = match parts[index..] {
            [ground @ ("38" | "48"), "5", number, ..] => {
                let number = number.parse::<u8>().ok().filter(|number| *number < 16);
                number.map(|number| (ground == "48", number))
            }
            _ => None,
        };
        if let Some((is_background, number)) = colour {
            let first = if number < 8 { 30 } else { 90 - 8 };
            let ground = if is_background { 10 } else { 0 };
            renamed.push((first + ground + number).to_string());
            index += 3;
        } else {
            renamed.push(parts[index].to_owned());
            index += 1;
        }
    }
    renamed.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixteen_colours_have_sequences_of_their_own() {
        let frame = b"\x1b[2;5Ha\x1b[1;38;5;1;48;5;12mb\x1b[38;5;200mc\x1b[0m\x1b[?25l\x1b[";
        let wanted = b"\x1b[2;5Ha\x1b[1;31;104mb\x1b[38;5;200mc\x1b[0m\x1b[?25l\x1b[";
        assert_eq!(in_sixteen(frame), wanted);
    }
}

//! kitty's graphics protocol (<https://sw.kovidgoyal.net/kitty/graphics-protocol/>).
//!
//! The pixels themselves are sent, as PNG, which works over ssh and wherever the terminal cannot read our files; and no
//! answer is asked for, so that there is none to wait for.

use std::io::{self, Cursor, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossterm::cursor::MoveTo;
use crossterm::queue;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::{PixelPrinter, PlacedPicture, scaled};
use crate::tui::terminal::Limits;

/// The most of the data that one sequence may carry, in bytes.
const CHUNK: usize = 4096;

pub struct Kitty;

impl PixelPrinter for Kitty {
    fn print(&mut self, picture: &PlacedPicture, limits: &Limits) {
        let area = picture.area;
        let image = scaled::at_most(&picture.image, area, limits.cell);
        let Some(png) = png(&image) else {
            return;
        };
        // C=1: the cursor stays where it is, so that nothing scrolls.
        let keys = format!("a=T,f=100,q=2,C=1,c={},r={}", area.width, area.height);
        let mut out = Vec::new();
        let _ = queue!(out, MoveTo(area.x, area.y));
        for sequence in sequences(&keys, &png) {
            out.extend(sequence);
        }
        // What fails is not there.
        let _ = send(&out);
    }

    fn clear(&mut self) -> bool {
        let _ = send(b"\x1b_Ga=d,d=A,q=2\x1b\\");
        false
    }
}

pub(super) fn png(image: &RgbImage) -> Option<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    let encoder =
        PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Adaptive);
    let (width, height) = image.dimensions();
    encoder
        .write_image(image, width, height, ExtendedColorType::Rgb8)
        .ok()?;
    Some(png.into_inner())
}

/// The sequences that carry `data` with the control data `keys`.
pub(super) fn sequences(keys: &str, data: &[u8]) -> Vec<Vec<u8>> {
    let encoded = STANDARD.encode(data);
    let chunks: Vec<&[u8]> = encoded.as_bytes().chunks(CHUNK).collect();
    let last = chunks.len().saturating_sub(1);
    let sequence = |(index, chunk): (usize, &&[u8])| {
        let more = u8::from(index < last);
        let keys = if index == 0 {
            format!("{keys},m={more}")
        } else {
            format!("q=2,m={more}")
        };
        [b"\x1b_G", keys.as_bytes(), b";", chunk, b"\x1b\\"].concat()
    };
    chunks.iter().enumerate().map(sequence).collect()
}

pub(super) fn send(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_goes_in_chunks_of_which_the_last_says_so() {
        let image = RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
        let png = png(&image).unwrap();
        let sequences = sequences("a=T,f=100", &png);
        assert!(sequences.len() > 1, "{}", png.len());
        let mut data = Vec::new();
        for (index, sequence) in sequences.iter().enumerate() {
            let text = std::str::from_utf8(sequence).unwrap();
            let text = text
                .strip_prefix("\x1b_G")
                .and_then(|text| text.strip_suffix("\x1b\\"));
            let (keys, chunk) = text.unwrap().split_once(';').unwrap();
            assert!(chunk.len() <= CHUNK);
            let is_last = index + 1 == sequences.len();
            assert!(
                keys.ends_with(if is_last { "m=0" } else { "m=1" }),
                "{keys}"
            );
            assert_eq!(keys.starts_with("a=T,f=100"), index == 0);
            data.extend(chunk.bytes());
        }
        let decoded = STANDARD.decode(data).unwrap();
        let read = image::load_from_memory(&decoded).unwrap().to_rgb8();
        assert!(read == image);
    }
}

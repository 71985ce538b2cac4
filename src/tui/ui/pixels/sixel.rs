//! Sixels: six rows of pixels a character (DEC STD 070, chapter 9).

use crossterm::cursor::MoveTo;
use crossterm::queue;
use icy_sixel::{EncodeOptions, SixelImage};
use image::{RgbImage, Rgba};

use super::kitty::send;
use super::{PixelPrinter, PlacedPicture, scaled};
use crate::tui::terminal::Limits;

pub struct Sixel;

impl PixelPrinter for Sixel {
    fn print(&mut self, picture: &PlacedPicture, limits: &Limits) {
        let Some(cell) = limits.cell else {
            return;
        };
        let area = picture.area;
        let (width, height) = scaled::pixels(area, cell);
        // Of a larger one a part would be missing.
        if width > limits.largest.0 || height > limits.largest.1 {
            return;
        }
        let image = scaled::exactly(&picture.image, (width, height));
        // What fails is not there.
        let mut out = Vec::new();
        if let Some(sixels) = encode(&image, limits.colours)
            && queue!(out, MoveTo(area.x, area.y)).is_ok()
        {
            out.extend(sixels.bytes());
            let _ = send(&out);
        }
    }

    fn clear(&mut self) -> bool {
        // A picture replaces the cells beneath it.
        true
    }
}

fn encode(image: &RgbImage, colours: u32) -> Option<String> {
    let opaque = |pixel: &image::Rgb<u8>| {
        let [red, green, blue] = pixel.0;
        Rgba([red, green, blue, u8::MAX]).0
    };
    let pixels = image.pixels().flat_map(opaque).collect();
    let (width, height) = image.dimensions();
    let options = EncodeOptions {
        max_colors: colours.min(256) as u16,
        ..EncodeOptions::default()
    };
    let image = SixelImage::from_rgba(pixels, width as usize, height as usize);
    image.encode_with(&options).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_reads_back_as_it_was() {
        let image = RgbImage::from_fn(23, 17, |x, y| {
            image::Rgb([if x < 12 { 255 } else { 0 }, if y < 8 { 255 } else { 0 }, 0])
        });
        let sixels = encode(&image, 256).unwrap();
        assert!(sixels.starts_with("\x1bP") && sixels.ends_with("\x1b\\"));
        let read = SixelImage::decode(sixels.as_bytes()).unwrap();
        assert!(read.width == 23 && (17..=18).contains(&read.height));
        for (x, y, pixel) in image.enumerate_pixels() {
            let at = (y as usize * 23 + x as usize) * 4;
            for channel in 0..3 {
                let distance = read.pixels[at + channel].abs_diff(pixel.0[channel]);
                assert!(distance <= 3, "{x},{y}: {distance}");
            }
        }
    }

    #[test]
    fn a_terminal_of_few_colours_gets_no_more() {
        let image = RgbImage::from_fn(60, 60, |x, y| image::Rgb([4 * x as u8, 4 * y as u8, 90]));
        let sixels = encode(&image, 16).unwrap();
        let defined = sixels
            .split('#')
            .filter(|part| part.matches(';').count() == 4);
        assert!(defined.count() <= 16);
    }
}

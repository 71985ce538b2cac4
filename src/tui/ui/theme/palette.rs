//! Terminals that have no colour of every kind: the 256 and the 16 colours, and which of them stands for what.
//!
//! Between black and the darkest of a kind, 95 of 255, the 256 colours have nothing but greys. A colour map whose
//! values near zero are dark would be black there; so it has colours of its own, each lighter than the one before. With 16
//! colours a picture is dithered: neighbouring pixels are mixed.

use crate::export::colour_map::{ColourMap, Rgb};

/// What the six levels of the 6x6x6 cube are.
const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The 16 colours as xterm has them; other terminals have others like them.
#[rustfmt::skip]
const SIXTEEN: [Rgb; 16] = [
    [0, 0, 0], [205, 0, 0], [0, 205, 0], [205, 205, 0], [0, 0, 238], [205, 0, 205], [0, 205, 205], [229, 229, 229],
    [127, 127, 127], [255, 0, 0], [0, 255, 0], [255, 255, 0], [92, 92, 255], [255, 0, 255], [0, 255, 255],
    [255, 255, 255],
];

/// From the smallest value that is not zero to the largest.
pub struct Ramp {
    zero: u8,
    below: &'static [u8],
    above: &'static [u8],
    magnitudes: &'static [u8],
}

pub const OF_256: Ramp = Ramp {
    zero: 234,
    below: &[17, 19, 25, 26, 32, 68, 74, 117, 153],
    above: &[52, 88, 94, 130, 166, 172, 208, 215, 222],
    magnitudes: &[16, 17, 53, 54, 90, 126, 162, 168, 204, 209, 215, 222, 229],
};

pub const OF_16: Ramp = Ramp {
    zero: 0,
    below: &[4, 12, 14],
    above: &[1, 9, 11],
    magnitudes: &[0, 4, 5, 13, 3, 11, 15],
};

/// Values of less than this part of the largest are shown as zero.
const ZERO: f32 = 0.02;

impl Ramp {
    /// The colour at `position`, 0 to 1, of a map.
    pub fn at(&self, map: ColourMap, position: f32) -> u8 {
        let pick = |colours: &[u8], part: f32| {
            let index = (part.clamp(0.0, 1.0) * colours.len() as f32) as usize;
            colours[index.min(colours.len() - 1)]
        };
        match map {
            ColourMap::Magnitude => pick(self.magnitudes, position),
            ColourMap::Signed => match 2.0 * position - 1.0 {
                value if value < -ZERO => pick(self.below, -value),
                value if value > ZERO => pick(self.above, value),
                _ => self.zero,
            },
        }
    }
}

/// The entry of the 256 colours that is nearest to `rgb`: one of the 6x6x6 cube or of the 24 greys.
pub fn nearest_of_256(rgb: Rgb) -> u8 {
    let cube = rgb.map(|value| {
        let nearest = (0_u8..6).min_by_key(|&level| LEVELS[usize::from(level)].abs_diff(value));
        nearest.unwrap_or(0)
    });
    let cube_rgb = cube.map(|level| LEVELS[usize::from(level)]);
    let grey = nearest_grey(rgb);
    if distance([8 + 10 * grey; 3], rgb) < distance(cube_rgb, rgb) {
        232 + grey
    } else {
        of_cube(cube)
    }
}

/// The entry of the 16 colours that is nearest to `rgb`.
pub fn nearest_of_16(rgb: Rgb) -> u8 {
    let nearest = (0_u8..16).min_by_key(|&index| distance(SIXTEEN[usize::from(index)], rgb));
    nearest.unwrap_or(0)
}

/// The pixel at `place`, across and down, of a picture in the 16 colours.
pub fn dithered_of_16(rgb: Rgb, place: (usize, usize)) -> u8 {
    let shift = (threshold(place) - 0.5) * 64.0;
    nearest_of_16(rgb.map(|value| (f32::from(value) + shift).clamp(0.0, 255.0) as u8))
}

/// Red, green and blue of an entry, as terminals have them if nobody has changed them.
pub fn rgb(index: u8) -> Rgb {
    match index {
        0..=15 => SIXTEEN[usize::from(index)],
        16..=231 => {
            let index = index - 16;
            [index / 36, index / 6 % 6, index % 6].map(|level| LEVELS[usize::from(level)])
        }
        grey => [8 + 10 * (grey - 232); 3],
    }
}

/// Bayer's ordered dither matrix of 4 by 4, between 0 and 1.
fn threshold((x, y): (usize, usize)) -> f32 {
    const MATRIX: [[u8; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
    (f32::from(MATRIX[y % 4][x % 4]) + 0.5) / 16.0
}

fn of_cube([red, green, blue]: [u8; 3]) -> u8 {
    16 + 36 * red + 6 * green + blue
}

/// Which of the 24 greys is nearest.
fn nearest_grey(rgb: Rgb) -> u8 {
    let mean = rgb.iter().map(|&value| u32::from(value)).sum::<u32>() / 3;
    (mean.saturating_sub(3) / 10).min(23) as u8
}

fn distance(a: Rgb, b: Rgb) -> u32 {
    let squares = a
        .iter()
        .zip(b)
        .map(|(&a, b)| u32::from(a.abs_diff(b)).pow(2));
    squares.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::colour_map::luminance;

    #[test]
    fn the_palette_entry_is_the_nearest_one() {
        assert_eq!(nearest_of_256([0, 0, 0]), 16);
        assert_eq!(nearest_of_256([255, 255, 255]), 231);
        assert_eq!(nearest_of_256([255, 0, 0]), 196);
        assert_eq!(nearest_of_256([128, 128, 128]), 244);
        for index in 16..=255 {
            assert_eq!(rgb(nearest_of_256(rgb(index))), rgb(index));
        }
        assert_eq!(nearest_of_16([250, 10, 0]), 9);
    }

    /// Small values are no black: as light as the first colours of their kind.
    #[test]
    fn a_map_grows_lighter_and_shows_the_sign_of_small_values() {
        for ramp in [OF_256, OF_16] {
            let at = |value: f32| rgb(ramp.at(ColourMap::Signed, f32::midpoint(value, 1.0)));
            for value in [0.03, 0.1, 0.2, 0.5, 1.0] {
                let [red, _, blue] = at(-value);
                assert!(blue > red && blue >= 95, "{value}: below zero is blue");
                let [red, _, blue] = at(value);
                assert!(red > blue && red >= 95, "{value}: above zero is red");
            }
            let grows = |colours: &[u8]| {
                let levels = colours.iter().map(|index| luminance(rgb(*index)));
                levels.collect::<Vec<_>>().is_sorted()
            };
            assert!(grows(ramp.below) && grows(ramp.above) && grows(ramp.magnitudes));
        }
    }
}

//! Colour maps of the screen and of files: from a number's place on its scale to a colour.

/// Red, green and blue, each 0 to 255.
pub type Rgb = [u8; 3];

/// Values that are not finite: a colour that neither colour map has.
pub const NOT_FINITE: Rgb = [0, 214, 120];

/// A perceptually uniform colour map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourMap {
    /// "magma": magnitudes, from black through purple and orange to pale yellow.
    Magnitude,
    /// Signed values: blue below zero, almost black at zero, orange above.
    Signed,
}

impl ColourMap {
    /// The colour at `position`, 0 to 1; a signed map has its zero at 0.5.
    pub fn at(self, position: f32) -> Rgb {
        let position = position.clamp(0.0, 1.0);
        match self {
            Self::Magnitude => interpolate(&MAGMA, position),
            Self::Signed => signed(2.0 * position - 1.0),
        }
    }
}

/// matplotlib's "magma" (CC0) at 33 equally spaced places.
const MAGMA: [Rgb; 33] = [
    [0, 0, 4],
    [3, 3, 18],
    [10, 8, 34],
    [19, 13, 52],
    [29, 17, 71],
    [41, 17, 90],
    [54, 16, 107],
    [68, 15, 118],
    [81, 18, 124],
    [93, 23, 127],
    [106, 28, 129],
    [118, 33, 129],
    [131, 38, 129],
    [144, 42, 129],
    [156, 46, 127],
    [170, 51, 125],
    [183, 55, 121],
    [196, 60, 117],
    [208, 65, 111],
    [220, 72, 105],
    [231, 82, 99],
    [239, 93, 94],
    [245, 107, 92],
    [249, 121, 93],
    [252, 137, 97],
    [253, 152, 105],
    [254, 167, 114],
    [254, 182, 124],
    [254, 196, 136],
    [254, 211, 149],
    [253, 226, 163],
    [252, 240, 178],
    [252, 253, 191],
];

fn interpolate(table: &[Rgb], position: f32) -> Rgb {
    let place = position * (table.len() - 1) as f32;
    let index = (place as usize).min(table.len() - 2);
    let part = place - index as f32;
    std::array::from_fn(|channel| {
        let (low, high) = (table[index][channel], table[index + 1][channel]);
        (f32::from(low) + part * (f32::from(high) - f32::from(low))).round() as u8
    })
}

/// The diverging map at `value`, -1 to 1: lightness grows linearly with the magnitude in `OKLab`, the hue tells the sign.
fn signed(value: f32) -> Rgb {
    let magnitude = value.abs();
    let (hue, chroma_at_end): (f32, f32) = if value < 0.0 {
        (248.0, 0.11)
    } else {
        (52.0, 0.13)
    };
    let lightness = 0.17 + 0.63 * magnitude;
    // The chroma rises fast, so that small values already show their sign, and never leaves sRGB.
    let chroma = chroma_at_end * magnitude.sqrt().min(1.0) * (0.35 + 0.65 * lightness / 0.8);
    let (sin, cos) = hue.to_radians().sin_cos();
    oklab_to_srgb(lightness, chroma * cos, chroma * sin)
}

/// Björn Ottosson's `OKLab` (<https://bottosson.github.io/posts/oklab/>), to 8-bit sRGB.
fn oklab_to_srgb(lightness: f32, a: f32, b: f32) -> Rgb {
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ]
    .map(|linear| {
        let encoded = if linear <= 0.003_130_8 {
            12.92 * linear
        } else {
            1.055 * linear.powf(1.0 / 2.4) - 0.055
        };
        (255.0 * encoded).round().clamp(0.0, 255.0) as u8
    })
}

/// Perceived brightness of `rgb`, 0 to 1 (Rec. 709 weights on the encoded values).
pub fn luminance([red, green, blue]: Rgb) -> f32 {
    (0.2126 * f32::from(red) + 0.7152 * f32::from(green) + 0.0722 * f32::from(blue)) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_grow_lighter_all_the_way() {
        let levels: Vec<f32> = (0..=100)
            .map(|i| luminance(ColourMap::Magnitude.at(i as f32 / 100.0)))
            .collect();
        assert!(levels.is_sorted());
        assert_eq!(ColourMap::Magnitude.at(0.0), [0, 0, 4]);
        assert_eq!(ColourMap::Magnitude.at(1.0), [252, 253, 191]);
    }

    #[test]
    fn signs_differ_in_hue_and_magnitudes_in_lightness() {
        let at = |value: f32| ColourMap::Signed.at(f32::midpoint(value, 1.0));
        let [red, _, blue] = at(-0.8);
        assert!(blue > red, "below zero is blue");
        let [red, _, blue] = at(0.8);
        assert!(red > blue, "above zero is orange");
        for value in [0.2_f32, 0.5, 1.0] {
            assert!(luminance(at(value)) > luminance(at(value / 2.0)));
            let difference = luminance(at(value)) - luminance(at(-value));
            assert!(difference.abs() < 0.08, "{value}: {difference}");
        }
        let [red, green, blue] = at(0.0);
        assert!(
            red.abs_diff(green) < 3 && green.abs_diff(blue) < 3,
            "zero is grey"
        );
    }

    #[test]
    fn what_lies_outside_the_scale_has_the_colour_of_its_end() {
        assert_eq!(ColourMap::Signed.at(7.0), ColourMap::Signed.at(1.0));
        assert_eq!(ColourMap::Magnitude.at(-1.0), ColourMap::Magnitude.at(0.0));
    }
}

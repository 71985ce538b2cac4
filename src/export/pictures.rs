//! Heat maps as pictures: an attention map as PNG, its change over the steps as an animated GIF.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, Rgb, RgbImage};

use super::colour_map::{ColourMap, NOT_FINITE};
use super::png::encode_png;
use super::{DestinationError, OutputFile};
use crate::generation::Request;

use super::document::{Model, Program};

/// A heat map: a value for each place, row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeatMap<'a> {
    /// `height * width` values.
    pub values: &'a [f32],
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

/// The smallest and the largest value of a colour scale.
pub type Scale = (f32, f32);

/// Pictures of maps have at least so many pixels on their longer side.
const PIXELS: usize = 512;
/// Time that each step of an animation is shown.
const FRAME: Duration = Duration::from_millis(200);

impl HeatMap<'_> {
    /// From its smallest finite value to its largest; 0 to 0 where there is none.
    pub fn scale(&self) -> Scale {
        scale_of(self.values)
    }

    /// The map in the colours that it has on the screen, from black at the scale's smallest value to pale yellow at its
    /// largest, every value a square of at least one pixel, so that the longer side has 512 pixels or a little more. What
    /// is not a number is green.
    pub fn picture(&self, (low, high): Scale) -> RgbImage {
        let longer = self.width.max(self.height).max(1);
        let square = PIXELS.div_ceil(longer);
        let size = |places: usize| (places * square) as u32;
        RgbImage::from_fn(size(self.width), size(self.height), |x, y| {
            let (column, row) = (x as usize / square, y as usize / square);
            match self.values.get(row * self.width + column) {
                Some(value) if value.is_finite() => {
                    let range = high - low;
                    let position = if range > 0.0 {
                        (value - low) / range
                    } else {
                        0.0
                    };
                    Rgb(colour(position))
                }
                _ => Rgb(NOT_FINITE),
            }
        })
    }
}

/// From the smallest finite value of all maps to the largest: for maps that are compared.
pub fn common_scale<'a>(maps: impl IntoIterator<Item = HeatMap<'a>>) -> Scale {
    let scales: Vec<f32> = maps
        .into_iter()
        .filter(|map| map.values.iter().any(|value| value.is_finite()))
        .flat_map(|map| [map.scale().0, map.scale().1])
        .collect();
    scale_of(&scales)
}

fn scale_of(values: &[f32]) -> Scale {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let scale = (
        finite().fold(f32::INFINITY, f32::min),
        finite().fold(f32::NEG_INFINITY, f32::max),
    );
    if scale.0 <= scale.1 {
        scale
    } else {
        (0.0, 0.0)
    }
}

/// Writes a map as PNG on a scale of its own. `name` says what it is (`apple, step 12, mean of all layers`); it is in
/// the text chunk `diffuscope` with the scale, the model and the request. Returns the path.
pub fn save_map(
    file: OutputFile,
    map: HeatMap,
    name: &str,
    request: &Request,
    model: &Model,
) -> Result<PathBuf, DestinationError> {
    let scale = map.scale();
    let about = serde_json::json!({
        "program": Program::this(),
        "model": model,
        "request": request,
        "map": name,
        "scale": [scale.0, scale.1],
    });
    let picture = map.picture(scale);
    file.publish(|out| encode_png(out, &picture, &[("diffuscope", about.to_string())]))
}

/// Writes maps, one a step, as an animated GIF that repeats without end, all on one scale. Returns the path.
///
/// # Errors
/// Where it cannot be written; maps of different sizes; no map at all.
pub fn save_animation(file: OutputFile, maps: &[HeatMap]) -> Result<PathBuf, DestinationError> {
    let scale = common_scale(maps.iter().copied());
    file.publish(|out| {
        let size = |map: &HeatMap| (map.width, map.height);
        let first = maps.first().map(size);
        if first.is_none() || maps.iter().any(|map| Some(size(map)) != first) {
            let reason = "an animation takes one or more maps of one size";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        // At most 256 colours: every frame's palette is exact.
        let mut encoder = GifEncoder::new(out);
        encoder
            .set_repeat(Repeat::Infinite)
            .map_err(io::Error::other)?;
        for map in maps {
            let picture = DynamicImage::ImageRgb8(map.picture(scale)).into_rgba8();
            let delay = Delay::from_saturating_duration(FRAME);
            let frame = Frame::from_parts(picture, 0, 0, delay);
            encoder.encode_frame(frame).map_err(io::Error::other)?;
        }
        Ok(())
    })
}

/// One of 255 colours of the screen's map of magnitudes, at `position` from 0 to 1.
fn colour(position: f32) -> [u8; 3] {
    let steps = 254.0;
    ColourMap::Magnitude.at((position.clamp(0.0, 1.0) * steps).round() / steps)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::AnimationDecoder;
    use image::codecs::gif::GifDecoder;

    use super::*;
    use crate::scheduler::SchedulerKind;

    fn map(values: &[f32]) -> HeatMap<'_> {
        HeatMap {
            values,
            width: 2,
            height: values.len() / 2,
        }
    }

    #[test]
    fn the_smallest_value_is_black_and_the_largest_yellow_in_sharp_squares() {
        let map = map(&[0.25, 0.5, f32::NAN, 0.375]);
        assert_eq!(map.scale(), (0.25, 0.5));
        let picture = map.picture(map.scale());
        assert_eq!(picture.dimensions(), (512, 512));
        assert_eq!(picture[(255, 255)], Rgb(ColourMap::Magnitude.at(0.0)));
        assert_eq!(picture[(256, 255)], Rgb(ColourMap::Magnitude.at(1.0)));
        assert_eq!(picture[(0, 256)], Rgb(NOT_FINITE));
        assert_eq!(picture[(511, 511)], Rgb(ColourMap::Magnitude.at(0.5)));
    }

    #[test]
    fn a_map_without_numbers_or_of_one_value_is_still_a_picture() {
        for values in [[f32::NAN; 2], [f32::INFINITY; 2], [0.5; 2]] {
            let map = map(&values);
            assert_eq!(map.picture(map.scale()).dimensions(), (512, 256));
        }
    }

    #[test]
    fn a_saved_map_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = OutputFile::at(&folder.path().join("apple.png")).unwrap();
        let request = Request {
            prompt: "苹果".into(),
            negative_prompt: String::new(),
            seed: 1,
            steps: 1,
            guidance_scale: 7.5,
            scheduler: SchedulerKind::Euler,
            ..Request::default()
        };
        let model = Model {
            name: "hand-made".into(),
            sha256: "0123456789abcdef".repeat(4),
        };
        let path = save_map(file, map(&[0.0, 1.0]), "苹, step 0", &request, &model).unwrap();
        let bytes = fs::read(path).unwrap();
        let reader = png::Decoder::new(io::Cursor::new(&bytes)).read_info();
        let info = reader.unwrap().info().clone();
        let text = info.utf8_text[0].get_text().unwrap();
        let about: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(about["map"], "苹, step 0");
        assert_eq!(about["scale"], serde_json::json!([0.0, 1.0]));
        assert_eq!(about["request"]["prompt"], "苹果");
    }

    #[test]
    fn an_animation_has_a_frame_for_each_step_with_exact_colours_on_one_scale() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apple.gif");
        let steps = [[0.0, 0.25], [0.5, 1.0], [0.125, 0.75]];
        let maps: Vec<HeatMap> = steps.iter().map(|values| map(values)).collect();
        save_animation(OutputFile::at(&path).unwrap(), &maps).unwrap();
        let file = io::BufReader::new(fs::File::open(&path).unwrap());
        let frames = GifDecoder::new(file).unwrap().into_frames();
        let frames = frames.collect_frames().unwrap();
        assert_eq!(frames.len(), 3);
        for (frame, map) in frames.iter().zip(&maps) {
            let expected = DynamicImage::ImageRgb8(map.picture((0.0, 1.0))).into_rgba8();
            assert!(frame.buffer() == &expected);
        }
    }

    #[test]
    fn maps_of_different_sizes_are_no_animation_and_leave_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = || OutputFile::at(&folder.path().join("a.gif")).unwrap();
        let different = [map(&[0.0, 1.0]), map(&[0.0; 4])];
        assert!(save_animation(file(), &different).is_err());
        assert!(save_animation(file(), &[]).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

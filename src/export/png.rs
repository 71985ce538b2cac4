//! A picture as a PNG file that says how it was made.

use std::io::{self, Write};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::RunMetadata;
use super::document::{Model, Program};
use super::parameters::parameters;
use super::watch::Stopped;
use crate::generation::{BranchPoint, Request};

/// Writes `image` as PNG with what was asked for in it, twice: as the text chunk `parameters`, in the form that other
/// programs for these models read, and as the text chunk `diffuscope`, JSON with `program`, `model`, `request` and,
/// where there are some, `branches` and where it was `stopped`.
///
/// The same picture and request give the same bytes.
pub fn write_png(out: &mut dyn Write, image: &RgbImage, run: &RunMetadata) -> io::Result<()> {
    let made = Made {
        program: Program::this(),
        model: run.model.clone(),
        request: run.request.clone(),
        branches: run.branches.clone(),
        stopped: run.stopped.clone(),
    };
    let text = [
        (PARAMETERS, parameters(image.dimensions(), run)),
        (DIFFUSCOPE, serde_json::to_string(&made)?),
    ];
    encode_png(out, image, &text)
}

const PARAMETERS: &str = "parameters";
const DIFFUSCOPE: &str = "diffuscope";

/// How a picture was made: the text chunk `diffuscope`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
    pub program: Program,
    pub model: Model,
    pub request: Request,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<BranchPoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

/// What a PNG file says of how it was made. `None` where it says nothing, or nothing that can be read.
pub(super) fn made(png: &[u8]) -> Option<Made> {
    let reader = png::Decoder::new(io::Cursor::new(png)).read_info().ok()?;
    let mut texts = reader.info().utf8_text.iter();
    let chunk = texts.find(|chunk| chunk.keyword == DIFFUSCOPE)?;
    serde_json::from_str(&chunk.get_text().ok()?).ok()
}

/// Writes `image` as PNG with text chunks, each a keyword and its text.
pub(super) fn encode_png(
    out: &mut dyn Write,
    image: &RgbImage,
    texts: &[(&str, String)],
) -> io::Result<()> {
    let mut encoder = png::Encoder::new(out, image.width(), image.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    for (keyword, text) in texts {
        encoder
            .add_itxt_chunk((*keyword).into(), text.clone())
            .map_err(io_error)?;
    }
    let mut writer = encoder.write_header().map_err(io_error)?;
    writer.write_image_data(image.as_raw()).map_err(io_error)?;
    writer.finish().map_err(io_error)
}

fn io_error(error: png::EncodingError) -> io::Error {
    match error {
        png::EncodingError::IoError(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::SchedulerKind;

    #[test]
    fn a_picture_keeps_its_pixels_and_says_how_it_was_made() {
        let image = RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, y as u8, 200]));
        let request = Request {
            negative_prompt: "dog".into(),
            seed: -1,
            steps: 7,
            guidance_scale: 7.5,
            scheduler: SchedulerKind::DpmPlusPlus2M,
            ..Request::plain("苹果")
        };
        let run = RunMetadata::hand_made(request.clone());
        let mut bytes = Vec::new();
        write_png(&mut bytes, &image, &run).unwrap();
        let read = image::load_from_memory(&bytes).unwrap().into_rgb8();
        assert_eq!(read, image);

        let reader = png::Decoder::new(io::Cursor::new(&bytes)).read_info();
        let info = reader.unwrap().info().clone();
        let text = |keyword: &str| {
            let chunk = info.utf8_text.iter().find(|chunk| chunk.keyword == keyword);
            chunk.unwrap().get_text().unwrap()
        };
        assert_eq!(
            text("parameters"),
            format!(
                "苹果\nNegative prompt: dog\nSteps: 7, Sampler: DPM++ 2M, Schedule type: Uniform, CFG scale: 7.5, \
                 Seed: 4294967295, Size: 3x2, Model hash: 0123456789, Model: hand-made, RNG: CPU, \
                 Version: diffuscope {}",
                env!("CARGO_PKG_VERSION")
            )
        );
        let json: serde_json::Value = serde_json::from_str(&text("diffuscope")).unwrap();
        let read: Request = serde_json::from_value(json["request"].clone()).unwrap();
        assert_eq!(read, request);
        assert_eq!(json["request"]["seed_text"], "-1");
        assert_eq!(made(&bytes).unwrap().request, request);
    }
}

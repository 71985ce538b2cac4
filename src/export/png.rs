//! A picture as a PNG file that says how it was made.

use std::io::{self, Write};

use image::RgbImage;

use super::document::{Model, Program};
use crate::generation::Request;

/// Writes `image` as PNG with the request in it, twice: as the text chunk `parameters`, in the form that other
/// programs for these models read, and as the text chunk `diffuscope`, JSON with `program`, `model` and `request`.
///
/// The same picture and request give the same bytes.
pub fn write_png(
    out: &mut dyn Write,
    image: &RgbImage,
    request: &Request,
    model: &Model,
) -> io::Result<()> {
    let json = serde_json::json!({
        "program": Program::this(),
        "model": model,
        "request": request,
    });
    let text = [
        ("parameters", parameters(image, request, model)),
        ("diffuscope", json.to_string()),
    ];
    encode_png(out, image, &text)
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

/// `PROMPT\nNegative prompt: …\nSteps: …, Sampler: …, …`
fn parameters(image: &RgbImage, request: &Request, model: &Model) -> String {
    use std::fmt::Write;
    let mut text = request.prompt.clone();
    if !request.negative_prompt.is_empty() {
        let _ = write!(text, "\nNegative prompt: {}", request.negative_prompt);
    }
    let _ = write!(
        text,
        "\nSteps: {}, Sampler: {}, CFG scale: {}, Seed: {}, Size: {}x{}, Model hash: {}, Model: {}",
        request.steps,
        request.scheduler,
        request.guidance_scale,
        request.seed,
        image.width(),
        image.height(),
        model.sha256.get(..10).unwrap_or(&model.sha256),
        model.name,
    );
    text
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
            prompt: "苹果".into(),
            negative_prompt: "dog".into(),
            seed: -1,
            steps: 7,
            guidance_scale: 7.5,
            scheduler: SchedulerKind::DpmPlusPlus2M,
            interventions: Vec::new(),
        };
        let model = Model {
            name: "little-world".into(),
            sha256: "0123456789abcdef".repeat(4),
        };
        let mut bytes = Vec::new();
        write_png(&mut bytes, &image, &request, &model).unwrap();
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
            "苹果\nNegative prompt: dog\nSteps: 7, Sampler: dpm++-2m, CFG scale: 7.5, Seed: -1, Size: 3x2, \
             Model hash: 0123456789, Model: little-world"
        );
        let json: serde_json::Value = serde_json::from_str(&text("diffuscope")).unwrap();
        let read: Request = serde_json::from_value(json["request"].clone()).unwrap();
        assert_eq!(read, request);
    }
}

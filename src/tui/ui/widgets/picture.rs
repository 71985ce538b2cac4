//! A picture as half-block cells.

use image::RgbImage;
use image::imageops::{self, FilterType};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::half_blocks::{self, Pixel};
use crate::export::colour_map::{Rgb, luminance};
use crate::tui::ui::theme::{Paint, Theme};

/// Draws `image` in `area`, centred across; returns the cells that it takes.
pub fn draw(buffer: &mut Buffer, area: Rect, image: &RgbImage, theme: Theme) -> Rect {
    draw_with(buffer, area, image, theme, |_, _, rgb| rgb)
}

/// Draws `image` in `area`, each pixel changed by `change(x, y, colour)`, where `x` and `y` go from 0 to 1 across the
/// image.
pub fn draw_with(
    buffer: &mut Buffer,
    area: Rect,
    image: &RgbImage,
    theme: Theme,
    change: impl Fn(f32, f32, Rgb) -> Rgb,
) -> Rect {
    let image_size = (image.width() as usize, image.height() as usize);
    let size = half_blocks::fit(image_size, area, theme.tall());
    let area = half_blocks::cells(size, area);
    if area.is_empty() {
        return area;
    }
    let scaled = resize(image, size);
    half_blocks::draw(buffer, area, size, theme, |x, y| {
        let rgb = scaled.get_pixel(x as u32, y as u32).0;
        let across = (x as f32 + 0.5) / size.0 as f32;
        let down = (y as f32 + 0.5) / size.1 as f32;
        let rgb = change(across, down, rgb);
        Pixel {
            paint: Paint::Picture(rgb),
            level: luminance(rgb),
        }
    });
    area
}

/// Whole multiples repeat pixels, so that what is seen is what is there; anything else is interpolated.
fn resize(image: &RgbImage, (width, height): (usize, usize)) -> RgbImage {
    let (width, height) = (width as u32, height as u32);
    let filter = if width % image.width() == 0 && height % image.height() == 0 {
        FilterType::Nearest
    } else {
        FilterType::Triangle
    };
    imageops::resize(image, width, height, filter)
}

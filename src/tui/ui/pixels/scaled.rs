//! A picture in as many pixels as its cells have.

use std::borrow::Cow;

use image::RgbImage;
use image::imageops::{self, FilterType};
use ratatui::layout::Rect;

use crate::tui::terminal::Cell;

/// Width and height of `area` in pixels.
pub fn pixels(area: Rect, cell: Cell) -> (u32, u32) {
    (
        u32::from(area.width) * cell.width,
        u32::from(area.height) * cell.height,
    )
}

/// `image` in exactly `size`. Whole multiples repeat pixels, so that what is seen is what is there.
pub fn exactly(image: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
    let is_whole = width % image.width().max(1) == 0 && height % image.height().max(1) == 0;
    let filter = if is_whole {
        FilterType::Nearest
    } else {
        FilterType::Triangle
    };
    imageops::resize(image, width, height, filter)
}

/// `image`, made smaller where its cells have fewer pixels than it: there is no use in sending more.
pub fn at_most(image: &RgbImage, area: Rect, cell: Option<Cell>) -> Cow<'_, RgbImage> {
    let size = cell.map(|cell| pixels(area, cell));
    match size.filter(|(width, height)| *width < image.width() && *height < image.height()) {
        Some(size) => Cow::Owned(exactly(image, size)),
        None => Cow::Borrowed(image),
    }
}

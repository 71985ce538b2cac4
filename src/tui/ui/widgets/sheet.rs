//! Pictures side by side, as many as there is room for, each with a title.

use std::sync::Arc;

use image::RgbImage;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::picture;
use crate::tui::ui::area::{below, columns, scroll, top};
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;

/// The least columns of a picture.
const NARROWEST: u16 = 10;

/// One picture of a sheet.
pub struct Frame {
    pub title: String,
    /// None where it is not there yet: `why` stands in its place.
    pub image: Option<Arc<RgbImage>>,
    pub why: &'static str,
}

/// Draws `frames` of pictures `aspect` times as wide as high, the one at `selected` marked; where not all have room, those
/// around it. Returns the pictures, and the rows that they take.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    frames: &[Frame],
    aspect: f32,
    selected: usize,
    theme: Theme,
) -> (Vec<PlacedPicture>, u16) {
    // Columns of a cell for one row of it.
    let wide = aspect * theme.tall();
    let (across, width) = arrange(area, frames.len(), wide);
    let rows = ((f32::from(width) / wide).round() as u16).max(1) + 1;
    let lines = frames.len().div_ceil(across.into());
    let room = usize::from((area.height / rows).max(1));
    let first = scroll(selected / usize::from(across), lines, room);
    let mut pictures = Vec::new();
    let shown = frames.iter().enumerate().skip(first * usize::from(across));
    for (index, frame) in shown.take(room * usize::from(across)) {
        let line = (index / usize::from(across) - first) as u16;
        let place = below(area, line * rows);
        let place = columns(place, across, 1)[index % usize::from(across)];
        let place = Rect {
            width: place.width.min(width),
            ..top(place, rows)
        };
        if place.is_empty() {
            break;
        }
        let style = theme.selected_if(index == selected, theme.muted());
        let title = text::fit(&frame.title, place.width.into());
        buffer.set_stringn(place.x, place.y, title, place.width.into(), style);
        let place = below(place, 1);
        match &frame.image {
            Some(image) => pictures.push(PlacedPicture {
                area: picture::draw(buffer, place, image, theme),
                image: Arc::clone(image),
            }),
            None if !place.is_empty() => {
                buffer.set_stringn(
                    place.x,
                    place.y,
                    frame.why,
                    place.width.into(),
                    theme.muted(),
                );
            }
            None => {}
        }
    }
    let used = lines.min(room) as u16 * rows;
    (pictures, used.min(area.height))
}

/// In how many columns `count` pictures are largest, of so many terminal columns each: none is narrower than what can be
/// told apart, where there is room for one of that size.
fn arrange(area: Rect, count: usize, wide: f32) -> (u16, u16) {
    let size = |across: u16| -> u16 {
        let width = (area.width + 1) / across;
        let lines = count.div_ceil(across.into()) as u16;
        let rows = (area.height / lines.max(1)).saturating_sub(1);
        width.saturating_sub(1).min((f32::from(rows) * wide) as u16)
    };
    let largest = (1..=count.clamp(1, 40) as u16).max_by_key(|&across| size(across));
    let across = largest.unwrap_or(1);
    if size(across) >= NARROWEST {
        return (across, size(across));
    }
    // Not all of them: rows of pictures that can be told apart.
    let highest = (f32::from(area.height.saturating_sub(1)) * wide) as u16;
    let width = NARROWEST.min(highest.max(1)).min(area.width.max(1));
    ((area.width + 1) / (width + 1).max(1), width).max((1, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_as_large_as_all_of_them_can_be() {
        let area = |width, height| Rect::new(0, 0, width, height);
        // Four square pictures: two by two in a place as wide as high.
        assert_eq!(arrange(area(64, 34), 4, 2.0), (2, 31));
        // In a row where it is wide.
        assert_eq!(arrange(area(83, 11), 4, 2.0), (4, 20));
        // More than there is room for.
        let (across, width) = arrange(area(60, 14), 200, 2.0);
        assert_eq!((across, width), (5, NARROWEST));
        assert_eq!(arrange(area(0, 0), 3, 2.0).0, 1);
    }
}

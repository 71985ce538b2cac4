//! Pixels as half-block cells: two pixels a cell, one above the other, each about as high as it is wide.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::ui::theme::{Paint, Theme};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pixel {
    pub paint: Paint,
    /// Its strength for terminals without colours, 0 to 1.
    pub level: f32,
}

pub const SHADES: [&str; 5] = [" ", "░", "▒", "▓", "█"];

/// The size in pixels, `(width, height)`, at which an image of `image` pixels fills `area` best without changing its
/// aspect: a whole multiple across where that uses the place well, else as large as it goes. A cell is `tall` times as
/// high as it is wide.
pub fn fit(image: (usize, usize), area: Rect, tall: f32) -> (usize, usize) {
    let (width, height) = (image.0.max(1), image.1.max(1));
    // Pixels down for one across.
    let flat = 2.0 / f64::from(tall);
    let across = f64::from(area.width) / width as f64;
    let down = 2.0 * f64::from(area.height) / (height as f64 * flat);
    let exact = across.min(down);
    let whole = exact.floor();
    let factor = if whole >= 1.0 && whole / exact >= 0.6 {
        whole
    } else {
        exact
    };
    let scaled = |length: f64| ((length * factor).round() as usize).max(1);
    if area.is_empty() {
        (0, 0)
    } else {
        (scaled(width as f64), scaled(height as f64 * flat))
    }
}

/// The cells that an image of `size` pixels takes at the top left of `area`.
pub fn cells(size: (usize, usize), area: Rect) -> Rect {
    Rect {
        width: (size.0.min(usize::from(area.width))) as u16,
        height: (size.1.div_ceil(2).min(usize::from(area.height))) as u16,
        ..area
    }
}

/// Draws `size` pixels at the top left of `area`; `at(x, y)` is the pixel there. Without colours a cell is a shade.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    size: (usize, usize),
    theme: Theme,
    at: impl Fn(usize, usize) -> Pixel,
) {
    let covered = cells(size, area).intersection(buffer.area);
    for row in 0..covered.height {
        for column in 0..covered.width {
            let (x, y) = (usize::from(column), 2 * usize::from(row));
            let top = at(x, y);
            let bottom = (y + 1 < size.1).then(|| at(x, y + 1));
            let cell = &mut buffer[(covered.x + column, covered.y + row)];
            if let Some(colour) = theme.paint(top.paint, (x, y)) {
                cell.set_symbol("▀").set_fg(colour);
                if let Some(colour) =
                    bottom.and_then(|bottom| theme.paint(bottom.paint, (x, y + 1)))
                {
                    cell.set_bg(colour);
                }
            } else {
                let bottom = bottom.map_or(0.0, |bottom| bottom.level);
                let level = f32::midpoint(top.level, bottom);
                cell.set_symbol(shade(level)).set_style(Style::new());
            }
        }
    }
}

/// The shade for a strength from 0 to 1.
pub fn shade(level: f32) -> &'static str {
    let last = SHADES.len() - 1;
    SHADES[((level.clamp(0.0, 1.0) * last as f32).round() as usize).min(last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_fill_their_place_in_whole_multiples_where_that_uses_it_well() {
        let area = |width, height| Rect::new(0, 0, width, height);
        assert_eq!(fit((16, 16), area(35, 20), 2.0), (32, 32));
        assert_eq!(
            fit((16, 16), area(50, 10), 2.0),
            (16, 16),
            "20 would be uneven"
        );
        assert_eq!(
            fit((16, 16), area(29, 30), 2.0),
            (29, 29),
            "16 would waste it"
        );
        assert_eq!(fit((128, 128), area(64, 40), 2.0), (64, 64));
        assert_eq!(
            fit((64, 32), area(64, 40), 2.0),
            (64, 32),
            "the aspect is kept"
        );
        assert_eq!(fit((16, 16), area(0, 40), 2.0), (0, 0));
    }

    /// Cells of kitty and foot are more than twice as high as wide, some terminals' less.
    #[test]
    fn a_square_is_a_square_in_cells_of_every_shape() {
        for (wide, high) in [
            (8_u32, 17_u32),
            (9, 21),
            (7, 16),
            (10, 20),
            (6, 13),
            (8, 14),
        ] {
            let tall = high as f32 / wide as f32;
            for area in [(60, 30), (35, 20), (120, 18)] {
                let area = Rect::new(0, 0, area.0, area.1);
                for image in [(16, 16), (64, 64), (128, 128), (512, 512)] {
                    let (across, down) = fit(image, area, tall);
                    let taken = cells((across, down), area);
                    assert!(
                        across <= usize::from(area.width) && down <= 2 * usize::from(area.height)
                    );
                    assert_eq!(usize::from(taken.height), down.div_ceil(2));
                    let aspect = down as f32 * tall / 2.0 / across as f32;
                    // Half a pixel of rounding each way.
                    let rounding = (tall / 4.0 + 0.5) / across as f32 + 1e-3;
                    assert!(
                        (aspect - 1.0).abs() <= rounding,
                        "{wide}x{high} {area} {image:?}: {aspect}"
                    );
                }
            }
        }
    }
}

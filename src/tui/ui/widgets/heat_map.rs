//! A heat map of a matrix, and its scale with numbers.

use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};

use super::half_blocks::{self, Pixel};
use crate::export::colour_map::{ColourMap, NOT_FINITE};
use crate::tui::state::plane::{Plane, covered};
use crate::tui::ui::text;
use crate::tui::ui::theme::{Paint, Theme};

/// From numbers to places on a colour map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub low: f32,
    pub high: f32,
    pub map: ColourMap,
}

impl Scale {
    /// Magnitudes from 0 to the largest of `values`.
    pub fn magnitudes(values: impl IntoIterator<Item = f32>) -> Self {
        Self {
            low: 0.0,
            high: largest(values),
            map: ColourMap::Magnitude,
        }
    }

    /// Signed values, with zero in the middle.
    pub fn signed(values: impl IntoIterator<Item = f32>) -> Self {
        Self::around_zero(largest(values))
    }

    pub fn around_zero(limit: f32) -> Self {
        Self {
            low: -limit,
            high: limit,
            map: ColourMap::Signed,
        }
    }

    /// Where `value` lies, from 0 to 1; `None` where it is not finite.
    pub fn position(&self, value: f32) -> Option<f32> {
        let range = self.high - self.low;
        let position = match self.map {
            _ if range > 0.0 => ((value - self.low) / range).clamp(0.0, 1.0),
            ColourMap::Signed => 0.5,
            ColourMap::Magnitude => 0.0,
        };
        value.is_finite().then_some(position)
    }

    pub fn pixel(&self, value: f32) -> Pixel {
        let position = self.position(value);
        let level = match (self.map, position) {
            (_, None) => 1.0,
            (ColourMap::Magnitude, Some(position)) => position,
            (ColourMap::Signed, Some(position)) => (2.0 * position - 1.0).abs(),
        };
        Pixel {
            paint: position.map_or(Paint::Mark(NOT_FINITE), |position| {
                Paint::Mapped(self.map, position)
            }),
            level,
        }
    }
}

fn largest(values: impl IntoIterator<Item = f32>) -> f32 {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(0.0, |largest: f32, value| largest.max(value.abs()))
}

/// A matrix of values, row-major.
#[derive(Debug, Clone, Copy)]
pub struct HeatMap<'a> {
    plane: Plane<'a>,
    pub scale: Scale,
}

impl<'a> HeatMap<'a> {
    /// Values of a size `(width, height)`, on a scale.
    pub fn new(values: &'a [f32], (width, height): (usize, usize), scale: Scale) -> Self {
        let plane = Plane {
            values,
            width,
            height,
        };
        Self { plane, scale }
    }

    /// Draws the map at the top left of `area` and returns the cells that it takes. Where there are more values than
    /// place, a pixel is the mean of those that it covers.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, theme: Theme) -> Rect {
        let (width, height) = (self.plane.width, self.plane.height);
        let size = half_blocks::fit((width, height), area, theme.tall());
        let area = half_blocks::cells(size, area);
        if self.plane.values.len() < width * height || area.is_empty() {
            return area.resize(Size::ZERO);
        }
        half_blocks::draw(buffer, area, size, theme, |x, y| {
            let (across, down) = (covered(x, size.0, width), covered(y, size.1, height));
            self.scale.pixel(self.plane.mean(across, down))
        });
        area
    }

    /// The value at `across` and `down`, both from 0 to 1, interpolated between the values around it.
    pub fn sample(&self, across: f32, down: f32) -> f32 {
        self.plane.sample(across, down)
    }
}

/// Draws a scale as one row: its numbers, its colours between them, and whose it is.
pub fn legend(buffer: &mut Buffer, area: Rect, scale: Scale, whose: &str, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let low = format!("{} ", text::number(f64::from(scale.low)));
    let high = format!(" {}", text::number(f64::from(scale.high)));
    let numbers = text::width(&low) + text::width(&high);
    let room = usize::from(area.width);
    // A number that is cut says something else.
    if room < numbers {
        return;
    }
    let bar = room.saturating_sub(numbers).min(12) as u16;
    let (start, _) = buffer.set_stringn(area.x, area.y, &low, room, theme.muted());
    for column in 0..bar {
        let at = |half: u16| f32::from(2 * column + half) / f32::from((2 * bar - 1).max(1));
        let colours = [0, 1].map(|half| theme.paint(Paint::Mapped(scale.map, at(half)), (0, 0)));
        let cell = &mut buffer[(start + column, area.y)];
        if let [Some(left), Some(right)] = colours {
            cell.set_symbol("▌").set_fg(left).set_bg(right);
        } else {
            let level = match scale.map {
                ColourMap::Magnitude => at(0),
                ColourMap::Signed => (2.0 * at(0) - 1.0).abs(),
            };
            cell.set_symbol(half_blocks::shade(level));
        }
    }
    let end = start + bar;
    let rest = if room > numbers + usize::from(bar) + text::width(whose) + 1 {
        format!("{high}  {whose}")
    } else {
        high
    };
    let room = usize::from(area.right().saturating_sub(end));
    buffer.set_stringn(end, area.y, rest, room, theme.muted());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_finite_have_no_place_on_the_scale() {
        let scale = Scale::signed([1.0, -2.0, f32::NAN]);
        assert_eq!((scale.low, scale.high), (-2.0, 2.0));
        assert_eq!(scale.position(f32::NAN), None);
        assert_eq!(scale.position(0.0), Some(0.5));
        let empty = Scale::magnitudes([0.0, 0.0]);
        assert_eq!(empty.position(0.0), Some(0.0));
    }
}

//! A histogram, with the normal distribution for comparison where that is wanted.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::ui::area::{left, right_of, top};
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::bars;

pub struct Histogram<'a> {
    /// The values; those that are not finite are left out.
    pub values: &'a [f32],
    /// The range shown; what lies outside counts at its ends.
    pub range: (f32, f32),
    /// Draw the standard normal distribution's expected counts, too?
    pub normal: bool,
}

impl Histogram<'_> {
    /// Draws one bar a column, and below them the range's ends and its middle.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, theme: Theme) {
        self.draw_times(buffer, area, theme, 1.0);
    }

    /// The same for values that are `factor` times as large: only the numbers beneath differ.
    pub fn draw_times(&self, buffer: &mut Buffer, area: Rect, theme: Theme, factor: f32) {
        if area.height < 3 || area.width < 8 {
            return;
        }
        // Few values in many columns would be all gaps.
        let most_columns = (self.values.len() / 4).clamp(8, 64);
        let each = usize::from(area.width).div_ceil(most_columns).max(1);
        let columns = usize::from(area.width) / each;
        let area = left(area, (columns * each) as u16);
        let counts = counts(self.values, self.range, columns);
        let total: f64 = counts.iter().map(|&count| count as f64).sum();
        // The curve has a point in every column, also where a bar is several columns wide.
        let expected: Vec<f64> = (0..columns * each)
            .map(|column| total * each as f64 * self.expected(column, columns * each))
            .collect();
        let most = counts.iter().map(|&count| count as f64);
        let most = if self.normal {
            most.chain(expected.iter().copied()).fold(1.0, f64::max)
        } else {
            most.fold(1.0, f64::max)
        };
        let rows = area.height - 1;
        let eighths = |count: f64| (count / most * 8.0 * f64::from(rows)).round() as usize;
        for column in 0..columns * each {
            let x = area.x + column as u16;
            let filled = eighths(counts[column / each] as f64);
            let place = right_of(top(area, rows), x);
            bars::upright(buffer, place, filled, theme.muted());
            if self.normal {
                let height = eighths(expected[column]);
                let row = rows - 1 - ((height / 8) as u16).min(rows - 1);
                let cell = &mut buffer[(x, area.y + row)];
                // On a full bar the dot lies on the bar's colour.
                if cell.symbol() == "█" && !theme.is_monochrome() {
                    cell.set_bg(theme.muted().fg.unwrap_or_default());
                }
                cell.set_symbol("•").set_style(theme.accent());
            }
        }
        let columns = usize::from(area.width);
        let (low, high) = self.range;
        let bottom = area.bottom() - 1;
        let style = theme.muted();
        let shown = |value: f32| text::number(f64::from(value * factor));
        let (left, right) = (shown(low), shown(high));
        // Two numbers that run into each other say nothing.
        if text::width(&left) + text::width(&right) < columns {
            buffer.set_stringn(area.x, bottom, left, columns, style);
            let x = area.right().saturating_sub(text::width(&right) as u16);
            buffer.set_stringn(x, bottom, &right, columns, style);
        }
        let middle = shown(f32::midpoint(low, high));
        let width = text::width(&middle) as u16;
        if area.width > 3 * width + 12 {
            buffer.set_string(area.x + (area.width - width) / 2, bottom, middle, style);
        }
    }

    /// The standard normal distribution's mass in a column, by its density in the column's middle.
    fn expected(&self, column: usize, columns: usize) -> f64 {
        let (low, high) = (f64::from(self.range.0), f64::from(self.range.1));
        let step = (high - low) / columns as f64;
        let x = low + (column as f64 + 0.5) * step;
        (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt() * step
    }
}

fn counts(values: &[f32], (low, high): (f32, f32), columns: usize) -> Vec<usize> {
    let mut counts = vec![0; columns];
    let range = high - low;
    for value in values.iter().filter(|value| value.is_finite()) {
        let place = if range > 0.0 {
            (value - low) / range
        } else {
            0.5
        };
        let column = (place.clamp(0.0, 1.0) * columns as f32) as usize;
        counts[column.min(columns - 1)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_counted_once() {
        let values = [-9.0, -1.0, -0.1, 0.1, 0.9, 9.0, f32::NAN];
        assert_eq!(counts(&values, (-1.0, 1.0), 4), [2, 1, 1, 2]);
        assert_eq!(counts(&[3.0, 3.0], (3.0, 3.0), 3), [0, 2, 0]);
    }
}

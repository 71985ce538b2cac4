//! Curves over a common axis, in braille, with their ranges at the edges.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line};

use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;

/// How points are marked: the first set, the second, and so on.
pub const GLYPHS: [&str; 2] = ["●", "◇"];

/// A set of curves in one place.
pub struct Curves<'a> {
    /// What it shows, at its top left.
    pub title: &'a str,
    /// Lines through points `(x, y)`, and their colours.
    pub lines: &'a [(&'a [(f64, f64)], Color)],
    /// Single points and their colours, each set with a mark of its own ([`GLYPHS`]).
    pub points: &'a [(&'a [(f64, f64)], Color)],
    /// The ends of the horizontal axis. The first may be the larger: then it runs from right to left.
    pub x: (f64, f64),
    /// The ends of the vertical axis.
    pub y: (f64, f64),
    /// What stands at the ends of the horizontal axis.
    pub x_labels: (&'a str, &'a str),
    /// What stands at the ends of the vertical axis, lower end first.
    pub y_labels: (&'a str, &'a str),
    /// Where a vertical line marks the current place.
    pub mark: Option<f64>,
}

impl Curves<'_> {
    /// Draws title, curves and labels in `area`.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, theme: Theme) {
        if area.height < 4 || area.width < 16 {
            return;
        }
        buffer.set_stringn(
            area.x,
            area.y,
            self.title,
            usize::from(area.width),
            theme.title(),
        );
        let labels = text::width(self.y_labels.0).max(text::width(self.y_labels.1)) as u16 + 1;
        let plot = Rect {
            x: area.x + labels,
            y: area.y + 1,
            width: area.width - labels,
            height: area.height - 2,
        };
        let right_aligned =
            |label: &str| format!("{label:>width$} ", width = usize::from(labels) - 1);
        let style = theme.muted();
        buffer.set_string(area.x, plot.y, right_aligned(self.y_labels.1), style);
        let bottom = plot.bottom() - 1;
        buffer.set_string(area.x, bottom, right_aligned(self.y_labels.0), style);
        buffer.set_string(plot.x, plot.bottom(), self.x_labels.0, style);
        let right = text::width(self.x_labels.1) as u16;
        buffer.set_string(
            plot.right().saturating_sub(right),
            plot.bottom(),
            self.x_labels.1,
            style,
        );
        let flip = |x: f64| if self.x.0 > self.x.1 { -x } else { x };
        Canvas::default()
            .marker(Marker::Braille)
            .x_bounds([flip(self.x.0), flip(self.x.1)])
            .y_bounds([self.y.0, self.y.1])
            .paint(|context| {
                for (points, colour) in self.lines {
                    for pair in points.windows(2) {
                        context.draw(&Line {
                            x1: flip(pair[0].0),
                            y1: pair[0].1,
                            x2: flip(pair[1].0),
                            y2: pair[1].1,
                            color: *colour,
                        });
                    }
                }
                if let Some(x) = self.mark {
                    context.layer();
                    context.draw(&Line {
                        x1: flip(x),
                        y1: self.y.0,
                        x2: flip(x),
                        y2: self.y.1,
                        color: theme.accent_colour(),
                    });
                }
            })
            .render(plot, buffer);
        for ((points, colour), glyph) in self.points.iter().zip(GLYPHS.iter().cycle()) {
            for &(x, y) in *points {
                let across = (flip(x) - flip(self.x.0)) / (flip(self.x.1) - flip(self.x.0));
                let up = (y - self.y.0) / (self.y.1 - self.y.0);
                if [across, up]
                    .iter()
                    .any(|part| !(-0.001..=1.001).contains(part))
                {
                    continue;
                }
                let cell = |part: f64, cells: u16| {
                    let last = f64::from(cells.saturating_sub(1));
                    ((part * f64::from(cells)).floor().clamp(0.0, last)) as u16
                };
                let column = plot.x + cell(across, plot.width);
                let row = plot.y + cell(1.0 - up, plot.height);
                buffer[(column, row)]
                    .set_symbol(glyph)
                    .set_fg(*colour)
                    .modifier = Modifier::BOLD;
            }
        }
    }
}

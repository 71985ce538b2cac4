//! Curves over a common axis, in braille, with their ranges at the edges.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Line};

use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;

/// How points are marked: the first set, the second, and so on.
pub const GLYPHS: [&str; 2] = ["●", "◇"];

pub struct Curves<'a> {
    pub title: &'a str,
    /// Lines through points `(x, y)`, and their colours.
    pub lines: &'a [(&'a [(f64, f64)], Style)],
    /// Single points and their colours, each set with a mark of its own ([`GLYPHS`]).
    pub points: &'a [(&'a [(f64, f64)], Style)],
    /// The ends of the horizontal axis. The first may be the larger: then it runs from right to left.
    pub x: (f64, f64),
    pub y: (f64, f64),
    pub x_labels: (&'a str, &'a str),
    /// What stands at the ends of the vertical axis, lower end first.
    pub y_labels: (&'a str, &'a str),
    pub mark: Option<f64>,
}

impl Curves<'_> {
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, theme: Theme) {
        if area.height < 4 || area.width < 16 {
            return;
        }
        let columns = usize::from(area.width);
        buffer.set_stringn(area.x, area.y, self.title, columns, theme.title());
        let labels = text::width(self.y_labels.0).max(text::width(self.y_labels.1)) as u16 + 1;
        let (width, height) = (area.width - labels, area.height - 2);
        let plot = Rect::new(area.x + labels, area.y + 1, width, height);
        let right_aligned =
            |label: &str| format!("{label:>width$} ", width = usize::from(labels) - 1);
        let style = theme.muted();
        buffer.set_string(area.x, plot.y, right_aligned(self.y_labels.1), style);
        let bottom = plot.bottom() - 1;
        buffer.set_string(area.x, bottom, right_aligned(self.y_labels.0), style);
        buffer.set_string(plot.x, plot.bottom(), self.x_labels.0, style);
        let (_, right) = self.x_labels;
        let x = plot.right().saturating_sub(text::width(right) as u16);
        buffer.set_string(x, plot.bottom(), right, style);
        let flip = |x: f64| if self.x.0 > self.x.1 { -x } else { x };
        let between = |from: (f64, f64), to: (f64, f64), style: Style| {
            let colour = style.fg.unwrap_or_default();
            Line::new(flip(from.0), from.1, flip(to.0), to.1, colour)
        };
        Canvas::default()
            .marker(Marker::Braille)
            .x_bounds([flip(self.x.0), flip(self.x.1)])
            .y_bounds([self.y.0, self.y.1])
            .paint(|context| {
                for (points, style) in self.lines {
                    for pair in points.windows(2) {
                        context.draw(&between(pair[0], pair[1], *style));
                    }
                }
                if let Some(x) = self.mark {
                    context.layer();
                    context.draw(&between((x, self.y.0), (x, self.y.1), theme.accent()));
                }
            })
            .render(plot, buffer);
        self.draw_points(buffer, plot);
    }

    fn draw_points(&self, buffer: &mut Buffer, plot: Rect) {
        let flip = |x: f64| if self.x.0 > self.x.1 { -x } else { x };
        for ((points, style), glyph) in self.points.iter().zip(GLYPHS.iter().cycle()) {
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
                let cell = buffer[(column, row)].set_symbol(glyph);
                cell.set_fg(style.fg.unwrap_or_default()).modifier = Modifier::BOLD;
            }
        }
    }
}

//! The run as a line from noise to picture, with where we are.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::lesson::{Language, Said};
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;

/// Where a run stands and what of it is looked at.
pub struct Timeline<'a> {
    /// The step looked at, from 0; `None` before the first.
    pub current: Option<usize>,
    pub done: usize,
    pub total: usize,
    pub finished: bool,
    pub status: &'a str,
    pub language: Language,
}

/// What stands at the left of the line, equally wide in both languages: a click finds the same step.
const START: Said = [" noise ├", "  噪声 ├"];

impl Timeline<'_> {
    /// The step nearest to column `x` of a line of `total` steps in `area`; `None` beside the line.
    pub fn step_at(area: Rect, total: usize, x: u16) -> Option<usize> {
        let (start, end) = line(area)?;
        if !(start..end).contains(&x) || total == 0 {
            return None;
        }
        let length = usize::from(end - start);
        let across = usize::from(x - start) as f64 / (length - 1).max(1) as f64;
        Some((across * (total - 1) as f64).round() as usize)
    }

    pub fn draw(&self, buffer: &mut Buffer, area: Rect, theme: Theme) {
        if area.width < 30 || area.height == 0 {
            return;
        }
        let total = self.total;
        let count = self
            .language
            .choose(match self.current.map(|current| current + 1) {
                Some(step) => [
                    format!("step {step:>2} / {total}"),
                    format!("第 {step:>2} / {total} 步"),
                ],
                None => [format!("{total} steps"), format!("{total} 步")],
            });
        let right = format!("{count}   {}", self.status);
        let room = usize::from(area.width);
        let right_room = right_room(area);
        let right = text::truncate(&right, right_room);
        let right_x = area.right() - right_room as u16;
        buffer.set_stringn(right_x, area.y, &right, right_room, theme.text());
        let noise = self.language.choose(START);
        buffer.set_stringn(area.x, area.y, noise, room, theme.muted());
        let Some((start, end)) = line(area) else {
            return;
        };
        let length = usize::from(end - start);
        let column = |step: usize| step * (length - 1) / (self.total.max(2) - 1);
        let reached = self.done.checked_sub(1).map(column);
        for index in 0..length {
            let (symbol, style) = match reached {
                Some(reached) if index <= reached => ("━", theme.muted()),
                _ => ("─", theme.rule()),
            };
            buffer.set_string(start + index as u16, area.y, symbol, style);
        }
        if let Some(current) = self.current {
            let x = start + column(current) as u16;
            buffer.set_string(x, area.y, "●", theme.accent());
        }
        let style = if self.finished {
            theme.text()
        } else {
            theme.muted()
        };
        buffer.set_string(end, area.y, "┤ ", theme.muted());
        let picture = self.language.choose(["picture", "图片"]);
        buffer.set_string(end + 2, area.y, picture, style);
    }
}

/// Columns for what stands at the right: at least a third of the row is line, and it does not move while numbers
/// change.
fn right_room(area: Rect) -> usize {
    (usize::from(area.width) * 11 / 20).min(46)
}

/// The first column of the line, and the one after its last.
fn line(area: Rect) -> Option<(u16, u16)> {
    let start = area.x + text::width(START[0]) as u16;
    let end = (area.right().saturating_sub(right_room(area) as u16)).saturating_sub(11);
    (end > start + 2).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_begins_at_the_same_column_in_both_languages() {
        assert_eq!(text::width(START[0]), text::width(START[1]));
    }

    #[test]
    fn a_click_on_the_line_finds_the_step_that_is_drawn_there() {
        let area = Rect::new(0, 0, 120, 1);
        let (start, end) = line(area).unwrap();
        assert_eq!(Timeline::step_at(area, 25, start), Some(0));
        assert_eq!(Timeline::step_at(area, 25, end - 1), Some(24));
        assert_eq!(Timeline::step_at(area, 25, start - 1), None);
        assert_eq!(Timeline::step_at(area, 1, end - 1), Some(0));
    }
}

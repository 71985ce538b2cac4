//! The run as a line from noise to picture, with where we are.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::text;
use crate::tui::theme::Theme;

/// Where a run stands and what of it is looked at.
pub struct Timeline<'a> {
    /// The step looked at, from 0; `None` before the first.
    pub current: Option<usize>,
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// Is the picture there?
    pub finished: bool,
    /// What stands at the right.
    pub status: &'a str,
}

impl Timeline<'_> {
    /// Draws the line in one row.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, theme: Theme) {
        if area.width < 30 || area.height == 0 {
            return;
        }
        let count = match self.current {
            Some(current) => format!("step {:>2} / {}", current + 1, self.total),
            None => format!("{} steps", self.total),
        };
        let right = format!("{count}   {}", self.status);
        // At least a third of the row is line, and what stands at the right does not move it while numbers change.
        let room = usize::from(area.width);
        let right_room = (room * 11 / 20).min(46);
        let right = text::truncate(&right, right_room);
        let right_x = area.right() - right_room as u16;
        buffer.set_stringn(right_x, area.y, &right, right_room, theme.text());
        let (start, _) = buffer.set_stringn(area.x, area.y, " noise ├", room, theme.muted());
        let end = right_x.saturating_sub(11);
        if end <= start + 2 {
            return;
        }
        let length = usize::from(end - start);
        let column = |step: usize| {
            if self.total < 2 {
                0
            } else {
                step * (length - 1) / (self.total - 1)
            }
        };
        let reached = self.done.checked_sub(1).map(column);
        for index in 0..length {
            let cell = &mut buffer[(start + index as u16, area.y)];
            if reached.is_some_and(|reached| index <= reached) {
                cell.set_symbol("━").set_style(theme.muted());
            } else {
                cell.set_symbol("─").set_style(theme.rule());
            }
        }
        if let Some(current) = self.current {
            let x = start + column(current) as u16;
            buffer[(x, area.y)]
                .set_symbol("●")
                .set_style(theme.accent());
        }
        let style = if self.finished {
            theme.text()
        } else {
            theme.muted()
        };
        buffer.set_string(end, area.y, "┤ ", theme.muted());
        buffer.set_string(end + 2, area.y, "picture", style);
    }
}

//! The list of lessons, over the view.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::state::App;
use crate::tui::state::lesson::messages;
use crate::tui::ui::text::{clean, fit, width};
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::choice;

/// Draws the list in `area`, with the row `selected` marked.
pub fn draw(buffer: &mut Buffer, area: Rect, selected: usize, app: &App, theme: Theme) {
    let room = usize::from(area.width);
    let language = app.lesson.language;
    let title = language.choose(messages::LESSONS);
    buffer.set_stringn(area.x, area.y, title, room, theme.accent());
    let other = language.choose(["English · v 中文", "中文 · v English"]);
    let x = area.right().saturating_sub(width(other) as u16);
    buffer.set_string(x, area.y, other, theme.muted());
    let (reading, progress) = (app.lesson.open.as_ref(), &app.lesson.progress);
    let rows = app
        .lesson
        .lessons()
        .into_iter()
        .enumerate()
        .map(|(index, lesson)| {
            let (solved, all) = progress.solved(&lesson);
            let is_read = reading.is_some_and(|reading| reading.lesson.id == lesson.id);
            let mark = match (
                is_read,
                all > 0 && solved == all,
                progress.is_begun(&lesson),
            ) {
                (true, _, _) => "●",
                (_, true, _) => "✓",
                (_, _, true) => "◐",
                _ => "○",
            };
            let right = language.choose(messages::progress(solved, all, lesson.minutes));
            let title = format!("{mark} {:>2}  {}", index + 1, clean(&lesson.title));
            let title = fit(&title, room.saturating_sub(width(&right)));
            (format!("{title}{right}"), theme.text())
        });
    choice::draw(buffer, area, selected, rows, theme);
}

//! A few alternatives in one row, the chosen one marked, and the key that goes on to the next.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::ui::theme::Theme;

/// Draws `key` and then `names` in the first row of `area`, the one at `selected` with the accent; returns the column
/// after the last one.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    key: &str,
    names: &[&str],
    selected: usize,
    theme: Theme,
) -> u16 {
    if area.is_empty() {
        return area.x;
    }
    let room = |x: u16| usize::from(area.right().saturating_sub(x));
    let mut x = area.x;
    if !key.is_empty() {
        (x, _) = buffer.set_stringn(x, area.y, key, room(x), theme.title());
        x = (x + 1).min(area.right());
    }
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            (x, _) = buffer.set_stringn(x, area.y, " · ", room(x), theme.rule());
        }
        let style = theme.accent_if(index == selected, theme.muted());
        (x, _) = buffer.set_stringn(x, area.y, name, room(x), style);
    }
    x
}

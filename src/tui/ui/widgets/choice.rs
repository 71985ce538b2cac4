//! Rows to choose from.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::ui::area::{below, scroll};
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;

/// Draws `rows` with the one at `selected` marked, below the title at the top of `area`.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    selected: usize,
    rows: impl ExactSizeIterator<Item = (String, Style)>,
    theme: Theme,
) {
    let places = below(area, 2).rows();
    let first = scroll(
        selected,
        rows.len(),
        usize::from(area.height.saturating_sub(2)).max(1),
    );
    for ((index, (caption, style)), place) in rows.enumerate().skip(first).zip(places) {
        let caption = text::fit(&caption, area.width.into());
        let style = theme.selected_if(index == selected, style);
        buffer.set_string(place.x, place.y, caption, style);
    }
}

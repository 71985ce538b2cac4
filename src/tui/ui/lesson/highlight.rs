//! Finds a text on the screen, to mark it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::ui::text;

/// The places at which `wanted` stands within `area`: each in one row.
pub fn find(buffer: &Buffer, area: Rect, wanted: &str) -> Vec<Rect> {
    let mut places = Vec::new();
    if wanted.is_empty() {
        return places;
    }
    for y in area.top()..area.bottom() {
        // A character of two columns is in the first of its cells; the second is none of the text.
        let (mut row, mut columns) = (String::new(), Vec::new());
        let mut x = area.left();
        while x < area.right() {
            let symbol = buffer[(x, y)].symbol();
            columns.resize(row.len() + symbol.len(), x);
            row.push_str(symbol);
            x += (text::width(symbol) as u16).max(1);
        }
        for (at, found) in row.match_indices(wanted) {
            let x = columns[at];
            let width = (text::width(found) as u16).min(area.right() - x);
            places.push(Rect::new(x, y, width, 1));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_stands_whole() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 3));
        buffer.set_string(1, 0, "苹果 18376", Style::new());
        buffer.set_string(15, 2, "18376", Style::new());
        let area = buffer.area;
        let found = find(&buffer, area, "18376");
        assert_eq!(found, [Rect::new(6, 0, 5, 1), Rect::new(15, 2, 5, 1)]);
        assert_eq!(find(&buffer, area, "苹果"), [Rect::new(1, 0, 4, 1)]);
        assert!(find(&buffer, area, "3760").is_empty());
        assert!(find(&buffer, area, "").is_empty());
    }
}

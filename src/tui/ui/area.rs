//! Parts of an area of the screen, and the rows that one shows.

use ratatui::layout::Rect;

/// `area` without its first `rows` rows.
pub fn below(area: Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    Rect {
        y: area.y + rows,
        height: area.height - rows,
        ..area
    }
}

/// The first `rows` rows of `area`.
pub fn top(area: Rect, rows: u16) -> Rect {
    Rect {
        height: rows.min(area.height),
        ..area
    }
}

/// The first `columns` columns of `area`.
pub fn left(area: Rect, columns: u16) -> Rect {
    let width = columns.min(area.width);
    Rect { width, ..area }
}

/// `area` from column `x` on.
pub fn right_of(area: Rect, x: u16) -> Rect {
    let x = x.min(area.right());
    let width = area.right() - x;
    Rect { x, width, ..area }
}

/// The first `width` columns of `area`, and what is left of it after a gap.
pub fn split(area: Rect, width: u16, gap: u16) -> (Rect, Rect) {
    (left(area, width), right_of(area, area.x + width + gap))
}

/// `count` columns of equal width with gaps between them.
pub fn columns(area: Rect, count: u16, gap: u16) -> Vec<Rect> {
    let width = (area.width + gap) / count.max(1);
    let start = |index| right_of(area, area.x + index * width);
    let places = (0..count).map(|index| left(start(index), width.saturating_sub(gap)));
    places.collect()
}

/// The first of `rows` visible ones among `count`, so that `selected` is in their middle where that is possible.
pub fn scroll(selected: usize, count: usize, rows: usize) -> usize {
    selected
        .saturating_sub(rows / 2)
        .min(count.saturating_sub(rows))
}

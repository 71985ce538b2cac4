//! The explanation pane: what happens in the view at hand, at three depths.

mod text;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Clear, Widget};

use super::text::{truncate, width, wrap_words};
use super::theme::Theme;
use crate::lesson::Depth;
use crate::tui::state::{View, deeper};

/// Columns of the pane at the right.
const COLUMNS: u16 = 42;
/// Views that are narrower have the pane beneath them.
const WIDE: u16 = 96;
/// Rows that are left to the view.
const ROWS_OF_VIEW: u16 = 4;

/// What the screen calls `depth`.
fn name(depth: Depth) -> &'static str {
    ["idea", "mechanism", "formula"][depth as usize]
}

/// What there is to say of `view` at `depth`: paragraphs, one a line. A line that begins with two spaces is a formula;
/// one that begins with `Source:` says where it is from.
pub fn explanation(view: View, depth: Depth) -> &'static str {
    macro_rules! of {
        ($stage:ident) => {
            match depth {
                Depth::Idea => text::$stage::IDEA,
                Depth::Mechanism => text::$stage::MECHANISM,
                Depth::Mathematics => text::$stage::FORMULA,
            }
        };
    }
    match view {
        View::Prompt => of!(prompt),
        View::Tokens => of!(tokens),
        View::Embedding => of!(embedding),
        View::TextEncoder => of!(text_encoder),
        View::Noise => of!(noise),
        View::Schedule => of!(schedule),
        View::Denoising => of!(denoising),
        View::Attention => of!(attention),
        View::Image => of!(image),
    }
}

/// Where an explanation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pane {
    /// Its place, with the rule that parts it from the view.
    pub area: Rect,
    /// Is it at the view's right, and not beneath it?
    beside: bool,
}

/// Divides the place of a view: what is left to the view, and the pane, at the right where there is room and beneath it
/// otherwise.
pub fn split(area: Rect, view: View, depth: Depth) -> (Rect, Pane) {
    let beside = area.width >= WIDE;
    let (left, pane) = if beside {
        let columns = COLUMNS + (area.width - WIDE) / 6;
        let width = area.width - columns - 2;
        let pane = Rect {
            x: area.x + width + 2,
            width: columns,
            ..area
        };
        (Rect { width, ..area }, pane)
    } else {
        let columns = usize::from(area.width);
        let needed = lines(view, depth, columns, true, Theme::default()).len() as u16 + 2;
        let rows = needed.min(area.height.saturating_sub(ROWS_OF_VIEW));
        let height = area.height - rows;
        let pane = Rect {
            y: area.y + height,
            height: rows,
            ..area
        };
        (Rect { height, ..area }, pane)
    };
    (left, Pane { area: pane, beside })
}

impl Pane {
    /// Draws the explanation of `view` over whatever was there.
    pub fn draw(&self, buffer: &mut Buffer, view: View, depth: Depth, theme: Theme) {
        let area = self.area.intersection(buffer.area);
        if area.width < 12 || area.height < 3 {
            return;
        }
        Clear.render(area, buffer);
        let inner = if self.beside {
            for y in area.top()..area.bottom() {
                buffer.set_string(area.x, y, "│", theme.rule());
            }
            Rect {
                x: area.x + 2,
                width: area.width - 2,
                ..area
            }
        } else {
            for x in area.left()..area.right() {
                buffer.set_string(x, area.y, "─", theme.rule());
            }
            Rect {
                y: area.y + 1,
                height: area.height - 1,
                ..area
            }
        };
        draw_depths(buffer, inner, depth, theme);
        let columns = usize::from(inner.width);
        let rows = usize::from(inner.height - 1);
        let mut lines = lines(view, depth, columns, true, theme);
        if lines.len() > rows {
            lines = self::lines(view, depth, columns, false, theme);
        }
        let gap = usize::from(rows > lines.len());
        for (row, (words, style)) in lines.iter().enumerate().take(rows - gap) {
            let y = inner.y + (1 + gap + row) as u16;
            buffer.set_stringn(inner.x, y, words, columns, *style);
        }
        if lines.len() > rows {
            buffer.set_string(inner.right() - 1, inner.bottom() - 1, "…", theme.accent());
        }
    }
}

/// The depths in a row, the one that is shown marked, and what the key does next.
fn draw_depths(buffer: &mut Buffer, area: Rect, depth: Depth, theme: Theme) {
    let mut x = area.x;
    let room = |x: u16| usize::from(area.right().saturating_sub(x));
    for each in Depth::ALL {
        let style = if each == depth {
            theme.accent()
        } else {
            theme.muted()
        };
        (x, _) = buffer.set_stringn(x, area.y, name(each), room(x), style);
        if each != Depth::Mathematics {
            (x, _) = buffer.set_stringn(x, area.y, " › ", room(x), theme.rule());
        }
    }
    let hint = if deeper(depth).is_some() {
        "i deeper"
    } else {
        "i closes"
    };
    let start = area.right().saturating_sub(width(hint) as u16);
    if start > x + 1 {
        buffer.set_string(start, area.y, hint, theme.muted());
    }
}

/// The explanation in lines of at most `columns` columns, with or without `gaps` between paragraphs.
fn lines(
    view: View,
    depth: Depth,
    columns: usize,
    gaps: bool,
    theme: Theme,
) -> Vec<(String, Style)> {
    let mut lines = Vec::new();
    let mut was_formula = true;
    for paragraph in explanation(view, depth).lines() {
        let is_formula = paragraph.starts_with("  ");
        if gaps && !lines.is_empty() && !(is_formula && was_formula) {
            lines.push((String::new(), theme.text()));
        }
        if is_formula {
            lines.push((truncate(paragraph, columns), theme.title()));
        } else {
            let style = if paragraph.starts_with("Source:") {
                theme.muted()
            } else {
                theme.text()
            };
            let wrapped = wrap_words(paragraph, columns).into_iter();
            lines.extend(wrapped.map(|line| (line, style)));
        }
        was_formula = is_formula;
    }
    lines
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Cell;

    use super::*;

    fn place(size: (u16, u16)) -> Rect {
        // What the screen leaves to a view.
        let rail = if size.0 >= 100 { 20 } else { 13 };
        Rect::new(rail, 2, size.0 - rail, size.1 - 5)
    }

    #[test]
    fn every_view_is_explained_at_every_depth_and_every_formula_has_a_source() {
        for view in View::ALL {
            for depth in Depth::ALL {
                let words = explanation(view, depth);
                assert!(words.len() > 200, "{view:?} {depth:?}");
                assert_eq!(
                    depth == Depth::Mathematics,
                    words.contains("\nSource: ") && words.starts_with("  "),
                    "{view:?} {depth:?}"
                );
            }
        }
    }

    #[test]
    fn explanations_fit_their_pane() {
        for size in [(80, 24), (120, 40), (200, 60)] {
            for view in View::ALL {
                for depth in Depth::ALL {
                    let (left, pane) = split(place(size), view, depth);
                    assert!(left.area() > 0 && left.intersection(pane.area).is_empty());
                    let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
                    pane.draw(&mut buffer, view, depth, Theme::default());
                    let shown: Vec<&str> = buffer.content.iter().map(Cell::symbol).collect();
                    let shown = shown.concat();
                    assert!(!shown.contains('…') || depth == Depth::Mathematics);
                    for line in explanation(view, depth).lines() {
                        let formula = line.starts_with("  ");
                        let last = line.split_whitespace().last().unwrap();
                        let expected = if formula { line } else { last };
                        assert!(
                            shown.contains(expected),
                            "{view:?} {depth:?} at {size:?} lacks {expected:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_key_goes_down_through_the_depths_and_out() {
        let mut depth = Some(Depth::default());
        let mut names = Vec::new();
        while let Some(now) = depth {
            names.push(name(now));
            depth = deeper(now);
        }
        assert_eq!(names, ["idea", "mechanism", "formula"]);
    }
}

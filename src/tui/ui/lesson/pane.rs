//! The lesson's pane, beside the view or beneath it: its title, the part of the page that it shows, and its keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Clear, Widget};

use super::page::{Lines, lines};
use crate::lesson::{Depth, Language};
use crate::tui::keys;
use crate::tui::state::App;
use crate::tui::state::lesson::{Messages, OpenLesson, Scroll};
use crate::tui::ui::text::{clean, truncate, width};
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::key_line;

/// Columns of the pane at the right.
const COLUMNS: u16 = 46;
/// Views that are narrower have the pane beneath them.
const WIDE: u16 = 96;
/// Rows that are left to the view above the pane.
const ROWS_OF_VIEW: u16 = 8;

/// Where the lesson stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pane {
    /// Its place, with the rule that parts it from the view.
    pub area: Rect,
    /// Is it at the view's right, and not beneath it?
    beside: bool,
}

/// Divides the place of a view: what is left to the view, and the pane, at the right where there is room and beneath it
/// otherwise; there it takes no more rows than it needs.
pub fn split(area: Rect, reading: &OpenLesson, language: Language) -> (Rect, Pane) {
    let beside = area.width >= WIDE && !reading.folded;
    if beside {
        let columns = COLUMNS + (area.width - WIDE) / 5;
        let view = Rect {
            width: area.width - columns - 2,
            ..area
        };
        let pane = Rect {
            x: view.right() + 2,
            width: columns,
            ..area
        };
        (view, Pane { area: pane, beside })
    } else {
        let most = area
            .height
            .saturating_sub(ROWS_OF_VIEW.max(area.height / 3));
        let needed = if reading.folded {
            0
        } else {
            let lines = lines(reading, area.width.into(), Theme::default(), language);
            lines.written.len() as u16
        };
        let rows = (needed + 2).min(most);
        let view = Rect {
            height: area.height - rows,
            ..area
        };
        let pane = Rect {
            y: view.bottom(),
            height: rows,
            ..area
        };
        (view, Pane { area: pane, beside })
    }
}

impl Pane {
    /// The place of the text: without the rule, the title and the keys.
    fn text(self) -> Rect {
        let inner = self.inner();
        Rect {
            y: inner.y + self.frame(),
            height: inner.height.saturating_sub(2 * self.frame()),
            ..inner
        }
    }

    /// Rows of the title, and of the keys.
    fn frame(self) -> u16 {
        if self.beside { 2 } else { 1 }
    }

    fn inner(self) -> Rect {
        if self.beside {
            Rect {
                x: self.area.x + 2,
                width: self.area.width.saturating_sub(2),
                ..self.area
            }
        } else {
            self.area
        }
    }

    /// Rows of text that it shows at once.
    fn rows(self) -> usize {
        self.text().height.into()
    }

    /// The scroll of the page, with what `reading` asks for.
    pub fn scroll(self, reading: &OpenLesson, language: Language) -> usize {
        let lines = lines(
            reading,
            self.text().width.into(),
            Theme::default(),
            language,
        );
        self.scroll_in(&lines, reading)
    }

    fn scroll_in(self, lines: &Lines, reading: &OpenLesson) -> usize {
        let rows = self.rows();
        let last = lines.written.len().saturating_sub(rows);
        let now = reading.scroll.min(last);
        let page = rows.saturating_sub(1).max(1);
        match reading.scrolling {
            None => now,
            Some(Scroll::PageDown) => (now + page).min(last),
            Some(Scroll::PageUp) => now.saturating_sub(page),
            Some(Scroll::To(spot)) => {
                let place = lines.of(spot);
                let is_seen = place.start >= now && place.end <= now + rows;
                if is_seen { now } else { place.start.min(last) }
            }
        }
    }

    /// Draws the lesson over whatever was there.
    pub fn draw(self, buffer: &mut Buffer, app: &App, reading: &OpenLesson, theme: Theme) {
        let area = self.area.intersection(buffer.area);
        if area.width < 12 || area.height < 2 {
            return;
        }
        Clear.render(area, buffer);
        let inner = self.inner();
        if self.beside {
            for y in area.top()..area.bottom() {
                buffer.set_string(area.x, y, "│", theme.rule());
            }
        } else {
            for x in area.left()..area.right() {
                buffer.set_string(x, area.y, "─", theme.rule());
            }
        }
        let text = self.text();
        let language = app.lesson.language;
        let lines = lines(reading, text.width.into(), theme, language);
        let scroll = self.scroll_in(&lines, reading);
        let lines = lines.written;
        let last = lines.len().saturating_sub(self.rows());
        draw_title(buffer, top(inner, self.frame()), reading, (theme, language));
        for (row, line) in lines.iter().skip(scroll).take(self.rows()).enumerate() {
            buffer.set_line(text.x, text.y + row as u16, line, text.width);
        }
        let keys = Rect {
            y: inner.bottom() - 1,
            height: 1,
            ..inner
        };
        let words = Messages::of(language);
        let name = |english| words.name(english);
        let mut bindings = keys::in_lesson(app);
        if last > 0 {
            // The arrow stands for it.
            bindings.retain(|binding| binding.keys != "pgdn");
        }
        if self.beside {
            let upper = Rect {
                y: keys.y - 1,
                ..keys
            };
            bindings = key_line::draw_named(buffer, upper, (&bindings, &[]), name, theme);
        }
        let more = match (scroll > 0, scroll < last) {
            (true, true) => " pgdn ↑↓",
            (true, false) => " pgdn ↑",
            (false, true) => " pgdn ↓",
            (false, false) => "",
        };
        let x = keys.right().saturating_sub(width(more) as u16).max(keys.x);
        let room = Rect {
            width: x - keys.x,
            ..keys
        };
        key_line::draw_named(buffer, room, (&bindings, &[]), name, theme);
        let room = usize::from(keys.right() - x);
        buffer.set_stringn(x, keys.y, more, room, theme.accent());
    }
}

/// The first `rows` rows of `area`.
fn top(area: Rect, rows: u16) -> Rect {
    Rect {
        height: rows.min(area.height),
        ..area
    }
}

/// The lesson's title, the page's number and the depth; the depth in a row of its own where there are two.
fn draw_title(
    buffer: &mut Buffer,
    area: Rect,
    reading: &OpenLesson,
    (theme, language): (Theme, Language),
) {
    let mut right: Vec<(String, Style)> = Vec::new();
    for depth in Depth::ALL {
        let name = Messages::of(language).depth(depth);
        let style = if depth == reading.depth {
            theme.accent()
        } else {
            theme.muted()
        };
        right.push((format!(" {name}"), style));
    }
    let columns: usize = right.iter().map(|(words, _)| width(words)).sum();
    let count = reading.lesson.pages.len();
    let title = format!(
        "{}/{count} {} ",
        reading.page + 1,
        clean(&reading.lesson.title)
    );
    let whole = usize::from(area.width);
    let (room, mut x) = if area.height > 1 && columns + width(&title) > whole {
        // Without the space that parts it from the title.
        (whole, area.x.saturating_sub(1))
    } else {
        let room = whole.saturating_sub(columns);
        (room, area.right().saturating_sub(columns as u16))
    };
    buffer.set_stringn(area.x, area.y, truncate(&title, room), room, theme.title());
    let y = if room == whole {
        area.bottom() - 1
    } else {
        area.y
    };
    for (words, style) in right {
        let room = usize::from(area.right().saturating_sub(x));
        (x, _) = buffer.set_stringn(x, y, words, room, style);
    }
}

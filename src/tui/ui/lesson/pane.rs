//! The pane of a lesson or of a view's explanation, at the view's right or beneath it. A lesson has its title, the part
//! of the page that it shows, and its keys.

use ratatui::buffer::Buffer;
use ratatui::layout::{Offset, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Clear, Widget};

use super::page::{Lines, lines};
use crate::lesson::{Depth, Language};
use crate::tui::keys;
use crate::tui::state::App;
use crate::tui::state::lesson::{OpenLesson, Scroll, messages};
use crate::tui::ui::area;
use crate::tui::ui::text::{clean, truncate, width};
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::key_line;

/// Columns of the pane at the right.
const COLUMNS: u16 = 46;
/// Views that are narrower have the pane beneath them.
const WIDE: u16 = 96;
/// Rows that are left to the view above a lesson.
const ROWS_OF_VIEW: u16 = 8;

/// Where a lesson or an explanation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pane {
    /// Its place, with the rule that parts it from the view.
    pub area: Rect,
    /// Is it at the view's right, and not beneath it?
    beside: bool,
}

/// Divides the place of a view: what is left to the view, and the lesson's pane.
pub fn split(area: Rect, reading: &OpenLesson, language: Language) -> (Rect, Pane) {
    let least = ROWS_OF_VIEW.max(area.height / 3);
    if reading.folded {
        return beneath(area, least, 2);
    }
    divide(area, least, || {
        let lines = lines(reading, area.width.into(), Theme::default(), language);
        lines.written.len() as u16 + 2
    })
}

/// Divides the place of a view: what is left to the view, and the pane, at the right where there is room and beneath it
/// otherwise; there it takes no more rows than are `needed`, and leaves `least` to the view.
pub(super) fn divide(area: Rect, least: u16, needed: impl FnOnce() -> u16) -> (Rect, Pane) {
    if area.width < WIDE {
        return beneath(area, least, needed());
    }
    let columns = COLUMNS + (area.width - WIDE) / 5;
    let (view, area) = area::split(area, area.width - columns - 2, 2);
    (view, Pane { area, beside: true })
}

fn beneath(area: Rect, least: u16, needed: u16) -> (Rect, Pane) {
    let rows = needed.min(area.height.saturating_sub(least));
    let view = area::top(area, area.height - rows);
    let area = area::below(area, view.height);
    let beside = false;
    (view, Pane { area, beside })
}

impl Pane {
    /// The place of a lesson's text: without the rule, the title and the keys.
    fn text(self) -> Rect {
        let height = self.inner().height.saturating_sub(2 * self.frame());
        area::top(area::below(self.inner(), self.frame()), height)
    }

    /// Rows of the title, and of the keys.
    fn frame(self) -> u16 {
        if self.beside { 2 } else { 1 }
    }

    /// Beneath the view, the title stands on the rule.
    fn inner(self) -> Rect {
        area::right_of(self.area, self.area.x + if self.beside { 2 } else { 0 })
    }

    pub(super) fn columns(self) -> u16 {
        self.text().width
    }

    /// Rows of text that it shows at once.
    pub(super) fn rows(self) -> usize {
        self.text().height.into()
    }

    /// The scroll of the page, with what `reading` asks for.
    pub fn scroll(self, reading: &OpenLesson, language: Language) -> usize {
        let columns = usize::from(self.columns());
        let lines = lines(reading, columns, Theme::default(), language);
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

    pub fn draw(self, buffer: &mut Buffer, app: &App, reading: &OpenLesson, theme: Theme) {
        let language = app.lesson.language;
        let lines = lines(reading, self.columns().into(), theme, language);
        let scroll = self.scroll_in(&lines, reading);
        let lines = lines.written;
        let last = lines.len().saturating_sub(self.rows());
        let count = reading.lesson.pages.len();
        let title = clean(&reading.lesson.title);
        let title = format!("{}/{count} {title} ", reading.page + 1);
        let depths = (&language.choose(messages::DEPTHS), reading.depth);
        if self.draw_page(buffer, &title, depths, &lines[scroll..], theme) {
            self.draw_keys(buffer, app, (scroll, last), theme);
        }
    }

    /// Draws a page over whatever was there, with its title and the depth at hand; answers whether it has room.
    pub(super) fn draw_page(
        self,
        buffer: &mut Buffer,
        title: &str,
        depths: (&[&str; 3], Depth),
        lines: &[Line],
        theme: Theme,
    ) -> bool {
        let area = self.area.intersection(buffer.area);
        if area.width < 12 || area.height < 2 {
            return false;
        }
        Clear.render(area, buffer);
        let side = if self.beside {
            Borders::LEFT
        } else {
            Borders::TOP
        };
        Block::new()
            .borders(side)
            .border_style(theme.rule())
            .render(area, buffer);
        let heading = area::top(self.inner(), self.frame());
        draw_title(buffer, heading, title, depths, theme);
        for (place, line) in self.text().rows().zip(lines) {
            buffer.set_line(place.x, place.y, line, place.width);
        }
        true
    }

    /// The last row of the pane: keys.
    pub(super) fn footer(self) -> Rect {
        area::below(self.inner(), self.area.height - 1)
    }

    /// The lesson's keys, and whether there is more of the page above or below what is shown.
    fn draw_keys(
        self,
        buffer: &mut Buffer,
        app: &App,
        (scroll, last): (usize, usize),
        theme: Theme,
    ) {
        let language = app.lesson.language;
        let keys = self.footer();
        let mut bindings = keys::in_lesson(app);
        if last > 0 {
            // The arrow stands for it.
            bindings.retain(|binding| binding.keys != "pgdn");
        }
        if self.beside {
            let upper = keys.offset(Offset::new(0, -1));
            bindings = key_line::draw(buffer, upper, [&bindings, &[]], language, theme);
        }
        let more = match (scroll > 0, scroll < last) {
            (true, true) => " pgdn ↑↓",
            (true, false) => " pgdn ↑",
            (false, true) => " pgdn ↓",
            (false, false) => "",
        };
        let x = keys.right().saturating_sub(width(more) as u16).max(keys.x);
        let room = area::left(keys, x - keys.x);
        key_line::draw(buffer, room, [&bindings, &[]], language, theme);
        let room = usize::from(keys.right() - x);
        buffer.set_stringn(x, keys.y, more, room, theme.accent());
    }
}

/// The title and the depth; the depth in a row of its own where there are two.
fn draw_title(
    buffer: &mut Buffer,
    area: Rect,
    title: &str,
    (depths, depth): (&[&str; 3], Depth),
    theme: Theme,
) {
    let columns: usize = depths.iter().map(|name| width(name) + 1).sum();
    let whole = usize::from(area.width);
    let (room, mut x) = if area.height > 1 && columns + width(title) > whole {
        // Without the space that parts it from the title.
        (whole, area.x.saturating_sub(1))
    } else {
        let room = whole.saturating_sub(columns);
        (room, area.right().saturating_sub(columns as u16))
    };
    buffer.set_stringn(area.x, area.y, truncate(title, room), room, theme.title());
    let y = if room == whole {
        area.bottom() - 1
    } else {
        area.y
    };
    for (name, each) in depths.iter().zip(Depth::ALL) {
        let style = theme.accent_if(each == depth, theme.muted());
        let room = usize::from(area.right().saturating_sub(x));
        (x, _) = buffer.set_stringn(x, y, format!(" {name}"), room, style);
    }
}

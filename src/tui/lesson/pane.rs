//! The lesson's pane: prose, claims and exercise, beside the view or beneath it.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::joining::joined;
use super::markdown;
use super::reading::{Reading, Standing};
use super::solution::solution;
use super::words::Words;
use crate::lesson::{Depth, ExerciseKind, Form, Language};
use crate::tui::app::App;
use crate::tui::keys;
use crate::tui::text::{clean, truncate, width};
use crate::tui::theme::Theme;
use crate::tui::widgets::key_line;

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
pub fn split(area: Rect, reading: &Reading, language: Language) -> (Rect, Pane) {
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
    pub fn rows(self) -> usize {
        self.text().height.into()
    }

    /// The largest scroll that shows something.
    pub fn last_scroll(self, reading: &Reading, language: Language) -> usize {
        let lines = self.lines(reading, language);
        lines.written.len().saturating_sub(self.rows())
    }

    /// The scroll at which `spot` is seen: the one that there is, if it is seen already.
    pub fn scroll_to(self, spot: Spot, reading: &Reading, language: Language) -> usize {
        let lines = self.lines(reading, language);
        let last = lines.written.len().saturating_sub(self.rows());
        let now = reading.scroll.min(last);
        let place = match spot {
            Spot::Depth => &lines.depth,
            Spot::Exercise => &lines.exercise,
            Spot::News => &lines.news,
        };
        if place.start >= now && place.end <= now + self.rows() {
            now
        } else {
            place.start.min(last)
        }
    }

    fn lines(self, reading: &Reading, language: Language) -> Lines {
        let columns = usize::from(self.text().width);
        lines(reading, columns, Theme::default(), language)
    }

    /// Draws the lesson over whatever was there.
    pub fn draw(self, buffer: &mut Buffer, app: &App, reading: &Reading) {
        let area = self.area.intersection(buffer.area);
        if area.width < 12 || area.height < 2 {
            return;
        }
        let theme = app.theme;
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
        let language = app.classroom.language;
        let lines = lines(reading, text.width.into(), theme, language).written;
        let last = lines.len().saturating_sub(self.rows());
        let scroll = reading.scroll.min(last);
        draw_title(buffer, top(inner, self.frame()), reading, (theme, language));
        for (row, line) in lines.iter().skip(scroll).take(self.rows()).enumerate() {
            buffer.set_line(text.x, text.y + row as u16, line, text.width);
        }
        let keys = Rect {
            y: inner.bottom() - 1,
            height: 1,
            ..inner
        };
        let words = Words::of(language);
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
    reading: &Reading,
    (theme, language): (Theme, Language),
) {
    let mut right: Vec<(String, Style)> = Vec::new();
    for depth in Depth::ALL {
        let name = Words::of(language).depth(depth);
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
    let (room, mut x) = if area.height > 1 {
        // Without the space that parts it from the title.
        (whole, area.x.saturating_sub(1))
    } else {
        let room = whole.saturating_sub(columns);
        (room, area.right().saturating_sub(columns as u16))
    };
    buffer.set_stringn(area.x, area.y, truncate(&title, room), room, theme.title());
    let y = area.bottom() - 1;
    for (words, style) in right {
        let room = usize::from(area.right().saturating_sub(x));
        (x, _) = buffer.set_stringn(x, y, words, room, style);
    }
}

/// The page, in lines of at most `columns` columns.
fn lines(reading: &Reading, columns: usize, theme: Theme, language: Language) -> Lines {
    let words = Words::of(language);
    let page = reading.page();
    let mut page_lines = Lines {
        written: Vec::new(),
        columns,
        theme,
        depth: 0..0,
        exercise: 0..0,
        news: 0..0,
    };
    page_lines.styled(&clean(&page.title), theme.accent());
    let about = &reading.lesson.subject;
    if let Some(open) = reading.elsewhere(about) {
        let note = (words.lesson_elsewhere)(about.name(), open);
        page_lines.styled(&clean(&note), theme.warning());
    }
    let [always, part] = page.prose.at(reading.depth);
    page_lines.markdown(always);
    let start = page_lines.written.len();
    page_lines.markdown(part);
    if page_lines.written.len() > start {
        // Before it there is an empty line.
        page_lines.depth = start + 1..page_lines.written.len();
    }
    for (claim, standing) in page.claims.iter().zip(&reading.claims) {
        let says = claim.says.as_deref();
        match (standing, says) {
            (Standing::Good, Some(says)) => page_lines.marked("✓", says, theme.good()),
            (Standing::Open, Some(says)) => page_lines.marked("…", says, theme.muted()),
            (Standing::Bad(why), says) => {
                page_lines.marked("✗", says.unwrap_or(words.claim), theme.error());
                page_lines.noted(&joined(words.not_so, why), theme.error());
            }
            (Standing::Elsewhere(here), Some(says)) => {
                page_lines.marked("○", says, theme.muted());
                if let Some(open) = reading.elsewhere(&claim.subject) {
                    let mut note = (words.claim_here)(open, here);
                    // What the whole lesson is about has been said.
                    if claim.subject != *about {
                        note = joined(&(words.about)(claim.subject.name()), &note);
                    }
                    page_lines.noted(&note, theme.muted());
                }
            }
            _ => {}
        }
    }
    page_lines.exercise(reading, words);
    page_lines
}

/// Something on a page that its reader wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// The prose of the depth that was chosen.
    Depth,
    /// The task or the question, without what was said of it.
    Exercise,
    /// What was said last: a hint, what an answer is worth, the solution.
    News,
}

struct Lines {
    written: Vec<Line<'static>>,
    columns: usize,
    theme: Theme,
    depth: Range<usize>,
    exercise: Range<usize>,
    news: Range<usize>,
}

impl Lines {
    fn gap(&mut self) {
        if self.written.last().is_some_and(|line| line.width() > 0) {
            self.written.push(Line::default());
        }
    }

    fn styled(&mut self, words: &str, style: Style) {
        let spans = [(words.to_owned(), style)];
        self.written
            .extend(markdown::wrap(&spans, self.columns, "", ""));
    }

    fn markdown(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.gap();
            self.written
                .extend(markdown::lines(text, self.columns, self.theme));
        }
    }

    /// Markdown with a mark at its left.
    fn marked(&mut self, mark: &str, text: &str, style: Style) {
        self.gap();
        self.beneath(mark, text, style);
    }

    /// A remark beneath what has a mark.
    fn noted(&mut self, words: &str, style: Style) {
        let spans = [(clean(words), style)];
        let lines = markdown::wrap(&spans, self.columns, "  ", "  ");
        self.written.extend(lines);
    }

    /// What is written from here on is news, in the place of what was before.
    fn begins_news(&mut self) {
        self.news = self.written.len()..self.written.len();
    }

    fn beneath(&mut self, mark: &str, text: &str, style: Style) {
        let lines = markdown::lines(text, self.columns.saturating_sub(2), self.theme);
        for (index, line) in lines.into_iter().enumerate() {
            let mark = if index == 0 { mark } else { " " };
            let pad = " ".repeat(2_usize.saturating_sub(width(mark)));
            let mut spans = vec![Span::styled(format!("{mark}{pad}"), style)];
            spans.extend(line.spans);
            self.written.push(Line::from(spans));
        }
    }

    fn exercise(&mut self, reading: &Reading, words: &Words) {
        let theme = self.theme;
        let Some(exercise) = &reading.page().exercise else {
            return;
        };
        let is_solved = matches!(reading.exercise, Standing::Good | Standing::Before);
        let (mark, style) = match (is_solved, reading.is_question()) {
            (true, _) => ("✓", theme.good()),
            (false, true) => ("?", theme.warning()),
            (false, false) => ("▸", theme.warning()),
        };
        self.gap();
        let start = self.written.len();
        self.marked(mark, &exercise.words, style);
        if let Some(open) = reading.elsewhere(&exercise.subject) {
            let note = (words.exercise_elsewhere)(exercise.subject.name(), open);
            self.noted(&note, theme.muted());
        }
        if let ExerciseKind::Question {
            form: Form::Choice(choices),
            ..
        } = &exercise.kind
        {
            for (index, choice) in choices.iter().enumerate() {
                self.beneath("", &format!("{}\\. {choice}", index + 1), theme.text());
            }
        }
        self.exercise = start..self.written.len();
        for hint in exercise.hints.iter().take(reading.hints) {
            self.begins_news();
            self.marked("·", hint, theme.muted());
        }
        let before = if reading.is_question() {
            words.answered_before
        } else {
            words.done_before
        };
        let before = (reading.exercise == Standing::Before).then_some(before);
        if let Some(remark) = reading.remark.as_deref().or(before) {
            self.begins_news();
            self.gap();
            let style = if is_solved {
                theme.good()
            } else {
                theme.warning()
            };
            self.styled(&clean(remark), style);
        }
        if reading.solution {
            self.begins_news();
            for act in solution(reading, words) {
                self.marked("→", &act, theme.accent());
            }
        }
        // An answer of an earlier sitting is looked at again first.
        let is_done_before = reading.exercise == Standing::Before && !reading.is_question();
        if reading.exercise == Standing::Good || reading.solution || is_done_before {
            self.markdown(&exercise.explanation);
        }
        self.news.end = self.written.len();
    }
}

//! The lesson's pane: prose, claims and exercise, beside the view or beneath it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

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
            lines(reading, area.width.into(), Theme::default(), language).len() as u16
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
            y: inner.y + 1,
            height: inner.height.saturating_sub(2),
            ..inner
        }
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
        let columns = usize::from(self.text().width);
        lines(reading, columns, Theme::default(), language)
            .len()
            .saturating_sub(self.rows())
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
        let lines = lines(reading, text.width.into(), theme, language);
        let last = lines.len().saturating_sub(self.rows());
        let scroll = reading.scroll.min(last);
        draw_title(buffer, inner, reading, (theme, language));
        for (row, line) in lines.iter().skip(scroll).take(self.rows()).enumerate() {
            buffer.set_line(text.x, text.y + row as u16, line, text.width);
        }
        let keys = Rect {
            y: inner.bottom() - 1,
            height: 1,
            ..inner
        };
        let bindings = keys::in_lesson(app);
        key_line::draw(buffer, keys, &bindings, &[], theme);
        let more = match (scroll > 0, scroll < last) {
            (true, true) => "↑↓",
            (true, false) => "↑",
            (false, true) => "↓",
            (false, false) => return,
        };
        let words = format!(" pgdn {more}");
        let x = inner.right().saturating_sub(width(&words) as u16);
        buffer.set_string(x, keys.y, words, theme.accent());
    }
}

/// The lesson's title, the page's number and the depth.
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
    let room = usize::from(area.width).saturating_sub(columns);
    buffer.set_stringn(area.x, area.y, truncate(&title, room), room, theme.title());
    let mut x = area.right().saturating_sub(columns as u16);
    for (words, style) in right {
        (x, _) = buffer.set_stringn(x, area.y, words, usize::from(area.right() - x), style);
    }
}

/// The page, in lines of at most `columns` columns.
fn lines(
    reading: &Reading,
    columns: usize,
    theme: Theme,
    language: Language,
) -> Vec<Line<'static>> {
    let words = Words::of(language);
    let page = reading.page();
    let mut page_lines = Lines {
        written: Vec::new(),
        columns,
        theme,
    };
    page_lines.styled(&clean(&page.title), theme.accent());
    let [always, part] = page.prose.at(reading.depth);
    page_lines.markdown(always);
    page_lines.markdown(part);
    for (claim, standing) in page.claims.iter().zip(&reading.claims) {
        let says = claim.says.as_deref();
        match (standing, says) {
            (Standing::Good, Some(says)) => page_lines.marked("✓", says, theme.good()),
            (Standing::Open, Some(says)) => page_lines.marked("…", says, theme.muted()),
            (Standing::Bad(why), says) => {
                let says = says.unwrap_or(words.claim);
                let words = format!("{says} — {} {why}", words.not_so);
                page_lines.marked("✗", &words, theme.error());
            }
            _ => {}
        }
    }
    page_lines.exercise(reading, words);
    page_lines.written
}

struct Lines {
    written: Vec<Line<'static>>,
    columns: usize,
    theme: Theme,
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
        self.marked(mark, &exercise.words, style);
        if let ExerciseKind::Question {
            form: Form::Choice(choices),
            ..
        } = &exercise.kind
        {
            for (index, choice) in choices.iter().enumerate() {
                self.beneath("", &format!("{}\\. {choice}", index + 1), theme.text());
            }
        }
        for hint in exercise.hints.iter().take(reading.hints) {
            self.marked("·", hint, theme.muted());
        }
        if let Some(remark) = &reading.remark {
            self.gap();
            let style = if is_solved {
                theme.good()
            } else {
                theme.warning()
            };
            self.styled(&clean(remark), style);
        }
        if reading.exercise == Standing::Before {
            self.gap();
            self.styled(words.before, theme.good());
        }
        if reading.solution {
            for words in solution(reading) {
                self.marked("→", &words, theme.accent());
            }
        }
        if reading.exercise == Standing::Good || reading.solution {
            self.markdown(&exercise.explanation);
        }
    }
}

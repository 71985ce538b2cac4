//! A page in lines: prose, claims, and the exercise with what was said of it.

use std::ops::Range;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::markdown;
use super::solution::solution;
use crate::lesson::{ExerciseKind, Form, Language};
use crate::tui::state::lesson::{OpenLesson, Spot, Status, joined, messages};
use crate::tui::ui::text::{clean, width};
use crate::tui::ui::theme::Theme;
use crate::tui::ui::wrap::wrap;

/// The page, in lines of at most `columns` columns.
pub fn lines(reading: &OpenLesson, columns: usize, theme: Theme, language: Language) -> Lines {
    let page = reading.page();
    let mut page_lines = Lines {
        written: Vec::new(),
        columns,
        theme,
        depth: 0..0,
        exercise: 0..0,
        news: 0..0,
    };
    page_lines.styled(&page.title, theme.accent());
    let about = &reading.lesson.subject;
    if let Some(open) = reading.elsewhere(about) {
        let note = language.choose(messages::lesson_elsewhere(about.name(), open));
        page_lines.styled(&note, theme.warning());
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
            (Status::Good, Some(says)) => page_lines.marked("✓", says, theme.good()),
            (Status::Open, Some(says)) => page_lines.marked("…", says, theme.muted()),
            (Status::Bad(why), says) => {
                page_lines.marked(
                    "✗",
                    says.unwrap_or(language.choose(messages::CLAIM)),
                    theme.error(),
                );
                page_lines.noted(
                    &joined(language.choose(messages::NOT_SO), why),
                    theme.error(),
                );
            }
            (Status::Elsewhere(here), Some(says)) => {
                page_lines.marked("○", says, theme.muted());
                if let Some(open) = reading.elsewhere(&claim.subject) {
                    let mut note = language.choose(messages::claim_here(open, here));
                    // What the whole lesson is about has been said.
                    if claim.subject != *about {
                        let about = language.choose(messages::about(claim.subject.name()));
                        note = joined(&about, &note);
                    }
                    page_lines.noted(&note, theme.muted());
                }
            }
            _ => {}
        }
    }
    page_lines.exercise(reading, language);
    page_lines
}

/// A page in lines, and where on it is what.
pub struct Lines {
    pub written: Vec<Line<'static>>,
    columns: usize,
    theme: Theme,
    depth: Range<usize>,
    exercise: Range<usize>,
    news: Range<usize>,
}

impl Lines {
    /// The lines of `spot`.
    pub fn of(&self, spot: Spot) -> Range<usize> {
        match spot {
            Spot::Depth => self.depth.clone(),
            Spot::Exercise => self.exercise.clone(),
            Spot::News => self.news.clone(),
        }
    }

    fn gap(&mut self) {
        if self.written.last().is_some_and(|line| line.width() > 0) {
            self.written.push(Line::default());
        }
    }

    fn styled(&mut self, text: &str, style: Style) {
        self.indented("", text, style);
    }

    fn indented(&mut self, indent: &str, text: &str, style: Style) {
        let spans = [(clean(text), style)];
        let lines = wrap(&spans, self.columns, indent, indent);
        self.written.extend(lines);
    }

    fn markdown(&mut self, text: &str) {
        if !text.trim().is_empty() {
            self.gap();
            let lines = markdown::lines(text, self.columns, self.theme);
            self.written.extend(lines);
        }
    }

    /// Markdown with a mark at its left.
    fn marked(&mut self, mark: &str, text: &str, style: Style) {
        self.gap();
        self.beneath(mark, text, style);
    }

    /// A remark beneath what has a mark.
    fn noted(&mut self, text: &str, style: Style) {
        self.indented("  ", text, style);
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

    fn exercise(&mut self, reading: &OpenLesson, language: Language) {
        let theme = self.theme;
        let Some(exercise) = &reading.page().exercise else {
            return;
        };
        let is_solved = matches!(reading.exercise, Status::Good | Status::Before);
        let (mark, style) = match (is_solved, reading.is_question()) {
            (true, _) => ("✓", theme.good()),
            (false, true) => ("?", theme.warning()),
            (false, false) => ("▸", theme.warning()),
        };
        self.gap();
        let start = self.written.len();
        self.marked(mark, &exercise.text, style);
        if let Some(open) = reading.elsewhere(&exercise.subject) {
            let note = messages::exercise_elsewhere(exercise.subject.name(), open);
            let note = language.choose(note);
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
            language.choose(messages::ANSWERED_BEFORE)
        } else {
            language.choose(messages::DONE_BEFORE)
        };
        let before = (reading.exercise == Status::Before).then_some(before);
        if let Some(remark) = reading.remark.as_deref().or(before) {
            self.begins_news();
            self.gap();
            let style = if is_solved {
                theme.good()
            } else {
                theme.warning()
            };
            self.styled(remark, style);
        }
        if reading.solution {
            self.begins_news();
            for act in solution(reading, language) {
                self.marked("→", &act, theme.accent());
            }
        }
        // An answer of an earlier session is looked at again first.
        let is_done_before = reading.exercise == Status::Before && !reading.is_question();
        if reading.exercise == Status::Good || reading.solution || is_done_before {
            self.markdown(&exercise.explanation);
        }
        self.news.end = self.written.len();
    }
}

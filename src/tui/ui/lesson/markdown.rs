//! Markdown as lines of a given width.

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::lesson::MARKDOWN;
use crate::tui::state::lesson::needs_space;
use crate::tui::ui::text::{clean, fit, truncate, width};
use crate::tui::ui::theme::Theme;
use crate::tui::ui::wrap::{KEPT, with_spaces, wrap};

/// `markdown` in lines of at most `columns` columns.
pub fn lines(markdown: &str, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut writer = Writer {
        columns: columns.max(8),
        theme,
        ..Writer::default()
    };
    for event in Parser::new_ext(markdown, MARKDOWN) {
        writer.event(event);
    }
    writer.flush();
    while writer.lines.last().is_some_and(|line| line.width() == 0) {
        writer.lines.pop();
    }
    writer.lines
}

#[derive(Default)]
struct Writer {
    columns: usize,
    theme: Theme,
    lines: Vec<Line<'static>>,
    /// The paragraph so far.
    spans: Vec<(String, Style)>,
    styles: Vec<Style>,
    /// Open lists, with the number of the next item where they are numbered.
    lists: Vec<Option<u64>>,
    /// What stands before the next paragraph's first line.
    marker: Option<String>,
    quotes: usize,
    table: Option<Vec<Vec<String>>>,
    code: bool,
    /// Was there a line break in the file, and nothing since?
    broken: bool,
}

impl Writer {
    fn style(&self) -> Style {
        self.styles.last().copied().unwrap_or_default()
    }

    /// What follows is emphasised, too.
    fn emphasise(&mut self, modifier: Modifier) {
        self.styles.push(self.style().add_modifier(modifier));
    }

    fn line(&mut self, text: String, style: Style) {
        self.lines.push(Line::from(Span::styled(text, style)));
    }

    fn text(&mut self, text: &str, style: Style) {
        let text = clean(text);
        if std::mem::take(&mut self.broken) {
            let before = self.spans.last().map_or("", |(text, _)| text.as_str());
            if needs_space(before, &text) {
                self.spans.push((" ".to_owned(), self.style()));
            }
        }
        match self.table.as_mut().and_then(|rows| rows.last_mut()) {
            Some(row) => match row.last_mut() {
                Some(cell) => cell.push_str(&text),
                None => row.push(text),
            },
            None => self.spans.push((text, style)),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.code => {
                for line in text.lines() {
                    let line = truncate(&clean(line), self.columns.saturating_sub(2));
                    self.line(format!("  {line}"), self.theme.title());
                }
            }
            Event::Text(text) => self.text(&text, self.style()),
            Event::Code(text) => {
                let style = self.style().patch(self.theme.accent());
                self.text(&with_spaces(&text), style);
            }
            Event::InlineMath(text) | Event::DisplayMath(text) => {
                let style = self.style().patch(self.theme.title());
                // A formula that fits a line stays on one.
                let whole = if width(&text) <= self.columns {
                    text.replace(' ', KEPT)
                } else {
                    text.into_string()
                };
                self.text(&whole, style);
            }
            Event::SoftBreak => self.broken = true,
            Event::HardBreak => self.flush(),
            Event::Rule => {
                self.flush();
                self.line("─".repeat(self.columns), self.theme.rule());
            }
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag) {
        match tag {
            Tag::Heading { level, .. } => {
                self.gap();
                let is_first = *level == HeadingLevel::H1;
                self.styles
                    .push(self.theme.accent_if(is_first, self.theme.title()));
            }
            Tag::Paragraph if self.marker.is_none() => self.gap(),
            Tag::Emphasis => self.emphasise(Modifier::ITALIC),
            Tag::Strong => self.emphasise(Modifier::BOLD),
            Tag::List(number) => {
                self.flush();
                if self.lists.is_empty() {
                    self.gap();
                }
                self.lists.push(*number);
            }
            Tag::Item => {
                self.flush();
                self.marker = Some(match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "• ".to_owned(),
                });
            }
            Tag::CodeBlock(_) => {
                self.gap();
                self.code = true;
            }
            Tag::BlockQuote(_) => {
                self.gap();
                self.quotes += 1;
            }
            Tag::Table(_) => {
                self.gap();
                self.table = Some(Vec::new());
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(rows) = &mut self.table {
                    rows.push(Vec::new());
                }
            }
            Tag::TableCell => {
                if let Some(row) = self.table.as_mut().and_then(|rows| rows.last_mut()) {
                    row.push(String::new());
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.flush();
                self.styles.pop();
            }
            TagEnd::Paragraph | TagEnd::Item => self.flush(),
            TagEnd::Emphasis | TagEnd::Strong => {
                self.styles.pop();
            }
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
            }
            TagEnd::CodeBlock => self.code = false,
            TagEnd::BlockQuote(_) => {
                self.flush();
                self.quotes -= 1;
            }
            TagEnd::Table => {
                let rows = self.table.take().unwrap_or_default();
                self.draw_table(&rows);
            }
            _ => {}
        }
    }

    /// An empty line, where there is something before it.
    fn gap(&mut self) {
        self.flush();
        if self.lines.last().is_some_and(|line| line.width() > 0) {
            self.lines.push(Line::default());
        }
    }

    fn flush(&mut self) {
        self.broken = false;
        if self.spans.is_empty() {
            return;
        }
        let spans = std::mem::take(&mut self.spans);
        let depth = self.lists.len().saturating_sub(1);
        let indent = format!("{}{}", "│ ".repeat(self.quotes), "  ".repeat(depth));
        let beneath = if self.lists.is_empty() { "" } else { "  " };
        let marker = self.marker.take().unwrap_or_else(|| beneath.to_owned());
        let rest = format!("{indent}{}", " ".repeat(width(&marker)));
        let first = format!("{indent}{marker}");
        self.lines.extend(wrap(&spans, self.columns, &first, &rest));
    }

    /// A table: columns as wide as they need to be, the widest ones narrower where there is no room.
    fn draw_table(&mut self, rows: &[Vec<String>]) {
        // Every row of a table has the head's number of cells.
        let mut widths = vec![0; rows.first().map_or(0, Vec::len)];
        for row in rows {
            for (most, cell) in widths.iter_mut().zip(row) {
                *most = width(cell).max(*most);
            }
        }
        let room = self
            .columns
            .saturating_sub(2 * widths.len().saturating_sub(1));
        while widths.iter().sum::<usize>() > room
            && let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > 4)
        {
            *widest -= 1;
        }
        for (index, row) in rows.iter().enumerate() {
            let style = if index == 0 {
                self.theme.title()
            } else {
                self.theme.text()
            };
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let lines = wrap(&[(cell.clone(), style)], *width, "", "");
                lines.iter().map(ToString::to_string).collect()
            });
            let cells: Vec<Vec<String>> = cells.collect();
            for line in 0..cells.iter().map(Vec::len).max().unwrap_or(1) {
                let parts = cells.iter().zip(&widths).map(|(cell, width)| {
                    let words = cell.get(line).map_or("", String::as_str);
                    fit(words, *width)
                });
                let words = parts.collect::<Vec<_>>().join("  ");
                self.line(words.trim_end().to_owned(), style);
            }
            if index == 0 {
                let rules = widths.iter().map(|width| "─".repeat(*width));
                self.line(rules.collect::<Vec<_>>().join("  "), self.theme.rule());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(markdown: &str, columns: usize) -> Vec<String> {
        let lines = lines(markdown, columns, Theme::default());
        for line in &lines {
            assert!(line.width() <= columns, "“{line}” is too wide");
        }
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_lessons_are_written_with_is_shown() {
        let markdown = "Some *plain* words with `code` and $x₀ = 1$.\n\n- one\n- two that is long enough\n  to be wrapped\n\n1. first\n2. second\n\n> said\n\n```jq\n.a | .b\n```\n\n| name | value |\n|---|---|\n| σ | 14.6 |\n\n### Heading";
        let lines = rendered(markdown, 24);
        assert_eq!(
            lines,
            [
                "Some plain words with",
                "code and x₀ = 1.",
                "",
                "• one",
                "• two that is long",
                "  enough to be wrapped",
                "",
                "1. first",
                "2. second",
                "",
                "│ said",
                "",
                "  .a | .b",
                "",
                "name  value",
                "────  ─────",
                "σ     14.6",
                "",
                "Heading",
            ]
        );
    }

    #[test]
    fn chinese_is_broken_between_characters_and_joined_without_spaces() {
        let lines = rendered(
            "文本被切成小块，每块有\n一个编号。共有 77 个：`start`。",
            12,
        );
        assert_eq!(
            lines,
            [
                "文本被切成小",
                "块，每块有一",
                "个编号。共有",
                "77 个：",
                "start。"
            ]
        );
        // Between Chinese and other characters a line break is the space that belongs there.
        let lines = rendered("把词换成\n`blue`\n以后，\n77 个“词”\n还在。", 40);
        assert_eq!(lines, ["把词换成 blue 以后，77 个“词”还在。"]);
        let lines = rendered("He said “dreambeach”\nand *then*\n`left`.", 40);
        assert_eq!(lines, ["He said “dreambeach” and then left."]);
        let lines = rendered("甲乙丙丁（戊）己", 10);
        assert_eq!(lines, ["甲乙丙丁", "（戊）己"]);
    }

    #[test]
    fn an_indented_block_is_code() {
        assert_eq!(
            rendered("Messages:\n\n    first  one\n      second\n\nMore.", 24),
            ["Messages:", "", "  first  one", "    second", "", "More."]
        );
    }

    #[test]
    fn a_word_that_is_longer_than_a_line_is_broken() {
        assert_eq!(
            rendered("text_model.encoder.layers", 10),
            ["text_model", ".encoder.l", "ayers"]
        );
    }

    #[test]
    fn a_formula_stays_on_its_line_where_it_fits_one() {
        assert_eq!(
            rendered("Some words $x₀ = x − σ ε$ more.", 16),
            ["Some words", "x₀ = x − σ ε", "more."]
        );
        assert_eq!(
            rendered("So $aaaa + bbbb + cccc$.", 10),
            ["So aaaa +", "bbbb +", "cccc."]
        );
        assert_eq!(
            rendered("About 99.7\u{a0}% of it.", 9),
            ["About", "99.7 % of", "it."]
        );
    }

    #[test]
    fn code_keeps_its_spaces() {
        assert_eq!(
            rendered("Write `A  RED   Apple` there.", 40),
            ["Write A  RED   Apple there."]
        );
        assert_eq!(
            rendered("Write `A  RED  Apple` there.", 12),
            ["Write A ", "RED  Apple", "there."]
        );
    }

    #[test]
    fn a_wide_table_is_made_to_fit() {
        let lines = rendered(
            "| a | b |\n|---|---|\n| x | many words that do not fit in there |\n",
            20,
        );
        assert!(lines.len() > 3);
    }
}

//! The help that is read: how far down, and what is looked for in it.

use super::action::{Action, Typing};
use super::app::Mode;
use super::line::LineEditor;

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Help {
    /// What it lies over, and what is gone on with when it is closed.
    pub before: Mode,
    /// What is looked for; everything is shown where it is empty.
    pub search: LineEditor,
    /// Is that being typed?
    pub is_searched: bool,
    /// Lines that are above the first one shown.
    pub scroll: usize,
    /// How it is to be scrolled when it is drawn next.
    turn: Option<Turn>,
}

/// How far to scroll: how many lines a page has, only those know who draw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Up,
    Down,
    PageUp,
    PageDown,
    Start,
    End,
}

impl Help {
    pub fn over(before: Mode) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    /// Carries out `action`; true where that closes the help.
    pub(super) fn update(&mut self, action: &Action) -> bool {
        match action {
            Action::Up => self.turn = Some(Turn::Up),
            Action::Down => self.turn = Some(Turn::Down),
            Action::ScrollUp => self.turn = Some(Turn::PageUp),
            Action::ScrollDown => self.turn = Some(Turn::PageDown),
            Action::FirstStep => self.turn = Some(Turn::Start),
            Action::LastStep => self.turn = Some(Turn::End),
            Action::Search => self.is_searched = true,
            Action::Type(Typing::Submit) => self.is_searched = false,
            Action::Type(typing) => {
                self.search.apply(typing);
                self.scroll = 0;
            }
            Action::Dismiss if self.is_searched || !self.search.text().is_empty() => {
                self.is_searched = false;
                self.search = LineEditor::default();
                self.scroll = 0;
            }
            Action::Help | Action::Dismiss => return true,
            _ => {}
        }
        false
    }

    /// Scrolls as was asked for, where `rows` of its `lines` are shown at once.
    pub fn settle(&mut self, lines: usize, rows: usize) {
        let last = lines.saturating_sub(rows);
        let now = self.scroll.min(last);
        // A line of the page before stays in sight.
        let page = rows.saturating_sub(1).max(1);
        let scrolled = match self.turn.take() {
            None => now,
            Some(Turn::Up) => now.saturating_sub(1),
            Some(Turn::Down) => now + 1,
            Some(Turn::PageUp) => now.saturating_sub(page),
            Some(Turn::PageDown) => now + page,
            Some(Turn::Start) => 0,
            Some(Turn::End) => last,
        };
        self.scroll = scrolled.min(last);
    }
}

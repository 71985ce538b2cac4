//! What is known of the terminal: what the system says of it, what it answers, and what tmux says.

use std::time::{Duration, Instant};

use super::reply::{GRAPHICS_ID, Reply};
use super::tmux::Tmux;

/// How long an answer is waited for before the terminal counts as one that does not answer. A later one counts, too.
const PATIENCE: Duration = Duration::from_secs(2);
/// Colours and length of a side of a sixel picture where the terminal does not say: those of the first terminals, and
/// of xterm.
const SIXEL_COLOURS: u32 = 16;
const SIXEL_SIDE: u32 = 1000;

/// Asks how large a cell is, and how large all of them are.
pub const CELL_QUESTION: &[u8] = b"\x1b[16t\x1b[14t";

/// Asks how many colours sixel pictures may have, and how large they may be (XTSMGRAPHICS).
const SIXEL_QUESTION: &[u8] = b"\x1b[?1;1;0S\x1b[?2;1;0S";

/// A cell's width and height, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub width: u32,
    pub height: u32,
}

impl Cell {
    /// A size that a cell can have; what else a terminal says is no size.
    fn new(width: u32, height: u32) -> Option<Self> {
        let is_cell = (2..=500).contains(&width) && (width..=4 * width).contains(&height);
        is_cell.then_some(Self { width, height })
    }

    /// Of a window with so many columns and rows.
    fn of_window((width, height): (u32, u32), (columns, rows): (u16, u16)) -> Option<Self> {
        let (columns, rows) = (u32::from(columns), u32::from(rows));
        Self::new(width.checked_div(columns)?, height.checked_div(rows)?)
    }
}

/// What pictures have to keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// The size of a cell, where it is known.
    pub cell: Option<Cell>,
    /// How many colours a sixel picture may have.
    pub colours: u32,
    /// Width and height of the largest sixel picture, in pixels.
    pub largest: (u32, u32),
}

/// What is known.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Does it show kitty's pictures?
    pub graphics: Option<bool>,
    /// Does it show sixel pictures?
    pub sixel: Option<bool>,
    sixel_colours: u32,
    sixel_size: (u32, u32),
    /// What tmux says, where the program runs in it.
    pub tmux: Option<Tmux>,
    /// By the system, for the window as it is; by the terminal's answers.
    by_system: Option<Cell>,
    by_answer: Option<Cell>,
    window: Option<(u32, u32)>,
    asked: Instant,
}

impl Facts {
    /// Nothing is known, and the terminal was asked at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            graphics: None,
            sixel: None,
            sixel_colours: SIXEL_COLOURS,
            sixel_size: (SIXEL_SIDE, SIXEL_SIDE),
            tmux: None,
            by_system: None,
            by_answer: None,
            window: None,
            asked: now,
        }
    }

    /// What to ask a terminal. Every terminal answers the last question, and most do in the order of the questions, so
    /// that whoever answers it and none before has nothing to say to those.
    pub fn question(asks_for_pictures: bool) -> Vec<u8> {
        let mut question = CELL_QUESTION.to_vec();
        if asks_for_pictures {
            // A picture of one pixel, which is not to be kept.
            let graphics = format!("\x1b_G{GRAPHICS_ID},s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\");
            question.extend(graphics.bytes());
        }
        // Whatever terminal prints what it does not know has it cleared away.
        question.extend(b"\x1b[c\x1b[2J");
        question
    }

    /// Takes in what the terminal, of this many columns and rows, answered. Answers what to ask now.
    pub fn take(&mut self, reply: Reply, size: (u16, u16)) -> &'static [u8] {
        match reply {
            Reply::Attributes(attributes) => {
                // The first is the terminal's class; 4 among the others is sixel.
                self.sixel = Some(attributes.iter().skip(1).any(|has| *has == 4));
                self.graphics.get_or_insert(false);
                if self.sixel == Some(true) {
                    return SIXEL_QUESTION;
                }
            }
            Reply::Graphics(has) => self.graphics = Some(has),
            Reply::Cell(width, height) => self.by_answer = Cell::new(width, height),
            Reply::Window(width, height) => {
                self.window = Cell::of_window((width, height), size).map(|_| (width, height));
            }
            Reply::SixelColours(colours) => self.sixel_colours = colours.clamp(2, 256),
            Reply::SixelSize(width, height) if width > 0 && height > 0 => {
                self.sixel_size = (width, height);
            }
            Reply::SixelSize(..) => {}
        }
        b""
    }

    /// Asks the system how large cells are; it knows where the terminal tells it.
    pub fn measure(&mut self) {
        let size = crossterm::terminal::window_size().ok();
        self.by_system = size.and_then(|size| {
            let pixels = (u32::from(size.width), u32::from(size.height));
            Cell::of_window(pixels, (size.columns, size.rows))
        });
    }

    /// A cell's size, where it is known. The system's word is of now; an answer is as old as the question.
    pub fn cell(&self, size: (u16, u16)) -> Option<Cell> {
        let of_window = self.window.and_then(|window| Cell::of_window(window, size));
        self.by_system.or(self.by_answer).or(of_window)
    }

    /// What pictures have to keep to, on a screen of this many columns and rows.
    pub fn limits(&self, size: (u16, u16)) -> Limits {
        Limits {
            cell: self.cell(size),
            colours: self.sixel_colours,
            largest: self.sixel_size,
        }
    }

    /// Does only the terminal say how large its cells are?
    pub fn are_told(&self) -> bool {
        self.by_system.is_none() && (self.by_answer.is_some() || self.window.is_some())
    }

    /// Has the terminal answered, or is it one that does not?
    pub fn are_settled(&self, now: Instant) -> bool {
        self.sixel.is_some() || self.were_waited_for(now)
    }

    /// Has whoever was asked had the time to answer?
    pub fn were_waited_for(&self, now: Instant) -> bool {
        now >= self.asked + PATIENCE
    }

    /// When that will be so, at the latest.
    pub fn settle_at(&self) -> Option<Instant> {
        self.sixel.is_none().then(|| self.asked + PATIENCE)
    }

    /// Has the terminal answered nothing?
    pub fn is_silent(&self) -> bool {
        self.sixel.is_none() && self.graphics.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_size_of_a_cell_is_not_believed() {
        let mut facts = Facts::new(Instant::now());
        for (width, height) in [(0, 0), (1, 1), (8, 80), (17, 8), (4000, 8000)] {
            facts.take(Reply::Cell(width, height), (80, 24));
            assert_eq!(facts.cell((80, 24)), None, "{width}x{height}");
        }
        facts.take(Reply::Window(640, 408), (80, 24));
        let cell = |width, height| Some(Cell { width, height });
        assert_eq!(facts.cell((80, 24)), cell(8, 17));
        facts.take(Reply::Cell(9, 19), (80, 24));
        assert_eq!(facts.cell((80, 24)), cell(9, 19));
        facts.take(Reply::Window(640, 408), (0, 0));
        assert_eq!(facts.cell((0, 0)), cell(9, 19));
    }

    #[test]
    fn a_terminal_is_waited_for_and_not_for_ever() {
        let now = Instant::now();
        let mut facts = Facts::new(now);
        assert!(!facts.are_settled(now) && facts.is_silent());
        assert!(facts.settle_at().is_some_and(|at| facts.are_settled(at)));
        facts.take(Reply::Attributes(vec![62, 22]), (80, 24));
        assert!(facts.are_settled(now) && !facts.is_silent());
        assert_eq!((facts.graphics, facts.sixel), (Some(false), Some(false)));
        // Late, and true all the same.
        facts.take(Reply::Graphics(true), (80, 24));
        assert_eq!(facts.graphics, Some(true));
    }
}

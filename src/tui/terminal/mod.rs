//! The terminal: taken over, given back, put to sleep and woken up; and what it sends. It is given back whatever
//! happens.

#[cfg(unix)]
mod csi;
mod events;
mod facts;
#[cfg(all(any(test, fuzzing), unix))]
#[path = "../../../tests/fuzz/targets/terminal.rs"]
pub(crate) mod fuzz;
mod give_back;
mod input;
mod output;
#[cfg(unix)]
mod parser;
#[cfg(unix)]
mod reader;
#[cfg_attr(not(unix), allow(dead_code))] // Elsewhere keys are read, and no bytes.
mod reply;
#[cfg(unix)]
mod signals;
#[cfg(all(test, unix))]
mod tests;
mod tmux;

use std::io::{self, Write};

use crossterm::event::{DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;

use output::Output;

pub use events::{Event, Events};
pub use facts::{CELL_QUESTION, Cell, Facts, Limits};
pub use give_back::restore;
pub use input::Input;
#[cfg(test)]
pub use reply::Reply;
pub use tmux::Tmux;

/// The terminal, taken over; dropping it gives it back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Output>>,
    has_mouse: bool,
}

impl Screen {
    /// Takes it over; `is_sixteen` where it has 16 colours and no more.
    pub fn open(is_sixteen: bool) -> io::Result<Self> {
        take_over()?;
        let terminal = Terminal::new(CrosstermBackend::new(Output::new(is_sixteen)));
        Ok(Self {
            terminal: terminal.inspect_err(|_| restore())?,
            has_mouse: false,
        })
    }

    /// Draws a frame; only cells that changed are written.
    pub fn draw(&mut self, render: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.terminal.draw(|frame| render(frame.buffer_mut()))?;
        Ok(())
    }

    /// Forgets what is on the screen, so that the next frame writes every cell.
    ///
    /// `Terminal::clear` would ask the terminal where its cursor is and wait for the answer, which a terminal need not
    /// give; a new size, be it the old one, clears without asking.
    pub fn clear(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    pub fn size(&self) -> (u16, u16) {
        let size = self.terminal.size().unwrap_or_default();
        (size.width, size.height)
    }

    /// Asks the terminal something. The answer, if there is one, comes among what it sends.
    pub fn ask(&mut self, question: &[u8]) -> io::Result<()> {
        let out = self.terminal.backend_mut();
        out.write_all(question)?;
        Write::flush(out)
    }

    /// Takes the mouse, or leaves it to the terminal, which selects text with it.
    pub fn capture_mouse(&mut self, wanted: bool) -> io::Result<()> {
        match (wanted, self.has_mouse) {
            (true, false) => execute!(io::stdout(), EnableMouseCapture)?,
            (false, true) => execute!(io::stdout(), DisableMouseCapture)?,
            _ => {}
        }
        self.has_mouse = wanted;
        Ok(())
    }

    /// Gives the terminal back and puts the program to sleep, as shells expect; takes it over again on waking up.
    /// Answers whether it slept: it does not where nobody could wake it up.
    #[cfg(unix)]
    pub fn suspend(&mut self) -> io::Result<bool> {
        restore();
        let slept = crate::signals::stop_group()?;
        self.resume()?;
        Ok(slept)
    }

    #[cfg(not(unix))]
    pub fn suspend(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    /// Takes the terminal over again, whatever was done to it meanwhile.
    pub fn resume(&mut self) -> io::Result<()> {
        // Without this the library believes that the terminal is in raw mode still.
        let _ = disable_raw_mode();
        take_over()?;
        self.has_mouse = false;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    let prepared = execute!(
        io::stdout(),
        EnterAlternateScreen,
        EnableBracketedPaste,
        SetTitle("diffuscope"),
        crossterm::cursor::Hide
    );
    prepared.inspect_err(|_| restore())
}

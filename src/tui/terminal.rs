//! The terminal: taken over, given back, put to sleep and woken up. It is given back whatever happens.

#[cfg(unix)]
use std::io::IsTerminal;
use std::io::{self, Stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(unix)]
use std::{process, thread, time::Duration};

use crossterm::cursor::Show;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;

/// How long the screen has to end by itself after a signal.
#[cfg(unix)]
const GRACE: Duration = Duration::from_secs(1);

/// The terminal, taken over; dropping it gives it back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    terminated: Arc<AtomicBool>,
    has_mouse: bool,
}

impl Screen {
    pub fn open() -> io::Result<Self> {
        take_over()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()));
        let terminal = terminal.inspect_err(|_| restore())?;
        let terminated = Arc::new(AtomicBool::new(false));
        let screen = Self {
            terminal,
            terminated,
            has_mouse: false,
        };
        screen.listen_to_signals()?;
        Ok(screen)
    }

    /// Draws a frame; only cells that changed are written.
    pub fn draw(&mut self, render: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.terminal.draw(|frame| render(frame.buffer_mut()))?;
        Ok(())
    }

    /// Forgets what is on the screen, so that the next frame writes every cell.
    ///
    /// `Terminal::clear` would ask the terminal where its cursor is and wait for the answer, which a terminal need not
    /// give and which the thread that reads keys may take; a new size, be it the old one, clears without asking.
    pub fn clear(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    pub fn size(&self) -> (u16, u16) {
        let size = self.terminal.size().unwrap_or_default();
        (size.width, size.height)
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

    pub fn is_terminated(&self) -> bool {
        self.terminated.load(Ordering::Relaxed)
    }

    /// Gives the terminal back and puts the program to sleep, as shells expect; takes it over again on waking up.
    #[cfg(unix)]
    pub fn suspend(&mut self) -> io::Result<()> {
        restore();
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        take_over()?;
        self.has_mouse = false;
        self.clear()
    }

    #[cfg(not(unix))]
    pub fn suspend(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Notes a signal that asks the program to end, and sees to it that it ends: once its terminal has gone away, a
    /// read from it may never return.
    #[cfg(unix)]
    fn listen_to_signals(&self) -> io::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT])?;
        let terminated = Arc::clone(&self.terminated);
        let wait = move || {
            if let Some(signal) = signals.forever().next() {
                terminated.store(true, Ordering::Relaxed);
                thread::sleep(GRACE);
                restore();
                process::exit(128 + signal);
            }
        };
        thread::Builder::new().name("signals".into()).spawn(wait)?;
        // A terminal can go away without a signal, when whoever would have sent it went first. Reading from it then
        // never returns, and so the thread that reads cannot notice.
        let watch = || {
            while io::stdout().is_terminal() {
                thread::sleep(GRACE);
            }
            restore();
            process::exit(128 + SIGHUP);
        };
        thread::Builder::new()
            .name("terminal".into())
            .spawn(watch)?;
        Ok(())
    }

    #[cfg(not(unix))]
    fn listen_to_signals(&self) -> io::Result<()> {
        Ok(())
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

/// Gives the terminal back. What fails cannot be helped, and does no harm when done twice.
pub fn restore() {
    let _ = execute!(
        io::stdout(),
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    let _ = disable_raw_mode();
}

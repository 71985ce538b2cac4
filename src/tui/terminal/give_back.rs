//! Giving the terminal back. What fails cannot be helped, and does no harm when done twice.

use std::io;
#[cfg(unix)]
use std::{fs::File, io::Write, thread, time::Duration};

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{LeaveAlternateScreen, disable_raw_mode};

/// Gives the terminal back.
pub fn restore() {
    let _ = write(&mut io::stdout());
    let _ = disable_raw_mode();
}

fn write(out: &mut impl io::Write) -> io::Result<()> {
    execute!(
        out,
        DisableMouseCapture,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    )
}

/// Gives the terminal back while another thread may be waiting for it to read: what waits is thrown away, and nothing
/// is waited for.
#[cfg(unix)]
pub fn without_waiting() {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::termios::{QueueSelector, tcflush};

    let _ = disable_raw_mode();
    // Another opening of it, for not to wait is a property that all who share one have.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(terminal) = open("/dev/tty", flags, Mode::empty()) else {
        return;
    };
    let mut terminal = File::from(terminal);
    let mut sequences = Vec::new();
    let _ = write(&mut sequences);
    for attempt in 0..TRIES {
        if attempt > 0 {
            let _ = tcflush(&terminal, QueueSelector::OFlush);
            thread::sleep(PAUSE);
        }
        match terminal.write(&sequences) {
            Ok(written) if written == sequences.len() => return,
            Ok(written) => drop(sequences.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // What was thrown away may have been the rest of a sequence: broken off and ended before anything else.
                if attempt == 0 {
                    sequences.splice(..0, *b"\x18\x1b\\");
                }
            }
            Err(_) => return,
        }
    }
}

#[cfg(unix)]
const TRIES: usize = 20;
#[cfg(unix)]
const PAUSE: Duration = Duration::from_millis(10);

//! The thread that reads the terminal. It alone does, so that what the terminal answers and what is typed come in the
//! order in which they were sent.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use super::events::Message;

/// Bytes that are read at once.
const PIECE: usize = 4096;
/// How often a terminal is looked at that somebody has told not to wait.
const PAUSE: Duration = Duration::from_millis(20);

/// Begins to read; bytes go to `sender`.
pub fn start(sender: SyncSender<Message>) -> io::Result<()> {
    let mut terminal = terminal()?;
    let read = move || {
        let mut bytes = [0; PIECE];
        loop {
            let message = match terminal.read(&mut bytes) {
                Ok(count @ 1..) => Message::Bytes(bytes[..count].to_vec(), Instant::now()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(PAUSE);
                    continue;
                }
                Ok(0) | Err(_) => {
                    let _ = sender.send(Message::Gone);
                    return;
                }
            };
            if sender.send(message).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".into()).spawn(read)?;
    Ok(())
}

/// Standard input, or where that is something else the terminal that the program runs in.
fn terminal() -> io::Result<File> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        Ok(File::from(stdin.as_fd().try_clone_to_owned()?))
    } else {
        File::open("/dev/tty")
    }
}

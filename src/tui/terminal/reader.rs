//! The thread that reads the terminal. It alone does, so that what the terminal answers and what is typed come in the
//! order in which they were sent. It stops before the terminal is given back: what is typed then is the shell's.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::events::Message;

/// Bytes that are read at once.
const PIECE: usize = 4096;
/// How often a terminal is looked at that somebody has told not to wait.
const PAUSE: Duration = Duration::from_millis(20);

/// The thread, while it reads.
pub struct Reader {
    thread: JoinHandle<()>,
    /// Closed when the thread is to stop.
    stop: UnixStream,
}

impl Reader {
    /// Begins to read; bytes go to `sender`.
    pub fn start(sender: SyncSender<Message>) -> io::Result<Self> {
        let mut terminal = terminal()?;
        let (stop, stopped) = UnixStream::pair()?;
        let read = move || {
            let mut bytes = [0; PIECE];
            while waits_for(&terminal, &stopped) {
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
        let thread = thread::Builder::new().name("keys".into()).spawn(read)?;
        Ok(Self { thread, stop })
    }

    /// Tells the thread to stop, and waits until it has; `take` is called meanwhile, for the thread may wait until there
    /// is room for what it has read.
    pub fn stop(self, mut take: impl FnMut()) {
        drop(self.stop);
        while !self.thread.is_finished() {
            take();
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Waits until the terminal has something to read, or is gone: true; or until the thread is to stop.
#[allow(unsafe_code)] // The standard library does not wait for two things at once.
fn waits_for(terminal: &File, stopped: &UnixStream) -> bool {
    let wanted = |fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut both = [wanted(terminal.as_raw_fd()), wanted(stopped.as_raw_fd())];
    loop {
        // SAFETY: the pointer and the number are those of an array that outlives the call.
        let ready = unsafe { libc::poll(both.as_mut_ptr(), 2, -1) };
        let is_interrupted = || io::Error::last_os_error().kind() == ErrorKind::Interrupted;
        if ready < 0 && is_interrupted() {
            continue;
        }
        // Where it cannot be waited for in this way, to read it waits.
        return both[1].revents == 0;
    }
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

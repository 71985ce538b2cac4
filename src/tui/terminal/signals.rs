//! Signals while the terminal is taken over: it is given back before the program ends or sleeps, whatever it is at.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;

use super::give_back;
use crate::signals::{ENDING, Number, end_as, heeded};

/// How long the screen has to end by itself after a signal.
const GRACE: Duration = Duration::from_secs(1);

/// What signals have asked for, until it is taken: a storm of them takes no memory.
#[derive(Debug, Default)]
pub struct Requests {
    ended: AtomicI32,
    resized: AtomicBool,
    stopped: AtomicBool,
    continued: AtomicBool,
}

impl Requests {
    /// The signal that asks the program to end.
    pub fn ended(&self) -> Option<Number> {
        Some(self.ended.load(Relaxed)).filter(|signal| *signal != 0)
    }

    /// Has the window another size?
    pub fn take_resized(&self) -> bool {
        self.resized.swap(false, Relaxed)
    }

    /// Is the program to sleep?
    pub fn take_stopped(&self) -> bool {
        self.stopped.swap(false, Relaxed)
    }

    /// Was the program woken up?
    pub fn take_continued(&self) -> bool {
        self.continued.swap(false, Relaxed)
    }

    /// The terminal is gone, which is as good as the signal that says so.
    pub fn hang_up(&self) {
        let _ = self.ended.compare_exchange(0, SIGHUP, Relaxed, Relaxed);
    }
}

/// Listens to signals on a thread of its own; `wake` is called after each that asks for something.
pub fn listen(requests: &Arc<Requests>, mut wake: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut wanted = heeded(ENDING);
    wanted.extend(heeded(&[SIGTSTP]));
    wanted.extend([SIGCONT, SIGWINCH]);
    let mut signals = Signals::new(wanted)?;
    let requests = Arc::clone(requests);
    let listen = move || {
        for signal in signals.forever() {
            match signal {
                SIGWINCH => requests.resized.store(true, Relaxed),
                SIGTSTP => requests.stopped.store(true, Relaxed),
                SIGCONT => requests.continued.store(true, Relaxed),
                signal if requests.ended().is_some() => end(signal),
                signal => {
                    requests.ended.store(signal, Relaxed);
                    // The screen may be waiting for a terminal that does not read.
                    thread::spawn(move || {
                        thread::sleep(GRACE);
                        end(signal);
                    });
                }
            }
            wake();
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(listen)?;
    Ok(())
}

/// Gives the terminal back without the screen, and ends the program as after `signal`.
fn end(signal: Number) -> ! {
    give_back::without_waiting();
    end_as(signal);
}

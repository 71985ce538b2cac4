//! What happens on a panic: on the screen's thread the terminal is restored first; elsewhere the message is kept for
//! the screen to show, and nothing is printed over it.

use std::panic;
use std::sync::Mutex;
use std::thread;

static MESSAGE: Mutex<Option<String>> = Mutex::new(None);

/// Installs the hook for as long as the returned guard lives. Call it on the screen's thread; `restore` brings the
/// terminal back.
pub fn install(restore: fn()) -> Guard {
    let screen = thread::current().id();
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == screen {
            restore();
            previous(info);
        } else if let Ok(mut message) = MESSAGE.lock() {
            *message = Some(info.to_string().replace('\n', " "));
        }
    }));
    Guard
}

/// Takes the message of the last panic on a thread that is not the screen's.
pub fn take_message() -> String {
    let message = MESSAGE.lock().ok().and_then(|mut message| message.take());
    message.unwrap_or_else(|| "the worker panicked".to_owned())
}

pub struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        // Setting a hook while panicking would itself panic.
        if !thread::panicking() {
            drop(panic::take_hook());
        }
    }
}

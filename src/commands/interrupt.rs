//! Signals that ask a command without a screen to end.

use crate::trace::CancelToken;

/// Cancels the run when a signal asks the process to end that whoever started it has not told it to ignore; a second one
/// ends it at once.
#[cfg(unix)]
pub fn cancel_on_signals(cancel: &CancelToken) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use std::sync::atomic::Ordering::Relaxed;

    let mut signals = Signals::new(crate::signals::heeded(&[SIGINT, SIGTERM, SIGHUP]))?;
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if cancel.is_cancelled() {
                end_as(signal);
            }
            RECEIVED.store(signal, Relaxed);
            cancel.cancel();
        }
    });
    Ok(())
}

/// The signal that has cancelled the run: SIGINT where none has.
#[cfg(unix)]
static RECEIVED: std::sync::atomic::AtomicI32 =
    std::sync::atomic::AtomicI32::new(signal_hook::consts::SIGINT);

/// How a process ends that was cancelled.
#[cfg(unix)]
pub fn exit_status() -> u8 {
    crate::signals::exit_status(RECEIVED.load(std::sync::atomic::Ordering::Relaxed))
}

#[cfg(unix)]
pub use crate::signals::end_as;

/// Elsewhere, Ctrl-C ends the process at once.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
pub fn cancel_on_signals(_: &CancelToken) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub fn exit_status() -> u8 {
    130
}

#[cfg(not(unix))]
pub fn end_as(_: i32) -> ! {
    std::process::exit(1)
}

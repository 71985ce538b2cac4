//! Signals, as shells and terminals expect a program to take them.
//!
//! What whoever started the program told it to ignore stays ignored: `nohup` the hang-up, a shell without job control
//! the interrupt of what runs in the background.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::{Duration, Instant};

use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2,
    SIGVTALRM, SIGXCPU,
};
use signal_hook::low_level::emulate_default_handler;

/// A signal's number.
pub type Number = i32;

/// Nobody wakes a program up sooner.
const AT_ONCE: Duration = Duration::from_millis(20);

/// What ends a program that does not say otherwise, and can be sent to it from outside.
pub const ENDING: &[Number] = &[
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF,
    SIGXCPU,
];

/// Those of `signals` that are not ignored. Ask before a handler is installed.
pub fn heeded(signals: &[Number]) -> Vec<Number> {
    let heeded = signals.iter().filter(|signal| !is_ignored(**signal));
    heeded.copied().collect()
}

/// Ends the program, which has done what is to be done before, as after `signal`. One that is sent to look into a program
/// does what it does to any other one.
#[allow(unsafe_code)] // The standard library's way runs what C libraries want to do at the end.
pub fn end_as(signal: Number) -> ! {
    if ![SIGHUP, SIGINT, SIGTERM].contains(&signal) {
        let _ = emulate_default_handler(signal);
    }
    // SAFETY: nothing is left to be done. Other threads may be in the middle of a call to the GPU's driver, which its own
    // end would take everything away from.
    unsafe { libc::_exit(exit_status(signal).into()) }
}

/// The exit status by which shells know that a signal ended a program.
pub fn exit_status(signal: Number) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// Stops all processes of the program's group, as ctrl-z does in a terminal: a shell script or `make` that the program
/// runs under must stop, too, for the shell above them to go on. Returns when the group is continued: true. The system
/// stops no group that nobody could continue, as one whose terminal was opened for it alone: false, at once.
#[allow(unsafe_code)] // The standard library sends no signals.
pub fn stop_group() -> io::Result<bool> {
    if is_ignored(SIGTSTP) {
        return Ok(false);
    }
    // SAFETY: all zeros is an action: the default one, with no flag and no signal blocked.
    let default: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let before = action(SIGTSTP, &raw const default)?;
    let start = Instant::now();
    // SAFETY: no memory is passed; 0 is the group of whoever calls.
    let sent = unsafe { libc::kill(0, SIGTSTP) };
    let error = io::Error::last_os_error();
    action(SIGTSTP, &raw const before)?;
    if sent == 0 {
        Ok(start.elapsed() > AT_ONCE)
    } else {
        Err(error)
    }
}

#[allow(unsafe_code)] // The standard library does not ask for a signal's action, and does not change it.
fn action(signal: Number, new: *const libc::sigaction) -> io::Result<libc::sigaction> {
    let mut old = MaybeUninit::uninit();
    // SAFETY: `new` is null or points to an action, `old` to a place for one, which is filled where 0 is returned.
    unsafe {
        if libc::sigaction(signal, new, old.as_mut_ptr()) == 0 {
            Ok(old.assume_init())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

fn is_ignored(signal: Number) -> bool {
    action(signal, ptr::null()).is_ok_and(|action| action.sa_sigaction == libc::SIG_IGN)
}

//! The commands, one file each, and what they share: printing, warnings, errors and exit codes.

mod advice;
mod inspect;
mod interrupt;
mod lesson;
mod load;
mod memory;
mod model;
mod replay;
mod run;
mod schedule;
mod schema;
mod stdin;
mod tokenize;

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use crate::cli::{Cli, Command};
use crate::export::write_lines;
use crate::generation;
use crate::model::tokenizer::Tokens;
use crate::text::{self, visible};
use crate::tui;
use advice::advise;

/// Does what the command line asks for, and says how the process ends: 0 done, 1 failed, 2 wrong usage, 3 done with
/// values that are not finite, and 128 more than the number of the signal that ended it, as 130 after Ctrl-C.
pub fn main() -> ExitCode {
    quiet_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return answer(&error),
    };
    let result = std::panic::catch_unwind(|| execute(cli));
    match result {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => report(error),
        // The panic hook has said what happened.
        Err(_) => ExitCode::from(FAILED),
    }
}

/// Does what the command line asks for.
pub(crate) fn execute(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        None => inspect::inspect(cli.inspect),
        Some(Command::Inspect(args)) => inspect::inspect(args),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Replay(args)) => replay::replay(&args),
        Some(Command::Lesson(args)) => lesson::lesson(args),
        Some(Command::Tokenize(args)) => tokenize::tokenize(args),
        Some(Command::Schedule(args)) => schedule::schedule(&args),
        Some(Command::Model(args)) => model::model(args.command),
        Some(Command::Schema(args)) => schema::schema(&args),
    }
}

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const NOT_FINITE: u8 = 3;

/// Wrong usage that shows only after the command line is parsed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// The reader of standard output went away: `diffuscope schedule | head -1`. Nothing is wrong.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
struct OutputClosed;

/// A run that was written, and whose numbers were NaN or infinite somewhere: that has been said.
#[derive(Debug, thiserror::Error)]
#[error("the run had values that are NaN or infinite")]
struct NotFiniteRun;

/// Help and version as asked for, or what is wrong with the command line.
fn answer(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // Not coloured, because what the user typed is quoted in it and may hold control characters of its own.
        let message = error.render().to_string();
        let _ = io::stderr().write_all(visible(&message).as_bytes());
        return ExitCode::from(WRONG_USAGE);
    }
    let _ = error.print();
    ExitCode::SUCCESS
}

/// Prints an error and says how the process ends.
fn report(error: anyhow::Error) -> ExitCode {
    if error.is::<OutputClosed>() {
        return ExitCode::SUCCESS;
    }
    if error.is::<NotFiniteRun>() {
        return ExitCode::from(NOT_FINITE);
    }
    if error.chain().any(is_cancelled) {
        complain("cancelled", "nothing was written");
        return ExitCode::from(interrupt::exit_status());
    }
    if let Some(tui::Ended(signal)) = error.downcast_ref() {
        interrupt::end_as(*signal);
    }
    let is_usage = error.is::<UsageError>();
    complain("error", &whole_message(&advise(error)));
    if is_usage {
        let _ = writeln!(io::stderr(), "\nFor more information, try '--help'.");
        return ExitCode::from(WRONG_USAGE);
    }
    ExitCode::from(FAILED)
}

fn is_cancelled(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(
        error.downcast_ref::<generation::Error>(),
        Some(generation::Error::Cancelled)
    )
}

/// The error's message with those of its causes that it does not quote itself.
fn whole_message(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

fn complain(kind: &str, message: &str) {
    // Where even standard error cannot be written to, nobody is left to tell.
    let _ = writeln!(io::stderr(), "{kind}: {}", visible(message));
}

/// Prints a warning.
fn warn(message: &str) {
    complain("warning", message);
}

/// Refuses what needs a whole screen where there is none: `what` needs it, and there is `another_way`.
fn full_screen(what: &str, another_way: &str) -> anyhow::Result<()> {
    if !io::stdout().is_terminal() {
        anyhow::bail!("{what} needs a terminal, and standard output is none; {another_way}");
    }
    let term = std::env::var("TERM").unwrap_or_default();
    if cfg!(unix) && (term.is_empty() || term == "dumb") {
        let term = if term.is_empty() { "not set" } else { "dumb" };
        anyhow::bail!(
            "{what} needs a terminal that can move its cursor, and by the environment this one cannot (TERM is {term}); \
             {another_way}. Where the terminal can, set TERM to its name, as in TERM=xterm-256color"
        );
    }
    Ok(())
}

/// Prints to standard output.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) => {
            // What is still in the buffer would be written again on drop.
            let _ = out.into_parts();
            if error.kind() == ErrorKind::BrokenPipe {
                return Err(OutputClosed.into());
            }
            anyhow::bail!("cannot write to standard output: {error}")
        }
    }
}

/// Prints a JSON object: one line a member, and one an item of those of its lists that `lists` names. JSON itself only
/// escapes the first 32 control characters; here are no others either.
fn print_json(document: &impl Serialize, lists: &'static [&'static str]) -> anyhow::Result<()> {
    let mut json = Vec::new();
    write_lines(&mut json, document, lists)?;
    let json = text::escaped_json(&String::from_utf8(json)?);
    print(|out| out.write_all(json.as_bytes()))
}

/// What to warn of when tokens of the text did not fit.
fn truncation(what: &str, tokens: &Tokens) -> Option<String> {
    let first = tokens.truncated.first()?;
    let count = tokens.truncated.len();
    let capacity = tokens.content().len();
    Some(format!(
        "the {what} has {} tokens and the model takes {capacity}: it does not see the last {count}, from {:?} on",
        capacity + count,
        first.piece.trim_end_matches("</w>")
    ))
}

/// A panic is a mistake in the program: it says so in a line or two, instead of a backtrace.
fn quiet_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(|place| format!(" ({}:{})", place.file(), place.line()))
            .unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("unknown");
        complain(
            "error",
            &format!(
                "a mistake in diffuscope itself: {message}{place}; with RUST_BACKTRACE=1 it says more"
            ),
        );
    }));
}

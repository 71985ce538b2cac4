//! The program: parse the command line, call one command, print one error.

use std::process::ExitCode;

fn main() -> ExitCode {
    diffuscope::commands::main()
}

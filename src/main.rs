//! The program: parse the command line, call one command, print one error.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A picture inside the networks is tens of megabytes, and there are hundreds of them a step. The system's allocator gives
/// such pieces back at once and gets them anew page by page, cleared, which takes as long as what is computed in them;
/// this one keeps them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    diffuscope::main()
}

//! `diffuscope model`: download, list and check models.

mod check;
mod fetch;
mod list;

use crate::cli::ModelCommand;

/// Does what the subcommand says.
pub fn model(command: ModelCommand) -> anyhow::Result<()> {
    match command {
        ModelCommand::Fetch(args) => fetch::fetch(args),
        ModelCommand::List => list::list(),
        ModelCommand::Check(args) => check::check(&args),
    }
}

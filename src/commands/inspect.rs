//! `diffuscope inspect`: the full-screen inspector.

use super::full_screen;
use super::load::loader;
use super::stdin;
use crate::cli::{DEFAULT_PROMPT, InspectArgs};
use crate::tui;

/// Opens the inspector.
pub fn inspect(args: InspectArgs) -> anyhow::Result<()> {
    full_screen(
        "the inspector",
        "`diffuscope run -p TEXT` works without one",
    )?;
    let prompt = match args.prompt {
        Some(prompt) => stdin::or_standard_input(prompt)?,
        None => DEFAULT_PROMPT.to_owned(),
    };
    let export = args.export.options();
    // Better known now than when the first run is done.
    export.check_places()?;
    tui::run(tui::Options {
        loader: loader(args.model, args.size.size),
        request: args.request.patch(prompt),
        screen: args.screen.options(),
        export,
    })
}

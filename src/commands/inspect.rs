//! `diffuscope inspect`: the full-screen inspector.

use std::io::IsTerminal;

use anyhow::bail;

use crate::cli::{DEFAULT_PROMPT, InspectArgs};
use crate::tui;

use super::{source, text};

/// Opens the inspector.
pub fn inspect(args: InspectArgs) -> anyhow::Result<()> {
    if !std::io::stdout().is_terminal() {
        bail!(
            "the inspector needs a terminal, and standard output is none; `diffuscope run -p TEXT` works without one"
        );
    }
    let prompt = match args.prompt {
        Some(prompt) => text::or_standard_input(prompt)?,
        None => DEFAULT_PROMPT.to_owned(),
    };
    let export = args.export.plan();
    // Better known now than when the first run is done.
    export.check_places()?;
    tui::run(tui::Options {
        source: source(&args.model.model),
        device: args.model.device,
        request: args.request.overrides(prompt),
        attention_budget: args.attention_budget as usize * 1024 * 1024,
        images: args.images,
        export,
    })
}

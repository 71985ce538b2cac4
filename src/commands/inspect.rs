//! `diffuscope inspect`: the full-screen inspector.

use std::ffi::OsStr;
use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::bail;

use crate::checkpoint::Checkpoint;
use crate::cli::{DEFAULT_PROMPT, InspectArgs, ModelArgs};
use crate::generation::Pipeline;
use crate::tui;
use crate::tui::worker::{Loader, Opened};

use super::{memory, source, stdin};

/// Opens the inspector.
pub fn inspect(args: InspectArgs) -> anyhow::Result<()> {
    if !std::io::stdout().is_terminal() {
        bail!(
            "the inspector needs a terminal, and standard output is none; `diffuscope run -p TEXT` works without one"
        );
    }
    let prompt = match args.prompt {
        Some(prompt) => stdin::or_standard_input(prompt)?,
        None => DEFAULT_PROMPT.to_owned(),
    };
    let export = args.export.plan();
    // Better known now than when the first run is done.
    export.check_places()?;
    tui::run(tui::Options {
        loader: loader(args.model, args.size.size),
        request: args.request.patch(prompt),
        attention_budget: args.screen.attention_bytes(),
        images: args.screen.images,
        export,
    })
}

/// Loads the model that `args` name, for pictures of `size`, or another one of its own size on the same device.
pub(super) fn loader(args: ModelArgs, size: Option<(usize, usize)>) -> Loader {
    Box::new(move |other| {
        let size = size.filter(|_| other.is_none());
        let checkpoint = Checkpoint::open(&source(other.map_or(&args.model, OsStr::new)))?;
        let (device, chosen) = args.device.open_and_say()?;
        let dtype = args.dtype.on(&device)?;
        let memory = memory::forecast(&checkpoint, dtype, &device, size)?;
        let notes: Vec<String> = chosen.into_iter().chain(memory).collect();
        let pipeline = Pipeline::load_as(&checkpoint, &device, dtype, size)?;
        Ok(Opened {
            pipeline: Arc::new(pipeline),
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        })
    })
}

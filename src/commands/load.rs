//! Opening a model as `--model`, `--device`, `--dtype` and `--size` ask for it: the one way for every command.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use super::advice::{advise, device_note};
use super::memory;
use crate::checkpoint::{Checkpoint, Source};
use crate::cli::ModelArgs;
use crate::generation::Pipeline;
use crate::tui::worker::{Loader, Opened};

/// The model that `--model` names.
pub fn source(model: &OsStr) -> Source {
    match model.to_str() {
        Some(model) => Source::parse(model),
        None => Source::Path(PathBuf::from(model)),
    }
}

/// Loads `model` on the device and in the numbers that `args` ask for, for pictures of `size` or of its own. What a
/// user should know of the device and the memory goes to `note` before the weights are read, which takes time.
pub fn load(
    model: &OsStr,
    args: &ModelArgs,
    size: Option<(usize, usize)>,
    note: impl FnMut(String),
) -> anyhow::Result<Pipeline> {
    let checkpoint = Checkpoint::open(&source(model))?;
    let (device, chosen) = args.device.open()?;
    let dtype = args.dtype.on(&device)?;
    let memory = memory::forecast(&checkpoint, dtype, &device, size)?;
    let chosen = chosen.as_ref().map(device_note);
    let notes = checkpoint.notes.iter().cloned();
    notes.chain(chosen).chain(memory).for_each(note);
    Ok(Pipeline::load_as(&checkpoint, &device, dtype, size)?)
}

/// For the inspector: loads the model that `args` name for pictures of `size`, or another one of its own size on the
/// same device.
pub fn loader(args: ModelArgs, size: Option<(usize, usize)>) -> Loader {
    Box::new(move |other| {
        let size = size.filter(|_| other.is_none());
        let model = other.map_or(args.model.as_os_str(), OsStr::new);
        let mut notes = Vec::new();
        let pipeline = load(model, &args, size, |note| notes.push(note)).map_err(advise)?;
        Ok(Opened {
            pipeline: Arc::new(pipeline),
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        })
    })
}

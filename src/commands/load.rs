//! Opening a model as `--model`, `--device`, `--dtype` and `--size` ask for it: the one way for every command.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;

use super::advice::{advise, device_note};
use super::memory;
use crate::checkpoint::{Checkpoint, Source};
use crate::cli::ModelArgs;
use crate::generation::{DecoderType, NumberTypes, Pipeline};
use crate::tui::worker::{Loader, NotLoaded, Opened};
use crate::tui::{errors, notes};

/// The model that `--model` names.
pub fn source(model: &OsStr) -> Source {
    match model.to_str() {
        Some(model) => Source::parse(model),
        None => Source::Path(PathBuf::from(model)),
    }
}

/// Loads `model` on the device and in the numbers that `args` ask for, for pictures of `size` or of its own. What a
/// user should know of the device and the memory goes to `say` before the weights are read, which takes time; what is
/// wrong with those, after. It is told whether that is a `note` or a `warning`.
pub fn load(
    model: &OsStr,
    args: &ModelArgs,
    size: Option<(usize, usize)>,
    mut say: impl FnMut(&'static str, String),
) -> anyhow::Result<Pipeline> {
    // The variant is that of the model that the arguments name.
    let variant = args.variant.as_deref();
    let variant = variant.filter(|_| model == args.model.as_os_str());
    let checkpoint = Checkpoint::open_variant(&source(model), variant)?;
    // First of all: what cannot be drawn needs no memory.
    let image_size = Pipeline::image_size(&checkpoint, size)?;
    let (device, chosen) = args.device.open()?;
    let upcast = checkpoint.vae.force_upcast;
    let types = NumberTypes::on(&device, args.dtype, args.vae_dtype, upcast)?;
    let memory = memory::forecast(&checkpoint, types.networks, &device, image_size)?;
    let chosen = chosen.iter().map(device_note);
    let decoder = decoder_note(types);
    let notes = checkpoint.notes.iter().cloned();
    let notes = notes.chain(chosen).chain(memory).chain(decoder);
    notes.for_each(|note| say("note", note));
    let pipeline = Pipeline::load_as(&checkpoint, &device, types, size)?;
    for warning in checkpoint.not_finite() {
        say("warning", warning);
    }
    Ok(pipeline)
}

/// What to say of an autoencoder that computes in another type than the networks.
fn decoder_note(types: NumberTypes) -> Option<String> {
    match types.decoder {
        DecoderType::Fixed(dtype) if dtype != types.networks => Some(format!(
            "pictures are decoded in {}; the other networks compute in {}",
            dtype.as_str(),
            types.networks.as_str()
        )),
        _ => None,
    }
}

/// For the inspector: loads the model that `args` name for pictures of `size`, or another one of its own size on the
/// same device.
pub fn loader(args: ModelArgs, size: Option<(usize, usize)>) -> Loader {
    Box::new(move |other| {
        let size = size.filter(|_| other.is_none());
        let model = other.map_or(args.model.as_os_str(), OsStr::new);
        let mut notes = Vec::new();
        let pipeline = load(model, &args, size, |_, note| notes.push(note)).map_err(|error| {
            let chinese = errors::chinese_of(&error);
            NotLoaded([format!("{:#}", advise(error)), chinese])
        })?;
        let chinese: Vec<String> = notes.iter().map(|note| notes::chinese(note)).collect();
        let note = [notes.join("; "), chinese.join("；")];
        Ok(Opened {
            pipeline: Arc::new(pipeline),
            note: (!notes.is_empty()).then_some(note),
        })
    })
}

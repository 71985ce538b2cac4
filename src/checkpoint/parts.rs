//! The parts of a checkpoint, each read by itself: opening needs all of them, a check reports on each.

use super::{
    Component, SCHEDULER,
    config::Reader,
    error::CheckpointError,
    extras::Extras,
    files::Files,
    layout::{Layout, TEXT_PREFIX, TensorProblem},
    locate, single_file, tokenizer,
    weights::{TensorFile, Weights},
};
use crate::model::config::{TextEncoderConfig, UNetConfig, VaeConfig};
use crate::scheduler::SchedulerConfig;
use crate::text::printable;

/// What was read of a checkpoint, or why not.
pub struct Parts {
    /// The text encoder.
    pub text_encoder: Part<TextEncoderConfig>,
    /// The UNet.
    pub unet: Part<UNetConfig>,
    /// The autoencoder.
    pub vae: Part<VaeConfig>,
    /// The noise schedule.
    pub scheduler: Result<SchedulerConfig, CheckpointError>,
    /// The files of the tokenizer's vocabulary.
    pub vocabulary: Result<Vec<&'static str>, CheckpointError>,
    /// Settings that suit the checkpoint.
    pub extras: Result<Extras, CheckpointError>,
    /// Tensors of a single file that belong to no network, in alphabetical order.
    pub others: Vec<String>,
}

/// A network: its configuration and its weights.
pub struct Part<C> {
    /// Its configuration.
    pub config: Result<C, CheckpointError>,
    /// Its weights, their header read.
    pub weights: Result<Weights, CheckpointError>,
    /// The file of its weights in the folder; none in a single file.
    pub path: Option<&'static str>,
}

/// How weights compare with what their configuration asks for.
#[derive(Default)]
pub struct Fit {
    /// What cannot be used, in the order of the network.
    pub problems: Vec<TensorProblem>,
    /// Tensors that no layer asks for, in alphabetical order.
    pub unexpected: Vec<String>,
}

impl Parts {
    /// Reads the parts of a checkpoint. The error is that of a single file that cannot be read at all.
    pub fn of(files: &Files) -> Result<Self, CheckpointError> {
        match files {
            Files::Embedded | Files::Folder(_) => Ok(Self::of_folder(files)),
            Files::Single(_) => single_file::parts(files),
        }
    }

    /// Reads the parts of a folder in diffusers' layout, or of the embedded checkpoint.
    pub fn of_folder(files: &Files) -> Self {
        let json = |path: &str, what| {
            let path = files.need(&[path], what)?;
            Reader::new(&files.shown_file(path), &files.read(path)?)
        };
        let text_json = json(
            "text_encoder/config.json",
            "the text encoder's configuration is",
        );
        let unet_json = json("unet/config.json", "the UNet's configuration is");
        let vae_json = json("vae/config.json", "the autoencoder's configuration is");
        let (text_encoder, _) = configured(text_json, TextEncoderConfig::read);
        let (mut unet, unet_json) = configured(unet_json, UNetConfig::read);
        let (mut vae, vae_json) = configured(vae_json, VaeConfig::read);
        if let (Ok(text), Ok(config), Some(json)) = (&text_encoder, &unet, &unet_json)
            && config.cross_attention_dim != text.hidden_size
        {
            let expected = format!("{}, the text encoder's hidden_size", text.hidden_size);
            unet = Err(json.wrong("cross_attention_dim", &expected));
        }
        if let (Ok(unet), Ok(config), Some(json)) = (&unet, &vae, &vae_json)
            && config.latent_channels != unet.in_channels
        {
            let expected = format!("{}, the UNet's in_channels", unet.in_channels);
            vae = Err(json.wrong("latent_channels", &expected));
        }
        Self {
            text_encoder: part(files, Component::TextEncoder, text_encoder),
            unet: part(files, Component::UNet, unet),
            vae: part(files, Component::Vae, vae),
            scheduler: read_scheduler(files),
            vocabulary: tokenizer::vocabulary(files),
            extras: Extras::read(files),
            others: Vec::new(),
        }
    }
}

impl<C> Part<C> {
    /// What does not fit in the weights; nothing where configuration or weights could not be read.
    pub fn fit(&self, layout: impl Fn(&C) -> Layout) -> Fit {
        match (&self.config, &self.weights) {
            (Ok(config), Ok(weights)) => {
                let layout = layout(config);
                Fit {
                    problems: layout.problems(weights),
                    unexpected: layout.unexpected(weights),
                }
            }
            _ => Fit::default(),
        }
    }
}

/// Reads a configuration from its file, which is handed on for messages about it.
fn configured<C>(
    json: Result<Reader, CheckpointError>,
    read: impl Fn(&Reader) -> Result<C, CheckpointError>,
) -> (Result<C, CheckpointError>, Option<Reader>) {
    match json {
        Ok(json) => (read(&json), Some(json)),
        Err(error) => (Err(error), None),
    }
}

fn part<C>(files: &Files, component: Component, config: Result<C, CheckpointError>) -> Part<C> {
    let prefix = match component {
        Component::TextEncoder => TEXT_PREFIX,
        Component::UNet | Component::Vae => "",
    };
    let path = locate::weights_path(files, component);
    let found = path.as_ref().ok().copied();
    Part {
        config,
        weights: path.and_then(|path| Ok(TensorFile::open(files, path)?.into_weights(prefix))),
        path: found,
    }
}

/// The scheduler's configuration, with values that some sampler can work with.
fn read_scheduler(files: &Files) -> Result<SchedulerConfig, CheckpointError> {
    let path = files.need(&[SCHEDULER], "the scheduler's configuration is")?;
    let bytes = files.read(path)?;
    let file = files.shown_file(path);
    // For the better message where it is no JSON object at all.
    Reader::new(&file, &bytes)?;
    let wrong = |error: &dyn std::fmt::Display| CheckpointError::Scheduler {
        file: file.clone(),
        reason: printable(&error.to_string()),
    };
    let scheduler: SchedulerConfig =
        serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    scheduler.validate().map_err(|error| wrong(&error))?;
    Ok(scheduler)
}

//! A checkpoint in a folder of diffusers' layout, or the embedded one, whose files are those of such a folder.

use super::{
    Files,
    contents::{Contents, Network},
    locate, tokenizer,
    weights::WeightFiles,
};
use crate::checkpoint::{
    component::Component,
    config::{self, Extras, Pipeline, Reader},
    error::CheckpointError,
    layout::TEXT_PREFIX,
};
use crate::model::config::{TextEncoderConfig, UNetConfig, VaeConfig};

pub const SCHEDULER: &str = "scheduler/scheduler_config.json";
pub const TEXT_ENCODER: &str = "text_encoder/config.json";
pub const UNET: &str = "unet/config.json";
pub const VAE: &str = "vae/config.json";

/// Reads what a folder holds, each part by itself; of the weights those of `variant`, where they are there.
pub fn read(files: &Files, variant: Option<&str>) -> Contents {
    let mut notes = Vec::new();
    // What is wrong with the index has been found when the folder was located.
    let index = files.has(locate::INDEX).then(|| files.json(locate::INDEX));
    let pipeline = index.and_then(|json| json.and_then(Pipeline::read).ok());
    let pipeline = pipeline.unwrap_or_default();
    notes.extend(pipeline.notes);
    let extras = match files.has_optional(Extras::FILE) {
        Ok(true) => {
            let what = "its settings are";
            config(files, Extras::FILE, what, &mut notes, Extras::read)
        }
        Ok(false) => Ok(Extras::default()),
        Err(error) => Err(error),
    };
    let preferred = extras
        .as_ref()
        .map_or(None, |extras| extras.default_scheduler);
    let what = "the scheduler's configuration is";
    let scheduler = config(files, SCHEDULER, what, &mut notes, |json| {
        config::scheduler(json, pipeline.scheduler, preferred)
    });
    let what = "the text encoder's configuration is";
    let text_encoder = config(
        files,
        TEXT_ENCODER,
        what,
        &mut notes,
        TextEncoderConfig::read,
    );
    let what = "the UNet's configuration is";
    let mut unet = config(files, UNET, what, &mut notes, UNetConfig::read);
    let what = "the autoencoder's configuration is";
    let mut vae = config(files, VAE, what, &mut notes, VaeConfig::read);
    if let (Ok(text), Ok(config)) = (&text_encoder, &unet)
        && config.cross_attention_dim != text.hidden_size
    {
        let expected = format!("{}, the text encoder's hidden_size", text.hidden_size);
        unet = Err(wrong(files, UNET, "cross_attention_dim", &expected));
    }
    if let (Ok(unet), Ok(config)) = (&unet, &vae)
        && config.latent_channels != unet.in_channels
    {
        let expected = format!("{}, the UNet's in_channels", unet.in_channels);
        vae = Err(wrong(files, VAE, "latent_channels", &expected));
    }
    Contents {
        text_encoder: network(files, Component::TextEncoder, variant, text_encoder),
        unet: network(files, Component::UNet, variant, unet),
        vae: network(files, Component::Vae, variant, vae),
        scheduler,
        vocabulary: tokenizer::vocabulary(files),
        extras,
        notes,
        others: Vec::new(),
    }
}

/// Reads the configuration in `path`, and what is to be said of it; `what` says what is missing where there is none.
fn config<C>(
    files: &Files,
    path: &str,
    what: &'static str,
    notes: &mut Vec<String>,
    read: impl FnOnce(Reader) -> Result<(C, Vec<String>), CheckpointError>,
) -> Result<C, CheckpointError> {
    let (config, own) = read(files.json(files.need(&[path], what)?)?)?;
    notes.extend(own);
    Ok(config)
}

/// The error that `key` does not fit another network's configuration.
fn wrong(files: &Files, path: &str, key: &str, expected: &str) -> CheckpointError {
    match files.json(path) {
        Ok(json) => json.wrong(key, expected),
        Err(error) => error,
    }
}

fn network<C>(
    files: &Files,
    component: Component,
    variant: Option<&str>,
    config: Result<C, CheckpointError>,
) -> Network<C> {
    let prefix = match component {
        Component::TextEncoder => TEXT_PREFIX,
        Component::UNet | Component::Vae => "",
    };
    let found = WeightFiles::find(files, component, variant);
    Network {
        config,
        paths: found
            .as_ref()
            .map_or_else(|_| Vec::new(), WeightFiles::paths),
        weights: found.and_then(|found| Ok(found.open(files)?.into_weights(prefix))),
    }
}

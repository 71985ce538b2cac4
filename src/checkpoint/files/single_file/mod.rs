//! A checkpoint in one file, with the names of the code that Stable Diffusion v1 was first published with.
//!
//! Such a file has tensors and nothing else: no configurations, no tokenizer, no noise schedule. The tensors are told
//! apart by the beginnings of their names, the configurations are read from their shapes ([`structure`]), the tokenizer
//! is CLIP's, and the noise schedule is Stable Diffusion v1's.

mod kind;
mod kinds;
mod names;
mod structure;

use std::collections::{HashMap, HashSet};

use super::{
    Files,
    contents::{Contents, Network},
    tokenizer,
};
use crate::checkpoint::{
    config::Extras,
    error::CheckpointError,
    layout::{Layout, TEXT_PREFIX},
    weights::{TensorFile, Weights},
};
use crate::model::config::{TextEncoderConfig, UNetConfig, VaeConfig};
use crate::scheduler::{PredictionType, SchedulerConfig};
use structure::Structure;

/// Reads what a single file holds; the error is that of a file that cannot be opened or is of another kind.
pub fn read(files: &Files) -> Result<Contents, CheckpointError> {
    let file = TensorFile::open(files, "")?;
    kind::refuse_others(&file)?;
    // Files that were saved again by newer transformers leave `text_model.` out.
    let full = format!("{}{TEXT_PREFIX}", names::TEXT_ENCODER);
    let text_prefix = if file.names().any(|name| name.starts_with(&full)) {
        full
    } else {
        names::TEXT_ENCODER.to_owned()
    };
    let structure = Structure::of(&file, &text_prefix);

    let text_encoder = network(
        structure.text_encoder,
        &file,
        Layout::text_encoder,
        |name, _| {
            let name = name.strip_prefix(TEXT_PREFIX).unwrap_or(name);
            format!("{text_prefix}{name}")
        },
        false,
    );
    let mut unet = network(structure.unet, &file, Layout::unet, names::unet, false);
    // Its attention was written with 1x1 convolutions.
    let mut vae = network(structure.vae, &file, Layout::vae, names::vae, true);
    refuse_other_widths(&file, &text_encoder, &mut unet, &mut vae);
    // The tensors of a network whose structure is not known are not called left over.
    let unknown: Vec<&str> = [
        (text_encoder.config.is_err(), names::TEXT_ENCODER),
        (unet.config.is_err(), names::UNET),
        (vae.config.is_err(), names::VAE),
    ]
    .into_iter()
    .filter_map(|(is_unknown, prefix)| is_unknown.then_some(prefix))
    .collect();
    let networks = [&text_encoder.weights, &unet.weights, &vae.weights];
    let others = others(&file, &networks, &unknown);
    Ok(Contents {
        scheduler: Ok(scheduler(&file)),
        vocabulary: tokenizer::vocabulary(&files.of_tokenizer()),
        extras: Ok(Extras::default()),
        notes: Vec::new(),
        text_encoder,
        unet,
        vae,
        others,
    })
}

/// Refuses networks that take other widths than they are given.
fn refuse_other_widths(
    file: &TensorFile,
    text_encoder: &Network<TextEncoderConfig>,
    unet: &mut Network<UNetConfig>,
    vae: &mut Network<VaeConfig>,
) {
    if let (Ok(text), Ok(config)) = (&text_encoder.config, &unet.config)
        && config.cross_attention_dim != text.hidden_size
    {
        unet.config = Err(CheckpointError::OtherKind {
            file: file.file().to_owned(),
            reason: format!(
                "its UNet takes prompt embeddings of {} numbers and its text encoder gives {}",
                config.cross_attention_dim, text.hidden_size
            ),
        });
    }
    if let (Ok(unet), Ok(config)) = (&unet.config, &vae.config)
        && config.latent_channels != unet.in_channels
    {
        vae.config = Err(CheckpointError::OtherKind {
            file: file.file().to_owned(),
            reason: format!(
                "its UNet takes latents of {} channels and its autoencoder those of {}",
                unet.in_channels, config.latent_channels
            ),
        });
    }
}

/// A network's share of a single file: `own_name` gives a tensor's original name.
fn network<C>(
    config: Result<C, CheckpointError>,
    file: &TensorFile,
    layout: impl Fn(&C) -> Layout,
    own_name: impl Fn(&str, &C) -> String,
    linear_attention: bool,
) -> Network<C> {
    let names: HashMap<String, String> = match &config {
        Ok(config) => layout(config)
            .names()
            .map(|name| (name.to_owned(), own_name(name, config)))
            .collect(),
        Err(_) => HashMap::new(),
    };
    let is_linear = |name: &str| linear_attention && name.contains(".attentions.");
    Network {
        config,
        weights: Ok(file.share(names, is_linear)),
        paths: Vec::new(),
    }
}

/// Stable Diffusion v1's noise schedule. Fine-tunes that predict the velocity say so with a tensor named `v_pred`.
fn scheduler(file: &TensorFile) -> SchedulerConfig {
    SchedulerConfig {
        prediction_type: if file.shape("v_pred").is_some() {
            PredictionType::VPrediction
        } else {
            PredictionType::Epsilon
        },
        ..SchedulerConfig::stable_diffusion_v1()
    }
}

/// The tensors that no network asks for, in alphabetical order.
fn others(
    file: &TensorFile,
    networks: &[&Result<Weights, CheckpointError>],
    unknown: &[&str],
) -> Vec<String> {
    let known: HashSet<String> = networks
        .iter()
        .filter_map(|weights| weights.as_ref().ok())
        .flat_map(|weights| {
            let parameters = weights.parameters().into_iter();
            parameters.map(|parameter| weights.own_name(&parameter.name).to_owned())
        })
        .collect();
    let mut others: Vec<String> = file
        .names()
        .filter(|name| !known.contains(*name))
        .filter(|name| !unknown.iter().any(|prefix| name.starts_with(prefix)))
        .map(str::to_owned)
        .collect();
    others.sort_unstable();
    others
}

//! What was read of a checkpoint, part by part: opening needs all of them, a check reports on each.

use crate::checkpoint::{
    config::Extras,
    error::CheckpointError,
    layout::{Layout, TensorProblem},
    weights::{NotFinite, Weights},
};
use crate::model::config::{TextEncoderConfig, UNetConfig, VaeConfig};
use crate::scheduler::SchedulerConfig;

/// What was read of a checkpoint, or why not.
pub struct Contents {
    pub text_encoder: Network<TextEncoderConfig>,
    pub unet: Network<UNetConfig>,
    pub vae: Network<VaeConfig>,
    pub scheduler: Result<SchedulerConfig, CheckpointError>,
    /// The files of the tokenizer's vocabulary.
    pub vocabulary: Result<Vec<&'static str>, CheckpointError>,
    pub extras: Result<Extras, CheckpointError>,
    /// What the configurations ask for that is done in another way, or passed over: a sentence each, with the file.
    pub notes: Vec<String>,
    /// Tensors of a single file that belong to no network, in alphabetical order.
    pub others: Vec<String>,
}

/// A network: its configuration and its weights.
pub struct Network<C> {
    pub config: Result<C, CheckpointError>,
    /// Its weights, their header read.
    pub weights: Result<Weights, CheckpointError>,
    /// The files of its weights in the folder; none in a single file.
    pub paths: Vec<String>,
}

/// How weights compare with what their configuration asks for.
#[derive(Default)]
pub struct Fit {
    /// What cannot be used, in the order of the network.
    pub problems: Vec<TensorProblem>,
    /// Tensors that no layer asks for, in alphabetical order.
    pub unexpected: Vec<String>,
    /// What is not finite in the others.
    pub not_finite: Vec<NotFinite>,
}

impl Contents {
    /// The files of the networks' weights, as far as they are there.
    pub fn weight_paths(&self) -> Vec<String> {
        [&self.text_encoder.paths, &self.unet.paths, &self.vae.paths]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

impl<C> Network<C> {
    /// What does not fit in the weights; nothing where configuration or weights could not be read.
    pub fn fit(&self, layout: impl Fn(&C) -> Layout) -> Fit {
        match (&self.config, &self.weights) {
            (Ok(config), Ok(weights)) => {
                let layout = layout(config);
                Fit {
                    problems: layout.problems(weights),
                    unexpected: layout.unexpected(weights),
                    not_finite: layout.not_finite(weights),
                }
            }
            _ => Fit::default(),
        }
    }
}

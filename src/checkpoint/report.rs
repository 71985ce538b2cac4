//! Everything there is to know of a checkpoint without running it, and everything that is wrong with it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    CheckpointError, Component, Source,
    files::{Files, contents::Network, digest, locate, tokenizer},
    layout::{Layout, TensorProblem, refuse},
    weights::{NotFinite, Weights, not_finite_in_words},
};
use crate::scheduler::{SchedulerConfig, SchedulerKind};
use crate::text::printable;

/// What a check of a checkpoint found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `little-world`, the file's or folder's name, or the repository's.
    pub name: String,
    /// The folder or file, as it was found.
    pub path: String,
    /// Can it be run? It can where there are no problems.
    pub can_run: bool,
    /// What keeps it from being run, in words; the tensors that do not fit are counted here and named below.
    pub problems: Vec<String>,
    /// What does not keep it from being run, and is good to know: weights that are not finite, settings that are passed over.
    pub warnings: Vec<String>,
    /// What its configurations ask for that is done in another way, or passed over, as in diffusers.
    pub notes: Vec<String>,
    pub components: Vec<ComponentReport>,
    /// The scheduler that a run takes where none is asked for; none where the configuration cannot be read.
    pub default_scheduler: Option<SchedulerKind>,
    /// What it was trained to predict, and with which noise; none where it cannot be read.
    pub scheduler: Option<SchedulerConfig>,
    /// Width and height of its pictures, in pixels; none where it cannot be read.
    pub picture_size: Option<(usize, usize)>,
    /// Tensors of a single file that belong to none of the networks.
    pub other_tensors: Vec<String>,
    /// The SHA-256 of each file that is read, by its path in the folder; of a single file, by its path.
    pub files: BTreeMap<String, String>,
    /// What identifies the checkpoint: see [`Checkpoint::sha256`](super::Checkpoint::sha256).
    pub sha256: Option<String>,
}

/// What a check found of one network.
#[derive(Debug, Serialize)]
pub struct ComponentReport {
    pub component: Component,
    /// The file that its weights are in; none where there is none.
    pub file: Option<String>,
    /// How many tensors there are.
    pub tensors: usize,
    /// How many numbers they hold.
    pub parameters: usize,
    /// How many of them in which type.
    pub dtypes: BTreeMap<String, usize>,
    /// Tensors that are missing, or have another shape or type, in the order of the network.
    pub wrong: Vec<TensorProblem>,
    /// Numbers that are not finite, in tensors that the network asks for.
    pub not_finite: Vec<NotFinite>,
    /// Tensors that no layer asks for; they do no harm.
    pub unexpected: Vec<String>,
}

impl Report {
    /// Reads all of a checkpoint, looks for weights that are not finite, and hashes its files: seconds for gigabytes.
    ///
    /// # Errors
    /// Those of a path where there is no checkpoint at all, or one of another kind.
    pub fn of(source: &Source, variant: Option<&str>) -> Result<Self, CheckpointError> {
        let files = locate::locate(source)?;
        let contents = locate::read(&files, variant)?;
        let mut problems = Vec::new();
        let components = vec![
            component(
                Component::TextEncoder,
                &contents.text_encoder,
                Layout::text_encoder,
                &mut problems,
            ),
            component(Component::UNet, &contents.unet, Layout::unet, &mut problems),
            component(Component::Vae, &contents.vae, Layout::vae, &mut problems),
        ];
        let mut warnings: Vec<String> = components
            .iter()
            .filter_map(|component| not_finite_in_words(&component.not_finite))
            .collect();
        warnings.extend(tokenizer::warnings(&files.of_tokenizer()));
        let picture_size = match (&contents.unet.config, &contents.vae.config) {
            (Ok(unet), Ok(vae)) => {
                let (width, height) = unet.sample_size;
                Some((width * vae.scale(), height * vae.scale()))
            }
            _ => None,
        };
        if let (Ok(text_encoder), Ok(_)) = (&contents.text_encoder.config, &contents.vocabulary) {
            let tokenizer = tokenizer::read(&files.of_tokenizer(), text_encoder);
            noted(tokenizer, &mut problems);
        }
        let weight_paths = contents.weight_paths();
        let digests = digest::digests(&files, &weight_paths);
        let digests = noted(digests, &mut problems);
        noted(contents.vocabulary, &mut problems);
        let extras = noted(contents.extras, &mut problems).unwrap_or_default();
        let scheduler = noted(contents.scheduler, &mut problems);
        let name = locate::name(source, &files);
        Ok(Self {
            path: files.shown(),
            can_run: problems.is_empty(),
            problems,
            warnings,
            notes: contents.notes,
            components,
            default_scheduler: scheduler
                .as_ref()
                .map(|scheduler| extras.default_scheduler(scheduler)),
            scheduler,
            picture_size,
            other_tensors: contents.others,
            sha256: digests
                .as_deref()
                .map(|digests| digest::of_checkpoint(&files, digests)),
            files: digests
                .unwrap_or_default()
                .into_iter()
                .map(|(path, digest)| match &files {
                    Files::Single(_) => (files.shown(), digest),
                    Files::Embedded | Files::Folder(_) => (path.to_owned(), digest),
                })
                .collect(),
            name,
        })
    }

    /// Everything that is wrong or unusual, a line each, tensor by tensor.
    pub fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for component in &self.components {
            let name = component.component.name();
            for problem in &component.wrong {
                lines.push(format!("{name}: {}", problem.describe()));
            }
            for found in &component.not_finite {
                lines.push(format!("{name}: {}", found.describe()));
            }
            for tensor in &component.unexpected {
                let tensor = printable(tensor);
                lines.push(format!(
                    "{name}: tensor {tensor} is not asked for by any layer (no harm)"
                ));
            }
        }
        lines
    }
}

/// What could be read; else the reason is one more problem.
fn noted<T>(read: Result<T, CheckpointError>, problems: &mut Vec<String>) -> Option<T> {
    read.map_err(|error| problems.push(error.to_string())).ok()
}

/// In a sentence, what tensors do not fit.
fn misfit(weights: &Weights, problems: &[TensorProblem]) -> Option<String> {
    match problems.first()? {
        TensorProblem::Type { .. } | TensorProblem::Scale { .. } => {
            let refused = refuse(weights, problems);
            refused.err().map(|error| error.to_string())
        }
        TensorProblem::Missing { .. } | TensorProblem::Shape { .. } => Some(format!(
            "{}: {} {} not fit; {}",
            weights.file(),
            problems.len(),
            if problems.len() == 1 {
                "tensor does"
            } else {
                "tensors do"
            },
            weights.described_by().doubt()
        )),
    }
}

fn component<C>(
    component: Component,
    network: &Network<C>,
    layout: impl Fn(&C) -> Layout,
    problems: &mut Vec<String>,
) -> ComponentReport {
    let fit = network.fit(layout);
    problems.extend(network.config.as_ref().err().map(ToString::to_string));
    problems.extend(network.weights.as_ref().err().map(ToString::to_string));
    let weights = network.weights.as_ref().ok();
    if let Some(weights) = weights {
        problems.extend(misfit(weights, &fit.problems));
    }
    let parameters = weights.map(Weights::parameters).unwrap_or_default();
    let mut dtypes = BTreeMap::new();
    for parameter in &parameters {
        *dtypes.entry(parameter.dtype.clone()).or_default() += parameter.numbers();
    }
    ComponentReport {
        component,
        file: weights.map(|weights| weights.file().to_owned()),
        tensors: parameters.len(),
        parameters: dtypes.values().sum(),
        dtypes,
        wrong: fit.problems,
        not_finite: fit.not_finite,
        unexpected: fit.unexpected,
    }
}

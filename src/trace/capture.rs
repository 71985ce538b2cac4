//! The hook that records what passes through the networks.

use candle_core::{IndexOp as _, Tensor};

use super::options::{Guidance, RecordOptions};
use super::stats::PendingStats;
use super::{AttentionMaps, ModuleStats, TensorData};
use crate::generation::{AttentionLayer, Pipeline};
use crate::model::hook::BatchItems;
use crate::model::{self, AttentionDetail, Hook};

/// A module whose output passed, and the statistics of it that the device may still be working on.
#[derive(Debug)]
pub(super) struct PendingModule {
    path: String,
    shape: Vec<usize>,
    stats: PendingStats,
}

/// What the hook recorded.
#[derive(Debug, Default)]
pub(super) struct Captured {
    /// The text encoder's layers and embeddings.
    pub outputs: Vec<TensorData>,
    /// Its attention, the mean over heads.
    pub text_attention: Vec<TensorData>,
    /// The same for every head.
    pub text_heads: Vec<TensorData>,
    /// Modules, in the order in which they passed.
    pub modules: Vec<PendingModule>,
    /// The layers whose probabilities passed, and their number of heads where those were kept apart.
    pub attention: Vec<(AttentionLayer, Option<usize>)>,
    /// Their probabilities, `(tokens, pixels)` or `(heads, tokens, pixels)`.
    pub probs: Vec<Tensor>,
}

/// The hook that records. What lies on a GPU stays there until the step is done.
pub(super) struct Capture<'a> {
    options: &'a RecordOptions,
    layers: Vec<AttentionLayer>,
    /// Which of a guided step's two predictions is recorded.
    guidance: Guidance,
    /// So far.
    pub captured: Captured,
}

impl<'a> Capture<'a> {
    pub fn new(options: &'a RecordOptions, pipeline: &Pipeline, guidance: Guidance) -> Self {
        Self {
            options,
            layers: pipeline.info().cross_attention.clone(),
            guidance,
            captured: Captured::default(),
        }
    }

    /// Keeps `(batch, queries, keys)` or `(batch, heads, queries, keys)`.
    fn cross_attention(
        &mut self,
        layer: &AttentionLayer,
        probs: &Tensor,
    ) -> candle_core::Result<()> {
        let probs = self.item(probs)?;
        let rank = probs.rank();
        let heads = (rank == 3).then_some(layer.heads);
        self.captured.attention.push((layer.clone(), heads));
        self.captured
            .probs
            .push(probs.transpose(rank - 2, rank - 1)?);
        Ok(())
    }

    /// The recorded prediction's item of a batch: the last one with the prompt; a guided batch has uncond first.
    fn item(&self, value: &Tensor) -> candle_core::Result<Tensor> {
        value.i(match self.guidance {
            Guidance::Cond => value.dim(0)? - 1,
            Guidance::Uncond => 0,
        })
    }

    /// Is the whole output at `path` kept, and not only its statistics?
    fn keeps(&self, path: &str) -> bool {
        self.options.layers
            && (is_text_layer(path) || ["token_embedding", "position_embedding"].contains(&path))
    }

    fn layer(&self, path: &str) -> Option<&AttentionLayer> {
        self.layers.iter().find(|layer| layer.path == path)
    }
}

/// Is `path` one of the text encoder's layers, and not a part of one?
fn is_text_layer(path: &str) -> bool {
    path.strip_prefix("text_model.encoder.layers.")
        .is_some_and(|rest| !rest.contains('.'))
}

impl Hook for Capture<'_> {
    fn check(&mut self) -> Result<(), model::Error> {
        self.options.cancel.clone().check()
    }

    fn wants_output(&self, path: &str) -> bool {
        self.options.modules || self.keeps(path)
    }

    fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, model::Error> {
        let value = self.item(value)?;
        // Values that are not kept stay where they are: their statistics are enough.
        let kept = self
            .keeps(path)
            .then(|| TensorData::from_tensor(path, &value));
        let kept = kept.transpose()?;
        if self.options.modules {
            let stats = match &kept {
                Some(tensor) => PendingStats::Known(tensor.stats),
                None => PendingStats::of(&value)?,
            };
            self.captured.modules.push(PendingModule {
                path: path.to_owned(),
                shape: value.dims().to_vec(),
                stats,
            });
        }
        self.captured.outputs.extend(kept);
        Ok(None)
    }

    fn wants_attention(&self, path: &str) -> AttentionDetail {
        if self.layer(path).is_some() {
            self.options.attention
        } else if self.options.layers && path.starts_with("text_model.") {
            AttentionDetail::Heads
        } else {
            AttentionDetail::None
        }
    }

    fn attention_items(&self, path: &str) -> BatchItems {
        match self.guidance {
            _ if self.layer(path).is_none() => BatchItems::All,
            Guidance::Cond => BatchItems::Last,
            Guidance::Uncond => BatchItems::First,
        }
    }

    fn attention(&mut self, path: &str, probs: &Tensor) -> Result<(), model::Error> {
        if let Some(layer) = self.layer(path).cloned() {
            self.cross_attention(&layer, probs)?;
        } else {
            // The heads are few and small here; their mean is what is exported.
            let heads = probs.dim(1)?;
            let mean = (probs.sum(1)? / heads as f64)?;
            self.captured
                .text_attention
                .push(TensorData::from_tensor(path, &mean)?);
            self.captured
                .text_heads
                .push(TensorData::from_tensor(path, probs)?);
        }
        Ok(())
    }
}

/// Maps of `layers`, for each of which `values` has those of its probabilities.
pub(super) fn attention_maps(
    layers: Vec<(AttentionLayer, Option<usize>)>,
    values: impl Iterator<Item = Vec<f32>>,
) -> Vec<AttentionMaps> {
    let map = |((layer, heads), data): ((AttentionLayer, _), Vec<f32>)| AttentionMaps {
        path: layer.path.into(),
        heads,
        tokens: data.len() / (heads.unwrap_or(1) * layer.height * layer.width),
        height: layer.height,
        width: layer.width,
        data: data.into(),
    };
    layers.into_iter().zip(values).map(map).collect()
}

/// Statistics of the modules that passed; waits for the device.
pub(super) fn module_stats(modules: Vec<PendingModule>) -> candle_core::Result<Vec<ModuleStats>> {
    let (names, pending): (Vec<_>, Vec<_>) = modules
        .into_iter()
        .map(|module| ((module.path, module.shape), module.stats))
        .unzip();
    let stats = PendingStats::ask(&pending)?;
    let all = names.into_iter().zip(stats);
    let module = |((path, shape), stats)| ModuleStats { path, shape, stats };
    Ok(all.map(module).collect())
}

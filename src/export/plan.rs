//! What is to be written of a run, decided before it begins.

use std::path::{Path, PathBuf};

use super::{
    DestinationError, ExportError, OutputFile, OutputFolder, RunMetadata, TensorSelection,
    save_trace, tensor_names, write_png,
};
use crate::generation::{self, ModelInfo};
use crate::model::AttentionDetail;
use crate::trace::{AttentionMaps, Guidance, RecordOptions, Recorder, Trace};

/// What is to be written of a run: what `--png`, `--json`, `--tensors`, `--attention` and `--modules` ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportOptions {
    /// The picture's file.
    pub png: Option<PathBuf>,
    /// The folder of the export.
    pub json: Option<PathBuf>,
    /// What becomes of that folder if it is there already.
    pub existing: OnExisting,
    /// Names of the tensors that are exported, see [`TensorSelection::of`]; `None` for the default selection.
    pub tensors: Option<Vec<String>>,
    /// How much of the UNet's cross-attention is exported.
    pub attention: AttentionDetail,
    /// Are statistics of every module's output exported?
    pub modules: bool,
}

/// What becomes of a folder that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExisting {
    /// It is filled if it is empty, and otherwise refused.
    #[default]
    Refuse,
    /// An earlier export in it is replaced.
    Replace,
    /// It is left alone: the new one gets a number after its name.
    Keep,
}

/// Tensors that cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorSelectionError {
    /// There are none of that name.
    #[error("--tensors asks for `{name}`, and there is no such tensor; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are, with commas between them.
        known: String,
    },
    /// Attention is asked for and left out.
    #[error("--tensors asks for `{0}` and --attention none leaves it out; drop one of the two")]
    LeftOut(String),
}

/// A finished run that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveRunError {
    /// The tensors that were asked for cannot be had.
    #[error(transparent)]
    TensorSelection(#[from] TensorSelectionError),
    /// It could not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// Attention could not be computed again.
    #[error(transparent)]
    Generation(#[from] generation::Error),
}

impl From<DestinationError> for SaveRunError {
    fn from(error: DestinationError) -> Self {
        Self::Export(error.into())
    }
}

impl ExportOptions {
    /// Is anything to be written?
    pub fn is_empty(&self) -> bool {
        self.png.is_none() && self.json.is_none()
    }

    /// Can the places be written to? Better known before the work than after it. Leaves nothing there.
    pub fn check_places(&self) -> Result<(), DestinationError> {
        self.file()?;
        self.folder()?;
        Ok(())
    }

    /// The picture's file, prepared.
    pub fn file(&self) -> Result<Option<OutputFile>, DestinationError> {
        self.png.as_deref().map(OutputFile::at).transpose()
    }

    /// The export's folder, prepared.
    pub fn folder(&self) -> Result<Option<OutputFolder>, DestinationError> {
        let at = |path: &Path| match self.existing {
            OnExisting::Refuse => OutputFolder::at(path, false),
            OnExisting::Replace => OutputFolder::at(path, true),
            OnExisting::AddNumber => OutputFolder::new_at(path),
        };
        self.json.as_deref().map(at).transpose()
    }

    /// The tensors that are asked for, each of which the model has to have.
    pub fn selection(&self, info: &ModelInfo) -> Result<TensorSelection, TensorSelectionError> {
        let Some(names) = &self.tensors else {
            return Ok(TensorSelection::default());
        };
        let selection = TensorSelection::of(names);
        let known = self.names(info);
        let without = self.attention == AttentionDetail::None;
        match selection.unknown(&known) {
            None => Ok(selection),
            Some(name) if name.starts_with("attention") && without => {
                Err(TensorSelectionError::LeftOut(name.to_owned()))
            }
            Some(name) => Err(TensorSelectionError::Unknown {
                name: name.to_owned(),
                known: known.join(", "),
            }),
        }
    }

    /// What has to be recorded for the export; nothing without one.
    pub fn record_options(&self, info: &ModelInfo) -> Result<RecordOptions, TensorSelectionError> {
        let selection = self.selection(info)?;
        if self.json.is_none() {
            return Ok(RecordOptions::default());
        }
        let wanted: Vec<String> = self
            .names(info)
            .into_iter()
            .filter(|name| selection.contains(name))
            .collect();
        let is_layer = |name: &String| {
            name.starts_with("text_model.")
                || name == "token_embedding"
                || name == "position_embedding"
        };
        let has_attention = wanted.iter().any(|name| name.starts_with("attention/"));
        Ok(RecordOptions {
            layers: wanted.iter().any(is_layer),
            modules: self.modules,
            attention: if has_attention {
                self.attention
            } else {
                AttentionDetail::None
            },
            ..RecordOptions::default()
        })
    }

    /// Writes a finished run that was kept in memory, `recorder`'s; returns what was written. Attention that `trace` does
    /// not keep in the detail that is asked for is computed again, a step at a time. Statistics of modules are there only
    /// if the run was recorded with them.
    pub fn write(&self, recorder: &Recorder, trace: &Trace) -> Result<Vec<PathBuf>, SaveRunError> {
        let mut written = Vec::new();
        let metadata =
            RunMetadata::new(recorder.pipeline(), trace.request.clone(), &trace.branches);
        if let (Some(file), Some(image)) = (self.file()?, &trace.image) {
            let picture = |out: &mut dyn std::io::Write| {
                write_png(out, &image.image, &metadata.request, &metadata.model)
            };
            written.push(file.publish(picture)?);
        }
        if let Some(folder) = self.folder()? {
            let info = recorder.pipeline().info();
            let selection = self.selection(info)?;
            let detail = self.record_options(info)?.attention;
            let attention = |step| -> Result<_, SaveRunError> {
                let kept = trace.attention.step(step);
                match detail {
                    AttentionDetail::None => Ok(Vec::new()),
                    AttentionDetail::Mean if is_mean(kept) => Ok(kept.to_vec()),
                    _ => Ok(recorder.attention_at(step, detail, Guidance::Cond)?),
                }
            };
            written.push(save_trace(folder, metadata, trace, selection, attention)?);
        }
        Ok(written)
    }

    /// The names that tensors of the export can have.
    fn names(&self, info: &ModelInfo) -> Vec<String> {
        let layers = info.cross_attention.iter();
        let layers = layers.filter(|_| self.attention != AttentionDetail::None);
        tensor_names(info.text_layers, layers.map(|layer| layer.path.as_str()))
    }
}

fn is_mean(maps: &[AttentionMaps]) -> bool {
    !maps.is_empty() && maps.iter().all(|maps| maps.heads.is_none())
}

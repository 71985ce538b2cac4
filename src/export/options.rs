//! What is to be written of a run, decided before it begins.

use std::path::{Path, PathBuf};

use super::selection::ATTENTION;
use super::{DestinationError, OutputFile, OutputFolder, TensorSelection, tensor_names};
use crate::generation::ModelInfo;
use crate::model::AttentionDetail;
use crate::trace::RecordOptions;

/// What is to be written of a run, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportOptions {
    /// The picture's file, as PNG.
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
    AddNumber,
}

/// Tensors that cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorSelectionError {
    /// There are none of that name.
    #[error("there is no tensor `{name}`; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are, with commas between them.
        known: String,
    },
    /// Attention is asked for and left out.
    #[error("`{0}` is asked for, and attention is left out")]
    LeftOut(String),
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
        self.png.as_deref().map(OutputFile::picture).transpose()
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
        let has_attention = wanted.iter().any(|name| name.starts_with(ATTENTION));
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

    /// The names that tensors of the export can have.
    fn names(&self, info: &ModelInfo) -> Vec<String> {
        let layers = info.cross_attention.iter();
        let layers = layers.filter(|_| self.attention != AttentionDetail::None);
        tensor_names(info.text_layers, layers.map(|layer| layer.path.as_str()))
    }
}

//! Safetensors files: the header is checked when one is opened. Weights that are split over several files (shards) are
//! opened as one.

use std::{collections::HashMap, ops::Range, sync::Arc};

use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::{DescribedBy, Weights};
use crate::checkpoint::{
    error::CheckpointError,
    files::{Bytes, Files, Index},
    format,
};
use crate::text::printable;

/// An open safetensors file, or several that belong together: tensors by the names that they have there.
#[derive(Debug)]
pub struct TensorFile {
    /// For messages: the file, or the index of several.
    pub(super) file: String,
    pub(super) parts: Vec<Part>,
    pub(super) tensors: HashMap<String, Stored>,
}

/// One file of weights.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// For messages.
    pub file: String,
    /// For documents: without where the checkpoint lies.
    pub name: String,
    pub bytes: Arc<Bytes>,
}

/// Where a tensor lies.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Which of the files.
    pub part: usize,
    pub range: Range<usize>,
}

impl TensorFile {
    /// Opens the file at `path` and checks its header.
    pub fn open(files: &Files, path: &str) -> Result<Self, CheckpointError> {
        let (part, tensors) = open(files, path, 0)?;
        Ok(Self {
            file: part.file.clone(),
            parts: vec![part],
            tensors: tensors.into_iter().collect(),
        })
    }

    /// Opens the files that an index names, and checks that each holds what the index says.
    pub fn open_all(files: &Files, index: &Index) -> Result<Self, CheckpointError> {
        let file = files.shown_file(&index.path);
        let wrong = |reason: String| CheckpointError::Weights {
            file: file.clone(),
            reason,
        };
        let mut whole = Self {
            file: file.clone(),
            parts: Vec::new(),
            tensors: HashMap::new(),
        };
        for (number, shard) in index.shards.iter().enumerate() {
            let (part, tensors) = open(files, shard, number)?;
            whole.parts.push(part);
            for (name, stored) in tensors {
                if let Some(before) = whole.tensors.get(&name) {
                    return Err(wrong(format!(
                        "tensor {} is in two files, {} and {}, and which of them counts is not known; save the checkpoint again",
                        printable(&name),
                        whole.parts[before.part].file,
                        whole.parts[number].file
                    )));
                }
                whole.tensors.insert(name, stored);
            }
        }
        for (name, shard) in &index.tensors {
            let found = whole.tensors.get(name);
            if found.is_none_or(|stored| index.shards[stored.part] != *shard) {
                return Err(wrong(format!(
                    "tensor {} is not in {}, where the index says it is; the files do not belong together: download or save them again",
                    printable(name),
                    files.shown_file(shard)
                )));
            }
        }
        Ok(whole)
    }

    /// The file, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The names of all tensors, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|stored| &stored.shape[..])
    }

    /// The whole file as the weights of one network. Every tensor's name gets `prefix` unless one has it already.
    pub fn into_weights(self, prefix: &str) -> Weights {
        let has_prefix = self.tensors.keys().any(|name| name.starts_with(prefix));
        let tensors = if has_prefix {
            self.tensors
        } else {
            self.tensors
                .into_iter()
                .map(|(name, stored)| (format!("{prefix}{name}"), stored))
                .collect()
        };
        Weights::new(
            Self { tensors, ..self },
            HashMap::new(),
            DescribedBy::Config,
        )
    }

    /// A network's share of the file. `own_names` gives for each name of diffusers the one in the file; those of them
    /// that are in the file are taken, and 1x1 convolutions become linear layers' matrices where `is_linear` says so.
    pub fn share(
        &self,
        own_names: HashMap<String, String>,
        is_linear: impl Fn(&str) -> bool,
    ) -> Weights {
        let tensors = own_names
            .iter()
            .filter_map(|(name, own)| {
                let mut stored = self.tensors.get(own)?.clone();
                if is_linear(name) && stored.shape.ends_with(&[1, 1]) && stored.shape.len() == 4 {
                    stored.shape.truncate(2);
                }
                Some((name.clone(), stored))
            })
            .collect();
        let share = Self {
            file: self.file.clone(),
            parts: self.parts.clone(),
            tensors,
        };
        Weights::new(share, own_names, DescribedBy::Structure)
    }
}

/// Opens a file as part `number` of its weights.
fn open(
    files: &Files,
    path: &str,
    number: usize,
) -> Result<(Part, Vec<(String, Stored)>), CheckpointError> {
    let file = files.shown_file(path);
    let bytes = files.map(path)?;
    let (header, metadata) =
        SafeTensors::read_metadata(&bytes).map_err(|error| no_header(&file, &bytes, &error))?;
    // `read_metadata` has checked that every range lies in the file and fits shape and type.
    let start = header + size_of::<u64>();
    let tensors = metadata
        .tensors()
        .into_iter()
        .map(|(name, info)| {
            let stored = Stored {
                dtype: info.dtype,
                shape: info.shape.clone(),
                part: number,
                range: start + info.data_offsets.0..start + info.data_offsets.1,
            };
            (name, stored)
        })
        .collect();
    let bytes = Arc::new(bytes);
    let name = files.named_file(path);
    Ok((Part { file, name, bytes }, tensors))
}

/// The error for a file whose header could not be read: what it is instead, or else how it is damaged.
fn no_header(file: &str, bytes: &[u8], error: &SafeTensorError) -> CheckpointError {
    let start = &bytes[..bytes.len().min(format::ENOUGH)];
    match format::of(start) {
        Some(format) if format.kind != format::Kind::Safetensors => {
            CheckpointError::other_file(file, "a safetensors file", format)
        }
        _ => CheckpointError::Weights {
            file: file.to_owned(),
            reason: damage(bytes, error),
        },
    }
}

/// What is wrong with a file whose header could not be read, in words.
fn damage(bytes: &[u8], error: &SafeTensorError) -> String {
    const AGAIN: &str = "copy or download it again";
    let length = bytes.len();
    let header = bytes
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes));
    match error {
        SafeTensorError::HeaderTooSmall => format!(
            "truncated: a safetensors file begins with 8 bytes that give its header's length, and the file has {length}; {AGAIN}"
        ),
        SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeaderLength => format!(
            "truncated, or not a safetensors file: its header should have {header} bytes, and the file has {length}; {AGAIN}"
        ),
        SafeTensorError::MetadataIncompleteBuffer => match declared_length(bytes, header) {
            Some(declared) if declared > length as u64 => {
                format!("truncated: it should have {declared} bytes and has {length}; {AGAIN}")
            }
            Some(declared) => format!(
                "damaged: its header describes {declared} bytes and the file has {length}; {AGAIN}"
            ),
            None => format!("damaged: its header does not describe its contents; {AGAIN}"),
        },
        other => format!(
            "damaged, or not a safetensors file: {}; {AGAIN}",
            printable(&other.to_string())
        ),
    }
}

/// How long the file should be, by its header: the end of its last tensor.
fn declared_length(bytes: &[u8], header: u64) -> Option<u64> {
    let end = usize::try_from(header.checked_add(8)?).ok()?;
    let json: serde_json::Value = serde_json::from_slice(bytes.get(8..end)?).ok()?;
    let data = json
        .as_object()?
        .values()
        .filter_map(|tensor| tensor.get("data_offsets")?.get(1)?.as_u64())
        .max()?;
    data.checked_add(8)?.checked_add(header)
}

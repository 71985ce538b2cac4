//! Safetensors files: the header is checked when one is opened, tensors are converted when they are asked for.

use std::{collections::HashMap, ops::Range, sync::Arc};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::{
    error::CheckpointError,
    files::{Bytes, Files},
};
use crate::text::printable;

/// A tensor in a weights file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as diffusers and transformers spell it: `down_blocks.0.resnets.0.conv1.weight`.
    pub name: String,
    /// Its shape: `(out, in)` for a linear layer, `(out, in, height, width)` for a convolution.
    pub shape: Vec<usize>,
    /// The type of its numbers in the file: `F16`, `BF16`, `F32`.
    pub dtype: String,
}

impl Parameter {
    /// How many numbers it has.
    pub fn numbers(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An open safetensors file, its header checked: tensors by the names that they have in it.
#[derive(Debug)]
pub struct TensorFile {
    file: String,
    bytes: Arc<Bytes>,
    tensors: HashMap<String, Stored>,
}

/// The weights of one network: tensors by the names that diffusers and transformers give them.
#[derive(Debug)]
pub struct Weights {
    file: String,
    bytes: Arc<Bytes>,
    tensors: HashMap<String, Stored>,
    /// What the file itself calls a tensor, where that is another name.
    own_names: HashMap<String, String>,
    described_by: DescribedBy,
}

/// What says which tensors a file should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescribedBy {
    /// The `config.json` beside it.
    Config,
    /// The structure that its other tensors show.
    Structure,
}

/// Where a tensor lies in the file.
#[derive(Debug, Clone)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
}

impl TensorFile {
    /// Opens the file at `path` and checks its header.
    pub fn open(files: &Files, path: &str) -> Result<Self, CheckpointError> {
        let file = files.shown_file(path);
        let bytes = files.map(path)?;
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| CheckpointError::Weights {
                file: file.clone(),
                reason: damage(&bytes, &error),
            })?;
        // `read_metadata` has checked that every range lies in the file and fits shape and type.
        let start = header + size_of::<u64>();
        let tensors = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let stored = Stored {
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                    range: start + info.data_offsets.0..start + info.data_offsets.1,
                };
                (name, stored)
            })
            .collect();
        Ok(Self {
            file,
            bytes: Arc::new(bytes),
            tensors,
        })
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
        Weights {
            file: self.file,
            bytes: self.bytes,
            tensors,
            own_names: HashMap::new(),
            described_by: DescribedBy::Config,
        }
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
        Weights {
            file: self.file.clone(),
            bytes: Arc::clone(&self.bytes),
            tensors,
            own_names,
            described_by: DescribedBy::Structure,
        }
    }
}

impl Weights {
    /// The file, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What the file itself calls the tensor.
    pub fn own_name<'a>(&'a self, name: &'a str) -> &'a str {
        self.own_names.get(name).map_or(name, String::as_str)
    }

    /// What says which tensors the file should have.
    pub fn described_by(&self) -> DescribedBy {
        self.described_by
    }

    /// All tensors, by name.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut parameters: Vec<Parameter> = self
            .tensors
            .iter()
            .map(|(name, stored)| Parameter {
                name: name.clone(),
                shape: stored.shape.clone(),
                dtype: stored.dtype.to_string(),
            })
            .collect();
        parameters.sort_by(|a, b| a.name.cmp(&b.name));
        parameters
    }

    /// How many bytes all tensors take in the file.
    pub fn stored_bytes(&self) -> u64 {
        self.tensors
            .values()
            .map(|stored| stored.range.len() as u64)
            .sum()
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|stored| &stored.shape[..])
    }

    /// The tensor's number type, or the file's name for it where it is none that networks are computed in.
    pub fn dtype(&self, name: &str) -> Option<Result<DType, String>> {
        self.tensors.get(name).map(|stored| match stored.dtype {
            Dtype::F16 => Ok(DType::F16),
            Dtype::BF16 => Ok(DType::BF16),
            Dtype::F32 => Ok(DType::F32),
            Dtype::F64 => Ok(DType::F64),
            other => Err(other.to_string()),
        })
    }

    /// A builder that hands out these tensors as `dtype` on `device`.
    pub fn builder(self: &Arc<Self>, dtype: DType, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(Backend(Arc::clone(self))), dtype, device.clone())
    }

    pub(super) fn load(
        &self,
        name: &str,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let stored = self.tensors.get(name).ok_or_else(|| {
            error(format!(
                "{}: tensor {} is missing; {}",
                self.file,
                self.own_name(name),
                self.described_by.doubt()
            ))
        })?;
        let Some(Ok(file_dtype)) = self.dtype(name) else {
            return Err(error(format!(
                "{}: tensor {name} holds {}, expected F32, F16 or BF16; save the checkpoint again in one of these",
                self.file, stored.dtype
            )));
        };
        let bytes = &self.bytes[stored.range.clone()];
        // On the CPU first: not every device converts every type.
        let tensor = Tensor::from_raw_buffer(bytes, file_dtype, &stored.shape, &Device::Cpu)?;
        self.bytes.release(&stored.range);
        tensor.to_dtype(dtype)?.to_device(device)
    }
}

impl DescribedBy {
    /// Where an expected shape is from, to follow it in a message.
    pub fn origin(self) -> &'static str {
        match self {
            Self::Config => "from config.json",
            Self::Structure => "from the shapes of the others",
        }
    }

    /// What may be wrong with a file that does not fit.
    pub fn doubt(self) -> &'static str {
        match self {
            Self::Config => {
                "the file does not belong to its config.json, or is of another kind of model"
            }
            Self::Structure => "the file is incomplete, or of another kind of model",
        }
    }
}

/// Weights as candle's layers ask for them. They ask for some tensors by trial (an old name, a 1x1 convolution where
/// a linear layer is meant), so that a missing tensor or another shape is an error to return and never a panic.
struct Backend(Arc<Weights>);

impl SimpleBackend for Backend {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        if let Some(found) = self.0.shape(name)
            && found != shape.dims()
        {
            return Err(error(format!(
                "{}: tensor {} has shape {found:?}, expected {:?} {}; {}",
                self.0.file,
                self.0.own_name(name),
                shape.dims(),
                self.0.described_by.origin(),
                self.0.described_by.doubt()
            )));
        }
        self.0.load(name, dtype, device)
    }

    fn get_unchecked(
        &self,
        name: &str,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        self.0.load(name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.tensors.contains_key(name)
    }
}

fn error(text: String) -> candle_core::Error {
    candle_core::Error::Msg(text)
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

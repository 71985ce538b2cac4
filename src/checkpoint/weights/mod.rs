//! The weights of a network: tensors are converted when they are asked for.

mod file;
mod numbers;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use safetensors::Dtype;
use serde::Serialize;

use crate::text::printable;
pub use file::TensorFile;
use file::{Part, Stored};

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

/// What is not finite in the weights of a network, in a sentence; `None` where all is.
pub fn not_finite_in_words(found: &[NotFinite]) -> Option<String> {
    let (first, others) = found.split_first()?;
    let more = match others.len() {
        0 => String::new(),
        1 => " (and 1 other tensor holds such numbers)".to_owned(),
        count => format!(" (and {count} other tensors hold such numbers)"),
    };
    Some(format!(
        "{}: {}{more}: pictures will most likely be black; the file is damaged, or is that of a training that failed: \
         copy or download it again, or open another model",
        first.file,
        first.describe()
    ))
}

/// The weights of one network: tensors by the names that diffusers and transformers give them.
#[derive(Debug)]
pub struct Weights {
    /// For messages: the file, or the index of several.
    file: String,
    parts: Vec<Part>,
    tensors: HashMap<String, Stored>,
    /// What the file itself calls a tensor, where that is another name.
    own_names: HashMap<String, String>,
    described_by: DescribedBy,
    /// What was found not to be finite in the tensors that were handed out, by name.
    not_finite: Mutex<BTreeMap<String, NotFinite>>,
}

/// Numbers of a tensor that are not finite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotFinite {
    /// The file.
    pub file: String,
    /// The tensor's name in it.
    pub tensor: String,
    /// How many are not a number.
    pub nan: usize,
    /// How many are infinite.
    pub infinite: usize,
    /// How many numbers the tensor has.
    pub of: usize,
}

impl NotFinite {
    /// In words, without the file.
    pub fn describe(&self) -> String {
        let counts: Vec<String> = [(self.nan, "NaN"), (self.infinite, "infinite")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let (tensor, counts) = (printable(&self.tensor), counts.join(" and "));
        format!("tensor {tensor} holds {counts} of {} numbers", self.of)
    }
}

/// What says which tensors a file should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescribedBy {
    /// The `config.json` beside it.
    Config,
    /// The structure that its other tensors show.
    Structure,
}

impl Weights {
    fn new(
        tensors: TensorFile,
        own_names: HashMap<String, String>,
        described_by: DescribedBy,
    ) -> Self {
        Self {
            file: tensors.file,
            parts: tensors.parts,
            tensors: tensors.tensors,
            own_names,
            described_by,
            not_finite: Mutex::default(),
        }
    }

    /// The file, or the index of several, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The file that a tensor is in, for messages; where it is in none, that of all.
    pub fn file_of(&self, name: &str) -> &str {
        let stored = self.tensors.get(name);
        stored.map_or(&self.file, |stored| &self.parts[stored.part].file)
    }

    /// The name of the file that a tensor is in, for documents.
    pub fn file_name_of(&self, name: &str) -> &str {
        let stored = self.tensors.get(name);
        stored.map_or("", |stored| &self.parts[stored.part].name)
    }

    /// What [`Self::file_of`] gives for a tensor by the name that it has in the file.
    pub fn file_of_own(&self, own: &str) -> &str {
        let renamed = self.own_names.iter().find(|(_, name)| *name == own);
        self.file_of(renamed.map_or(own, |(name, _)| name))
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

    /// Are the tensor's numbers of 16 bits in the file?
    pub fn has_sixteen_bits(&self, name: &str) -> bool {
        let dtype = self.tensors.get(name).map(|stored| stored.dtype);
        dtype.is_some_and(|dtype| matches!(dtype, Dtype::F16 | Dtype::BF16))
    }

    /// Why the tensor's numbers cannot be read, in words: their type, and what to do. `None` where they can, or where
    /// there is no such tensor.
    pub fn unread_type(&self, name: &str) -> Option<(String, &'static str)> {
        let dtype = self.tensors.get(name)?.dtype;
        (!numbers::is_read(dtype)).then(|| (dtype.to_string(), numbers::why_not(dtype)))
    }

    /// What is not finite in those of the tensors that `names` names. Reads all of them: a second for gigabytes that are
    /// in memory. By name.
    pub fn find_not_finite<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<NotFinite> {
        let names: Vec<&str> = names.collect();
        let mut found: Vec<NotFinite> = names
            .into_par_iter()
            .filter_map(|name| {
                let stored = self.tensors.get(name)?;
                let found = self.count_not_finite(name, stored);
                self.parts[stored.part].bytes.release(&stored.range);
                found
            })
            .collect();
        found.sort_by(|a, b| a.tensor.cmp(&b.tensor));
        found
    }

    /// What was found not to be finite in the tensors that were handed out so far, by name.
    pub fn not_finite(&self) -> Vec<NotFinite> {
        let found = self.not_finite.lock();
        let found = found.unwrap_or_else(PoisonError::into_inner);
        found.values().cloned().collect()
    }

    /// The first of them, by name, that `is_used`, with its name.
    pub fn first_not_finite(&self, is_used: impl Fn(&str) -> bool) -> Option<(String, NotFinite)> {
        let found = self.not_finite.lock();
        let found = found.unwrap_or_else(PoisonError::into_inner);
        let mut used = found.iter().filter(|(name, _)| is_used(name));
        used.next()
            .map(|(name, found)| (name.clone(), found.clone()))
    }

    fn count_not_finite(&self, name: &str, stored: &Stored) -> Option<NotFinite> {
        let part = &self.parts[stored.part];
        let (nan, infinite) = numbers::not_finite(stored.dtype, &part.bytes[stored.range.clone()]);
        (nan + infinite > 0).then(|| NotFinite {
            file: part.file.clone(),
            tensor: self.own_name(name).to_owned(),
            nan,
            infinite,
            of: stored.shape.iter().product(),
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
        if let Some((found, why)) = self.unread_type(name) {
            return Err(error(format!(
                "{}: tensor {name} holds numbers of type {found}, {why}",
                self.file_of(name)
            )));
        }
        let bytes = &self.parts[stored.part].bytes;
        let found = self.count_not_finite(name, stored);
        let raw = &bytes[stored.range.clone()];
        let widened = (found.is_none() && dtype == DType::F32)
            .then(|| numbers::widened(stored.dtype, raw))
            .flatten();
        if let Some(found) = found {
            let all = self.not_finite.lock();
            all.unwrap_or_else(PoisonError::into_inner)
                .insert(name.to_owned(), found);
        }
        // On the CPU first: not every device converts every type.
        let tensor = match widened {
            Some(values) => Tensor::from_vec(values, &stored.shape[..], &Device::Cpu)?,
            None => numbers::tensor(stored.dtype, raw, &stored.shape)?,
        };
        bytes.release(&stored.range);
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
                self.0.file_of(name),
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

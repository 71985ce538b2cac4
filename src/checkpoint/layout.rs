//! Which tensors a network of a given configuration has, by name and shape.
//!
//! A weights file is held against this list before anything is built from it, so that a file that does not belong to
//! its configuration is refused at once and by name. The list comes from the networks themselves: each is built once
//! over a [`Recorder`], which hands out tensors without memory and writes down what was asked for.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use serde::Serialize;

use super::{
    error::CheckpointError,
    weights::{NotFinite, Weights},
};
use crate::kernels::{Backend, WORTH_HALVING};
use crate::model;
use crate::model::autoencoder::Autoencoder;
use crate::model::config::{TextEncoderConfig, UNetConfig, VaeConfig};
use crate::model::text_encoder::TextEncoder;
use crate::model::unet::UNet;
use crate::text::printable;

/// The prefix of all names in the text encoder. Files written by transformers 5 leave it out.
pub const TEXT_PREFIX: &str = "text_model.";

/// What the projections of the autoencoder's attention were called before; they were 1x1 convolutions then.
const OLD_PROJECTIONS: [(&str, &str); 4] = [
    (".to_q.", ".query."),
    (".to_k.", ".key."),
    (".to_v.", ".value."),
    (".to_out.0.", ".proj_attn."),
];

/// A tensor that a network needs.
struct Expected {
    name: String,
    /// An older name of the same tensor.
    old_name: Option<String>,
    shape: Vec<usize>,
    /// May a linear layer's matrix be stored as a 1x1 convolution?
    or_convolution: bool,
}

/// The tensors that a network needs.
pub struct Layout(Vec<Expected>);

impl Layout {
    /// The text encoder.
    pub fn text_encoder(config: &TextEncoderConfig) -> Self {
        Self::of(|weights| TextEncoder::new(config, weights).map(drop))
    }

    /// The UNet.
    pub fn unet(config: &UNetConfig) -> Self {
        Self::of(|weights| UNet::new(config, weights).map(drop))
    }

    /// The autoencoder, its encoder included.
    pub fn vae(config: &VaeConfig) -> Self {
        let mut layout = Self::of(|weights| Autoencoder::new(config, weights).map(drop));
        for expected in &mut layout.0 {
            let name = &expected.name;
            let old = OLD_PROJECTIONS.iter().find(|(new, _)| name.contains(new));
            expected.old_name = old.map(|(new, old)| name.replace(new, old));
            expected.or_convolution = old.is_some() && expected.shape.len() == 2;
        }
        layout
    }

    /// What `build` asks for, in that order.
    fn of(build: impl FnOnce(&VarBuilder) -> Result<(), model::Error>) -> Self {
        let asked = Arc::default();
        let recorder = Box::new(Recorder(Arc::clone(&asked)));
        // In a type that no kernel computes in, no layer rearranges its weights.
        let weights = VarBuilder::from_backend(recorder, DType::F64, Device::Cpu);
        let built = build(&weights);
        debug_assert!(built.is_ok(), "a valid configuration is built: {built:?}");
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = asked.drain(..).map(|(name, shape)| Expected {
            name,
            old_name: None,
            shape,
            or_convolution: false,
        });
        Self(expected.collect())
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|expected| &expected.name[..])
    }

    /// How many bytes the tensors take where `backend` computes with numbers of `dtype`: the kernels of the CPU keep
    /// large matrices that the file has in 16 bits so.
    pub fn bytes(&self, weights: &Weights, dtype: DType, backend: Backend) -> usize {
        let size = |expected: &Expected| {
            let numbers = expected.shape.iter().product::<usize>();
            let is_narrow = backend == Backend::Cpu
                && numbers >= WORTH_HALVING
                && !expected.name.ends_with("embedding.weight")
                && expected
                    .stored(weights)
                    .is_some_and(|name| weights.has_sixteen_bits(name));
            numbers * if is_narrow { 2 } else { dtype.size_in_bytes() }
        };
        self.0.iter().map(size).sum()
    }

    /// Holds a weights file against the layout: everything that does not fit, in the layout's order.
    pub fn problems(&self, weights: &Weights) -> Vec<TensorProblem> {
        let scales = weights
            .parameters()
            .into_iter()
            .filter(|parameter| is_scale(&parameter.name))
            .map(|parameter| TensorProblem::Scale {
                name: weights.own_name(&parameter.name).to_owned(),
            });
        self.0
            .iter()
            .filter_map(|expected| expected.problem(weights))
            .chain(scales)
            .collect()
    }

    /// What is not finite in the tensors that the network asks for. Reads all of them.
    pub fn not_finite(&self, weights: &Weights) -> Vec<NotFinite> {
        let names = self
            .0
            .iter()
            .filter_map(|expected| expected.stored(weights));
        weights.find_not_finite(names)
    }

    /// Tensors of the file that are not in the layout, in alphabetical order. They are allowed: some files carry
    /// position ids or moving averages.
    pub fn unexpected(&self, weights: &Weights) -> Vec<String> {
        let known: HashSet<&str> = self
            .0
            .iter()
            .flat_map(|expected| std::iter::once(&expected.name).chain(&expected.old_name))
            .map(String::as_str)
            .collect();
        weights
            .parameters()
            .into_iter()
            .map(|parameter| parameter.name)
            .filter(|name| !known.contains(&name[..]))
            .collect()
    }
}

/// Names and shapes of the tensors that a network asked for, each once.
type Asked = Vec<(String, Vec<usize>)>;

/// A source of weights that has every tensor, and writes down which it is asked for.
struct Recorder(Arc<Mutex<Asked>>);

impl SimpleBackend for Recorder {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // candle asks for some twice in a row: first to see whether they have that shape.
        if asked.last().is_none_or(|(last, _)| last != name) {
            asked.push((name.to_owned(), shape.dims().to_vec()));
        }
        // One zero, however large the shape is.
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} was asked for without its shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

impl Expected {
    /// The name that the tensor has in the file, the older one if need be; `None` where it is missing.
    fn stored(&self, weights: &Weights) -> Option<&str> {
        let mut names = std::iter::once(&self.name).chain(&self.old_name);
        names
            .find(|name| weights.shape(name).is_some())
            .map(String::as_str)
    }

    /// What is wrong with the tensor in the file, if anything is.
    fn problem(&self, weights: &Weights) -> Option<TensorProblem> {
        let names = std::iter::once(&self.name).chain(&self.old_name);
        let mut found = names.filter_map(|name| Some((name, weights.shape(name)?)));
        let Some((name, shape)) = found.next() else {
            return Some(TensorProblem::Missing {
                name: weights.own_name(&self.name).to_owned(),
                expected: self.shape.clone(),
            });
        };
        let convolution =
            self.or_convolution && shape.strip_prefix(&self.shape[..]) == Some(&[1, 1]);
        if shape != self.shape && !convolution {
            return Some(TensorProblem::Shape {
                name: weights.own_name(name).to_owned(),
                found: shape.to_vec(),
                expected: self.shape.clone(),
            });
        }
        let (found, reason) = weights.unread_type(name)?;
        Some(TensorProblem::Type {
            name: weights.own_name(name).to_owned(),
            found,
            reason,
        })
    }
}

/// Is it the name of what quantised weights are to be multiplied with, so that the numbers beside it are not the weights?
pub fn is_scale(name: &str) -> bool {
    const ENDS: [&str; 16] = [
        ".weight_scale",
        ".weight_scale_inv",
        ".weight_scale_2",
        ".scale_weight",
        ".input_scale",
        ".scale_input",
        ".comfy_quant",
        ".absmax",
        ".nested_absmax",
        ".quant_map",
        ".SCB",
        ".qweight",
        ".qzeros",
        ".scales",
        ".g_idx",
        ".zero_point",
    ];
    name.ends_with("scaled_fp8")
        || name.contains(".quant_state.")
        || ENDS.iter().any(|end| name.ends_with(end))
}

/// Why a tensor in a weights file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "problem")]
pub enum TensorProblem {
    /// It is not there.
    Missing {
        /// Its name, as the file would spell it.
        name: String,
        /// The shape that it should have.
        expected: Vec<usize>,
    },
    /// It has another shape.
    Shape {
        /// Its name in the file.
        name: String,
        /// The shape that it has.
        found: Vec<usize>,
        /// The shape that it should have.
        expected: Vec<usize>,
    },
    /// Its numbers are of a type that networks are not computed in.
    Type {
        /// Its name in the file.
        name: String,
        /// The type.
        found: String,
        /// What that most often means, and what to do.
        #[serde(skip)]
        reason: &'static str,
    },
    /// It says what others are to be multiplied with: they are quantised.
    Scale {
        /// Its name in the file.
        name: String,
    },
}

impl TensorProblem {
    /// The problem in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Missing { name, expected } => {
                format!(
                    "tensor {} of shape {expected:?} is missing",
                    printable(name)
                )
            }
            Self::Shape {
                name,
                found,
                expected,
            } => format!(
                "tensor {} has shape {found:?}, expected {expected:?}",
                printable(name)
            ),
            Self::Type {
                name,
                found,
                reason,
            } => format!(
                "tensor {} holds numbers of type {found}, {reason}",
                printable(name)
            ),
            Self::Scale { name } => format!(
                "tensor {} says that the weights are quantised, which is not supported; give the original checkpoint, in F16, BF16 or F32",
                printable(name)
            ),
        }
    }
}

/// The error that a file's tensors do not fit: the first problem in words, and how many others there are.
pub fn refuse(weights: &Weights, problems: &[TensorProblem]) -> Result<(), CheckpointError> {
    let [first, others @ ..] = problems else {
        return Ok(());
    };
    let others = match others.len() {
        0 => String::new(),
        1 => " (and 1 other tensor does not fit)".to_owned(),
        count => format!(" (and {count} other tensors do not fit)"),
    };
    let (name, first) = match first {
        TensorProblem::Missing { name, .. } => {
            (None, format!("tensor {} is missing", printable(name)))
        }
        TensorProblem::Shape { name, .. } => {
            let origin = weights.described_by().origin();
            (Some(name), format!("{} {origin}", first.describe()))
        }
        TensorProblem::Type { name, .. } | TensorProblem::Scale { name } => {
            return Err(CheckpointError::Weights {
                file: weights.file_of_own(name).to_owned(),
                reason: format!("{}{others}", first.describe()),
            });
        }
    };
    Err(CheckpointError::Tensors {
        file: name
            .map_or(weights.file(), |name| weights.file_of_own(name))
            .to_owned(),
        first,
        others,
        doubt: weights.described_by().doubt(),
    })
}

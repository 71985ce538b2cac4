//! Find, read and check a checkpoint of Stable Diffusion v1's structure.
//!
//! A checkpoint is a folder in diffusers' layout (the one inside the program, one on this machine, or one that was
//! downloaded from the hub) or a single file with the original names. [`Checkpoint::open`] reads its configurations and
//! the headers of its weights and refuses, with a reason, whatever this program would not run correctly; after that,
//! building the networks from [`Checkpoint::weights`] meets no surprise. [`Report::of`] says everything that is wrong.
//! Weights are mapped into memory and converted when they are asked for.

mod config;
mod embedded;
mod error;
mod extras;
mod files;
pub mod hub;
mod layout;
mod locate;
mod memory;
mod parts;
mod report;
mod single_file;
mod tokenizer;
mod weights;

use std::{
    fmt::Write as _,
    io::{self, BufReader},
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use embedded::NAME as EMBEDDED;
pub use error::CheckpointError;
pub use extras::{Extras, LatentRgb};
pub use layout::TensorProblem;
pub use memory::{MemoryEstimate, available_memory};
pub use report::{ComponentReport, Report};
pub use weights::Parameter;

use crate::model::config::{TextEncoderConfig, UNetConfig, VaeConfig};
use crate::model::tokenizer::ClipTokenizer;
use crate::scheduler::SchedulerConfig;
use crate::text::printable_path;
use files::Files;
use hub::Repository;
use layout::{Layout, refuse};
use parts::{Part, Parts};
use weights::Weights;

/// Where a checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Little World, the model inside the program.
    Embedded,
    /// A folder in diffusers' layout, or a single `.safetensors` file.
    Path(PathBuf),
    /// A repository that was downloaded from the hub.
    Hub(Repository),
}

impl Source {
    /// What a user types: `little-world`, a path, or the name of a repository (`sd-v1-5`, `owner/name`,
    /// `owner/name@revision`). What is there as a path is a path, except for the names without a slash: a folder of
    /// such a name is reached as `./little-world`.
    pub fn parse(text: &str) -> Self {
        if text == embedded::NAME {
            return Self::Embedded;
        }
        let path = PathBuf::from(text);
        match Repository::parse(text) {
            Some(repository) if Repository::is_short_name(text) || !path.exists() => {
                Self::Hub(repository)
            }
            _ => Self::Path(path),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded => f.write_str(embedded::NAME),
            Self::Path(path) => f.write_str(&printable_path(path)),
            Self::Hub(repository) => repository.fmt(f),
        }
    }
}

/// A network of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// CLIP's text model. Tensor names begin with `text_model.`, whichever way the file spells them.
    TextEncoder,
    /// The noise predictor.
    #[serde(rename = "unet")]
    UNet,
    /// The autoencoder.
    Vae,
}

impl Component {
    /// All of them, in the order in which a generation uses them.
    pub const ALL: [Self; 3] = [Self::TextEncoder, Self::UNet, Self::Vae];

    /// The name of its folder in diffusers' layout.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::UNet => "unet",
            Self::Vae => "vae",
        }
    }
}

/// A checkpoint whose configurations and weights' headers have been read and found sound.
#[derive(Debug)]
pub struct Checkpoint {
    /// `little-world`, the file's or folder's name, or the repository's.
    pub name: String,
    /// The text encoder's shape.
    pub text_encoder: TextEncoderConfig,
    /// The UNet's shape.
    pub unet: UNetConfig,
    /// The autoencoder's shape.
    pub vae: VaeConfig,
    /// The noise schedule that it was trained with.
    pub scheduler: SchedulerConfig,
    /// Settings that suit the checkpoint.
    pub extras: Extras,
    files: Files,
    text_encoder_weights: Arc<Weights>,
    unet_weights: Arc<Weights>,
    vae_weights: Arc<Weights>,
    weight_paths: Vec<&'static str>,
    sha256: OnceLock<String>,
}

impl Checkpoint {
    /// Reads and checks a checkpoint: everything but the weights' values.
    pub fn open(source: &Source) -> Result<Self, CheckpointError> {
        let files = locate::locate(source)?;
        let parts = Parts::of(&files)?;
        let paths = [parts.text_encoder.path, parts.unet.path, parts.vae.path];
        // Configurations first: they say best what kind of checkpoint it is.
        let text_encoder = parts.text_encoder.config?;
        let unet = parts.unet.config?;
        let vae = parts.vae.config?;
        let scheduler = parts.scheduler?;
        parts.vocabulary?;
        let text_encoder_weights = parts.text_encoder.weights?;
        let unet_weights = parts.unet.weights?;
        let vae_weights = parts.vae.weights?;
        for (layout, weights) in [
            (Layout::text_encoder(&text_encoder), &text_encoder_weights),
            (Layout::unet(&unet), &unet_weights),
            (Layout::vae(&vae), &vae_weights),
        ] {
            refuse(weights, &layout.problems(weights))?;
        }
        Ok(Self {
            name: name(source, &files),
            text_encoder_weights: Arc::new(text_encoder_weights),
            unet_weights: Arc::new(unet_weights),
            vae_weights: Arc::new(vae_weights),
            extras: parts.extras?,
            text_encoder,
            unet,
            vae,
            scheduler,
            files,
            weight_paths: paths.into_iter().flatten().collect(),
            sha256: OnceLock::new(),
        })
    }

    /// The tokenizer that the text encoder was trained with.
    pub fn tokenizer(&self) -> Result<ClipTokenizer, CheckpointError> {
        tokenizer::read(&self.files.of_tokenizer(), &self.text_encoder)
    }

    /// The weights of one network, handed out as `dtype` on `device`.
    ///
    /// A tensor that is asked for and is missing, or has another shape, is an error of candle's that names file,
    /// tensor, expected and found shape.
    // What can be wrong is found by `open`; the Result leaves room for weights that are read in another way.
    #[allow(clippy::unnecessary_wraps)]
    pub fn weights(
        &self,
        component: Component,
        dtype: DType,
        device: &Device,
    ) -> Result<VarBuilder<'static>, CheckpointError> {
        Ok(self.file(component).builder(dtype, device))
    }

    /// All tensors in the weights of one network, by name.
    pub fn parameters(&self, component: Component) -> Vec<Parameter> {
        self.file(component).parameters()
    }

    /// How many bytes the weights of one network take in its file.
    pub fn stored_bytes(&self, component: Component) -> u64 {
        self.file(component).stored_bytes()
    }

    /// What identifies the checkpoint, as lower-case hexadecimal: of a single file its SHA-256, of a folder the SHA-256
    /// of the list of its files' SHA-256.
    ///
    /// The list has a line for each file that is read (`model_index.json`, the configurations, the weights, the
    /// tokenizer's files, `diffuscope.json`; those that exist), in byte order of their paths in the folder, each
    /// `<sha256>  <path>\n`. It is what `sha256sum FILES | sha256sum` prints in the folder.
    ///
    /// Computed when it is first asked for: seconds for weights of gigabytes.
    pub fn sha256(&self) -> Result<&str, CheckpointError> {
        if let Some(known) = self.sha256.get() {
            return Ok(known);
        }
        let digests = digests(&self.files, &self.weight_paths)?;
        let digest = checkpoint_digest(&self.files, &digests);
        Ok(self.sha256.get_or_init(|| digest))
    }

    fn file(&self, component: Component) -> &Arc<Weights> {
        match component {
            Component::TextEncoder => &self.text_encoder_weights,
            Component::UNet => &self.unet_weights,
            Component::Vae => &self.vae_weights,
        }
    }
}

const SCHEDULER: &str = "scheduler/scheduler_config.json";

/// The small files that describe a checkpoint.
const DESCRIPTIONS: [&str; 8] = [
    locate::INDEX,
    extras::FILE,
    SCHEDULER,
    "text_encoder/config.json",
    tokenizer::CONFIG,
    tokenizer::SPECIAL_TOKENS,
    "unet/config.json",
    "vae/config.json",
];

/// What the checkpoint is called.
fn name(source: &Source, files: &Files) -> String {
    match source {
        Source::Hub(repository) => repository.to_string(),
        Source::Embedded | Source::Path(_) => locate::name(files),
    }
}

/// The SHA-256 of each file that is read, by its path in the folder, in byte order of the paths.
fn digests(
    files: &Files,
    weight_paths: &[&'static str],
) -> Result<Vec<(&'static str, String)>, CheckpointError> {
    let mut paths = Vec::new();
    if let Files::Single(_) = files {
        paths.push("");
    } else {
        paths.extend(tokenizer::vocabulary(files).unwrap_or_default());
        paths.extend(weight_paths);
        paths.extend(DESCRIPTIONS.iter().filter(|path| files.has(path)));
        paths.sort_unstable();
    }
    paths
        .par_iter()
        .map(|path| {
            let mut hash = Sha256::new();
            let mut reader = BufReader::with_capacity(1 << 20, files.reader(path)?);
            io::copy(&mut reader, &mut hash).map_err(|source| files.failed(path, source))?;
            Ok((*path, hexadecimal(&hash.finalize())))
        })
        .collect()
}

/// What identifies the checkpoint, from the digests of its files.
fn checkpoint_digest(files: &Files, digests: &[(&'static str, String)]) -> String {
    if let (Files::Single(_), [(_, digest)]) = (files, digests) {
        return digest.clone();
    }
    let mut list = String::new();
    for (path, digest) in digests {
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{digest}  {path}");
    }
    hexadecimal(&Sha256::digest(&list))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

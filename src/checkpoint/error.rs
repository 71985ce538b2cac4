//! What can be wrong with a checkpoint.

use super::format::Format;
use crate::model::tokenizer::TokenizerError;

/// Why a checkpoint cannot be used: what is wrong, in which file, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Nothing exists at the given path.
    #[error(
        "{path}: there is no such file or folder; a model is `little-world` (built in), the path of a Stable Diffusion checkpoint (a folder in diffusers' layout or a single .safetensors file), or the name of one that `diffuscope model fetch` has downloaded (`sd-v1-5`, owner/name)"
    )]
    NotFound {
        /// The path that was given.
        path: String,
    },
    /// The path is a file of an unknown kind.
    #[error(
        "{path} is neither a folder nor a .safetensors file; a checkpoint is a folder in diffusers' layout or a single .safetensors file"
    )]
    UnknownFile {
        /// The path that was given.
        path: String,
    },
    /// The folder is none of diffusers', and has single files in it.
    #[error(
        "{folder} is not a checkpoint folder, but {file} in it may be a checkpoint in a single file; give the path of that file"
    )]
    HoldsSingleFile {
        /// The path that was given.
        folder: String,
        /// The file in it.
        file: String,
    },
    /// A single file that is not a checkpoint of Stable Diffusion v1.
    #[error(
        "{file}: {reason}; a single file is read where it holds the text encoder, UNet and autoencoder of Stable Diffusion v1, with the names that these were first published with (LDM)"
    )]
    OtherKind {
        /// The file.
        file: String,
        /// What it is instead.
        reason: String,
    },
    /// The checkpoint is in a repository that was not downloaded.
    #[error(
        "{name} is not in the cache of downloaded models ({cache}), and nothing of that name is on this machine"
    )]
    NotFetched {
        /// What was asked for.
        name: String,
        /// The folder of the cache.
        cache: String,
        /// What the command that fetches it takes.
        fetch: String,
    },
    /// The name of a repository or of a revision cannot be one.
    #[error("{0}")]
    Name(String),
    /// The folder holds nothing of a checkpoint.
    #[error(
        "{path} is not a checkpoint: {looked_for} is not in it; a checkpoint folder in diffusers' layout has {LAYOUT}"
    )]
    NotACheckpoint {
        /// The path that was given.
        path: String,
        /// What is looked for first.
        looked_for: &'static str,
    },
    /// A part of the checkpoint is missing.
    #[error(
        "{folder}: {what} missing: looked for {looked_for}; a checkpoint folder in diffusers' layout has {LAYOUT}"
    )]
    Missing {
        /// The checkpoint's folder.
        folder: String,
        /// Which part, with its verb: "the text encoder's weights are".
        what: &'static str,
        /// The files that would have served, relative to the folder.
        looked_for: String,
    },
    /// Only pickled weights are there.
    #[error(
        "{file}: weights in Python's pickle format are not read, because loading them can run code; convert them in Python with diffusers: {convert}"
    )]
    Pickle {
        /// The pickled file.
        file: String,
        /// The Python that converts it.
        convert: String,
    },
    /// A file is not what its name says.
    #[error("{file}: it is {found} and not {expected}; {todo}")]
    OtherFile {
        /// The file.
        file: String,
        /// What it is.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What to do about it.
        todo: &'static str,
    },
    /// A link that leads to nothing.
    #[error(
        "{file}: it is a link to {target}, where nothing is: the download or copy is not complete; fetch or copy it again"
    )]
    DanglingLink {
        /// The link.
        file: String,
        /// Where it leads.
        target: String,
    },
    /// A file cannot be read.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// The file.
        file: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A configuration file is not JSON, or not an object.
    #[error(
        "{file}: not a valid JSON object: {reason}; the file is damaged or is not what its name says"
    )]
    Json {
        /// The file.
        file: String,
        /// The parser's reason, with line and column.
        reason: String,
    },
    /// A configuration value is wrong.
    #[error("{file}: {key} is {found}, expected {expected}")]
    Config {
        /// The file.
        file: String,
        /// The key in it.
        key: String,
        /// What was found there.
        found: String,
        /// What may stand there.
        expected: String,
    },
    /// The checkpoint is sound, but of a kind that this program does not run.
    #[error(
        "{file}: {key} is {found}: {reason}; supported are checkpoints of Stable Diffusion v1's structure"
    )]
    Unsupported {
        /// The file.
        file: String,
        /// The key in it.
        key: String,
        /// What was found there.
        found: String,
        /// What that means.
        reason: String,
    },
    /// A weights file is damaged.
    #[error("{file}: {reason}")]
    Weights {
        /// The file.
        file: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A weights file lacks tensors, or has them in other shapes or types.
    #[error("{file}: {first}{others}; {doubt}")]
    Tensors {
        /// The file.
        file: String,
        /// The first tensor that does not fit, what was found and what was expected.
        first: String,
        /// How many others do not fit, in brackets; empty where there is none.
        others: String,
        /// What is to be thought of such a file.
        doubt: &'static str,
    },
    /// The tokenizer's files are damaged.
    #[error("{file}: {source}")]
    Tokenizer {
        /// The file or files.
        file: String,
        /// What is wrong.
        source: TokenizerError,
    },
    /// The noise schedule's configuration is wrong.
    #[error("{file}: {reason}")]
    Scheduler {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

impl CheckpointError {
    /// The error that a file is something else than what is expected.
    pub(super) fn other_file(file: &str, expected: &'static str, found: Format) -> Self {
        Self::OtherFile {
            file: file.to_owned(),
            found: found.name,
            expected,
            todo: found.todo,
        }
    }
}

/// The files of a checkpoint, in words.
const LAYOUT: &str = "model_index.json, text_encoder/config.json and model.safetensors, tokenizer/vocab.json and merges.txt (or tokenizer.json), unet/config.json and diffusion_pytorch_model.safetensors, the same two in vae/, and scheduler/scheduler_config.json";

//! Find, read and check a checkpoint of Stable Diffusion v1's structure.
//!
//! A checkpoint is a folder in diffusers' layout: the one inside the program ([`Source::Embedded`]) or one on this
//! machine. [`Checkpoint::open`] reads its configurations and the headers of its weights and refuses, with a reason,
//! whatever this program would not run correctly; after that, building the networks from [`Checkpoint::weights`]
//! meets no surprise. Weights are mapped into memory and converted when they are asked for.

mod config;
mod embedded;
mod error;
mod extras;
mod files;
mod layout;
mod weights;

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use sha2::{Digest as _, Sha256};

pub use config::{
    Activation, DownBlockType, MidBlockType, TextEncoderConfig, UNetConfig, UpBlockType, VaeConfig,
};
pub use error::CheckpointError;
pub use extras::{Extras, LatentRgb};
pub use weights::Parameter;

use crate::model::tokenizer::ClipTokenizer;
use crate::scheduler::SchedulerConfig;
use config::Reader;
use error::{printable, shown};
use files::Files;
use layout::{Layout, TEXT_PREFIX};
use weights::Weights;

/// Where a checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Little World, the model inside the program.
    Embedded,
    /// A folder in diffusers' layout.
    Folder(PathBuf),
}

impl Source {
    /// What a user types: `little-world`, or a folder's path. A folder of that name is reached as `./little-world`.
    pub fn parse(text: &str) -> Self {
        if text == embedded::NAME {
            Self::Embedded
        } else {
            Self::Folder(PathBuf::from(text))
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded => f.write_str(embedded::NAME),
            Self::Folder(path) => f.write_str(&shown(path)),
        }
    }
}

/// A network of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// CLIP's text model. Tensor names begin with `text_model.`, whichever way the file spells them.
    TextEncoder,
    /// The noise predictor.
    UNet,
    /// The autoencoder.
    Vae,
}

/// A checkpoint whose configurations and weights' headers have been read and found sound.
#[derive(Debug)]
pub struct Checkpoint {
    /// `little-world`, or the folder's name.
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
    weight_paths: [&'static str; 3],
    sha256: OnceLock<String>,
}

impl Checkpoint {
    /// Reads and checks a checkpoint: everything but the weights' values.
    pub fn open(source: &Source) -> Result<Self, CheckpointError> {
        let files = locate(source)?;
        let json = |path: &str, what| {
            let path = files.need(&[path], what)?;
            Reader::new(&files.shown_file(path), &files.read(path)?)
        };
        if files.has(INDEX) {
            check_index(&json(INDEX, "")?)?;
        }
        let text_json = json(
            "text_encoder/config.json",
            "the text encoder's configuration is",
        )?;
        let unet_json = json("unet/config.json", "the UNet's configuration is")?;
        let vae_json = json("vae/config.json", "the autoencoder's configuration is")?;
        let text_encoder = TextEncoderConfig::read(&text_json)?;
        let unet = UNetConfig::read(&unet_json)?;
        let vae = VaeConfig::read(&vae_json)?;
        if unet.cross_attention_dim != text_encoder.hidden_size {
            let expected = format!(
                "{}, the text encoder's hidden_size",
                text_encoder.hidden_size
            );
            return Err(unet_json.wrong("cross_attention_dim", &expected));
        }
        if vae.latent_channels != unet.in_channels {
            let expected = format!("{}, the UNet's in_channels", unet.in_channels);
            return Err(vae_json.wrong("latent_channels", &expected));
        }
        let scheduler_path = files.need(
            &["scheduler/scheduler_config.json"],
            "the scheduler's configuration is",
        )?;
        let scheduler = read_scheduler(&files, scheduler_path)?;
        tokenizer_files(&files)?;
        let weight_paths = [
            weights_path(&files, Component::TextEncoder)?,
            weights_path(&files, Component::UNet)?,
            weights_path(&files, Component::Vae)?,
        ];
        let [text_path, unet_path, vae_path] = weight_paths;
        let text_encoder_weights = Weights::open(&files, text_path, TEXT_PREFIX)?;
        Layout::text_encoder(&text_encoder).check(&text_encoder_weights)?;
        let unet_weights = Weights::open(&files, unet_path, "")?;
        Layout::unet(&unet).check(&unet_weights)?;
        let vae_weights = Weights::open(&files, vae_path, "")?;
        Layout::vae(&vae).check(&vae_weights)?;
        Ok(Self {
            name: name(&files),
            text_encoder_weights: Arc::new(text_encoder_weights),
            unet_weights: Arc::new(unet_weights),
            vae_weights: Arc::new(vae_weights),
            extras: Extras::read(&files)?,
            text_encoder,
            unet,
            vae,
            scheduler,
            files,
            weight_paths,
            sha256: OnceLock::new(),
        })
    }

    /// The tokenizer that the text encoder was trained with.
    pub fn tokenizer(&self) -> Result<ClipTokenizer, CheckpointError> {
        let paths = tokenizer_files(&self.files)?;
        let settings = TokenizerSettings::read(&self.files, &self.text_encoder)?;
        let shown: Vec<String> = paths
            .iter()
            .map(|path| self.files.shown_file(path))
            .collect();
        let file = shown.join(" and ");
        let tokenizer = match paths[..] {
            [vocab, merges] => ClipTokenizer::from_vocab_and_merges(
                &self.files.read(vocab)?,
                &self.files.read(merges)?,
                settings.max_length,
                settings.pad_token.as_deref(),
            ),
            _ => ClipTokenizer::from_tokenizer_json(
                &self.files.read(paths[0])?,
                settings.max_length,
                settings.pad_token.as_deref(),
            ),
        }
        .map_err(|source| CheckpointError::Tokenizer {
            file: file.clone(),
            source,
        })?;
        let rows = self.text_encoder.vocab_size;
        if tokenizer.vocab_size() > rows {
            return Err(CheckpointError::Config {
                file,
                key: "the vocabulary's largest id".to_owned(),
                found: (tokenizer.vocab_size() - 1).to_string(),
                expected: format!("less than {rows}, the text encoder's vocab_size"),
            });
        }
        Ok(tokenizer)
    }

    /// The weights of one network, handed out as `dtype` on `device`.
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

    /// What identifies the checkpoint: the SHA-256 of the list of its files' SHA-256, as lower-case hexadecimal.
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
        let mut paths = tokenizer_files(&self.files)?;
        paths.extend(self.weight_paths);
        paths.extend(DESCRIPTIONS.iter().filter(|path| self.files.has(path)));
        paths.sort_unstable();
        let digests: Vec<String> = paths
            .par_iter()
            .map(|path| Ok(hexadecimal(&Sha256::digest(&*self.files.map(path)?))))
            .collect::<Result<_, CheckpointError>>()?;
        let mut list = String::new();
        for (digest, path) in digests.iter().zip(&paths) {
            // Writing to a string cannot fail.
            let _ = writeln!(list, "{digest}  {path}");
        }
        Ok(self
            .sha256
            .get_or_init(|| hexadecimal(&Sha256::digest(&list))))
    }

    fn file(&self, component: Component) -> &Arc<Weights> {
        match component {
            Component::TextEncoder => &self.text_encoder_weights,
            Component::UNet => &self.unet_weights,
            Component::Vae => &self.vae_weights,
        }
    }
}

/// The file that says what kind of pipeline a folder holds.
const INDEX: &str = "model_index.json";

/// The small files that describe a checkpoint.
const DESCRIPTIONS: [&str; 8] = [
    INDEX,
    extras::FILE,
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    TOKENIZER_CONFIG,
    SPECIAL_TOKENS,
    "unet/config.json",
    "vae/config.json",
];

const TOKENIZER_CONFIG: &str = "tokenizer/tokenizer_config.json";
const SPECIAL_TOKENS: &str = "tokenizer/special_tokens_map.json";

/// Finds the folder and makes sure that it looks like a checkpoint.
fn locate(source: &Source) -> Result<Files, CheckpointError> {
    let path = match source {
        Source::Embedded => return Ok(Files::Embedded),
        Source::Folder(path) => path,
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(CheckpointError::NotFound { path: shown(path) });
        }
        Err(source) => {
            return Err(CheckpointError::Read {
                file: shown(path),
                source,
            });
        }
    };
    if !metadata.is_dir() {
        return Err(single_file(path));
    }
    let files = Files::Folder(path.clone());
    if files.first(&[INDEX, "unet/config.json"]).is_none() {
        let names = files.names_in("");
        if let Some(name) = names.iter().find(|name| has_extension(name, &["ckpt"])) {
            return Err(CheckpointError::Pickle {
                file: files.shown_file(name),
            });
        }
        if let Some(name) = names
            .iter()
            .find(|name| has_extension(name, &["safetensors"]))
        {
            return Err(single_file(&path.join(name)));
        }
        return Err(CheckpointError::NotACheckpoint {
            path: files.shown(),
            looked_for: INDEX,
        });
    }
    Ok(files)
}

/// The error for a path that is a file.
fn single_file(path: &std::path::Path) -> CheckpointError {
    let name = path.to_string_lossy();
    if has_extension(&name, &["ckpt", "bin", "pt", "pth"]) {
        return CheckpointError::Pickle { file: shown(path) };
    }
    CheckpointError::SingleFile {
        path: shown(path),
        kind: if has_extension(&name, &["safetensors"]) {
            " of weights"
        } else {
            ""
        },
    }
}

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    std::path::Path::new(name).extension().is_some_and(|found| {
        extensions
            .iter()
            .any(|known| found.eq_ignore_ascii_case(known))
    })
}

/// Refuses pipelines that are not Stable Diffusion's.
fn check_index(json: &Reader) -> Result<(), CheckpointError> {
    const KINDS: [&str; 3] = [
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionPipelineSafe",
    ];
    let class = json.text("_class_name", KINDS[0])?;
    if KINDS.contains(&class) {
        return Ok(());
    }
    let reason = if class.contains("XL") {
        "this is a checkpoint of Stable Diffusion XL"
    } else if class.contains("Inpaint") {
        "this is a checkpoint made for inpainting"
    } else {
        "this is a checkpoint for another kind of pipeline"
    };
    Err(json.unsupported("_class_name", reason))
}

/// The scheduler's configuration, with values that some sampler can work with.
fn read_scheduler(files: &Files, path: &str) -> Result<SchedulerConfig, CheckpointError> {
    let bytes = files.read(path)?;
    let file = files.shown_file(path);
    // For the better message where it is no JSON object at all.
    Reader::new(&file, &bytes)?;
    let wrong = |error: &dyn std::fmt::Display| CheckpointError::Scheduler {
        file: file.clone(),
        reason: printable(&error.to_string()),
    };
    let scheduler: SchedulerConfig =
        serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    scheduler.validate().map_err(|error| wrong(&error))?;
    Ok(scheduler)
}

/// The weights of a component: the plain file, or else the one in half precision.
fn weights_path(files: &Files, component: Component) -> Result<&'static str, CheckpointError> {
    let (folder, paths, what) = match component {
        Component::TextEncoder => (
            "text_encoder",
            [
                "text_encoder/model.safetensors",
                "text_encoder/model.fp16.safetensors",
            ],
            "the text encoder's weights are",
        ),
        Component::UNet => (
            "unet",
            [
                "unet/diffusion_pytorch_model.safetensors",
                "unet/diffusion_pytorch_model.fp16.safetensors",
            ],
            "the UNet's weights are",
        ),
        Component::Vae => (
            "vae",
            [
                "vae/diffusion_pytorch_model.safetensors",
                "vae/diffusion_pytorch_model.fp16.safetensors",
            ],
            "the autoencoder's weights are",
        ),
    };
    if let Some(path) = files.first(&paths) {
        return Ok(path);
    }
    let names = files.names_in(folder);
    if let Some(name) = names
        .iter()
        .find(|name| name.ends_with(".safetensors.index.json"))
    {
        return Err(CheckpointError::Weights {
            file: files.shown_file(&format!("{folder}/{name}")),
            reason: "weights that are split over several files are not read; save the checkpoint again with diffusers' save_pretrained(…, max_shard_size=\"100GB\")".to_owned(),
        });
    }
    if let Some(name) = names
        .iter()
        .find(|name| has_extension(name, &["bin", "ckpt", "pt", "pth"]))
    {
        return Err(CheckpointError::Pickle {
            file: files.shown_file(&format!("{folder}/{name}")),
        });
    }
    files.need(&paths, what)
}

/// The vocabulary's files: `vocab.json` and `merges.txt`, or else `tokenizer.json`.
fn tokenizer_files(files: &Files) -> Result<Vec<&'static str>, CheckpointError> {
    const PAIR: [&str; 2] = ["tokenizer/vocab.json", "tokenizer/merges.txt"];
    const WHOLE: &str = "tokenizer/tokenizer.json";
    if PAIR.iter().all(|path| files.has(path)) {
        Ok(PAIR.to_vec())
    } else if files.has(WHOLE) {
        Ok(vec![WHOLE])
    } else {
        Err(CheckpointError::Missing {
            folder: files.shown(),
            what: "the tokenizer's vocabulary is",
            looked_for: format!("{} and {}, or {WHOLE}", PAIR[0], PAIR[1]),
        })
    }
}

/// What `tokenizer_config.json` and `special_tokens_map.json` say.
struct TokenizerSettings {
    max_length: usize,
    pad_token: Option<String>,
}

impl TokenizerSettings {
    /// `model_max_length` is bounded by the positions that the text encoder has; absent, it is all of them. The
    /// padding token is that of the configuration, or else that of the map, or else the end token.
    fn read(files: &Files, text_encoder: &TextEncoderConfig) -> Result<Self, CheckpointError> {
        let mut settings = Self {
            max_length: text_encoder.max_position_embeddings,
            pad_token: None,
        };
        if files.has(TOKENIZER_CONFIG) {
            let json = Reader::new(
                &files.shown_file(TOKENIZER_CONFIG),
                &files.read(TOKENIZER_CONFIG)?,
            )?;
            // transformers writes 1e30 where no length was given.
            let length = json.number("model_max_length", f64::MAX, 3.0..=f64::MAX)?;
            settings.max_length = settings.max_length.min(length as usize);
            settings.pad_token = special_token(&json, "pad_token")?;
        }
        if settings.pad_token.is_none() && files.has(SPECIAL_TOKENS) {
            let json = Reader::new(
                &files.shown_file(SPECIAL_TOKENS),
                &files.read(SPECIAL_TOKENS)?,
            )?;
            settings.pad_token = special_token(&json, "pad_token")?;
        }
        Ok(settings)
    }
}

/// A special token, written as a text or as an object with its text in `content`.
fn special_token(json: &Reader, key: &str) -> Result<Option<String>, CheckpointError> {
    let Some(value) = json.value(key) else {
        return Ok(None);
    };
    value
        .as_str()
        .or_else(|| value.get("content")?.as_str())
        .map(|text| Some(text.to_owned()))
        .ok_or_else(|| json.wrong(key, "a token's text"))
}

/// The folder's own name, also where the path ends in `.` or `..`.
fn name(files: &Files) -> String {
    match files {
        Files::Embedded => embedded::NAME.to_owned(),
        Files::Folder(path) => {
            let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
            whole
                .file_name()
                .map_or_else(|| shown(path), |name| printable(&name.to_string_lossy()))
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

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
mod locate;
mod tokenizer;
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
        let files = locate::locate(source)?;
        let json = |path: &str, what| {
            let path = files.need(&[path], what)?;
            Reader::new(&files.shown_file(path), &files.read(path)?)
        };
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
        let scheduler = read_scheduler(&files)?;
        tokenizer::vocabulary(&files)?;
        let weight_paths = [
            locate::weights_path(&files, Component::TextEncoder)?,
            locate::weights_path(&files, Component::UNet)?,
            locate::weights_path(&files, Component::Vae)?,
        ];
        let [text_path, unet_path, vae_path] = weight_paths;
        let text_encoder_weights = Weights::open(&files, text_path, TEXT_PREFIX)?;
        Layout::text_encoder(&text_encoder).check(&text_encoder_weights)?;
        let unet_weights = Weights::open(&files, unet_path, "")?;
        Layout::unet(&unet).check(&unet_weights)?;
        let vae_weights = Weights::open(&files, vae_path, "")?;
        Layout::vae(&vae).check(&vae_weights)?;
        Ok(Self {
            name: locate::name(&files),
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
        tokenizer::read(&self.files, &self.text_encoder)
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
        let mut paths = tokenizer::vocabulary(&self.files)?;
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

/// The scheduler's configuration, with values that some sampler can work with.
fn read_scheduler(files: &Files) -> Result<SchedulerConfig, CheckpointError> {
    let path = files.need(&[SCHEDULER], "the scheduler's configuration is")?;
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

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

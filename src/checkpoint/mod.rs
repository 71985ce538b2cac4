//! Find, read and check a checkpoint of Stable Diffusion v1's structure.
//!
//! A checkpoint is a folder in diffusers' layout (the one inside the program, one on this machine, or one that was
//! downloaded from the hub) or a single file with the original names. [`Checkpoint::open`] reads its configurations and
//! the headers of its weights and refuses, with a reason, whatever this program would not run correctly; after that,
//! building the networks from [`Checkpoint::weights`] meets no surprise. [`Report::of`] says everything that is wrong.
//! Weights are mapped into memory and converted when they are asked for.

mod broken_weight;
mod component;
mod config;
mod error;
mod files;
mod format;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/targets/checkpoint.rs"]
pub(crate) mod fuzz;
pub(crate) mod hub;
mod layout;
mod memory;
mod report;
mod source;
mod weights;

use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device};
use candle_nn::VarBuilder;

pub use broken_weight::BrokenWeight;
pub use component::Component;
pub use config::{Extras, LatentRgb};
#[cfg(test)]
pub(crate) use config::{read_configuration, uncorrected as uncorrected_scheduler};
pub use error::CheckpointError;
pub(crate) use files::EMBEDDED;
pub use hub::Repository;
pub(crate) use memory::{MemoryEstimate, available_memory};
pub(crate) use report::{ComponentReport, Report};
pub use source::Source;
pub use weights::Parameter;
pub(crate) use weights::Weights;

use crate::model::config::{TextEncoderConfig, UNetConfig, VaeConfig};
use crate::model::tokenizer::ClipTokenizer;
use crate::scheduler::SchedulerConfig;
use files::{Files, digest, locate, tokenizer};
use layout::{Layout, refuse};
use weights::not_finite_in_words;

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
    /// What its configurations ask for that is done in another way, or passed over, as in diffusers: a sentence each,
    /// with the file, relative to the checkpoint's folder.
    pub notes: Vec<String>,
    files: Files,
    text_encoder_weights: Arc<Weights>,
    unet_weights: Arc<Weights>,
    vae_weights: Arc<Weights>,
    weight_paths: Vec<String>,
    sha256: OnceLock<String>,
}

impl Checkpoint {
    /// Reads and checks a checkpoint: everything but the weights' values.
    pub fn open(source: &Source) -> Result<Self, CheckpointError> {
        Self::open_variant(source, None)
    }

    /// The same with the weights of a variant (`fp16`) for those networks that have it, as diffusers takes them.
    pub fn open_variant(source: &Source, variant: Option<&str>) -> Result<Self, CheckpointError> {
        let files = locate::locate(source)?;
        let contents = locate::read(&files, variant)?;
        let weight_paths = contents.weight_paths();
        // Configurations first: they say best what kind of checkpoint it is.
        let text_encoder = contents.text_encoder.config?;
        let unet = contents.unet.config?;
        let vae = contents.vae.config?;
        let scheduler = contents.scheduler?;
        contents.vocabulary?;
        let text_encoder_weights = contents.text_encoder.weights?;
        let unet_weights = contents.unet.weights?;
        let vae_weights = contents.vae.weights?;
        for (layout, weights) in [
            (Layout::text_encoder(&text_encoder), &text_encoder_weights),
            (Layout::unet(&unet), &unet_weights),
            (Layout::vae(&vae), &vae_weights),
        ] {
            refuse(weights, &layout.problems(weights))?;
        }
        Ok(Self {
            name: locate::name(source, &files),
            text_encoder_weights: Arc::new(text_encoder_weights),
            unet_weights: Arc::new(unet_weights),
            vae_weights: Arc::new(vae_weights),
            extras: contents.extras?,
            notes: contents.notes,
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

    /// The weights of one network, to be asked for again when the checkpoint is no longer there.
    pub(crate) fn stored(&self, component: Component) -> Arc<Weights> {
        Arc::clone(self.file(component))
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
        let digests = digest::digests(&self.files, &self.weight_paths)?;
        let digest = digest::of_checkpoint(&self.files, &digests);
        Ok(self.sha256.get_or_init(|| digest))
    }

    /// What is not finite in the weights that were read so far, a sentence for each network; `model check` names all.
    pub fn not_finite(&self) -> Vec<String> {
        let components = Component::ALL.into_iter();
        components
            .filter_map(|component| not_finite_in_words(&self.file(component).not_finite()))
            .collect()
    }

    fn file(&self, component: Component) -> &Arc<Weights> {
        match component {
            Component::TextEncoder => &self.text_encoder_weights,
            Component::UNet => &self.unet_weights,
            Component::Vae => &self.vae_weights,
        }
    }
}

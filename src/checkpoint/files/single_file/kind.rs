//! Which kind of file it is, by the names of its tensors: what is not Stable Diffusion v1 is refused by its name.

use super::names;
use crate::checkpoint::{error::CheckpointError, weights::TensorFile};

/// How a name betrays a kind of file.
enum Sign {
    /// A tensor's name begins so.
    Begins(&'static str),
    /// A tensor's name has this in it.
    Has(&'static str),
}

use Sign::{Begins, Has};

/// Kinds of files that are not read, by what betrays them; the first that fits is named.
const OTHERS: [(Sign, &str); 14] = [
    (
        Has("lora_"),
        "it is a LoRA, which changes a checkpoint and is none itself",
    ),
    (
        Begins("conditioner.embedders."),
        "it is a checkpoint of Stable Diffusion XL",
    ),
    (
        Begins("cond_stage_model.model."),
        "it is a single file of Stable Diffusion 2; convert it with diffusers (StableDiffusionPipeline.from_single_file, then save_pretrained) and give the folder",
    ),
    (
        Has("joint_blocks."),
        "it is a checkpoint of Stable Diffusion 3",
    ),
    (Has("double_blocks."), "it is a checkpoint of FLUX"),
    (Begins("control_model."), "it is a ControlNet"),
    (Begins("controlnet_"), "it is a ControlNet"),
    (
        Begins("ztsnr"),
        "it was trained with a noise schedule that ends without signal (zero terminal SNR), which is not supported",
    ),
    (
        Begins("time_embedding."),
        "it is the UNet of a folder in diffusers' layout; give the folder that has model_index.json in it",
    ),
    (
        Begins("text_model."),
        "it is the text encoder of a folder in diffusers' layout; give the folder that has model_index.json in it",
    ),
    (
        Begins("encoder.down_blocks."),
        "it is the autoencoder of a folder in diffusers' layout; give the folder that has model_index.json in it",
    ),
    (
        Begins("encoder.down."),
        "it is an autoencoder alone, without text encoder and UNet",
    ),
    (
        Begins("emb_params"),
        "it is a textual inversion, which adds a word to a checkpoint and is none itself",
    ),
    (
        Begins("string_to_param"),
        "it is a textual inversion, which adds a word to a checkpoint and is none itself",
    ),
];

/// Refuses a file that is not a checkpoint of Stable Diffusion v1, as far as its names tell.
pub fn refuse_others(file: &TensorFile) -> Result<(), CheckpointError> {
    let other_kind = |reason: String| CheckpointError::OtherKind {
        file: file.file().to_owned(),
        reason,
    };
    for (sign, reason) in &OTHERS {
        let betrays = |name: &str| match sign {
            Begins(start) => name.starts_with(start),
            Has(part) => name.contains(part),
        };
        if file.names().any(betrays) {
            return Err(other_kind((*reason).to_owned()));
        }
    }
    let has = |prefix: &str| file.names().any(|name| name.starts_with(prefix));
    let networks = [
        (names::TEXT_ENCODER, "text encoder"),
        (names::UNET, "UNet"),
        (names::VAE, "autoencoder"),
    ];
    let missing: Vec<String> = networks
        .iter()
        .filter(|(prefix, _)| !has(prefix))
        .map(|(prefix, what)| format!("no {what} (tensors named {prefix}…)"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(other_kind(format!("it has {}", missing.join(" and "))))
}

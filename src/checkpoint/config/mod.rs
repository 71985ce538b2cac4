//! The configurations of a checkpoint's networks, read from its JSON files and checked.
//!
//! Keys and defaults are those of diffusers and transformers. Every key of theirs is read, refused unless its value is
//! harmless, or listed with the reason why it changes nothing; whatever else is written is named in a note
//! ([`reader`]).

mod extras;
mod pipeline;
mod reader;
mod scheduler;
mod text_encoder;
mod unet;
mod vae;

pub use extras::{Extras, LatentRgb};

pub(super) use pipeline::Pipeline;
pub(super) use reader::Reader;
pub(super) use scheduler::scheduler;
#[cfg(test)]
pub(crate) use scheduler::uncorrected;

/// Reads the configuration of a class, for tests: what was read, as text, and what is to be said of it.
#[cfg(test)]
pub(crate) fn read_configuration(
    class: &str,
    file: &str,
    bytes: &[u8],
) -> Result<(String, Vec<String>), super::CheckpointError> {
    use crate::model::config::{TextEncoderConfig, UNetConfig, VaeConfig};

    let json = Reader::new(file, bytes)?;
    Ok(match class {
        "UNet2DConditionModel" => shown(UNetConfig::read(json)?),
        "AutoencoderKL" => shown(VaeConfig::read(json)?),
        "CLIPTextConfig" => shown(TextEncoderConfig::read(json)?),
        _ => {
            let Pipeline { scheduler, notes } = Pipeline::read(json)?;
            shown((scheduler, notes))
        }
    })
}

#[cfg(test)]
fn shown((config, notes): (impl std::fmt::Debug, Vec<String>)) -> (String, Vec<String>) {
    (format!("{config:?}"), notes)
}

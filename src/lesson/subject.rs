//! Which model something in a lesson is about.

use serde::{Deserialize, Deserializer};

use crate::checkpoint::EMBEDDED;
use crate::generation::ModelInfo;

/// The word for every model.
const ANY: &str = "any";
/// The word for Stable Diffusion v1 at full size.
const SD_V1: &str = "sd-v1";
/// Of the embedded model's pictures.
const EMBEDDED_LATENTS: [usize; 3] = [4, 16, 16];

/// The model that something in a lesson is about. With another one open it is neither true nor false.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Subject {
    /// Every model that the program opens: `any`.
    #[default]
    Any,
    /// Stable Diffusion v1 at full size, whoever trained it: `sd-v1`.
    StableDiffusionV1,
    /// The model of this name.
    Model(String),
}

impl Subject {
    /// Is it about the model that `info` describes?
    pub fn covers(&self, info: &ModelInfo) -> bool {
        match self {
            Self::Any => true,
            Self::StableDiffusionV1 => is_sd_v1(info),
            // At another size it is not the model that the lessons speak of.
            Self::Model(name) if name == EMBEDDED => {
                info.name == EMBEDDED && info.latent_shape == EMBEDDED_LATENTS
            }
            Self::Model(name) => info.name == *name,
        }
    }

    /// What prose calls it.
    pub fn name(&self) -> &str {
        match self {
            Self::Any => ANY,
            Self::StableDiffusionV1 => "Stable Diffusion v1",
            Self::Model(name) => called(name),
        }
    }
}

/// What prose calls the model `name`.
pub fn called(name: &str) -> &str {
    if name == EMBEDDED {
        "Little World"
    } else {
        name
    }
}

/// Has it the structure of the published v1 checkpoints, 1.1 to 1.5, and of what was trained on from them? CLIP
/// ViT-L/14's text encoder, latents of 4×64×64, and 16 cross-attention layers of 8 heads (CompVis/stable-diffusion,
/// `configs/stable-diffusion/v1-inference.yaml`).
fn is_sd_v1(info: &ModelInfo) -> bool {
    info.text_layers == 12
        && info.hidden_size == 768
        && info.latent_shape == [4, 64, 64]
        && info.cross_attention.len() == 16
        && info.cross_attention.iter().all(|layer| layer.heads == 8)
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let word = String::deserialize(deserializer)?;
        match word.trim() {
            "" => Err(D::Error::custom(format!(
                "an empty name of a model; expected \"{ANY}\", \"{SD_V1}\" or the name of one, such as \"{EMBEDDED}\""
            ))),
            ANY => Ok(Self::Any),
            SD_V1 => Ok(Self::StableDiffusionV1),
            name => Ok(Self::Model(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Holder {
        model: Subject,
    }

    #[test]
    fn a_model_is_named_by_one_word() {
        let read = |word: &str| {
            let holder: Result<Holder, _> = toml::from_str(&format!("model = \"{word}\""));
            holder.map(|holder| holder.model)
        };
        assert_eq!(read("any"), Ok(Subject::Any));
        assert_eq!(read("sd-v1"), Ok(Subject::StableDiffusionV1));
        let little = Subject::Model("little-world".to_owned());
        assert_eq!(little.name(), "Little World");
        assert_eq!(read("little-world"), Ok(little));
        let error = read(" ").unwrap_err().to_string();
        assert!(error.contains("expected \"any\", \"sd-v1\""), "{error}");
    }
}

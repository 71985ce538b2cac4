//! The networks of a checkpoint.

use serde::Serialize;

/// A network of the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

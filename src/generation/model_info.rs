//! A model's description, which does not need its weights.

use image::{Rgb, RgbImage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Request;
use crate::checkpoint::{Component, LatentRgb};
use crate::model::modules::Module;
use crate::scheduler::{SchedulerConfig, SchedulerKind};

/// The description of a loaded model, or of the one that made a recorded run.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    /// `little-world`, or the folder's name.
    pub name: String,
    /// SHA-256 over the checkpoint's files, in hexadecimal digits.
    pub sha256: String,
    /// `cpu` or `cuda`.
    pub device: String,
    /// Type in which the networks compute: `f32`.
    pub dtype: String,
    /// Width and height of its pictures, in pixels: what it was trained for, unless another size was asked for.
    pub image_size: (usize, usize),
    /// `[channels, height, width]` of its latents.
    pub latent_shape: [usize; 3],
    /// Number of the text encoder's layers.
    pub text_layers: usize,
    /// Width of the text encoder.
    pub hidden_size: usize,
    /// Number of parameters of all networks together.
    pub parameters: usize,
    /// Every cross-attention layer, in the order of a forward pass.
    pub cross_attention: Vec<AttentionLayer>,
    /// Its networks' modules; none of the model of a recorded run.
    pub modules: Modules,
    /// The guidance scale that suits it.
    pub default_guidance: f64,
    /// The sampler that is taken where none is asked for.
    pub default_scheduler: SchedulerKind,
    /// The number of steps that is taken where none is asked for.
    pub default_steps: usize,
    /// A quick map from latents to colours: see [`ModelInfo::preview`].
    pub latent_rgb: LatentRgb,
    /// The noise schedule that it was trained with; none of the model of a recorded run that does not say it.
    pub scheduler_config: Option<SchedulerConfig>,
    /// What its configurations ask for that is done in another way, or passed over, as in diffusers: a sentence each,
    /// with the file, relative to the checkpoint's folder.
    pub notes: Vec<String>,
}

/// The modules of each network, in the order of a forward pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modules {
    /// The text encoder's layers.
    pub text_encoder: Vec<Module>,
    /// The UNet's.
    pub unet: Vec<Module>,
    /// The decoder's; none where it computes with candle-transformers, which cannot be looked into.
    pub vae: Vec<Module>,
}

impl Modules {
    /// Those of one network.
    pub fn of(&self, network: Component) -> &[Module] {
        match network {
            Component::TextEncoder => &self.text_encoder,
            Component::UNet => &self.unet,
            Component::Vae => &self.vae,
        }
    }
}

/// A cross-attention layer and the size of its maps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttentionLayer {
    /// Module path.
    pub path: String,
    /// Number of heads.
    pub heads: usize,
    /// Height of the feature map.
    pub height: usize,
    /// Width of the feature map.
    pub width: usize,
}

impl ModelInfo {
    /// A request with this model's defaults: 25 steps of the sampler that suits it, seed 42, the guidance scale that suits it.
    pub fn default_request(&self, prompt: &str) -> Request {
        Request {
            prompt: prompt.to_owned(),
            steps: self.default_steps,
            guidance_scale: self.default_guidance,
            scheduler: self.default_scheduler,
            ..Request::default()
        }
    }

    /// A cheap picture of latents `(channels, height, width)`, row-major, without the autoencoder: one pixel a latent
    /// pixel, a linear map of each, after division by `scale` (the step's `preview_scale` for `latents`, 1 for `x0`).
    /// Values that are missing count as 0.
    pub fn preview(&self, latents: &[f32], scale: f32) -> RgbImage {
        let LatentRgb { weight, bias } = &self.latent_rgb;
        let [_, height, width] = self.latent_shape;
        let plane = height * width;
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let pixel = y as usize * width + x as usize;
            let mut colour = *bias;
            for (channel, weight) in weight.iter().enumerate() {
                let value = latents.get(channel * plane + pixel).copied().unwrap_or(0.0) / scale;
                for (sum, weight) in colour.iter_mut().zip(weight) {
                    *sum += value * weight;
                }
            }
            Rgb(colour.map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8))
        })
    }
}

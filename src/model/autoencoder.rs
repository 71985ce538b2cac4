//! The autoencoder: latents to a picture, eight times as wide and high.
//!
//! Kingma & Welling 2013; Rombach et al. 2022. Where the kernels compute, the network is [`Decoder`]; elsewhere it is
//! candle-transformers' `AutoEncoderKL`.

use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::stable_diffusion::vae::{AutoEncoderKL, AutoEncoderKLConfig};
use image::RgbImage;

use super::Error;
use super::config::VaeConfig;
use super::decoder::Decoder;
use super::hook::{Hook, NoHook};
use super::modules::Module;
use crate::kernels::Backend;

/// The autoencoder, and the factor between its latents and the UNet's.
#[derive(Debug)]
pub struct Autoencoder {
    network: Network,
    scaling_factor: f64,
}

/// The decoder over the kernels, or candle-transformers' whole autoencoder over candle's operations.
#[derive(Debug)]
enum Network {
    Decoder(Box<Decoder>),
    Candle(Box<AutoEncoderKL>),
}

impl Autoencoder {
    /// Reads the weights. `config` must have been validated.
    pub fn new(config: &VaeConfig, weights: &VarBuilder) -> Result<Self, Error> {
        let network = match Backend::choose(weights.dtype(), weights.device()) {
            Backend::Cpu | Backend::Cuda => {
                Network::Decoder(Box::new(Decoder::new(config, weights)?))
            }
            Backend::Candle => Network::Candle(Box::new(AutoEncoderKL::new(
                weights.clone(),
                config.in_channels,
                config.out_channels,
                AutoEncoderKLConfig {
                    block_out_channels: config.block_out_channels.clone(),
                    layers_per_block: config.layers_per_block,
                    latent_channels: config.latent_channels,
                    norm_num_groups: config.norm_num_groups,
                    use_quant_conv: config.use_quant_conv,
                    use_post_quant_conv: config.use_post_quant_conv,
                },
            )?)),
        };
        Ok(Self {
            network,
            scaling_factor: config.scaling_factor,
        })
    }

    /// `latents` as the UNet sees them, `(1, channels, height, width)`, to the picture.
    pub fn decode(&self, latents: &Tensor) -> Result<Picture, Error> {
        let latents = (latents / self.scaling_factor)?;
        let picture = match &self.network {
            Network::Decoder(decoder) => {
                Backend::of(&latents).install(|| decoder.forward(&latents, &mut NoHook))?
            }
            Network::Candle(network) => network.decode(&latents)?,
        };
        Ok(to_rgb(&picture)?)
    }

    /// The same forward pass for a hook that looks. Where [`Autoencoder::modules`] names none, it is passed by.
    pub fn look(&self, latents: &Tensor, hook: &mut dyn Hook) -> Result<(), Error> {
        let latents = (latents / self.scaling_factor)?;
        if let Network::Decoder(decoder) = &self.network {
            Backend::of(&latents).install(|| decoder.forward(&latents, hook))?;
        }
        Ok(())
    }

    /// The decoder's modules, in the order of a forward pass; none where candle-transformers' computes, which no hook
    /// can look into.
    pub fn modules(&self) -> Vec<Module> {
        match &self.network {
            Network::Decoder(decoder) => decoder.modules(),
            Network::Candle(_) => Vec::new(),
        }
    }
}

/// What the decoder gave.
#[derive(Debug, Clone)]
pub struct Picture {
    /// 8 bits a channel: `round(255 clamp(x / 2 + 0.5, 0, 1))`, ties to even as NumPy and so diffusers do. Where `x` is
    /// NaN, 0.
    pub image: RgbImage,
    /// `x`, row-major `(height, width, 3)`: -1 to 1 where it is not clipped.
    pub values: Vec<f32>,
}

/// `(1, 3, height, width)` to the picture.
fn to_rgb(picture: &Tensor) -> candle_core::Result<Picture> {
    let (_, channels, height, width) = picture.dims4()?;
    if channels != 3 {
        candle_core::bail!("the autoencoder's picture has {channels} channels instead of 3");
    }
    let values = picture
        .squeeze(0)?
        .permute((1, 2, 0))?
        .to_dtype(DType::F32)?
        .flatten_all()?
        .to_vec1::<f32>()?;
    let bytes = values
        .iter()
        .map(|value| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8)
        .collect();
    let image = RgbImage::from_raw(width as u32, height as u32, bytes)
        .ok_or_else(|| candle_core::Error::Msg("the picture has the wrong size".into()))?;
    Ok(Picture { image, values })
}

//! Decoding the last latents, in the type that suits them.

use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;

use super::denoise::ended;
use super::{DecoderType, Error};
use crate::checkpoint::{Checkpoint, Component, Weights};
use crate::model::Hook;
use crate::model::autoencoder::{Autoencoder, Picture};
use crate::model::config::VaeConfig;
use crate::model::modules::Module;

/// A decoded picture, and how it came about.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// 8-bit RGB, rounded as diffusers rounds.
    pub image: RgbImage,
    /// What the decoder gave, row-major `(height, width, 3)`: -1 to 1 where it is not clipped.
    pub values: Vec<f32>,
    /// The type that it was computed in.
    pub dtype: DType,
    /// Where it was decoded again in f32: how many values were not finite before, in the networks' type.
    pub overflowed: Option<usize>,
}

/// The autoencoder in one type and, where that is allowed and turns out to be needed, in f32.
#[derive(Debug)]
pub(super) struct Decoding {
    autoencoder: Autoencoder,
    dtype: DType,
    again: Option<Again>,
}

/// What it takes to read the autoencoder once more.
#[derive(Debug)]
struct Again {
    config: VaeConfig,
    weights: Arc<Weights>,
    device: Device,
    in_f32: OnceLock<Autoencoder>,
}

impl Decoding {
    /// Reads the autoencoder onto `device`.
    pub fn load(
        checkpoint: &Checkpoint,
        device: &Device,
        dtype: DecoderType,
    ) -> Result<Self, Error> {
        let (dtype, may_repeat) = match dtype {
            DecoderType::Fixed(dtype) => (dtype, false),
            DecoderType::OrF32(dtype) => (dtype, dtype != DType::F32),
        };
        let weights = checkpoint.weights(Component::Vae, dtype, device)?;
        Ok(Self {
            autoencoder: Autoencoder::new(&checkpoint.vae, &weights)?,
            dtype,
            again: may_repeat.then(|| Again {
                config: checkpoint.vae.clone(),
                weights: checkpoint.stored(Component::Vae),
                device: device.clone(),
                in_f32: OnceLock::new(),
            }),
        })
    }

    /// The type that it decodes in.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The type that it decodes in at last, where the first did not do.
    pub fn last_dtype(&self) -> DType {
        self.again.as_ref().map_or(self.dtype, |_| DType::F32)
    }

    /// The forward pass of `latents`, `(1, channels, height, width)`, for a hook that looks.
    pub fn look(&self, latents: &Tensor, hook: &mut dyn Hook) -> Result<(), Error> {
        ended(
            self.autoencoder
                .look(&latents.to_dtype(self.dtype)?, hook)
                .map_err(Error::from),
        )
    }

    /// The decoder's modules.
    pub fn modules(&self) -> Vec<Module> {
        self.autoencoder.modules()
    }

    /// Decodes `latents`, `(1, channels, height, width)`; where finite ones give a picture that is not, again in f32 if
    /// that was not ruled out. diffusers decides that before, by `force_upcast`.
    pub fn decode(&self, latents: &Tensor) -> Result<Decoded, Error> {
        let picture = self.autoencoder.decode(&latents.to_dtype(self.dtype)?)?;
        let broken = not_finite(&picture.values);
        let decoded = |picture: Picture, dtype, overflowed| Decoded {
            image: picture.image,
            values: picture.values,
            dtype,
            overflowed,
        };
        match &self.again {
            Some(again) if broken > 0 && are_finite(latents)? => {
                let picture = again
                    .autoencoder()?
                    .decode(&latents.to_dtype(DType::F32)?)?;
                Ok(decoded(picture, DType::F32, Some(broken)))
            }
            _ => Ok(decoded(picture, self.dtype, None)),
        }
    }
}

impl Again {
    /// The autoencoder in f32, read when it is asked for first.
    fn autoencoder(&self) -> Result<&Autoencoder, Error> {
        if let Some(autoencoder) = self.in_f32.get() {
            return Ok(autoencoder);
        }
        let weights = self.weights.builder(DType::F32, &self.device);
        let autoencoder = Autoencoder::new(&self.config, &weights)?;
        Ok(self.in_f32.get_or_init(|| autoencoder))
    }
}

fn are_finite(latents: &Tensor) -> Result<bool, Error> {
    let values = latents.flatten_all()?.to_dtype(DType::F32)?;
    Ok(not_finite(&values.to_vec1::<f32>()?) == 0)
}

fn not_finite(values: &[f32]) -> usize {
    values.iter().filter(|value| !value.is_finite()).count()
}

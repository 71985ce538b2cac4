//! A loaded model: every network of a checkpoint on one device.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::thread;

use candle_core::{DType, Device, Tensor};

use super::decoding::Decoding;
use super::denoise::ended;
use super::model_info::Modules;
use super::{AttentionLayer, Decoded, Error, ModelInfo, NumberTypes, Precision, Request};
use crate::checkpoint::{BrokenWeight, Checkpoint, Component, LatentRgb, Weights};
use crate::model::Hook;
use crate::model::text_encoder::TextEncoder;
use crate::model::tokenizer::{ClipTokenizer, Tokens};
use crate::model::unet::{CrossAttentionSite, UNet};
use crate::scheduler::SchedulerConfig;

/// Stable Diffusion's own guidance scale, for checkpoints that do not name theirs.
const DEFAULT_GUIDANCE: f64 = 7.5;

/// The largest width or height of a picture, in pixels: attention over so many of its latent pixels already takes
/// minutes.
const MAX_SIZE: usize = 2048;

/// For SD v1's autoencoder, after Kevin Turner's fit of 2022 ("Decoding latents to RGB without upscaling"), which gives
/// -1 to 1; halved and shifted here.
fn stable_diffusion_v1_preview() -> LatentRgb {
    let weight = [
        [0.298, 0.207, 0.208],
        [0.187, 0.286, 0.173],
        [-0.158, 0.189, 0.264],
        [-0.184, -0.271, -0.473],
    ];
    LatentRgb {
        weight: weight.map(|row| row.map(|value: f32| value / 2.0)),
        bias: [0.5; 3],
    }
}

/// `size`, if the checkpoint's networks can draw it.
fn checked_size(
    (width, height): (usize, usize),
    checkpoint: &Checkpoint,
) -> Result<(usize, usize), Error> {
    let multiple = checkpoint.vae.scale();
    let least = multiple << (checkpoint.unet.block_out_channels.len() - 1);
    let fits = |size: usize| size.is_multiple_of(multiple) && (least..=MAX_SIZE).contains(&size);
    if fits(width) && fits(height) {
        return Ok((width, height));
    }
    Err(Error::ImageSize {
        width,
        height,
        multiple,
        least,
        most: MAX_SIZE,
    })
}

/// The UNet's cross-attention layers over latents of this width and height.
fn attention_layers(unet: &UNet, (width, height): (usize, usize)) -> Vec<AttentionLayer> {
    let layer = |site: &CrossAttentionSite| {
        let halved = |size: usize| (0..site.halvings).fold(size, |size, _| size.div_ceil(2));
        AttentionLayer {
            path: site.path.clone(),
            heads: site.heads,
            height: halved(height),
            width: halved(width),
        }
    };
    unet.cross_attention().iter().map(layer).collect()
}

/// Which of `ids` have a row of zeros in `table`, `(vocabulary, hidden)`: words that the model never saw.
pub(super) fn has_no_embedding(table: &Tensor, ids: &[u32]) -> candle_core::Result<Vec<bool>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = table.index_select(&Tensor::new(ids, table.device())?, 0)?;
    let largest = rows.abs()?.max(1)?.to_dtype(DType::F32)?;
    let largest = largest.to_vec1::<f32>()?.into_iter();
    Ok(largest.map(|largest| largest == 0.0).collect())
}

/// The weights that a network was read from, and what is wrong with them, once somebody has asked.
#[derive(Debug)]
struct Source {
    component: Component,
    weights: Arc<Weights>,
    dtype: DType,
    broken: OnceLock<Option<BrokenWeight>>,
}

/// A loaded model. Share it in an [`Arc`](std::sync::Arc): nothing in it changes.
#[derive(Debug)]
pub struct Pipeline {
    info: ModelInfo,
    tokenizer: Arc<ClipTokenizer>,
    text_encoder: TextEncoder,
    unet: UNet,
    decoding: Decoding,
    sources: [Source; Component::ALL.len()],
    scheduler_config: SchedulerConfig,
    device: Device,
    dtype: DType,
}

impl Pipeline {
    /// Width and height of the pictures that `checkpoint` is to draw, in pixels: `size`, or what it was trained for.
    ///
    /// # Errors
    /// A size that is no multiple of a latent pixel's, that the UNet cannot halve as often as it does, or above 2048.
    pub fn image_size(
        checkpoint: &Checkpoint,
        size: Option<(usize, usize)>,
    ) -> Result<(usize, usize), Error> {
        let (width, height) = checkpoint.unet.sample_size;
        let scale = checkpoint.vae.scale();
        let own = (width * scale, height * scale);
        size.map_or(Ok(own), |size| checked_size(size, checkpoint))
    }

    /// Reads a checkpoint's networks onto `device`, in the type that suits it: see [`Precision::Auto`].
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Self, Error> {
        let upcast = checkpoint.vae.force_upcast;
        let types = NumberTypes::on(device, Precision::Auto, None, upcast)?;
        Self::load_as(checkpoint, device, types, None)
    }

    /// Reads a checkpoint's networks onto `device`, in `types`, for pictures of `size`: width and height in pixels.
    /// Where there is none, it is the one that the model was trained for.
    ///
    /// # Errors
    /// Those of [`Pipeline::image_size`]; weights that cannot be read.
    pub fn load_as(
        checkpoint: &Checkpoint,
        device: &Device,
        types: impl Into<NumberTypes>,
        size: Option<(usize, usize)>,
    ) -> Result<Self, Error> {
        let types = types.into();
        let dtype = types.networks;
        let scale = checkpoint.vae.scale();
        let image_size = Self::image_size(checkpoint, size)?;
        let latent_size = (image_size.0 / scale, image_size.1 / scale);
        let weights = |component| checkpoint.weights(component, dtype, device);
        let read = || -> Result<_, Error> {
            let text_encoder =
                TextEncoder::new(&checkpoint.text_encoder, &weights(Component::TextEncoder)?)?;
            let unet = UNet::new(&checkpoint.unet, &weights(Component::UNet)?)?;
            let decoding = Decoding::load(checkpoint, device, types.decoder)?;
            Ok((text_encoder, unet, decoding))
        };
        let networks = thread::scope(|scope| {
            // Seconds, for gigabytes of weights: by the time that the networks are read, the checkpoint knows its hash.
            // Where that failed, it fails again when it is asked for.
            let hash = || drop(checkpoint.sha256());
            drop(thread::Builder::new().spawn_scoped(scope, hash));
            read()
        });
        let (text_encoder, unet, decoding) = networks?;
        let sources = Component::ALL.map(|component| Source {
            component,
            weights: checkpoint.stored(component),
            dtype: match component {
                Component::Vae => decoding.last_dtype(),
                _ => dtype,
            },
            broken: OnceLock::new(),
        });

        let parameters = [Component::TextEncoder, Component::UNet, Component::Vae]
            .into_iter()
            .flat_map(|component| checkpoint.parameters(component))
            .map(|parameter| parameter.shape.iter().product::<usize>())
            .sum();
        let default_scheduler = checkpoint.extras.default_scheduler(&checkpoint.scheduler);
        let info = ModelInfo {
            name: checkpoint.name.clone(),
            sha256: checkpoint.sha256()?.to_owned(),
            device: if device.is_cuda() { "cuda" } else { "cpu" }.to_owned(),
            dtype: dtype.as_str().to_owned(),
            image_size,
            latent_shape: [checkpoint.unet.in_channels, latent_size.1, latent_size.0],
            text_layers: checkpoint.text_encoder.num_hidden_layers,
            hidden_size: checkpoint.text_encoder.hidden_size,
            parameters,
            cross_attention: attention_layers(&unet, latent_size),
            modules: Modules {
                text_encoder: text_encoder.modules(),
                unet: unet.modules(),
                vae: decoding.modules(),
            },
            default_guidance: checkpoint
                .extras
                .default_guidance
                .unwrap_or(DEFAULT_GUIDANCE),
            default_scheduler,
            default_steps: checkpoint.scheduler.default_steps(default_scheduler),
            latent_rgb: checkpoint
                .extras
                .latent_rgb
                .clone()
                .unwrap_or_else(stable_diffusion_v1_preview),
            // Where the file lies is of no use to whom the run is handed on.
            scheduler_config: Some(SchedulerConfig {
                file: None,
                ..checkpoint.scheduler.clone()
            }),
            notes: checkpoint.notes.clone(),
        };
        Ok(Self {
            info,
            tokenizer: Arc::new(checkpoint.tokenizer()?),
            text_encoder,
            unet,
            decoding,
            sources,
            scheduler_config: checkpoint.scheduler.clone(),
            device: device.clone(),
            dtype,
        })
    }

    /// The model's description.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Arc<ClipTokenizer> {
        &self.tokenizer
    }

    /// The text encoder.
    pub fn text_encoder(&self) -> &TextEncoder {
        &self.text_encoder
    }

    /// The UNet.
    pub fn unet(&self) -> &UNet {
        &self.unet
    }

    /// The noise schedule that the model was trained with.
    pub fn scheduler_config(&self) -> &SchedulerConfig {
        &self.scheduler_config
    }

    /// Where its tensors live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The type that its networks compute in.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The whole table of token embeddings, `(vocabulary, hidden)`. In the embedded model, rows of zeros are words that
    /// it never saw.
    pub fn token_embeddings(&self) -> &Tensor {
        self.text_encoder.token_embeddings()
    }

    /// Those of `ids` that it never saw in its training: their embeddings are zeros.
    pub fn unseen(&self, ids: impl IntoIterator<Item = u32>) -> Result<BTreeSet<u32>, Error> {
        let ids: BTreeSet<u32> = ids.into_iter().collect();
        let ids: Vec<u32> = ids.into_iter().collect();
        let unseen = has_no_embedding(self.token_embeddings(), &ids)?;
        let unseen = ids.into_iter().zip(unseen);
        Ok(unseen
            .filter_map(|(id, unseen)| unseen.then_some(id))
            .collect())
    }

    /// See [`ModelInfo::default_request`].
    pub fn default_request(&self, prompt: &str) -> Request {
        self.info.default_request(prompt)
    }

    /// The type that its autoencoder decodes in.
    pub fn decoder_dtype(&self) -> DType {
        self.decoding.dtype()
    }

    /// The first weight of a network, by name, that is not finite in the type that it computes in: what to ask for when
    /// it gave values that are not. Reads all of them, seconds for weights of gigabytes, and remembers the answer.
    pub fn broken_weight(&self, component: Component) -> Option<&BrokenWeight> {
        let source = self
            .sources
            .iter()
            .find(|source| source.component == component)?;
        let broken = source.broken.get_or_init(|| {
            // Nobody encodes a picture here.
            let is_used = |name: &str| {
                component != Component::Vae
                    || !["encoder.", "quant_conv."]
                        .iter()
                        .any(|part| name.starts_with(part))
            };
            source.weights.broken(source.dtype, is_used)
        });
        broken.as_ref()
    }

    /// The text encoder's forward pass of a text's tokens, for a hook that looks and may end it.
    pub fn look_at_text(&self, tokens: &Tokens, hook: &mut dyn Hook) -> Result<(), Error> {
        let passed = self.text_encoder.forward(&[tokens.ids()], hook);
        ended(passed.map(drop).map_err(Error::from))
    }

    /// The decoder's forward pass of latents of about unit variance, row-major `(channels, height, width)`, for a hook that
    /// looks and may end it. Nothing passes where [`ModelInfo::modules`] names no module of the decoder.
    pub fn look_at_decoder(&self, latents: &[f32], hook: &mut dyn Hook) -> Result<(), Error> {
        self.decoding.look(&self.latents_of(latents)?, hook)
    }

    /// Latents `(1, channels, height, width)` of their values.
    fn latents_of(&self, values: &[f32]) -> candle_core::Result<Tensor> {
        let [channels, height, width] = self.info.latent_shape;
        Tensor::from_slice(values, (1, channels, height, width), &self.device)
    }

    /// Decodes latents of about unit variance (final latents, or any step's `x0`), `(1, channels, height, width)`.
    pub fn decode(&self, latents: &Tensor) -> Result<Decoded, Error> {
        self.decoding.decode(latents)
    }

    /// The same for latents that have left the network: their values, row-major.
    pub fn decode_values(&self, latents: &[f32]) -> Result<Decoded, Error> {
        self.decode(&self.latents_of(latents)?)
    }
}

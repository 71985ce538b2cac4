//! The configurations that a single file does not have, from the shapes of its tensors.
//!
//! Shapes give every width, the number of levels and layers, and which levels look at the prompt. They do not give the
//! number of attention heads, the groups of the group norms or the size of the pictures: these are those of Stable
//! Diffusion v1 (8 heads in the UNet and 64 channels a head in the text encoder, 32 groups, latents of 64x64), unless
//! all widths are those of the embedded model, whose own values are taken then.

use std::collections::BTreeSet;

use super::super::{Files, folder};
use super::names;
use crate::checkpoint::{
    error::CheckpointError,
    weights::{DescribedBy, TensorFile},
};
use crate::model::config::{
    Activation, DownBlockType, TextEncoderConfig, UNetConfig, UpBlockType, VaeConfig,
};

/// Heads of every attention in Stable Diffusion v1's UNet.
const UNET_HEADS: usize = 8;
/// Groups of every group norm in Stable Diffusion v1.
const GROUPS: usize = 32;
/// Channels of each head in CLIP's text models.
const TEXT_HEAD: usize = 64;
/// Width and height of Stable Diffusion v1's latents, and the pixels of each.
const LATENT_SIZE: usize = 64;
/// What latents are multiplied by after encoding in Stable Diffusion v1.
const SCALING_FACTOR: f64 = 0.18215;
/// Levels and layers that are looked for; real networks have 4 and 12.
const MOST: usize = 256;

/// The most channels, positions or tokens that are believed, as in configurations: sums and small multiples of them do
/// not overflow.
const LARGEST: usize = 1 << 20;

/// Reads configurations from the shapes of a file's tensors.
pub struct Shapes<'a>(pub &'a TensorFile);

/// The three networks' configurations, each as far as its tensors tell.
pub struct Structure {
    pub text_encoder: Result<TextEncoderConfig, CheckpointError>,
    pub unet: Result<UNetConfig, CheckpointError>,
    pub vae: Result<VaeConfig, CheckpointError>,
}

impl Structure {
    /// Reads the structure from the shapes. `text_prefix` begins the text encoder's names.
    pub fn of(file: &TensorFile, text_prefix: &str) -> Self {
        let shapes = Shapes(file);
        let text_encoder = shapes.text_encoder(text_prefix);
        let unet = shapes.unet();
        let vae = shapes.vae();
        if let (Ok(text), Ok(unet), Ok(vae)) = (&text_encoder, &unet, &vae)
            && let Some(known) = embedded(text, unet, vae)
        {
            return known;
        }
        Self {
            text_encoder: text_encoder.and_then(|config| shapes.text_heads(config)),
            unet: unet.and_then(|config| shapes.unet_groups(config)),
            vae: vae.and_then(|config| shapes.vae_groups(config)),
        }
    }
}

/// The embedded model's configurations, where the shapes are its own.
fn embedded(text: &TextEncoderConfig, unet: &UNetConfig, vae: &VaeConfig) -> Option<Structure> {
    let known = folder::read(&Files::Embedded, None);
    let (known_text, known_unet, known_vae) = (
        known.text_encoder.config.ok()?,
        known.unet.config.ok()?,
        known.vae.config.ok()?,
    );
    let same_text = TextEncoderConfig {
        num_attention_heads: known_text.num_attention_heads,
        ..text.clone()
    } == known_text;
    let same_unet = UNetConfig {
        attention_heads: known_unet.attention_heads.clone(),
        norm_num_groups: known_unet.norm_num_groups,
        sample_size: known_unet.sample_size,
        ..unet.clone()
    } == known_unet;
    let same_vae = VaeConfig {
        norm_num_groups: known_vae.norm_num_groups,
        sample_size: known_vae.sample_size,
        force_upcast: known_vae.force_upcast,
        ..vae.clone()
    } == known_vae;
    (same_text && same_unet && same_vae).then_some(Structure {
        text_encoder: Ok(known_text),
        unet: Ok(known_unet),
        vae: Ok(known_vae),
    })
}

impl Shapes<'_> {
    fn text_encoder(&self, prefix: &str) -> Result<TextEncoderConfig, CheckpointError> {
        let token = format!("{prefix}embeddings.token_embedding.weight");
        let [vocab_size, hidden_size] = self.matrix(&token)?;
        let position = format!("{prefix}embeddings.position_embedding.weight");
        let [max_position_embeddings, _] = self.matrix(&position)?;
        let inner = format!("{prefix}encoder.layers.0.mlp.fc1.weight");
        let [intermediate_size, _] = self.matrix(&inner)?;
        Ok(TextEncoderConfig {
            vocab_size,
            hidden_size,
            intermediate_size,
            num_hidden_layers: self.count(&format!("{prefix}encoder.layers.")),
            num_attention_heads: hidden_size.div_ceil(TEXT_HEAD),
            max_position_embeddings,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        })
    }

    fn text_heads(&self, config: TextEncoderConfig) -> Result<TextEncoderConfig, CheckpointError> {
        let positions = config.max_position_embeddings;
        if !(3..=1024).contains(&positions) {
            return Err(self.unknown(&format!(
                "the text encoder has {positions} positions, and not 3 to 1024 as it should"
            )));
        }
        if config.hidden_size.is_multiple_of(TEXT_HEAD) {
            return Ok(config);
        }
        Err(self.unknown(
            &format!(
                "the text encoder is {} wide, which is no multiple of CLIP's {TEXT_HEAD} channels a head, so that its number of heads is not known",
                config.hidden_size
            ),
        ))
    }

    fn unet(&self) -> Result<UNetConfig, CheckpointError> {
        let at = |name: &str| format!("{}{name}", names::UNET);
        let [_, in_channels] = self.first_two(&at("input_blocks.0.0.weight"))?;
        let [out_channels, _] = self.first_two(&at("out.2.weight"))?;
        self.refuse_other_inputs(in_channels)?;
        let blocks = self.count(&at("input_blocks."));
        let is_downsampler =
            |index: usize| self.has(&at(&format!("input_blocks.{index}.0.op.weight")));
        // The first downsampler ends the first level; without one, there is a single level.
        let per_level = (1..blocks)
            .find(|&index| is_downsampler(index))
            .unwrap_or(blocks);
        let levels = blocks / per_level;
        let layers_per_block = per_level - 1;
        if layers_per_block == 0 {
            return Err(self.unknown("its first level has no layers"));
        }
        let has_attention = |path: String| self.has(&at(&format!("{path}.1.norm.weight")));
        let mut block_out_channels = Vec::new();
        let mut down_block_types = Vec::new();
        let mut up_block_types = Vec::new();
        for level in 0..levels {
            let index = 1 + level * per_level;
            let conv = at(&format!("input_blocks.{index}.0.out_layers.3.weight"));
            block_out_channels.push(self.first_two(&conv)?[0]);
            down_block_types.push(if has_attention(format!("input_blocks.{index}")) {
                DownBlockType::CrossAttn
            } else {
                DownBlockType::Plain
            });
            let index = level * per_level;
            up_block_types.push(if has_attention(format!("output_blocks.{index}")) {
                UpBlockType::CrossAttn
            } else {
                UpBlockType::Plain
            });
        }
        let middle = at("middle_block.1.transformer_blocks.");
        if self.count(&middle) > 1 {
            return Err(self.unknown(
                "it has several transformer blocks in each transformer, as Stable Diffusion XL has",
            ));
        }
        let [_, cross_attention_dim] = self.matrix(&format!("{middle}0.attn2.to_k.weight"))?;
        let projection = at("middle_block.1.proj_in.weight");
        let use_linear_projection = self.shape(&projection)?.len() == 2;
        Ok(UNetConfig {
            sample_size: (LATENT_SIZE, LATENT_SIZE),
            in_channels,
            out_channels,
            attention_heads: vec![UNET_HEADS; levels],
            block_out_channels,
            down_block_types,
            up_block_types,
            layers_per_block,
            cross_attention_dim,
            norm_num_groups: GROUPS,
            norm_eps: 1e-5,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            use_linear_projection,
            transformer_layers: vec![1; levels],
            up_transformer_layers: vec![1; levels],
            mid_block_scale_factor: 1.0,
            center_input_sample: false,
        })
    }

    fn unet_groups(&self, config: UNetConfig) -> Result<UNetConfig, CheckpointError> {
        self.groups(&config.block_out_channels, "the UNet")?;
        let first = config.block_out_channels[0];
        if config
            .block_out_channels
            .iter()
            .all(|channels| channels.is_multiple_of(UNET_HEADS))
        {
            return Ok(config);
        }
        Err(self.unknown(&format!(
            "the UNet is {first} channels wide, which its {UNET_HEADS} heads do not divide"
        )))
    }

    /// A UNet that sees more than the latents is made for something else.
    fn refuse_other_inputs(&self, channels: usize) -> Result<(), CheckpointError> {
        let reason = match channels {
            4 => return Ok(()),
            5 => "it takes a depth map beside the latents (Stable Diffusion 2 depth)",
            7 => "it takes a small picture beside the latents (an upscaler)",
            8 => "it edits pictures by instruction (InstructPix2Pix)",
            9 => "it is made for inpainting",
            _ => "its latents have not 4 channels",
        };
        Err(CheckpointError::OtherKind {
            file: self.0.file().to_owned(),
            reason: format!("its UNet takes {channels} channels: {reason}"),
        })
    }

    fn vae(&self) -> Result<VaeConfig, CheckpointError> {
        let at = |name: &str| format!("{}{name}", names::VAE);
        let [_, in_channels] = self.first_two(&at("encoder.conv_in.weight"))?;
        let [out_channels, _] = self.first_two(&at("decoder.conv_out.weight"))?;
        let [_, latent_channels] = self.first_two(&at("decoder.conv_in.weight"))?;
        let block_out_channels = (0..self.count(&at("encoder.down.")))
            .map(|level| {
                let conv = at(&format!("encoder.down.{level}.block.0.conv1.weight"));
                Ok(self.first_two(&conv)?[0])
            })
            .collect::<Result<Vec<usize>, CheckpointError>>()?;
        // Each level but the last halves the picture.
        let halvings = block_out_channels.len().saturating_sub(1).min(8);
        Ok(VaeConfig {
            in_channels,
            out_channels,
            latent_channels,
            layers_per_block: self.count(&at("encoder.down.0.block.")).max(1),
            norm_num_groups: GROUPS,
            scaling_factor: SCALING_FACTOR,
            sample_size: LATENT_SIZE << halvings,
            use_quant_conv: self.has(&at("quant_conv.weight")),
            use_post_quant_conv: self.has(&at("post_quant_conv.weight")),
            force_upcast: false,
            block_out_channels,
        })
    }

    fn vae_groups(&self, config: VaeConfig) -> Result<VaeConfig, CheckpointError> {
        self.groups(&config.block_out_channels, "the autoencoder")?;
        Ok(config)
    }

    /// Group norms are only sound where the groups divide the channels.
    fn groups(&self, channels: &[usize], what: &str) -> Result<(), CheckpointError> {
        match channels.iter().find(|channels| !channels.is_multiple_of(GROUPS)) {
            None if channels.is_empty() || channels.len() > 8 => {
                Err(self.unknown(&format!("{what} has {} levels", channels.len())))
            }
            None => Ok(()),
            Some(channels) => Err(self.unknown(
                &format!(
                    "{what} has a level of {channels} channels, no multiple of Stable Diffusion v1's {GROUPS} groups, so that its number of groups is not known"
                ),
            )),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.shape(name).is_some()
    }

    fn shape(&self, name: &str) -> Result<&[usize], CheckpointError> {
        self.0.shape(name).ok_or_else(|| CheckpointError::Tensors {
            file: self.0.file().to_owned(),
            first: format!("tensor {name} is missing"),
            others: String::new(),
            doubt: DescribedBy::Structure.doubt(),
        })
    }

    /// The two dimensions of a matrix.
    fn matrix(&self, name: &str) -> Result<[usize; 2], CheckpointError> {
        let shape = self.shape(name)?;
        match *shape {
            [rows, columns] if sizes_are_sound(shape) => Ok([rows, columns]),
            _ => Err(self.wrong_shape(name, shape, 2)),
        }
    }

    /// Output and input channels of a convolution.
    fn first_two(&self, name: &str) -> Result<[usize; 2], CheckpointError> {
        let shape = self.shape(name)?;
        match *shape {
            [output, input, _, _] if sizes_are_sound(shape) => Ok([output, input]),
            _ => Err(self.wrong_shape(name, shape, 4)),
        }
    }

    fn wrong_shape(&self, name: &str, shape: &[usize], rank: usize) -> CheckpointError {
        CheckpointError::Tensors {
            file: self.0.file().to_owned(),
            first: format!(
                "tensor {name} has shape {shape:?}, expected {rank} dimensions from 1 to {LARGEST}"
            ),
            others: String::new(),
            doubt: DescribedBy::Structure.doubt(),
        }
    }

    /// How many numbers, from 0 on, follow `prefix` in the names.
    fn count(&self, prefix: &str) -> usize {
        let numbers: BTreeSet<usize> = self
            .0
            .names()
            .filter_map(|name| name.strip_prefix(prefix)?.split('.').next()?.parse().ok())
            .collect();
        (0..MOST)
            .take_while(|index| numbers.contains(index))
            .count()
    }

    /// The error that the structure is not Stable Diffusion v1's, and cannot be known from the file.
    fn unknown(&self, reason: &str) -> CheckpointError {
        CheckpointError::OtherKind {
            file: self.0.file().to_owned(),
            reason: reason.to_owned(),
        }
    }
}

fn sizes_are_sound(shape: &[usize]) -> bool {
    shape.iter().all(|size| (1..=LARGEST).contains(size))
}

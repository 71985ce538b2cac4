//! `unet/config.json`: the network that predicts the noise.

use super::Reader;
use crate::checkpoint::CheckpointError;
use crate::model::config::{DownBlockType, MidBlockType, UNetConfig, UpBlockType};

impl UNetConfig {
    pub(in crate::checkpoint) fn read(json: &Reader) -> Result<Self, CheckpointError> {
        refuse_other_kinds(json)?;
        let block_out_channels = json.sizes("block_out_channels", &[320, 640, 1280, 1280])?;
        let levels = block_out_channels.len();
        let heads_key = heads_key(json);
        let config = Self {
            sample_size: sample_size(json)?,
            in_channels: json.size("in_channels", 4)?,
            out_channels: json.size("out_channels", 4)?,
            down_block_types: json
                .names(
                    "down_block_types",
                    &[
                        ("CrossAttnDownBlock2D", DownBlockType::CrossAttn),
                        ("DownBlock2D", DownBlockType::Plain),
                    ],
                    "only these block types are supported",
                )?
                .unwrap_or_else(|| {
                    let mut blocks = vec![DownBlockType::CrossAttn; 3];
                    blocks.push(DownBlockType::Plain);
                    blocks
                }),
            up_block_types: json
                .names(
                    "up_block_types",
                    &[
                        ("CrossAttnUpBlock2D", UpBlockType::CrossAttn),
                        ("UpBlock2D", UpBlockType::Plain),
                    ],
                    "only these block types are supported",
                )?
                .unwrap_or_else(|| {
                    let mut blocks = vec![UpBlockType::Plain];
                    blocks.extend([UpBlockType::CrossAttn; 3]);
                    blocks
                }),
            mid_block_type: MidBlockType::CrossAttn,
            layers_per_block: uniform(json, "layers_per_block", 2, levels)?,
            cross_attention_dim: uniform(json, "cross_attention_dim", 1280, levels)?,
            attention_heads: json.size_per_block(heads_key, 8, levels)?,
            block_out_channels,
            norm_num_groups: json.size("norm_num_groups", 32)?,
            norm_eps: json.number("norm_eps", 1e-5, 1e-12..=1.0)?,
            flip_sin_to_cos: json.flag("flip_sin_to_cos", true)?,
            freq_shift: json.number("freq_shift", 0.0, 0.0..=1.0)?,
            downsample_padding: match json.value("downsample_padding") {
                Some(value) if value.as_u64() != Some(1) => {
                    return Err(
                        json.unsupported("downsample_padding", "only a padding of 1 is supported")
                    );
                }
                _ => 1,
            },
            use_linear_projection: json.flag("use_linear_projection", false)?,
            transformer_layers_per_block: uniform(json, "transformer_layers_per_block", 1, levels)?,
            mid_block_scale_factor: json.number("mid_block_scale_factor", 1.0, 1e-6..=1e6)?,
            center_input_sample: json.flag("center_input_sample", false)?,
        };
        config.check(json, heads_key)?;
        Ok(config)
    }

    fn check(&self, json: &Reader, heads_key: &str) -> Result<(), CheckpointError> {
        match self.in_channels {
            4 => {}
            8 => {
                return Err(json.unsupported(
                    "in_channels",
                    "this UNet edits pictures by instruction (InstructPix2Pix)",
                ));
            }
            9 => return Err(json.unsupported("in_channels", "this UNet is made for inpainting")),
            _ => return Err(json.wrong("in_channels", "4, the channels of the latents")),
        }
        if self.out_channels != self.in_channels {
            let expected = format!("{}, as in_channels", self.in_channels);
            return Err(json.wrong("out_channels", &expected));
        }
        let levels = self.block_out_channels.len();
        if levels > 8 {
            return Err(json.wrong("block_out_channels", "at most 8 levels"));
        }
        for (key, found) in [
            ("down_block_types", self.down_block_types.len()),
            ("up_block_types", self.up_block_types.len()),
        ] {
            if found != levels {
                let expected = format!("{levels} blocks, one for each of block_out_channels");
                return Err(json.wrong(key, &expected));
            }
        }
        if self.layers_per_block > 256 {
            return Err(json.wrong("layers_per_block", "a whole number from 1 to 256"));
        }
        if self.transformer_layers_per_block != 1 {
            return Err(json.unsupported(
                "transformer_layers_per_block",
                "only one transformer block in each transformer is supported",
            ));
        }
        // The time embedding is as wide as the first level, half sines and half cosines, and its exponent is divided
        // by half the width less freq_shift.
        let first = self.block_out_channels[0];
        if !first.is_multiple_of(2) || first < 4 {
            return Err(json.wrong(
                "block_out_channels",
                "an even number of channels first, at least 4",
            ));
        }
        for (channels, heads) in self.block_out_channels.iter().zip(&self.attention_heads) {
            if !channels.is_multiple_of(self.norm_num_groups) {
                let expected =
                    format!("a divisor of every level's channels, and {channels} is one");
                return Err(json.wrong("norm_num_groups", &expected));
            }
            if !channels.is_multiple_of(*heads) {
                let expected = format!("numbers of heads that divide {channels} channels");
                return Err(json.wrong(heads_key, &expected));
            }
        }
        let halvings = 1 << (levels - 1);
        if !self.sample_size.is_multiple_of(halvings) || self.sample_size > 1024 {
            let expected =
                format!("a multiple of {halvings} up to 1024: each level but the last halves it");
            return Err(json.wrong("sample_size", &expected));
        }
        Ok(())
    }
}

/// Keys that would change what the network computes: the only value that they may have, as JSON, and what another one
/// would mean.
const ONLY: [(&[&str], &str, &str); 18] = [
    (
        &["addition_embed_type"],
        "null",
        "this UNet is conditioned on more than the prompt, as that of Stable Diffusion XL is",
    ),
    (
        &["encoder_hid_dim", "encoder_hid_dim_type"],
        "null",
        "a projection of the prompt embedding is not supported",
    ),
    (
        &["class_embed_type", "num_class_embeds"],
        "null",
        "class embeddings are not supported",
    ),
    (
        &["time_cond_proj_dim"],
        "null",
        "this UNet is distilled to take the guidance scale as an input (latent consistency)",
    ),
    (
        &["time_embedding_type"],
        "\"positional\"",
        "only positional time embeddings are supported",
    ),
    (
        &["time_embedding_dim"],
        "null",
        "only time embeddings of four times the first level's channels are supported",
    ),
    (
        &["time_embedding_act_fn", "timestep_post_act"],
        "null",
        "an activation after the time embedding is not supported",
    ),
    (
        &["resnet_time_scale_shift"],
        "\"default\"",
        "only the addition of the time embedding is supported",
    ),
    (
        &["resnet_skip_time_act"],
        "false",
        "ResNet layers without an activation on the time embedding are not supported",
    ),
    (
        &["resnet_out_scale_factor"],
        "1.0",
        "scaled ResNet outputs are not supported",
    ),
    (
        &["only_cross_attention", "mid_block_only_cross_attention"],
        "false",
        "transformers without self-attention are not supported",
    ),
    (
        &["dual_cross_attention"],
        "false",
        "two cross-attentions in one transformer are not supported",
    ),
    (
        &["cross_attention_norm"],
        "null",
        "normalised prompt embeddings are not supported",
    ),
    (
        &["attention_type"],
        "\"default\"",
        "grounded attention (GLIGEN) is not supported",
    ),
    (
        &["reverse_transformer_layers_per_block"],
        "null",
        "only one transformer block in each transformer is supported",
    ),
    (
        &["mid_block_type"],
        "\"UNetMidBlock2DCrossAttn\"",
        "the middle block must be UNetMidBlock2DCrossAttn",
    ),
    (&["act_fn"], "\"silu\"", "the activation must be silu"),
    (
        &["conv_in_kernel", "conv_out_kernel"],
        "3",
        "only 3x3 convolutions are supported",
    ),
];

/// Refuses what makes a UNet something else than Stable Diffusion v1's.
fn refuse_other_kinds(json: &Reader) -> Result<(), CheckpointError> {
    let class = json.text("_class_name", "UNet2DConditionModel")?;
    if class != "UNet2DConditionModel" {
        return Err(json.unsupported("_class_name", "the UNet must be UNet2DConditionModel"));
    }
    for (keys, only, reason) in ONLY {
        for key in keys {
            json.require(key, only, reason)?;
        }
    }
    // An absent key takes the default; a written null means that there is none.
    for (key, what) in [
        ("mid_block_type", "a UNet without a middle block"),
        ("norm_num_groups", "a UNet without group norms"),
    ] {
        if json.is_null(key) {
            return Err(json.unsupported(key, &format!("{what} is not supported")));
        }
    }
    Ok(())
}

/// The key that the number of heads is read from: diffusers takes `num_attention_heads or attention_head_dim`.
fn heads_key(json: &Reader) -> &'static str {
    if json.value("num_attention_heads").is_some() {
        "num_attention_heads"
    } else {
        "attention_head_dim"
    }
}

/// One side of the latents; a pair must be a square. Absent, it is 64, as in diffusers' pipeline.
fn sample_size(json: &Reader) -> Result<usize, CheckpointError> {
    let sides = json.size_per_block("sample_size", 64, 2)?;
    if sides[0] == sides[1] {
        Ok(sides[0])
    } else {
        Err(json.unsupported("sample_size", "only square latents are supported"))
    }
}

/// A size that may be written once or for each level, and must be the same for all of them.
fn uniform(
    json: &Reader,
    key: &str,
    default: usize,
    levels: usize,
) -> Result<usize, CheckpointError> {
    let sizes = json.size_per_block(key, default, levels)?;
    if sizes.iter().all(|size| *size == sizes[0]) {
        Ok(sizes[0])
    } else {
        Err(json.unsupported(key, "only the same number for every level is supported"))
    }
}

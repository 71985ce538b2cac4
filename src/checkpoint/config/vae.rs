//! `vae/config.json`: the autoencoder between pixels and latents.

use serde_json::json;

use super::Reader;
use crate::checkpoint::CheckpointError;

/// The shape of the autoencoder; keys and defaults are those of diffusers' `AutoencoderKL`.
#[derive(Debug, Clone, PartialEq)]
pub struct VaeConfig {
    /// Channels of a picture: 3.
    pub in_channels: usize,
    /// Channels of the decoded picture: 3.
    pub out_channels: usize,
    /// Channels of the latents: 4.
    pub latent_channels: usize,
    /// Channels of each level, from the picture down; each level but the last halves the picture.
    pub block_out_channels: Vec<usize>,
    /// ResNet layers of each level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of every group norm; divides all channel counts.
    pub norm_num_groups: usize,
    /// Latents are multiplied by this after encoding and divided by it before decoding.
    pub scaling_factor: f64,
    /// Width and height of the pictures it was trained on, in pixels.
    pub sample_size: usize,
    /// Is there a 1x1 convolution after the encoder?
    pub use_quant_conv: bool,
    /// Is there a 1x1 convolution before the decoder?
    pub use_post_quant_conv: bool,
}

impl VaeConfig {
    /// Pixels for each latent, along one side: 8 in Stable Diffusion v1.
    pub fn scale(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Reads and checks the configuration.
    pub(in crate::checkpoint) fn read(json: &Reader) -> Result<Self, CheckpointError> {
        let class = json.text("_class_name", "AutoencoderKL")?;
        if class != "AutoencoderKL" {
            return Err(json.unsupported("_class_name", "the autoencoder must be AutoencoderKL"));
        }
        json.require("act_fn", &json!("silu"), "the activation must be silu")?;
        json.require(
            "mid_block_add_attention",
            &json!(true),
            "an autoencoder without attention in its middle is not supported",
        )?;
        for key in ["shift_factor", "latents_mean", "latents_std"] {
            json.require(key, &json!(null), "shifted latents are not supported")?;
        }
        let config = Self {
            in_channels: json.size("in_channels", 3)?,
            out_channels: json.size("out_channels", 3)?,
            latent_channels: json.size("latent_channels", 4)?,
            block_out_channels: json.sizes("block_out_channels", &[64])?,
            layers_per_block: json.layers("layers_per_block", 1)?,
            norm_num_groups: json.size("norm_num_groups", 32)?,
            scaling_factor: json.number("scaling_factor", 0.18215, 1e-6..=1e6)?,
            sample_size: json.size("sample_size", 32)?,
            use_quant_conv: json.flag("use_quant_conv", true)?,
            use_post_quant_conv: json.flag("use_post_quant_conv", true)?,
        };
        config.check(json)?;
        Ok(config)
    }

    fn check(&self, json: &Reader) -> Result<(), CheckpointError> {
        for (key, channels) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
        ] {
            if channels != 3 {
                return Err(json.wrong(key, "3: red, green and blue"));
            }
        }
        let levels = self.block_out_channels.len();
        if levels > 8 {
            return Err(json.wrong("block_out_channels", "at most 8 levels"));
        }
        let down = json.names(
            "down_block_types",
            &[("DownEncoderBlock2D", ())],
            "only this block type is supported in the encoder",
        )?;
        let up = json.names(
            "up_block_types",
            &[("UpDecoderBlock2D", ())],
            "only this block type is supported in the decoder",
        )?;
        for (key, blocks) in [("down_block_types", down), ("up_block_types", up)] {
            let found = blocks.map_or(1, |blocks| blocks.len());
            if found != levels {
                let expected = format!("{levels} blocks, one for each of block_out_channels");
                return Err(json.wrong(key, &expected));
            }
        }
        if let Some(channels) = self
            .block_out_channels
            .iter()
            .find(|channels| !channels.is_multiple_of(self.norm_num_groups))
        {
            let expected = format!("a divisor of every level's channels, and {channels} is one");
            return Err(json.wrong("norm_num_groups", &expected));
        }
        Ok(())
    }
}

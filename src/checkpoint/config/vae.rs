//! `vae/config.json`: the autoencoder between pixels and latents.

use super::Reader;
use super::reader::{Fate, Keys};
use crate::checkpoint::CheckpointError;
use crate::model::config::VaeConfig;

/// What becomes of numbers that Stable Diffusion's pipeline does not apply.
const NOT_APPLIED: &str =
    "which StableDiffusionPipeline does not apply: latents are divided by scaling_factor alone";

/// The keys of `AutoencoderKL` that are not read.
const KEYS: Keys = Keys {
    class: "AutoencoderKL",
    keys: &[
        (
            "act_fn",
            Fate::Only(&["\"silu\"", "\"swish\""], "the activation must be silu"),
        ),
        (
            "mid_block_add_attention",
            Fate::Only(
                &["true"],
                "an autoencoder without attention in its middle is not supported",
            ),
        ),
        (
            "quantization_config",
            Fate::Only(&["null"], "quantised weights are not supported"),
        ),
        ("shift_factor", Fate::Noted(&["null", "0"], NOT_APPLIED)),
        ("latents_mean", Fate::Noted(&["null", "0"], NOT_APPLIED)),
        ("latents_std", Fate::Noted(&["null", "1"], NOT_APPLIED)),
    ],
};

impl VaeConfig {
    pub(in crate::checkpoint) fn read(
        json: Reader,
    ) -> Result<(Self, Vec<String>), CheckpointError> {
        let class = json.text("_class_name", "AutoencoderKL")?;
        if class != "AutoencoderKL" {
            return Err(json.unsupported("_class_name", "the autoencoder must be AutoencoderKL"));
        }
        json.refuse(&KEYS)?;
        let config = Self {
            in_channels: json.size("in_channels", 3)?,
            out_channels: json.size("out_channels", 3)?,
            latent_channels: json.size("latent_channels", 4)?,
            block_out_channels: json.sizes("block_out_channels", &[64])?,
            layers_per_block: json.layers("layers_per_block", 1)?,
            norm_num_groups: json.size("norm_num_groups", 32)?,
            scaling_factor: json.number("scaling_factor", 0.18215, 1e-6..=1e6)?,
            // diffusers takes a list, too, and the first of it.
            sample_size: match json.value("sample_size") {
                Some(serde_json::Value::Array(_)) => json.sizes("sample_size", &[])?[0],
                _ => json.size("sample_size", 32)?,
            },
            use_quant_conv: json.flag("use_quant_conv", true)?,
            use_post_quant_conv: json.flag("use_post_quant_conv", true)?,
            force_upcast: json.flag("force_upcast", false)?,
        };
        config.check(&json)?;
        json.name_unknown(KEYS.class);
        Ok((config, json.notes()))
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

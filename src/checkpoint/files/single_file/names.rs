//! What the original naming (that of the latent-diffusion code, LDM) calls the tensors that diffusers names.
//!
//! The two name the same modules: the UNet's blocks are numbered through there (`input_blocks.4.1`) and grouped by
//! level here (`down_blocks.1.attentions.0`), and the autoencoder's decoder counts its levels from the picture there
//! and from the latents here.

use crate::model::config::{UNetConfig, UpBlockType, VaeConfig};

/// The prefix of the UNet's tensors.
pub const UNET: &str = "model.diffusion_model.";
/// The prefix of the text encoder's tensors.
pub const TEXT_ENCODER: &str = "cond_stage_model.transformer.";
/// The prefix of the autoencoder's tensors.
pub const VAE: &str = "first_stage_model.";

/// The original name of a tensor of the UNet.
pub fn unet(name: &str, config: &UNetConfig) -> String {
    // Each level of the way down has its layers and then a downsampler; each of the way up has one layer more.
    let per_level = config.layers_per_block + 1;
    let parts: Vec<&str> = name.split('.').collect();
    let own = match parts[..] {
        ["conv_in", end] => format!("input_blocks.0.0.{end}"),
        ["time_embedding", "linear_1", end] => format!("time_embed.0.{end}"),
        ["time_embedding", "linear_2", end] => format!("time_embed.2.{end}"),
        ["conv_norm_out", end] => format!("out.0.{end}"),
        ["conv_out", end] => format!("out.2.{end}"),
        ["mid_block", "resnets", layer, ref rest @ ..] => {
            let index = 2 * number(layer);
            format!("middle_block.{index}.{}", unet_resnet(rest))
        }
        ["mid_block", "attentions", _, ref rest @ ..] => {
            format!("middle_block.1.{}", rest.join("."))
        }
        ["down_blocks", level, kind, layer, ref rest @ ..] => {
            let index = number(level) * per_level + number(layer) + 1;
            match kind {
                "resnets" => format!("input_blocks.{index}.0.{}", unet_resnet(rest)),
                "attentions" => format!("input_blocks.{index}.1.{}", rest.join(".")),
                _ => format!(
                    "input_blocks.{}.0.op.{}",
                    (number(level) + 1) * per_level,
                    rest[1..].join(".")
                ),
            }
        }
        ["up_blocks", level, kind, layer, ref rest @ ..] => {
            let index = number(level) * per_level + number(layer);
            match kind {
                "resnets" => format!("output_blocks.{index}.0.{}", unet_resnet(rest)),
                "attentions" => format!("output_blocks.{index}.1.{}", rest.join(".")),
                _ => {
                    let last = number(level) * per_level + config.layers_per_block;
                    // It comes after the layer's transformer, where there is one.
                    let place = match config.up_block_types[number(level)] {
                        UpBlockType::CrossAttn => 2,
                        UpBlockType::Plain => 1,
                    };
                    format!("output_blocks.{last}.{place}.{}", rest.join("."))
                }
            }
        }
        _ => name.to_owned(),
    };
    format!("{UNET}{own}")
}

/// The original name of a tensor of the autoencoder.
pub fn vae(name: &str, config: &VaeConfig) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let own = match parts[..] {
        [side, "conv_norm_out", end] => format!("{side}.norm_out.{end}"),
        [side, "mid_block", "resnets", layer, ref rest @ ..] => {
            let layer = number(layer) + 1;
            format!("{side}.mid.block_{layer}.{}", rest.join("."))
        }
        [side, "mid_block", "attentions", _, ref rest @ ..] => {
            let rest = rest.join(".");
            let (module, end) = rest.rsplit_once('.').unwrap_or((&rest, ""));
            let module = match module {
                "group_norm" => "norm",
                "to_q" => "q",
                "to_k" => "k",
                "to_v" => "v",
                "to_out.0" => "proj_out",
                other => other,
            };
            format!("{side}.mid.attn_1.{module}.{end}")
        }
        ["encoder", "down_blocks", level, kind, layer, ref rest @ ..] => {
            let rest = rest.join(".");
            match kind {
                "resnets" => format!("encoder.down.{level}.block.{layer}.{}", shortcut(&rest)),
                _ => format!("encoder.down.{level}.downsample.{rest}"),
            }
        }
        ["decoder", "up_blocks", level, kind, layer, ref rest @ ..] => {
            let level = config.block_out_channels.len() - 1 - number(level);
            let rest = rest.join(".");
            match kind {
                "resnets" => format!("decoder.up.{level}.block.{layer}.{}", shortcut(&rest)),
                _ => format!("decoder.up.{level}.upsample.{rest}"),
            }
        }
        _ => name.to_owned(),
    };
    format!("{VAE}{own}")
}

/// A tensor within one of the UNet's ResNet layers.
fn unet_resnet(rest: &[&str]) -> String {
    let module = match rest[0] {
        "norm1" => "in_layers.0",
        "conv1" => "in_layers.2",
        "time_emb_proj" => "emb_layers.1",
        "norm2" => "out_layers.0",
        "conv2" => "out_layers.3",
        "conv_shortcut" => "skip_connection",
        other => other,
    };
    format!("{module}.{}", rest[1..].join("."))
}

/// A tensor within one of the autoencoder's ResNet layers.
fn shortcut(rest: &str) -> String {
    rest.replace("conv_shortcut", "nin_shortcut")
}

/// The numbers in names are those of a layout that this program wrote.
fn number(text: &str) -> usize {
    text.parse().unwrap_or_default()
}

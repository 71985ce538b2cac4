//! `unet/config.json`: the network that predicts the noise.

use super::Reader;
use super::reader::{Fate, Keys};
use crate::checkpoint::CheckpointError;
use crate::model::config::{DownBlockType, UNetConfig, UpBlockType};

impl UNetConfig {
    pub(in crate::checkpoint) fn read(
        json: Reader,
    ) -> Result<(Self, Vec<String>), CheckpointError> {
        let config = Self::parse(&json)?;
        json.name_unknown(KEYS.class);
        Ok((config, json.notes()))
    }

    fn parse(json: &Reader) -> Result<Self, CheckpointError> {
        let class = json.text("_class_name", KEYS.class)?;
        if class != KEYS.class {
            return Err(json.unsupported("_class_name", "the UNet must be UNet2DConditionModel"));
        }
        json.refuse(&KEYS)?;
        let block_out_channels = json.sizes("block_out_channels", &[320, 640, 1280, 1280])?;
        let levels = block_out_channels.len();
        let transformer_layers = json.size_per_block("transformer_layers_per_block", 1, levels)?;
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
            layers_per_block: uniform(json, "layers_per_block", 2, levels)?,
            cross_attention_dim: uniform(json, "cross_attention_dim", 1280, levels)?,
            attention_heads: json.size_per_block("attention_head_dim", 8, levels)?,
            block_out_channels,
            norm_num_groups: json.size("norm_num_groups", 32)?,
            norm_eps: json.number("norm_eps", 1e-5, 1e-12..=1.0)?,
            flip_sin_to_cos: json.flag("flip_sin_to_cos", true)?,
            freq_shift: json.number("freq_shift", 0.0, 0.0..=1.0)?,
            use_linear_projection: json.flag("use_linear_projection", false)?,
            up_transformer_layers: up_transformer_layers(json, &transformer_layers)?,
            transformer_layers,
            mid_block_scale_factor: json.number("mid_block_scale_factor", 1.0, 1e-6..=1e6)?,
            center_input_sample: json.flag("center_input_sample", false)?,
        };
        config.check(json)?;
        Ok(config)
    }

    fn check(&self, json: &Reader) -> Result<(), CheckpointError> {
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
        // Before they are all named one by one.
        if self.transformer_blocks() > MOST_TRANSFORMER_BLOCKS {
            let expected = format!("at most {MOST_TRANSFORMER_BLOCKS} transformer blocks in all");
            return Err(json.wrong("transformer_layers_per_block", &expected));
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
                return Err(json.wrong("attention_head_dim", &expected));
            }
        }
        let least = 1 << (levels - 1);
        let (width, height) = self.sample_size;
        if [width, height]
            .iter()
            .any(|side| !(least..=1024).contains(side))
        {
            let expected =
                format!("from {least} to 1024: each of the {levels} levels but the last halves it");
            return Err(json.wrong("sample_size", &expected));
        }
        Ok(())
    }

    /// How many transformer blocks there are in all. The lists are as long as there are levels.
    fn transformer_blocks(&self) -> usize {
        let down = self.down_block_types.iter().zip(&self.transformer_layers);
        let down = down.filter(|(kind, _)| **kind == DownBlockType::CrossAttn);
        let up = self.up_block_types.iter().zip(&self.up_transformer_layers);
        let up = up.filter(|(kind, _)| **kind == UpBlockType::CrossAttn);
        let down: usize = down.map(|(_, layers)| layers * self.layers_per_block).sum();
        let up: usize = up
            .map(|(_, layers)| layers * (self.layers_per_block + 1))
            .sum();
        down + up + self.transformer_layers.last().copied().unwrap_or(0)
    }
}

/// Many times as many as any published UNet has.
const MOST_TRANSFORMER_BLOCKS: usize = 1024;

/// What acts only beside something that is refused.
const REFUSED_ALREADY: Fate = Fate::Harmless("it belongs to conditions that are refused");
/// What the blocks that are supported do not read.
const OTHER_BLOCKS: Fate = Fate::Harmless("only blocks read it that are refused");

/// The keys of `UNet2DConditionModel` that are not read.
const KEYS: Keys = Keys {
    class: "UNet2DConditionModel",
    keys: &[
        (
            "addition_embed_type",
            Fate::Only(
                &["null"],
                "this UNet is conditioned on more than the prompt, as that of Stable Diffusion XL is",
            ),
        ),
        ("encoder_hid_dim", PROJECTION),
        ("encoder_hid_dim_type", PROJECTION),
        ("class_embed_type", CLASSES),
        ("num_class_embeds", CLASSES),
        (
            "time_cond_proj_dim",
            Fate::Only(
                &["null"],
                "this UNet is distilled to take the guidance scale as an input (latent consistency)",
            ),
        ),
        (
            "time_embedding_type",
            Fate::Only(
                &["\"positional\""],
                "only positional time embeddings are supported",
            ),
        ),
        (
            "time_embedding_dim",
            Fate::Only(
                &["null"],
                "only time embeddings of four times the first level's channels are supported",
            ),
        ),
        ("time_embedding_act_fn", TIME_ACTIVATION),
        ("timestep_post_act", TIME_ACTIVATION),
        (
            "resnet_time_scale_shift",
            Fate::Only(
                &["\"default\""],
                "only the addition of the time embedding is supported",
            ),
        ),
        (
            "only_cross_attention",
            Fate::Only(
                &["false"],
                "transformers without self-attention are not supported",
            ),
        ),
        (
            "dual_cross_attention",
            Fate::Only(
                &["false", "null"],
                "two cross-attentions in one transformer are not supported",
            ),
        ),
        (
            "attention_type",
            Fate::Only(
                &["\"default\""],
                "grounded attention (GLIGEN) is not supported",
            ),
        ),
        (
            "num_attention_heads",
            Fate::Only(
                &["null"],
                "diffusers does not take the number of heads here; it stands in attention_head_dim",
            ),
        ),
        (
            "mid_block_type",
            Fate::Only(
                &["\"UNetMidBlock2DCrossAttn\""],
                "the middle block must be UNetMidBlock2DCrossAttn",
            ),
        ),
        (
            "act_fn",
            Fate::Only(&["\"silu\"", "\"swish\""], "the activation must be silu"),
        ),
        (
            "downsample_padding",
            Fate::Only(&["1"], "only a padding of 1 is supported"),
        ),
        ("conv_in_kernel", KERNEL),
        ("conv_out_kernel", KERNEL),
        (
            "quantization_config",
            Fate::Only(&["null"], "quantised weights are not supported"),
        ),
        (
            "class_embeddings_concat",
            Fate::Only(&["false", "null"], "class embeddings are not supported"),
        ),
        ("dropout", Fate::Harmless("it acts in training")),
        (
            "upcast_attention",
            Fate::Harmless(
                "diffusers' attention, scaled_dot_product_attention, does not read it; it sums in f32",
            ),
        ),
        ("addition_time_embed_dim", REFUSED_ALREADY),
        ("addition_embed_type_num_heads", REFUSED_ALREADY),
        ("projection_class_embeddings_input_dim", REFUSED_ALREADY),
        ("resnet_skip_time_act", OTHER_BLOCKS),
        ("resnet_out_scale_factor", OTHER_BLOCKS),
        ("cross_attention_norm", OTHER_BLOCKS),
        ("mid_block_only_cross_attention", OTHER_BLOCKS),
    ],
};
const PROJECTION: Fate = Fate::Only(
    &["null"],
    "a projection of the prompt embedding is not supported",
);
const CLASSES: Fate = Fate::Only(&["null"], "class embeddings are not supported");
const TIME_ACTIVATION: Fate = Fate::Only(
    &["null"],
    "an activation after the time embedding is not supported",
);
const KERNEL: Fate = Fate::Only(&["3"], "only 3x3 convolutions are supported");

/// Width and height of the latents; a pair has the height first. Where it is absent or null diffusers must be told a size;
/// here it is Stable Diffusion's, 64.
fn sample_size(json: &Reader) -> Result<(usize, usize), CheckpointError> {
    const STABLE_DIFFUSION: usize = 64;
    if json.value("sample_size").is_none() {
        json.note("sample_size is not set: latents are taken to be 64x64, as in Stable Diffusion");
        return Ok((STABLE_DIFFUSION, STABLE_DIFFUSION));
    }
    let sides = json.size_per_block("sample_size", STABLE_DIFFUSION, 2)?;
    if sides[0] < STABLE_DIFFUSION
        && json
            .value("sample_size")
            .is_some_and(serde_json::Value::is_number)
        && is_before_0_9(json)
    {
        json.note(&format!(
            "sample_size is {}, and _diffusers_version is before 0.9: it is taken to be 64, as StableDiffusionPipeline corrects it",
            sides[0]
        ));
        return Ok((STABLE_DIFFUSION, STABLE_DIFFUSION));
    }
    Ok((sides[1], sides[0]))
}

/// Transformer blocks of the levels on the way up: those of the way down in reverse, unless the file has others.
fn up_transformer_layers(json: &Reader, down: &[usize]) -> Result<Vec<usize>, CheckpointError> {
    const KEY: &str = "reverse_transformer_layers_per_block";
    if json.value(KEY).is_some() {
        return json.size_per_block(KEY, 1, down.len());
    }
    Ok(down.iter().rev().copied().collect())
}

/// Was the file written by a diffusers before 0.9, which wrote a wrong `sample_size`?
fn is_before_0_9(json: &Reader) -> bool {
    let Some(version) = json
        .value("_diffusers_version")
        .and_then(|version| version.as_str())
    else {
        return false;
    };
    let mut numbers = version.split('.').map(|part| {
        let digits = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        part[..digits].parse::<u32>()
    });
    match (numbers.next(), numbers.next()) {
        (Some(Ok(0)), Some(Ok(minor))) => minor < 9,
        (Some(Ok(0)), None) => true,
        _ => false,
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

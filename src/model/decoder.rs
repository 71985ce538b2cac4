//! The autoencoder's decoder: latents to a picture, twice the size at every level but the last.
//!
//! Rombach et al. 2022, after Esser et al. 2021; structure and names as in diffusers' `AutoencoderKL`.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::Error;
use super::config::VaeConfig;
use super::hook::{Hook, NoHook, show, visit};
use super::layers::{
    AttentionInput, Conv2d, GroupNorm, Linear, attention, to_image, to_pixels, upsample_nearest,
};
use super::modules::{Module, ModuleKind, Side};
use super::resnet::{ResnetBlock, ResnetConfig};

/// What the norms add to the variance: fixed in diffusers.
const EPS: f64 = 1e-6;

const CONV_IN: &str = "decoder.conv_in";
const CONV_OUT: &str = "decoder.conv_out";

/// The decoder, with the 1x1 convolution before it.
#[derive(Debug)]
pub struct Decoder {
    post_quant_conv: Option<Conv2d>,
    conv_in: Conv2d,
    mid_resnets: [ResnetBlock; 2],
    mid_attention: PixelAttention,
    levels: Vec<Level>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
}

/// diffusers' `UpDecoderBlock2D`.
#[derive(Debug)]
struct Level {
    resnets: Vec<ResnetBlock>,
    upsampler: Option<Conv2d>,
    upsampler_path: String,
}

impl Decoder {
    /// Reads the weights of a whole autoencoder; those of its encoder are left alone.
    pub fn new(config: &VaeConfig, weights: &VarBuilder) -> Result<Self, Error> {
        let channels = &config.block_out_channels;
        let (Some(&finest), Some(&deepest)) = (channels.first(), channels.last()) else {
            return Err(candle_core::Error::Msg("the autoencoder has no levels".into()).into());
        };
        let latent = config.latent_channels;
        let post_quant_conv = config
            .use_post_quant_conv
            .then(|| Conv2d::new(latent, latent, 1, 1, 0, &weights.pp("post_quant_conv")))
            .transpose()?;
        let weights = weights.pp("decoder");
        let resnet = |inputs, outputs, weights: VarBuilder| {
            let config = ResnetConfig {
                groups: config.norm_num_groups,
                eps: EPS,
                time: None,
                output_scale_factor: 1.0,
            };
            ResnetBlock::new(config, inputs, outputs, &weights)
        };
        let mut inputs = deepest;
        let mut levels = Vec::with_capacity(channels.len());
        for (index, &outputs) in channels.iter().rev().enumerate() {
            let weights = weights.pp("up_blocks").pp(index);
            let resnets = (0..=config.layers_per_block)
                .map(|layer| {
                    let inputs = if layer == 0 { inputs } else { outputs };
                    resnet(inputs, outputs, weights.pp("resnets").pp(layer))
                })
                .collect::<Result<_, _>>()?;
            let upsampler = (index + 1 < channels.len())
                .then(|| Conv2d::new(outputs, outputs, 3, 1, 1, &weights.pp("upsamplers.0.conv")))
                .transpose()?;
            levels.push(Level {
                resnets,
                upsampler,
                upsampler_path: weights.pp("upsamplers.0").prefix(),
            });
            inputs = outputs;
        }
        let mid = weights.pp("mid_block");
        let norm_out = weights.pp("conv_norm_out");
        let conv_out = weights.pp("conv_out");
        Ok(Self {
            post_quant_conv,
            conv_in: Conv2d::new(latent, deepest, 3, 1, 1, &weights.pp("conv_in"))?,
            mid_resnets: [
                resnet(deepest, deepest, mid.pp("resnets.0"))?,
                resnet(deepest, deepest, mid.pp("resnets.1"))?,
            ],
            mid_attention: PixelAttention::new(config, deepest, &mid.pp("attentions.0"))?,
            levels,
            conv_norm_out: GroupNorm::new(config.norm_num_groups, finest, EPS, &norm_out)?,
            conv_out: Conv2d::new(finest, config.out_channels, 3, 1, 1, &conv_out)?,
        })
    }

    /// `(batch, latent channels, height, width)` to `(batch, 3, scale * height, scale * width)`, about -1 to 1.
    ///
    /// Sites are the modules' paths as diffusers has them: `post_quant_conv`, `decoder.conv_in`, `decoder.mid_block.…`,
    /// `decoder.up_blocks.…`, `decoder.conv_out`.
    pub fn forward(&self, latents: &Tensor, hook: &mut dyn Hook) -> Result<Tensor, Error> {
        let latents = match &self.post_quant_conv {
            Some(conv) => visit(hook, "post_quant_conv", conv.forward(latents)?)?,
            None => latents.clone(),
        };
        let x = visit(hook, CONV_IN, self.conv_in.forward(&latents)?)?;
        let x = self.mid_resnets[0].forward(&x, None, hook)?;
        let x = self.mid_attention.forward(&x, hook)?;
        let mut x = self.mid_resnets[1].forward(&x, None, hook)?;
        for level in &self.levels {
            for resnet in &level.resnets {
                x = resnet.forward(&x, None, hook)?;
            }
            if let Some(upsampler) = &level.upsampler {
                let (_, _, height, width) = x.dims4()?;
                x = upsampler.forward(&upsample_nearest(&x, (2 * height, 2 * width))?)?;
                x = visit(hook, &level.upsampler_path, x)?;
            }
        }
        show(hook, "decoder", "conv_norm_out", || {
            self.conv_norm_out.forward(&x)
        })?;
        let x = self.conv_norm_out.forward_silu(&x)?;
        visit(hook, CONV_OUT, self.conv_out.forward(&x)?)
    }

    /// Its modules, in the order of a forward pass.
    pub fn modules(&self) -> Vec<Module> {
        let last = self.levels.len() - 1;
        let resnet =
            |block: &ResnetBlock, level, side| Module::new(block.path(), block.kind(), level, side);
        let [first, second] = &self.mid_resnets;
        let convolution = ModuleKind::Convolution;
        let attention = &self.mid_attention.path;
        let mut modules = vec![
            Module::new(CONV_IN, convolution, last, Side::Middle),
            resnet(first, last, Side::Middle),
            Module::new(attention, ModuleKind::PixelAttention, last, Side::Middle),
            resnet(second, last, Side::Middle),
        ];
        for (index, level) in self.levels.iter().enumerate() {
            let halvings = last - index;
            let resnets = level.resnets.iter();
            modules.extend(resnets.map(|block| resnet(block, halvings, Side::Up)));
            if level.upsampler.is_some() {
                let path = &level.upsampler_path;
                let level = halvings.saturating_sub(1);
                modules.push(Module::new(path, ModuleKind::Upsampler, level, Side::Up));
            }
        }
        modules.push(Module::new(CONV_OUT, convolution, 0, Side::Up));
        modules
    }
}

/// Attention of all pixels to all, with one head.
#[derive(Debug)]
struct PixelAttention {
    path: String,
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    to_out: Linear,
}

impl PixelAttention {
    /// Reads the weights; older files call the projections `query`, `key`, `value` and `proj_attn`.
    fn new(config: &VaeConfig, channels: usize, weights: &VarBuilder) -> Result<Self, Error> {
        let names = if weights.contains_tensor("to_q.weight") {
            ["to_q", "to_k", "to_v", "to_out.0"]
        } else {
            ["query", "key", "value", "proj_attn"]
        };
        // In older files they are 1x1 convolutions.
        let linear = |name: &str| {
            let weights = weights.pp(name);
            Linear::new(channels, channels, &weights)
                .or_else(|_| Linear::from_1x1_convolution(channels, channels, &weights))
        };
        let group_norm = weights.pp("group_norm");
        Ok(Self {
            path: weights.prefix(),
            group_norm: GroupNorm::new(config.norm_num_groups, channels, EPS, &group_norm)?,
            to_q: linear(names[0])?,
            to_k: linear(names[1])?,
            to_v: linear(names[2])?,
            to_out: linear(names[3])?,
        })
    }

    /// `(batch, channels, height, width)`, same shape out.
    fn forward(&self, x: &Tensor, hook: &mut dyn Hook) -> Result<Tensor, Error> {
        let (_, _, height, width) = x.dims4()?;
        show(hook, &self.path, "shortcut", || Ok(x.clone()))?;
        let normed = to_pixels(&self.group_norm.forward(x)?)?;
        let attended = attention(
            &AttentionInput {
                heads: 1,
                query: &self.to_q.forward(&normed)?,
                key: &self.to_k.forward(&normed)?,
                value: &self.to_v.forward(&normed)?,
                mask: None,
            },
            "",
            &mut NoHook,
        )?;
        let pixels = self.to_out.add_to(&to_pixels(x)?, &attended)?;
        visit(hook, &self.path, to_image(&pixels, (height, width))?)
    }
}

//! The UNet's levels: down, middle, up.

use std::slice;

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::transformer::{Context, SpatialTransformer};
use crate::model::Error;
use crate::model::config::UNetConfig;
use crate::model::hook::{Hook, visit};
use crate::model::ops::{Conv2d, concat_channels, enlarge};
use crate::model::resnet::{ResnetBlock, ResnetConfig};

/// `DownBlock2D`, or `CrossAttnDownBlock2D` where it has attentions: resnets, then half the size.
#[derive(Debug)]
pub struct DownBlock {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<SpatialTransformer>,
    downsampler: Option<Conv2d>,
    downsampler_path: String,
}

impl DownBlock {
    /// A block with `(inputs, outputs)` channels; `heads` where it attends to the prompt.
    pub fn new(
        config: &UNetConfig,
        (inputs, outputs): (usize, usize),
        heads: Option<usize>,
        downsamples: bool,
        path: &str,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let resnets = (0..config.layers_per_block)
            .map(|index| {
                let inputs = if index == 0 { inputs } else { outputs };
                let path = format!("{path}.resnets.{index}");
                let weights = weights.pp("resnets").pp(index);
                ResnetBlock::new(resnet(config, 1.0), inputs, outputs, path, &weights)
            })
            .collect::<Result<_, _>>()?;
        let attentions = spatial_transformers(
            config,
            outputs,
            heads,
            config.layers_per_block,
            path,
            weights,
        )?;
        let downsampler = if downsamples {
            let weights = weights.pp("downsamplers.0.conv");
            let padding = config.downsample_padding;
            Some(Conv2d::new(outputs, outputs, 3, 2, padding, &weights)?)
        } else {
            None
        };
        Ok(Self {
            resnets,
            attentions,
            downsampler,
            downsampler_path: format!("{path}.downsamplers.0"),
        })
    }

    /// Where it looks at the prompt.
    pub fn attentions(&self) -> &[SpatialTransformer] {
        &self.attentions
    }

    /// Pushes a skip after every layer; returns what the next level gets.
    pub fn forward(
        &self,
        mut x: Tensor,
        time: &Tensor,
        context: &Context,
        skips: &mut Vec<Tensor>,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            x = resnet.forward(&x, Some(time), hook)?;
            if let Some(attention) = self.attentions.get(index) {
                x = attention.forward(&x, context, hook)?;
            }
            skips.push(x.clone());
        }
        if let Some(downsampler) = &self.downsampler {
            x = visit(hook, &self.downsampler_path, downsampler.forward(&x)?)?;
            skips.push(x.clone());
        }
        Ok(x)
    }
}

/// `UNetMidBlock2DCrossAttn`: resnet, attention, resnet at the smallest size.
#[derive(Debug)]
pub struct MidBlock {
    resnets: Vec<ResnetBlock>,
    attention: SpatialTransformer,
}

impl MidBlock {
    /// A block over `channels`.
    pub fn new(
        config: &UNetConfig,
        channels: usize,
        heads: usize,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let scale = config.mid_block_scale_factor;
        let resnets = (0..2)
            .map(|index| {
                let path = format!("mid_block.resnets.{index}");
                let weights = weights.pp("resnets").pp(index);
                ResnetBlock::new(resnet(config, scale), channels, channels, path, &weights)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            resnets,
            attention: SpatialTransformer::new(
                config,
                channels,
                heads,
                "mid_block.attentions.0".to_owned(),
                &weights.pp("attentions.0"),
            )?,
        })
    }

    /// Where it looks at the prompt.
    pub fn attentions(&self) -> &[SpatialTransformer] {
        slice::from_ref(&self.attention)
    }

    /// `(batch, channels, height, width)`, same shape out.
    pub fn forward(
        &self,
        x: &Tensor,
        time: &Tensor,
        context: &Context,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        let x = self.resnets[0].forward(x, Some(time), hook)?;
        let x = self.attention.forward(&x, context, hook)?;
        self.resnets[1].forward(&x, Some(time), hook)
    }
}

/// Channels that meet in an up block.
#[derive(Debug, Clone, Copy)]
pub struct UpChannels {
    /// Of the skip that its last layer takes, which comes from one level further up.
    pub skip_last: usize,
    /// Of what comes from the level below.
    pub previous: usize,
    /// Of its output, and of the other skips.
    pub outputs: usize,
}

/// `UpBlock2D`, or `CrossAttnUpBlock2D` where it has attentions: each layer takes a skip; then twice the size.
#[derive(Debug)]
pub struct UpBlock {
    resnets: Vec<ResnetBlock>,
    attentions: Vec<SpatialTransformer>,
    upsampler: Option<Conv2d>,
    upsampler_path: String,
}

impl UpBlock {
    /// A block with one layer more than the down blocks; `heads` where it attends to the prompt.
    pub fn new(
        config: &UNetConfig,
        channels: UpChannels,
        heads: Option<usize>,
        upsamples: bool,
        path: &str,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let UpChannels {
            skip_last,
            previous,
            outputs,
        } = channels;
        let layers = config.layers_per_block + 1;
        let resnets = (0..layers)
            .map(|index| {
                let skip = if index + 1 == layers {
                    skip_last
                } else {
                    outputs
                };
                let inputs = if index == 0 { previous } else { outputs };
                let path = format!("{path}.resnets.{index}");
                let weights = weights.pp("resnets").pp(index);
                ResnetBlock::new(resnet(config, 1.0), inputs + skip, outputs, path, &weights)
            })
            .collect::<Result<_, _>>()?;
        let attentions = spatial_transformers(config, outputs, heads, layers, path, weights)?;
        let upsampler = if upsamples {
            let weights = weights.pp("upsamplers.0.conv");
            Some(Conv2d::new(outputs, outputs, 3, 1, 1, &weights)?)
        } else {
            None
        };
        Ok(Self {
            resnets,
            attentions,
            upsampler,
            upsampler_path: format!("{path}.upsamplers.0"),
        })
    }

    /// Where it looks at the prompt.
    pub fn attentions(&self) -> &[SpatialTransformer] {
        &self.attentions
    }

    /// Pops a skip for every layer; returns what the next level gets.
    pub fn forward(
        &self,
        mut x: Tensor,
        time: &Tensor,
        context: &Context,
        skips: &mut Vec<Tensor>,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        for (index, resnet) in self.resnets.iter().enumerate() {
            let skip = skips
                .pop()
                .ok_or_else(|| candle_core::Error::Msg("the UNet ran out of skips".into()))?;
            x = resnet.forward(&concat_channels(&x, &skip)?, Some(time), hook)?;
            if let Some(attention) = self.attentions.get(index) {
                x = attention.forward(&x, context, hook)?;
            }
        }
        if let (Some(upsampler), Some(skip)) = (&self.upsampler, skips.last()) {
            // The size of the skip it will meet: twice its own, or one less where halving rounded up.
            let (_, _, height, width) = skip.dims4()?;
            let larger = enlarge(&x, (height, width))?;
            x = visit(hook, &self.upsampler_path, upsampler.forward(&larger)?)?;
        }
        Ok(x)
    }
}

/// The UNet's residual blocks.
fn resnet(config: &UNetConfig, output_scale_factor: f64) -> ResnetConfig {
    ResnetConfig {
        groups: config.norm_num_groups,
        eps: config.norm_eps,
        time: Some(config.block_out_channels[0] * 4),
        output_scale_factor,
    }
}

/// The attentions of one block: `count` of them where it has heads, else none.
fn spatial_transformers(
    config: &UNetConfig,
    channels: usize,
    heads: Option<usize>,
    count: usize,
    path: &str,
    weights: &VarBuilder,
) -> Result<Vec<SpatialTransformer>, Error> {
    let Some(heads) = heads else {
        return Ok(Vec::new());
    };
    (0..count)
        .map(|index| {
            let path = format!("{path}.attentions.{index}");
            let weights = weights.pp("attentions").pp(index);
            SpatialTransformer::new(config, channels, heads, path, &weights)
        })
        .collect()
}

//! The UNet's levels: down, middle, up.

use std::vec;

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::site::Site;
use super::transformer::{Context, SpatialTransformer, TransformerShape};
use crate::model::Error;
use crate::model::config::UNetConfig;
use crate::model::hook::{Hook, visit};
use crate::model::layers::{Conv2d, concat_channels, upsample_nearest};
use crate::model::modules::{Module, ModuleKind, Side};
use crate::model::resnet::{ResnetBlock, ResnetConfig};

/// What the time adds to each residual block, in the order of a forward pass: every one takes the next.
pub type Shifts = vec::IntoIter<Tensor>;

/// `DownBlock2D`, or `CrossAttnDownBlock2D` where it has attentions: layers, then half the size.
#[derive(Debug)]
pub struct DownBlock {
    layers: Vec<Layer>,
    downsampler: Option<Conv2d>,
    downsampler_path: String,
}

impl DownBlock {
    /// A block with `(inputs, outputs)` channels; `transformer` where it attends to the prompt.
    pub fn new(
        config: &UNetConfig,
        (inputs, outputs): (usize, usize),
        transformer: Option<TransformerShape>,
        downsamples: bool,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let layer = |index: usize| {
            let inputs = if index == 0 { inputs } else { outputs };
            Layer::new(config, index, (inputs, outputs), transformer, weights)
        };
        let downsampler = || {
            let weights = weights.pp("downsamplers.0.conv");
            Conv2d::new(outputs, outputs, 3, 2, 1, &weights)
        };
        Ok(Self {
            layers: (0..config.layers_per_block)
                .map(layer)
                .collect::<Result<_, _>>()?,
            downsampler: downsamples.then(downsampler).transpose()?,
            downsampler_path: weights.pp("downsamplers.0").prefix(),
        })
    }

    /// Its residual blocks.
    pub fn resnets_mut(&mut self) -> impl Iterator<Item = &mut ResnetBlock> {
        self.layers.iter_mut().map(|layer| &mut layer.resnet)
    }

    /// Where it looks at the prompt.
    pub fn attentions(&self) -> impl Iterator<Item = &SpatialTransformer> {
        self.layers
            .iter()
            .filter_map(|layer| layer.attention.as_ref())
    }

    /// Its sites, in the order of a forward pass.
    pub fn sites(&self) -> Vec<Site> {
        let last = self.downsampler.iter();
        let last = last.map(|_| Site::plain(&self.downsampler_path));
        self.layers
            .iter()
            .flat_map(Layer::sites)
            .chain(last)
            .collect()
    }

    /// Its modules, at `level`.
    pub fn modules(&self, level: usize) -> Vec<Module> {
        let down = self.downsampler.iter().map(|_| {
            let path = &self.downsampler_path;
            Module::new(path, ModuleKind::Downsampler, level + 1, Side::Down)
        });
        let layers = self.layers.iter();
        layers
            .flat_map(|layer| layer.modules(level, Side::Down))
            .chain(down)
            .collect()
    }

    /// `(batch, inputs, height, width)` to what the next level gets: `outputs` channels, half as high and wide. Pushes
    /// a skip after every layer and after the downsampler.
    pub fn forward(
        &self,
        mut x: Tensor,
        shifts: &mut Shifts,
        context: &Context,
        skips: &mut Vec<Tensor>,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        for layer in &self.layers {
            x = layer.forward(&x, shifts, context, hook)?;
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
    first: Layer,
    last: Layer,
}

impl MidBlock {
    /// A block over `channels`.
    pub fn new(
        config: &UNetConfig,
        channels: usize,
        transformer: TransformerShape,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let layer = |index: usize, transformer: Option<TransformerShape>| {
            let (scale, channels) = (config.mid_block_scale_factor, (channels, channels));
            Layer::scaled(config, index, channels, transformer, scale, weights)
        };
        Ok(Self {
            first: layer(0, Some(transformer))?,
            last: layer(1, None)?,
        })
    }

    /// Its residual blocks.
    pub fn resnets_mut(&mut self) -> impl Iterator<Item = &mut ResnetBlock> {
        [&mut self.first.resnet, &mut self.last.resnet].into_iter()
    }

    /// Where it looks at the prompt.
    pub fn attentions(&self) -> impl Iterator<Item = &SpatialTransformer> {
        self.first.attention.iter()
    }

    /// Its sites, in the order of a forward pass.
    pub fn sites(&self) -> Vec<Site> {
        [self.first.sites(), self.last.sites()].concat()
    }

    /// Its modules, at the lowest `level`.
    pub fn modules(&self, level: usize) -> Vec<Module> {
        let both = [&self.first, &self.last].into_iter();
        both.flat_map(|layer| layer.modules(level, Side::Middle))
            .collect()
    }

    /// `(batch, channels, height, width)`, same shape out.
    pub fn forward(
        &self,
        x: &Tensor,
        shifts: &mut Shifts,
        context: &Context,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        let x = self.first.forward(x, shifts, context, hook)?;
        self.last.forward(&x, shifts, context, hook)
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
    layers: Vec<Layer>,
    /// Of each layer: the path of the skip that it takes.
    skip_paths: Vec<String>,
    upsampler: Option<Conv2d>,
    upsampler_path: String,
}

impl UpBlock {
    /// A block with one layer more than the down blocks; `transformer` where it attends to the prompt.
    pub fn new(
        config: &UNetConfig,
        channels: UpChannels,
        transformer: Option<TransformerShape>,
        upsamples: bool,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let UpChannels {
            skip_last,
            previous,
            outputs,
        } = channels;
        let last = config.layers_per_block;
        let layer = |index: usize| {
            let inputs = if index == 0 { previous } else { outputs };
            let skip = if index == last { skip_last } else { outputs };
            Layer::new(
                config,
                index,
                (inputs + skip, outputs),
                transformer,
                weights,
            )
        };
        let upsampler = || {
            let weights = weights.pp("upsamplers.0.conv");
            Conv2d::new(outputs, outputs, 3, 1, 1, &weights)
        };
        Ok(Self {
            layers: (0..=last).map(layer).collect::<Result<_, _>>()?,
            skip_paths: (0..=last)
                .map(|index| weights.pp("resnets").pp(index).pp("skip").prefix())
                .collect(),
            upsampler: upsamples.then(upsampler).transpose()?,
            upsampler_path: weights.pp("upsamplers.0").prefix(),
        })
    }

    /// Its residual blocks.
    pub fn resnets_mut(&mut self) -> impl Iterator<Item = &mut ResnetBlock> {
        self.layers.iter_mut().map(|layer| &mut layer.resnet)
    }

    /// Where it looks at the prompt.
    pub fn attentions(&self) -> impl Iterator<Item = &SpatialTransformer> {
        self.layers
            .iter()
            .filter_map(|layer| layer.attention.as_ref())
    }

    /// Its sites, in the order of a forward pass.
    pub fn sites(&self) -> Vec<Site> {
        let last = self.upsampler.iter();
        let last = last.map(|_| Site::plain(&self.upsampler_path));
        let layers = self.layers.iter().zip(&self.skip_paths);
        let layers =
            layers.flat_map(|(layer, skip)| [vec![Site::plain(skip)], layer.sites()].concat());
        layers.chain(last).collect()
    }

    /// Its modules, at `level`.
    pub fn modules(&self, level: usize) -> Vec<Module> {
        let up = self.upsampler.iter().map(|_| {
            let path = &self.upsampler_path;
            Module::new(
                path,
                ModuleKind::Upsampler,
                level.saturating_sub(1),
                Side::Up,
            )
        });
        let layers = self.layers.iter();
        layers
            .flat_map(|layer| layer.modules(level, Side::Up))
            .chain(up)
            .collect()
    }

    /// `(batch, previous, height, width)` to what the next level gets: `outputs` channels, twice as high and wide. Pops
    /// a skip for every layer.
    pub fn forward(
        &self,
        mut x: Tensor,
        shifts: &mut Shifts,
        context: &Context,
        skips: &mut Vec<Tensor>,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        for (layer, path) in self.layers.iter().zip(&self.skip_paths) {
            let skip = skips
                .pop()
                .ok_or_else(|| candle_core::Error::Msg("the UNet ran out of skips".into()))?;
            let skip = visit(hook, path, skip)?;
            x = layer.forward(&concat_channels(&x, &skip)?, shifts, context, hook)?;
        }
        if let (Some(upsampler), Some(skip)) = (&self.upsampler, skips.last()) {
            // The size of the skip it will meet: twice its own, or one less where halving rounded up.
            let (_, _, height, width) = skip.dims4()?;
            let larger = upsample_nearest(&x, (height, width))?;
            x = visit(hook, &self.upsampler_path, upsampler.forward(&larger)?)?;
        }
        Ok(x)
    }
}

/// A residual block and a transformer after it where the level attends to the prompt.
#[derive(Debug)]
struct Layer {
    resnet: ResnetBlock,
    attention: Option<SpatialTransformer>,
}

impl Layer {
    /// Layer `index` of a block, from `inputs` to `outputs` channels.
    fn new(
        config: &UNetConfig,
        index: usize,
        channels: (usize, usize),
        transformer: Option<TransformerShape>,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        Self::scaled(config, index, channels, transformer, 1.0, weights)
    }

    /// The same with the residual block's output divided by `scale`.
    fn scaled(
        config: &UNetConfig,
        index: usize,
        (inputs, outputs): (usize, usize),
        transformer: Option<TransformerShape>,
        scale: f64,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let resnet = ResnetConfig {
            groups: config.norm_num_groups,
            eps: config.norm_eps,
            time: Some(config.block_out_channels[0] * 4),
            output_scale_factor: scale,
        };
        let attention = |transformer: TransformerShape| {
            let weights = weights.pp("attentions").pp(index);
            SpatialTransformer::new(config, outputs, transformer, &weights)
        };
        let weights = weights.pp("resnets").pp(index);
        Ok(Self {
            resnet: ResnetBlock::new(resnet, inputs, outputs, &weights)?,
            attention: transformer.map(attention).transpose()?,
        })
    }

    /// Its sites, in the order of a forward pass.
    fn sites(&self) -> Vec<Site> {
        let resnet = [Site::plain(self.resnet.path())].into_iter();
        let attention = self.attention.iter();
        resnet
            .chain(attention.flat_map(SpatialTransformer::sites))
            .collect()
    }

    /// Its modules.
    fn modules(&self, level: usize, side: Side) -> Vec<Module> {
        let resnet = Module::new(self.resnet.path(), self.resnet.kind(), level, side);
        let attention = self.attention.iter().map(|attention| {
            let (blocks, is_linear) = attention.structure();
            let kind = ModuleKind::Transformer { blocks, is_linear };
            Module::new(attention.path(), kind, level, side)
        });
        [resnet].into_iter().chain(attention).collect()
    }

    /// `(batch, inputs, height, width)` to `(batch, outputs, height, width)`.
    fn forward(
        &self,
        x: &Tensor,
        shifts: &mut Shifts,
        context: &Context,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        let shift = shifts.next().ok_or_else(|| {
            candle_core::Error::Msg("the UNet ran out of projections of the time".into())
        })?;
        let x = self.resnet.forward(x, Some(&shift), hook)?;
        match &self.attention {
            Some(attention) => attention.forward(&x, context, hook),
            None => Ok(x),
        }
    }
}

//! The UNet: noisy latents, a time and the prompt's embedding in, a prediction of the noise out.
//!
//! Ronneberger et al. 2015 for the shape, Ho et al. 2020 for its use in diffusion, Rombach et al. 2022 for the
//! cross-attention; structure and names as in diffusers' `UNet2DConditionModel`.
//!
//! ```text
//!  x_t ─ conv_in ─ down 0 ─ down 1 ─ … ─ mid ─ … ─ up n-1 ─ up n ─ conv_out ─ ε
//!                   └──────── skips ───────────────────┘
//!        time ─ embedding → every resnet        prompt → every attn2
//! ```

mod blocks;
mod site;
mod transformer;

use candle_core::{DType, Module as _, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::stable_diffusion::embeddings::{TimestepEmbedding, Timesteps};

use self::blocks::{DownBlock, MidBlock, UpBlock, UpChannels};
pub use self::site::{Site, heads_path, projection_paths};
pub use self::transformer::Context;
use self::transformer::{SpatialTransformer, TransformerShape};
use super::Error;
use super::hook::{Hook, visit};
use super::layers::{Conv2d, GroupNorm, SideBySide, silu};
use super::modules::{Module, ModuleKind, Side, link_skips};
use super::resnet::ResnetBlock;
use crate::kernels::Backend;
use crate::model::config::{DownBlockType, UNetConfig, UpBlockType};

/// A cross-attention layer: where text meets picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossAttentionSite {
    /// Module path: `down_blocks.0.attentions.0.transformer_blocks.0.attn2`.
    pub path: String,
    /// Number of heads.
    pub heads: usize,
    /// How many times the latents were halved before this layer: its map is `latents >> halvings` wide.
    pub halvings: usize,
}

/// The UNet. Sites are the paths of its modules: `conv_in`, `time_embedding`, `down_blocks.I.resnets.J`,
/// `down_blocks.I.attentions.J` and below it `transformer_blocks.K.attn1`, `.attn2` and `.ff`, `mid_block.…`,
/// `up_blocks.…`, `conv_out`; below `attn1` and `attn2` also `to_q`, `to_k` and `to_v`; and two kinds that are no modules' outputs: see [`Site`].
#[derive(Debug)]
pub struct UNet {
    conv_in: Conv2d,
    time_proj: Timesteps,
    time_embedding: TimestepEmbedding,
    /// Every residual block's `time_emb_proj`, in the order of a forward pass.
    time_projections: SideBySide,
    down_blocks: Vec<DownBlock>,
    mid_block: MidBlock,
    up_blocks: Vec<UpBlock>,
    conv_norm_out: GroupNorm,
    conv_out: Conv2d,
    center_input: bool,
    dtype: DType,
    cross_attention: Vec<CrossAttentionSite>,
    sites: Vec<Site>,
}

impl UNet {
    /// Reads the weights, whose names have no prefix. `config` must have been validated.
    pub fn new(config: &UNetConfig, weights: &VarBuilder) -> Result<Self, Error> {
        let channels = &config.block_out_channels;
        let (first, last) = (channels[0], channels.len() - 1);
        let conv_in = Conv2d::new(config.in_channels, first, 3, 1, 1, &weights.pp("conv_in"))?;
        // Sines and cosines of the time are taken in f32 even where weights are f16: f16 rounds 988.909 to 989.
        let time_weights = weights.pp("time_embedding").to_dtype(DType::F32);
        let time_embedding = TimestepEmbedding::new(time_weights, first, first * 4)?;

        let mut down_blocks = down_blocks(config, &weights.pp("down_blocks"))?;
        let middle = TransformerShape {
            heads: config.attention_heads[last],
            layers: config.transformer_layers[last],
        };
        let mut mid_block =
            MidBlock::new(config, channels[last], middle, &weights.pp("mid_block"))?;
        let mut up_blocks = up_blocks(config, &weights.pp("up_blocks"))?;
        let down = down_blocks.iter_mut().flat_map(DownBlock::resnets_mut);
        let up = up_blocks.iter_mut().flat_map(UpBlock::resnets_mut);
        let resnets = down.chain(mid_block.resnets_mut()).chain(up);
        let projections = resnets.filter_map(ResnetBlock::take_time_projection);
        let time_projections = SideBySide::new(projections.collect())?;
        let sites = transformers(&down_blocks, &mid_block, &up_blocks);
        let cross_attention = sites.flat_map(|(halvings, transformer)| {
            let site = move |(path, heads)| CrossAttentionSite {
                path,
                heads,
                halvings,
            };
            transformer.cross_attention().map(site)
        });
        let cross_attention = cross_attention.collect();
        let norm_out = weights.pp("conv_norm_out");
        let conv_out = weights.pp("conv_out");
        Ok(Self {
            conv_in,
            time_proj: Timesteps::new(first, config.flip_sin_to_cos, config.freq_shift),
            time_embedding,
            time_projections,
            cross_attention,
            sites: sites_of(&down_blocks, &mid_block, &up_blocks),
            down_blocks,
            mid_block,
            up_blocks,
            conv_norm_out: GroupNorm::new(
                config.norm_num_groups,
                first,
                config.norm_eps,
                &norm_out,
            )?,
            conv_out: Conv2d::new(first, config.out_channels, 3, 1, 1, &conv_out)?,
            center_input: config.center_input_sample,
            dtype: weights.dtype(),
        })
    }

    /// Every cross-attention layer, in the order in which a forward pass meets them.
    pub fn cross_attention(&self) -> &[CrossAttentionSite] {
        &self.cross_attention
    }

    /// Every place at which a hook meets a value, in the order in which a forward pass comes to them.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Its modules, in the order of a forward pass: what one sees of it as a U.
    pub fn modules(&self) -> Vec<Module> {
        let deepest = self.down_blocks.len() - 1;
        let convolution = ModuleKind::Convolution;
        let mut modules = vec![Module::new("conv_in", convolution, 0, Side::Down)];
        for (level, block) in self.down_blocks.iter().enumerate() {
            modules.extend(block.modules(level));
        }
        modules.extend(self.mid_block.modules(deepest));
        for (index, block) in self.up_blocks.iter().enumerate() {
            modules.extend(block.modules(deepest - index));
        }
        modules.push(Module::new("conv_out", convolution, 0, Side::Up));
        link_skips(&mut modules);
        modules
    }

    /// The keys and values of a prompt in every cross-attention layer; its `embedding` is `(batch, 77, hidden)`.
    pub fn context(&self, embedding: &Tensor) -> Result<Context, Error> {
        let all = transformers(&self.down_blocks, &self.mid_block, &self.up_blocks);
        let all = all.map(|(_, transformer)| transformer);
        Backend::of(embedding).install(|| Context::new(all, embedding))
    }

    /// Predicts the noise (or v, as the checkpoint was trained) in `latents`.
    ///
    /// `latents` `(batch, channels, height, width)`, scaled as the scheduler says; `timestep` 0 to 999, a real number;
    /// `context` of the same batch. Returns the shape of `latents`.
    pub fn forward(
        &self,
        latents: &Tensor,
        timestep: f32,
        context: &Context,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        Backend::of(latents).install(|| {
            let time = Tensor::new(&[timestep], latents.device())?;
            let time = self
                .time_embedding
                .forward(&self.time_proj.forward(&time)?)?
                .to_dtype(self.dtype)?;
            let time = silu(&visit(hook, "time_embedding", time)?)?;
            let shifts = &mut self.time_projections.forward(&time)?.into_iter();

            let latents = if self.center_input {
                ((latents * 2.0)? - 1.0)?
            } else {
                latents.clone()
            };
            let x = self.conv_in.forward(&latents)?;
            let mut x = visit(hook, "conv_in", x)?;
            let mut skips = vec![x.clone()];
            for block in &self.down_blocks {
                x = block.forward(x, shifts, context, &mut skips, hook)?;
            }
            x = self.mid_block.forward(&x, shifts, context, hook)?;
            for block in &self.up_blocks {
                x = block.forward(x, shifts, context, &mut skips, hook)?;
            }
            let x = self
                .conv_out
                .forward(&self.conv_norm_out.forward_silu(&x)?)?;
            visit(hook, "conv_out", x)
        })
    }
}

fn down_blocks(config: &UNetConfig, weights: &VarBuilder) -> Result<Vec<DownBlock>, Error> {
    let channels = &config.block_out_channels;
    let block = |level: usize| {
        let attends = config.down_block_types[level] == DownBlockType::CrossAttn;
        let transformer = attends.then_some(TransformerShape {
            heads: config.attention_heads[level],
            layers: config.transformer_layers[level],
        });
        DownBlock::new(
            config,
            (channels[level.saturating_sub(1)], channels[level]),
            transformer,
            level + 1 < channels.len(),
            &weights.pp(level),
        )
    };
    (0..channels.len()).map(block).collect()
}

fn up_blocks(config: &UNetConfig, weights: &VarBuilder) -> Result<Vec<UpBlock>, Error> {
    let channels = &config.block_out_channels;
    let last = channels.len() - 1;
    let block = |index: usize| {
        let level = last - index;
        let attends = config.up_block_types[index] == UpBlockType::CrossAttn;
        let channels = UpChannels {
            skip_last: channels[level.saturating_sub(1)],
            previous: channels[last.min(level + 1)],
            outputs: channels[level],
        };
        let transformer = attends.then_some(TransformerShape {
            heads: config.attention_heads[level],
            layers: config.up_transformer_layers[index],
        });
        UpBlock::new(config, channels, transformer, level > 0, &weights.pp(index))
    };
    (0..=last).map(block).collect()
}

/// Every site, in the order of a forward pass.
fn sites_of(down: &[DownBlock], mid: &MidBlock, up: &[UpBlock]) -> Vec<Site> {
    let first = ["time_embedding", "conv_in"].map(Site::plain).into_iter();
    let down = down.iter().flat_map(DownBlock::sites);
    let up = up.iter().flat_map(UpBlock::sites);
    let inner = down.chain(mid.sites()).chain(up);
    first
        .chain(inner)
        .chain([Site::plain("conv_out")])
        .collect()
}

/// All transformers in the order of a forward pass, each with the number of times that the latents are halved before
/// it.
fn transformers<'a>(
    down: &'a [DownBlock],
    mid: &'a MidBlock,
    up: &'a [UpBlock],
) -> impl Iterator<Item = (usize, &'a SpatialTransformer)> {
    let deepest = down.len() - 1;
    let down = down.iter().enumerate().flat_map(|(level, block)| {
        let attentions = block.attentions();
        attentions.map(move |transformer| (level, transformer))
    });
    let mid = mid
        .attentions()
        .map(move |transformer| (deepest, transformer));
    let up = up.iter().enumerate().flat_map(move |(index, block)| {
        let attentions = block.attentions();
        attentions.map(move |transformer| (deepest - index, transformer))
    });
    down.chain(mid).chain(up)
}

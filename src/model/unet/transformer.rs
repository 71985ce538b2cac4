//! The spatial transformer: pixels as a sequence that looks at itself and at the prompt.
//!
//! Rombach et al. 2022, appendix E.2.1: norm, 1x1 projection, pixels as a sequence, transformer blocks with the text as
//! context, back to a picture, plus the input. diffusers calls it `Transformer2DModel`.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::site::{Site, heads_path, projection_paths};
use crate::model::Error;
use crate::model::config::UNetConfig;
use crate::model::hook::{Hook, visit};
use crate::model::layers::{
    AttentionInput, GroupNorm, LayerNorm, Linear, SideBySide, attention, to_image, to_pixels,
};

/// The keys and values of a prompt in every cross-attention layer. They are the same in every step, so they are computed
/// once a run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context(Arc<HashMap<String, KeysValues>>);

impl Context {
    /// From the prompt's `embedding` `(batch, tokens, hidden)`.
    pub(super) fn new<'a>(
        transformers: impl Iterator<Item = &'a SpatialTransformer>,
        embedding: &Tensor,
    ) -> Result<Self, Error> {
        transformers
            .flat_map(|transformer| &transformer.blocks)
            .map(|block| {
                let layer = &block.attn2;
                Ok((layer.attention.path.clone(), layer.keys_values(embedding)?))
            })
            .collect::<Result<_, _>>()
            .map(|layers| Self(Arc::new(layers)))
    }

    /// Those of the layer at `path`.
    fn at(&self, path: &str) -> Result<&KeysValues, Error> {
        let missing = || candle_core::Error::Msg(format!("{path} was given no prompt"));
        Ok(self.0.get(path).ok_or_else(missing)?)
    }
}

/// Keys and values of an attention layer, `(batch, keys, channels)` each.
#[derive(Debug)]
struct KeysValues {
    key: Tensor,
    value: Tensor,
}

/// What one level's transformers have that another's may not.
#[derive(Debug, Clone, Copy)]
pub struct TransformerShape {
    /// Attention heads of each layer.
    pub heads: usize,
    /// Transformer blocks.
    pub layers: usize,
}

/// One spatial transformer.
#[derive(Debug)]
pub struct SpatialTransformer {
    path: String,
    norm: GroupNorm,
    proj_in: Linear,
    blocks: Vec<TransformerBlock>,
    proj_out: Linear,
}

impl SpatialTransformer {
    /// A transformer over `channels`.
    pub fn new(
        config: &UNetConfig,
        channels: usize,
        shape: TransformerShape,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let TransformerShape { heads, layers } = shape;
        let projection = |name: &str| {
            let weights = weights.pp(name);
            if config.use_linear_projection {
                Linear::new(channels, channels, &weights)
            } else {
                Linear::from_1x1_convolution(channels, channels, &weights)
            }
        };
        let block = |index: usize| {
            let weights = weights.pp("transformer_blocks").pp(index);
            TransformerBlock::new(config, channels, heads, &weights)
        };
        Ok(Self {
            // Not the UNet's norm_eps: diffusers fixes this one.
            norm: GroupNorm::new(config.norm_num_groups, channels, 1e-6, &weights.pp("norm"))?,
            proj_in: projection("proj_in")?,
            proj_out: projection("proj_out")?,
            blocks: (0..layers).map(block).collect::<Result<_, _>>()?,
            path: weights.prefix(),
        })
    }

    /// Path and number of heads of each cross-attention layer.
    pub fn cross_attention(&self) -> impl Iterator<Item = (String, usize)> + '_ {
        self.blocks
            .iter()
            .map(|block| &block.attn2.attention)
            .map(|attention| (attention.path.clone(), attention.heads))
    }

    /// Its sites, in the order of a forward pass.
    pub fn sites(&self) -> Vec<Site> {
        let blocks = self.blocks.iter().flat_map(TransformerBlock::sites);
        blocks.chain([Site::plain(&self.path)]).collect()
    }

    /// `(batch, channels, height, width)`, same shape out.
    pub fn forward(
        &self,
        x: &Tensor,
        context: &Context,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        let (_, _, height, width) = x.dims4()?;
        let mut pixels = self.proj_in.forward(&to_pixels(&self.norm.forward(x)?)?)?;
        for block in &self.blocks {
            pixels = block.forward(&pixels, context, hook)?;
        }
        let pixels = self.proj_out.add_to(&to_pixels(x)?, &pixels)?;
        visit(hook, &self.path, to_image(&pixels, (height, width))?)
    }
}

/// diffusers' `BasicTransformerBlock`: self-attention, cross-attention, feed-forward, each normed before and added
/// after.
#[derive(Debug)]
struct TransformerBlock {
    norm1: LayerNorm,
    attn1: SelfAttention,
    norm2: LayerNorm,
    attn2: CrossAttention,
    norm3: LayerNorm,
    ff: FeedForward,
}

impl TransformerBlock {
    fn new(
        config: &UNetConfig,
        channels: usize,
        heads: usize,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let norm = |name: &str| LayerNorm::new(channels, 1e-5, &weights.pp(name));
        let context = config.cross_attention_dim;
        Ok(Self {
            norm1: norm("norm1")?,
            norm2: norm("norm2")?,
            norm3: norm("norm3")?,
            attn1: SelfAttention::new(channels, heads, &weights.pp("attn1"))?,
            attn2: CrossAttention::new(channels, context, heads, &weights.pp("attn2"))?,
            ff: FeedForward::new(channels, &weights.pp("ff"))?,
        })
    }

    fn sites(&self) -> Vec<Site> {
        let attention = [&self.attn1.attention, &self.attn2.attention].into_iter();
        let feed_forward = Site::plain(&self.ff.path);
        attention
            .flat_map(Attention::sites)
            .chain([feed_forward])
            .collect()
    }

    /// `(batch, pixels, channels)`, same shape out.
    fn forward(&self, x: &Tensor, context: &Context, hook: &mut dyn Hook) -> Result<Tensor, Error> {
        let normed = self.norm1.forward(x)?;
        let x = self.attn1.add_to(x, &normed, hook)?;
        let normed = self.norm2.forward(&x)?;
        let x = self.attn2.add_to(&x, &normed, context, hook)?;
        let normed = self.norm3.forward(&x)?;
        self.ff.add_to(&x, &normed, hook)
    }
}

/// Attention of pixels to the pixels themselves.
#[derive(Debug)]
struct SelfAttention {
    /// Queries, keys and values.
    to_qkv: SideBySide,
    attention: Attention,
}

impl SelfAttention {
    fn new(channels: usize, heads: usize, weights: &VarBuilder) -> Result<Self, Error> {
        let layer = |name| Linear::without_bias(channels, channels, &weights.pp(name));
        Ok(Self {
            to_qkv: SideBySide::new(vec![layer("to_q")?, layer("to_k")?, layer("to_v")?])?,
            attention: Attention::new(channels, heads, weights)?,
        })
    }

    /// `base` plus the attention of `x` to itself: all `(batch, pixels, channels)`.
    fn add_to(&self, base: &Tensor, x: &Tensor, hook: &mut dyn Hook) -> Result<Tensor, Error> {
        let Ok([query, key, value]) = <[_; 3]>::try_from(self.to_qkv.forward(x)?) else {
            return Err(candle_core::Error::Msg("three layers give three results".into()).into());
        };
        let [query, key, value] = self
            .attention
            .visit_projections([query, key, value], hook)?;
        let pixels = KeysValues { key, value };
        self.attention.add_to(base, &query, &pixels, hook)
    }
}

/// Attention of pixels to the prompt.
#[derive(Debug)]
struct CrossAttention {
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    attention: Attention,
}

impl CrossAttention {
    fn new(
        channels: usize,
        context: usize,
        heads: usize,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        Ok(Self {
            to_q: Linear::without_bias(channels, channels, &weights.pp("to_q"))?,
            to_k: Linear::without_bias(context, channels, &weights.pp("to_k"))?,
            to_v: Linear::without_bias(context, channels, &weights.pp("to_v"))?,
            attention: Attention::new(channels, heads, weights)?,
        })
    }

    /// The keys and values of a prompt's embedding `(batch, keys, features)`.
    fn keys_values(&self, embedding: &Tensor) -> Result<KeysValues, Error> {
        Ok(KeysValues {
            key: self.to_k.forward(embedding)?,
            value: self.to_v.forward(embedding)?,
        })
    }

    /// `base` plus the attention of `x` to the prompt: all `(batch, pixels, channels)`.
    fn add_to(
        &self,
        base: &Tensor,
        x: &Tensor,
        context: &Context,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        let prompt = context.at(&self.attention.path)?;
        let query = self.to_q.forward(x)?;
        // The prompt's were computed once a run; here is where they are used.
        let projections = [query, prompt.key.clone(), prompt.value.clone()];
        let [query, key, value] = self.attention.visit_projections(projections, hook)?;
        let prompt = KeysValues { key, value };
        self.attention.add_to(base, &query, &prompt, hook)
    }
}

/// What both have: heads that look, and a layer that puts together what they saw.
#[derive(Debug)]
struct Attention {
    path: String,
    /// The sites of queries, keys and values.
    projections: [String; 3],
    /// The site of what the heads give, before they are put together.
    heads_path: String,
    heads: usize,
    to_out: Linear,
}

impl Attention {
    fn new(channels: usize, heads: usize, weights: &VarBuilder) -> Result<Self, Error> {
        Ok(Self {
            path: weights.prefix(),
            projections: projection_paths(&weights.prefix()),
            heads_path: heads_path(&weights.prefix()),
            heads,
            to_out: Linear::new(channels, channels, &weights.pp("to_out.0"))?,
        })
    }

    fn sites(&self) -> Vec<Site> {
        let layer = Site {
            path: self.path.clone(),
            heads: Some(self.heads),
        };
        let projections = self.projections.iter().map(Site::plain);
        projections
            .chain([Site::plain(&self.heads_path), layer])
            .collect()
    }

    /// Hands queries, keys and values, `(batch, length, channels)` each, to the hook.
    fn visit_projections(
        &self,
        [query, key, value]: [Tensor; 3],
        hook: &mut dyn Hook,
    ) -> Result<[Tensor; 3], Error> {
        let [to_q, to_k, to_v] = &self.projections;
        Ok([
            visit(hook, to_q, query)?,
            visit(hook, to_k, key)?,
            visit(hook, to_v, value)?,
        ])
    }

    /// `base` plus what `query` `(batch, pixels, channels)` finds in `context`.
    fn add_to(
        &self,
        base: &Tensor,
        query: &Tensor,
        context: &KeysValues,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        let input = AttentionInput {
            heads: self.heads,
            query,
            key: &context.key,
            value: &context.value,
            mask: None,
        };
        let attended = attention(&input, &self.path, hook)?;
        let attended = visit(hook, &self.heads_path, attended)?;
        self.to_out
            .add_to_visited(base, &attended, &self.path, hook)
    }
}

/// The feed-forward network with a gated GELU (Shazeer 2020): `net.0.proj` gives value and gate, `net.2` the output.
#[derive(Debug)]
struct FeedForward {
    path: String,
    proj: Linear,
    out: Linear,
}

impl FeedForward {
    /// The inner width is four times the channels, as everywhere in Stable Diffusion v1.
    fn new(channels: usize, weights: &VarBuilder) -> Result<Self, Error> {
        let inner = channels * 4;
        Ok(Self {
            path: weights.prefix(),
            proj: Linear::new(channels, inner * 2, &weights.pp("net.0.proj"))?,
            out: Linear::new(inner, channels, &weights.pp("net.2"))?,
        })
    }

    /// `base + ff(x)`, all `(batch, pixels, channels)`.
    fn add_to(&self, base: &Tensor, x: &Tensor, hook: &mut dyn Hook) -> Result<Tensor, Error> {
        let inner = self.proj.forward_geglu(x)?;
        self.out.add_to_visited(base, &inner, &self.path, hook)
    }
}

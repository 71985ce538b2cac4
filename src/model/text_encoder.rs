//! CLIP's text transformer: token ids in, one vector a position out.
//!
//! Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision"; structure and names
//! as in transformers' `CLIPTextModel`. Stable Diffusion v1 uses the last hidden state of all 77 positions.

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;

use super::Error;
use super::config::{Activation, TextEncoderConfig};
use super::hook::{Hook, show, visit};
use super::layers::{AttentionInput, LayerNorm, Linear, attention, gelu, quick_gelu};
use super::modules::{Module, ModuleKind, Side};
use crate::kernels::Backend;

/// The text encoder.
///
/// Sites: `token_embedding` and `position_embedding` (what is looked up), `text_model.encoder.layers.N`,
/// `text_model.final_layer_norm`, each `(batch, positions, hidden)`; attention at
/// `text_model.encoder.layers.N.self_attn`.
#[derive(Debug)]
pub struct TextEncoder {
    token_embedding: Tensor,
    position_embedding: Tensor,
    layers: Vec<EncoderLayer>,
    final_layer_norm: LayerNorm,
}

impl TextEncoder {
    /// Reads the weights; both the `text_model.`-prefixed names of older files and the bare ones are understood.
    pub fn new(config: &TextEncoderConfig, weights: &VarBuilder) -> Result<Self, Error> {
        let weights = if weights.contains_tensor("text_model.final_layer_norm.weight") {
            weights.pp("text_model")
        } else {
            weights.clone()
        };
        let hidden = config.hidden_size;
        let embedding = |rows: usize, name: &str| {
            let weights = weights.pp("embeddings").pp(name);
            weights.get((rows, hidden), "weight")
        };
        let layer = |index: usize| {
            let path = format!("text_model.encoder.layers.{index}");
            EncoderLayer::new(config, path, &weights.pp("encoder.layers").pp(index))
        };
        let norm = weights.pp("final_layer_norm");
        Ok(Self {
            token_embedding: embedding(config.vocab_size, "token_embedding")?,
            position_embedding: embedding(config.max_position_embeddings, "position_embedding")?,
            layers: (0..config.num_hidden_layers)
                .map(layer)
                .collect::<Result<_, _>>()?,
            final_layer_norm: LayerNorm::new(hidden, config.layer_norm_eps, &norm)?,
        })
    }

    /// The whole table of token embeddings, `(vocabulary, hidden)`.
    pub fn token_embeddings(&self) -> &Tensor {
        &self.token_embedding
    }

    /// Its layers as modules, in their order.
    pub fn modules(&self) -> Vec<Module> {
        let layers = self.layers.iter();
        layers
            .map(|layer| Module::new(&layer.path, ModuleKind::TextLayer, 0, Side::Down))
            .collect()
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Token `ids`, one row of equal length a prompt, to the last hidden state `(batch, positions, hidden)`.
    pub fn forward(&self, ids: &[Vec<u32>], hook: &mut dyn Hook) -> Result<Tensor, Error> {
        self.forward_after(self.layers(), ids, hook)
    }

    /// The same of the hidden state after the first `layers` layers, 0 for what goes into the first one, through the final
    /// layer norm as the last one: Toker et al. 2024, "Diffusion Lens" (arXiv 2403.05846), section 3. With all layers it is
    /// the last hidden state. Those after them are computed all the same: a hook sees every layer of every prompt.
    pub fn forward_after(
        &self,
        layers: usize,
        ids: &[Vec<u32>],
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        Backend::of(&self.token_embedding).install(|| {
            let device = self.token_embedding.device();
            let length = ids.first().map_or(0, Vec::len);
            let flat = Tensor::new(ids.concat(), device)?;
            let tokens = self.token_embedding.index_select(&flat, 0)?.reshape((
                ids.len(),
                length,
                self.token_embedding.dim(1)?,
            ))?;
            let tokens = visit(hook, "token_embedding", tokens)?;
            let positions = self.position_embedding.narrow(0, 0, length)?;
            let positions = visit(hook, "position_embedding", positions.unsqueeze(0)?)?;

            let mask = causal_mask(length, device)?.to_dtype(tokens.dtype())?;
            let mut x = tokens.broadcast_add(&positions)?;
            let mut read = x.clone();
            for (index, layer) in self.layers.iter().enumerate() {
                x = layer.forward(&x, &mask, hook)?;
                if index < layers {
                    read = x.clone();
                }
            }
            let x = self.final_layer_norm.forward(&read)?;
            visit(hook, "text_model.final_layer_norm", x)
        })
    }
}

/// `(length, length)`: 0 where a position may look (itself and before), minus infinity where it may not.
fn causal_mask(length: usize, device: &Device) -> candle_core::Result<Tensor> {
    let mask: Vec<f32> = (0..length)
        .flat_map(|row| {
            (0..length).map(move |column| if column > row { f32::NEG_INFINITY } else { 0.0 })
        })
        .collect();
    Tensor::from_vec(mask, (length, length), device)
}

/// One pre-norm transformer layer: attention over the positions so far, then a two-layer network at each position.
#[derive(Debug)]
struct EncoderLayer {
    path: String,
    attention_path: String,
    heads: usize,
    layer_norm1: LayerNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    layer_norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
}

impl EncoderLayer {
    fn new(config: &TextEncoderConfig, path: String, weights: &VarBuilder) -> Result<Self, Error> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let attention = weights.pp("self_attn");
        let projection = |name: &str| Linear::new(hidden, hidden, &attention.pp(name));
        let norm = |name: &str| LayerNorm::new(hidden, config.layer_norm_eps, &weights.pp(name));
        Ok(Self {
            attention_path: format!("{path}.self_attn"),
            path,
            heads: config.num_attention_heads,
            q_proj: projection("q_proj")?,
            k_proj: projection("k_proj")?,
            v_proj: projection("v_proj")?,
            out_proj: projection("out_proj")?,
            layer_norm1: norm("layer_norm1")?,
            fc1: Linear::new(hidden, inner, &weights.pp("mlp.fc1"))?,
            fc2: Linear::new(inner, hidden, &weights.pp("mlp.fc2"))?,
            layer_norm2: norm("layer_norm2")?,
            activation: config.hidden_act,
        })
    }

    /// `(batch, positions, hidden)`, same shape out.
    fn forward(&self, x: &Tensor, mask: &Tensor, hook: &mut dyn Hook) -> Result<Tensor, Error> {
        show(hook, &self.path, "input", || Ok(x.clone()))?;
        let normed = self.layer_norm1.forward(x)?;
        show(hook, &self.path, "layer_norm1", || Ok(normed.clone()))?;
        let attended = attention(
            &AttentionInput {
                heads: self.heads,
                query: &self.q_proj.forward(&normed)?,
                key: &self.k_proj.forward(&normed)?,
                value: &self.v_proj.forward(&normed)?,
                mask: Some(mask),
            },
            &self.attention_path,
            hook,
        )?;
        let path = &self.attention_path;
        let x = self.out_proj.add_to_visited(x, &attended, path, hook)?;
        show(hook, path, "sum", || Ok(x.clone()))?;

        let normed = self.layer_norm2.forward(&x)?;
        show(hook, &self.path, "layer_norm2", || Ok(normed.clone()))?;
        let inner = self.fc1.forward(&normed)?;
        show(hook, &self.path, "mlp.fc1", || Ok(inner.clone()))?;
        let inner = match self.activation {
            Activation::QuickGelu => quick_gelu(&inner)?,
            Activation::Gelu => gelu(&inner)?,
        };
        show(hook, &self.path, "mlp.activation_fn", || Ok(inner.clone()))?;
        show(hook, &self.path, "mlp", || self.fc2.forward(&inner))?;
        let x = self.fc2.add_to(&x, &inner)?;
        visit(hook, &self.path, x)
    }
}

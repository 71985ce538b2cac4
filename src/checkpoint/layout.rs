//! Which tensors a network of a given configuration has, by name and shape.
//!
//! A weights file is held against this list before anything is built from it, so that a file that does not belong to
//! its configuration is refused at once and by name. Names and shapes are those of diffusers' `UNet2DConditionModel`
//! and `AutoencoderKL` and of transformers' `CLIPTextModel`.

use std::collections::HashSet;

use candle_core::DType;
use serde::Serialize;

use super::{error::CheckpointError, weights::Weights};
use crate::model::config::{DownBlockType, TextEncoderConfig, UNetConfig, UpBlockType, VaeConfig};
use crate::text::printable;

/// The prefix of all names in the text encoder. Files written by transformers 5 leave it out.
pub const TEXT_PREFIX: &str = "text_model.";

/// A tensor that a network needs.
struct Expected {
    name: String,
    /// An older name of the same tensor.
    old_name: Option<String>,
    shape: Vec<usize>,
    /// May a linear layer's matrix be stored as a 1x1 convolution?
    or_convolution: bool,
}

/// The tensors that a network needs.
#[derive(Default)]
pub struct Layout(Vec<Expected>);

impl Layout {
    /// The text encoder.
    pub fn text_encoder(config: &TextEncoderConfig) -> Self {
        let mut layout = Self::default();
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let embedding = format!("{TEXT_PREFIX}embeddings");
        layout.add(
            &format!("{embedding}.token_embedding.weight"),
            &[config.vocab_size, width],
        );
        layout.add(
            &format!("{embedding}.position_embedding.weight"),
            &[config.max_position_embeddings, width],
        );
        for layer in 0..config.num_hidden_layers {
            let path = format!("{TEXT_PREFIX}encoder.layers.{layer}");
            for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                layout.linear(&format!("{path}.self_attn.{projection}"), width, width);
            }
            layout.norm(&format!("{path}.layer_norm1"), width);
            layout.linear(&format!("{path}.mlp.fc1"), inner, width);
            layout.linear(&format!("{path}.mlp.fc2"), width, inner);
            layout.norm(&format!("{path}.layer_norm2"), width);
        }
        layout.norm(&format!("{TEXT_PREFIX}final_layer_norm"), width);
        layout
    }

    /// The UNet.
    pub fn unet(config: &UNetConfig) -> Self {
        let mut layout = Self::default();
        let channels = &config.block_out_channels;
        let (first, last) = (channels[0], channels.len() - 1);
        let time = 4 * first;
        layout.convolution("conv_in", first, config.in_channels, 3);
        layout.linear("time_embedding.linear_1", time, first);
        layout.linear("time_embedding.linear_2", time, time);
        let mut input = first;
        for (level, (&output, kind)) in channels.iter().zip(&config.down_block_types).enumerate() {
            let path = format!("down_blocks.{level}");
            for layer in 0..config.layers_per_block {
                layout.resnet(
                    &format!("{path}.resnets.{layer}"),
                    input,
                    output,
                    Some(time),
                );
                if *kind == DownBlockType::CrossAttn {
                    layout.transformer(&format!("{path}.attentions.{layer}"), output, config);
                }
                input = output;
            }
            if level < last {
                layout.convolution(&format!("{path}.downsamplers.0.conv"), output, output, 3);
            }
        }
        layout.resnet("mid_block.resnets.0", input, input, Some(time));
        layout.transformer("mid_block.attentions.0", input, config);
        layout.resnet("mid_block.resnets.1", input, input, Some(time));
        for (level, kind) in config.up_block_types.iter().enumerate() {
            let path = format!("up_blocks.{level}");
            let output = channels[last - level];
            // What comes across from the way down: the level's own channels, and at last those of the next finer one.
            let finer = channels[(last - level).saturating_sub(1)];
            for layer in 0..=config.layers_per_block {
                let across = if layer == config.layers_per_block {
                    finer
                } else {
                    output
                };
                layout.resnet(
                    &format!("{path}.resnets.{layer}"),
                    input + across,
                    output,
                    Some(time),
                );
                if *kind == UpBlockType::CrossAttn {
                    layout.transformer(&format!("{path}.attentions.{layer}"), output, config);
                }
                input = output;
            }
            if level < last {
                layout.convolution(&format!("{path}.upsamplers.0.conv"), output, output, 3);
            }
        }
        layout.norm("conv_norm_out", first);
        layout.convolution("conv_out", config.out_channels, first, 3);
        layout
    }

    /// The autoencoder.
    pub fn vae(config: &VaeConfig) -> Self {
        let mut layout = Self::default();
        let channels = &config.block_out_channels;
        let (first, last) = (channels[0], channels.len() - 1);
        let (deepest, latent) = (channels[last], config.latent_channels);
        layout.convolution("encoder.conv_in", first, config.in_channels, 3);
        let mut input = first;
        for (level, &output) in channels.iter().enumerate() {
            let path = format!("encoder.down_blocks.{level}");
            for layer in 0..config.layers_per_block {
                layout.resnet(&format!("{path}.resnets.{layer}"), input, output, None);
                input = output;
            }
            if level < last {
                layout.convolution(&format!("{path}.downsamplers.0.conv"), output, output, 3);
            }
        }
        layout.vae_middle("encoder.mid_block", deepest);
        layout.norm("encoder.conv_norm_out", deepest);
        layout.convolution("encoder.conv_out", 2 * latent, deepest, 3);
        layout.convolution("decoder.conv_in", deepest, latent, 3);
        layout.vae_middle("decoder.mid_block", deepest);
        for level in 0..=last {
            let path = format!("decoder.up_blocks.{level}");
            let output = channels[last - level];
            for layer in 0..=config.layers_per_block {
                layout.resnet(&format!("{path}.resnets.{layer}"), input, output, None);
                input = output;
            }
            if level < last {
                layout.convolution(&format!("{path}.upsamplers.0.conv"), output, output, 3);
            }
        }
        layout.norm("decoder.conv_norm_out", first);
        layout.convolution("decoder.conv_out", config.out_channels, first, 3);
        if config.use_quant_conv {
            layout.convolution("quant_conv", 2 * latent, 2 * latent, 1);
        }
        if config.use_post_quant_conv {
            layout.convolution("post_quant_conv", latent, latent, 1);
        }
        layout
    }

    /// The names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|expected| &expected.name[..])
    }

    /// How many bytes the tensors take with numbers of `size` bytes.
    pub fn bytes(&self, size: usize) -> usize {
        self.0
            .iter()
            .map(|expected| expected.shape.iter().product::<usize>() * size)
            .sum()
    }

    /// Holds a weights file against the layout: everything that does not fit, in the layout's order.
    pub fn problems(&self, weights: &Weights) -> Vec<TensorProblem> {
        self.0
            .iter()
            .filter_map(|expected| expected.problem(weights))
            .collect()
    }

    /// Tensors of the file that are not in the layout, in alphabetical order. They are allowed: some files carry
    /// position ids or moving averages.
    pub fn unexpected(&self, weights: &Weights) -> Vec<String> {
        let known: HashSet<&str> = self
            .0
            .iter()
            .flat_map(|expected| std::iter::once(&expected.name).chain(&expected.old_name))
            .map(String::as_str)
            .collect();
        weights
            .parameters()
            .into_iter()
            .map(|parameter| parameter.name)
            .filter(|name| !known.contains(&name[..]))
            .collect()
    }

    fn add(&mut self, name: &str, shape: &[usize]) {
        self.0.push(Expected {
            name: name.to_owned(),
            old_name: None,
            shape: shape.to_vec(),
            or_convolution: false,
        });
    }

    fn linear(&mut self, path: &str, output: usize, input: usize) {
        self.add(&format!("{path}.weight"), &[output, input]);
        self.add(&format!("{path}.bias"), &[output]);
    }

    fn convolution(&mut self, path: &str, output: usize, input: usize, kernel: usize) {
        self.add(&format!("{path}.weight"), &[output, input, kernel, kernel]);
        self.add(&format!("{path}.bias"), &[output]);
    }

    fn norm(&mut self, path: &str, channels: usize) {
        self.add(&format!("{path}.weight"), &[channels]);
        self.add(&format!("{path}.bias"), &[channels]);
    }

    /// `time`: the width of the time embedding, where the layer takes one.
    fn resnet(&mut self, path: &str, input: usize, output: usize, time: Option<usize>) {
        self.norm(&format!("{path}.norm1"), input);
        self.convolution(&format!("{path}.conv1"), output, input, 3);
        if let Some(time) = time {
            self.linear(&format!("{path}.time_emb_proj"), output, time);
        }
        self.norm(&format!("{path}.norm2"), output);
        self.convolution(&format!("{path}.conv2"), output, output, 3);
        if input != output {
            self.convolution(&format!("{path}.conv_shortcut"), output, input, 1);
        }
    }

    fn transformer(&mut self, path: &str, channels: usize, config: &UNetConfig) {
        self.norm(&format!("{path}.norm"), channels);
        for projection in ["proj_in", "proj_out"] {
            let path = format!("{path}.{projection}");
            if config.use_linear_projection {
                self.linear(&path, channels, channels);
            } else {
                self.convolution(&path, channels, channels, 1);
            }
        }
        for block in 0..config.transformer_layers_per_block {
            let path = format!("{path}.transformer_blocks.{block}");
            for norm in ["norm1", "norm2", "norm3"] {
                self.norm(&format!("{path}.{norm}"), channels);
            }
            for (attention, source) in [("attn1", channels), ("attn2", config.cross_attention_dim)]
            {
                let path = format!("{path}.{attention}");
                self.add(&format!("{path}.to_q.weight"), &[channels, channels]);
                self.add(&format!("{path}.to_k.weight"), &[channels, source]);
                self.add(&format!("{path}.to_v.weight"), &[channels, source]);
                self.linear(&format!("{path}.to_out.0"), channels, channels);
            }
            // The first half is the value and the second the gate (GEGLU).
            self.linear(&format!("{path}.ff.net.0.proj"), 8 * channels, channels);
            self.linear(&format!("{path}.ff.net.2"), channels, 4 * channels);
        }
    }

    fn vae_middle(&mut self, path: &str, channels: usize) {
        self.resnet(&format!("{path}.resnets.0"), channels, channels, None);
        let attention = format!("{path}.attentions.0");
        self.norm(&format!("{attention}.group_norm"), channels);
        for (name, old) in [
            ("to_q", "query"),
            ("to_k", "key"),
            ("to_v", "value"),
            ("to_out.0", "proj_attn"),
        ] {
            for (part, shape) in [("weight", vec![channels; 2]), ("bias", vec![channels])] {
                self.0.push(Expected {
                    name: format!("{attention}.{name}.{part}"),
                    old_name: Some(format!("{attention}.{old}.{part}")),
                    shape,
                    or_convolution: part == "weight",
                });
            }
        }
        self.resnet(&format!("{path}.resnets.1"), channels, channels, None);
    }
}

impl Expected {
    /// What is wrong with the tensor in the file, if anything is.
    fn problem(&self, weights: &Weights) -> Option<TensorProblem> {
        let names = std::iter::once(&self.name).chain(&self.old_name);
        let mut found = names.filter_map(|name| Some((name, weights.shape(name)?)));
        let Some((name, shape)) = found.next() else {
            return Some(TensorProblem::Missing {
                name: weights.own_name(&self.name).to_owned(),
                expected: self.shape.clone(),
            });
        };
        let convolution =
            self.or_convolution && shape.strip_prefix(&self.shape[..]) == Some(&[1, 1]);
        if shape != self.shape && !convolution {
            return Some(TensorProblem::Shape {
                name: weights.own_name(name).to_owned(),
                found: shape.to_vec(),
                expected: self.shape.clone(),
            });
        }
        let found = match weights.dtype(name)? {
            Ok(DType::F32 | DType::F16 | DType::BF16) => return None,
            Ok(other) => other.as_str().to_owned(),
            Err(other) => other,
        };
        Some(TensorProblem::Type {
            name: weights.own_name(name).to_owned(),
            found,
        })
    }
}

/// Why a tensor in a weights file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "problem")]
pub enum TensorProblem {
    /// It is not there.
    Missing {
        /// Its name, as the file would spell it.
        name: String,
        /// The shape that it should have.
        expected: Vec<usize>,
    },
    /// It has another shape.
    Shape {
        /// Its name in the file.
        name: String,
        /// The shape that it has.
        found: Vec<usize>,
        /// The shape that it should have.
        expected: Vec<usize>,
    },
    /// Its numbers are of a type that networks are not computed in.
    Type {
        /// Its name in the file.
        name: String,
        /// The type.
        found: String,
    },
}

impl TensorProblem {
    /// The problem in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Missing { name, expected } => {
                format!(
                    "tensor {} of shape {expected:?} is missing",
                    printable(name)
                )
            }
            Self::Shape {
                name,
                found,
                expected,
            } => format!(
                "tensor {} has shape {found:?}, expected {expected:?}",
                printable(name)
            ),
            Self::Type { name, found } => format!(
                "tensor {} holds {found}, expected F32, F16 or BF16",
                printable(name)
            ),
        }
    }
}

/// The error that a file's tensors do not fit: the first problem in words, and how many others there are.
pub fn refuse(weights: &Weights, problems: &[TensorProblem]) -> Result<(), CheckpointError> {
    let [first, others @ ..] = problems else {
        return Ok(());
    };
    Err(CheckpointError::Tensors {
        file: weights.file().to_owned(),
        first: match first {
            TensorProblem::Missing { name, .. } => {
                format!("tensor {} is missing", printable(name))
            }
            TensorProblem::Shape { .. } => {
                format!("{} {}", first.describe(), weights.described_by().origin())
            }
            TensorProblem::Type { .. } => first.describe(),
        },
        others: match others.len() {
            0 => String::new(),
            1 => " (and 1 other tensor does not fit)".to_owned(),
            count => format!(" (and {count} other tensors do not fit)"),
        },
        doubt: weights.described_by().doubt(),
    })
}

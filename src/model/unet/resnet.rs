//! A residual block that also hears the time.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::checkpoint::UNetConfig;
use crate::model::Error;
use crate::model::hook::{Hook, visit};
use crate::model::ops::{Conv2d, GroupNorm, Linear, silu};

/// diffusers' `ResnetBlock2D`: `shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))) + time)))` (He et al. 2015).
#[derive(Debug)]
pub struct ResnetBlock {
    path: String,
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
    output_scale_factor: f64,
}

impl ResnetBlock {
    /// A block from `inputs` to `outputs` channels; the shortcut is a 1x1 convolution where they differ.
    pub fn new(
        config: &UNetConfig,
        inputs: usize,
        outputs: usize,
        output_scale_factor: f64,
        path: String,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let time = config.block_out_channels[0] * 4;
        let norm = |channels: usize, name: &str| {
            GroupNorm::new(
                config.norm_num_groups,
                channels,
                config.norm_eps,
                &weights.pp(name),
            )
        };
        let conv_shortcut = if inputs == outputs {
            None
        } else {
            let weights = weights.pp("conv_shortcut");
            Some(Conv2d::new(inputs, outputs, 1, 1, 0, &weights)?)
        };
        Ok(Self {
            path,
            norm1: norm(inputs, "norm1")?,
            conv1: Conv2d::new(inputs, outputs, 3, 1, 1, &weights.pp("conv1"))?,
            time_emb_proj: Linear::new(time, outputs, &weights.pp("time_emb_proj"))?,
            norm2: norm(outputs, "norm2")?,
            conv2: Conv2d::new(outputs, outputs, 3, 1, 1, &weights.pp("conv2"))?,
            conv_shortcut,
            output_scale_factor,
        })
    }

    /// `x` `(batch, inputs, height, width)`, `time` `(1, time channels)`; returns `(batch, outputs, height, width)`.
    pub fn forward(&self, x: &Tensor, time: &Tensor, hook: &mut dyn Hook) -> Result<Tensor, Error> {
        let hidden = self.conv1.forward(&self.norm1.forward_silu(x)?)?;
        let time = self.time_emb_proj.forward(&silu(time)?)?;
        let hidden = hidden.broadcast_add(&time.unsqueeze(2)?.unsqueeze(3)?)?;
        let hidden = self.conv2.forward(&self.norm2.forward_silu(&hidden)?)?;
        let shortcut = match &self.conv_shortcut {
            Some(conv) => conv.forward(x)?,
            None => x.clone(),
        };
        let mut x = (shortcut + hidden)?;
        if (self.output_scale_factor - 1.0).abs() > f64::EPSILON {
            x = (x / self.output_scale_factor)?;
        }
        visit(hook, &self.path, x)
    }
}

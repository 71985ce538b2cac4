//! A residual block, which in the UNet also hears the time.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::Error;
use super::hook::{Hook, visit};
use super::ops::{Conv2d, GroupNorm, Linear};

/// diffusers' `ResnetBlock2D`: `shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))) + time_emb_proj(silu(time)))))` (He et al. 2015).
#[derive(Debug)]
pub struct ResnetBlock {
    path: String,
    norm1: GroupNorm,
    conv1: Conv2d,
    time_emb_proj: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
    output_scale_factor: f64,
}

/// What residual blocks of one network have in common.
#[derive(Debug, Clone, Copy)]
pub struct ResnetConfig {
    /// Number of groups of its norms.
    pub groups: usize,
    /// What its norms add to the variance.
    pub eps: f64,
    /// Channels of the time embedding; `None` where there is none.
    pub time: Option<usize>,
    /// What the result is divided by.
    pub output_scale_factor: f64,
}

impl ResnetBlock {
    /// A block from `inputs` to `outputs` channels; the shortcut is a 1x1 convolution where they differ.
    pub fn new(
        config: ResnetConfig,
        inputs: usize,
        outputs: usize,
        path: String,
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let norm = |channels: usize, name: &str| {
            GroupNorm::new(config.groups, channels, config.eps, &weights.pp(name))
        };
        let time_emb_proj = config
            .time
            .map(|time| Linear::new(time, outputs, &weights.pp("time_emb_proj")))
            .transpose()?;
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
            time_emb_proj,
            norm2: norm(outputs, "norm2")?,
            conv2: Conv2d::new(outputs, outputs, 3, 1, 1, &weights.pp("conv2"))?,
            conv_shortcut,
            output_scale_factor: config.output_scale_factor,
        })
    }

    /// `x` `(batch, inputs, height, width)`, `time` `(1, time channels)`, to which SiLU was applied, as all blocks need it;
    /// returns `(batch, outputs, height, width)`.
    pub fn forward(
        &self,
        x: &Tensor,
        time: Option<&Tensor>,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        let hidden = self.norm1.forward_silu(x)?;
        let hidden = match (&self.time_emb_proj, time) {
            (Some(projection), Some(time)) => {
                let shift = projection.forward(time)?;
                self.conv1.forward_shifted(&hidden, &shift)?
            }
            _ => self.conv1.forward(&hidden)?,
        };
        let hidden = self.norm2.forward_silu(&hidden)?;
        let shortcut = match &self.conv_shortcut {
            Some(conv) => conv.forward(x)?,
            None => x.clone(),
        };
        let mut x = self.conv2.add_to(&shortcut, &hidden)?;
        if (self.output_scale_factor - 1.0).abs() > f64::EPSILON {
            x = (x / self.output_scale_factor)?;
        }
        visit(hook, &self.path, x)
    }
}

//! The residual block of the UNet, where the time is added in its middle, and of the autoencoder, which knows no time.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::Error;
use super::hook::{Hook, show, visit};
use super::layers::{Conv2d, GroupNorm, Linear};
use super::modules::ModuleKind;

/// diffusers' `ResnetBlock2D`: `shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))) + time_emb_proj(silu(time)))))`
/// (He et al. 2015).
#[derive(Debug)]
pub struct ResnetBlock {
    path: String,
    norm1: GroupNorm,
    conv1: Conv2d,
    takes_time: bool,
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
        weights: &VarBuilder,
    ) -> Result<Self, Error> {
        let norm = |channels: usize, name: &str| {
            GroupNorm::new(config.groups, channels, config.eps, &weights.pp(name))
        };
        let time_emb_proj = |time: usize| Linear::new(time, outputs, &weights.pp("time_emb_proj"));
        let conv_shortcut = || Conv2d::new(inputs, outputs, 1, 1, 0, &weights.pp("conv_shortcut"));
        Ok(Self {
            path: weights.prefix(),
            norm1: norm(inputs, "norm1")?,
            conv1: Conv2d::new(inputs, outputs, 3, 1, 1, &weights.pp("conv1"))?,
            takes_time: config.time.is_some(),
            time_emb_proj: config.time.map(time_emb_proj).transpose()?,
            norm2: norm(outputs, "norm2")?,
            conv2: Conv2d::new(outputs, outputs, 3, 1, 1, &weights.pp("conv2"))?,
            conv_shortcut: (inputs != outputs).then(conv_shortcut).transpose()?,
            output_scale_factor: config.output_scale_factor,
        })
    }

    /// What it is, as a module.
    pub fn kind(&self) -> ModuleKind {
        ModuleKind::Resnet {
            takes_time: self.takes_time,
            has_shortcut: self.conv_shortcut.is_some(),
        }
    }

    /// The module's path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its `time_emb_proj`, which gives it its `shift`, for whoever computes all blocks' at once.
    pub fn take_time_projection(&mut self) -> Option<Linear> {
        self.time_emb_proj.take()
    }

    /// `x` `(batch, inputs, height, width)` to `(batch, outputs, height, width)`; `shift` `(1, outputs)` is the projection
    /// of the time's embedding after SiLU.
    pub fn forward(
        &self,
        x: &Tensor,
        shift: Option<&Tensor>,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        let path = &self.path;
        show(hook, path, "input", || Ok(x.clone()))?;
        show(hook, path, "norm1", || self.norm1.forward(x))?;
        // One variable: what has been read is dropped at once. In the decoder it may be hundreds of megabytes.
        let mut hidden = self.norm1.forward_silu(x)?;
        show(hook, path, "norm1.silu", || Ok(hidden.clone()))?;
        show(hook, path, "conv1", || self.conv1.forward(&hidden))?;
        hidden = match shift {
            Some(shift) => {
                show(hook, path, "time_emb_proj", || Ok(shift.clone()))?;
                self.conv1.forward_shifted(&hidden, shift)?
            }
            None => self.conv1.forward(&hidden)?,
        };
        show(hook, path, "conv1.sum", || Ok(hidden.clone()))?;
        show(hook, path, "norm2", || self.norm2.forward(&hidden))?;
        hidden = self.norm2.forward_silu(&hidden)?;
        show(hook, path, "norm2.silu", || Ok(hidden.clone()))?;
        show(hook, path, "conv2", || self.conv2.forward(&hidden))?;
        let shortcut = match &self.conv_shortcut {
            Some(conv) => conv.forward(x)?,
            None => x.clone(),
        };
        let is_scaled = (self.output_scale_factor - 1.0).abs() > f64::EPSILON;
        let scaled = |x: &Tensor| {
            if is_scaled {
                x / self.output_scale_factor
            } else {
                Ok(x.clone())
            }
        };
        show(hook, path, "shortcut", || scaled(&shortcut))?;
        visit(hook, path, scaled(&self.conv2.add_to(&shortcut, &hidden)?)?)
    }
}

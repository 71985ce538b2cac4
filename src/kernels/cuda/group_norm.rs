//! Group normalisation (Wu & He 2018) on a GPU, with SiLU in the same pass.

use candle_core::{DType, Result, Tensor};

use super::launch::{Argument, Launch};
use super::operands::{expect, suffix};
use crate::kernels::geometry::{channels_first, channels_last};

/// The most groups that the kernel knows.
const MAX_GROUPS: usize = 128;

#[derive(Debug, Clone)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
}

impl GroupNorm {
    /// From `weight` and `bias`, one value a channel; `eps` is added to the variance.
    pub fn new(weight: Tensor, bias: Tensor, groups: usize, eps: f64) -> Self {
        Self {
            weight,
            bias,
            groups,
            eps,
        }
    }

    /// `(batch, channels, height, width)`, same shape out, followed by SiLU where `silu` says so.
    pub fn forward(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        let (batch, channels, height, width) = x.dims4()?;
        let (groups, pixels) = (self.groups, height * width);
        expect(Some(&self.weight), x, &[channels])?;
        expect(Some(&self.bias), x, &[channels])?;
        if groups == 0 || groups > MAX_GROUPS || !channels.is_multiple_of(groups) {
            candle_core::bail!("{channels} channels do not fall into {groups} groups");
        }
        let x = channels_last(x)?;
        // A block reads about 4096 values at a time.
        let chunks = (pixels * (channels / groups)).div_ceil(4096).min(32);
        let chunk = pixels.div_ceil(chunks.max(1)).max(1);
        let chunks = pixels.div_ceil(chunk);
        let name = suffix(x.dtype());
        let moments = Launch::grid([chunks, groups, batch], 256, format!("moments_{name}"))
            .with([Argument::Values(&x)])
            .ints([pixels, channels, groups, chunk])
            .run(&x, DType::F32, &[batch, groups, chunks, 2])?;
        let blocks = (pixels * channels).div_ceil(256 * 4).min(1024);
        let out = Launch::grid([blocks, batch, 1], 256, format!("group_norm_{name}"))
            .with([&x, &moments, &self.weight, &self.bias].map(Argument::Values))
            .ints([pixels, channels, groups, chunk, chunks])
            .ints([usize::from(silu)])
            .with([Argument::Float(self.eps as f32)])
            .run(&x, x.dtype(), x.dims())?;
        channels_first(&out)
    }
}

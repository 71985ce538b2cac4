//! Dynamic thresholding of x0.
//!
//! Of each sample, s is a quantile of its absolute values, at least 1 and at most a given number; x0 is clipped to plus or
//! minus s and divided by s (Saharia et al., "Photorealistic Text-to-Image Diffusion Models with Deep Language
//! Understanding", 2022, section 2.3).

use candle_core::{Result, Tensor};

use super::config::SchedulerConfig;
use super::prediction::divide;

/// How x0 is thresholded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholding {
    /// Which quantile, 0 to 1.
    ratio: f32,
    /// The largest s.
    most: f32,
}

impl Thresholding {
    pub fn of(config: &SchedulerConfig) -> Option<Self> {
        config.thresholding.then_some(Self {
            ratio: config.dynamic_thresholding_ratio as f32,
            most: config.sample_max_value as f32,
        })
    }

    /// `x0`, `(batch, channels, height, width)` in f32, thresholded sample by sample.
    pub fn apply(self, x0: &Tensor) -> Result<Tensor> {
        let samples = (0..x0.dim(0)?).map(|index| {
            let sample = x0.narrow(0, index, 1)?;
            let values = sample.abs()?.flatten_all()?.to_vec1::<f32>()?;
            // As torch.clamp: the upper bound wins.
            let s = quantile(values, self.ratio).max(1.0).min(self.most);
            divide(&sample.clamp(-s, s)?, s)
        });
        Tensor::cat(&samples.collect::<Result<Vec<_>>>()?, 0)
    }
}

/// The value below which a share `ratio` of `values` lies, linear in between (`torch.quantile`).
fn quantile(mut values: Vec<f32>, ratio: f32) -> f32 {
    values.sort_by(f32::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return 0.0;
    };
    let rank = ratio * last as f32;
    let below = rank.floor();
    let (low, high) = (
        values[below as usize],
        values[(rank.ceil() as usize).min(last)],
    );
    let weight = rank - below;
    if weight < 0.5 {
        low + weight * (high - low)
    } else {
        high - (high - low) * (1.0 - weight)
    }
}

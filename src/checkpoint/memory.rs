//! How much memory a run needs, worked out before it starts, and how much there is.

use candle_core::DType;
use sysinfo::{CGroupLimits, System};

use super::{Checkpoint, Layout};
use crate::kernels::Backend;
use crate::model::layers::stores_scores;

/// What a generation needs, in bytes. The mapped weights files are not in it: the system takes their memory back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// All networks' weights, as they are kept.
    pub weights: u64,
    /// What the UNet needs beside its weights for one step with guidance.
    pub denoising: u64,
    /// What the autoencoder needs beside its weights for the picture.
    pub decoding: u64,
}

impl MemoryEstimate {
    /// What is needed at the same time: the weights, and the larger of the two stages.
    pub fn total(&self) -> u64 {
        self.weights + self.denoising.max(self.decoding)
    }
}

/// Where attention scores are stored at all, they are worked off in portions of this many values.
const SCORES: u64 = 64 << 20;
/// How many copies of a portion are there at once: the scores and their softmax.
const COPIES_OF_SCORES: u64 = 2;
/// How many feature maps of the largest size are there at once, as measured: the skips, queries, keys and values, the
/// gated features, and what convolutions take apart.
const FEATURE_MAPS: u64 = 12;
/// The same in the decoder, with those that the allocator keeps for the next.
const DECODER_MAPS: u64 = 4;

impl Checkpoint {
    /// What a generation needs for pictures of `width` x `height` pixels where `backend` computes with numbers of
    /// `dtype`.
    ///
    /// - The weights are all parameters in `dtype`; the kernels of the CPU keep large matrices in 16 bits that the file
    ///   has in 16 bits.
    /// - Denoising is twelve feature maps of the finest level with what comes across beside it, for both halves of the
    ///   guidance; and stored scores of the finest level, `2 * heads * pixels^2` of which 64 Mi are there at once, twice
    ///   over.
    /// - Decoding is four feature maps of the picture's size with as many channels as the second finest level, which
    ///   is what the decoder's finest level is given: two and a half that are needed, and what the allocator keeps.
    pub fn memory_estimate(
        &self,
        dtype: DType,
        (width, height): (usize, usize),
        backend: Backend,
    ) -> MemoryEstimate {
        let size = dtype.size_in_bytes() as u64;
        let weights = [
            (
                Layout::text_encoder(&self.text_encoder),
                &self.text_encoder_weights,
            ),
            (Layout::unet(&self.unet), &self.unet_weights),
            (Layout::vae(&self.vae), &self.vae_weights),
        ]
        .iter()
        .map(|(layout, weights)| layout.bytes(weights, dtype, backend) as u64)
        .sum();
        let scale = self.vae.scale();
        let latent_pixels = (width / scale * (height / scale)) as u64;
        let finest = *self.unet.block_out_channels.first().unwrap_or(&0) as u64;
        let second = *self.unet.block_out_channels.get(1).unwrap_or(&0) as u64;
        let heads = *self.unet.attention_heads.first().unwrap_or(&1) as u64;
        let one_head = 2 * latent_pixels.saturating_mul(latent_pixels);
        let scores = if stores_scores(backend, dtype) {
            one_head.saturating_mul(heads).min(SCORES)
        } else {
            0
        };
        let maps = 2 * (finest + second) * latent_pixels;
        let vae_channels = &self.vae.block_out_channels;
        let widest = *vae_channels.get(1).or(vae_channels.first()).unwrap_or(&0) as u64;
        MemoryEstimate {
            weights,
            // Softmax is computed in f32 in any case.
            denoising: scores
                .saturating_mul(COPIES_OF_SCORES * 4)
                .saturating_add(maps * FEATURE_MAPS * size),
            decoding: DECODER_MAPS * widest * (width * height) as u64 * size,
        }
    }
}

/// How much memory this process may still take, in bytes: what the system can give, within the limits that it may have
/// been given itself. `None` where the system does not say.
pub fn available_memory() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let limit = system
        .cgroup_limits()
        .map_or(u64::MAX, |limits| room(&limits));
    match system.available_memory() {
        0 => None,
        available => Some(available.saturating_add(system.free_swap()).min(limit)),
    }
}

/// What a group of processes may still take. Its `free_memory` would count files that the system keeps a copy of as
/// taken, and the system gives that up when it is needed.
fn room(limits: &CGroupLimits) -> u64 {
    limits.total_memory.saturating_sub(limits.rss)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_copies_of_files_take_is_there_to_be_used() {
        let limits = CGroupLimits {
            total_memory: 8 << 30,
            free_memory: 1 << 30,
            free_swap: 0,
            rss: 2 << 30,
        };
        assert_eq!(room(&limits), 6 << 30);
    }
}

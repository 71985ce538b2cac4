//! Quick pictures of latents, without the autoencoder.

use image::{Rgb, RgbImage};

use crate::checkpoint::LatentRgb;

/// A cheap picture of latents of `[channels, height, width]`, one pixel a latent pixel: a linear map of each, after
/// division by `scale`. Values that are missing count as 0.
pub fn preview(map: &LatentRgb, shape: [usize; 3], latents: &[f32], scale: f32) -> RgbImage {
    let [_, height, width] = shape;
    let plane = height * width;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let pixel = y as usize * width + x as usize;
        let mut colour = map.bias;
        for (channel, weight) in map.weight.iter().enumerate() {
            let value = latents.get(channel * plane + pixel).copied().unwrap_or(0.0) / scale;
            for (sum, weight) in colour.iter_mut().zip(weight) {
                *sum += value * weight;
            }
        }
        Rgb(colour.map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8))
    })
}

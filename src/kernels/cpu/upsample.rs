//! Feature maps made larger: each pixel is the nearest one above and to the left.

use super::parallel;
use crate::kernels::geometry::Size;

/// Nearest neighbour: `(batch, height, width, channels)` to `(batch, height', width', channels)`.
pub fn upsample_nearest(values: &[f32], channels: usize, from: Size, to: Size) -> Vec<f32> {
    let ((height, width), (new_height, new_width)) = (from, to);
    let batch = values.len() / (height * width * channels).max(1);
    let line = new_width * channels;
    let mut out = vec![0.0; batch * new_height * line];
    parallel::chunks(&mut out, line, |index, out| {
        let (image, y) = (index / new_height, index % new_height);
        let start = (image * height + y * height / new_height) * width;
        for (x, pixel) in out.chunks_exact_mut(channels).enumerate() {
            let from = (start + x * width / new_width) * channels;
            pixel.copy_from_slice(&values[from..from + channels]);
        }
    });
    out
}

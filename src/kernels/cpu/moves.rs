//! Nothing but moves: channels of two pictures side by side, and pictures enlarged.

use super::convolution::Size;
use super::parallel;

/// Pixels of one task.
const TASK: usize = 256;

/// Pixels `(pixels, first)` and `(pixels, second)` to `(pixels, first + second)`.
pub fn concat_channels((a, first): (&[f32], usize), (b, second): (&[f32], usize)) -> Vec<f32> {
    let channels = first + second;
    let mut out = vec![0.0; a.len() + b.len()];
    parallel::chunks(&mut out, TASK * channels, |index, out| {
        let pixels = out.chunks_exact_mut(channels);
        let from_a = a[index * TASK * first..].chunks_exact(first);
        let from_b = b[index * TASK * second..].chunks_exact(second);
        for ((out, a), b) in pixels.zip(from_a).zip(from_b) {
            let (left, right) = out.split_at_mut(first);
            left.copy_from_slice(a);
            right.copy_from_slice(b);
        }
    });
    out
}

/// Nearest neighbour: `(batch, height, width, channels)` to `(batch, height', width', channels)`.
pub fn enlarge(values: &[f32], channels: usize, from: Size, to: Size) -> Vec<f32> {
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

//! The channels of two feature maps side by side.

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

//! Group normalisation (Wu & He 2018) on a GPU, with SiLU in the same pass.

use candle_core::{DType, Result, Tensor};

use super::launch::{Argument, Kernel, Launch, THREADS};
use super::operands::{at_once, expect};
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
        let wide = at_once(x.dtype(), channels, [&x, &self.weight, &self.bias]);
        let span = span(channels, groups, wide);
        let cut = match span {
            Some(span) => Cut::wide(pixels, channels, span, wide),
            None => Cut::plain(pixels, channels, groups),
        };
        let wide = if span.is_some() { wide } else { 1 };
        let grid = [cut.chunks, cut.columns, batch];
        let moments = Launch::grid(grid, THREADS, Kernel::of("moments", x.dtype(), wide))
            .with([Argument::Values(&x)])
            .ints([pixels, channels, groups, cut.chunk])
            .ints(span)
            .run(&x, DType::F32, &[batch, groups, cut.chunks, 2])?;
        let grid = match span {
            Some(_) => [cut.blocks, cut.columns, batch],
            None => [cut.blocks, batch, 1],
        };
        let out = Launch::grid(grid, THREADS, Kernel::of("group_norm", x.dtype(), wide))
            .with([&x, &moments, &self.weight, &self.bias].map(Argument::Values))
            .ints([pixels, channels, groups, cut.chunk, cut.chunks])
            .ints([usize::from(silu)])
            .ints(span)
            .with([Argument::Float(self.eps as f32)])
            .run(&x, x.dtype(), x.dims())?;
        channels_first(&out)
    }
}

/// How the work is cut into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    /// Pixels of a block that takes moments, and how many such blocks there are.
    chunk: usize,
    chunks: usize,
    /// Columns of blocks: groups, or spans of channels.
    columns: usize,
    /// Blocks that apply them, in a column.
    blocks: usize,
}

impl Cut {
    /// Value by value: a block reads about 4096 values of a group, and writes four times as many as it has threads.
    fn plain(pixels: usize, channels: usize, groups: usize) -> Self {
        let chunks = (pixels * (channels / groups)).div_ceil(4096).min(32);
        Self {
            columns: groups,
            blocks: (pixels * channels).div_ceil(THREADS * 4).min(1024),
            ..Self::chunked(pixels, chunks)
        }
    }

    /// 16 bytes at once: a thread has at least four pixels. Every block that applies the moments reads all chunks' of its
    /// channels, which therefore are not many.
    fn wide(pixels: usize, channels: usize, span: usize, wide: usize) -> Self {
        let at_once = THREADS / (span / wide);
        let pieces = pixels.div_ceil(at_once * 4);
        Self {
            columns: channels / span,
            blocks: pieces.clamp(1, 512),
            ..Self::chunked(pixels, pieces.min((pixels / 2048).clamp(64, 256)))
        }
    }

    /// `pixels` in at most `chunks` chunks of equal size, but for the last.
    fn chunked(pixels: usize, chunks: usize) -> Self {
        let chunk = pixels.div_ceil(chunks.max(1)).max(1);
        Self {
            chunk,
            chunks: pixels.div_ceil(chunk),
            columns: 1,
            blocks: 1,
        }
    }
}

/// How many channels a block of the wide kernels works on: whole groups, and whole units of `wide` channels, of which it
/// has at most as many as threads. As many as leave the fewest threads without work. `None` where there is no such number,
/// or a unit is one channel.
fn span(channels: usize, groups: usize, wide: usize) -> Option<usize> {
    if wide == 1 {
        return None;
    }
    let width = channels / groups;
    let spans = (1..=groups).filter(|within| groups.is_multiple_of(*within));
    let spans = spans.map(|within| within * width);
    let fits = |span: &usize| span.is_multiple_of(wide) && span / wide <= THREADS;
    let busy = |span: usize| THREADS / (span / wide) * (span / wide);
    spans.filter(fits).max_by_key(|&span| (busy(span), span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_work_on_whole_groups_and_leave_no_pixel_out() {
        // Those of Stable Diffusion's networks in f16: groups of 4 to 80 channels.
        for channels in [128, 256, 320, 512, 640, 960, 1280, 1920, 2560] {
            let span = span(channels, 32, 8).unwrap();
            assert!(channels.is_multiple_of(span) && span.is_multiple_of(channels / 32));
            let busy = THREADS / (span / 8) * (span / 8);
            assert!(busy >= 240, "{channels}: {span}");
            for pixels in [1, 64, 4095, 4096, 1 << 18, 1 << 22] {
                let cut = Cut::wide(pixels, channels, span, 8);
                assert!(cut.chunk * cut.chunks >= pixels);
                assert!(cut.chunk * (cut.chunks - 1) < pixels);
                assert!(cut.chunks <= 256 && cut.columns * span == channels);
            }
        }
        // No span of whole groups is a multiple of 8 channels, or has few enough of them.
        assert_eq!(span(24, 8, 1), None);
        assert_eq!(span(4096, 1, 8), None);
        assert_eq!(span(24, 8, 8), Some(24));
    }
}

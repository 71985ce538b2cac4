//! Layer normalisation (Ba et al. 2016) on a GPU.
//!
//! candle's takes the variance as the mean of the squares less the square of the mean, which may be below zero where a row
//! is nearly constant and far from zero: its root is NaN.

use candle_core::{Result, Tensor};

use super::launch::{Argument, Kernel, Launch, THREADS};
use super::operands::{at_once, expect, last};

/// Rows of a block: a warp each.
const ROWS: usize = THREADS / 32;

/// Every row `(.., features)` with mean 0 and variance 1, times `weight` plus `bias`; `eps` is added to the variance.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    let features = last(x);
    expect(Some(weight), x, &[features])?;
    expect(Some(bias), x, &[features])?;
    let x = x.contiguous()?;
    let rows = x.elem_count() / features.max(1);
    let wide = at_once(x.dtype(), features, [&x, weight, bias]);
    let kernel = Kernel::of("layer_norm", x.dtype(), wide);
    Launch::grid([rows.div_ceil(ROWS), 1, 1], THREADS, kernel)
        .with([&x, weight, bias].map(Argument::Values))
        .ints([rows, features])
        .with([Argument::Float(eps)])
        .run(&x, x.dtype(), x.dims())
}

//! Convolutions on a GPU.

use candle_core::{Result, Tensor};

use super::launch::{Argument, Kernel, Launch};
use super::linear::add;
use super::operands::units;
use crate::kernels::geometry::{Geometry, Size, channels_first, channels_last};

/// Neighbourhoods beyond this many values are worked off some rows of pixels at a time: 64 Mi, 128 MiB in f16.
const MAX_PATCHES: usize = 64 << 20;

/// A square two-dimensional convolution over feature maps that lie channels last.
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// `(out, size, size, in)`.
    weight: Tensor,
    /// `(out)`.
    bias: Tensor,
    geometry: Geometry,
}

impl Conv2d {
    /// From `weight` `(out, in, size, size)` and `bias` `(out)`.
    pub fn new(weight: &Tensor, bias: Tensor, geometry: Geometry) -> Result<Self> {
        Ok(Self {
            weight: channels_last(weight)?,
            bias,
            geometry,
        })
    }

    /// `(batch, in, height, width)` to `(batch, out, height', width')`; `shift` `(1 or batch, out)` is added at every
    /// pixel, `base` has the result's shape and is added, too.
    pub fn forward(
        &self,
        x: &Tensor,
        shift: Option<&Tensor>,
        base: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (_, inputs, height, width) = x.dims4()?;
        let (_, size, _, expected) = self.weight.dims4()?;
        if inputs != expected {
            candle_core::bail!("{inputs} channels instead of {expected}");
        }
        let Some(to) = self.geometry.output((height, width)) else {
            candle_core::bail!(
                "a picture of {width}x{height} is smaller than the {size}x{size} kernel"
            );
        };
        let x = channels_last(x)?;
        let product = if size == 1 && self.geometry.stride == 1 && self.geometry.padding == 0 {
            let (batch, ..) = x.dims4()?;
            self.product(&x.reshape((batch * height * width, inputs))?)?
        } else {
            self.neighbourhoods(&x, to)?
        };
        let shape = (x.dim(0)?, to.0, to.1, self.weight.dim(0)?);
        let base = base.map(channels_last).transpose()?;
        channels_first(&add(
            &product.reshape(shape)?,
            Some(&self.bias),
            shift,
            base.as_ref(),
        )?)
    }

    /// `x` `(batch, height, width, in)` to as many pixels as `to` says, without the bias.
    fn neighbourhoods(&self, x: &Tensor, to: Size) -> Result<Tensor> {
        #[cfg(feature = "cudnn")]
        if let Some(out) = super::cudnn::convolve(x, &self.weight, self.geometry, to)? {
            return Ok(out);
        }
        self.by_product(x, to, MAX_PATCHES)
    }

    /// The same by a matrix product, in which every pixel's neighbourhood is a row: at most `most` values at a time.
    pub(super) fn by_product(&self, x: &Tensor, to: Size, most: usize) -> Result<Tensor> {
        let (batch, height, width, inputs) = x.dims4()?;
        let size = self.geometry.size;
        let row = size * size * inputs;
        let pixels = batch * to.0 * to.1;
        let at_once = (most / row.max(1)).clamp(1, pixels.max(1));
        let (bytes, units) = units(x)?;
        let mut parts = Vec::new();
        for first in (0..pixels).step_by(at_once) {
            let rows = at_once.min(pixels - first);
            let count = rows * size * size * units;
            let patches = Launch::over(count, Kernel::of_units("patches", bytes))
                .with([Argument::Values(x)])
                .ints([count, first, units, height, width, to.0, to.1])
                .ints([size, self.geometry.stride, self.geometry.padding])
                .run(x, x.dtype(), &[rows, row])?;
            parts.push(self.product(&patches)?);
        }
        match parts.as_slice() {
            [one] => Ok(one.clone()),
            several => Tensor::cat(several, 0),
        }
    }

    /// Rows of `size * size * in` values to rows of `out`.
    fn product(&self, rows: &Tensor) -> Result<Tensor> {
        let weight = self.weight.flatten_from(1)?;
        rows.matmul(&weight.t()?)
    }
}

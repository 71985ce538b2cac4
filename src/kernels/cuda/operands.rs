//! What kernels are handed: they read blindly, so everything is checked before.

use candle_core::{DType, Result, Tensor};

/// The end of a kernel's name.
pub fn suffix(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        _ => "f32",
    }
}

/// Size of the last dimension.
pub fn last(x: &Tensor) -> usize {
    x.dims().last().copied().unwrap_or(0)
}

/// An error where there is a tensor, but of another shape, or of another type than `x`.
pub fn expect(tensor: Option<&Tensor>, x: &Tensor, shape: &[usize]) -> Result<()> {
    match tensor {
        Some(tensor) if tensor.dims() != shape || tensor.dtype() != x.dtype() => {
            candle_core::bail!(
                "{:?} of {:?} instead of {shape:?} of {:?}",
                tensor.dims(),
                tensor.dtype(),
                x.dtype()
            )
        }
        _ => Ok(()),
    }
}

/// How many values are moved at once, 16 bytes or one: the former where `features`, a row's, are a multiple of that, and
/// all of `tensors`, which are contiguous, begin at one.
pub fn at_once<'a>(
    dtype: DType,
    features: usize,
    tensors: impl IntoIterator<Item = &'a Tensor>,
) -> usize {
    let wide = 16 / dtype.size_in_bytes();
    let begins = |tensor: &Tensor| tensor.layout().start_offset().is_multiple_of(wide);
    if features.is_multiple_of(wide) && tensors.into_iter().all(begins) {
        wide
    } else {
        1
    }
}

/// `(batch, positions, features)` whose positions lie apart, as where one linear layer gives queries, keys and values.
pub struct Rows {
    pub tensor: Tensor,
    /// How many values after a position the next one begins.
    pub step: usize,
}

impl Rows {
    /// `tensor` as it lies, where 16 bytes can be read from each of its positions on and they follow each other evenly;
    /// else a copy that does.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let (batch, positions, features) = tensor.dims3()?;
        let layout = tensor.layout();
        let size = tensor.dtype().size_in_bytes();
        let &[item, step, 1] = layout.stride() else {
            return Self::copied(tensor);
        };
        let is_even = batch == 1 || item == positions * step;
        let is_whole = |values: usize| (values * size).is_multiple_of(16);
        // What is contiguous and no multiple of 16 bytes wide is read in smaller pieces.
        let is_aligned = is_whole(layout.start_offset()) && (is_whole(step) || step == features);
        if is_even && is_aligned && step >= features {
            Ok(Self {
                tensor: tensor.clone(),
                step,
            })
        } else {
            Self::copied(tensor)
        }
    }

    /// `Tensor::copy` would keep the layout, and with it where the values begin.
    fn copied(tensor: &Tensor) -> Result<Self> {
        Ok(Self {
            tensor: tensor.force_contiguous()?,
            step: last(tensor),
        })
    }
}

/// How many bytes of the last dimension of a contiguous tensor can be moved at once, and of how many such units it is
/// made.
pub fn units(x: &Tensor) -> Result<(usize, usize)> {
    let size = x.dtype().size_in_bytes();
    let bytes = last(x) * size;
    let start = x.layout().start_offset() * size;
    let unit = if bytes.is_multiple_of(16) && start.is_multiple_of(16) {
        16
    } else {
        size
    };
    if ![2, 4, 16].contains(&unit) {
        candle_core::bail!("kernels do not move {:?}", x.dtype());
    }
    Ok((unit, bytes / unit))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn rows_that_cannot_be_read_16_bytes_at_a_time_are_copied() -> Result<()> {
        let x = Tensor::arange(0_f32, 2.0 * 3.0 * 48.0, &Device::Cpu)?.reshape((2, 3, 48))?;
        // The middle third lies as it should.
        let third = Rows::of(&x.narrow(2, 16, 16)?)?;
        let start = third.tensor.layout().start_offset();
        assert_eq!((third.step, start), (48, 16));
        // One that begins three values in, one whose items do not follow each other, one whose features lie apart.
        let odd = [x.narrow(2, 3, 16)?, x.transpose(0, 1)?, x.transpose(1, 2)?];
        for odd in odd {
            let rows = Rows::of(&odd)?;
            assert_eq!(rows.step, last(&odd));
            assert_eq!(rows.tensor.layout().start_offset(), 0);
            let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
            assert_eq!(values(&rows.tensor)?, values(&odd)?);
        }
        Ok(())
    }
}

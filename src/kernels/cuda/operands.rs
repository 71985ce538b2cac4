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

/// `tensor` contiguous, and beginning where 16 bytes can be read at once.
pub fn aligned(tensor: &Tensor) -> Result<Tensor> {
    let tensor = tensor.contiguous()?;
    let start = tensor.layout().start_offset() * tensor.dtype().size_in_bytes();
    if start.is_multiple_of(16) {
        Ok(tensor)
    } else {
        tensor.copy()
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

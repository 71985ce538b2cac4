//! The way from a device to the host.

use candle_core::{Result, Tensor, WithDType};

/// The values of each of `tensors`, row-major, as `T`.
///
/// What lies on a GPU comes in one transfer: a transfer waits until the device has done everything that it was asked for
/// before, and until it has begun the device is asked for nothing new. So collect what there is to read, and read it once.
pub fn to_host<T: WithDType>(tensors: &[Tensor]) -> Result<Vec<Vec<T>>> {
    let flat = |tensor: &Tensor| tensor.to_dtype(T::DTYPE)?.flatten_all();
    if tensors.iter().all(|tensor| tensor.device().is_cpu()) {
        let read = |tensor| flat(tensor)?.to_vec1();
        return tensors.iter().map(read).collect();
    }
    let parts = tensors.iter().map(flat).collect::<Result<Vec<_>>>()?;
    split(&Tensor::cat(&parts, 0)?, tensors)
}

/// The values of `joined`, cut into pieces as large as `tensors`.
fn split<T: WithDType>(joined: &Tensor, tensors: &[Tensor]) -> Result<Vec<Vec<T>>> {
    let values = joined.to_vec1::<T>()?;
    let mut rest = values.as_slice();
    let mut cut = |tensor: &Tensor| {
        let (first, later) = rest.split_at(tensor.elem_count());
        rest = later;
        first.to_vec()
    };
    Ok(tensors.iter().map(&mut cut).collect())
}

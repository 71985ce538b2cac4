//! From the memory of a device to that of the host.

use candle_core::{Result, Tensor, WithDType};

/// The values of each of `tensors`, row-major, as `T`.
///
/// Tensors on a GPU come in one transfer, because each transfer waits for all work that was queued before it.
pub fn to_host<T: WithDType>(tensors: &[Tensor]) -> Result<Vec<Vec<T>>> {
    if tensors.iter().all(|tensor| tensor.device().is_cpu()) {
        let read = |tensor| flat::<T>(tensor)?.to_vec1();
        return tensors.iter().map(read).collect();
    }
    Ok(split(
        &joined::<T>(tensors)?.to_vec1::<T>()?,
        &sizes(tensors),
    ))
}

fn flat<T: WithDType>(tensor: &Tensor) -> Result<Tensor> {
    tensor.to_dtype(T::DTYPE)?.flatten_all()
}

fn joined<T: WithDType>(tensors: &[Tensor]) -> Result<Tensor> {
    let parts = tensors.iter().map(flat::<T>).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&parts, 0)
}

fn sizes(tensors: &[Tensor]) -> Vec<usize> {
    tensors.iter().map(Tensor::elem_count).collect()
}

/// `values` cut into pieces of these sizes.
fn split<T: Clone>(values: &[T], sizes: &[usize]) -> Vec<Vec<T>> {
    let mut rest = values;
    let mut cut = |&size: &usize| {
        let (first, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        first.to_vec()
    };
    sizes.iter().map(&mut cut).collect()
}

/// Tensors that are being copied to the host as f32. The device may be given more work meanwhile.
#[derive(Debug)]
pub enum Transfer {
    /// They are on the CPU, and read at the end.
    Later(Vec<Tensor>),
    #[cfg(feature = "cuda")]
    Copied(pinned::Copy),
}

impl Transfer {
    #[cfg_attr(
        not(feature = "cuda"),
        allow(unused_variables, clippy::unnecessary_wraps)
    )]
    pub fn begin(tensors: Vec<Tensor>, buffers: &Buffers) -> Result<Self> {
        #[cfg(feature = "cuda")]
        if tensors
            .first()
            .is_some_and(|tensor| tensor.device().is_cuda())
        {
            let copy = pinned::Copy::begin(&joined::<f32>(&tensors)?, sizes(&tensors), buffers)?;
            return Ok(Self::Copied(copy));
        }
        Ok(Self::Later(tensors))
    }

    /// Waits for them: the values of each, row-major.
    pub fn finish(self) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Later(tensors) => to_host(&tensors),
            #[cfg(feature = "cuda")]
            Self::Copied(copy) => copy.finish(),
        }
    }
}

/// Page-locked memory of the host, which a GPU can write to by itself; kept from step to step. A clone shares it.
#[derive(Debug, Clone, Default)]
pub struct Buffers {
    #[cfg(feature = "cuda")]
    free: pinned::Free,
}

#[cfg(feature = "cuda")]
mod pinned {
    use std::sync::{Arc, Mutex, PoisonError};

    use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
    use candle_core::cuda_backend::cudarc::driver::{CudaEvent, PinnedHostSlice};
    use candle_core::cuda_backend::{CudaStorageSlice, WrapErr as _};
    use candle_core::{Device, Result, Storage, Tensor};

    use super::{Buffers, split};

    pub type Free = Arc<Mutex<Vec<PinnedHostSlice<f32>>>>;

    /// A copy that the device was asked for.
    #[derive(Debug)]
    pub struct Copy {
        sizes: Vec<usize>,
        to: PinnedHostSlice<f32>,
        done: CudaEvent,
        free: Free,
    }

    impl Copy {
        #[allow(unsafe_code)] // cudarc leaves to the caller what is read when.
        pub fn begin(values: &Tensor, sizes: Vec<usize>, buffers: &Buffers) -> Result<Self> {
            let Device::Cuda(device) = values.device() else {
                candle_core::bail!("a tensor of another device");
            };
            let (storage, layout) = values.storage_and_layout();
            let (Storage::Cuda(storage), Some((start, end))) =
                (&*storage, layout.contiguous_offsets())
            else {
                candle_core::bail!("a tensor of another device, or not contiguous");
            };
            let CudaStorageSlice::F32(slice) = &storage.slice else {
                candle_core::bail!("a tensor that is not f32");
            };
            let stream = device.cuda_stream();
            let mut free = buffers.free.lock().unwrap_or_else(PoisonError::into_inner);
            let known = free.iter().position(|buffer| buffer.len() == end - start);
            let mut to = match known {
                Some(index) => free.swap_remove(index),
                // SAFETY: nothing is read before the copy, which fills all of it, is done. Without flags, for the
                // processor is to read it.
                None => unsafe { stream.context().alloc_pinned_with_flags(end - start, 0) }.w()?,
            };
            drop(free);
            // The tensor may go before the copy is done: its memory is given back on the same stream, after it.
            stream.memcpy_dtoh(&slice.slice(start..end), &mut to).w()?;
            // The buffer's own event is not recorded, for the device does without them.
            let done = stream.record_event(Some(CU_EVENT_DISABLE_TIMING)).w()?;
            Ok(Self {
                sizes,
                to,
                done,
                free: buffers.free.clone(),
            })
        }

        pub fn finish(self) -> Result<Vec<Vec<f32>>> {
            self.done.synchronize().w()?;
            let values = split(self.to.as_slice().w()?, &self.sizes);
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.push(self.to);
            Ok(values)
        }
    }
}

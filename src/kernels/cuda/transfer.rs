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

/// Memory that a device writes to, and what says when it is done. Whoever lets it go before that waits, for the memory may
/// be used for something else afterwards; it goes to `free` in any case.
#[cfg(any(test, feature = "cuda"))]
#[derive(Debug)]
struct InFlight<B, D: Done> {
    buffer: Option<B>,
    done: D,
    free: Free<B>,
}

/// Buffers that nobody writes to.
#[cfg(any(test, feature = "cuda"))]
type Free<B> = std::sync::Arc<std::sync::Mutex<Vec<B>>>;

/// Says when a device is done.
#[cfg(any(test, feature = "cuda"))]
trait Done {
    /// Waits for it.
    fn wait(&self) -> Result<()>;
}

#[cfg(any(test, feature = "cuda"))]
impl<B, D: Done> InFlight<B, D> {
    /// What `read` makes of the buffer once the device is done.
    fn finish<R>(mut self, read: impl FnOnce(&B) -> Result<R>) -> Result<R> {
        self.done.wait()?;
        let Some(buffer) = self.buffer.take() else {
            candle_core::bail!("a transfer without memory");
        };
        let read = read(&buffer);
        self.give_back(buffer);
        read
    }

    fn give_back(&self, buffer: B) {
        let free = self.free.lock();
        free.unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(buffer);
    }
}

#[cfg(any(test, feature = "cuda"))]
impl<B, D: Done> Drop for InFlight<B, D> {
    fn drop(&mut self) {
        let Some(buffer) = self.buffer.take() else {
            return;
        };
        match self.done.wait() {
            Ok(()) => self.give_back(buffer),
            // Nobody knows whether the device still writes to it: better lost than given to somebody else.
            Err(_) => std::mem::forget(buffer),
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
    use std::sync::PoisonError;

    use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
    use candle_core::cuda_backend::cudarc::driver::{CudaEvent, PinnedHostSlice};
    use candle_core::cuda_backend::{CudaStorageSlice, WrapErr as _};
    use candle_core::{Device, Result, Storage, Tensor};

    use super::{Buffers, Done, InFlight, split};

    pub type Free = super::Free<PinnedHostSlice<f32>>;

    impl Done for CudaEvent {
        fn wait(&self) -> Result<()> {
            self.synchronize().w()
        }
    }

    /// A copy that the device was asked for.
    #[derive(Debug)]
    pub struct Copy {
        sizes: Vec<usize>,
        to: InFlight<PinnedHostSlice<f32>, CudaEvent>,
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
            let mut buffer = match known {
                Some(index) => free.swap_remove(index),
                // SAFETY: nothing is read before the copy, which fills all of it, is done. Without flags, for the
                // processor is to read it.
                None => unsafe { stream.context().alloc_pinned_with_flags(end - start, 0) }.w()?,
            };
            drop(free);
            // The buffer's own event is not recorded, for the device does without them. This one is done at once as long
            // as it is not recorded either.
            let done = stream
                .context()
                .new_event(Some(CU_EVENT_DISABLE_TIMING))
                .w()?;
            // The tensor may go before the copy is done: its memory is given back on the same stream, after it.
            stream
                .memcpy_dtoh(&slice.slice(start..end), &mut buffer)
                .w()?;
            let recorded = done.record(&stream).w();
            if recorded.is_err() {
                // Without its event the copy is over when everything is.
                let _ = stream.synchronize();
            }
            let to = InFlight {
                buffer: Some(buffer),
                done,
                free: buffers.free.clone(),
            };
            recorded.map(|()| Self { sizes, to })
        }

        pub fn finish(self) -> Result<Vec<Vec<f32>>> {
            let Self { sizes, to } = self;
            to.finish(|buffer| Ok(split(buffer.as_slice().w()?, &sizes)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::PoisonError;

    use super::*;

    /// A device that counts who waits for it.
    struct Device {
        waits: Rc<Cell<usize>>,
        is_ruined: bool,
    }

    impl Done for Device {
        fn wait(&self) -> Result<()> {
            self.waits.set(self.waits.get() + 1);
            if self.is_ruined {
                candle_core::bail!("an illegal address");
            }
            Ok(())
        }
    }

    /// A buffer that notes when its memory is given back.
    struct Buffer(Rc<Cell<bool>>);

    impl Drop for Buffer {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    /// A transfer under way, how often it was waited for, and whether its buffer is gone.
    type Begun = (InFlight<Buffer, Device>, Rc<Cell<usize>>, Rc<Cell<bool>>);

    fn begun(is_ruined: bool) -> Begun {
        let (waits, gone) = (Rc::default(), Rc::default());
        let transfer = InFlight {
            buffer: Some(Buffer(Rc::clone(&gone))),
            done: Device {
                waits: Rc::clone(&waits),
                is_ruined,
            },
            free: Free::default(),
        };
        (transfer, waits, gone)
    }

    #[test]
    fn a_buffer_that_nobody_reads_is_kept_until_the_device_is_done_with_it() {
        let (transfer, waits, gone) = begun(false);
        let free = transfer.free.clone();
        drop(transfer);
        assert_eq!((waits.get(), gone.get()), (1, false));
        let free = free.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(free.len(), 1, "it can be used again");
    }

    #[test]
    fn one_that_is_read_is_waited_for_once_and_used_again() {
        let (transfer, waits, gone) = begun(false);
        let free = transfer.free.clone();
        assert_eq!(transfer.finish(|_| Ok(5)).unwrap(), 5);
        assert_eq!((waits.get(), gone.get()), (1, false));
        assert_eq!(free.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
    }

    #[test]
    fn one_that_a_ruined_device_may_write_to_is_never_given_back() {
        let (transfer, _, gone) = begun(true);
        assert!(transfer.finish(|_| Ok(5)).is_err());
        assert!(!gone.get());
    }
}

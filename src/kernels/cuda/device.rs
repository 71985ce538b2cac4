//! The GPU: opened once in a process, and never closed.
//!
//! It is not closed because after an error that ruins the GPU's context (an illegal address) cuBLAS's and cuRAND's
//! handles cannot be given back, and cudarc panics where it tries: what is reported then is that, and not the error. The
//! system takes everything back when the process ends.

use candle_core::{Device, Error};
#[cfg(feature = "cuda")]
pub use opened::{free_memory, open};

/// The capability that tensor cores with our fragments (`mma.m16n8k16`) begin with: Ampere.
#[cfg(any(test, feature = "cuda"))]
const TENSOR_CORES: u32 = 80;

/// The compute capability that the kernels were compiled for, ten times: 80 is 8.0. 0 in a build without CUDA.
#[cfg(feature = "cuda")]
fn built_for() -> u32 {
    option_env!("DIFFUSCOPE_COMPUTE_CAP")
        .and_then(|capability| capability.parse().ok())
        .unwrap_or(0)
}

/// Do kernels on tensor cores run on a card of capability `card`, in a build for `built_for`, both ten times?
#[cfg(any(test, feature = "cuda"))]
fn have_tensor_cores(built_for: u32, card: u32) -> bool {
    built_for.min(card) >= TENSOR_CORES
}

/// Do kernels on tensor cores run on `device`? The emulator's do.
pub fn has_tensor_cores(device: &Device) -> bool {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(cuda) = device {
        return opened::capability(cuda)
            .is_some_and(|capability| have_tensor_cores(built_for(), capability));
    }
    device.is_cpu()
}

/// Does `error` say that the GPU's memory is full? candle hands on what the driver or a library says, in a type that
/// depends on the features of the build.
pub fn is_full(error: &Error) -> bool {
    let said = error.to_string();
    let codes = [
        "CUDA_ERROR_OUT_OF_MEMORY",
        "ALLOC_FAILED",
        "ALLOCATION_FAILED",
    ];
    codes.iter().any(|code| said.contains(code))
}

/// Is a GPU open in this process?
pub fn is_open() -> bool {
    #[cfg(feature = "cuda")]
    return opened::is_open();
    #[cfg(not(feature = "cuda"))]
    false
}

/// What to say of a card that runs no kernel of this build.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
fn refusal(card: &str, capability: Option<u32>, built_for: u32, error: &str) -> String {
    let of = |capability: u32| format!("{}.{}", capability / 10, capability % 10);
    let capability = capability.map_or("unknown".to_owned(), of);
    format!(
        "{card} (compute capability {capability}) runs no kernel of this build, which was made for {} and later cards \
         of its kind; build it with CUDA_COMPUTE_CAP set to the card's capability without the point, and see that the \
         driver is as new as the CUDA toolkit: {error}",
        of(built_for)
    )
}

#[cfg(feature = "cuda")]
#[allow(unsafe_code)] // The only way that candle and cudarc offer.
mod opened {
    use std::sync::{Mutex, OnceLock, PoisonError};

    use candle_core::cuda_backend::cudarc::driver::result::{device, mem_pool};
    use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute as Attribute;
    use candle_core::{CudaDevice, Device, Error, Result, Tensor};

    use super::{built_for, refusal};

    /// Statics are never dropped.
    static OPEN: Mutex<Option<Device>> = Mutex::new(None);

    /// Opens the first CUDA device, or gives the one that is open.
    ///
    /// # Errors
    /// There is none, or it runs no kernel of this build.
    pub fn open() -> Result<Device> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = &*open {
            return Ok(device.clone());
        }
        #[cfg(late_cuda)]
        if let Some(why) = super::super::late::missing() {
            return Err(Error::Msg(why));
        }
        // Not `new_cuda`, on which every thread has a stream of its own: what one thread computes another may read or
        // let go.
        let device = Device::new_cuda_with_stream(0)?;
        // Not closed in any case: see above.
        std::mem::forget(device.clone());
        if let Device::Cuda(cuda) = &device {
            tune(cuda);
            try_one_operation(&device).map_err(|error| {
                let card = cuda.cuda_stream().context().name();
                let card = card.unwrap_or_else(|_| "the CUDA device".into());
                let error = error.to_string();
                Error::Msg(refusal(&card, capability(cuda), built_for(), &error))
            })?;
        }
        *open = Some(device.clone());
        Ok(device)
    }

    pub fn is_open() -> bool {
        OPEN.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// candle's kernels are compiled for the same cards as our own; nothing before them needs one, so that without this a
    /// wrong card shows itself after minutes of loading.
    fn try_one_operation(device: &Device) -> Result<()> {
        let doubled = Tensor::new(&[1_f32, 2.0], device)?
            .affine(2.0, 0.0)?
            .to_vec1::<f32>()?;
        if doubled != [2.0, 4.0] {
            candle_core::bail!("twice 1 and 2 were {doubled:?}");
        }
        Ok(())
    }

    /// Spares each kernel the events that would order it after those of other streams, and has the driver keep the
    /// memory that is free for a moment: else it goes back to the system whenever somebody waits, which is after every
    /// step.
    fn tune(cuda: &CudaDevice) {
        // SAFETY: events order the uses of a tensor among several streams. All tensors of this program are made and used
        // on this device's one stream, whichever thread asks, and it keeps the order in which it was asked.
        unsafe { cuda.disable_event_tracking() };
        let mut bytes = u64::MAX;
        // SAFETY: the device is cudarc's own, and the attribute is a `cuuint64_t`, which is read and not kept.
        let kept = unsafe {
            device::get_default_mem_pool(cuda.cuda_stream().context().cu_device()).and_then(
                |pool| {
                    let bytes = (&raw mut bytes).cast();
                    mem_pool::set_attribute(
                        pool,
                        Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                        bytes,
                    )
                },
            )
        };
        // A driver without pools allocates in another way, and is only slower.
        let _ = kept;
    }

    /// The card's compute capability, ten times.
    pub fn capability(cuda: &CudaDevice) -> Option<u32> {
        static FOUND: OnceLock<Option<u32>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let (major, minor) = cuda.cuda_stream().context().compute_capability().ok()?;
            u32::try_from(major * 10 + minor).ok()
        })
    }

    /// How much memory the GPU may still give, in bytes: what nobody has, and what the pool keeps for this process
    /// without using it.
    pub fn free_memory(cuda: &CudaDevice) -> Option<u64> {
        let (free, _) = cuda.cuda_stream().context().mem_get_info().ok()?;
        Some(free as u64 + idle(cuda).unwrap_or(0))
    }

    /// What the pool has reserved and does not use.
    fn idle(cuda: &CudaDevice) -> Option<u64> {
        // SAFETY: the device is cudarc's own.
        let pool =
            unsafe { device::get_default_mem_pool(cuda.cuda_stream().context().cu_device()) };
        let pool = pool.ok()?;
        let ask = |attribute| {
            let mut bytes = 0_u64;
            // SAFETY: the pool is the device's; both attributes are a `cuuint64_t`.
            unsafe { mem_pool::get_attribute(pool, attribute, (&raw mut bytes).cast()) }.ok()?;
            Some(bytes)
        };
        let reserved = ask(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        Some(reserved.saturating_sub(ask(Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensor_cores_need_a_card_and_a_build_that_know_them() {
        // Turing, and a build for it on a newer card.
        assert!(!have_tensor_cores(75, 75) && !have_tensor_cores(75, 90));
        assert!(have_tensor_cores(80, 80) && have_tensor_cores(80, 120));
    }

    #[test]
    fn a_wrong_card_is_told_what_it_would_need() {
        let said = refusal("Tesla T4", Some(75), 80, "no kernel image");
        for part in [
            "Tesla T4",
            "7.5",
            "8.0",
            "CUDA_COMPUTE_CAP",
            "no kernel image",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }
}

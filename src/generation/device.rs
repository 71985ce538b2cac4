//! The device that a model runs on, and the type of numbers that it computes with.

use candle_core::{DType, Device};

use crate::checkpoint::available_memory;
use crate::kernels::cuda as kernels;

/// A device, as users ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// CUDA where this build and this machine have it, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

/// A device, or a type of numbers on it, that is not available.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The program was built without the feature `cuda`.
    #[error("this build cannot use CUDA")]
    NotBuilt,
    /// Products of bf16 numbers are missing on the CPU.
    #[error("the CPU cannot compute in bf16 here")]
    NoBf16,
    /// The CUDA device did not open.
    #[error("the CUDA device could not be opened: {0}")]
    Cuda(candle_core::Error),
}

/// What a user may want to know of a device that was opened.
#[derive(Debug)]
pub enum DeviceNote {
    /// It was left to the program, which took the GPU.
    ChoseCuda,
    /// It was left to the program, which could not have the GPU.
    NoCuda(DeviceError),
    /// The program's own kernels do not run on the GPU, for this reason.
    SlowKernels(String),
}

impl DeviceChoice {
    /// Opens the device, with what there is to say of it; nothing in a build without CUDA, which has no choice. `Auto`
    /// always succeeds.
    ///
    /// # Errors
    /// A CUDA device that was asked for and is not available.
    pub fn open(self) -> Result<(Device, Option<DeviceNote>), DeviceError> {
        let (device, note) = match self {
            Self::Cpu => return Ok((Device::Cpu, None)),
            Self::Cuda => (cuda()?, None),
            Self::Auto => match cuda() {
                Ok(device) => (device, Some(DeviceNote::ChoseCuda)),
                Err(DeviceError::NotBuilt) => return Ok((Device::Cpu, None)),
                Err(error) => return Ok((Device::Cpu, Some(DeviceNote::NoCuda(error)))),
            },
        };
        let slow = kernels::why_not(&device).map(|why| DeviceNote::SlowKernels(why.to_string()));
        Ok((device, slow.or(note)))
    }
}

/// The type of the networks' weights and of what they compute, as users ask for it. Latents, schedules and statistics
/// are f32 in any case, and so are the time embedding's sines, normalisation and softmax within the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// f16 on CUDA, f32 on the CPU; of the autoencoder alone, what suits the others and it.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// 16 bits, with 11 of mantissa: the usual choice on a GPU.
    F16,
    /// 16 bits, with f32's range and 8 of mantissa; on CUDA only.
    Bf16,
}

impl Precision {
    /// The type on `device`.
    pub fn on(self, device: &Device) -> Result<DType, DeviceError> {
        Ok(match self {
            Self::Auto if device.is_cuda() => DType::F16,
            Self::Auto | Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 if device.is_cpu() => return Err(DeviceError::NoBf16),
            Self::Bf16 => DType::BF16,
        })
    }
}

/// The type that the autoencoder decodes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecoderType {
    /// This one, whatever comes of it.
    Fixed(DType),
    /// This one; where finite latents give a picture that is not, f32.
    OrF32(DType),
}

/// The types of numbers that the networks of a pipeline compute in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberTypes {
    /// The text encoder's and the UNet's.
    pub networks: DType,
    /// The autoencoder's.
    pub decoder: DecoderType,
}

impl From<DType> for NumberTypes {
    /// One for all.
    fn from(dtype: DType) -> Self {
        Self {
            networks: dtype,
            decoder: DecoderType::Fixed(dtype),
        }
    }
}

impl NumberTypes {
    /// What `networks` and, if it is given, `decoder` stand for on `device`; without `decoder` it is as free as
    /// `networks` is. `force_upcast` is the autoencoder's.
    ///
    /// # Errors
    /// A type that `device` cannot compute in.
    pub fn on(
        device: &Device,
        networks: Precision,
        decoder: Option<Precision>,
        force_upcast: bool,
    ) -> Result<Self, DeviceError> {
        let dtype = networks.on(device)?;
        let decoder = match decoder.unwrap_or(networks) {
            // As `StableDiffusionXLPipeline` does: in f16 only, for bf16 has f32's range.
            Precision::Auto if dtype == DType::F16 && force_upcast => {
                DecoderType::Fixed(DType::F32)
            }
            Precision::Auto => DecoderType::OrF32(dtype),
            fixed => DecoderType::Fixed(fixed.on(device)?),
        };
        Ok(Self {
            networks: dtype,
            decoder,
        })
    }
}

fn cuda() -> Result<Device, DeviceError> {
    if !cfg!(feature = "cuda") {
        return Err(DeviceError::NotBuilt);
    }
    // Not `new_cuda`, on which every thread has a stream of its own: what one thread computes another may read or let
    // go.
    let device = Device::new_cuda_with_stream(0).map_err(DeviceError::Cuda)?;
    #[cfg(feature = "cuda")]
    tune(&device);
    Ok(device)
}

/// Spares each kernel the events that would order it after those of other streams, and has the driver keep the memory
/// that is free for a moment: else it goes back to the system whenever somebody waits, which is after every step.
#[cfg(feature = "cuda")]
#[allow(unsafe_code)] // The only way that candle and cudarc offer.
fn tune(device: &Device) {
    use candle_core::cuda_backend::cudarc::driver::result::{device, mem_pool};
    use candle_core::cuda_backend::cudarc::driver::sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;

    let Device::Cuda(cuda) = device else { return };
    // SAFETY: events order the uses of a tensor among several streams. All tensors of this program are made and used on
    // this device's one stream, whichever thread asks, and it keeps the order in which it was asked.
    unsafe { cuda.disable_event_tracking() };
    let mut bytes = u64::MAX;
    // SAFETY: the device is cudarc's own, and the attribute is a `cuuint64_t`, which is read and not kept.
    let kept = unsafe {
        device::get_default_mem_pool(cuda.cuda_stream().context().cu_device()).and_then(|pool| {
            let bytes = (&raw mut bytes).cast();
            mem_pool::set_attribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, bytes)
        })
    };
    // A driver without pools allocates in another way, and is only slower.
    let _ = kept;
}

/// How much memory `device` may still give, in bytes. `None` where that is not known.
pub fn free_memory(device: &Device) -> Option<u64> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => {
            let (free, _) = cuda.cuda_stream().context().mem_get_info().ok()?;
            Some(free as u64)
        }
        Device::Cpu => available_memory(),
        _ => None,
    }
}

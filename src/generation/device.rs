//! The device that a model runs on, and the type of numbers that it computes with.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device};

use crate::checkpoint::available_memory;
use crate::kernels::cuda as kernels;

/// Where this is set, opening a GPU says how far each kernel is from candle's: what to report a defect with.
const CHECK_KERNELS: &str = "DIFFUSCOPE_CHECK_KERNELS";

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
    /// cuDNN, which the program was built with, does not compute its convolutions, for this reason.
    NoCudnn(String),
    /// How far the program's own kernels are from candle's, a line each, where the environment asks for it.
    Kernels(String),
}

impl DeviceChoice {
    /// Opens the device, with what there is to say of it; nothing in a build without CUDA, which has no choice. `Auto`
    /// always succeeds: a GPU that cannot run one operation is not taken.
    ///
    /// # Errors
    /// A CUDA device that was asked for and is not available.
    pub fn open(self) -> Result<(Device, Vec<DeviceNote>), DeviceError> {
        self.open_with(cuda)
    }

    fn open_with(
        self,
        cuda: impl FnOnce() -> Result<Device, DeviceError>,
    ) -> Result<(Device, Vec<DeviceNote>), DeviceError> {
        let (device, chosen) = match self {
            Self::Cpu => return Ok((Device::Cpu, Vec::new())),
            Self::Cuda => (cuda()?, None),
            Self::Auto => match cuda() {
                Ok(device) => (device, Some(DeviceNote::ChoseCuda)),
                Err(DeviceError::NotBuilt) => return Ok((Device::Cpu, Vec::new())),
                Err(error) => return Ok((Device::Cpu, vec![DeviceNote::NoCuda(error)])),
            },
        };
        let slow = kernels::why_not(&device).map(DeviceNote::SlowKernels);
        let mut notes: Vec<_> = slow.or(chosen).into_iter().collect();
        // The check of the kernels has asked it for a few convolutions.
        notes.extend(late_note());
        if std::env::var_os(CHECK_KERNELS).is_some() {
            notes.push(DeviceNote::Kernels(kernels::report(&device)));
        }
        Ok((device, notes))
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
    #[cfg(feature = "cuda")]
    return kernels::device::open().map_err(DeviceError::Cuda);
    #[cfg(not(feature = "cuda"))]
    Err(DeviceError::NotBuilt)
}

/// What has shown itself of the device since somebody last asked.
pub(crate) fn late_note() -> Option<DeviceNote> {
    static WAS_TOLD: AtomicBool = AtomicBool::new(false);
    let why = kernels::cudnn_refusal()?;
    (!WAS_TOLD.swap(true, Ordering::Relaxed)).then_some(DeviceNote::NoCudnn(why))
}

/// Is a GPU open in this process?
pub(crate) fn has_open_gpu() -> bool {
    kernels::device::is_open()
}

/// How much memory `device` may still give, in bytes. `None` where that is not known.
pub fn free_memory(device: &Device) -> Option<u64> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => kernels::device::free_memory(cuda),
        Device::Cpu => available_memory(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_cannot_compute_is_left_for_the_cpu_and_refused_where_it_was_asked_for() {
        let broken = || Err(DeviceError::Cuda(candle_core::Error::Msg("old".into())));
        let (device, notes) = DeviceChoice::Auto.open_with(broken).unwrap();
        assert!(device.is_cpu());
        assert!(
            matches!(&notes[..], [DeviceNote::NoCuda(error)] if error.to_string().contains("old"))
        );
        assert!(DeviceChoice::Cuda.open_with(broken).is_err());
        // Nobody who asked for the CPU waits for a GPU.
        let (_, notes) = DeviceChoice::Cpu.open_with(|| panic!("opened")).unwrap();
        assert!(notes.is_empty());
    }
}

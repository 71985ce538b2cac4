//! The device that a model runs on.

use candle_core::Device;
use clap::ValueEnum;

/// A device, as users ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DeviceChoice {
    /// CUDA where this build and this machine have it, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

/// A device that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The program was built without the feature `cuda`.
    #[error(
        "this build cannot use CUDA: use `--device cpu`, or build with `--features cuda` on a machine with the CUDA 13 libraries"
    )]
    NotBuilt,
    /// The CUDA device did not open.
    #[error(
        "the CUDA device could not be opened: {0}; check the driver (`nvidia-smi`), or use `--device cpu`"
    )]
    Cuda(candle_core::Error),
}

impl DeviceChoice {
    /// Opens the device. `Auto` always succeeds.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => cuda(),
            Self::Auto => Ok(cuda().unwrap_or(Device::Cpu)),
        }
    }
}

fn cuda() -> Result<Device, DeviceError> {
    if !cfg!(feature = "cuda") {
        return Err(DeviceError::NotBuilt);
    }
    Device::new_cuda(0).map_err(DeviceError::Cuda)
}

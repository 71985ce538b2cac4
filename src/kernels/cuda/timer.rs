//! How long a device works on something.
//!
//! A GPU is only asked to compute, and whoever asks goes on at once: the time that passes here says nothing of the time
//! that it takes there. Two events among what it was asked for do.

use std::time::{Duration, Instant};

#[cfg(feature = "cuda")]
use candle_core::cuda_backend::cudarc::driver::CudaEvent;
use candle_core::{Device, Result};

/// Runs from where it was made, in the order in which the device is asked.
#[derive(Debug)]
pub enum Timer {
    /// What is asked is done when the call returns.
    Host(Instant),
    #[cfg(feature = "cuda")]
    Device(CudaEvent),
}

/// What a timer measured, which a GPU knows once it has got there.
#[derive(Debug)]
pub enum Elapsed {
    Host(Duration),
    #[cfg(feature = "cuda")]
    Device {
        start: CudaEvent,
        end: CudaEvent,
    },
}

impl Timer {
    #[cfg_attr(not(feature = "cuda"), allow(clippy::unnecessary_wraps))]
    pub fn start(device: &Device) -> Result<Self> {
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => event(cuda).map(Self::Device),
            _ => Ok(Self::Host(Instant::now())),
        }
    }

    /// The time from `start` to what the device was asked for last.
    #[cfg_attr(
        not(feature = "cuda"),
        allow(unused_variables, clippy::unnecessary_wraps)
    )]
    pub fn stop(self, device: &Device) -> Result<Elapsed> {
        match self {
            Self::Host(start) => Ok(Elapsed::Host(start.elapsed())),
            #[cfg(feature = "cuda")]
            Self::Device(start) => {
                let Device::Cuda(cuda) = device else {
                    candle_core::bail!("a timer was stopped on another device");
                };
                let end = event(cuda)?;
                Ok(Elapsed::Device { start, end })
            }
        }
    }
}

impl Elapsed {
    /// In seconds; waits until the device has got there.
    #[cfg_attr(not(feature = "cuda"), allow(clippy::unnecessary_wraps))]
    pub fn seconds(&self) -> Result<f64> {
        match self {
            Self::Host(elapsed) => Ok(elapsed.as_secs_f64()),
            #[cfg(feature = "cuda")]
            Self::Device { start, end } => {
                use candle_core::cuda_backend::WrapErr as _;
                Ok(f64::from(start.elapsed_ms(end).w()?) / 1000.0)
            }
        }
    }
}

/// An event that knows its time, after everything that the device was asked for before.
#[cfg(feature = "cuda")]
fn event(cuda: &candle_core::CudaDevice) -> Result<CudaEvent> {
    use candle_core::cuda_backend::WrapErr as _;
    use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
    cuda.cuda_stream().record_event(Some(CU_EVENT_DEFAULT)).w()
}

//! A generation is a value you hold: it advances one stage or one denoising step at a time.

mod device;
mod pipeline;
mod request;

pub use device::{DeviceChoice, DeviceError};
pub use pipeline::Pipeline;
pub use request::{MAX_STEPS, Request, RequestError, RequestOverrides};

//! A generation is a value you hold: it advances one stage or one denoising step at a time.

mod pipeline;
mod request;

pub use pipeline::Pipeline;
pub use request::{Request, RequestError};

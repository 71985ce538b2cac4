//! The configurations of a checkpoint's networks, read from its JSON files and checked.
//!
//! Keys and defaults are those of diffusers and transformers; unknown keys are
//! ignored, as they are there. A value that would change what the network
//! computes and is not supported is refused, never passed over.

mod extras;
mod reader;
mod scheduler;
mod text_encoder;
mod unet;
mod vae;

pub use extras::{Extras, LatentRgb};

pub(super) use reader::Reader;
pub(super) use scheduler::scheduler;

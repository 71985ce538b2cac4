//! The networks of Stable Diffusion v1, in the order in which a prompt meets them.
//!
//! [`tokenizer`] → [`text_encoder`] → [`unet`] (many times) → [`autoencoder`].
//! Each forward pass takes a [`Hook`]. All of them are made of the same [`layers`].

pub mod autoencoder;
pub mod config;
mod decoder;
pub mod hook;
pub mod layers;
pub mod modules;
mod resnet;
pub mod text_encoder;
pub mod tokenizer;
pub mod unet;

use crate::kernels::cuda::device::is_full;
pub use hook::{AttentionDetail, Hook, NoHook};

/// What can go wrong inside a network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user cancelled the run; nothing is wrong.
    #[error("cancelled")]
    Cancelled,
    /// A hook has what it was looking for, and ended the forward pass; nothing is wrong.
    #[error("the forward pass was ended early")]
    Enough,
    /// A hook could not do its work, for example write a file.
    #[error("{0}")]
    Hook(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The GPU has no more memory.
    #[error("the GPU's memory is full")]
    DeviceMemory(#[source] candle_core::Error),
    /// An operation of the tensor library failed (shape, device).
    #[error("tensor operation failed: {0}")]
    Tensor(#[source] candle_core::Error),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        if is_full(&error) {
            Self::DeviceMemory(error)
        } else {
            Self::Tensor(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_gpu_is_told_from_other_failures() {
        let of = |text: &str| Error::from(candle_core::Error::Msg(text.into())).to_string();
        let full = of("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
        assert_eq!(full, "the GPU's memory is full");
        assert_eq!(
            of("shape mismatch"),
            "tensor operation failed: shape mismatch"
        );
    }
}

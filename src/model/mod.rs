//! The networks of Stable Diffusion v1, in the order in which a prompt meets them.
//!
//! [`tokenizer`] → [`text_encoder`] → [`unet`] (many times) → [`autoencoder`].
//! Each forward pass takes a [`Hook`]; the arithmetic that all of them share is in [`ops`].

pub mod autoencoder;
mod decoder;
pub mod hook;
pub(crate) mod kernels;
pub mod ops;
mod resnet;
pub mod text_encoder;
pub mod tokenizer;
pub mod unet;

pub use hook::{AttentionDetail, Hook, NoHook};

/// What can go wrong inside a network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user cancelled the run; nothing is wrong.
    #[error("cancelled")]
    Cancelled,
    /// A hook could not do its work, for example write a file.
    #[error("{0}")]
    Hook(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An operation of the tensor library failed (shape, memory, device).
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

//! Hooks: look at, or replace, any value that passes through a network.
//!
//! Every forward pass takes a [`Hook`] and calls it at named sites. A site's name is the module's path in the
//! checkpoint, as diffusers and transformers spell it (`down_blocks.0.attentions.0.transformer_blocks.0.attn2`), so
//! that a name means the same in code, on screen, in exported JSON and in Python.
//!
//! A hook that wants nothing costs nothing: values are only computed, copied or kept for a site whose hook asked for
//! them. Looking changes nothing either: the arithmetic that makes the image is the same with and without a hook.

mod visit;

pub use crate::kernels::attention::AttentionDetail;
pub(in crate::model) use visit::visit;
pub use visit::{Hook, NoHook};

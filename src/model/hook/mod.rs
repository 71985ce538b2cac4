//! Hooks: look at, or replace, any value that passes through a network.
//!
//! Every forward pass takes a [`Hook`] and calls it at named sites. A site's name is the module's path in the
//! checkpoint, as diffusers and transformers spell it (`down_blocks.0.attentions.0.transformer_blocks.0.attn2`), so
//! that a name means the same in code, on screen, in exported JSON and in Python.
//!
//! A hook that wants nothing costs nothing: values are only computed, copied or kept for a site whose hook asked for
//! them. Looking changes nothing either: the arithmetic that makes the image is the same with and without a hook.
//!
//! Most hooks need no type of their own: [`Cache`] keeps what passes, [`on`], [`on_attention`] and
//! [`replace_attention`] make a hook of a closure, [`Chain`] puts several together, and [`Until`] ends a pass that has
//! given what was asked for. They name sites by their paths,
//! in which `*` stands for anything: `mid_block.*`, `*.attn2`.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use candle_core::Device;
//! use diffuscope::hook::{self, Cache, Chain};
//! use diffuscope::{Checkpoint, Generation, Pipeline, Source};
//!
//! let checkpoint = Checkpoint::open(&Source::Embedded)?;
//! let pipeline = Arc::new(Pipeline::load(&checkpoint, &Device::Cpu)?);
//! let request = pipeline.default_request("a red apple on a table");
//! let mut generation = Generation::new(pipeline, request)?;
//!
//! let mut cache = Cache::of(["mid_block.*"]);
//! let mut quieter = hook::on("mid_block.attentions.0", |_, x| Ok(Some((x * 0.5)?)));
//! while generation
//!     .advance(&mut Chain(vec![&mut quieter, &mut cache]))?
//!     .is_some()
//! {}
//! println!("{}", cache.outputs["mid_block.attentions.0"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod chain;
mod closure;
mod path;
mod until;
mod visit;

pub use crate::kernels::attention::{AttentionDetail, BatchItems};
pub use cache::Cache;
pub use chain::Chain;
pub use closure::{on, on_attention, replace_attention};
pub use until::Until;
pub use visit::{Hook, NoHook};
pub(in crate::model) use visit::{show, visit};

//! Checkpoints of the hub: what they are called ([`Repository`]), where downloaded ones lie ([`downloaded`]), and how
//! they come there ([`Fetch`], the only part of the program that reaches the network).

mod cache;
mod download;
mod environment;
mod error;
mod fetch;
#[cfg(any(test, fuzzing))]
#[path = "../../../tests/fuzz/targets/hub.rs"]
pub(crate) mod fuzz;
mod plan;
mod repository;

pub use cache::downloaded;
pub use error::{HubError, Instead};
pub use fetch::{Fetch, FetchProgress};
pub use plan::{Plan, RemoteFile};
pub use repository::Repository;

pub(super) use cache::snapshot;

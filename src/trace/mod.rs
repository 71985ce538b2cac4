//! What a run leaves in memory: statistics, copies of tensors, and attention under a memory budget.
//!
//! A [`Recorder`] drives a [`Generation`](crate::generation::Generation) and turns what passes its hooks into plain
//! owned [`Event`]s. The same events feed a [`Trace`] (the inspector's screens) and the streamed
//! [`export`](crate::export) (`run --json`), so that the screen, the export and the lessons speak of the same numbers
//! by the same names.

mod attention;
mod capture;
mod components;
mod event;
pub mod guidance_plane;
mod heads;
pub mod latent_path;
mod not_finite;
mod options;
mod principal;
mod probe;
mod projections;
mod recorder;
mod stats;
mod tensor_data;

pub use attention::{AttentionMaps, AttentionStore};
pub use components::Components;
pub use event::{
    Event, ImageTrace, ModuleStats, NoiseTrace, StepTrace, TextTrace, TokensTrace, Trace,
};
pub use heads::HeadSummary;
pub use not_finite::{Cause, NotFinite, TraceStage};
pub use options::{CancelToken, Guidance, RecordOptions};
#[cfg(test)]
pub use probe::components_of;
pub use probe::{Features, Fitted, Probe, ProbePlace};
pub use projections::{AttentionKind, Projections, Row, layers_together};
pub use recorder::Recorder;
pub use stats::Stats;
pub use tensor_data::TensorData;

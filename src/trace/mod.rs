//! What a run leaves behind: statistics, snapshots, attention, and the document that is exported.
//!
//! A [`Recorder`] drives a [`Generation`](crate::generation::Generation) and turns what passes its hooks into
//! plain owned [`Event`]s. The same events feed a [`Trace`] in memory (the inspector's screens) and the streamed
//! export (`run --json`), so that the screen, the export and the lessons speak of the same numbers by the same names.

mod attention;
mod capture;
mod destination;
pub mod document;
mod download;
mod event;
mod export;
mod json;
mod pictures;
mod pieces;
mod plan;
mod png;
mod recorder;
mod replay;
mod selection;
mod snapshot;
mod stats;

pub use attention::{AttentionMaps, AttentionStore};
pub use destination::{DestinationError, OutputFile, OutputFolder};
pub use event::{
    Event, ImageData, ModuleStats, ScheduleInfo, StepTrace, TextTrace, TokensTrace, Trace,
};
pub(crate) use export::tensor_file;
pub use export::{Export, ExportError, Heading};
pub(crate) use json::ObjectWriter;
pub use pictures::{HeatMap, Scale, common_scale, save_animation, save_map};
pub use pieces::{save_attention, save_step, save_tensor, save_trace};
pub use plan::{Existing, ExportPlan, PlanError, SelectionError};
pub use png::write_png;
pub use recorder::{CancelToken, Half, RecordOptions, Recorder};
pub use replay::{Replay, ReplayError};
pub use selection::{Selection, tensor_names};
pub use snapshot::Snapshot;
pub use stats::Stats;

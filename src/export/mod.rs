//! What leaves a run: the exported document, pictures of tensors, the files they are written to, and recorded runs read
//! back.
//!
//! What is written here is what [`trace`](crate::trace) keeps in memory, by the same names: the screen, the export and
//! the lessons speak of the same numbers.

pub(crate) mod colour_map;
mod destination;
pub mod document;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/targets/export.rs"]
pub(crate) mod fuzz;
mod json;
mod number;
mod options;
mod parameters;
mod pictures;
mod png;
mod replay;
mod save;
mod selection;
mod watch;
mod writer;

pub use destination::{DestinationError, OutputFile, OutputFolder};
pub(crate) use json::write_lines;
pub use options::{ExportOptions, OnExisting, TensorSelectionError};
pub use pictures::{HeatMap, save_animation, save_map};
pub use png::write_png;
pub use replay::{Replay, ReplayError, Verified, open_donors};
pub use save::{SaveRunError, save_attention, save_run, save_step, save_tensor, save_trace};
pub use selection::{TensorSelection, tensor_names};
pub use watch::{Stopped, WatchValue, WatchValues};
pub(crate) use writer::tensor_file;
pub use writer::{Export, ExportError, RunMetadata};

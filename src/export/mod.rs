//! What leaves a run: the exported document, pictures of tensors, the files they are written to, and recorded runs read
//! back.
//!
//! What is written here is what [`trace`](crate::trace) keeps in memory, by the same names: the screen, the export and
//! the lessons speak of the same numbers.

mod destination;
pub mod document;
mod json;
mod pictures;
mod pieces;
mod plan;
mod png;
mod replay;
mod selection;
mod writer;

pub use destination::{DestinationError, OutputFile, OutputFolder};
pub(crate) use json::ObjectWriter;
pub use pictures::{HeatMap, Scale, common_scale, save_animation, save_map};
pub use pieces::{save_attention, save_step, save_tensor, save_trace};
pub use plan::{ExportOptions, OnExisting, SaveRunError, TensorSelectionError};
pub use png::write_png;
pub use replay::{Replay, ReplayError};
pub use selection::{TensorSelection, tensor_names};
pub(crate) use writer::tensor_file;
pub use writer::{Export, ExportError, RunMetadata};

//! What the inspector is started with.

use clap::ValueEnum;

use super::worker::Loader;
use crate::export::ExportOptions;
use crate::generation::RequestPatch;

pub struct Options {
    pub loader: Loader,
    /// The request, over the model's defaults. The prompt is always there.
    pub request: RequestPatch,
    /// Memory for attention maps, in bytes.
    pub attention_budget: usize,
    pub images: ImageMode,
    /// What is written of the first run that is finished.
    pub export: ExportOptions,
}

/// How pictures are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ImageMode {
    /// Pixels where the terminal has a graphics protocol, else cells.
    #[default]
    Auto,
    /// Guidance-block cells, always.
    Cells,
    /// Pixels, by the terminal's graphics protocol, without asking whether it has one.
    Pixels,
}

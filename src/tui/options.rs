//! What the inspector is started with.

use clap::ValueEnum;

use super::ui::theme::Colours;
use super::worker::Loader;
use crate::export::ExportOptions;
use crate::generation::RequestPatch;

pub struct Options {
    pub loader: Loader,
    /// The request, over the model's defaults. The prompt is always there.
    pub request: RequestPatch,
    pub screen: ScreenOptions,
    /// What is written of the first run that is finished.
    pub export: ExportOptions,
}

/// How the terminal is used.
#[derive(Debug, Clone, Copy)]
pub struct ScreenOptions {
    /// Memory for attention maps, in bytes.
    pub attention_budget: usize,
    pub images: ImageMode,
    /// As many as the environment says where there is none.
    pub colours: Option<Colours>,
    /// Is the mouse taken? Otherwise the terminal selects text with it.
    pub mouse: bool,
}

/// How pictures are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ImageMode {
    /// Pixels where the terminal has a graphics protocol, else cells.
    #[default]
    Auto,
    /// Half-block cells, always.
    Cells,
    /// Pixels where the terminal has a graphics protocol; where not, the screen says why.
    Pixels,
}

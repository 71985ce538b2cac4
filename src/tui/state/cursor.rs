//! What is looked at: the view, and the one selection that all views share.

use super::detail::Detail;
use super::editor::Field;
pub use crate::lesson::{Grid, StepTensor, View};
use crate::model::AttentionDetail;
use crate::trace::Guidance;
use crate::tui::worker::AttentionKey;

impl View {
    /// Every view, in the order in which data flows.
    pub const ALL: [Self; 9] = [
        Self::Prompt,
        Self::Tokens,
        Self::Embedding,
        Self::TextEncoder,
        Self::Noise,
        Self::Schedule,
        Self::Denoising,
        Self::Attention,
        Self::Image,
    ];

    /// Its name on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prompt => "Prompt",
            Self::Tokens => "Tokens",
            Self::Embedding => "Embedding",
            Self::TextEncoder => "Text encoder",
            Self::Noise => "Noise",
            Self::Schedule => "Schedule",
            Self::Denoising => "Denoising",
            Self::Attention => "Attention",
            Self::Image => "Image",
        }
    }

    /// Does it show pictures of a step?
    pub fn shows_pictures(self) -> bool {
        matches!(self, Self::Denoising | Self::Attention | Self::Image)
    }
}

/// The one selection that all views share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cursor {
    /// The denoising step, from 0.
    pub step: usize,
    /// Does the step follow the newest one?
    pub follow: bool,
    /// The prompt's position, 0 to 76.
    pub token: usize,
    /// The text encoder's state: 0 is its input, the last its output.
    pub text_layer: usize,
    /// The latents' channel.
    pub channel: usize,
    /// The denoising view's third picture.
    pub tensor: StepTensor,
    /// What of the cross-attention.
    pub attention: AttentionCursor,
    /// The request's field.
    pub field: Field,
    /// What the views of the text, the noise and the schedule show.
    pub detail: Detail,
}

impl Cursor {
    /// The attention at its step, in its half of guidance.
    pub fn attention_key(&self, detail: AttentionDetail) -> AttentionKey {
        AttentionKey {
            step: self.step,
            half: self.attention.half,
            detail,
        }
    }
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            step: 0,
            follow: true,
            token: 1,
            text_layer: usize::MAX,
            channel: 0,
            tensor: StepTensor::Difference,
            attention: AttentionCursor::default(),
            field: Field::Prompt,
            detail: Detail::default(),
        }
    }
}

impl StepTensor {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Difference, Self::Text, Self::Uncond, Self::Guided];
}

/// Which cross-attention is looked at, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionCursor {
    /// The UNet's cross-attention layer; `None` for the mean over all.
    pub layer: Option<usize>,
    /// The attention head; `None` for the mean over all.
    pub head: Option<usize>,
    /// With or without the prompt.
    pub half: Guidance,
    /// What the small maps go through.
    pub grid: Grid,
    /// How strongly the map covers the picture: 0 not at all, to [`AttentionCursor::STRONGEST`].
    pub strength: u8,
    /// A place of the picture, each from 0 to 1: across, down. While it is set, arrows move it.
    pub place: (f32, f32),
}

impl AttentionCursor {
    /// The strongest cover.
    pub const STRONGEST: u8 = 4;

    /// How fine the maps have to be.
    pub fn detail(&self) -> AttentionDetail {
        if self.head.is_some() || self.grid == Grid::Heads {
            AttentionDetail::Heads
        } else {
            AttentionDetail::Mean
        }
    }
}

impl Default for AttentionCursor {
    fn default() -> Self {
        Self {
            layer: None,
            head: None,
            half: Guidance::Cond,
            grid: Grid::Words,
            strength: 2,
            place: (0.5, 0.5),
        }
    }
}

impl Grid {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Words => Self::Steps,
            Self::Steps => Self::Layers,
            Self::Layers => Self::Heads,
            Self::Heads => Self::Words,
        }
    }
}

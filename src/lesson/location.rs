//! Where a lesson takes its reader, what its reader can do, and what the reader looks at.

use serde::{Deserialize, Serialize};

use super::{Curve, Grid, Part, Side, StepTensor, View};
use crate::generation::RequestPatch;
use crate::scheduler::SchedulerKind;
use crate::trace::Guidance;

/// A number, or a word that stands for one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum NumberOrWord {
    /// Counted from 0.
    Number(usize),
    /// A word of the prompt, `start`, `end`; `mean` of a head.
    Word(String),
}

/// What the reader is shown; what is not said stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Location {
    pub view: Option<View>,
    /// The denoising step, counted from 1 as on the screen.
    pub step: Option<usize>,
    /// The position in the prompt.
    pub token: Option<NumberOrWord>,
    /// Whose tokens.
    pub side: Option<Side>,
    pub part: Option<Part>,
    /// The text encoder's state, from 0, its input.
    pub text_layer: Option<usize>,
    /// The latents' channel, from 0.
    pub channel: Option<usize>,
    /// Is the noise shown times the first sigma?
    pub scaled: Option<bool>,
    pub curve: Option<Curve>,
    /// The scheduler whose schedule lies over this run's.
    pub overlay: Option<SchedulerKind>,
    /// The number of steps that it has.
    pub overlay_steps: Option<usize>,
    /// The denoising view's third picture.
    pub tensor: Option<StepTensor>,
    /// The cross-attention layer, by its name on the screen, or `all`.
    pub layer: Option<String>,
    /// The attention head, from 0, or `mean`.
    pub head: Option<NumberOrWord>,
    /// The noise prediction whose attention it is.
    pub half: Option<Guidance>,
    /// What the small maps go through.
    pub grid: Option<Grid>,
    /// Is the predicted picture decoded by the autoencoder?
    pub decode: Option<bool>,
}

/// A second run, beside the page's.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What it asks for, over the page's request.
    pub request: RequestPatch,
    /// For a branch of the page's run: the step that it begins with, counted from 1.
    pub branch: Option<usize>,
}

/// Where a page takes its reader.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Goto {
    pub location: Location,
    /// What the page's run asks for, over the lesson's.
    pub request: RequestPatch,
    /// The run that stands beside it.
    pub beside: Option<Comparison>,
    /// Texts that are marked on the screen.
    pub highlight: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum LessonAction {
    Look(Location),
    /// Ask for a new run, over the one on the screen.
    Run(RequestPatch),
    /// Leave the run on the screen before a step, counted from 1.
    Branch(usize, RequestPatch),
}

/// What the reader looks at, as filters see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)] // As in `Place`; differences are said.
pub struct Selection {
    pub view: View,
    /// Counted from 0, as in the document; `null` before the first one.
    pub step: Option<usize>,
    /// The position, from 0.
    pub token: usize,
    /// The selected word of the prompt, as typed.
    pub word: Option<String>,
    pub side: Side,
    pub part: Part,
    pub text_layer: usize,
    /// The text encoder's head; `null` for the mean.
    pub text_head: Option<usize>,
    pub channel: usize,
    pub scaled: bool,
    pub curve: Curve,
    pub overlay: Option<SchedulerKind>,
    pub overlay_steps: Option<usize>,
    pub tensor: StepTensor,
    /// The layer's path; `null` for the mean of all.
    pub layer: Option<String>,
    /// The head; `null` for the mean.
    pub head: Option<usize>,
    pub half: Guidance,
    pub grid: Grid,
    pub decode: bool,
    /// The number of the run on the screen.
    pub run: u64,
    /// How many runs there are.
    pub runs: usize,
    /// Of a branch: the run that it left.
    pub parent: Option<u64>,
    /// Of a branch: the first step of its own, from 0.
    pub branched_at: Option<usize>,
}

//! What the worker says, as plain owned data.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;

use super::failure::Failure;
use super::look::{LookKey, Looked};
use super::variant::Variant;
use super::watch::Asked;
use crate::checkpoint::{BrokenWeight, Component};
use crate::export::{Stopped, WatchValue};
use crate::generation::{BranchPoint, ModelInfo, Request, Vocabulary};
use crate::lesson::filter::{FilterError, Value};
use crate::model::AttentionDetail;
use crate::model::tokenizer::ClipTokenizer;
use crate::scheduler::SchedulerConfig;
use crate::trace::latent_path::LatentPath;
use crate::trace::{AttentionMaps, Event, Features, Guidance, StepTrace};

/// What the worker says.
#[derive(Debug, Clone)]
pub enum Update {
    /// What each filter of a query gave.
    Evaluated {
        query: u64,
        values: Vec<Result<Value, FilterError>>,
    },
    /// What watch expressions gave for a run.
    Watched {
        run: u64,
        answers: Vec<(Asked, Vec<WatchValue>)>,
    },
    /// A breakpoint stopped the run, which waits.
    Stopped { run: u64, stopped: Stopped },
    /// The model is there.
    Loaded {
        info: Arc<ModelInfo>,
        /// What to run first.
        request: Box<Request>,
        /// What there is to say of its device, its memory and its weights, in English and in Chinese.
        note: Option<[String; 2]>,
        /// Is it a recorded run, without the model that made it?
        recorded: bool,
        /// To find words in prompts, where there is a model.
        tokenizer: Option<Arc<ClipTokenizer>>,
    },
    /// The model could not be loaded; one that was there before is still there.
    LoadFailed(Failure),
    /// A stage begins.
    Begins { run: u64, work: Work },
    /// A branch has left the run that it comes from. Where its request was changed, its own beginning included.
    Branched {
        run: u64,
        branches: Vec<BranchPoint>,
    },
    /// A stage or step is done; a step has quick previews.
    Recorded {
        run: u64,
        event: Event,
        pictures: Option<Pictures>,
    },
    /// The weight that brought about a run's values that are not finite.
    Blamed { run: u64, weight: BrokenWeight },
    /// What only the model knows of a run: what its vocabulary says of the two texts, and what it was trained with.
    Vocabulary {
        run: u64,
        vocabulary: Arc<Vocabulary>,
        scheduler_config: Arc<SchedulerConfig>,
    },
    /// The run waits; `cancelled` within a stage.
    Paused { run: u64, cancelled: bool },
    /// The run is complete.
    Done { run: u64 },
    /// The run cannot go on.
    RunFailed { run: u64, failure: Failure },
    /// The picture of a variant that was asked for.
    Variant {
        run: u64,
        variant: Variant,
        image: Result<Arc<RgbImage>, Failure>,
    },
    /// The way of runs through latent space, as far as each had come; none where it cannot be drawn.
    LatentPath {
        runs: Vec<(u64, usize)>,
        path: Option<LatentPath>,
    },
    /// Attention that was asked for.
    Attention {
        run: u64,
        key: AttentionKey,
        maps: Result<Vec<AttentionMaps>, Failure>,
    },
    /// A closer look that was asked for; none where it was cancelled.
    Looked {
        run: u64,
        key: LookKey,
        found: Result<Option<Looked>, Failure>,
    },
    /// A picture that was asked for.
    Decoded {
        run: u64,
        step: usize,
        image: Result<Arc<RgbImage>, Failure>,
    },
    /// What was looked at in a network.
    Probed {
        run: u64,
        key: ProbeKey,
        features: Result<Vec<Features>, Failure>,
    },
    /// A step was taken in for components over all steps: the root mean square of each module's output in it.
    Fitted {
        run: u64,
        key: ProbeKey,
        sizes: Result<Vec<f64>, Failure>,
    },
    /// Files were written, or not.
    Saved {
        /// The run that is kept with them: it can be looked at or made again from what they say.
        kept: Option<u64>,
        saved: Result<Vec<PathBuf>, Failure>,
    },
}

/// Attention that can be computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttentionKey {
    /// The denoising step, from 0.
    pub step: usize,
    pub half: Guidance,
    pub detail: AttentionDetail,
}

/// A pass of a network that can be computed again, and what is looked at in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeKey {
    pub network: Component,
    pub half: Guidance,
    /// The denoising step, from 0; 0 for the text encoder.
    pub step: usize,
    pub what: Probed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probed {
    /// The outputs of all modules.
    Modules,
    /// The output of one module, where all of them together are too many to be kept.
    Module(usize),
    /// The lines of one module.
    Lines(usize),
    /// All modules of the UNet, for components over the steps of the run.
    Fit,
}

/// The most parameters of a model whose components are fitted on all steps of a run: that takes a pass of the UNet each.
const MOST_PARAMETERS: usize = 50_000_000;

/// Are the components of the UNet's features fitted on all steps of a run of this model, and not on the one step that is
/// looked at?
pub fn fits_all_steps(info: &ModelInfo) -> bool {
    info.parameters <= MOST_PARAMETERS
}

/// The quick previews of a step, one pixel a latent pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct Pictures {
    /// Of the latents before the step.
    pub latents: Arc<RgbImage>,
    /// Of the predicted x0.
    pub x0: Arc<RgbImage>,
}

impl Pictures {
    /// The previews of what happened, where it is a step; `preview` makes a picture of latents, which it multiplies
    /// by a factor.
    pub(super) fn of(event: &Event, preview: impl Fn(&[f32], f32) -> RgbImage) -> Option<Self> {
        let Event::Step(step) = event else {
            return None;
        };
        let step: &StepTrace = step;
        let picture = |name, scale| {
            let tensor = step.tensor(name)?;
            Some(Arc::new(preview(&tensor.data, scale)))
        };
        Some(Self {
            latents: picture("latents", step.preview_scale)?,
            x0: picture("x0", 1.0)?,
        })
    }
}

/// What the worker is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Tokens,
    Text,
    Noise,
    Step(usize),
    Image,
    /// Computing attention of a step again.
    Attention(usize),
    /// Looking closer at a step.
    Look(usize),
    /// Decoding a step's predicted x0.
    Decode(usize),
    /// Looking into a network.
    Probe,
    /// At this step of a variant; at the number of its steps before the first and after the last.
    Variant(Variant, usize),
}

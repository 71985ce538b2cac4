//! A generation is a value you hold: it advances one stage or one denoising step at a time.
//!
//! ```text
//!  Tokens → Text → Noise → Step(0) → … → Step(n-1) → Image → Done
//! ```
//!
//! A [`GenerationState`] is a point on this way: cheap to take, because tensors are shared. Going back restores one; a
//! branch restores one and changes the request.

mod attention_mix;
mod branch;
mod decoding;
mod denoise;
mod device;
mod donor;
mod encode;
mod guidance;
mod intervention;
mod model_info;
mod patch;
mod pipeline;
mod request;
mod request_json;
mod steps;
mod vocabulary;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;

pub use branch::BranchPoint;
pub(crate) use branch::converted_latents;
pub use decoding::Decoded;
pub use denoise::DenoisingStep;
pub use device::{
    DecoderType, DeviceChoice, DeviceError, DeviceNote, NumberTypes, Precision, free_memory,
};
pub(crate) use device::{has_open_gpu, late_note};
pub use donor::{Donor, DonorStep, Donors};
pub use intervention::{Intervention, LeftOutOf, WordChange};
pub use model_info::{AttentionLayer, ModelInfo, Modules};
pub use patch::{NoPatch, Patch, PatchChange, TakenFrom};
pub use pipeline::Pipeline;
pub use request::{MAX_STEPS, Request, RequestError, RequestPatch};
pub use steps::{NoStepRange, StepRange};
pub use vocabulary::{MergeStep, MergedWord, Neighbour, Vocabulary, cosine};
pub use words::{Word, checked, words};

use crate::checkpoint::CheckpointError;
use crate::model::tokenizer::{TokenizerError, Tokens};
use crate::model::{self, Hook};
use crate::random::Generator;
use crate::scheduler::{Scheduler, SchedulerError};
use encode::{Contexts, TextInput};

/// Why a generation could not go on. Its state is the one before the attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user cancelled; nothing is wrong.
    #[error("cancelled")]
    Cancelled,
    /// The request cannot be carried out.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A branch asked for something that only a new run can change.
    #[error(
        "a branch keeps its run's number of steps, which is {steps}; start a new run to change it"
    )]
    Branch {
        /// The run's number of steps.
        steps: usize,
    },
    /// Pictures that the model cannot draw.
    #[error(
        "a picture of {width}x{height} pixels cannot be drawn: \
         both must be multiples of {multiple} from {least} to {most}"
    )]
    ImageSize {
        /// As asked for, in pixels.
        width: usize,
        /// As asked for, in pixels.
        height: usize,
        /// Width and height of a latent pixel.
        multiple: usize,
        /// The smallest width or height.
        least: usize,
        /// The largest width or height.
        most: usize,
    },
    /// There is no such step, or it has not been reached.
    #[error("step {0} has not been reached")]
    NoSuchStep(usize),
    /// The checkpoint could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The device, or the type of numbers on it, is not available.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The prompt could not become tokens.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The scheduler refused.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// A network failed.
    #[error(transparent)]
    Model(model::Error),
}

impl From<model::Error> for Error {
    fn from(error: model::Error) -> Self {
        match error {
            model::Error::Cancelled => Self::Cancelled,
            error => Self::Model(error),
        }
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}

/// What a generation does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Turn both prompts into tokens.
    Tokens,
    /// Run the text encoder over them.
    Text,
    /// Draw the initial noise from the seed.
    Noise,
    /// Denoise once: the step's index.
    Step(usize),
    /// Decode the latents.
    Image,
    /// Nothing: the picture is there.
    Done,
}

/// What one advance gave.
#[derive(Debug, Clone)]
pub enum StageOutput {
    /// Both prompts' tokens.
    Tokens {
        /// The prompt's.
        prompt: Tokens,
        /// The negative prompt's.
        negative: Tokens,
    },
    /// Both prompts' embeddings, `(1, 77, hidden)`.
    Text {
        /// The prompt's.
        prompt: Tensor,
        /// The negative prompt's.
        negative: Tensor,
    },
    /// Standard normal noise, `(1, channels, height, width)`.
    Noise {
        /// Before it is multiplied with the schedule's initial sigma.
        initial_noise: Tensor,
    },
    /// One denoising step.
    Step(Box<DenoisingStep>),
    /// The picture.
    Image(Box<Decoded>),
}

/// The state of a generation: everything that decides what comes next, besides the model. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GenerationState {
    stage: Stage,
    request: Arc<Request>,
    /// Where the request was changed on the way here, in the order of the steps.
    branches: Arc<Vec<BranchPoint>>,
    /// Where a branch has just been taken: the state that it departed from.
    departed: Option<Arc<GenerationState>>,
    tokens: Option<Arc<(Tokens, Tokens)>>,
    /// Prompt and negative prompt, `(1, 77, hidden)` each.
    embeddings: Option<(Tensor, Tensor)>,
    /// What the UNet sees in them.
    contexts: Contexts,
    /// What it sees in the texts of runs that patches take values from.
    donor_contexts: Arc<BTreeMap<TextInput, Contexts>>,
    scheduler: Scheduler,
    generator: Generator,
    /// Before it is multiplied with the initial sigma, `(1, channels, height, width)`.
    initial_noise: Option<Tensor>,
    latents: Option<Tensor>,
}

impl GenerationState {
    /// What comes next from here.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What was asked for from here on.
    pub fn request(&self) -> &Request {
        &self.request
    }
}

/// A run in progress.
#[derive(Debug, Clone)]
pub struct Generation {
    pipeline: Arc<Pipeline>,
    donors: Donors,
    state: GenerationState,
}

impl Generation {
    /// A generation at its very beginning. Interventions that name a word without its positions get them.
    pub fn new(pipeline: Arc<Pipeline>, request: Request) -> Result<Self, Error> {
        Self::with_donors(pipeline, request, Donors::default())
    }

    /// The same with the runs that the request's patches take values from.
    ///
    /// # Errors
    /// A request that cannot be carried out; a run that is missing among `donors`, or lacks a step.
    pub fn with_donors(
        pipeline: Arc<Pipeline>,
        request: Request,
        donors: Donors,
    ) -> Result<Self, Error> {
        let request = checked(request, pipeline.tokenizer())?;
        request.validate_text_layers(pipeline.text_encoder().layers())?;
        let scheduler = Scheduler::new(
            request.scheduler,
            pipeline.scheduler_config(),
            request.steps,
        )?;
        request.validate_steps(scheduler.len())?;
        donor::check(&request, scheduler.len(), pipeline.unet().sites(), &donors)?;
        let state = GenerationState {
            stage: Stage::Tokens,
            branches: Arc::default(),
            departed: None,
            tokens: None,
            embeddings: None,
            contexts: Contexts::default(),
            donor_contexts: Arc::default(),
            scheduler,
            generator: Generator::manual_seed(request.seed),
            initial_noise: None,
            latents: None,
            request: Arc::new(request),
        };
        Ok(Self {
            pipeline,
            donors,
            state,
        })
    }

    /// The model it runs on.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// What was asked for, from the last branch on.
    pub fn request(&self) -> &Request {
        &self.state.request
    }

    /// Where the request was changed on the way here, in the order of the steps.
    pub fn branches(&self) -> &[BranchPoint] {
        &self.state.branches
    }

    /// The scheduler, with its timesteps and sigmas.
    pub fn scheduler(&self) -> &Scheduler {
        &self.state.scheduler
    }

    /// Prompt's and negative prompt's tokens, once known.
    pub fn tokens(&self) -> Option<&(Tokens, Tokens)> {
        self.state.tokens.as_deref()
    }

    /// The initial noise before it is multiplied with the initial sigma, `(1, channels, height, width)`, once drawn.
    pub fn initial_noise(&self) -> Option<&Tensor> {
        self.state.initial_noise.as_ref()
    }

    /// Prompt's and negative prompt's embeddings, `(1, 77, hidden)` each, once computed.
    pub fn embeddings(&self) -> Option<&(Tensor, Tensor)> {
        self.state.embeddings.as_ref()
    }

    /// What [`Generation::advance`] will do.
    pub fn stage(&self) -> Stage {
        self.state.stage
    }

    /// The present state, to return to with [`Generation::restore`].
    pub fn state(&self) -> GenerationState {
        self.state.clone()
    }

    /// Returns to `state`, which must be of this generation.
    pub fn restore(&mut self, state: &GenerationState) {
        self.state = state.clone();
    }

    /// Does the next stage, or the next denoising step. `None` when there is nothing left to do.
    ///
    /// After an error, cancellation included, its state is what it was before.
    pub fn advance(&mut self, hook: &mut dyn Hook) -> Result<Option<StageOutput>, Error> {
        let before = self.state.clone();
        let result = self.advance_from_here(hook);
        if result.is_err() {
            self.state = before;
        }
        result
    }

    fn advance_from_here(&mut self, hook: &mut dyn Hook) -> Result<Option<StageOutput>, Error> {
        hook.check()?;
        let output = match self.state.stage {
            Stage::Tokens => {
                let (prompt, negative) = self.tokenize()?;
                self.state.stage = Stage::Text;
                StageOutput::Tokens { prompt, negative }
            }
            Stage::Text => {
                let (prompt, negative) = self.encode(hook)?;
                self.state.stage = Stage::Noise;
                StageOutput::Text { prompt, negative }
            }
            Stage::Noise => {
                let initial_noise = self.draw_noise()?;
                self.state.stage = Stage::Step(0);
                StageOutput::Noise { initial_noise }
            }
            Stage::Step(index) => {
                let step = self.denoise(index, hook)?;
                self.state.departed = None;
                self.state.stage = if index + 1 < self.state.scheduler.len() {
                    Stage::Step(index + 1)
                } else {
                    Stage::Image
                };
                StageOutput::Step(Box::new(step))
            }
            Stage::Image => {
                let image = self.pipeline.decode(self.latents()?)?;
                self.state.stage = Stage::Done;
                StageOutput::Image(Box::new(image))
            }
            Stage::Done => return Ok(None),
        };
        Ok(Some(output))
    }

    fn draw_noise(&mut self) -> Result<Tensor, Error> {
        let noise = self.randn()?;
        self.state.latents = Some(initial_latents(&noise, &self.state.scheduler)?);
        self.state.initial_noise = Some(noise.clone());
        Ok(noise)
    }

    fn latents(&self) -> Result<&Tensor, Error> {
        let missing = || candle_core::Error::Msg("the noise has not been drawn".into());
        Ok(self.state.latents.as_ref().ok_or_else(missing)?)
    }

    fn randn(&mut self) -> Result<Tensor, Error> {
        let [channels, height, width] = self.pipeline.info().latent_shape;
        Ok(self
            .state
            .generator
            .randn_tensor(&[1, channels, height, width], self.pipeline.device())?)
    }
}

/// The latents before the first step: `noise` times the initial sigma.
fn initial_latents(noise: &Tensor, scheduler: &Scheduler) -> candle_core::Result<Tensor> {
    noise * f64::from(scheduler.schedule().init_noise_sigma)
}

//! A generation is a value you hold: it advances one stage or one denoising step at a time.
//!
//! ```text
//!  Tokens → Text → Noise → Step(0) → … → Step(n-1) → Image → Done
//! ```
//!
//! A [`GenerationState`] is a point on this way: cheap to take, because tensors are shared. Going back restores one; a
//! branch restores one and changes the request.

mod branch;
mod decoding;
mod device;
mod guidance;
mod intervention;
mod model_info;
mod pipeline;
mod request;
mod request_json;
mod steps;
mod vocabulary;
mod words;

use std::sync::Arc;

use candle_core::{DType, Tensor};

pub use branch::BranchPoint;
pub(crate) use branch::converted_latents;
pub use decoding::Decoded;
pub use device::{
    DecoderType, DeviceChoice, DeviceError, DeviceNote, NumberTypes, Precision, free_memory,
};
pub use intervention::{AttentionChange, Intervention};
pub use model_info::{AttentionLayer, ModelInfo};
pub use pipeline::Pipeline;
pub use request::{MAX_STEPS, Request, RequestError, RequestPatch};
pub use steps::{NoStepRange, StepRange};
pub use vocabulary::{MergeStep, MergedWord, Neighbour, Vocabulary, cosine};
pub use words::{Word, checked, words};

use crate::checkpoint::CheckpointError;
use crate::model::tokenizer::{TokenizerError, Tokens};
use crate::model::unet::Context;
use crate::model::{self, Hook};
use crate::random::Generator;
use crate::scheduler::{Scheduler, SchedulerError};
use intervention::Intervened;

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

/// Every tensor of one denoising step, each `(1, channels, height, width)`. On a GPU they may still be being computed:
/// it is only asked to, and whoever reads them waits.
#[derive(Debug, Clone)]
pub struct DenoisingStep {
    /// Counts from 0.
    pub index: usize,
    /// Latents before the step, `x_t`.
    pub latents: Tensor,
    /// Noise predicted without the prompt; `None` in a step without guidance.
    pub noise_uncond: Option<Tensor>,
    /// Noise predicted with the prompt.
    pub noise_text: Tensor,
    /// What guidance makes of both, see [`Request::guided`]; without guidance, the one with the prompt.
    pub noise_guided: Tensor,
    /// Latents after the step.
    pub latents_next: Tensor,
    /// The clean latents as predicted at this step.
    pub x0: Tensor,
}

/// The state of a generation: everything that decides what comes next, besides the model. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GenerationState {
    stage: Stage,
    request: Arc<Request>,
    /// Where the request was changed on the way here, in the order of the steps.
    branches: Arc<Vec<BranchPoint>>,
    tokens: Option<Arc<(Tokens, Tokens)>>,
    /// Prompt and negative prompt, `(1, 77, hidden)` each.
    embeddings: Option<(Tensor, Tensor)>,
    /// What the UNet sees in them.
    contexts: Contexts,
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

/// What the UNet sees in the prompts, as far as a run has steps that need it.
#[derive(Debug, Clone, Default)]
struct Contexts {
    /// For steps with guidance: in both, the negative prompt first.
    guided: Option<Context>,
    /// For steps without: in the prompt alone.
    prompt: Option<Context>,
}

/// A run in progress.
#[derive(Debug, Clone)]
pub struct Generation {
    pipeline: Arc<Pipeline>,
    state: GenerationState,
}

impl Generation {
    /// A generation at its very beginning. Interventions that name a word without its positions get them.
    pub fn new(pipeline: Arc<Pipeline>, request: Request) -> Result<Self, Error> {
        let request = checked(request, pipeline.tokenizer())?;
        let scheduler = Scheduler::new(
            request.scheduler,
            pipeline.scheduler_config(),
            request.steps,
        )?;
        request.validate_steps(scheduler.len())?;
        let state = GenerationState {
            stage: Stage::Tokens,
            branches: Arc::default(),
            tokens: None,
            embeddings: None,
            contexts: Contexts::default(),
            scheduler,
            generator: Generator::manual_seed(request.seed),
            initial_noise: None,
            latents: None,
            request: Arc::new(request),
        };
        Ok(Self { pipeline, state })
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

    fn tokenize(&mut self) -> Result<(Tokens, Tokens), Error> {
        let tokenizer = self.pipeline.tokenizer();
        let tokens = (
            tokenizer.encode(&self.state.request.prompt)?,
            tokenizer.encode(&self.state.request.negative_prompt)?,
        );
        self.state.tokens = Some(Arc::new(tokens.clone()));
        Ok(tokens)
    }

    /// The hook sees the prompt; the negative prompt passes with nobody looking.
    fn encode(&mut self, hook: &mut dyn Hook) -> Result<(Tensor, Tensor), Error> {
        let tokens = match &self.state.tokens {
            Some(tokens) => Arc::clone(tokens),
            None => Arc::new(self.tokenize()?),
        };
        let (prompt, negative) = &*tokens;
        let encoder = self.pipeline.text_encoder();
        let embeddings = (
            encoder.forward(&[prompt.ids()], hook)?,
            encoder.forward(&[negative.ids()], &mut OnlyCheck(hook))?,
        );
        let (prompt, negative) = &embeddings;
        let unet = self.pipeline.unet();
        let request = &self.state.request;
        let mut contexts = Contexts::default();
        if request.is_guided() {
            contexts.guided = Some(unet.context(&Tensor::cat(&[negative, prompt], 0)?)?);
        }
        if !request.is_guided() || request.guidance_steps.is_some() {
            contexts.prompt = Some(unet.context(prompt)?);
        }
        self.state.contexts = contexts;
        self.state.embeddings = Some(embeddings.clone());
        Ok(embeddings)
    }

    fn draw_noise(&mut self) -> Result<Tensor, Error> {
        let noise = self.randn()?;
        self.state.latents = Some(initial_latents(&noise, &self.state.scheduler)?);
        self.state.initial_noise = Some(noise.clone());
        Ok(noise)
    }

    fn denoise(&mut self, index: usize, hook: &mut dyn Hook) -> Result<DenoisingStep, Error> {
        let latents = self.latents()?.clone();
        let missing = || candle_core::Error::Msg("the prompt has not been encoded".into());
        let (prompt, _) = self.state.embeddings.as_ref().ok_or_else(missing)?;
        let request = &self.state.request;
        let contexts = &self.state.contexts;
        let context = if request.is_guided_at(index) {
            contexts.guided.as_ref()
        } else {
            contexts.prompt.as_ref()
        };
        let context = context.ok_or_else(missing)?;
        let timestep = self.state.scheduler.schedule().timesteps[index];
        let input = self.state.scheduler.scale_model_input(&latents, index)?;
        // The sampler's arithmetic is f32, whatever the networks compute in.
        let input = input.to_dtype(self.pipeline.dtype())?;
        let unet = self.pipeline.unet();
        let hook = &mut Intervened::new(
            hook,
            unet.cross_attention(),
            &request.interventions,
            index,
            prompt.dim(1)?,
            self.pipeline.device(),
        )?;

        let (noise_uncond, noise_text, noise_guided) = if request.is_guided_at(index) {
            // Both halves in one batch, uncond first, as diffusers does.
            let both = Tensor::cat(&[&input, &input], 0)?;
            let noise = unet.forward(&both, timestep, context, hook)?;
            let noise = noise.to_dtype(DType::F32)?;
            let (uncond, text) = (noise.narrow(0, 0, 1)?, noise.narrow(0, 1, 1)?);
            let guided = request.guided(&uncond, &text)?;
            (Some(uncond), text, guided)
        } else {
            let noise = unet.forward(&input, timestep, context, hook)?;
            let noise = noise.to_dtype(DType::F32)?;
            (None, noise.clone(), noise)
        };

        let fresh_noise = if self.state.scheduler.needs_noise() {
            Some(self.randn()?)
        } else {
            None
        };
        let output =
            self.state
                .scheduler
                .step(index, &noise_guided, &latents, fresh_noise.as_ref())?;
        self.state.latents = Some(output.prev_sample.clone());
        Ok(DenoisingStep {
            index,
            latents,
            noise_uncond,
            noise_text,
            noise_guided,
            latents_next: output.prev_sample,
            x0: output.x0,
        })
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

/// Lets the inner hook cancel, and look at nothing.
struct OnlyCheck<'a>(&'a mut dyn Hook);

impl Hook for OnlyCheck<'_> {
    fn check(&mut self) -> Result<(), model::Error> {
        self.0.check()
    }
}

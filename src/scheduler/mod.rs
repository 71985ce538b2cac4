//! Noise schedules and samplers.
//!
//! A [`Scheduler`] holds a [`Schedule`] (which timesteps, how much noise at each) and a sampler
//! with its history. It turns the model's prediction at one timestep into the latents of the
//! next. The arithmetic is that of the diffusers class named at each [`SchedulerKind`], in the
//! same order and precision.

mod config;
mod ddim;
mod dpm_solver;
mod euler;
mod euler_ancestral;
mod lms;
mod noise_schedule;
mod pndm;
mod prediction;
mod schedule;
mod spacing;

use std::sync::Arc;

use candle_core::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use config::{
    BetaSchedule, MAX_TRAIN_TIMESTEPS, PredictionType, SchedulerConfig, TimestepSpacing,
};
pub use schedule::{LatentSpace, Schedule};

use noise_schedule::NoiseSchedule;

/// A sampler, by the name users type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SchedulerKind {
    /// Linear multistep, order 4 (`LMSDiscreteScheduler`).
    #[serde(rename = "lms")]
    Lms,
    /// Euler (`EulerDiscreteScheduler`).
    #[serde(rename = "euler")]
    Euler,
    /// Euler with fresh noise at every step (`EulerAncestralDiscreteScheduler`).
    #[serde(rename = "euler-a")]
    EulerAncestral,
    /// Denoising diffusion implicit model, eta 0 (`DDIMScheduler`).
    #[serde(rename = "ddim")]
    Ddim,
    /// DPM-Solver++ of order 2, multistep (`DPMSolverMultistepScheduler`).
    #[serde(rename = "dpm++-2m")]
    DpmPlusPlus2M,
    /// DPM-Solver++ 2M on Karras' sigmas.
    #[serde(rename = "dpm++-2m-karras")]
    DpmPlusPlus2MKarras,
    /// Pseudo linear multistep (`PNDMScheduler`), the sampler that SD v1 ships with.
    #[serde(rename = "pndm")]
    Pndm,
}

impl SchedulerKind {
    /// Every one of them, in the order in which they are offered.
    pub const ALL: [Self; 7] = [
        Self::Lms,
        Self::Euler,
        Self::EulerAncestral,
        Self::Ddim,
        Self::DpmPlusPlus2M,
        Self::DpmPlusPlus2MKarras,
        Self::Pndm,
    ];

    /// The name that users type; in documents, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lms => "lms",
            Self::Euler => "euler",
            Self::EulerAncestral => "euler-a",
            Self::Ddim => "ddim",
            Self::DpmPlusPlus2M => "dpm++-2m",
            Self::DpmPlusPlus2MKarras => "dpm++-2m-karras",
            Self::Pndm => "pndm",
        }
    }
}

impl std::fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A schedule, a sampler and what the sampler remembers of earlier steps.
///
/// A clone is a snapshot: it goes on from the same step with the same history.
#[derive(Debug, Clone)]
pub struct Scheduler {
    kind: SchedulerKind,
    prediction: PredictionType,
    schedule: Arc<Schedule>,
    sampler: Sampler,
    /// The index that the next step must have.
    next: usize,
}

/// What one step gives. Both have the sample's shape, `(batch, channels, height, width)`, in f32.
#[derive(Debug, Clone)]
pub struct StepOutput {
    /// The latents after the step.
    pub prev_sample: Tensor,
    /// The clean latents that the model's output implies for the latents before the step.
    pub x0: Tensor,
}

/// What can be wrong with a schedule or a step.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// `num_train_timesteps` is 0 or beyond all reason.
    #[error("num_train_timesteps is {found}; expected 1 to {MAX_TRAIN_TIMESTEPS}")]
    TrainTimesteps {
        /// The value in the configuration.
        found: usize,
    },
    /// A beta is not a number between 0 and 1.
    #[error("{key} is {found}; expected a number above 0 and below 1")]
    Beta {
        /// The key in the configuration.
        key: String,
        /// Its value.
        found: f64,
    },
    /// `trained_betas` has another length than the training had timesteps.
    #[error("trained_betas has {found} numbers; num_train_timesteps asks for {expected}")]
    TrainedBetas {
        /// `num_train_timesteps`.
        expected: usize,
        /// The length of the list.
        found: usize,
    },
    /// The betas leave no signal (or no noise) at a timestep, so that its sigma is not a number above 0.
    #[error(
        "the betas leave {alpha_cumprod:e} of the signal's variance at timestep {timestep}; \
         expected more than 0 and less than 1 (the betas are too large or too small)"
    )]
    NoSignalLeft {
        /// The first such timestep.
        timestep: usize,
        /// `alphas_cumprod` there.
        alpha_cumprod: f32,
    },
    /// The configuration asks for something that this sampler cannot do.
    #[error("{key} is {found}, which this scheduler does not support; expected {supported}")]
    Unsupported {
        /// The key in the configuration.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        supported: &'static str,
    },
    /// The number of steps is 0, or more than the training's timesteps allow.
    #[error("{found} steps; expected 1 to {largest}")]
    Steps {
        /// The number asked for.
        found: usize,
        /// The largest that works.
        largest: usize,
    },
    /// PNDM's Runge-Kutta start needs four steps.
    #[error("{found} steps; PNDM without skip_prk_steps needs at least 4")]
    TooFewForPrk {
        /// The number asked for.
        found: usize,
    },
    /// The spacing and `steps_offset` lead to a timestep that the model was not trained on.
    #[error(
        "the schedule reaches timestep {found}, but the model was trained on 0 to {last}; \
         ask for fewer steps or lower steps_offset"
    )]
    TimestepOutOfRange {
        /// The largest timestep of the schedule.
        found: f64,
        /// The last timestep of the training.
        last: usize,
    },
    /// Steps must be taken one after the other.
    #[error("step {found} was asked for, but step {expected} is the next")]
    OutOfOrder {
        /// The next step.
        expected: usize,
        /// The step asked for.
        found: usize,
    },
    /// All steps are done.
    #[error("all {len} steps of the schedule are done")]
    Finished {
        /// The number of steps.
        len: usize,
    },
    /// Another sampler stands where this one cannot go on.
    #[error(
        "{kind} cannot take over at step {step}: {reason}; change the scheduler at another step, or start a new run"
    )]
    TakeOver {
        /// The sampler that was to go on, by the name users type.
        kind: String,
        /// The step.
        step: usize,
        /// Why it cannot.
        reason: String,
    },
    /// An ancestral sampler was given no noise.
    #[error("this scheduler needs fresh noise at every step")]
    MissingNoise,
    /// A tensor does not fit the sample.
    #[error("{what} has shape {found:?}; the sample has {expected:?}")]
    Shape {
        /// The tensor.
        what: &'static str,
        /// The sample's shape.
        expected: Vec<usize>,
        /// The tensor's shape.
        found: Vec<usize>,
    },
    /// An operation of the tensor library failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Scheduler {
    /// The scheduler that `set_timesteps(steps)` prepares in diffusers.
    ///
    /// # Errors
    /// Those of [`Schedule::new`].
    pub fn new(
        kind: SchedulerKind,
        config: &SchedulerConfig,
        steps: usize,
    ) -> Result<Self, SchedulerError> {
        let schedule = Schedule::new(kind, config, steps)?;
        let sampler = Sampler::new(kind, config, &schedule, steps)?;
        Ok(Self {
            kind,
            prediction: config.prediction_type,
            schedule: Arc::new(schedule),
            sampler,
            next: 0,
        })
    }

    /// A scheduler that goes on where `other` stands before step `index`, with the steps after it its own.
    ///
    /// Noise levels of two samplers differ a little at the same index. The latents have the noise that they have, so the
    /// first step of the new sampler begins at `other`'s timestep and sigma, and ends at its own next sigma: timesteps
    /// and sigmas up to `index` are `other`'s, those after it are what [`Scheduler::new`] gives. Multistep samplers begin
    /// without a history.
    ///
    /// # Errors
    /// Those of [`Schedule::new`]; a sampler that makes another number of model calls (PNDM); one whose next noise level
    /// is not below the one that has been reached.
    pub fn taking_over(
        kind: SchedulerKind,
        config: &SchedulerConfig,
        steps: usize,
        other: &Self,
        index: usize,
    ) -> Result<Self, SchedulerError> {
        let mut scheduler = Self::new(kind, config, steps)?;
        let mut schedule = scheduler.schedule().clone();
        let refused = |reason: String| SchedulerError::TakeOver {
            kind: kind.to_string(),
            step: index,
            reason,
        };
        if schedule.len() != other.len() || index >= other.len() {
            return Err(refused(format!(
                "it makes {} model calls where {} makes {}",
                schedule.len(),
                other.kind,
                other.len()
            )));
        }
        let (here, next) = (other.schedule().sigmas[index], schedule.sigmas[index + 1]);
        if next >= here {
            return Err(refused(format!(
                "sigma is {here} there, and its next one, {next}, is not below that"
            )));
        }
        schedule.timesteps[..=index].copy_from_slice(&other.schedule().timesteps[..=index]);
        schedule.sigmas[..=index].copy_from_slice(&other.schedule().sigmas[..=index]);
        schedule.init_noise_sigma = other.schedule().init_noise_sigma;
        if let Sampler::Ddim(ddim) = &mut scheduler.sampler {
            ddim.begin_at(index, here);
        }
        scheduler.schedule = Arc::new(schedule);
        scheduler.next = index;
        Ok(scheduler)
    }

    /// Which sampler this is.
    pub fn kind(&self) -> SchedulerKind {
        self.kind
    }

    /// The timesteps and how much noise there is at each.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Number of model calls. PNDM makes one more than the steps asked for.
    #[allow(clippy::len_without_is_empty)] // There is always at least one.
    pub fn len(&self) -> usize {
        self.schedule.len()
    }

    /// What the model is shown at step `index`: the sample, divided by `sqrt(sigma^2 + 1)`
    /// where the latents' variance grows with the noise. Shape and type stay.
    ///
    /// # Errors
    /// An `index` that the schedule does not have.
    pub fn scale_model_input(&self, sample: &Tensor, index: usize) -> candle_core::Result<Tensor> {
        if index >= self.len() {
            candle_core::bail!("no step {index}: the schedule has {}", self.len());
        }
        match self.schedule.space {
            LatentSpace::VariancePreserving => Ok(sample.clone()),
            LatentSpace::VarianceExploding => {
                let f32_sample = sample.to_dtype(DType::F32)?;
                prediction::divide(&f32_sample, self.preview_scale(index))?.to_dtype(sample.dtype())
            }
        }
    }

    /// What to divide the latents before step `index` by so that their variance is about 1;
    /// the latents after the last step have `index` [`len`](Self::len).
    pub fn preview_scale(&self, index: usize) -> f32 {
        self.schedule.preview_scale(index)
    }

    /// Whether every step, the last included, takes standard normal noise of the sample's shape.
    pub fn needs_noise(&self) -> bool {
        self.kind == SchedulerKind::EulerAncestral
    }

    /// One step, from the latents `sample` and the model's output for them, both
    /// `(batch, channels, height, width)` of any floating type; the arithmetic is in f32.
    ///
    /// `index` counts 0, 1, 2, … A clone goes on from the step that it was made at. After an
    /// error nothing has changed.
    ///
    /// # Errors
    /// Steps out of order, tensors of different shapes, missing noise.
    pub fn step(
        &mut self,
        index: usize,
        model_output: &Tensor,
        sample: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<StepOutput, SchedulerError> {
        if self.next == self.len() {
            return Err(SchedulerError::Finished { len: self.len() });
        }
        if index != self.next {
            return Err(SchedulerError::OutOfOrder {
                expected: self.next,
                found: index,
            });
        }
        check_shape("the model's output", model_output, sample)?;
        let input = StepInput {
            index,
            schedule: &self.schedule,
            prediction: self.prediction,
            model_output: &model_output.to_dtype(DType::F32)?,
            sample: &sample.to_dtype(DType::F32)?,
        };
        let output = match &mut self.sampler {
            Sampler::Lms(lms) => lms.step(&input)?,
            Sampler::Euler => euler::step(&input)?,
            Sampler::EulerAncestral => {
                let noise = noise.ok_or(SchedulerError::MissingNoise)?;
                check_shape("the noise", noise, sample)?;
                euler_ancestral::step(&input, &noise.to_dtype(DType::F32)?)?
            }
            Sampler::Ddim(ddim) => ddim.step(&input)?,
            Sampler::DpmSolver(dpm_solver) => dpm_solver.step(&input)?,
            Sampler::Pndm(pndm) => pndm.step(&input)?,
        };
        self.next += 1;
        Ok(output)
    }
}

/// A sampler with its history.
#[derive(Debug, Clone)]
enum Sampler {
    Lms(lms::Lms),
    Euler,
    EulerAncestral,
    Ddim(ddim::Ddim),
    DpmSolver(dpm_solver::DpmSolver),
    Pndm(pndm::Pndm),
}

impl Sampler {
    fn new(
        kind: SchedulerKind,
        config: &SchedulerConfig,
        schedule: &Schedule,
        steps: usize,
    ) -> Result<Self, SchedulerError> {
        Ok(match kind {
            SchedulerKind::Lms => Self::Lms(lms::Lms::default()),
            SchedulerKind::Euler => Self::Euler,
            SchedulerKind::EulerAncestral => Self::EulerAncestral,
            SchedulerKind::Ddim => {
                let noise = NoiseSchedule::new(config)?;
                Self::Ddim(ddim::Ddim::new(config, &noise, &schedule.timesteps, steps))
            }
            SchedulerKind::DpmPlusPlus2M | SchedulerKind::DpmPlusPlus2MKarras => {
                Self::DpmSolver(dpm_solver::DpmSolver::default())
            }
            SchedulerKind::Pndm => {
                let noise = NoiseSchedule::new(config)?;
                Self::Pndm(pndm::Pndm::new(config, &noise, &schedule.timesteps, steps)?)
            }
        })
    }
}

/// What every sampler's step is given; `index` is within the schedule and the tensors have one shape.
struct StepInput<'a> {
    index: usize,
    schedule: &'a Schedule,
    prediction: PredictionType,
    model_output: &'a Tensor,
    sample: &'a Tensor,
}

fn check_shape(what: &'static str, tensor: &Tensor, sample: &Tensor) -> Result<(), SchedulerError> {
    if tensor.dims() == sample.dims() {
        Ok(())
    } else {
        Err(SchedulerError::Shape {
            what,
            expected: sample.dims().to_vec(),
            found: tensor.dims().to_vec(),
        })
    }
}

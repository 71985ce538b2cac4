//! Noise schedules and samplers.
//!
//! A [`Scheduler`] holds a [`Schedule`] (which timesteps, how much noise at each) and a sampler
//! with its history. It turns the model's prediction at one timestep into the latents of the
//! next. The arithmetic is that of the diffusers class named at each [`SchedulerKind`], in the
//! same order and precision.

mod config;
mod ddim;
mod dpm_solver;
mod error;
mod euler;
mod euler_ancestral;
mod kind;
mod lms;
mod noise_schedule;
mod pndm;
mod prediction;
mod schedule;
mod spacing;
mod thresholding;
mod validation;

use std::sync::Arc;

use candle_core::{DType, Tensor};

pub use config::{
    AlgorithmType, BetaSchedule, FinalSigma, InterpolationType, MAX_TRAIN_TIMESTEPS,
    PredictionType, SchedulerConfig, SolverType, TimestepSpacing,
};
pub use error::SchedulerError;
pub use kind::SchedulerKind;
pub use schedule::{LatentSpace, Schedule};

use noise_schedule::NoiseSchedule;

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
    /// Noise levels of two samplers differ a little at the same index. The latents have the noise that they have, so
    /// the first step of the new sampler begins at `other`'s timestep and sigma, and ends at its own next sigma:
    /// timesteps and sigmas up to `index` are `other`'s, those after it are what [`Scheduler::new`] gives. Multistep
    /// samplers begin without a history.
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
        match &self.sampler {
            Sampler::EulerAncestral => true,
            Sampler::DpmSolver(solver) => solver.needs_noise(),
            _ => false,
        }
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
            Sampler::EulerAncestral => euler_ancestral::step(&input, &fresh(noise, sample)?)?,
            Sampler::Ddim(ddim) => ddim.step(&input)?,
            Sampler::DpmSolver(solver) if solver.needs_noise() => {
                solver.step(&input, Some(&fresh(noise, sample)?))?
            }
            Sampler::DpmSolver(solver) => solver.step(&input, None)?,
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
                let noise = NoiseSchedule::new(config, Some(kind))?;
                Self::Ddim(ddim::Ddim::new(config, &noise, &schedule.timesteps, steps))
            }
            SchedulerKind::DpmPlusPlus2M | SchedulerKind::DpmPlusPlus2MKarras => {
                Self::DpmSolver(dpm_solver::DpmSolver::new(config))
            }
            SchedulerKind::Pndm => {
                let noise = NoiseSchedule::new(config, Some(kind))?;
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

/// The noise that a step needs, in f32.
fn fresh(noise: Option<&Tensor>, sample: &Tensor) -> Result<Tensor, SchedulerError> {
    let noise = noise.ok_or(SchedulerError::MissingNoise)?;
    check_shape("the noise", noise, sample)?;
    Ok(noise.to_dtype(DType::F32)?)
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

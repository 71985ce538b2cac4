//! Guidance and the sampler's steps of a recorded run, computed again: everything between the network's predictions, which
//! are taken as they were recorded.

use candle_core::{Device, Tensor};

use super::Verified;
use super::schedule::{near, verify_noise, verify_schedule};
use crate::export::document::Step;
use crate::export::replay::{Replay, ReplayError};
use crate::generation::{BranchPoint, Request, converted_latents};
use crate::random::Generator;
use crate::scheduler::{Scheduler, SchedulerConfig, SchedulerError};

/// How far values may be from those that are computed again, relative to the largest of a tensor: the same arithmetic
/// on the CPU, and that of another device, which may round sums otherwise.
const ON_CPU: f32 = 2e-6;
const ELSEWHERE: f32 = 1e-4;

/// A run, as far as it has been gone through.
pub(super) struct Resampled<'a> {
    replay: &'a Replay,
    config: &'a SchedulerConfig,
    request: &'a Request,
    scheduler: Scheduler,
    generator: Generator,
    /// The latents before the next step, as they follow, where everything they follow from is recorded.
    latents: Option<Vec<f32>>,
    /// Has the sampler's history been complete so far?
    is_complete: bool,
    seen: Seen,
}

/// What there was to compare.
#[derive(Default)]
struct Seen {
    guidance: usize,
    guidance_missing: usize,
    latents: usize,
    steps: usize,
    steps_missing: usize,
}

impl Replay {
    /// The request of a step.
    pub(in crate::export::replay) fn request_at(&self, index: usize) -> &Request {
        BranchPoint::request_at(&self.document.branches, &self.document.request, index)
    }

    /// The request that the run began with.
    fn first_request(&self) -> &Request {
        let first = self.document.branches.first();
        first.map_or(&self.document.request, |branch| &branch.request)
    }
}

impl<'a> Resampled<'a> {
    /// Goes through the run.
    pub fn verify(replay: &'a Replay, verified: &mut Verified) -> Result<(), ReplayError> {
        let request = replay.first_request();
        let (noise, generator) = verify_noise(replay, request, verified)?;
        let Some(config) = &replay.document.scheduler_config else {
            let what = "timesteps, sigmas, guidance and the sampler's steps: run.json has no scheduler_config, \
                        as an earlier version wrote it";
            verified.unchecked.push(what.to_owned());
            return Ok(());
        };
        let scheduler = Scheduler::new(request.scheduler, config, request.steps);
        let scheduler = scheduler.map_err(|error| Self::impossible(replay, &error))?;
        let sigma = scheduler.schedule().init_noise_sigma;
        let mut run = Self {
            replay,
            config,
            request,
            latents: Some(noise.iter().map(|value| value * sigma).collect()),
            scheduler,
            generator,
            is_complete: true,
            seen: Seen::default(),
        };
        for (index, step) in replay.document.steps.iter().enumerate() {
            run.branch(index, &noise)?;
            run.step(index, step)?;
        }
        verify_schedule(replay, run.request, run.scheduler.schedule())?;
        run.say(verified);
        Ok(())
    }

    /// Changes the request where the run was: see [`Generation::branch`](crate::generation::Generation::branch).
    fn branch(&mut self, index: usize, noise: &[f32]) -> Result<(), ReplayError> {
        let before = std::mem::replace(&mut self.request, self.replay.request_at(index));
        if self.request.seed != before.seed {
            self.generator = Generator::manual_seed(self.request.seed);
        }
        if self.request.scheduler == before.scheduler {
            return Ok(());
        }
        let (kind, steps) = (self.request.scheduler, self.request.steps);
        let old = self.scheduler.clone();
        let new = if index == 0 {
            Scheduler::new(kind, self.config, steps)
        } else {
            Scheduler::taking_over(kind, self.config, steps, &old, index)
        };
        self.scheduler = new.map_err(|error| Self::impossible(self.replay, &error))?;
        self.is_complete = true;
        self.latents = if index == 0 {
            let sigma = self.scheduler.schedule().init_noise_sigma;
            Some(noise.iter().map(|value| value * sigma).collect())
        } else {
            match self.latents.take() {
                None => None,
                Some(latents) => {
                    let latents = self.tensor(&latents)?;
                    let converted = converted_latents(&latents, (&old, &self.scheduler), index);
                    Some(self.values(&converted.map_err(|error| self.failed(error))?)?)
                }
            }
        };
        Ok(())
    }

    /// One step: its numbers, its latents, guidance, and what the sampler makes of them.
    fn step(&mut self, index: usize, step: &Step) -> Result<(), ReplayError> {
        let schedule = self.scheduler.schedule();
        if index >= schedule.len() {
            let (found, expected) = (self.replay.document.steps.len(), schedule.len());
            let expected = format!(
                "{expected}, those of {} steps of {}",
                self.request.steps, self.request.scheduler
            );
            return Err(self
                .replay
                .differs("steps", format!("a list of {found}"), expected));
        }
        let preview = step.preview_scale.map_or(0.0, |scale| scale.0);
        for (name, found, expected) in [
            ("timestep", step.timestep.0, schedule.timesteps[index]),
            ("sigma", step.sigma.0, schedule.sigmas[index]),
            ("sigma_next", step.sigma_next.0, schedule.sigmas[index + 1]),
            (
                "preview_scale",
                preview,
                self.scheduler.preview_scale(index),
            ),
        ] {
            if !near(found, expected) {
                return Err(self
                    .replay
                    .differs(format!("steps[{index}].{name}"), found, expected));
            }
        }
        let recorded = |name: &str| self.recorded(index, step, name);
        let latents = recorded("latents")?;
        let (uncond, text) = (recorded("noise_uncond")?, recorded("noise_text")?);
        let guided = recorded("noise_guided")?;
        let (next, x0) = (recorded("latents_next")?, recorded("x0")?);
        if let (Some(found), Some(expected)) = (&latents, &self.latents) {
            self.compare(
                &member(index, "latents"),
                found,
                expected,
                "those after the step before",
            )?;
            self.seen.latents += 1;
        }
        let guided = self.guidance(index, (uncond, text), guided)?;
        let latents = latents.or(self.latents.take());
        self.sample(index, latents, guided, (next, x0))
    }

    /// What guidance makes of both halves, which must be what was recorded.
    fn guidance(
        &mut self,
        index: usize,
        (uncond, text): (Option<Vec<f32>>, Option<Vec<f32>>),
        guided: Option<Vec<f32>>,
    ) -> Result<Option<Vec<f32>>, ReplayError> {
        let request = self.request;
        let scale = request.guidance_scale;
        let combined = match (uncond, text) {
            (Some(_), _) if !request.is_guided_at(index) => {
                let expected = match request.guidance_steps {
                    Some(steps) if request.is_guided() => {
                        format!("left out: there is guidance only in {steps}")
                    }
                    _ => format!("left out: guidance is {scale}"),
                };
                return Err(self
                    .replay
                    .differs(member(index, "noise_uncond"), "there", expected));
            }
            (None, text) if !request.is_guided_at(index) => text,
            (Some(uncond), Some(text)) => {
                let (uncond, text) = (self.tensor(&uncond)?, self.tensor(&text)?);
                let guided = request.guided(&uncond, &text);
                Some(self.values(&guided.map_err(|error| self.failed(error))?)?)
            }
            _ => None,
        };
        match (&guided, &combined) {
            (Some(found), Some(expected)) => {
                let name = member(index, "noise_guided");
                let what = if request.is_guided_at(index) {
                    format!(
                        "that of guidance {scale}, rescaled by {}",
                        request.guidance_rescale
                    )
                } else {
                    "the prediction with the prompt: there is no guidance".to_owned()
                };
                self.compare(&name, found, expected, &what)?;
                self.seen.guidance += 1;
            }
            _ => self.seen.guidance_missing += 1,
        }
        Ok(guided.or(combined))
    }

    /// The sampler's step, which must give what was recorded.
    fn sample(
        &mut self,
        index: usize,
        latents: Option<Vec<f32>>,
        guided: Option<Vec<f32>>,
        (next, x0): (Option<Vec<f32>>, Option<Vec<f32>>),
    ) -> Result<(), ReplayError> {
        let count = self.replay.info.latent_shape.iter().product();
        let fresh = self
            .scheduler
            .needs_noise()
            .then(|| self.generator.randn(count));
        let (Some(latents), Some(guided), true) = (latents, guided, self.is_complete) else {
            self.is_complete = false;
            self.seen.steps_missing += 1;
            self.latents = next;
            return Ok(());
        };
        let [latents, guided] = [self.tensor(&latents)?, self.tensor(&guided)?];
        let fresh = fresh.map(|fresh| self.tensor(&fresh)).transpose()?;
        let output = self
            .scheduler
            .step(index, &guided, &latents, fresh.as_ref());
        let output = output.map_err(|error| Self::impossible(self.replay, &error))?;
        let what = format!("what {} makes of the step", self.request.scheduler);
        let computed = [
            ("latents_next", next, self.values(&output.prev_sample)?),
            ("x0", x0, self.values(&output.x0)?),
        ];
        let mut after = None;
        for (name, found, expected) in computed {
            match &found {
                Some(found) => {
                    self.compare(&member(index, name), found, &expected, &what)?;
                    self.seen.steps += 1;
                }
                None => self.seen.steps_missing += 1,
            }
            after.get_or_insert(found.unwrap_or(expected));
        }
        self.latents = after;
        Ok(())
    }

    /// Adds what there was to compare.
    fn say(&self, verified: &mut Verified) {
        let Seen {
            guidance,
            guidance_missing,
            latents,
            steps,
            steps_missing,
        } = self.seen;
        verified
            .checked
            .push("timesteps and sigmas are those of the scheduler".to_owned());
        let mut add = |count: usize, missing: usize, what: &str, why: &str| {
            if count > 0 {
                verified.checked.push(format!("{what} ({count} tensors)"));
            }
            if missing > 0 {
                verified
                    .unchecked
                    .push(format!("{what} ({missing} tensors): {why}"));
            }
        };
        add(latents, 0, "latents are those after the step before", "");
        add(
            guidance,
            guidance_missing,
            "guidance combines its halves as the request says",
            "both halves or their combination are not recorded",
        );
        add(
            steps,
            steps_missing,
            "latents_next and x0 are what the sampler makes of the predicted noise",
            "they, or what they follow from, are not recorded",
        );
    }

    fn recorded(
        &self,
        index: usize,
        step: &Step,
        name: &str,
    ) -> Result<Option<Vec<f32>>, ReplayError> {
        debug_assert_eq!(index, step.index);
        let Some(entry) = step.tensors.get(name) else {
            return Ok(None);
        };
        Ok(Some(self.replay.tensor(name, entry)?.data.to_vec()))
    }

    fn compare(
        &self,
        member: &str,
        found: &[f32],
        expected: &[f32],
        what: &str,
    ) -> Result<(), ReplayError> {
        let is_on_cpu = self.replay.info.device == "cpu";
        let finite = expected.iter().filter(|value| value.is_finite());
        let largest = finite.fold(0_f32, |largest, value| largest.max(value.abs()));
        let within = largest * if is_on_cpu { ON_CPU } else { ELSEWHERE };
        let is_same = |found: f32, expected: f32| {
            (found - expected).abs() <= within || (!found.is_finite() && !expected.is_finite())
        };
        let mut pairs = found.iter().zip(expected).enumerate();
        match pairs.find(|(_, (found, expected))| !is_same(**found, **expected)) {
            None => Ok(()),
            Some((index, (found, expected))) => {
                let found = format!("{found} at value {index}");
                Err(self
                    .replay
                    .differs(member, found, format!("{expected}, {what}")))
            }
        }
    }

    fn tensor(&self, values: &[f32]) -> Result<Tensor, ReplayError> {
        let [channels, height, width] = self.replay.info.latent_shape;
        let shape = (1, channels, height, width);
        Tensor::from_slice(values, shape, &Device::Cpu).map_err(|error| self.failed(error))
    }

    fn values(&self, tensor: &Tensor) -> Result<Vec<f32>, ReplayError> {
        let values = tensor.flatten_all().and_then(|values| values.to_vec1());
        values.map_err(|error| self.failed(error))
    }

    // Taken by value to be handed to `map_err`.
    #[allow(clippy::needless_pass_by_value)]
    fn failed(&self, error: candle_core::Error) -> ReplayError {
        self.replay
            .differs("steps", "one that cannot be computed again", error)
    }

    fn impossible(replay: &Replay, error: &SchedulerError) -> ReplayError {
        replay.differs(
            "request.scheduler",
            format!("one that cannot be ({error})"),
            "one that can",
        )
    }
}

fn member(index: usize, name: &str) -> String {
    format!("steps[{index}].tensors.{name}")
}

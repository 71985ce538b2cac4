//! Branches: going on from a step with another request.

use std::sync::Arc;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, Generation, GenerationState, Request, Stage, checked, donor, initial_latents};
use crate::model::Hook;
use crate::random::Generator;
use crate::scheduler::{LatentSpace, Scheduler};

/// Where a run went on with another request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BranchPoint {
    /// The first step of the new request.
    pub step: usize,
    /// The request of the steps before it.
    pub request: Request,
}

impl BranchPoint {
    /// The request of step `index` of a run with these `branches`, of which `request` is the last.
    pub fn request_at<'a>(branches: &'a [Self], request: &'a Request, index: usize) -> &'a Request {
        let before = branches.iter().find(|branch| branch.step > index);
        before.map_or(request, |branch| &branch.request)
    }
}

impl Generation {
    /// A generation that goes on from `state` (of this one) with another prompt, negative prompt, guidance, scheduler,
    /// interventions, or seed of the noise that is still to be drawn. Both prompts are tokenized and encoded anew.
    ///
    /// Another scheduler begins without a history. At step 0 it begins from the initial noise, as in a run of its own;
    /// later it takes over at the noise level that has been reached, see [`Scheduler::taking_over`]. Where only one of
    /// the two works on latents whose variance grows with the noise, they are converted: with
    /// `x = x0 + sigma eps` of the one and `x' = (x0 + sigma eps) / sqrt(sigma^2 + 1)` of the other,
    /// `x = x' sqrt(sigma^2 + 1)` at the same sigma.
    ///
    /// Where `state` is itself that of a branch of which no step was done, this one departs from the same state as that: of
    /// several branches at one step only the last was ever used, and what it computes depends on nothing but its own
    /// request and the steps before it.
    ///
    /// # Errors
    /// Another number of steps; a scheduler that cannot take over there; a request that cannot be carried out.
    pub fn branch(
        &self,
        state: &GenerationState,
        request: Request,
        hook: &mut dyn Hook,
    ) -> Result<Self, Error> {
        let request = checked(request, self.pipeline.tokenizer())?;
        request.validate_text_layers(self.pipeline.text_encoder().layers())?;
        let state = state.departed.as_deref().unwrap_or(state);
        let before = state.request.as_ref();
        if request.steps != before.steps {
            let steps = before.steps;
            return Err(Error::Branch { steps });
        }
        let len = state.scheduler.len();
        request.validate_steps(len)?;
        donor::check(&request, len, self.pipeline.unet().sites(), &self.donors)?;
        let mut branch = Self {
            pipeline: self.pipeline.clone(),
            donors: self.donors.clone(),
            state: state.clone(),
        };
        let here = &mut branch.state;
        if request.seed != before.seed {
            here.generator = Generator::manual_seed(request.seed);
        }
        if let Stage::Step(step) = here.stage {
            if request.scheduler != before.scheduler {
                branch.change_scheduler(&request, step)?;
            }
            let here = &mut branch.state;
            if request != *before {
                let point = BranchPoint {
                    step,
                    request: before.clone(),
                };
                Arc::make_mut(&mut here.branches).push(point);
                here.departed = Some(Arc::new(state.clone()));
            }
        }
        branch.state.request = Arc::new(request);
        branch.tokenize()?;
        branch.encode(hook)?;
        branch.state.stage = state.stage;
        Ok(branch)
    }

    /// Lets the request's scheduler take over before `step`, and brings the latents to its scale.
    fn change_scheduler(&mut self, request: &Request, step: usize) -> Result<(), Error> {
        let config = self.pipeline.scheduler_config();
        let (kind, steps) = (request.scheduler, request.steps);
        let old = &self.state.scheduler;
        if step == 0 {
            let new = Scheduler::new(kind, config, steps)?;
            if let Some(noise) = &self.state.initial_noise {
                self.state.latents = Some(initial_latents(noise, &new)?);
            }
            self.state.scheduler = new;
            return Ok(());
        }
        let new = Scheduler::taking_over(kind, config, steps, old, step)?;
        let latents = converted_latents(self.latents()?, (old, &new), step)?;
        self.state.latents = Some(latents);
        self.state.scheduler = new;
        Ok(())
    }
}

/// The latents before `step`, which are on the old scheduler's scale, on that of the one that takes over there: see
/// [`Generation::branch`].
pub fn converted_latents(
    latents: &Tensor,
    (old, new): (&Scheduler, &Scheduler),
    step: usize,
) -> candle_core::Result<Tensor> {
    use LatentSpace::{VarianceExploding, VariancePreserving};
    let sigma = f64::from(old.schedule().sigmas[step]);
    let scale = (sigma * sigma + 1.0).sqrt();
    match (old.schedule().space, new.schedule().space) {
        (VariancePreserving, VarianceExploding) => latents * scale,
        (VarianceExploding, VariancePreserving) => latents / scale,
        _ => Ok(latents.clone()),
    }
}

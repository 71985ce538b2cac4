//! One denoising step.

use candle_core::{DType, Tensor};

use super::attention_mix::AttentionMix;
use super::encode::Contexts;
use super::patch::Patched;
use super::{Error, Generation, Request, Stage};
use crate::model::{self, Hook, hook};

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

impl Generation {
    pub(super) fn denoise(
        &mut self,
        index: usize,
        hook: &mut dyn Hook,
    ) -> Result<DenoisingStep, Error> {
        let latents = self.latents()?.clone();
        let request = &self.state.request;
        let is_guided = request.is_guided_at(index);
        let noise = self.predict(index, hook)?;
        let (noise_uncond, noise_text, noise_guided) = if is_guided {
            let (uncond, text) = (noise.narrow(0, 0, 1)?, noise.narrow(0, 1, 1)?);
            let guided = request.guided(&uncond, &text)?;
            (Some(uncond), text, guided)
        } else {
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

    /// One forward pass of the UNet in the step at hand, with what the request changes in it, for a hook that looks: the
    /// state stays as it is. The hook may end the pass when it has what it wants: see [`hook::Until`].
    ///
    /// # Errors
    /// Where the stage at hand is no step; those of the networks, cancellation included.
    pub fn look(&self, hook: &mut dyn Hook) -> Result<(), Error> {
        let Stage::Step(index) = self.stage() else {
            return Err(candle_core::Error::Msg("no step is at hand".into()).into());
        };
        hook.check()?;
        ended(self.predict(index, hook).map(drop))
    }

    /// The noise that the UNet predicts in step `index`, `(1 or 2, channels, height, width)`.
    fn predict(&self, index: usize, hook: &mut dyn Hook) -> Result<Tensor, Error> {
        let scheduler = &self.state.scheduler;
        let timestep = scheduler.schedule().timesteps[index];
        let input = scheduler.scale_model_input(self.latents()?, index)?;
        let request = &self.state.request;
        let taken = self.taken(index, hook)?;
        let sites = self.pipeline.unet().sites();
        let mut patched = Patched::new(&request.patches, index, sites, &taken)?;
        let mut mix = self.attention_mix(request, index)?;
        self.forward(
            &input,
            timestep,
            Some(&self.state.contexts),
            request.is_guided_at(index),
            &mut hook::Chain(vec![&mut patched, &mut mix, hook]),
        )
    }

    /// The noise that the UNet predicts in `input` `(1, channels, height, width)`, in f32: with guidance both halves in
    /// one batch, uncond first, as diffusers does.
    pub(super) fn forward(
        &self,
        input: &Tensor,
        timestep: f32,
        contexts: Option<&Contexts>,
        is_guided: bool,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, Error> {
        let missing = || candle_core::Error::Msg("the prompt has not been encoded".into());
        let context = contexts.and_then(|contexts| {
            let Contexts { guided, prompt } = contexts;
            if is_guided {
                guided.as_ref()
            } else {
                prompt.as_ref()
            }
        });
        // The sampler's arithmetic is f32, whatever the networks compute in.
        let mut input = input.to_dtype(self.pipeline.dtype())?;
        if is_guided {
            input = Tensor::cat(&[&input, &input], 0)?;
        }
        let unet = self.pipeline.unet();
        let noise = unet.forward(&input, timestep, context.ok_or_else(missing)?, hook)?;
        Ok(noise.to_dtype(DType::F32)?)
    }

    /// What `request` makes of the prompt's attention in step `index`.
    pub(super) fn attention_mix(
        &self,
        request: &Request,
        index: usize,
    ) -> Result<AttentionMix<'_>, Error> {
        let missing = || candle_core::Error::Msg("the prompt has not been encoded".into());
        let (prompt, _) = self.state.embeddings.as_ref().ok_or_else(missing)?;
        Ok(AttentionMix::new(
            self.pipeline.unet().cross_attention(),
            &request.interventions,
            index,
            prompt.dim(1)?,
            self.pipeline.device(),
        )?)
    }
}

/// A pass that a hook ended because it had what it wanted did not fail.
pub(super) fn ended(passed: Result<(), Error>) -> Result<(), Error> {
    match passed {
        Err(Error::Model(model::Error::Enough)) => Ok(()),
        passed => passed,
    }
}

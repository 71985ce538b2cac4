//! A step that was done, run again from its latents to look closer: with its interventions and patches, which gives the
//! same numbers. Each pass ends where the last thing that is looked for is known.

use super::Recorder;
use crate::generation::Error;
use crate::model::Hook;
use crate::trace::components::{Components, components_of};
use crate::trace::heads::{HeadSummary, Summarise};
use crate::trace::options::Guidance;
use crate::trace::projections::{AttentionKind, Keep, Projections};

impl Recorder {
    /// What every head of the cross-attention attends to in a step that was done, in a few numbers each, layer by layer.
    /// Empty for [`Guidance::Uncond`] of a step without guidance.
    pub fn heads_at(&self, step: usize, guidance: Guidance) -> Result<Vec<HeadSummary>, Error> {
        let mut hook = Summarise {
            layers: &self.pipeline().info().cross_attention,
            guidance,
            cancel: self.options.cancel.clone(),
            found: Vec::new(),
        };
        self.again(step, guidance, &mut hook)?;
        Ok(hook.found)
    }

    /// Queries and keys, and of cross-attention values too, of those of the model's attention layers that `layers` names
    /// by their index, in the order of a forward pass. Empty for [`Guidance::Uncond`] of a step without guidance.
    pub fn projections_at(
        &self,
        step: usize,
        guidance: Guidance,
        kind: AttentionKind,
        layers: &[usize],
    ) -> Result<Vec<Projections>, Error> {
        let all = &self.pipeline().info().cross_attention;
        let wanted = layers.iter().filter_map(|&index| all.get(index));
        let mut hook = Keep::new(wanted, kind, guidance, self.options.cancel.clone());
        if self.again(step, guidance, &mut hook)? {
            Ok(hook.finish()?)
        } else {
            Ok(Vec::new())
        }
    }

    /// The leading principal components of the self-attention of `layers`, which are of one size, together: of `head`, or
    /// of the mean over heads. None for [`Guidance::Uncond`] of a step without guidance.
    pub fn components_at(
        &self,
        step: usize,
        guidance: Guidance,
        layers: &[usize],
        head: Option<usize>,
    ) -> Result<Option<Components>, Error> {
        let projections = self.projections_at(step, guidance, AttentionKind::Own, layers)?;
        Ok(components_of(&projections, head, &self.options.cancel)?)
    }

    /// Runs a step that was done again, with `hook`, which may end the pass early; false where the half of guidance that
    /// it asks for is not there.
    fn again(&self, step: usize, guidance: Guidance, hook: &mut dyn Hook) -> Result<bool, Error> {
        let generation = self.before(step)?;
        if guidance == Guidance::Uncond && !generation.request().is_guided_at(step) {
            return Ok(false);
        }
        generation.look(hook)?;
        Ok(true)
    }
}

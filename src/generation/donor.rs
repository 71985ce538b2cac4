//! Donors: recorded runs that patches take values from. A value is computed again from what the UNet was given then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::Tensor;

use super::denoise::ended;
use super::encode::{OnlyCheck, TextInput};
use super::patch::{Patched, Taken};
use super::{Error, Generation, Request, RequestError};
use crate::model::unet::Site;
use crate::model::{Hook, hook};

/// The runs that a request's patches take values from, by the name that the patches have for them.
pub type Donors = Arc<BTreeMap<String, Donor>>;

/// A run that values are taken from.
#[derive(Debug, Clone, PartialEq)]
pub struct Donor {
    /// Number of its steps.
    pub len: usize,
    /// What the UNet was given in those of its steps that values are taken from, by their number from 0.
    pub steps: BTreeMap<usize, DonorStep>,
}

/// What the UNet was given in a step.
#[derive(Debug, Clone, PartialEq)]
pub struct DonorStep {
    /// What was asked for in it. Its patches take no values from other runs.
    pub request: Arc<Request>,
    /// The UNet's time.
    pub timestep: f32,
    /// The latents, scaled as the scheduler does it: `(channels, height, width)`, row-major.
    pub input: Vec<f32>,
}

/// Checks that `donors` have what the patches of `request` take in a run of `len` steps on a UNet with these `sites`.
pub(super) fn check(
    request: &Request,
    len: usize,
    sites: &[Site],
    donors: &Donors,
) -> Result<(), RequestError> {
    for patch in &request.patches {
        patch.check(sites)?;
        for index in 0..len {
            let Some((run, step)) = patch.taken_at(index) else {
                continue;
            };
            let Some(donor) = donors.get(run) else {
                let run = run.to_owned();
                return Err(RequestError::NoDonor { run });
            };
            let Some(given) = donor.steps.get(&step) else {
                return Err(RequestError::NoDonorStep {
                    run: run.to_owned(),
                    step: step.saturating_add(1),
                    len: donor.len,
                });
            };
            let mut patches = given.request.patches.iter();
            patches.try_for_each(|patch| patch.check(sites))?;
        }
    }
    Ok(())
}

impl Generation {
    /// The texts of all runs that the patches take values from.
    pub(super) fn donor_texts(&self) -> BTreeSet<TextInput> {
        let requests = self.donor_requests().into_iter();
        requests.map(TextInput::of).collect()
    }

    fn donor_requests(&self) -> Vec<&Request> {
        let named = |run: &str| {
            let mut patches = self.request().patches.iter();
            patches.any(
                |patch| matches!(&patch.change, super::PatchChange::Take(from) if from.run == run),
            )
        };
        let donors = self.donors.iter().filter(|(run, _)| named(run));
        donors
            .flat_map(|(_, donor)| donor.steps.values().map(|step| step.request.as_ref()))
            .collect()
    }

    /// The values that patches take in step `index`, from one forward pass for each step of a run, which ends where the
    /// last of them is known.
    pub(super) fn taken(&self, index: usize, hook: &mut dyn Hook) -> Result<Taken, Error> {
        let mut wanted: BTreeMap<(String, usize), BTreeSet<String>> = BTreeMap::new();
        for patch in &self.request().patches {
            if let Some((run, step)) = patch.taken_at(index) {
                let sites = wanted.entry((run.to_owned(), step)).or_default();
                sites.insert(patch.site());
            }
        }
        let mut taken = Taken::new();
        for ((run, step), sites) in wanted {
            let donor = self
                .donors
                .get(&run)
                .and_then(|donor| donor.steps.get(&step));
            let missing = || RequestError::NoDonor { run: run.clone() };
            let values = self.take(donor.ok_or_else(missing)?, step, index, sites, hook)?;
            taken.insert((run, step), values);
        }
        Ok(taken)
    }

    /// What `sites` have in `step` of a donor, for as many halves as there are in step `index` of this run.
    fn take(
        &self,
        donor: &DonorStep,
        step: usize,
        index: usize,
        sites: BTreeSet<String>,
        hook: &mut dyn Hook,
    ) -> Result<BTreeMap<String, Tensor>, Error> {
        let [channels, height, width] = self.pipeline.info().latent_shape;
        let shape = (1, channels, height, width);
        let input = Tensor::from_slice(&donor.input, shape, self.pipeline.device())?;
        let request = &donor.request;
        let mut kept = hook::Cache::of(sites.clone());
        let mut keep = hook::Until::outputs(&mut kept, sites);
        let unet = self.pipeline.unet();
        let mut patched = Patched::new(&request.patches, step, unet.sites(), &Taken::new())?;
        let mut mix = self.attention_mix(request, step)?;
        let mut only_check = OnlyCheck(hook);
        let hooks: Vec<&mut dyn Hook> = vec![&mut only_check, &mut patched, &mut mix, &mut keep];
        let passed = self.forward(
            &input,
            donor.timestep,
            self.state.donor_contexts.get(&TextInput::of(request)),
            self.request().is_guided_at(index),
            &mut hook::Chain(hooks),
        );
        ended(passed.map(drop))?;
        Ok(kept.outputs)
    }
}

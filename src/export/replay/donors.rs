//! Recorded runs that patches take values from: what their UNet was given, read from their folders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::{Replay, ReplayError};
use crate::generation::{Donor, DonorStep, Donors, ModelInfo, PatchChange, Request};

/// Opens the runs that the patches of `request` take values from, for a run on the model that `info` describes, and reads
/// the latents of the steps that are named. Nothing is read where no patch takes a value.
///
/// # Errors
/// A folder that cannot be read; a run of another model or of pictures of another size, one without its latents, and one
/// whose own patches take values from a third.
pub fn open_donors(request: &Request, info: &ModelInfo) -> Result<Donors, ReplayError> {
    let mut donors = BTreeMap::new();
    for patch in &request.patches {
        let PatchChange::Take(from) = &patch.change else {
            continue;
        };
        if donors.contains_key(&from.run) {
            continue;
        }
        let replay = Replay::open(Path::new(&from.run))?;
        let donor = replay.donor(&steps_of(&from.run, request, replay.steps()), info)?;
        donors.insert(from.run.clone(), donor);
    }
    Ok(Arc::new(donors))
}

/// The steps of `run`, which has `len`, that the patches of `request` may take values from.
fn steps_of(run: &str, request: &Request, len: usize) -> BTreeSet<usize> {
    // With a step named, it is the same in each of the run's own: one of them is enough to ask.
    let own = |patch: &crate::generation::Patch| match (&patch.change, patch.steps) {
        (PatchChange::Take(from), steps) if from.step.is_some() => {
            let first = steps.map_or(0, |steps| steps.first);
            first..first.saturating_add(1)
        }
        (_, Some(steps)) => steps.first..steps.last.saturating_add(1).min(len),
        (_, None) => 0..len,
    };
    let patches = request.patches.iter();
    let taken = patches.flat_map(|patch| own(patch).filter_map(|index| patch.taken_at(index)));
    let of_run = taken.filter(|(named, step)| *named == run && *step < len);
    of_run.map(|(_, step)| step).collect()
}

impl Replay {
    /// What it takes to compute values of `steps` again, on the model that `info` describes.
    fn donor(&self, steps: &BTreeSet<usize>, info: &ModelInfo) -> Result<Donor, ReplayError> {
        let model = &self.document.model;
        if model.sha256 != info.sha256 {
            let expected = format!(
                "{}, that of {}: values are taken from a run of the same model",
                info.sha256, info.name
            );
            return Err(self.differs("model.sha256", &model.sha256, expected));
        }
        if self.info.latent_shape != info.latent_shape {
            let found = format!("{:?}", self.info.latent_shape);
            let expected = format!(
                "{:?}, for pictures of {}x{} as in the run that takes from it: record it again with that --size",
                info.latent_shape, info.image_size.0, info.image_size.1
            );
            return Err(self.differs("architecture.latent_shape", found, expected));
        }
        let given = steps.iter().map(|&step| Ok((step, self.donor_step(step)?)));
        Ok(Donor {
            len: self.steps(),
            steps: given.collect::<Result<_, ReplayError>>()?,
        })
    }

    fn donor_step(&self, index: usize) -> Result<DonorStep, ReplayError> {
        let request = self.request_at(index);
        for (number, patch) in request.patches.iter().enumerate() {
            if let PatchChange::Take(from) = &patch.change {
                let member = format!("request.patches[{number}].change.take");
                let expected = "no value of a third run: take it from that run itself";
                return Err(self.differs(member, &from.run, expected));
            }
        }
        let step = self.entry(index)?;
        let name = "latents";
        let Some(entry) = step.tensors.get(name) else {
            let member = format!("steps[{index}].tensors.{name}");
            let expected = "what values are computed again from: record the run again with latents among its --tensors";
            return Err(self.differs(member, "missing", expected));
        };
        let latents = self.tensor(name, entry)?;
        // What the scheduler divides by before the UNet sees them.
        let scale = step.preview_scale.map_or(1.0, |scale| scale.0);
        Ok(DonorStep {
            request: Arc::new(request.clone()),
            timestep: step.timestep.0,
            input: latents.data.iter().map(|value| value / scale).collect(),
        })
    }
}

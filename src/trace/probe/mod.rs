//! Looking into the networks of a run that was recorded: a pass is computed again from what is kept, ends at the last
//! module that was asked for, and what passes is reduced on the spot.

mod features;
mod fitted;

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{IndexOp as _, Tensor};

#[cfg(test)]
use super::principal::COMPONENTS;
use super::principal::Moments;
pub use features::Features;
use features::{Branch, Layout, rms};
pub use fitted::Fitted;

use super::{CancelToken, Guidance, Recorder, Stats, TensorData};
use crate::generation::{Error, Generation};
use crate::kernels::cuda::transfer::to_host;
use crate::model::hook::Until;
use crate::model::{self, Hook};

/// Values of one module that are kept, at most: 16 MiB.
const MOST_VALUES: usize = 4 << 20;
/// The same of all modules of one pass together.
const MOST_OF_ALL: usize = 8 << 20;

/// Which pass of which network is looked into.
#[derive(Debug, Clone, PartialEq)]
pub enum ProbePlace {
    /// The text encoder's, of the prompt; of the negative prompt for [`Guidance::Uncond`].
    TextEncoder,
    /// The UNet's of a step that was done, counted from 0.
    UNet(usize),
    /// The decoder's of latents of about unit variance: final latents, or a step's `x0`.
    Decoder(TensorData),
}

/// What is asked of a pass.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    /// The sites: outputs of modules and values inside of them, by their paths. What the pass does not come to is missing
    /// in the answer.
    pub paths: &'a [String],
    /// Which half of a guided step; of the text encoder, which prompt.
    pub half: Guidance,
    /// Components that were fitted before, for those paths that they have; the others' are fitted on the value itself.
    pub fitted: Option<&'a Fitted>,
    /// Are principal components wanted where none were fitted before? They take a while for modules of many channels.
    pub components: bool,
}

impl Recorder {
    /// The values at the sites that are asked for, in the order of the pass. Looking changes nothing.
    ///
    /// Empty for [`Guidance::Uncond`] of a step without guidance.
    ///
    /// # Errors
    /// A step that was not done, [`Error::Cancelled`], and those of the networks.
    pub fn probe(&self, place: &ProbePlace, probe: &Probe) -> Result<Vec<Features>, Error> {
        let mut looking = Looking::new(probe, self.cancel());
        self.pass(place, probe.half, probe.paths, &mut looking)?;
        Ok(looking.found)
    }

    /// Takes in the values of `step` for principal components over the whole run: their root mean squares, in the order
    /// of the paths that `fitted` has. A step that was taken in is not computed again.
    ///
    /// # Errors
    /// Those of [`Recorder::probe`].
    pub fn fit(&self, step: usize, fitted: &mut Fitted) -> Result<Vec<f64>, Error> {
        let mut fitting = fitted.begin(self.cancel());
        let (half, paths) = (fitted.half(), fitted.paths().to_vec());
        self.pass(&ProbePlace::UNet(step), half, &paths, &mut fitting)?;
        Ok(fitted.take(step, &fitting))
    }

    /// The pass, with nothing after the last of `paths`.
    fn pass(
        &self,
        place: &ProbePlace,
        half: Guidance,
        paths: &[String],
        hook: &mut dyn Hook,
    ) -> Result<(), Error> {
        let until = &mut Until::outputs(hook, paths);
        match place {
            ProbePlace::UNet(step) => {
                let generation = self.before(*step)?;
                if half == Guidance::Uncond && !generation.request().is_guided_at(*step) {
                    return Ok(());
                }
                generation.look(until)
            }
            ProbePlace::TextEncoder => {
                let generation: &Generation = self.generation();
                let missing = || candle_core::Error::Msg("the text has no tokens yet".into());
                let (prompt, negative) = generation.tokens().ok_or_else(missing)?;
                let tokens = match half {
                    Guidance::Cond => prompt,
                    Guidance::Uncond => negative,
                };
                self.pipeline().look_at_text(tokens, until)
            }
            ProbePlace::Decoder(latents) => self.pipeline().look_at_decoder(&latents.data, until),
        }
    }
}

/// The shares of the variance, and where vectors lie, along the first principal components of `planes`, which has each of
/// so many features' values one after another: for the test that compares them with numpy's.
#[cfg(test)]
pub fn components_of(
    planes: &[f32],
    features: usize,
) -> ([f64; COMPONENTS], [Vec<f32>; COMPONENTS]) {
    let mut moments = Moments::new(features);
    moments.add(planes);
    let components = moments.components().expect("vectors that differ");
    (components.shares(), components.project(planes))
}

/// The values of one item of a batch: the last one is with the prompt, and a guided batch has the other one first.
fn item(value: &Tensor, half: Guidance) -> candle_core::Result<Tensor> {
    value.i(match half {
        Guidance::Cond => value.dim(0)? - 1,
        Guidance::Uncond => 0,
    })
}

/// Its shape, and its values in f32.
fn read(value: &Tensor) -> Result<(Vec<usize>, Vec<f32>), model::Error> {
    let values = to_host(std::slice::from_ref(value))?;
    let values = values.into_iter().next().unwrap_or_default();
    Ok((value.dims().to_vec(), values))
}

/// The hook of [`Recorder::probe`].
struct Looking<'a> {
    probe: &'a Probe<'a>,
    paths: BTreeSet<&'a str>,
    cancel: CancelToken,
    /// What modules' branches are added to, by the modules' paths, until their outputs come.
    bases: BTreeMap<String, Vec<f32>>,
    /// Width and height of the last feature map.
    map: Option<(usize, usize)>,
    /// Values kept so far.
    kept: usize,
    found: Vec<Features>,
}

impl<'a> Looking<'a> {
    fn new(probe: &'a Probe<'a>, cancel: CancelToken) -> Self {
        Self {
            probe,
            paths: probe.paths.iter().map(String::as_str).collect(),
            cancel,
            bases: BTreeMap::new(),
            map: None,
            kept: 0,
            found: Vec::new(),
        }
    }

    fn look(&mut self, path: &str, value: &Tensor) -> Result<(), model::Error> {
        let value = item(value, self.probe.half)?;
        let (shape, values) = read(&value)?;
        if let [_, height, width] = shape[..] {
            self.map = Some((width, height));
        }
        let base = self.bases.remove(path);
        let branch = base.map(|base| branch(&values, &base));
        let probe = self.probe;
        let components = |layout: &Layout, planes: &[f32]| {
            if let Some(fitted) = probe.fitted.and_then(|fitted| fitted.components(path)) {
                return Some((fitted.0.clone(), Some(fitted.1)));
            }
            if !probe.components {
                return None;
            }
            let mut moments = Moments::new(layout.features);
            moments.add(planes);
            Some((moments.components()?, None))
        };
        let mut features = Features::of(path, shape, values, self.map, components);
        features.branch = branch;
        let count = features.stats.count;
        if count > MOST_VALUES || self.kept + count > MOST_OF_ALL {
            features.values = None;
        } else {
            self.kept += count;
        }
        self.found.push(features);
        Ok(())
    }
}

impl Hook for Looking<'_> {
    fn check(&mut self) -> Result<(), model::Error> {
        self.cancel.check()
    }

    fn wants_output(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, model::Error> {
        self.look(path, value)?;
        Ok(None)
    }

    fn looks_inside(&self) -> bool {
        true
    }

    fn wants_intermediate(&self, path: &str) -> bool {
        let of_asked = path.strip_suffix(SHORTCUT);
        of_asked.is_some_and(|path| self.paths.contains(path)) || self.paths.contains(path)
    }

    fn intermediate(&mut self, path: &str, value: &Tensor) -> Result<(), model::Error> {
        if let Some(module) = path.strip_suffix(SHORTCUT)
            && self.paths.contains(module)
        {
            let base = read(&item(value, self.probe.half)?)?.1;
            self.bases.insert(module.to_owned(), base);
        }
        if self.paths.contains(path) {
            self.look(path, value)?;
        }
        Ok(())
    }
}

/// What a module's branch is added to.
const SHORTCUT: &str = ".shortcut";

/// How large what was added to `base` is, where the sum is `values`.
fn branch(values: &[f32], base: &[f32]) -> Branch {
    let added: Vec<f32> = values
        .iter()
        .zip(base)
        .map(|(sum, base)| sum - base)
        .collect();
    Branch {
        added: rms(&Stats::of(&added)),
        base: rms(&Stats::of(base)),
    }
}

//! Looking into networks on the model's thread, and what was fitted on runs' steps for it.

use std::collections::BTreeMap;

use super::update::{ProbeKey, Probed, fits_all_steps};
use crate::checkpoint::Component;
use crate::generation::{Error, ModelInfo};
use crate::model::modules::Module;
use crate::trace::{Features, Fitted, Guidance, Probe, ProbePlace, Recorder, TensorData};

/// Components over the steps of each run, in each half of guidance.
#[derive(Default)]
pub(super) struct Probing {
    fitted: BTreeMap<(u64, Guidance), Fitted>,
}

impl Probing {
    pub fn forget(&mut self, run: u64) {
        self.fitted.retain(|(of, _), _| *of != run);
    }

    /// Takes a step in.
    pub fn fit(&mut self, recorder: &Recorder, run: u64, key: ProbeKey) -> Result<Vec<f64>, Error> {
        let fitted = self.fitted.entry((run, key.half));
        let paths = || outputs(recorder.pipeline().info(), Component::UNet);
        let fitted = fitted.or_insert_with(|| Fitted::new(paths(), key.half));
        recorder.fit(key.step, fitted)
    }

    /// What is to be looked at.
    pub fn look(
        &mut self,
        recorder: &Recorder,
        run: u64,
        key: ProbeKey,
        latents: Option<TensorData>,
    ) -> Result<Vec<Features>, Error> {
        let info = recorder.pipeline().info();
        let paths = match key.what {
            Probed::Lines(module) => {
                let module = info.modules.of(key.network).get(module);
                let lines = module.map(Module::lines).unwrap_or_default();
                lines.into_iter().map(|line| line.site).collect()
            }
            Probed::Module(module) => {
                let path = outputs(info, key.network).into_iter().nth(module);
                path.into_iter().collect()
            }
            Probed::Modules | Probed::Fit => outputs(info, key.network),
        };
        let place = match (key.network, latents) {
            (Component::TextEncoder, _) => ProbePlace::TextEncoder,
            (Component::Vae, Some(latents)) => ProbePlace::Decoder(latents),
            _ => ProbePlace::UNet(key.step),
        };
        let is_of_unet = key.network == Component::UNet && key.what == Probed::Modules;
        let mut fitted = self.fitted.get_mut(&(run, key.half)).filter(|_| is_of_unet);
        if let Some(fitted) = &mut fitted {
            fitted.settle();
        }
        let probe = Probe {
            paths: &paths,
            half: key.half,
            fitted: fitted.as_deref(),
            // Those of every module of a large model would take longer than the pass.
            components: fits_all_steps(info) || key.what != Probed::Modules,
        };
        recorder.probe(&place, &probe)
    }
}

/// The paths of the outputs of all of a network's modules.
fn outputs(info: &ModelInfo, network: Component) -> Vec<String> {
    let modules = info.modules.of(network).iter();
    modules.map(|module| module.path.clone()).collect()
}

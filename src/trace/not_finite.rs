//! Values that are NaN or infinite: where they arose first, and what may have brought them about.
//!
//! Everything that a run computes passes here as an [`Event`]; whoever wants to know asks [`Event::not_finite`] as the
//! events come, or [`Trace::not_finite`] of those that have come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, ImageTrace, NoiseTrace, Stats, StepTrace, TensorData, TextTrace, Trace};
use crate::checkpoint::{BrokenWeight, Component};

/// Where the first values of a run that are NaN or infinite arose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotFinite {
    /// The stage.
    pub stage: TraceStage,
    /// The denoising step, from 0, where the stage is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The first tensor, in the order in which they are computed: by its name in this document, or the path of a module
    /// where statistics of modules were recorded. `image` are the values that the decoder gave.
    pub tensor: String,
    /// Number of its values that are NaN or infinite.
    pub non_finite: usize,
    /// Number of its values.
    pub count: usize,
    /// The first weight, by name, of the network at work that is not finite itself, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<BrokenWeight>,
    /// The type that the picture was decoded in, where the stage is that.
    #[serde(skip)]
    pub dtype: Option<String>,
}

/// A stage of a run that gives tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceStage {
    /// The text encoder.
    Text,
    /// The initial noise.
    Noise,
    /// A denoising step.
    Step,
    /// Decoding.
    Image,
}

/// What brought values about that are not finite, as far as that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause<'a> {
    /// A weight that is NaN or infinite in its file.
    Weight(&'a BrokenWeight),
    /// A weight that the type of the numbers cannot hold.
    LargeWeight(&'a BrokenWeight),
    /// Numbers that outgrew f16 in the autoencoder.
    F16InDecoder,
    /// Numbers that outgrew f16 elsewhere.
    F16,
    /// Numbers that outgrew the range of f32, which bf16 has too: in a network.
    Network,
    /// The same in the sampler's arithmetic, or in guidance, which are f32 in any case.
    Sampler,
}

impl Event {
    /// Where the first of its values arose that are not finite.
    pub fn not_finite(&self) -> Option<NotFinite> {
        match self {
            Self::Tokens(_) => None,
            Self::Text(text) => in_text(text),
            Self::Noise(noise) => in_noise(noise),
            Self::Step(step) => in_step(step),
            Self::Image(image) => in_image(image),
        }
    }
}

impl Trace {
    /// Where the first values of the run arose that are not finite.
    pub fn not_finite(&self) -> Option<NotFinite> {
        let text = self.text.as_deref().and_then(in_text);
        let noise = || self.noise.as_deref().and_then(in_noise);
        let steps = || self.steps.iter().find_map(|step| in_step(step));
        let image = || self.image.as_deref().and_then(in_image);
        text.or_else(noise).or_else(steps).or_else(image)
    }
}

impl NotFinite {
    fn new(stage: TraceStage, tensor: &str, stats: Stats) -> Self {
        Self {
            stage,
            step: None,
            tensor: tensor.to_owned(),
            non_finite: stats.non_finite,
            count: stats.count,
            weight: None,
            dtype: None,
        }
    }

    /// The network that was at work; none where it was the sampler.
    pub fn component(&self) -> Option<Component> {
        let of_sampler = ["latents", "noise_guided", "latents_next", "x0"];
        match self.stage {
            TraceStage::Text => Some(Component::TextEncoder),
            TraceStage::Step if of_sampler.contains(&self.tensor.as_str()) => None,
            TraceStage::Step => Some(Component::UNet),
            TraceStage::Image => Some(Component::Vae),
            TraceStage::Noise => None,
        }
    }

    /// What may have brought it about, where the networks compute in `dtype`: `f16`.
    pub fn cause(&self, dtype: &str) -> Cause<'_> {
        let component = self.component();
        let is_f16 = self.dtype.as_deref().unwrap_or(dtype) == "f16";
        match (&self.weight, component) {
            (Some(weight), _) if weight.too_large => Cause::LargeWeight(weight),
            (Some(weight), _) => Cause::Weight(weight),
            (None, Some(Component::Vae)) if is_f16 => Cause::F16InDecoder,
            (None, Some(_)) if is_f16 => Cause::F16,
            (None, Some(_)) => Cause::Network,
            (None, None) => Cause::Sampler,
        }
    }
}

/// The first of `all` with values that are not finite.
fn first<'a>(
    stage: TraceStage,
    mut all: impl Iterator<Item = (&'a str, Stats)>,
) -> Option<NotFinite> {
    let (name, stats) = all.find(|(_, stats)| stats.non_finite > 0)?;
    Some(NotFinite::new(stage, name, stats))
}

fn named(tensor: &TensorData) -> (&str, Stats) {
    (&tensor.name, tensor.stats)
}

fn in_text(text: &TextTrace) -> Option<NotFinite> {
    let modules = text.modules.iter();
    let modules = modules.map(|module| (module.path.as_str(), module.stats));
    let tensors = text.prompt.iter().chain([&text.negative_prompt_embedding]);
    first(TraceStage::Text, modules.chain(tensors.map(named)))
}

fn in_noise(noise: &NoiseTrace) -> Option<NotFinite> {
    first(
        TraceStage::Noise,
        std::iter::once(named(&noise.initial_noise)),
    )
}

/// The latents come first; they are followed by the modules of the network, and these by what it predicts.
fn in_step(step: &StepTrace) -> Option<NotFinite> {
    let (before, after): (Vec<_>, Vec<_>) =
        (step.tensors.iter()).partition(|tensor| &*tensor.name == "latents");
    let modules = step.modules.iter();
    let modules = modules.map(|module| (module.path.as_str(), module.stats));
    let before = before.into_iter().map(named);
    let all = before.chain(modules).chain(after.into_iter().map(named));
    Some(NotFinite {
        step: Some(step.index),
        ..first(TraceStage::Step, all)?
    })
}

fn in_image(image: &ImageTrace) -> Option<NotFinite> {
    let stats = image.stats.filter(|stats| stats.non_finite > 0)?;
    Some(NotFinite {
        dtype: image.dtype.clone(),
        ..NotFinite::new(TraceStage::Image, "image", stats)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(stage: TraceStage, tensor: &str) -> NotFinite {
        let stats = Stats {
            count: 4,
            non_finite: 1,
            ..Stats::default()
        };
        NotFinite::new(stage, tensor, stats)
    }

    #[test]
    fn the_cause_fits_the_type_and_the_place() {
        let text = found(TraceStage::Text, "prompt_embedding");
        assert_eq!(text.cause("f16"), Cause::F16);
        assert_eq!(text.cause("f32"), Cause::Network);
        assert_eq!(text.cause("bf16"), Cause::Network);
        let guided = found(TraceStage::Step, "noise_guided");
        assert_eq!(guided.cause("f16"), Cause::Sampler);
        let mut image = found(TraceStage::Image, "image");
        assert_eq!(image.cause("f16"), Cause::F16InDecoder);
        image.dtype = Some("f32".to_owned());
        assert_eq!(image.cause("f16"), Cause::Network);
        let mut weight = BrokenWeight {
            tensor: "decoder.conv_in.weight".to_owned(),
            file: "vae/diffusion_pytorch_model.safetensors".to_owned(),
            non_finite: 1,
            count: 9,
            too_large: false,
        };
        image.weight = Some(weight.clone());
        assert_eq!(image.cause("f32"), Cause::Weight(&weight));
        weight.too_large = true;
        image.weight = Some(weight.clone());
        assert_eq!(image.cause("f16"), Cause::LargeWeight(&weight));
    }

    #[test]
    fn what_is_computed_first_is_named_first() {
        let broken = |name: &str| TensorData::from_values(name, vec![1], vec![f32::NAN]);
        let sound = |name: &str| TensorData::from_values(name, vec![1], vec![1.0]);
        let mut step = StepTrace {
            index: 3,
            timestep: 1.0,
            sigma: 1.0,
            sigma_next: 0.0,
            seconds: 0.0,
            tensors: vec![sound("latents"), broken("noise_text"), broken("x0")],
            modules: vec![crate::trace::ModuleStats {
                path: "mid_block".to_owned(),
                shape: vec![1],
                stats: broken("mid_block").stats,
            }],
            attention: Vec::new(),
            preview_scale: 1.0,
        };
        let place = |step: &StepTrace| in_step(step).map(|found| (found.step, found.tensor));
        assert_eq!(place(&step), Some((Some(3), "mid_block".to_owned())));
        step.modules.clear();
        assert_eq!(place(&step), Some((Some(3), "noise_text".to_owned())));
        step.tensors[0] = broken("latents");
        assert_eq!(place(&step), Some((Some(3), "latents".to_owned())));
    }
}

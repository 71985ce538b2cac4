//! Is what `run.json` says so? Whatever of it follows from the recorded tensors is computed again from them, and what
//! does not is said to be unchecked.

mod resample;
mod schedule;

use super::{ATTENTION, Replay, ReplayError};
use crate::export::document::{RunDocument, Step, TensorEntry};
use crate::export::png::made;
use crate::trace::{NotFinite, Stats, TensorData, Trace, TraceStage};
use resample::Resampled;

/// What was computed again and found to be as `run.json` says, and what could not be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Number of tensors that were read, attention maps left out.
    pub tensors: usize,
    /// Number of attention maps that were read.
    pub maps: usize,
    /// What was computed again, each a phrase.
    pub checked: Vec<String>,
    /// What was not, each a phrase that says why.
    pub unchecked: Vec<String>,
}

/// How far a sum of a pixel's attention may be from 1 where it was computed in 16 bits.
const ATTENTION_SUM: f64 = 5e-3;

impl Replay {
    /// Reads every file and computes again what follows from the tensors: their statistics, the noise from its seed,
    /// the schedule from the model's configuration, guidance from both of its halves, every step of the sampler. What
    /// the picture itself says of how it was made is compared, too.
    ///
    /// # Errors
    /// A file that cannot be read; the first member of `run.json` that is not as it follows.
    pub fn verify(&self) -> Result<Verified, ReplayError> {
        let mut verified = Verified::default();
        self.verify_tensors(&mut verified)?;
        self.verify_tokens()?;
        Resampled::verify(self, &mut verified)?;
        self.verify_picture(&mut verified)?;
        self.verify_not_finite(&mut verified)?;
        for what in [
            "tokens, embeddings and predicted noise, and that the picture is that of the last latents: \
             they take the model",
            "the model's name, hash and sizes, the device, and times: nothing here depends on them",
        ] {
            verified.unchecked.push(what.to_owned());
        }
        if !self.document.watches.is_empty() || self.document.stopped.is_some() {
            let what = "watch expressions: they were asked while the run went on";
            verified.unchecked.push(what.to_owned());
        }
        let document = &self.document;
        let mut steps = document.steps.iter();
        let has_modules = |text: &crate::export::document::TextStage| !text.modules.is_empty();
        if document.text.as_ref().is_some_and(has_modules)
            || steps.any(|step| !step.modules.is_empty())
        {
            let what = "statistics of modules: their values are not recorded";
            verified.unchecked.push(what.to_owned());
        }
        Ok(verified)
    }

    /// An error of a member of `run.json` that is not as it follows.
    // What a message quotes is often made for it.
    #[allow(clippy::needless_pass_by_value)]
    pub(super) fn differs(
        &self,
        member: impl Into<String>,
        found: impl ToString,
        expected: impl ToString,
    ) -> ReplayError {
        ReplayError::Value {
            path: self.folder.document_path(),
            member: member.into(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// Every tensor's statistics, and of attention that it is a share of one.
    fn verify_tensors(&self, verified: &mut Verified) -> Result<(), ReplayError> {
        for (name, entry) in &self.document.tensors {
            let tensor = self.tensor(name, entry)?;
            self.verify_stats(&format!("tensors.{name}"), entry, tensor.stats)?;
            verified.tensors += 1;
        }
        let mut changed = 0;
        for (index, step) in self.document.steps.iter().enumerate() {
            for (name, entry) in &step.tensors {
                let member = format!("steps[{index}].tensors.{name}");
                let tensor = self.tensor(name, entry)?;
                self.verify_stats(&member, entry, tensor.stats)?;
                if !name.starts_with(ATTENTION) {
                    verified.tensors += 1;
                } else if self.is_changed(index) {
                    verified.maps += 1;
                    changed += 1;
                } else {
                    verified.maps += 1;
                    self.verify_attention(&member, &tensor)?;
                }
            }
        }
        verified
            .checked
            .push("statistics and shapes of all tensors".to_owned());
        if verified.maps > changed {
            verified.checked.push("attention adds up to 1".to_owned());
        }
        if changed > 0 {
            let what = format!("sums of {changed} attention maps: the request changes them");
            verified.unchecked.push(what);
        }
        Ok(())
    }

    /// Does the request change attention in this step?
    fn is_changed(&self, index: usize) -> bool {
        let interventions = &self.request_at(index).interventions;
        interventions
            .iter()
            .any(|change| change.changes_attention_at(index))
    }

    fn verify_stats(
        &self,
        member: &str,
        entry: &TensorEntry,
        expected: Stats,
    ) -> Result<(), ReplayError> {
        let found = entry.stats;
        // Sums of f64 may be taken in another order by another version.
        let scale = f64::from(expected.min.abs().max(expected.max.abs())).max(f64::MIN_POSITIVE);
        let near = |a: f64, b: f64, scale: f64| (a - b).abs() <= 1e-9 * scale;
        let root = (expected.count.max(1) as f64).sqrt();
        for (name, found, expected, is_right) in [
            (
                "count",
                found.count as f64,
                expected.count as f64,
                found.count == expected.count,
            ),
            (
                "non_finite",
                found.non_finite as f64,
                expected.non_finite as f64,
                found.non_finite == expected.non_finite,
            ),
            (
                "min",
                found.min.into(),
                expected.min.into(),
                found.min.total_cmp(&expected.min).is_eq(),
            ),
            (
                "max",
                found.max.into(),
                expected.max.into(),
                found.max.total_cmp(&expected.max).is_eq(),
            ),
            (
                "mean",
                found.mean,
                expected.mean,
                near(found.mean, expected.mean, scale),
            ),
            (
                "std",
                found.std,
                expected.std,
                near(found.std, expected.std, scale),
            ),
            (
                "norm",
                found.norm,
                expected.norm,
                near(found.norm, expected.norm, scale * root),
            ),
        ] {
            if !is_right {
                let member = format!("{member}.stats.{name}");
                return Err(self.differs(member, found, format!("{expected}, that of its values")));
            }
        }
        Ok(())
    }

    /// A pixel's attention to all text positions is one.
    fn verify_attention(&self, member: &str, tensor: &TensorData) -> Result<(), ReplayError> {
        // The shape has been checked: (…, tokens, height, width).
        let [.., tokens, height, width] = tensor.shape[..] else {
            return Ok(());
        };
        let pixels = height * width;
        for head in tensor.data.chunks_exact((tokens * pixels).max(1)) {
            for pixel in 0..pixels {
                let shares = head.iter().skip(pixel).step_by(pixels);
                let sum: f64 = shares.map(|&share| f64::from(share)).sum();
                if (sum - 1.0).abs() > ATTENTION_SUM {
                    let found = format!("{sum} when the shares of a pixel are added up");
                    return Err(self.differs(member, found, "1"));
                }
            }
        }
        Ok(())
    }

    fn verify_tokens(&self) -> Result<(), ReplayError> {
        let tokens = &self.document.tokens;
        for (member, found, rest) in [
            (
                "prompt_truncated",
                tokens.prompt_truncated,
                &tokens.prompt_rest,
            ),
            (
                "negative_prompt_truncated",
                tokens.negative_prompt_truncated,
                &tokens.negative_prompt_rest,
            ),
        ] {
            if found != rest.len() {
                let expected = format!("{}, the length of their list", rest.len());
                return Err(self.differs(format!("tokens.{member}"), found, expected));
            }
        }
        Ok(())
    }

    /// What the picture says of how it was made, and how many values it has.
    fn verify_picture(&self, verified: &mut Verified) -> Result<(), ReplayError> {
        let document = &self.document;
        let image = &document.image;
        self.folder
            .picture(&image.file, (image.width, image.height))?;
        let values = image.width as usize * image.height as usize * 3;
        if let Some(stats) = image.stats.filter(|stats| stats.count != values) {
            return Err(self.differs("image.stats.count", stats.count, values));
        }
        let Some(made) = made(&self.folder.picture_bytes(&image.file)?) else {
            let what = "the request against the picture: it does not say how it was made";
            verified.unchecked.push(what.to_owned());
            return Ok(());
        };
        let said = |member: &str| {
            let found = "another than in the picture's own text";
            Err(self.differs(member, found, format!("what {} says", image.file)))
        };
        if made.request != document.request {
            return said("request");
        }
        if made.branches != document.branches {
            return said("branches");
        }
        if made.stopped != document.stopped {
            return said("stopped");
        }
        if made.model != document.model {
            return said("model");
        }
        let what = "the request and the model are those of the picture's own text";
        verified.checked.push(what.to_owned());
        Ok(())
    }

    /// Where the first values arose that are not finite, as far as these tensors were recorded.
    fn verify_not_finite(&self, verified: &mut Verified) -> Result<(), ReplayError> {
        let said = &self.document.not_finite;
        let mut trace = Trace::new(self.request().clone(), 0);
        for event in self.events(false) {
            trace.apply(event?);
        }
        let found = trace.not_finite();
        let place = |found: &NotFinite| {
            (
                found.stage,
                found.step,
                found.tensor.clone(),
                found.non_finite,
            )
        };
        let words = |found: Option<&NotFinite>| match found {
            None => "left out".to_owned(),
            Some(found) => {
                let step = found
                    .step
                    .map_or(String::new(), |step| format!(" of step {step}"));
                format!("{} values of {}{step}", found.non_finite, found.tensor)
            }
        };
        // Earlier versions said nothing of it.
        if said.is_none() && self.document.scheduler_config.is_none() {
            return Ok(());
        }
        match said {
            // The decoder's values are not recorded, and neither is every tensor.
            Some(said) if self.is_unrecorded(said) => {
                let what = "where values ceased to be finite: that tensor is not recorded";
                verified.unchecked.push(what.to_owned());
                Ok(())
            }
            said if said.as_ref().map(place) == found.as_ref().map(place) => Ok(()),
            said => Err(self.differs("not_finite", words(said.as_ref()), words(found.as_ref()))),
        }
    }

    fn is_unrecorded(&self, said: &NotFinite) -> bool {
        let document: &RunDocument = &self.document;
        let in_step = |step: &Step| {
            let is_module = step.modules.iter().any(|module| module.path == said.tensor);
            is_module || step.tensors.contains_key(&said.tensor)
        };
        match (said.stage, said.step) {
            (TraceStage::Image, _) => document.image.stats.is_none(),
            (TraceStage::Step, Some(step)) => !document.steps.get(step).is_some_and(in_step),
            (TraceStage::Step, None) => true,
            (TraceStage::Text | TraceStage::Noise, _) => {
                let text = document.text.as_ref();
                let modules = text.map_or(&[][..], |text| &text.modules[..]);
                !document.tensors.contains_key(&said.tensor)
                    && !modules.iter().any(|module| module.path == said.tensor)
            }
        }
    }
}

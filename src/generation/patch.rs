//! Patches: the output of a module of the UNet switched off, scaled, or taken from another run.
//!
//! Called activation patching, or causal tracing: Vig et al. 2020 (arXiv 2004.12265), Meng et al. 2022 (arXiv
//! 2202.05262); for diffusion models Basu et al. 2023 (arXiv 2310.13730).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::intervention::check_steps;
use super::{RequestError, StepRange};
use crate::model::unet::{Site, heads_path};
use crate::model::{self, Hook};

/// The largest factor, and with a minus the smallest.
const MAX_FACTOR: f32 = 100.0;
/// Longer paths are no module's.
const MAX_PATH: usize = 4096;

/// A change of what a module of the UNet puts out, in both halves of guidance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Patch {
    /// The module's path in the checkpoint: `down_blocks.1.attentions.0`, `mid_block.resnets.1`,
    /// `….transformer_blocks.0.attn2`; or `up_blocks.I.resnets.J.skip`, the skip that this residual block takes.
    pub module: String,
    /// Of an attention layer: the head whose output it is, from 0, before the heads are put together by `to_out.0`. All
    /// of the module's output where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<usize>,
    /// What becomes of it.
    pub change: PatchChange,
    /// The denoising steps in which it does; all where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<StepRange>,
}

/// What becomes of a module's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PatchChange {
    /// It is zero. A residual branch then adds nothing.
    Off,
    /// It is multiplied by this factor, -100 to 100.
    Scale(f32),
    /// It is what it was in another run.
    Take(TakenFrom),
}

/// Where a value is taken from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct TakenFrom {
    /// The folder of a recorded run on the same model, as it was named.
    pub run: String,
    /// Its step, from 0; in every step the one of the same number where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
}

impl Patch {
    /// Does it act in step `index`?
    pub fn acts_at(&self, index: usize) -> bool {
        self.steps.is_none_or(|steps| steps.contains(index))
    }

    /// The run and its step whose value it takes in step `index`, where it acts there and takes one.
    pub fn taken_at(&self, index: usize) -> Option<(&str, usize)> {
        match &self.change {
            PatchChange::Take(from) if self.acts_at(index) => {
                Some((&from.run, from.step.unwrap_or(index)))
            }
            _ => None,
        }
    }

    /// The path of the site that it changes.
    pub(super) fn site(&self) -> String {
        match self.head {
            None => self.module.clone(),
            Some(_) => heads_path(&self.module),
        }
    }

    /// As it is typed, without its steps: `mid_block.resnets.1=off`.
    pub fn typed(&self) -> String {
        let head = self.head.map_or(String::new(), |head| format!("#{head}"));
        let value = match &self.change {
            PatchChange::Off => "off".to_owned(),
            PatchChange::Scale(factor) => factor.to_string(),
            PatchChange::Take(TakenFrom { run, step }) => {
                let step = step.map(|step| step.saturating_add(1));
                let step = step.map_or(String::new(), |step| format!("@{step}"));
                format!("{run}{step}")
            }
        };
        format!("{}{head}={value}", self.module)
    }

    /// Checks what can be checked without the model.
    pub(super) fn validate(&self) -> Result<(), RequestError> {
        let wrong = |reason: &str| {
            Err(RequestError::Patch {
                module: self.module.clone(),
                reason: reason.to_owned(),
            })
        };
        if self.module.is_empty() || self.module.len() > MAX_PATH {
            return wrong("it names no module");
        }
        match &self.change {
            PatchChange::Scale(factor) if !(-MAX_FACTOR..=MAX_FACTOR).contains(factor) => {
                return wrong(&format!(
                    "its factor is {factor}; it must be from -100 to 100"
                ));
            }
            PatchChange::Take(from) if from.run.is_empty() || from.run.len() > MAX_PATH => {
                return wrong("it names no run to take from");
            }
            _ => {}
        }
        check_steps(self.steps)
    }

    /// Checks that a UNet with these `sites` has the module and the head.
    pub(super) fn check(&self, sites: &[Site]) -> Result<(), RequestError> {
        let Some(site) = sites.iter().find(|site| site.path == self.module) else {
            let (module, near) = (self.module.clone(), nearest(&self.module, sites));
            return Err(RequestError::NoSuchModule { module, near });
        };
        let reason = match (self.head, site.heads) {
            (None, _) => return Ok(()),
            (Some(head), Some(heads)) if head < heads => return Ok(()),
            (Some(head), Some(heads)) => {
                format!(
                    "it has no head {head}; they are numbered 0 to {}",
                    heads - 1
                )
            }
            (Some(_), None) => "it has no heads; only attn1 and attn2 have".to_owned(),
        };
        let module = self.module.clone();
        Err(RequestError::Patch { module, reason })
    }
}

/// The sites that may be meant by `path`, which is none: those within it, else those that look like it.
fn nearest(path: &str, sites: &[Site]) -> String {
    let within = format!("{path}.");
    let mut near: Vec<&str> = sites.iter().map(|site| site.path.as_str()).collect();
    if near.iter().any(|site| site.starts_with(&within)) {
        near.retain(|site| site.starts_with(&within));
    } else {
        let likeness = |site: &str| {
            let is_end = !path.is_empty() && site.ends_with(path);
            strsim::jaro_winkler(path, site) + f64::from(u8::from(is_end))
        };
        near.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    }
    near.truncate(3);
    near.join(", ")
}

/// `mid_block.resnets.1 off in both halves, in steps 4 to 10`; steps count from 1, heads from 0.
impl fmt::Display for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.module)?;
        if let Some(head) = self.head {
            write!(f, " head {head}")?;
        }
        match &self.change {
            PatchChange::Off => f.write_str(" off")?,
            PatchChange::Scale(factor) => write!(f, " × {factor}")?,
            PatchChange::Take(TakenFrom { run, step: None }) => write!(f, " from {run}")?,
            PatchChange::Take(TakenFrom {
                run,
                step: Some(step),
            }) => write!(f, " from step {} of {run}", step.saturating_add(1))?,
        }
        f.write_str(" in both halves")?;
        match self.steps {
            Some(steps) => write!(f, ", in {steps}"),
            None => Ok(()),
        }
    }
}

/// What is no patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a patch is PATH[#HEAD]=off, a factor from -100 to 100, or RUNDIR[@STEP], as in mid_block.resnets.1=off"
)]
pub struct NoPatch;

/// `PATH[#HEAD]=off|FACTOR|RUNDIR[@STEP]`, in all steps.
impl FromStr for Patch {
    type Err = NoPatch;

    fn from_str(text: &str) -> Result<Self, NoPatch> {
        let (target, value) = text.split_once('=').ok_or(NoPatch)?;
        let (module, head) = match target.trim().split_once('#') {
            None => (target.trim(), None),
            Some((module, head)) => (module, Some(head.parse().map_err(|_| NoPatch)?)),
        };
        let change = match value.trim() {
            "off" => PatchChange::Off,
            value => match value.parse() {
                Ok(factor) => PatchChange::Scale(factor),
                Err(_) => PatchChange::Take(taken_from(value)),
            },
        };
        let patch = Self {
            module: module.to_owned(),
            head,
            change,
            steps: None,
        };
        patch.validate().map_err(|_| NoPatch)?;
        Ok(patch)
    }
}

/// What is no number behind the last `@` belongs to the folder's name.
fn taken_from(text: &str) -> TakenFrom {
    let parts = text.rsplit_once('@');
    let step =
        parts.and_then(|(run, step)| Some((run, step.parse::<usize>().ok()?.checked_sub(1)?)));
    let (run, step) = step.map_or((text, None), |(run, step)| (run, Some(step)));
    TakenFrom {
        run: run.to_owned(),
        step,
    }
}

/// Values that patches take from other runs: by the run and its step, then by site.
pub(super) type Taken = BTreeMap<(String, usize), BTreeMap<String, Tensor>>;

/// The patches of one step, as a hook.
#[derive(Debug, Default)]
pub(super) struct Patched {
    /// By site, one after another.
    changes: BTreeMap<String, Vec<Change>>,
}

#[derive(Debug)]
struct Change {
    /// A head, and how many there are.
    head: Option<(usize, usize)>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Zero,
    Scaled(f64),
    Taken(Tensor),
}

impl Patched {
    /// Those of `patches` that act in step `index`, with the values that they take. All have been checked.
    pub fn new(
        patches: &[Patch],
        index: usize,
        sites: &[Site],
        taken: &Taken,
    ) -> candle_core::Result<Self> {
        let mut changes: BTreeMap<String, Vec<Change>> = BTreeMap::new();
        for patch in patches.iter().filter(|patch| patch.acts_at(index)) {
            let path = patch.site();
            let value = match (&patch.change, patch.taken_at(index)) {
                (PatchChange::Scale(factor), _) => Value::Scaled(f64::from(*factor)),
                (_, Some((run, step))) => {
                    let of_run = taken.get(&(run.to_owned(), step));
                    let value = of_run.and_then(|values| values.get(&path));
                    let missing =
                        || candle_core::Error::Msg(format!("{patch}: no value was taken"));
                    Value::Taken(value.ok_or_else(missing)?.clone())
                }
                _ => Value::Zero,
            };
            let site = sites.iter().find(|site| site.path == patch.module);
            let heads = site.and_then(|site| site.heads).unwrap_or(1);
            let head = patch.head.map(|head| (head, heads));
            changes
                .entry(path)
                .or_default()
                .push(Change { head, value });
        }
        Ok(Self { changes })
    }
}

impl Change {
    fn apply(&self, value: &Tensor) -> candle_core::Result<Tensor> {
        let Some((head, heads)) = self.head else {
            return self.value.of(value, |taken| Ok(taken.clone()));
        };
        // (batch, pixels, channels): the heads lie side by side.
        let channels = value.dim(2)?;
        let size = channels / heads;
        let (start, end) = (head * size, (head + 1) * size);
        let own = |value: &Tensor| value.narrow(2, start, size);
        let changed = self.value.of(&own(value)?, own)?;
        let before = value.narrow(2, 0, start)?;
        let after = value.narrow(2, end, channels - end)?;
        let parts = [before, changed, after];
        let parts: Vec<&Tensor> = parts.iter().filter(|part| part.elem_count() > 0).collect();
        Tensor::cat(&parts, 2)
    }
}

impl Value {
    /// What becomes of `value`; `part` cuts the same part out of a value that was taken.
    fn of(
        &self,
        value: &Tensor,
        part: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
    ) -> candle_core::Result<Tensor> {
        match self {
            Self::Zero => value.zeros_like(),
            Self::Scaled(factor) => value * *factor,
            Self::Taken(taken) => {
                let taken = part(taken)?;
                if taken.dims() != value.dims() {
                    let (here, there) = (value.dims(), taken.dims());
                    candle_core::bail!(
                        "a value of shape {there:?} cannot take the place of {here:?}"
                    );
                }
                Ok(taken)
            }
        }
    }
}

impl Hook for Patched {
    fn wants_output(&self, path: &str) -> bool {
        self.changes.contains_key(path)
    }

    fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, model::Error> {
        let mut value = value.clone();
        for change in self.changes.get(path).into_iter().flatten() {
            value = change.apply(&value)?;
        }
        Ok(Some(value))
    }
}

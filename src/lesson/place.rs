//! Where a lesson takes its reader, and what the reader looks at: the same words for both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Curve, Grid, Part, Side, StepTensor, View};
use crate::generation::{Intervention, Request};
use crate::scheduler::SchedulerKind;

/// Which half of guidance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// With the prompt.
    Prompt,
    /// Without it.
    Uncond,
}

/// A number, or a word that stands for one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum NumberOrWord {
    /// Counted from 0.
    Number(usize),
    /// A word of the prompt, `start`, `end`; `mean` of a head.
    Word(String),
}

/// A text, or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
        }
    }
}

/// Hands the keys of a place on to a macro, after what that is given besides.
macro_rules! place_keys {
    ($then:ident $($before:tt)*) => {
        $then! { $($before)* [
            /// What the reader is shown; what is not said stays as it is.
            #[derive(Debug, Clone, Default, PartialEq)]
            place: Place {
                /// The view.
                view: View,
                /// The denoising step, counted from 1 as on the screen.
                step: usize,
                /// The position in the prompt.
                token: NumberOrWord,
                /// Whose tokens.
                side: Side,
                /// Which part of the embedding.
                part: Part,
                /// The text encoder's state, from 0, its input.
                text_layer: usize,
                /// The latents' channel, from 0.
                channel: usize,
                /// Is the noise shown times the first sigma?
                scaled: bool,
                /// The schedule's curve.
                curve: Curve,
                /// The scheduler whose schedule lies over this run's.
                overlay: SchedulerKind,
                /// The number of steps that it has.
                overlay_steps: usize,
                /// The denoising view's third picture.
                tensor: StepTensor,
                /// The cross-attention layer, by its name on the screen, or `all`.
                layer: String,
                /// The attention head, from 0, or `mean`.
                head: NumberOrWord,
                /// The half of guidance.
                half: Half,
                /// What the small maps go through.
                grid: Grid,
                /// Is the predicted picture decoded by the autoencoder?
                decode: bool,
            }
        ] }
    };
}

/// Hands the keys of what is asked for on to a macro, after what that is given besides.
macro_rules! ask_keys {
    ($then:ident $($before:tt)*) => {
        $then! { $($before)* [
            /// What is asked for: parts of a request, over those of another.
            #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
            #[serde(deny_unknown_fields, default)]
            ask: Ask {
                /// See [`Request::prompt`].
                prompt: String,
                /// See [`Request::negative_prompt`].
                negative: String,
                /// See [`Request::seed`].
                seed: i64,
                /// See [`Request::steps`].
                steps: usize,
                /// See [`Request::guidance_scale`].
                guidance: f64,
                /// See [`Request::scheduler`].
                scheduler: SchedulerKind,
                /// Words and the factors of their attention.
                weight: BTreeMap<String, f32>,
                /// Words and those that they change places with.
                swap: BTreeMap<String, String>,
            }
        ] }
    };
}

/// The type that such keys are of.
macro_rules! part {
    ([ $(#[$about:meta])* $method:ident: $part:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* } ]) => {
        $(#[$about])*
        pub struct $part {
            $($(#[$doc])* pub $field: Option<$type>,)*
        }
    };
}

/// A table of TOML that has keys of its own and those of parts, each of which a method takes out of it. `serde` can put a
/// table together from parts, but then it refuses no unknown key.
macro_rules! table {
    (
        $name:ident { $($own:ident: $own_type:ty,)* }
        $([
            $(#[$about:meta])*
            $method:ident: $part:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }
        ])*
    ) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct $name {
            $($own: $own_type,)*
            $($($field: Option<$type>,)*)*
        }

        impl $name {
            $(fn $method(&mut self) -> $part {
                $part { $($field: self.$field.take(),)* }
            })*
        }
    };
}

place_keys!(part);
ask_keys!(part);
place_keys!(table RawGoto {
    request: Ask,
    beside: Option<RawBeside>,
    highlight: Option<Texts>,
});
ask_keys!(table RawBeside {
    branch: Option<usize>,
});
place_keys!(ask_keys table RawAct {
    branch: Option<usize>,
});

/// A second run, beside the page's.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// What it asks for, over the page's request.
    pub ask: Ask,
    /// For a branch of the page's run: the step that it begins with, counted from 1.
    pub branch: Option<usize>,
}

/// Where a page takes its reader.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Goto {
    /// What is shown.
    pub place: Place,
    /// What the page's run asks for, over the lesson's.
    pub request: Ask,
    /// The run that stands beside it.
    pub beside: Option<Beside>,
    /// Texts that are marked on the screen.
    pub highlight: Vec<String>,
}

/// What a reader can do.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Look at something.
    Look(Place),
    /// Ask for a new run, over the one on the screen.
    Ask(Ask),
    /// Leave the run on the screen before a step, counted from 1.
    Branch(usize, Ask),
}

impl<'de> Deserialize<'de> for Goto {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut raw = RawGoto::deserialize(deserializer)?;
        Ok(Self {
            place: raw.place(),
            request: raw.request,
            beside: raw.beside.map(|mut raw| Beside {
                branch: raw.branch,
                ask: raw.ask(),
            }),
            highlight: raw.highlight.map(Texts::into_list).unwrap_or_default(),
        })
    }
}

impl<'de> Deserialize<'de> for Act {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut raw = RawAct::deserialize(deserializer)?;
        let place = raw.place();
        let ask = raw.ask();
        match (raw.branch, place == Place::default(), ask.is_empty()) {
            (None, false, true) => Ok(Self::Look(place)),
            (None, true, false) => Ok(Self::Ask(ask)),
            (Some(step), true, _) => Ok(Self::Branch(step, ask)),
            (None, true, true) => Err(D::Error::custom(
                "an action that does nothing; expected a place to look at, or something to ask for",
            )),
            (_, false, _) => Err(D::Error::custom(
                "an action looks at something or asks for a run, not both; make two of it",
            )),
        }
    }
}

impl Ask {
    /// Does it ask for nothing?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `request` with the parts that are named replaced.
    #[must_use]
    pub fn apply(&self, request: &Request) -> Request {
        let mut asked = match &self.prompt {
            Some(prompt) => request.with_prompt(prompt),
            None => request.clone(),
        };
        if let Some(negative) = &self.negative {
            asked.negative_prompt.clone_from(negative);
        }
        if let Some(seed) = self.seed {
            asked.seed = seed.into();
        }
        asked.steps = self.steps.unwrap_or(asked.steps);
        asked.guidance_scale = self.guidance.unwrap_or(asked.guidance_scale);
        asked.scheduler = self.scheduler.unwrap_or(asked.scheduler);
        if self.weight.is_some() || self.swap.is_some() {
            let weights = self.weight.iter().flatten();
            let swaps = self.swap.iter().flatten();
            let weights = weights.map(|(word, factor)| Intervention::weight(word, *factor));
            let swaps = swaps.map(|(word, other)| Intervention::swap(word, other));
            asked.interventions = weights.chain(swaps).collect();
        }
        asked
    }

    /// Does it change how words are listened to?
    pub fn intervenes(&self) -> bool {
        self.weight.is_some() || self.swap.is_some()
    }
}

/// What the reader looks at, as filters see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)] // As in `Place`; differences are said.
pub struct Selection {
    pub view: View,
    /// Counted from 0, as in the document; `null` before the first one.
    pub step: Option<usize>,
    /// The position, from 0.
    pub token: usize,
    /// The selected word of the prompt, as typed.
    pub word: Option<String>,
    pub side: Side,
    pub part: Part,
    pub text_layer: usize,
    /// The text encoder's head; `null` for the mean.
    pub text_head: Option<usize>,
    pub channel: usize,
    pub scaled: bool,
    pub curve: Curve,
    pub overlay: Option<SchedulerKind>,
    pub overlay_steps: Option<usize>,
    pub tensor: StepTensor,
    /// The layer's path; `null` for the mean of all.
    pub layer: Option<String>,
    /// The head; `null` for the mean.
    pub head: Option<usize>,
    pub half: Half,
    pub grid: Grid,
    pub decode: bool,
    /// The number of the run on the screen.
    pub run: u64,
    /// How many runs there are.
    pub runs: usize,
    /// Of a branch: the run that it left.
    pub parent: Option<u64>,
    /// Of a branch: the first step of its own, from 0.
    pub branched_at: Option<usize>,
}

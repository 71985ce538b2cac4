//! The TOML tables that take a reader somewhere: a page's `goto` and `beside`, a request, an action.
//!
//! They have keys in common. serde's `flatten` would put them together, but then it refuses no unknown key and does not
//! know where a value stands in the file.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use crate::generation::{NoStepRange, RequestPatch, StepRange};
use crate::lesson::{Comparison, Goto, LessonAction, Location};

/// What a page's `goto` has beside a location.
const GOTO: &[&str] = &["request", "beside", "highlight"];
const LOCATION: &[&str] = &[
    "view",
    "step",
    "token",
    "side",
    "part",
    "text_layer",
    "channel",
    "scaled",
    "curve",
    "overlay",
    "overlay_steps",
    "tensor",
    "layer",
    "head",
    "half",
    "grid",
    "decode",
];
const BRANCH: &[&str] = &["branch"];
const REQUEST: &[&str] = &[
    "prompt",
    "negative",
    "seed",
    "steps",
    "guidance",
    "scheduler",
    "weight",
    "swap",
    "guidance_steps",
    "guidance_rescale",
];

/// Every key that one of the tables can have.
#[derive(Default)]
struct Table {
    request: Option<RequestPatch>,
    beside: Option<Comparison>,
    highlight: Option<Texts>,
    location: Location,
    branch: Option<usize>,
    patch: RequestPatch,
}

/// A text, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Table {
    /// Reads a table that may have the keys of `known` and no others.
    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        known: &[&[&'static str]],
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys(known.concat()))
    }
}

/// The keys that a table may have.
struct Keys(Vec<&'static str>);

impl<'de> Visitor<'de> for Keys {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
        let mut table = Table::default();
        let (location, patch) = (&mut table.location, &mut table.patch);
        while let Some(key) = map.next_key_seed(&self)? {
            match key {
                "request" => table.request = map.next_value()?,
                "beside" => table.beside = map.next_value()?,
                "highlight" => table.highlight = map.next_value()?,
                "view" => location.view = map.next_value()?,
                "step" => location.step = map.next_value()?,
                "token" => location.token = map.next_value()?,
                "side" => location.side = map.next_value()?,
                "part" => location.part = map.next_value()?,
                "text_layer" => location.text_layer = map.next_value()?,
                "channel" => location.channel = map.next_value()?,
                "scaled" => location.scaled = map.next_value()?,
                "curve" => location.curve = map.next_value()?,
                "overlay" => location.overlay = map.next_value()?,
                "overlay_steps" => location.overlay_steps = map.next_value()?,
                "tensor" => location.tensor = map.next_value()?,
                "layer" => location.layer = map.next_value()?,
                "head" => location.head = map.next_value()?,
                "half" => location.half = map.next_value()?,
                "grid" => location.grid = map.next_value()?,
                "decode" => location.decode = map.next_value()?,
                "branch" => table.branch = map.next_value()?,
                "prompt" => patch.prompt = map.next_value()?,
                "negative" => patch.negative_prompt = map.next_value()?,
                "seed" => patch.seed = map.next_value::<Option<i64>>()?.map(i128::from),
                "steps" => patch.steps = map.next_value()?,
                "guidance" => patch.guidance_scale = map.next_value()?,
                "guidance_steps" => patch.guidance_steps = step_range(&mut map)?,
                "guidance_rescale" => patch.guidance_rescale = map.next_value()?,
                "scheduler" => patch.scheduler = map.next_value()?,
                "weight" => patch.weight = words(&mut map)?,
                "swap" => patch.swap = words(&mut map)?,
                key => return Err(self.unknown(key)),
            }
        }
        Ok(table)
    }
}

/// Steps as they are typed, `4..10`, counted from 1.
fn step_range<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<StepRange>, A::Error> {
    let text: Option<String> = map.next_value()?;
    let range = |text: String| {
        text.parse()
            .map_err(|error: NoStepRange| A::Error::custom(format!("{text:?}: {error}")))
    };
    text.map(range).transpose()
}

/// What stands at each word, the words sorted.
fn words<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<Option<Vec<(String, T)>>, A::Error> {
    let words: Option<BTreeMap<String, T>> = map.next_value()?;
    Ok(words.map(|words| words.into_iter().collect()))
}

/// Reads one key, so that the parser says where an unknown one stands.
impl<'de> DeserializeSeed<'de> for &Keys {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        let key = String::deserialize(deserializer)?;
        let known = self.0.iter().find(|known| **known == key);
        known.copied().ok_or_else(|| self.unknown(&key))
    }
}

impl Keys {
    fn unknown<E: Error>(&self, key: &str) -> E {
        let known = self.0.join("`, `");
        E::custom(format!("unknown field `{key}`, expected one of `{known}`"))
    }
}

impl<'de> Deserialize<'de> for Goto {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::read(deserializer, &[GOTO, LOCATION])?;
        Ok(Self {
            location: table.location,
            request: table.request.unwrap_or_default(),
            beside: table.beside,
            highlight: match table.highlight {
                None => Vec::new(),
                Some(Texts::One(text)) => vec![text],
                Some(Texts::Several(texts)) => texts,
            },
        })
    }
}

impl<'de> Deserialize<'de> for Comparison {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::read(deserializer, &[BRANCH, REQUEST])?;
        Ok(Self {
            request: table.patch,
            branch: table.branch,
        })
    }
}

impl<'de> Deserialize<'de> for RequestPatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Table::read(deserializer, &[REQUEST])?.patch)
    }
}

impl<'de> Deserialize<'de> for LessonAction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Table {
            location,
            branch,
            patch,
            ..
        } = Table::read(deserializer, &[BRANCH, LOCATION, REQUEST])?;
        match (branch, location == Location::default(), patch.is_empty()) {
            (None, false, true) => Ok(Self::Look(location)),
            (None, true, false) => Ok(Self::Run(patch)),
            (Some(step), true, _) => Ok(Self::Branch(step, patch)),
            (None, true, true) => Err(D::Error::custom(
                "an action that does nothing; expected a place to look at, or something to ask for",
            )),
            (_, false, _) => Err(D::Error::custom(
                "an action looks at something or asks for a run, not both; make two of it",
            )),
        }
    }
}

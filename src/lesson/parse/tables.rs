//! The TOML tables that take a reader somewhere: a page's `goto` and `beside`, a request, an action.
//!
//! They have keys in common. serde's `flatten` would put them together, but then it refuses no unknown key and does not
//! know where a value stands in the file.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use crate::generation::{NoStepRange, Patch, PatchChange, RequestPatch, StepRange};
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
    "leave_out",
    "text_layers",
    "guidance_steps",
    "guidance_rescale",
    "patch",
    "patch_steps",
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
        let mut patch_steps = None;
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
                "leave_out" => patch.leave_out = words(&mut map)?,
                "text_layers" => patch.text_layers = map.next_value()?,
                "patch" => patch.patches = patches(&mut map)?,
                "patch_steps" => patch_steps = step_range(&mut map)?,
                key => return Err(self.unknown(key)),
            }
        }
        match &mut patch.patches {
            Some(patches) => {
                let patches = patches.iter_mut();
                patches.for_each(|patch| patch.steps = patch_steps);
            }
            None if patch_steps.is_some() => {
                return Err(A::Error::custom("`patch_steps` without `patch`"));
            }
            None => {}
        }
        Ok(table)
    }
}

/// What a module's output becomes.
#[derive(Deserialize)]
#[serde(untagged)]
enum OffOrFactor {
    Factor(f64),
    Text(String),
}

/// Patches by module, `"mid_block.resnets.1" = "off"`, the modules sorted. A lesson has no recorded runs to take from.
fn patches<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Vec<Patch>>, A::Error> {
    let patch = |(target, value): (String, OffOrFactor)| {
        let value = match value {
            OffOrFactor::Factor(factor) => factor.to_string(),
            OffOrFactor::Text(text) => text,
        };
        let wrong = || {
            A::Error::custom(format!(
                "{target:?} = {value:?} is no patch; expected a module's path with #HEAD or without, and \"off\" or a \
                 factor from -100 to 100"
            ))
        };
        let patch: Patch = format!("{target}={value}").parse().map_err(|_| wrong())?;
        match patch.change {
            PatchChange::Take(_) => Err(wrong()),
            PatchChange::Off | PatchChange::Scale(_) => Ok(patch),
        }
    };
    let modules: Option<BTreeMap<String, OffOrFactor>> = map.next_value()?;
    let patches = modules.map(|modules| modules.into_iter().map(patch).collect());
    patches.transpose()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::LeftOutOf;

    fn read(text: &str) -> Result<RequestPatch, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn modules_are_patched_and_guidance_acts_in_steps_counted_from_one() {
        let text = r#"
            guidance_steps = "4..10"
            guidance_rescale = 0.7
            patch = { "mid_block.attentions.0.transformer_blocks.0.attn2#3" = "off", conv_in = 0.5 }
            patch_steps = "2"
        "#;
        let request = read(text).unwrap();
        let steps = request.guidance_steps.unwrap();
        assert_eq!((steps.first, steps.last), (3, 9));
        assert_eq!(request.guidance_rescale, Some(0.7));
        let patches = request.patches.unwrap();
        let said: Vec<String> = patches.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "conv_in × 0.5 in both halves, in step 2",
                "mid_block.attentions.0.transformer_blocks.0.attn2 head 3 off in both halves, in step 2",
            ]
        );
    }

    #[test]
    fn words_are_left_out_of_the_input_or_of_what_is_read() {
        let request = read("leave_out = { red = \"reads\", apple = \"input\" }\ntext_layers = 0");
        let request = request.unwrap();
        let left_out = [("apple", LeftOutOf::Input), ("red", LeftOutOf::Reads)];
        let left_out = left_out.map(|(word, of)| (word.to_owned(), of));
        assert_eq!(request.leave_out.unwrap(), left_out);
        assert_eq!(request.text_layers, Some(0));
        let error = read("leave_out = { red = \"all\" }").unwrap_err();
        assert!(error.contains("`input` or `reads`"), "{error}");
    }

    #[test]
    fn what_a_lesson_cannot_patch_is_refused() {
        for (text, expected) in [
            (
                r#"patch = { conv_in = "runs/a" }"#,
                "a factor from -100 to 100",
            ),
            ("patch = { conv_in = 1000 }", "a factor from -100 to 100"),
            (r#"patch = { "conv_in#x" = "off" }"#, "conv_in#x"),
            (r#"patch_steps = "2..3""#, "without `patch`"),
            (r#"guidance_steps = "0..3""#, "counted from 1"),
            ("guidance_steps = 3", "string"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

//! One configuration file, read key by key, with errors that name file, key, found and expected.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::checkpoint::error::CheckpointError;
use crate::text::{printable, python_json};

/// How many channels, positions or tokens a configuration may ask for: far beyond any real network, and few enough
/// that sums and small multiples of them do not overflow.
const SIZES: RangeInclusive<usize> = 1..=1 << 20;

/// A JSON object whose values are read by key, as the class in diffusers or transformers reads it that the file is for.
///
/// Whatever is written is decided here: a key is read, or stands in the class's [`Keys`], or [`Reader::notes`] names it.
pub struct Reader {
    /// The file, for errors.
    file: String,
    /// The file, for notes, which go into documents: where the checkpoint lies is left out.
    place: String,
    map: Map<String, Value>,
    /// The keys that were asked for.
    asked: RefCell<BTreeSet<String>>,
    notes: RefCell<Vec<String>>,
    /// Is a null what was written, and no default? A class's arguments are passed as they are written.
    keeps_null: Cell<bool>,
}

/// What becomes of the keys of a class that are not read.
pub struct Keys {
    /// The class's name.
    pub class: &'static str,
    pub keys: &'static [(&'static str, Fate)],
}

/// What becomes of a key that is not read.
pub enum Fate {
    /// It changes nothing; why.
    #[expect(dead_code, reason = "the reason is for those who read the tables")]
    Harmless(&'static str),
    /// It may have these values, as JSON; a list, too, all of whose items are among them. Another one is refused, for
    /// this reason.
    Only(&'static [&'static str], &'static str),
    /// Values other than these are named, with what becomes of them.
    Noted(&'static [&'static str], &'static str),
}

impl Reader {
    /// Parses `bytes`, the contents of `file`: as messages name it, and notes, too, unless [`Reader::noted_as`] says
    /// otherwise.
    pub fn new(file: &str, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let json = |reason: String| CheckpointError::Json {
            file: file.to_owned(),
            reason,
        };
        match python_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self::of(file.to_owned(), file.to_owned(), map)),
            Ok(other) => Err(json(format!("it holds {}", kind(&other)))),
            Err(error) => Err(json(printable(&error.to_string()))),
        }
    }

    fn of(file: String, place: String, map: Map<String, Value>) -> Self {
        Self {
            file,
            place,
            map,
            asked: RefCell::default(),
            notes: RefCell::default(),
            keeps_null: Cell::default(),
        }
    }

    /// Has notes name the file by `place`, relative to the checkpoint's folder.
    #[must_use]
    pub fn noted_as(mut self, place: &str) -> Self {
        place.clone_into(&mut self.place);
        self
    }

    /// All keys with their values.
    pub fn into_map(self) -> Map<String, Value> {
        self.map
    }

    /// The file, for messages.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The value of `key`; a null, too, where the file holds a class's arguments.
    pub fn written(&self, key: &str) -> Option<&Value> {
        self.asked.borrow_mut().insert(key.to_owned());
        let value = self.map.get(key);
        value.filter(|value| self.keeps_null.get() || !value.is_null())
    }

    /// The value of `key`, unless it is absent or null: for keys whose default is null.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.written(key).filter(|value| !value.is_null())
    }

    /// The object in `key`, to be read in its stead.
    pub fn nested(&self, key: &str) -> Option<Self> {
        let map = self.written(key)?.as_object()?;
        let within = |file: &str| format!("{file}: {key}");
        Some(Self::of(
            within(&self.file),
            within(&self.place),
            map.clone(),
        ))
    }

    /// The keys that nobody has asked for.
    pub fn rest(&self) -> Vec<(&String, &Value)> {
        let asked = self.asked.borrow();
        self.map
            .iter()
            .filter(|(key, _)| !asked.contains(*key))
            .collect()
    }

    /// Has something said of the file that changes what it says, or is passed over.
    pub fn note(&self, note: &str) {
        self.notes
            .borrow_mut()
            .push(format!("{}: {note}", self.place));
    }

    /// What is to be said of the file.
    pub fn notes(self) -> Vec<String> {
        self.notes.into_inner()
    }

    /// Reads as a class does whose arguments the file holds: a null is passed as it is written. Deals with the keys that are
    /// not read, and refuses what is not supported.
    pub fn refuse(&self, keys: &Keys) -> Result<(), CheckpointError> {
        self.keeps_null.set(true);
        for (key, fate) in keys.keys {
            let Some(value) = self.written(key) else {
                continue;
            };
            match fate {
                Fate::Harmless(_) => {}
                Fate::Only(values, _) | Fate::Noted(values, _) if is_one_of(value, values) => {}
                Fate::Only(_, reason) => return Err(self.unsupported(key, reason)),
                Fate::Noted(_, what) => self.note(&format!("{key} is {}, {what}", brief(value))),
            }
        }
        Ok(())
    }

    /// Names the keys that `class` of diffusers or transformers does not know: all that were neither read nor dealt with.
    pub fn name_unknown(&self, class: &str) {
        self.name_rest(class, ", as in diffusers");
    }

    /// Names the keys that this program does not know, whoever else does.
    pub fn name_unknown_here(&self) {
        self.name_rest("this program", "");
    }

    fn name_rest(&self, who: &str, as_whom: &str) {
        const MOST: usize = 8;
        let unknown: Vec<String> = self
            .rest()
            .into_iter()
            // diffusers keeps its own notes under such names.
            .filter(|(key, _)| !key.starts_with('_'))
            .map(|(key, value)| format!("{} ({})", printable(key), brief(value)))
            .collect();
        let Some((first, others)) = unknown.split_first() else {
            return;
        };
        let (mut names, ignored) = match others.len() {
            0 => (first.clone(), "it is ignored"),
            _ => (
                unknown[..unknown.len().min(MOST)].join(", "),
                "they are ignored",
            ),
        };
        if unknown.len() > MOST {
            names = format!("{names} and {} more", unknown.len() - MOST);
        }
        self.note(&format!("{who} does not know {names}; {ignored}{as_whom}"));
    }

    /// A size: a whole number in [`SIZES`].
    pub fn size(&self, key: &str, default: usize) -> Result<usize, CheckpointError> {
        self.written(key)
            .map_or(Ok(default), |value| self.as_size(key, value))
    }

    /// How many layers: from 1 to 256.
    pub fn layers(&self, key: &str, default: usize) -> Result<usize, CheckpointError> {
        const MOST: usize = 256;
        let layers = self.size(key, default)?;
        if layers > MOST {
            return Err(self.wrong(key, &format!("a whole number from 1 to {MOST}")));
        }
        Ok(layers)
    }

    /// A list of sizes, not empty.
    pub fn sizes(&self, key: &str, default: &[usize]) -> Result<Vec<usize>, CheckpointError> {
        let Some(value) = self.written(key) else {
            return Ok(default.to_vec());
        };
        match value.as_array() {
            Some(items) if !items.is_empty() => {
                items.iter().map(|item| self.as_size(key, item)).collect()
            }
            _ => Err(self.wrong(key, "a list of whole numbers")),
        }
    }

    /// A size for each of `count` blocks: one number for all of them, or a list of `count`.
    pub fn size_per_block(
        &self,
        key: &str,
        default: usize,
        count: usize,
    ) -> Result<Vec<usize>, CheckpointError> {
        match self.written(key) {
            Some(Value::Array(_)) => {
                let sizes = self.sizes(key, &[])?;
                if sizes.len() == count {
                    Ok(sizes)
                } else {
                    Err(self.wrong(
                        key,
                        &format!("one number, or one for each of the {count} blocks"),
                    ))
                }
            }
            _ => Ok(vec![self.size(key, default)?; count]),
        }
    }

    pub fn number(
        &self,
        key: &str,
        default: f64,
        range: RangeInclusive<f64>,
    ) -> Result<f64, CheckpointError> {
        let Some(value) = self.written(key) else {
            return Ok(default);
        };
        value
            .as_f64()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                let expected = match (*least > f64::MIN, *most < f64::MAX) {
                    (_, true) => format!("a number from {least:?} to {most:?}"),
                    (true, false) => format!("a number of at least {least:?}"),
                    (false, false) => "a number".to_owned(),
                };
                self.wrong(key, &expected)
            })
    }

    /// True or false; null and 0 are false and 1 is true, as in Python.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, CheckpointError> {
        match self.written(key) {
            None => Ok(default),
            Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) if same(value, &Value::from(0)) => Ok(false),
            Some(value) if same(value, &Value::from(1)) => Ok(true),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    pub fn text<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str, CheckpointError> {
        self.written(key).map_or(Ok(default), |value| {
            value.as_str().ok_or_else(|| self.wrong(key, "a text"))
        })
    }

    /// A list of names, each of which must be one of `known`; `None` where the key is absent.
    pub fn names<T: Copy>(
        &self,
        key: &str,
        known: &[(&str, T)],
        reason: &str,
    ) -> Result<Option<Vec<T>>, CheckpointError> {
        let Some(value) = self.written(key) else {
            return Ok(None);
        };
        let Some(items) = value.as_array() else {
            return Err(self.wrong(key, "a list of block types"));
        };
        items
            .iter()
            .map(|item| {
                // Very old files have a prefix, which diffusers takes off, too.
                let found = item
                    .as_str()
                    .map(|name| name.strip_prefix("UNetRes").unwrap_or(name));
                known
                    .iter()
                    .find(|(name, _)| found == Some(name))
                    .map(|&(_, value)| value)
                    .ok_or_else(|| {
                        let names: Vec<&str> = known.iter().map(|&(name, _)| name).collect();
                        self.unsupported_value(
                            key,
                            item,
                            &format!("{reason} ({})", names.join(", ")),
                        )
                    })
            })
            .collect::<Result<Vec<T>, _>>()
            .map(Some)
    }

    /// The error that `key` is not as expected.
    pub fn wrong(&self, key: &str, expected: &str) -> CheckpointError {
        CheckpointError::Config {
            file: self.file.clone(),
            key: key.to_owned(),
            found: self.map.get(key).map_or_else(|| "absent".to_owned(), brief),
            expected: expected.to_owned(),
        }
    }

    /// The error that `key` asks for something that this program does not do.
    pub fn unsupported(&self, key: &str, reason: &str) -> CheckpointError {
        let found = self.map.get(key).unwrap_or(&Value::Null);
        self.unsupported_value(key, found, reason)
    }

    fn unsupported_value(&self, key: &str, found: &Value, reason: &str) -> CheckpointError {
        CheckpointError::Unsupported {
            file: self.file.clone(),
            key: key.to_owned(),
            found: brief(found),
            reason: reason.to_owned(),
        }
    }

    fn as_size(&self, key: &str, value: &Value) -> Result<usize, CheckpointError> {
        value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| SIZES.contains(number))
            .ok_or_else(|| {
                let most = SIZES.end();
                self.wrong(key, &format!("a whole number from 1 to {most}"))
            })
    }
}

/// Is `value` one of `known`, which are JSON, or a list of such values? Names in lower or upper case are the same.
fn is_one_of(value: &Value, known: &[&str]) -> bool {
    let is_known = |value: &Value| {
        known
            .iter()
            .any(|known| serde_json::from_str(known).is_ok_and(|known: Value| same(value, &known)))
    };
    is_known(value)
        || value
            .as_array()
            .is_some_and(|items| !items.is_empty() && items.iter().all(is_known))
}

/// Are two JSON values the same, with `1` and `1.0` the same number?
fn same(a: &Value, b: &Value) -> bool {
    // The numbers that are asked for are written exactly, so that exact comparison is what is meant.
    #[allow(clippy::float_cmp)]
    let same_number = matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b);
    let same_text =
        matches!((a.as_str(), b.as_str()), (Some(a), Some(b)) if a.eq_ignore_ascii_case(b));
    same_number || same_text || a == b
}

/// A value for a message.
fn brief(value: &Value) -> String {
    printable(&value.to_string())
}

/// What a JSON value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

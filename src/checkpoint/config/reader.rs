//! One configuration file, read key by key, with errors that name file, key, found and expected.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::checkpoint::error::CheckpointError;
use crate::text::{printable, python_json};

/// How many channels, positions or tokens a configuration may ask for: far beyond any real network, and few enough
/// that sums and small multiples of them do not overflow.
const SIZES: RangeInclusive<usize> = 1..=1 << 20;

/// A JSON object whose values are read by key. A key that is absent or `null` takes its default.
pub struct Reader {
    file: String,
    map: Map<String, Value>,
}

impl Reader {
    /// Parses `bytes`, the contents of `file`.
    pub fn new(file: &str, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let json = |reason: String| CheckpointError::Json {
            file: file.to_owned(),
            reason,
        };
        match python_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self {
                file: file.to_owned(),
                map,
            }),
            Ok(other) => Err(json(format!("it holds {}", kind(&other)))),
            Err(error) => Err(json(printable(&error.to_string()))),
        }
    }

    /// All keys with their values.
    pub fn into_map(self) -> Map<String, Value> {
        self.map
    }

    /// The value of `key`, unless it is absent or null.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Is `key` written, as null?
    pub fn is_null(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(Value::is_null)
    }

    /// A size: a whole number in [`SIZES`].
    pub fn size(&self, key: &str, default: usize) -> Result<usize, CheckpointError> {
        self.value(key)
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
        let Some(value) = self.value(key) else {
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
        match self.value(key) {
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
        let Some(value) = self.value(key) else {
            return Ok(default);
        };
        value
            .as_f64()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                let expected = if *most < f64::MAX {
                    format!("a number from {least:?} to {most:?}")
                } else {
                    format!("a number of at least {least:?}")
                };
                self.wrong(key, &expected)
            })
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool, CheckpointError> {
        self.value(key).map_or(Ok(default), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.wrong(key, "true or false"))
        })
    }

    pub fn text<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str, CheckpointError> {
        self.value(key).map_or(Ok(default), |value| {
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
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let Some(items) = value.as_array() else {
            return Err(self.wrong(key, "a list of block types"));
        };
        items
            .iter()
            .map(|item| {
                known
                    .iter()
                    .find(|(name, _)| item.as_str() == Some(name))
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

    /// Refuses the file unless `key` is absent, null, or equal to `only`, which is JSON.
    pub fn require(&self, key: &str, only: &str, reason: &str) -> Result<(), CheckpointError> {
        let only: Option<Value> = serde_json::from_str(only).ok();
        match self.value(key) {
            Some(value) if !only.is_some_and(|only| same(value, &only)) => {
                Err(self.unsupported(key, reason))
            }
            _ => Ok(()),
        }
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

/// Are two JSON values the same, with `1` and `1.0` the same number?
fn same(a: &Value, b: &Value) -> bool {
    // The numbers that are asked for are written exactly, so that exact comparison is what is meant.
    #[allow(clippy::float_cmp)]
    let same_number = matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b);
    same_number || a == b
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

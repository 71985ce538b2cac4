//! What a tokenizer's JSON files say beside the vocabulary, and which of them is stronger: that is transformers'
//! `PreTrainedTokenizerBase._from_pretrained` and `TokenizersBackend.__init__` (version 5).

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    ADDED_TOKENS, CONFIG, SPECIAL_TOKENS, WHOLE, keys,
    words::{Named, word},
};
use crate::checkpoint::{error::CheckpointError, files::Files};
use crate::model::tokenizer::{AddedToken, END, Rules, START, Side};
use crate::text::{printable, python_json};

/// The special tokens that every tokenizer of transformers has, in the order in which they are added.
const SPECIAL: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];
/// The most words that are added.
const MOST_WORDS: usize = 1 << 16;

/// The settings of a tokenizer, by key, each with the file that it is from.
pub struct Settings<'a> {
    files: &'a Files,
    values: Map<String, Value>,
    from: HashMap<String, &'static str>,
    /// Special tokens of other names than the common ones, which the configuration has: they come last.
    own_special: Vec<Named>,
    /// The words that are added, by the id that the files give them.
    added: BTreeMap<u64, AddedToken>,
    whole: Whole,
}

/// The parts of `tokenizer.json` that count beside vocabulary and merges.
#[derive(Default, Deserialize)]
struct Whole {
    #[serde(default)]
    added_tokens: Vec<Value>,
    #[serde(default)]
    padding: Option<Directed>,
    #[serde(default)]
    truncation: Option<Directed>,
}

/// Padding or truncation as `tokenizer.json` has it.
#[derive(Deserialize)]
struct Directed {
    direction: Option<String>,
}

impl<'a> Settings<'a> {
    /// Reads all files but the vocabulary.
    pub fn read(files: &'a Files) -> Result<Self, CheckpointError> {
        let mut settings = Self {
            files,
            values: Map::new(),
            from: HashMap::new(),
            own_special: Vec::new(),
            added: BTreeMap::new(),
            whole: Whole::default(),
        };
        settings.take(CONFIG)?;
        // `additional_special_tokens` is what `extra_special_tokens` was called before.
        if settings.is_nothing("extra_special_tokens") {
            settings.rename("additional_special_tokens", "extra_special_tokens");
        }
        settings.take_own_special()?;
        if files.has_optional(WHOLE)? {
            settings.whole = python_json::from_slice(&files.read(WHOLE)?).map_err(|error| {
                CheckpointError::Json {
                    file: files.shown_file(WHOLE),
                    reason: printable(&error.to_string()),
                }
            })?;
        }
        match settings.values.remove("added_tokens_decoder") {
            Some(Value::Object(words)) => settings.take_added(&words)?,
            Some(Value::Null) | None => {
                settings.take_map()?;
                settings.take_older_added()?;
                settings.take_whole_added()?;
            }
            Some(other) => {
                let expected = "an object of words by their ids";
                return Err(settings.wrong_value(CONFIG, "added_tokens_decoder", &other, expected));
            }
        }
        if !settings.values.contains_key("extra_special_tokens") {
            settings.rename("additional_special_tokens", "extra_special_tokens");
        }
        keys::check(&settings.values, |key, reason| {
            settings.unsupported(key, reason)
        })?;
        Ok(settings)
    }

    /// Sentences that name the keys that nobody knows.
    pub fn unknown_keys(&self) -> Vec<String> {
        let keys = keys::unknown(&self.values);
        keys.map(|key| {
            let file = self.from.get(key).copied().unwrap_or(CONFIG);
            let (file, key) = (self.files.shown_file(file), printable(key));
            format!("{file}: {key} is no setting of CLIP's tokenizer and is passed over, as transformers does it")
        })
        .collect()
    }

    /// The rules for a text encoder of so many positions.
    pub fn rules(&self, positions: usize) -> Result<Rules, CheckpointError> {
        let mut named = Vec::new();
        for key in SPECIAL {
            named.extend(self.special(key)?.map(|token| (key, token)));
        }
        let content = |key: &str| {
            let found = named.iter().find(|(name, _)| *name == key);
            found.map(|(_, token)| token.content().to_owned())
        };
        // These are needed; where a file says null, transformers has none and cannot work either.
        let needed = |key: &str| content(key).ok_or_else(|| self.wrong(key, "a token's text"));
        Ok(Rules {
            max_length: self.max_length(positions)?,
            start: needed("bos_token")?,
            end: needed("eos_token")?,
            pad: needed("pad_token")?,
            unknown: content("unk_token"),
            padding_side: self.side("padding_side", self.whole.padding.as_ref())?,
            truncation_side: self.side("truncation_side", self.whole.truncation.as_ref())?,
            split_special_tokens: self.flag("split_special_tokens")?,
            added: self.words(named.into_iter().map(|(_, token)| token).collect())?,
        })
    }

    /// Takes what an object in a file says; it replaces what is there.
    fn take(&mut self, path: &'static str) -> Result<(), CheckpointError> {
        if !self.files.has_optional(path)? {
            return Ok(());
        }
        for (key, value) in self.files.json(path)?.into_map() {
            self.from.insert(key.clone(), path);
            self.values.insert(key, value);
        }
        Ok(())
    }

    /// Takes special tokens of other names out of the configuration: texts by a key that ends so, and a list by names.
    fn take_own_special(&mut self) -> Result<(), CheckpointError> {
        let is_own = |key: &str| key.ends_with("_token") && !SPECIAL.contains(&key);
        let texts = self.values.iter();
        let texts = texts.filter(|(key, value)| is_own(key) && value.is_string());
        let keys: Vec<String> = texts.map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(value) = self.values.shift_remove(&key) {
                self.own_special.push(self.named(&key, &value)?);
            }
        }
        let extra = self.take_extra_by_name()?;
        self.own_special.extend(extra);
        Ok(())
    }

    /// Takes further special tokens out of the settings, where they are written by names and not as a list.
    fn take_extra_by_name(&mut self) -> Result<Vec<Named>, CheckpointError> {
        const KEY: &str = "extra_special_tokens";
        let Some(Value::Object(tokens)) = self.values.get(KEY) else {
            return Ok(Vec::new());
        };
        let tokens: Result<Vec<Named>, _> = tokens
            .values()
            .map(|value| self.named(KEY, value))
            .collect();
        self.values.shift_remove(KEY);
        tokens
    }

    /// Takes what `special_tokens_map.json` says: its objects are special tokens, and its list is added to the
    /// configuration's.
    fn take_map(&mut self) -> Result<(), CheckpointError> {
        const EXTRA: &str = "extra_special_tokens";
        let before = self.values.get(EXTRA).cloned();
        self.take(SPECIAL_TOKENS)?;
        for (key, value) in &mut self.values {
            let is_from_map = self.from.get(key) == Some(&SPECIAL_TOKENS);
            match value {
                Value::Object(token) if is_from_map && key != EXTRA => {
                    token.insert("special".to_owned(), Value::Bool(true));
                }
                Value::Array(list) if is_from_map && key == EXTRA => {
                    if let Some(Value::Array(mut all)) = before.clone() {
                        all.append(list);
                        *list = all;
                    }
                }
                _ => {}
            }
        }
        let extra = self.take_extra_by_name()?;
        self.own_special.extend(extra);
        Ok(())
    }

    /// Is a key absent, null or empty?
    fn is_nothing(&self, key: &str) -> bool {
        match self.values.get(key) {
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            Some(value) => value.is_null(),
            None => true,
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        if let Some(value) = self.values.shift_remove(from) {
            if let Some(&file) = self.from.get(from) {
                self.from.insert(to.to_owned(), file);
            }
            self.values.insert(to.to_owned(), value);
        }
    }

    /// `added_tokens_decoder`: words by their ids.
    fn take_added(&mut self, words: &Map<String, Value>) -> Result<(), CheckpointError> {
        for (id, value) in words {
            let key = format!("added_tokens_decoder.{}", printable(id));
            let number = id
                .trim()
                .parse()
                .map_err(|_| self.wrong_value(CONFIG, &key, &Value::from(id.as_str()), "an id"))?;
            let word =
                word(value).map_err(|expected| self.wrong_value(CONFIG, &key, value, expected))?;
            self.added.insert(number, word);
        }
        Ok(())
    }

    /// `added_tokens.json`: ids by words. Those that are named as special tokens are found as they are typed, all others
    /// in lower case.
    fn take_older_added(&mut self) -> Result<(), CheckpointError> {
        if !self.files.has_optional(ADDED_TOKENS)? {
            return Ok(());
        }
        let mut special = Vec::new();
        for key in SPECIAL {
            special.extend(self.values.get(key).filter(|value| !value.is_null()));
        }
        if let Some(Value::Array(extra)) = self.values.get("extra_special_tokens") {
            special.extend(extra);
        }
        let special: HashSet<String> = special
            .into_iter()
            .filter_map(|value| Named::read(value).ok())
            .map(|token| token.content().to_owned())
            .collect();
        for (text, id) in self.files.json(ADDED_TOKENS)?.into_map() {
            let key = printable(&text);
            let wrong = |expected| self.wrong_value(ADDED_TOKENS, &key, &id, expected);
            let number = id.as_u64().ok_or_else(|| wrong("a word's id"))?;
            let is_special = special.contains(&text);
            let named = Named::read(&Value::from(text)).map_err(wrong)?;
            let word = AddedToken::from(named.content(), is_special);
            self.added.insert(number, word);
        }
        Ok(())
    }

    /// `added_tokens` of `tokenizer.json`.
    fn take_whole_added(&mut self) -> Result<(), CheckpointError> {
        for value in std::mem::take(&mut self.whole.added_tokens) {
            let wrong = |expected| self.wrong_value(WHOLE, "added_tokens", &value, expected);
            let id = value.get("id").and_then(Value::as_u64);
            let id = id.ok_or_else(|| wrong("an object with a word's id in id"))?;
            let word = word(&value).map_err(wrong)?;
            self.added.insert(id, word);
        }
        Ok(())
    }

    /// A special token: as the added words have it, where one has its text. Absent, it is CLIP's.
    fn special(&self, key: &str) -> Result<Option<Named>, CheckpointError> {
        let clip = match key {
            "bos_token" => Some(START),
            "eos_token" | "unk_token" | "pad_token" => Some(END),
            _ => None,
        };
        let token = match self.values.get(key) {
            None => return Ok(clip.map(|text| Named::Text(text.to_owned()))),
            Some(Value::Null) => return Ok(None),
            Some(value) => self.named(key, value)?,
        };
        let mut added = self.added.values();
        let same = added.find(|word| word.content == token.content()).cloned();
        Ok(Some(same.map_or(token, Named::Word)))
    }

    /// All words in the order in which they are added: those with ids, the special tokens, further ones.
    fn words(&self, special: Vec<Named>) -> Result<Vec<AddedToken>, CheckpointError> {
        let mut special = special;
        for (key, value) in &self.values {
            let is_own = key.ends_with("_token") && !SPECIAL.contains(&&key[..]);
            if is_own && (value.is_string() || value.is_object()) {
                special.push(self.named(key, value)?);
            }
        }
        special.extend(self.own_special.iter().cloned());
        let names: HashSet<String> = special
            .iter()
            .map(|token| token.content().to_owned())
            .collect();
        let extra = match self.values.get("extra_special_tokens") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list
                .iter()
                .map(|value| self.named("extra_special_tokens", value))
                .collect::<Result<Vec<Named>, _>>()?,
            Some(_) => return Err(self.wrong("extra_special_tokens", "a list of tokens")),
        };
        let with_ids: HashSet<&str> = self.added.values().map(|word| &word.content[..]).collect();
        let mut seen = HashSet::new();
        let others = special
            .into_iter()
            .chain(extra)
            .filter(|token| !with_ids.contains(token.content()) && seen.insert(token.clone()));
        let words: Vec<AddedToken> = self
            .added
            .values()
            .cloned()
            .chain(others.map(Named::into_word))
            .map(|word| {
                let is_special = word.special || names.contains(&word.content);
                word.special(is_special)
            })
            .collect();
        if words.len() > MOST_WORDS {
            let expected = format!("at most {MOST_WORDS} words");
            return Err(self.wrong("added_tokens_decoder", &expected));
        }
        Ok(words)
    }

    /// Bounded by the positions that the text encoder has; absent, it is all of them. transformers writes 1e30 where no
    /// length was given.
    fn max_length(&self, positions: usize) -> Result<usize, CheckpointError> {
        let keys = ["model_max_length", "max_len"];
        let Some(key) = keys.into_iter().find(|key| self.values.contains_key(*key)) else {
            return Ok(positions);
        };
        match &self.values[key] {
            Value::Null => Ok(positions),
            value => match value.as_f64() {
                Some(length) if length >= 3.0 => Ok(positions.min(length as usize)),
                _ => Err(self.wrong(key, "a number of tokens, at least 3")),
            },
        }
    }

    /// Which side is padded or cut: as the settings say, else as `tokenizer.json` says.
    fn side(&self, key: &str, whole: Option<&Directed>) -> Result<Side, CheckpointError> {
        const EXPECTED: &str = "\"right\" or \"left\"";
        let of = |text: &str| match text.to_lowercase().as_str() {
            "right" => Some(Side::Right),
            "left" => Some(Side::Left),
            _ => None,
        };
        if let Some(value) = self.values.get(key) {
            let side = value.as_str().and_then(of);
            return side.ok_or_else(|| self.wrong(key, EXPECTED));
        }
        match whole.and_then(|whole| whole.direction.as_deref()) {
            None => Ok(Side::Right),
            Some(text) => of(text)
                .ok_or_else(|| self.wrong_value(WHOLE, "direction", &Value::from(text), EXPECTED)),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, CheckpointError> {
        match self.values.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.wrong(key, "true or false")),
        }
    }

    fn named(&self, key: &str, value: &Value) -> Result<Named, CheckpointError> {
        Named::read(value).map_err(|expected| {
            let file = self.from.get(key).copied().unwrap_or(CONFIG);
            self.wrong_value(file, key, value, expected)
        })
    }

    fn wrong(&self, key: &str, expected: &str) -> CheckpointError {
        let file = self.from.get(key).copied().unwrap_or(CONFIG);
        let found = self.values.get(key).unwrap_or(&Value::Null);
        self.wrong_value(file, key, found, expected)
    }

    fn wrong_value(&self, file: &str, key: &str, found: &Value, expected: &str) -> CheckpointError {
        CheckpointError::Config {
            file: self.files.shown_file(file),
            key: key.to_owned(),
            found: printable(&found.to_string()),
            expected: expected.to_owned(),
        }
    }

    fn unsupported(&self, key: &str, reason: &str) -> CheckpointError {
        let file = self.from.get(key).copied().unwrap_or(CONFIG);
        CheckpointError::Unsupported {
            file: self.files.shown_file(file),
            key: key.to_owned(),
            found: printable(&self.values.get(key).unwrap_or(&Value::Null).to_string()),
            reason: reason.to_owned(),
        }
    }
}

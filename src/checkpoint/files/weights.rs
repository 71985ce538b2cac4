//! Which files hold a network's weights: one file, or an index and the files (shards) that it names; the plain one, or
//! one of a variant.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Files, storage::has_extension};
use crate::checkpoint::{component::Component, error::CheckpointError, weights::TensorFile};
use crate::text::printable;

/// The variant that is taken first, where the plain weights are not there.
const HALF: &str = "fp16";
/// The most files that weights are split over.
const MOST_SHARDS: usize = 4096;

/// The files of a network's weights, as paths in the checkpoint's folder.
#[derive(Debug)]
pub enum WeightFiles {
    One(String),
    Split(Index),
}

/// An index of weights that are split over several files.
#[derive(Debug)]
pub struct Index {
    /// Its own path.
    pub path: String,
    /// The paths of the files, in alphabetical order.
    pub shards: Vec<String>,
    /// Each tensor with the path of its file.
    pub tensors: Vec<(String, String)>,
}

impl WeightFiles {
    /// Finds the weights of a component: those of `variant`, or else the plain ones.
    pub fn find(
        files: &Files,
        component: Component,
        variant: Option<&str>,
    ) -> Result<Self, CheckpointError> {
        let folder = component.name();
        let names: BTreeSet<String> = files.names_in(folder).into_iter().collect();
        let variants = variants(component, &names);
        let half = variants.iter().filter(|variant| *variant == HALF);
        // One that is none of these is taken where it is the only one.
        let only = variants.iter().filter(|_| variants.len() == 1);
        let others = half.chain(only).map(|variant| Some(&variant[..]));
        for variant in [variant, None].into_iter().chain(others) {
            for name in candidates(component, variant) {
                let path = format!("{folder}/{name}");
                if !files.has(&path) {
                    continue;
                }
                return if is_index(&name) {
                    Index::read(files, path).map(Self::Split)
                } else {
                    Ok(Self::One(path))
                };
            }
        }
        Err(missing(files, component, &names, &variants))
    }

    /// All paths, that of an index first.
    pub fn paths(&self) -> Vec<String> {
        match self {
            Self::One(path) => vec![path.clone()],
            Self::Split(index) => {
                let shards = index.shards.iter().cloned();
                std::iter::once(index.path.clone()).chain(shards).collect()
            }
        }
    }

    pub fn open(&self, files: &Files) -> Result<TensorFile, CheckpointError> {
        match self {
            Self::One(path) => TensorFile::open(files, path),
            Self::Split(index) => TensorFile::open_all(files, index),
        }
    }
}

impl Index {
    /// Reads an index, without looking at the files that it names.
    fn read(files: &Files, path: String) -> Result<Self, CheckpointError> {
        const EXPECTED: &str = "the names of files in the same folder, by the names of tensors";
        let json = files.json(&path)?;
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let Some(Value::Object(map)) = json.value("weight_map") else {
            return Err(json.wrong("weight_map", EXPECTED));
        };
        let mut tensors = Vec::with_capacity(map.len());
        for (tensor, shard) in map {
            let name = shard.as_str().filter(|name| is_plain_name(name));
            let name = name.ok_or_else(|| CheckpointError::Config {
                file: files.shown_file(&path),
                key: format!("weight_map, {}", printable(tensor)),
                found: printable(&shard.to_string()),
                expected: "the name of a file in the same folder".to_owned(),
            })?;
            tensors.push((tensor.clone(), format!("{folder}/{name}")));
        }
        let shards: BTreeSet<String> = tensors.iter().map(|(_, shard)| shard.clone()).collect();
        if shards.is_empty() || shards.len() > MOST_SHARDS {
            return Err(json.wrong("weight_map", EXPECTED));
        }
        for shard in &shards {
            files.need(&[shard], "a file that the index of the weights names is")?;
        }
        Ok(Self {
            path,
            shards: shards.into_iter().collect(),
            tensors,
        })
    }
}

/// What a component's weights without a variant are called, without the extension.
pub fn stem(component: Component) -> &'static str {
    match component {
        Component::TextEncoder => "model",
        Component::UNet | Component::Vae => "diffusion_pytorch_model",
    }
}

/// The names under which a component's weights are looked for, in the order of those who write them: transformers takes
/// the single file where both are there, and diffusers the index.
pub fn candidates(component: Component, variant: Option<&str>) -> Vec<String> {
    let stem = stem(component);
    let (single, indices) = match variant {
        None => (
            format!("{stem}.safetensors"),
            vec![format!("{stem}.safetensors.index.json")],
        ),
        Some(variant) => (
            format!("{stem}.{variant}.safetensors"),
            vec![
                format!("{stem}.safetensors.index.{variant}.json"),
                // As diffusers called it before.
                format!("{stem}.safetensors.{variant}.index.json"),
            ],
        ),
    };
    match component {
        Component::TextEncoder => std::iter::once(single).chain(indices).collect(),
        Component::UNet | Component::Vae => indices.into_iter().chain([single]).collect(),
    }
}

/// Is it the name of an index, and not of weights?
pub fn is_index(name: &str) -> bool {
    has_extension(name, &["json"])
}

/// Is it the name of one of the files that an index of these weights may name?
pub fn is_shard(name: &str, component: Component, variant: Option<&str>) -> bool {
    let Some(rest) = name
        .strip_prefix(stem(component))
        .and_then(|rest| rest.strip_suffix(".safetensors"))
    else {
        return false;
    };
    let rest = match variant {
        None => Some(rest),
        // diffusers put it behind the numbers before.
        Some(variant) => rest
            .strip_prefix(&format!(".{variant}"))
            .or_else(|| rest.strip_suffix(&format!(".{variant}"))),
    };
    let numbers = rest.and_then(|rest| rest.strip_prefix('-')?.split_once("-of-"));
    numbers.is_some_and(|(number, count)| {
        [number, count]
            .iter()
            .all(|text| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// The variants of a component's weights that are among the names of files: `fp16`, `non_ema`.
pub fn variants(component: Component, names: &BTreeSet<String>) -> BTreeSet<String> {
    let stem = stem(component);
    let of = |name: &str| -> Option<String> {
        let rest = name.strip_prefix(stem)?;
        let variant = rest
            .strip_prefix('.')
            .and_then(|rest| rest.strip_suffix(".safetensors"))
            .or_else(|| {
                let rest = rest.strip_prefix(".safetensors.")?.strip_suffix(".json")?;
                rest.strip_prefix("index.")
                    .or_else(|| rest.strip_suffix(".index"))
            })?;
        let is_word = !variant.is_empty()
            && variant
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_word.then(|| variant.to_owned())
    };
    names.iter().filter_map(|name| of(name)).collect()
}

/// Refuses a variant that none of the networks has.
pub fn check_variant(files: &Files, variant: &str) -> Result<(), CheckpointError> {
    let mut there = BTreeSet::new();
    for component in Component::ALL {
        let names = files.names_in(component.name()).into_iter().collect();
        there.extend(variants(component, &names));
    }
    if there.contains(variant) {
        return Ok(());
    }
    let there: Vec<&str> = there.iter().map(String::as_str).collect();
    Err(CheckpointError::Weights {
        file: files.shown(),
        reason: format!(
            "there are no weights of the variant {variant}; {}",
            if there.is_empty() {
                "leave --variant out".to_owned()
            } else {
                format!("of these there are: {}", there.join(", "))
            }
        ),
    })
}

/// A file's name that leads nowhere else.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && !name
            .chars()
            .any(|c| matches!(c, '/' | '\\' | ':') || c.is_control())
}

/// The error that a component has no weights that can be read.
fn missing(
    files: &Files,
    component: Component,
    names: &BTreeSet<String>,
    variants: &BTreeSet<String>,
) -> CheckpointError {
    let (folder, what) = match component {
        Component::TextEncoder => ("text_encoder", "the text encoder's weights are"),
        Component::UNet => ("unet", "the UNet's weights are"),
        Component::Vae => ("vae", "the autoencoder's weights are"),
    };
    let looked_for: Vec<String> = [None, Some(HALF)]
        .into_iter()
        .flat_map(|variant| candidates(component, variant))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    if !variants.is_empty() {
        let variants: Vec<&str> = variants.iter().map(String::as_str).collect();
        return CheckpointError::Weights {
            file: files.shown_file(folder),
            reason: format!(
                "there are weights of several variants ({}) and none without; say which by --variant",
                variants.join(", "),
            ),
        };
    }
    let pickled = names
        .iter()
        .find(|name| has_extension(name, &["bin", "ckpt", "pt", "pth"]));
    if let Some(name) = pickled {
        return CheckpointError::Pickle {
            file: files.shown_file(&format!("{folder}/{name}")),
            convert: format!(
                "StableDiffusionPipeline.from_pretrained({:?}).save_pretrained(\"converted\", safe_serialization=True)",
                files.shown()
            ),
        };
    }
    let foreign = names
        .iter()
        .find(|name| has_extension(name, &["msgpack", "h5", "onnx", "gguf", "tflite", "pb"]));
    if let Some(name) = foreign {
        return CheckpointError::Weights {
            file: files.shown_file(&format!("{folder}/{name}")),
            reason: format!(
                "these are weights of another library, and {what} looked for in .safetensors files; save the checkpoint with diffusers' save_pretrained",
            ),
        };
    }
    let looked_for: Vec<&str> = looked_for.iter().map(String::as_str).collect();
    match files.need(&looked_for, what) {
        Err(error) => error,
        // It has appeared in the meantime.
        Ok(path) => files.failed(path, std::io::ErrorKind::NotFound.into()),
    }
}

//! Which kind of file it is, by the names of its tensors: what is not Stable Diffusion v1 is refused by its name, with
//! what to do with it.

use super::{
    kinds::{EMBEDDING, Kind, OTHERS, Sign},
    names,
};
use crate::checkpoint::{error::CheckpointError, layout::is_scale, weights::TensorFile};
use crate::text::printable;

/// Refuses a file that is not a checkpoint of Stable Diffusion v1, as far as its names tell.
pub fn refuse_others(file: &TensorFile) -> Result<(), CheckpointError> {
    let other_kind = |reason: String| CheckpointError::OtherKind {
        file: file.file().to_owned(),
        reason,
    };
    let has = |prefix: &str| file.names().any(|name| name.starts_with(prefix));
    let networks = [
        (names::TEXT_ENCODER, "text encoder"),
        (names::UNET, "UNet"),
        (names::VAE, "autoencoder"),
    ];
    // With a network under its usual names, it is no single part.
    let is_more = networks.iter().any(|(prefix, _)| has(prefix));
    let found = OTHERS
        .iter()
        .filter(|kind| !(is_more && kind.is_part()))
        .find(|kind| kind.signs.iter().any(|sign| sign.is_in(file)));
    if let Some(Kind { name, todo, .. }) = found {
        return Err(other_kind(format!("it is {name} {todo}")));
    }
    if is_one_embedding(file) {
        return Err(other_kind(format!(
            "it is a textual inversion, {EMBEDDING}"
        )));
    }
    if let Some(scale) = file.names().find(|name| is_scale(name)) {
        return Err(other_kind(format!(
            "its weights are quantised (tensor {}); give the original checkpoint, in F16, BF16 or F32",
            printable(scale)
        )));
    }
    let missing: Vec<String> = networks
        .iter()
        .filter(|(prefix, _)| !has(prefix))
        .map(|(prefix, what)| format!("no {what} (tensors named {prefix}…)"))
        .collect();
    match missing.len() {
        0 => Ok(()),
        3 => Err(other_kind(unknown(file))),
        _ => Err(other_kind(format!("it has {}", missing.join(" and ")))),
    }
}

impl Sign {
    fn is_in(&self, file: &TensorFile) -> bool {
        match self {
            Self::Begins(start) => file.names().any(|name| name.starts_with(start)),
            Self::Has(part) => file.names().any(|name| name.contains(part)),
            Self::Ends(end) => file.names().any(|name| name.ends_with(end)),
            Self::Both(one, other) => one.is_in(file) && other.is_in(file),
            Self::Numbered(part) => file.names().any(|name| {
                let mut parts = name.split('.');
                let is_number = |part: Option<&str>| {
                    part.is_some_and(|part| {
                        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
                    })
                };
                let first = is_number(parts.next());
                let rest: Vec<&str> = parts.collect();
                first && rest.iter().take(2).any(|rest| rest.starts_with(part))
            }),
            Self::All(start) => {
                let mut names = file.names().peekable();
                names.peek().is_some() && names.all(|name| name.starts_with(start))
            }
        }
    }
}

/// Is it a single vector, or a few, as wide as a text encoder's embeddings?
fn is_one_embedding(file: &TensorFile) -> bool {
    let mut names = file.names();
    let (Some(name), None) = (names.next(), names.next()) else {
        return false;
    };
    let shape = file.shape(name).unwrap_or_default();
    shape.len() <= 2 && matches!(shape.last(), Some(768 | 1024 | 1280))
}

/// What is said of a file whose names are of no known kind.
fn unknown(file: &TensorFile) -> String {
    let mut names: Vec<&str> = file.names().collect();
    names.sort_unstable();
    let first: Vec<String> = names.iter().take(3).map(|name| printable(name)).collect();
    match names.len() {
        0 => "it holds no tensors".to_owned(),
        count => format!(
            "its {count} tensors are of no kind that this program knows ({}{})",
            first.join(", "),
            if count > first.len() { ", …" } else { "" }
        ),
    }
}

//! Which files of a repository are needed, from the hub's list of them.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{HubError, Instead, Repository, cache::is_commit};
use crate::checkpoint::{
    Component,
    files::{digest::DESCRIPTIONS, tokenizer, weights},
};
use crate::text::printable;

/// A file of the repository that is to be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path in the repository: `unet/config.json`.
    pub path: String,
    pub size: u64,
    /// Its SHA-256 in hexadecimal, where the hub knows it: of all large files.
    pub sha256: Option<String>,
    /// Its name in the cache, by which equal files of several revisions are kept once.
    pub(super) blob: String,
}

impl RemoteFile {
    /// Is it a network's weights, and so large?
    pub(super) fn is_weights(&self) -> bool {
        self.path.ends_with(".safetensors")
    }
}

/// What is downloaded of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The commit that the revision stands for.
    pub commit: String,
    /// The files: the descriptions, then the weights, small ones first.
    pub files: Vec<RemoteFile>,
}

/// The hub's description of a repository, as far as it is needed here.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<LargeFile>,
}

#[derive(Debug, Deserialize)]
struct LargeFile {
    sha256: String,
    size: u64,
}

impl Plan {
    /// Chooses the files. `variant` is what stands between the weights' name and their extension: `fp16`.
    pub(super) fn of(
        repository: &Repository,
        listing: &Listing,
        variant: Option<&str>,
    ) -> Result<Self, HubError> {
        let lacks = |(lacks, instead)| HubError::Lacks {
            repository: repository.to_string(),
            lacks,
            instead,
        };
        if !is_commit(&listing.sha) {
            return Err(answer(repository, "it names no commit"));
        }
        let has = |path: &str| listing.siblings.iter().any(|file| file.rfilename == path);
        if !has("model_index.json") && !has("unet/config.json") {
            return Err(lacks(no_folder(listing)));
        }
        let small = DESCRIPTIONS.iter().filter(|path| has(path));
        let mut paths: Vec<String> = small.map(|path| (*path).to_owned()).collect();
        if has(tokenizer::WHOLE) {
            paths.push(tokenizer::WHOLE.to_owned());
        } else {
            let pair = tokenizer::PAIR.iter().filter(|path| has(path));
            paths.extend(pair.map(|path| (*path).to_owned()));
        }
        let mut has_variant = variant.is_none();
        for component in Component::ALL {
            let mut found = listing.weights(component, variant);
            has_variant |= !found.is_empty();
            if found.is_empty() {
                // As diffusers does it, where only some of the networks have the variant.
                found = listing.weights(component, None);
            }
            if found.is_empty() {
                return Err(lacks(no_weights(listing, component, variant)));
            }
            paths.extend(found);
        }
        if !has_variant {
            return Err(lacks(no_weights(listing, Component::TextEncoder, variant)));
        }
        let files = listing
            .siblings
            .iter()
            .filter(|file| paths.contains(&file.rfilename))
            .map(|file| file.described(repository))
            .collect::<Result<Vec<RemoteFile>, HubError>>()?;
        let mut plan = Self {
            commit: listing.sha.clone(),
            files,
        };
        plan.files
            .sort_by_key(|file| (file.is_weights(), file.size, file.path.clone()));
        Ok(plan)
    }

    /// The sum of all files' sizes.
    pub fn size(&self) -> u64 {
        self.files
            .iter()
            .map(|file| file.size)
            .fold(0, u64::saturating_add)
    }
}

impl Listing {
    /// The files of a network's weights: one, or an index and the files that belong to it; none where the repository has
    /// none in the variant.
    fn weights(&self, component: Component, variant: Option<&str>) -> Vec<String> {
        let folder = component.name();
        let names = self.names_in(folder);
        let candidates = weights::candidates(component, variant).into_iter();
        let Some(name) = candidates.into_iter().find(|name| names.contains(name)) else {
            return Vec::new();
        };
        let mut found = vec![format!("{folder}/{name}")];
        if weights::is_index(&name) {
            let shards = names
                .iter()
                .filter(|name| weights::is_shard(name, component, variant));
            found.extend(shards.map(|name| format!("{folder}/{name}")));
        }
        found
    }

    /// The names of the files in a folder.
    fn names_in(&self, folder: &str) -> BTreeSet<String> {
        let names = self.siblings.iter().filter_map(|file| {
            let name = file.rfilename.strip_prefix(folder)?.strip_prefix('/')?;
            (!name.contains('/')).then(|| name.to_owned())
        });
        names.collect()
    }
}

impl Sibling {
    fn described(&self, repository: &Repository) -> Result<RemoteFile, HubError> {
        let large = self.lfs.as_ref();
        let size = large.map(|file| file.size).or(self.size);
        let blob = large.map(|file| &file.sha256).or(self.blob_id.as_ref());
        match (size, blob) {
            // The blob's name becomes that of a file.
            (Some(size), Some(blob)) if is_commit(blob) => Ok(RemoteFile {
                path: self.rfilename.clone(),
                size,
                sha256: large.map(|file| file.sha256.to_lowercase()),
                blob: blob.clone(),
            }),
            _ => Err(answer(
                repository,
                &format!("it gives no size or no hash of {}", self.rfilename),
            )),
        }
    }
}

/// What a repository without a diffusers folder lacks, and what it may have instead.
fn no_folder(listing: &Listing) -> (String, Option<Instead>) {
    let single = listing
        .siblings
        .iter()
        .find(|file| file.rfilename.ends_with(".safetensors"));
    if let Some(file) = single {
        return (
            "is no folder in diffusers' layout".to_owned(),
            Some(Instead::SingleFile(printable(&file.rfilename))),
        );
    }
    let lacks = "is not a checkpoint in diffusers' layout: \
                 it has neither model_index.json nor unet/config.json";
    (lacks.to_owned(), None)
}

/// The same where a network's weights are not there as they were asked for.
fn no_weights(
    listing: &Listing,
    component: Component,
    variant: Option<&str>,
) -> (String, Option<Instead>) {
    let folder = component.name();
    let middle = variant.map_or_else(String::new, |variant| format!(".{variant}"));
    let path = format!("{folder}/{}{middle}.safetensors", weights::stem(component));
    let has_plain = !listing.weights(component, None).is_empty();
    let variants = weights::variants(component, &listing.names_in(folder));
    let lacks = format!("has no {path}");
    if variant.is_some() && has_plain {
        (lacks, Some(Instead::NoVariant))
    } else if let Some(other) = variants.first() {
        (lacks, Some(Instead::Variant(printable(other))))
    } else {
        let why = "weights in Python's pickle format (.bin) are not read, because loading them can run code";
        (format!("{lacks}; {why}"), None)
    }
}

fn answer(repository: &Repository, reason: &str) -> HubError {
    HubError::Answer {
        repository: repository.to_string(),
        reason: printable(reason),
    }
}

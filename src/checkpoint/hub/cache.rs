//! The cache that all programs for the hub share: [`Environment`](super::environment) says where.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hf_hub::Cache;

use super::{Repository, environment::PROCESS};
use crate::checkpoint::CheckpointError;
use crate::text::printable_path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    pub repository: Repository,
    pub folder: PathBuf,
    /// What its files take on the disk, in bytes.
    pub size: u64,
}

/// The shared cache.
pub(super) fn cache() -> Cache {
    Cache::new(PROCESS.cache())
}

/// The folder of a downloaded repository's files.
pub fn snapshot(repository: &Repository) -> Result<PathBuf, CheckpointError> {
    let cache = cache();
    let root = cache.path().join(repository.repo().folder_name());
    // A commit has a folder of its own name, and no reference.
    let commit = fs::read_to_string(root.join("refs").join(repository.revision())).map_or_else(
        |_| repository.revision().to_owned(),
        |commit| commit.trim().to_owned(),
    );
    let folder = root.join("snapshots").join(&commit);
    if is_commit(&commit) && folder.is_dir() {
        return Ok(folder);
    }
    Err(CheckpointError::NotFetched {
        name: repository.to_string(),
        cache: printable_path(cache.path()),
        fetch: repository.as_arguments(),
    })
}

/// The checkpoints in the cache: everything that has an index of a pipeline or a UNet, by name.
pub fn downloaded() -> Vec<Downloaded> {
    let cache = cache();
    let mut found = Vec::new();
    for entry in entries(cache.path()) {
        let name = file_name(&entry);
        let Some(id) = name.strip_prefix("models--") else {
            continue;
        };
        let id = id.replacen("--", "/", 1);
        for revision in references(&entry.join("refs"), "") {
            let Some(repository) = Repository::new(&id, &revision) else {
                continue;
            };
            let Ok(folder) = snapshot(&repository) else {
                continue;
            };
            let is_checkpoint = ["model_index.json", "unet/config.json"]
                .iter()
                .any(|file| folder.join(file).is_file());
            if is_checkpoint {
                found.push(Downloaded {
                    repository,
                    size: size_of(&folder),
                    folder,
                });
            }
        }
    }
    found.sort_by_key(|found| found.repository.to_string());
    found
}

/// A commit's name: hexadecimal digits. Nothing else becomes a folder's name.
pub(super) fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The names of all references below `folder`; those of branches may have slashes in them.
fn references(folder: &Path, prefix: &str) -> Vec<String> {
    // Deeper ones are not followed: a name has no more parts than this.
    const DEEPEST: usize = 8;
    let mut names = Vec::new();
    for entry in entries(folder) {
        let name = format!("{prefix}{}", file_name(&entry));
        if entry.is_dir() {
            if name.matches('/').count() < DEEPEST {
                names.extend(references(&entry, &format!("{name}/")));
            }
        } else {
            names.push(name);
        }
    }
    names
}

/// What the files in a folder take, links followed.
fn size_of(folder: &Path) -> u64 {
    entries(folder)
        .iter()
        .map(|entry| match fs::metadata(entry) {
            Ok(metadata) if metadata.is_dir() => size_of(entry),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    entries.sort_unstable();
    entries
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

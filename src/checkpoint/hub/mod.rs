//! Checkpoints of the hub: what they are called, and where downloaded ones lie.
//!
//! Only [`fetch()`] reaches the network. Everything else looks into the cache that all programs for the hub share:
//! `$HF_HUB_CACHE`, else `$HF_HOME/hub`, else `~/.cache/huggingface/hub`.

mod download;
mod error;
mod fetch;
mod plan;

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use hf_hub::{Cache, Repo, RepoType};

pub use error::HubError;
pub use fetch::{Fetch, Progress};
pub use plan::{Plan, RemoteFile};

use super::CheckpointError;
use crate::text::printable_path;

/// Repositories that have a short name.
const SHORT_NAMES: [(&str, &str); 2] = [
    ("sd-v1-4", "CompVis/stable-diffusion-v1-4"),
    ("sd-v1-5", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
];

/// The branch that is meant where none is named.
const MAIN: &str = "main";

/// A repository of the hub, at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// `owner/name`.
    id: String,
    /// A branch, a tag or a commit.
    revision: String,
}

impl Repository {
    /// `sd-v1-5`, `owner/name` or either with `@revision`; `None` for what cannot be the name of a repository.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, revision) = match text.split_once('@') {
            Some((name, revision)) => (name, revision),
            None => (text, MAIN),
        };
        Self::new(name, revision)
    }

    /// The repository of that name (`sd-v1-5` or `owner/name`) at a revision.
    pub fn new(name: &str, revision: &str) -> Option<Self> {
        let short = SHORT_NAMES.iter().find(|(short, _)| *short == name);
        let id = short.map_or(name, |(_, id)| id);
        let (owner, repository) = id.split_once('/')?;
        let sound = is_name(owner) && is_name(repository) && is_revision(revision);
        sound.then(|| Self {
            id: id.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// Is `text` one of the short names, so that it is no path?
    pub fn is_short_name(text: &str) -> bool {
        let name = text.split('@').next().unwrap_or(text);
        SHORT_NAMES.iter().any(|(short, _)| *short == name)
    }

    /// The short names with the repositories that they stand for.
    pub fn short_names() -> impl Iterator<Item = (&'static str, &'static str)> {
        SHORT_NAMES.into_iter()
    }

    /// `owner/name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    fn repo(&self) -> Repo {
        Repo::with_revision(self.id.clone(), RepoType::Model, self.revision.clone())
    }

    /// The same repository at a commit.
    fn repo_at(&self, commit: &str) -> Repo {
        Repo::with_revision(self.id.clone(), RepoType::Model, commit.to_owned())
    }

    /// What `diffuscope model fetch` takes for it.
    fn as_arguments(&self) -> String {
        let name = SHORT_NAMES
            .iter()
            .find(|(_, id)| *id == self.id)
            .map_or(&self.id[..], |(short, _)| short);
        if self.revision == MAIN {
            name.to_owned()
        } else {
            format!("{name} --revision {}", self.revision)
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        if self.revision != MAIN {
            write!(f, "@{}", self.revision)?;
        }
        Ok(())
    }
}

/// Can it be the name of an owner or of a repository? Letters, digits, `-`, `_` and `.`, neither first nor last a sign.
fn is_name(text: &str) -> bool {
    text.len() <= 96
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && !text.contains("--")
        && !text.contains("..")
}

/// Can it be a branch, tag or commit? Such a name becomes a path in the cache, and must not lead out of it.
fn is_revision(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 200
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.starts_with('-'))
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./+".contains(&byte))
}

/// A downloaded checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Which.
    pub repository: Repository,
    /// The folder of its files.
    pub folder: PathBuf,
    /// What its files take on the disk, in bytes.
    pub size: u64,
}

/// The shared cache, or an error where the system does not say where the user's home is.
fn cache() -> Result<Cache, CheckpointError> {
    if let Some(path) = env::var_os("HF_HUB_CACHE").filter(|path| !path.is_empty()) {
        return Ok(Cache::new(path.into()));
    }
    home().ok_or_else(|| {
        CheckpointError::Name(
            "the folder of downloaded models is not known, because the system does not name a home folder; set HF_HOME".to_owned(),
        )
    })
}

/// The cache in `$HF_HOME` or in the user's home, beside which the user's token lies.
fn home() -> Option<Cache> {
    // Without either, `from_env` would panic.
    let is_known = env::var("HF_HOME").is_ok() || env::home_dir().is_some();
    is_known.then(Cache::from_env)
}

/// The folder of a downloaded repository's files.
pub(super) fn snapshot(repository: &Repository) -> Result<PathBuf, CheckpointError> {
    let cache = cache()?;
    let root = cache.path().join(repository.repo().folder_name());
    // A commit has a folder of its own name, and no reference.
    let commit = fs::read_to_string(root.join("refs").join(&repository.revision)).map_or_else(
        |_| repository.revision.clone(),
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
pub fn downloaded() -> Result<Vec<Downloaded>, CheckpointError> {
    let cache = cache()?;
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
    Ok(found)
}

/// A commit's name: hexadecimal digits. Nothing else becomes a folder's name.
fn is_commit(text: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_may_call_a_repository() {
        let short = Repository::parse("sd-v1-5").unwrap();
        assert_eq!(short.id(), "stable-diffusion-v1-5/stable-diffusion-v1-5");
        assert_eq!(short.revision(), "main");
        assert_eq!(short.as_arguments(), "sd-v1-5");
        let other = Repository::parse("owner/a.name_2@refs/pr/3").unwrap();
        assert_eq!(
            (other.id(), other.revision()),
            ("owner/a.name_2", "refs/pr/3")
        );
        assert_eq!(other.as_arguments(), "owner/a.name_2 --revision refs/pr/3");
        assert_eq!(other.to_string(), "owner/a.name_2@refs/pr/3");
    }

    #[test]
    fn what_leads_out_of_the_cache_is_no_repository() {
        for text in [
            "name",
            "/name",
            "owner/",
            "./name",
            "../name",
            "~/name",
            "a/b/c",
            "a/..",
            "a/b@../x",
            "a/b@x/../../y",
            "a/b@",
            "a/b@/x",
            "a--b/c",
            "a/b\u{1b}",
            "a b/c",
            "a/b@-x",
            "a/b@a\\b",
        ] {
            assert_eq!(Repository::parse(text), None, "{text}");
        }
    }
}

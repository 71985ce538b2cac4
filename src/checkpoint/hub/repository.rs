//! The names of repositories on the hub.

use std::fmt;

use hf_hub::{Repo, RepoType};

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

    pub(super) fn repo(&self) -> Repo {
        Repo::with_revision(self.id.clone(), RepoType::Model, self.revision.clone())
    }

    /// The same repository at a commit.
    pub(super) fn repo_at(&self, commit: &str) -> Repo {
        Repo::with_revision(self.id.clone(), RepoType::Model, commit.to_owned())
    }

    /// What `diffuscope model fetch` takes for it.
    pub(super) fn as_arguments(&self) -> String {
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

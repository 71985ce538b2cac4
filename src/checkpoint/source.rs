//! Where a checkpoint is, as users name it.

use std::fmt;
use std::path::PathBuf;

use super::{files::EMBEDDED, hub::Repository};
use crate::text::printable_path;

/// Where a checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Little World, the model inside the program.
    Embedded,
    /// A folder in diffusers' layout, or a single `.safetensors` file.
    Path(PathBuf),
    /// A repository that was downloaded from the hub.
    Hub(Repository),
}

impl Source {
    /// What a user types: `little-world`, a path, or the name of a repository (`sd-v1-5`, `owner/name`,
    /// `owner/name@revision`). What is there as a path is a path, except for the names without a slash: a folder of
    /// such a name is reached as `./little-world`.
    pub fn parse(text: &str) -> Self {
        if text == EMBEDDED {
            return Self::Embedded;
        }
        let path = PathBuf::from(text);
        match Repository::parse(text) {
            Some(repository) if Repository::is_short_name(text) || !path.exists() => {
                Self::Hub(repository)
            }
            _ => Self::Path(path),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str(EMBEDDED),
            Self::Path(path) => f.write_str(&printable_path(path)),
            Self::Hub(repository) => repository.fmt(f),
        }
    }
}

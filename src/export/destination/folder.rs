//! A folder that appears, or is filled, only when its content is complete.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::partial::{self, follow, parent};
use super::{DestinationError, numbered};
use crate::export::document::RunDocument;

/// What an export puts into its folder, in the order in which it is removed before a new one takes its place.
/// `run.json` is first here, and comes last when a folder is filled: what has it is complete.
const EXPORTED: [&str; 4] = ["run.json", "image.png", "tensors", "steps"];

/// A folder that appears, or is filled, only when its content is complete.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// Where `path` leads.
    target: PathBuf,
    /// In the folder itself where that exists, so that all of it is on one file system; else beside it.
    stage: partial::Folder,
    exists: bool,
}

impl OutputFolder {
    /// A folder at `path`, which must be new or empty. With `force` it may hold an earlier export, which is replaced
    /// when the new one is complete; other files in it stay.
    pub fn at(path: &Path, force: bool) -> Result<Self, DestinationError> {
        let failed = || DestinationError::write(path);
        if path.as_os_str() == "-" {
            return Err(DestinationError::StandardOutput);
        }
        let exists = match fs::metadata(path) {
            Ok(existing) if existing.is_dir() => true,
            Ok(_) => return Err(DestinationError::NotAFolder(path.to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(failed()(error)),
        };
        if exists {
            check_content(path, force)?;
        }
        let target = follow(path).map_err(failed())?;
        let stage = if exists {
            partial::Folder::new(path, None)
        } else {
            partial::Folder::new(parent(&target), Some(&target))
        };
        Ok(Self {
            path: path.to_owned(),
            target,
            stage: stage.map_err(failed())?,
            exists,
        })
    }

    /// A folder that is new: at `path`, or, where that exists, at `path` with `-2`, `-3`, … after its name.
    pub fn new_at(path: &Path) -> Result<Self, DestinationError> {
        let mut names = (1..).map(|number| numbered(path, number));
        let free = names.find(|path| fs::symlink_metadata(path).is_err());
        Self::at(&free.unwrap_or_else(|| path.to_owned()), false)
    }

    /// Where to write the content.
    pub fn stage(&self) -> &Path {
        self.stage.path()
    }

    /// The folder, as the user named it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the content into its place, and returns the folder's path.
    pub fn publish(self) -> Result<PathBuf, DestinationError> {
        let result = if self.exists {
            self.fill()
        } else {
            fs::rename(self.stage.path(), &self.target)
        };
        match result {
            Ok(()) => Ok(self.path),
            Err(source) => Err(DestinationError::Write {
                path: self.path,
                source,
            }),
        }
    }

    /// Moves the content into the existing folder, in place of an earlier export's.
    fn fill(&self) -> io::Result<()> {
        for name in EXPORTED {
            remove(&self.path.join(name))?;
        }
        for name in EXPORTED.iter().rev() {
            let from = self.stage.path().join(name);
            if from.exists() {
                fs::rename(from, self.path.join(name))?;
            }
        }
        Ok(())
    }
}

/// May an export go into the existing folder `path`?
fn check_content(path: &Path, force: bool) -> Result<(), DestinationError> {
    let entries = fs::read_dir(path).map_err(DestinationError::write(path))?;
    if entries.count() == 0 {
        return Ok(());
    }
    if !force {
        return Err(DestinationError::NotEmpty(path.to_owned()));
    }
    let earlier = fs::read(path.join("run.json"))
        .is_ok_and(|json| serde_json::from_slice::<RunDocument>(&json).is_ok());
    let in_the_way = EXPORTED.iter().map(|name| path.join(name));
    match in_the_way.into_iter().find(|path| path.exists()) {
        Some(path) if !earlier => Err(DestinationError::InTheWay(path)),
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(existing) if existing.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    #[test]
    fn a_failed_export_leaves_nothing_and_keeps_the_earlier_one() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        drop(OutputFolder::at(&path, false).unwrap());
        assert!(names(parent.path()).is_empty());
        fs::create_dir(&path).unwrap();
        let output = OutputFolder::at(&path, false).unwrap();
        fs::write(output.stage().join("run.json"), "{}").unwrap();
        drop(output);
        assert!(names(&path).is_empty());
    }

    #[test]
    fn what_no_export_wrote_is_never_removed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path();
        fs::create_dir(path.join("steps")).unwrap();
        let refused = OutputFolder::at(path, false).unwrap_err();
        assert!(matches!(refused, DestinationError::NotEmpty(_)));
        let refused = OutputFolder::at(path, true).unwrap_err();
        assert!(matches!(refused, DestinationError::InTheWay(_)));
        assert_eq!(names(path), ["steps"]);
    }

    #[test]
    fn a_long_name_leaves_room_for_its_partial_twin() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("苹".repeat(83));
        let output = OutputFolder::at(&path, false).unwrap();
        output.publish().unwrap();
        assert!(path.is_dir());
    }
}

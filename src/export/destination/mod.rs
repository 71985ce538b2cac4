//! Where results are written: beside their place first, and there only when they are complete.
//!
//! Both kinds of destination are prepared before the work starts, so that a place that cannot be written to is
//! reported at once and not after minutes of computing. Dropped without [`OutputFile::publish`] or
//! [`OutputFolder::publish`], they take back everything that was written.

mod file;
mod folder;
mod partial;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

pub use file::OutputFile;
pub use folder::OutputFolder;

/// A destination that cannot be written to.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// The folder has something in it already.
    #[error("the folder `{}` is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// Something of the same name that no export wrote would have to go.
    #[error(
        "`{}` is in the way and not part of an earlier export; move it away, or name another folder",
        .0.display()
    )]
    InTheWay(PathBuf),
    /// A file where a folder is needed.
    #[error("`{}` is no folder, and the export needs a folder; name another one", .0.display())]
    NotAFolder(PathBuf),
    /// A folder where a file is needed.
    #[error("`{}` is a folder; name a file in it, such as `{}`", .0.display(), .0.join("picture.png").display())]
    NotAFile(PathBuf),
    /// A picture under a name that says it is something else.
    #[error(
        "`{}` names another kind of file, and pictures are written as PNG; name it `{}`",
        .0.display(),
        .0.with_extension("png").display()
    )]
    OtherFormat(PathBuf),
    /// Standard output, where a file or a folder of one's own is needed.
    #[error(
        "`-` is standard output, which this cannot be written to; a file or folder of that name is `./-`"
    )]
    StandardOutput,
    /// Writing failed.
    #[error("cannot write `{}`: {source}{}", path.display(), advice(source))]
    Write {
        /// The place that was to be written, as the user named it.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl DestinationError {
    fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free some space",
        ErrorKind::FileTooLarge => "; the system limits how large a file may be",
        ErrorKind::NotFound => "; create the folder that it is to be in first",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; choose a place that you may write to"
        }
        _ => "",
    }
}

/// Number 1 is `path` itself; others have the number before the extension.
fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The names in a folder, in alphabetical order.
#[cfg(test)]
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_to_nowhere_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("real.png", at("link.png")).unwrap();
        std::os::unix::fs::symlink("real", at("link")).unwrap();
        let output = OutputFile::at(&at("link.png")).unwrap();
        output.publish(|out| out.write_all(b"whole")).unwrap();
        let output = OutputFolder::at(&at("link"), false).unwrap();
        fs::write(output.stage().join("run.json"), "{}").unwrap();
        output.publish().unwrap();
        assert!(at("link.png").is_symlink() && at("link").is_symlink());
        assert_eq!(fs::read(at("real.png")).unwrap(), b"whole");
        assert!(at("real").join("run.json").is_file());
        assert_eq!(
            names(folder.path()),
            ["link", "link.png", "real", "real.png"]
        );
        std::os::unix::fs::symlink("nowhere/real.png", at("deep.png")).unwrap();
        assert!(OutputFile::at(&at("deep.png")).is_err());
    }

    #[test]
    fn a_picture_is_not_written_under_the_name_of_another_format() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.jpg", "a.JPEG", "a.webp", "a.pdf", "a.json", "a.gif"] {
            let refused = OutputFile::picture(&folder.path().join(name)).unwrap_err();
            assert!(refused.to_string().contains("a.png"), "{refused}");
        }
        for name in ["a.png", "a.PNG", "a", "a.v2", "苹果"] {
            OutputFile::picture(&folder.path().join(name)).unwrap();
        }
        assert!(matches!(
            OutputFile::picture(Path::new("-")),
            Err(DestinationError::StandardOutput)
        ));
        assert!(matches!(
            OutputFolder::at(Path::new("-"), false),
            Err(DestinationError::StandardOutput)
        ));
        assert!(names(folder.path()).is_empty());
    }
}

//! A file that appears only when it is complete.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::partial::{self, follow, parent};
use super::{DestinationError, numbered};

/// A file that appears under its name only when it is complete.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    stage: FileStage,
}

#[derive(Debug)]
enum FileStage {
    /// A temporary file beside the path, renamed at the end over whatever is there. It takes over who may read and
    /// write what it replaces.
    Replace {
        file: NamedTempFile,
        target: PathBuf,
        existing: Option<Metadata>,
    },
    /// A temporary file, renamed at the end to the first of the numbered names that is free.
    New(NamedTempFile),
    /// A device or a pipe, which has to be written to as it is.
    Direct(File),
    /// The same of this process.
    StandardOutput,
}

impl OutputFile {
    /// Standard output. Nothing else may be written to it.
    pub fn standard_output() -> Self {
        Self {
            path: "-".into(),
            stage: FileStage::StandardOutput,
        }
    }

    /// A picture's file at `path`, which may exist.
    ///
    /// # Errors
    /// A name that is another kind of file's; `-`, which is no name.
    pub fn picture(path: &Path) -> Result<Self, DestinationError> {
        if path.as_os_str() == "-" {
            return Err(DestinationError::StandardOutput);
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| is_other_format(&extension.to_lowercase())) {
            return Err(DestinationError::OtherFormat(path.to_owned()));
        }
        Self::at(path)
    }

    /// A file at `path`, which may exist. A link is written through: what it points to need not exist.
    pub fn at(path: &Path) -> Result<Self, DestinationError> {
        let failed = || DestinationError::write(path);
        let stage = match fs::metadata(path) {
            Ok(existing) if existing.is_dir() => {
                return Err(DestinationError::NotAFile(path.to_owned()));
            }
            Ok(existing) if !existing.is_file() => {
                let file = OpenOptions::new()
                    .write(true)
                    .open(path)
                    .map_err(failed())?;
                FileStage::Direct(file)
            }
            Ok(existing) => {
                if existing.permissions().readonly() {
                    return Err(failed()(ErrorKind::PermissionDenied.into()));
                }
                // A link keeps pointing where it points: its target is what is replaced.
                let target = fs::canonicalize(path).map_err(failed())?;
                let file = partial::file(parent(&target), &target, true).map_err(failed())?;
                FileStage::Replace {
                    file,
                    target,
                    existing: Some(existing),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let target = follow(path).map_err(failed())?;
                let file = partial::file(parent(&target), &target, false).map_err(failed())?;
                FileStage::Replace {
                    file,
                    target,
                    existing: None,
                }
            }
            Err(error) => return Err(failed()(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            stage,
        })
    }

    /// A new file: at `path`, or, where that exists, at `path` with `-2`, `-3`, … before its extension.
    pub fn new_at(path: &Path) -> Result<Self, DestinationError> {
        let file = partial::file(parent(path), path, false);
        Ok(Self {
            path: path.to_owned(),
            stage: FileStage::New(file.map_err(DestinationError::write(path))?),
        })
    }

    /// Writes the whole content with `write`, puts it into its place, and returns the path.
    pub fn publish(
        self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<PathBuf, DestinationError> {
        let failed = DestinationError::write(&self.path);
        match self.publish_stage(write) {
            Ok(path) => Ok(path),
            Err(error) => Err(failed(error)),
        }
    }

    fn publish_stage(
        self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        match self.stage {
            FileStage::Direct(mut file) => {
                write(&mut file)?;
                file.flush()?;
                Ok(self.path)
            }
            FileStage::StandardOutput => {
                let mut out = io::stdout().lock();
                write(&mut out)?;
                out.flush()?;
                Ok(self.path)
            }
            FileStage::Replace {
                mut file,
                target,
                existing,
            } => {
                write(&mut file)?;
                file.flush()?;
                if let Some(existing) = existing {
                    take_over(file.as_file(), &existing)?;
                }
                file.persist(target).map_err(|error| error.error)?;
                Ok(self.path)
            }
            FileStage::New(mut file) => {
                write(&mut file)?;
                file.flush()?;
                let mut number = 1;
                loop {
                    let path = numbered(&self.path, number);
                    match file.persist_noclobber(&path) {
                        Ok(_) => return Ok(path),
                        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                            file = error.file;
                            number += 1;
                        }
                        Err(error) => return Err(error.error),
                    }
                }
            }
        }
    }
}

/// Gives `file` the permissions of what it is about to replace, and its owner and group as far as the user may.
fn take_over(file: &File, existing: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (existing.uid(), existing.gid()) {
            let _ = fchown(file, Some(existing.uid()), Some(existing.gid()));
        }
    }
    file.set_permissions(existing.permissions())
}

/// Is `extension` that of a picture, or of a document, in another format than PNG?
fn is_other_format(extension: &str) -> bool {
    const OTHERS: [&str; 14] = [
        "heic", "heif", "jfif", "jp2", "jpe", "json", "jxl", "pdf", "ps", "psd", "svg", "svgz",
        "txt", "raw",
    ];
    let format = image::ImageFormat::from_extension(extension);
    format.is_some_and(|format| format != image::ImageFormat::Png) || OTHERS.contains(&extension)
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    #[test]
    fn a_file_is_there_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let output = OutputFile::at(&path).unwrap();
        let error = output
            .publish(|out| {
                out.write_all(b"half")?;
                Err(ErrorKind::StorageFull.into())
            })
            .unwrap_err();
        assert!(error.to_string().contains("free some space"), "{error}");
        assert!(names(folder.path()).is_empty());
        let output = OutputFile::at(&path).unwrap();
        output.publish(|out| out.write_all(b"whole")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(folder.path()), ["a.png"]);
    }

    #[test]
    fn a_new_file_never_replaces_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diffuscope-42.png");
        for (content, name) in [
            (b"1", "diffuscope-42.png"),
            (b"2", "diffuscope-42-2.png"),
            (b"3", "diffuscope-42-3.png"),
        ] {
            let output = OutputFile::new_at(&path).unwrap();
            let written = output.publish(|out| out.write_all(content)).unwrap();
            assert_eq!(written, folder.path().join(name));
        }
        assert_eq!(fs::read(path).unwrap(), b"1");
    }

    #[cfg(unix)]
    #[test]
    fn who_may_read_a_file_stays_as_it_was() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        for mode in [0o600, 0o640, 0o664] {
            fs::write(&path, "before").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let output = OutputFile::at(&path).unwrap();
            output.publish(|out| out.write_all(b"after")).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"after");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
        }
    }
}

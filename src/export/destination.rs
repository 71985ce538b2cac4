//! Where results are written: beside their place first, and there only when they are complete.
//!
//! Both kinds of destination are prepared before the work starts, so that a place that cannot be written to is
//! reported at once and not after minutes of computing. Dropped without [`OutputFile::publish`] or
//! [`OutputFolder::publish`], they take back everything that was written.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::document::RunDocument;
use super::partial::{self, follow, parent};

/// What an export puts into its folder, in the order in which it is removed before a new one takes its place.
/// `run.json` is first here, and comes last when a folder is filled: what has it is complete.
const EXPORTED: [&str; 4] = ["run.json", "image.png", "tensors", "steps"];

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
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

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

    #[test]
    fn a_long_name_leaves_room_for_its_partial_twin() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("苹".repeat(83));
        let output = OutputFolder::at(&path, false).unwrap();
        output.publish().unwrap();
        assert!(path.is_dir());
    }
}

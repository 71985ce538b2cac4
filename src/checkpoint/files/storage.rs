//! Where a checkpoint's bytes come from: the program itself, a folder, or a single file.

use std::{
    borrow::Cow,
    fs,
    io::Read,
    ops::{Deref, Range},
    path::{Path, PathBuf},
};

use super::embedded;
use crate::checkpoint::{config::Reader, error::CheckpointError, format};
use crate::text::{printable, printable_path};

/// The longest configuration or vocabulary that is read, in bytes. CLIP's vocabulary has 1 MB.
const LONGEST_TEXT: u64 = 64 << 20;

/// The files of one checkpoint, by their path in its folder (`unet/config.json`).
#[derive(Debug, Clone)]
pub enum Files {
    Embedded,
    /// In a folder on this machine.
    Folder(PathBuf),
    /// All in one file, whatever the path in the folder.
    Single(PathBuf),
}

impl Files {
    /// The folder, for messages.
    pub fn shown(&self) -> String {
        match self {
            Self::Embedded => format!("{} (built in)", embedded::NAME),
            Self::Folder(path) | Self::Single(path) => printable_path(path),
        }
    }

    /// The files that hold the tokenizer: a single file has none, and all checkpoints of Stable Diffusion v1 and v2
    /// have CLIP's, which is the embedded one.
    pub fn of_tokenizer(&self) -> Self {
        match self {
            Self::Embedded | Self::Single(_) => Self::Embedded,
            Self::Folder(folder) => Self::Folder(folder.clone()),
        }
    }

    /// A file, for messages.
    pub fn shown_file(&self, path: &str) -> String {
        match self {
            Self::Embedded => format!("{} (built in): {path}", embedded::NAME),
            Self::Folder(folder) => printable_path(&folder.join(path)),
            Self::Single(file) => printable_path(file),
        }
    }

    /// A file, for documents, which may travel: by its path in the checkpoint's folder, or of a single file by its name.
    pub fn named_file(&self, path: &str) -> String {
        match self {
            Self::Embedded | Self::Folder(_) => printable(path),
            Self::Single(file) => {
                let name = file.file_name().unwrap_or_default();
                printable(&name.to_string_lossy())
            }
        }
    }

    pub fn has(&self, path: &str) -> bool {
        match self {
            Self::Embedded => embedded_file(path).is_some(),
            Self::Folder(folder) => folder.join(path).is_file(),
            Self::Single(_) => false,
        }
    }

    /// Does a file exist that a checkpoint need not have? What stands in its place and is none is refused: a link that
    /// leads to nothing means that the file was not copied.
    pub fn has_optional(&self, path: &str) -> Result<bool, CheckpointError> {
        let exists = self.has(path);
        if !exists {
            self.refuse_what_is_no_file(path)?;
        }
        Ok(exists)
    }

    /// The first of `paths` that exists.
    pub fn first<'a>(&self, paths: &[&'a str]) -> Option<&'a str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// The first of `paths` that exists, or the error that `what` is missing.
    pub fn need<'a>(
        &self,
        paths: &[&'a str],
        what: &'static str,
    ) -> Result<&'a str, CheckpointError> {
        if let Some(path) = self.first(paths) {
            return Ok(path);
        }
        for path in paths {
            self.refuse_what_is_no_file(path)?;
        }
        Err(CheckpointError::Missing {
            folder: self.shown(),
            what,
            looked_for: paths.join(", "),
        })
    }

    /// Refuses what stands at `path` and is no file: a folder, or a link that leads to nothing.
    pub fn refuse_what_is_no_file(&self, path: &str) -> Result<(), CheckpointError> {
        let Self::Folder(folder) = self else {
            return Ok(());
        };
        let full = folder.join(path);
        match (fs::metadata(&full), fs::read_link(&full)) {
            (Ok(metadata), _) if metadata.is_dir() => Err(CheckpointError::OtherFile {
                file: self.shown_file(path),
                found: "a folder",
                expected: "a file",
                todo: "put the file in its place",
            }),
            (Err(_), Ok(target)) => Err(CheckpointError::DanglingLink {
                file: self.shown_file(path),
                target: printable_path(&target),
            }),
            _ => Ok(()),
        }
    }

    /// The names in a sub-folder (`""` is the checkpoint's folder itself); none where it does not exist.
    pub fn names_in(&self, folder: &str) -> Vec<String> {
        match self {
            Self::Embedded => embedded::FILES
                .iter()
                .filter_map(|(path, _)| path.rsplit_once('/'))
                .filter(|(parent, _)| *parent == folder)
                .map(|(_, name)| name.to_owned())
                .collect(),
            Self::Single(_) => Vec::new(),
            Self::Folder(root) => fs::read_dir(root.join(folder))
                .into_iter()
                .flatten()
                .filter_map(Result::ok)
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect(),
        }
    }

    /// The whole contents of a text file: a configuration or a vocabulary.
    pub fn read(&self, path: &str) -> Result<Cow<'static, [u8]>, CheckpointError> {
        let full = match self {
            Self::Embedded => return self.embedded(path).map(Cow::Borrowed),
            Self::Folder(folder) => folder.join(path),
            Self::Single(file) => file.clone(),
        };
        let failed = |source| self.failed(path, source);
        let file = fs::File::open(full).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(LONGEST_TEXT + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > LONGEST_TEXT {
            return Err(CheckpointError::Json {
                file: self.shown_file(path),
                reason: format!("it is longer than {} MiB", LONGEST_TEXT >> 20),
            });
        }
        let start = &bytes[..bytes.len().min(format::ENOUGH)];
        if let Some(found) = format::of(start)
            && found.kind != format::Kind::Text
        {
            let file = self.shown_file(path);
            return Err(CheckpointError::other_file(&file, "a text file", found));
        }
        Ok(Cow::Owned(bytes))
    }

    pub fn json(&self, path: &str) -> Result<Reader, CheckpointError> {
        let json = Reader::new(&self.shown_file(path), &self.read(path)?)?;
        Ok(json.noted_as(path))
    }

    /// The contents of a weights file, without reading them yet.
    pub fn map(&self, path: &str) -> Result<Bytes, CheckpointError> {
        let full = match self {
            Self::Embedded => return self.embedded(path).map(Bytes::Embedded),
            Self::Folder(folder) => folder.join(path),
            Self::Single(file) => file.clone(),
        };
        let failed = |source| self.failed(path, source);
        let file = fs::File::open(full).map_err(failed)?;
        // SAFETY: a mapping is sound while nobody changes or shortens the file. Weights files are written once and
        // then only read; reading them into memory instead would cost gigabytes. No value read from the mapping is
        // trusted to stay what it was: tensors are copied out of it before they are used.
        #[allow(unsafe_code)]
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(failed)?;
        Ok(Bytes::Mapped(map))
    }

    /// The contents of any file, to be read from start to end.
    pub fn reader(&self, path: &str) -> Result<Box<dyn Read>, CheckpointError> {
        let full = match self {
            Self::Embedded => return Ok(Box::new(self.embedded(path)?)),
            Self::Folder(folder) => folder.join(path),
            Self::Single(file) => file.clone(),
        };
        let file = fs::File::open(full).map_err(|source| self.failed(path, source))?;
        Ok(Box::new(file))
    }

    fn embedded(&self, path: &str) -> Result<&'static [u8], CheckpointError> {
        embedded_file(path).ok_or_else(|| self.failed(path, std::io::ErrorKind::NotFound.into()))
    }

    pub fn failed(&self, path: &str, source: std::io::Error) -> CheckpointError {
        CheckpointError::Read {
            file: self.shown_file(path),
            source,
        }
    }
}

/// The contents of a weights file.
#[derive(Debug)]
pub enum Bytes {
    Embedded(&'static [u8]),
    /// Mapped into memory: read from disk where they are touched.
    Mapped(memmap2::Mmap),
}

impl Bytes {
    /// Gives the memory of a range back. What is read there again comes from the file.
    pub fn release(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the advice is unchecked because private changes to a mapping would be lost. This one cannot be
            // written to. Without it, the pages of all weights would count as this program's memory.
            #[allow(unsafe_code)]
            let advised = unsafe { map.unchecked_advise_range(advice, range.start, range.len()) };
            // The system may decline; nothing but memory depends on it.
            drop(advised);
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Embedded(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

/// Does the file's name end with one of these?
pub fn has_extension(name: &str, extensions: &[&str]) -> bool {
    Path::new(name).extension().is_some_and(|found| {
        extensions
            .iter()
            .any(|known| found.eq_ignore_ascii_case(known))
    })
}

fn embedded_file(path: &str) -> Option<&'static [u8]> {
    embedded::FILES
        .iter()
        .find(|(name, _)| *name == path)
        .map(|(_, bytes)| *bytes)
}

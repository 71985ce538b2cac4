//! The files of a recorded run, none of which is trusted.

use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::{Component, Path, PathBuf};

use image::{ImageFormat, ImageReader, RgbImage};
use serde::de::DeserializeOwned;

use super::ReplayError;
use crate::export::document::{FORMAT_VERSION, RunDocument, TensorDocument, TensorEntry};
use crate::trace::TensorData;

const DOCUMENT: &str = "run.json";
/// A thousand steps with the statistics of every module are about a tenth of this.
const LARGEST_DOCUMENT: u64 = 1 << 30;
/// The longest way to write a number, with a separator and room for white space.
const BYTES_A_NUMBER: u64 = 48;
/// For a tensor's name and shape.
const BYTES_BESIDE: u64 = 64 << 10;
/// Much more than a compressed picture of the largest size takes.
const LARGEST_PICTURE: u64 = 256 << 20;

/// The folder of a recorded run.
#[derive(Debug)]
pub(super) struct Folder {
    /// As the user named it.
    path: PathBuf,
    /// Without links: what is read has to lie in it.
    root: PathBuf,
}

impl Folder {
    /// The folder `path`, or the one of the `run.json` that `path` is.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let path = match path.parent() {
            Some(parent) if path.file_name().is_some_and(|name| name == DOCUMENT) => {
                if parent.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    parent
                }
            }
            _ => path,
        };
        let root = fs::canonicalize(path).map_err(|source| read_error(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            root,
        })
    }

    /// As the user named it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where `run.json` is.
    pub fn document_path(&self) -> PathBuf {
        self.path.join(DOCUMENT)
    }

    /// Reads `run.json`; of its content only the version is checked.
    pub fn document(&self) -> Result<RunDocument, ReplayError> {
        #[derive(serde::Deserialize)]
        struct Version {
            version: u32,
        }
        let path = self.document_path();
        let bytes = self.bytes(DOCUMENT, LARGEST_DOCUMENT)?;
        // Before the rest, which another version may have changed.
        let Version { version } = parse(&path, &bytes)?;
        if version != FORMAT_VERSION {
            return Err(ReplayError::Version {
                path,
                found: version,
            });
        }
        parse(&path, &bytes)
    }

    /// Is `file` a plain relative path, as documents have it?
    pub fn check(&self, file: &str) -> Result<(), ReplayError> {
        let is_plain = !file.is_empty()
            && !file.contains(['\\', ':', '\0'])
            && Path::new(file)
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
        if is_plain {
            return Ok(());
        }
        Err(ReplayError::Value {
            path: self.document_path(),
            member: "file".to_owned(),
            found: format!("{file:?}"),
            expected: "a path inside the folder".to_owned(),
        })
    }

    /// Reads a tensor's file, which must have what `entry` says.
    pub fn tensor(&self, name: &str, entry: &TensorEntry) -> Result<TensorData, ReplayError> {
        let count: usize = entry.shape.iter().product();
        let largest = BYTES_BESIDE + count as u64 * BYTES_A_NUMBER;
        let path = self.path.join(&entry.file);
        let document: TensorDocument = parse(&path, &self.bytes(&entry.file, largest)?)?;
        let wrong = |member: &str, found: String, expected: String| ReplayError::Value {
            path: path.clone(),
            member: member.to_owned(),
            found,
            expected,
        };
        if document.name != name {
            let found = format!("{:?}", document.name);
            return Err(wrong("name", found, format!("{name:?}, as in {DOCUMENT}")));
        }
        if document.shape != entry.shape {
            let found = format!("{:?}", document.shape);
            let expected = format!("{:?}, as in {DOCUMENT}", entry.shape);
            return Err(wrong("shape", found, expected));
        }
        if document.data.len() != count {
            let found = format!("a list of {} numbers", document.data.len());
            let expected = format!("{count}, the product of its shape");
            return Err(wrong("data", found, expected));
        }
        let data = super::values(&document.data);
        Ok(TensorData::from_values(name, document.shape, data))
    }

    /// Reads a picture of this width and height.
    pub fn picture(&self, file: &str, size: (u32, u32)) -> Result<RgbImage, ReplayError> {
        let path = self.path.join(file);
        let damaged = |error: image::ImageError| ReplayError::Format {
            path: path.clone(),
            reason: error.to_string(),
        };
        let bytes = self.bytes(file, LARGEST_PICTURE)?;
        let reader = || ImageReader::with_format(std::io::Cursor::new(&bytes), ImageFormat::Png);
        let found = reader().into_dimensions().map_err(damaged)?;
        if found != size {
            return Err(ReplayError::Value {
                path,
                member: "its size".to_owned(),
                found: format!("{}x{}", found.0, found.1),
                expected: format!("{}x{}, as in {DOCUMENT}", size.0, size.1),
            });
        }
        Ok(reader().decode().map_err(damaged)?.into_rgb8())
    }

    /// A picture's file, as it is.
    pub fn picture_bytes(&self, file: &str) -> Result<Vec<u8>, ReplayError> {
        self.bytes(file, LARGEST_PICTURE)
    }

    /// A file's whole content, which has at most `largest` bytes.
    fn bytes(&self, file: &str, largest: u64) -> Result<Vec<u8>, ReplayError> {
        self.check(file)?;
        let shown = self.path.join(file);
        let failed = |source| read_error(&shown, source);
        // A link may lead out of the folder.
        let real = fs::canonicalize(self.root.join(file)).map_err(failed)?;
        if !real.starts_with(&self.root) {
            return Err(ReplayError::Value {
                path: shown,
                member: "its place".to_owned(),
                found: "a link out of the folder".to_owned(),
                expected: "a file in it".to_owned(),
            });
        }
        let metadata = fs::metadata(&real).map_err(failed)?;
        // Opening a pipe would wait for its other end.
        if !metadata.is_file() {
            return Err(ReplayError::Format {
                path: shown,
                reason: "it is no file".to_owned(),
            });
        }
        let found = metadata.len();
        if found > largest {
            return Err(ReplayError::TooLarge {
                path: shown,
                found,
                largest,
            });
        }
        let mut bytes = Vec::with_capacity(found as usize);
        let file = File::open(&real).map_err(failed)?;
        // No more than was announced, even if the file grows.
        let mut reader = BufReader::new(file).take(largest);
        reader.read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

fn read_error(path: &Path, source: std::io::Error) -> ReplayError {
    ReplayError::Read {
        path: path.to_owned(),
        source,
    }
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ReplayError> {
    serde_json::from_slice(bytes).map_err(|error| ReplayError::Format {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

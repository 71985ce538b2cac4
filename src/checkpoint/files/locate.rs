//! Finds a checkpoint: is there one at the path, and of which kind?

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{
    EMBEDDED, Files, contents::Contents, folder, single_file, storage::has_extension, weights,
};
use crate::checkpoint::{
    config::Pipeline,
    error::CheckpointError,
    format::{self, Kind},
    hub,
    source::Source,
};
use crate::text::{printable, printable_path};

/// The file that says what kind of pipeline a folder holds.
pub const INDEX: &str = "model_index.json";

/// Finds the folder or file and makes sure that it looks like a checkpoint, of the right kind as far as its index
/// tells.
pub fn locate(source: &Source) -> Result<Files, CheckpointError> {
    let path = match source {
        Source::Embedded => return Ok(Files::Embedded),
        Source::Path(path) => path.clone(),
        Source::Hub(repository) => hub::snapshot(repository)?,
    };
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CheckpointError::NotFound {
                path: printable_path(&path),
            });
        }
        Err(source) => {
            return Err(CheckpointError::Read {
                file: printable_path(&path),
                source,
            });
        }
    };
    if !metadata.is_dir() {
        return weights_file(path);
    }
    let files = Files::Folder(path.clone());
    if files.first(&[INDEX, "unet/config.json"]).is_none() {
        let mut names = files.names_in("");
        names.sort_unstable();
        if let Some(name) = names
            .iter()
            .find(|name| has_extension(name, &["safetensors"]))
        {
            return Err(CheckpointError::HoldsSingleFile {
                folder: files.shown(),
                file: printable(name),
            });
        }
        if let Some(name) = names.iter().find(|name| has_extension(name, &["ckpt"])) {
            return Err(pickled_file(&path.join(name)));
        }
        return Err(CheckpointError::NotACheckpoint {
            path: files.shown(),
            looked_for: INDEX,
        });
    }
    if files.has_optional(INDEX)? {
        Pipeline::read(files.json(INDEX)?)?;
    }
    Ok(files)
}

/// Reads what the files of a checkpoint hold. The error is that of a single file that cannot be read at all.
pub fn read(files: &Files, variant: Option<&str>) -> Result<Contents, CheckpointError> {
    if let Some(variant) = variant {
        weights::check_variant(files, variant)?;
    }
    match files {
        Files::Embedded | Files::Folder(_) => Ok(folder::read(files, variant)),
        Files::Single(_) => single_file::read(files),
    }
}

/// What the checkpoint is called: by its repository, or by its file's or folder's own name, also where the path ends in
/// `.` or `..`.
pub fn name(source: &Source, files: &Files) -> String {
    if let Source::Hub(repository) = source {
        return repository.to_string();
    }
    match files {
        Files::Embedded => EMBEDDED.to_owned(),
        Files::Single(path) => path.file_stem().map_or_else(
            || printable_path(path),
            |name| printable(&name.to_string_lossy()),
        ),
        Files::Folder(path) => {
            let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
            whole.file_name().map_or_else(
                || printable_path(path),
                |name| printable(&name.to_string_lossy()),
            )
        }
    }
}

/// A path that is a file: one of weights, or the error for what it is instead.
fn weights_file(path: PathBuf) -> Result<Files, CheckpointError> {
    let name = path.to_string_lossy();
    let found = format::of(&beginning(&path)?);
    match found.map(|format| format.kind) {
        Some(Kind::Safetensors) => Ok(Files::Single(path)),
        Some(Kind::Pickle) => Err(pickled_file(&path)),
        // A header that cannot be read says more when the file is opened.
        None if has_extension(&name, &["safetensors"]) => Ok(Files::Single(path)),
        // The oldest pickles are text.
        None | Some(Kind::Text) if has_extension(&name, &["ckpt", "bin", "pt", "pth"]) => {
            Err(pickled_file(&path))
        }
        _ => Err(match found {
            Some(format) => {
                let expected =
                    "a checkpoint (a folder in diffusers' layout or a single .safetensors file)";
                CheckpointError::other_file(&printable_path(&path), expected, format)
            }
            None => CheckpointError::UnknownFile {
                path: printable_path(&path),
            },
        }),
    }
}

/// The first bytes of a file, as many as tell what it is.
fn beginning(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let mut start = Vec::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(format::ENOUGH as u64).read_to_end(&mut start));
    match read {
        Ok(_) => Ok(start),
        Err(source) => Err(CheckpointError::Read {
            file: printable_path(path),
            source,
        }),
    }
}

fn pickled_file(path: &Path) -> CheckpointError {
    CheckpointError::Pickle {
        file: printable_path(path),
        convert: format!(
            "StableDiffusionPipeline.from_single_file({:?}).save_pretrained(\"converted\", safe_serialization=True)",
            printable_path(path)
        ),
    }
}

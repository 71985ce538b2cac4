//! Finding a checkpoint's parts: is a path a checkpoint at all, of which kind, and which files hold its weights?

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{
    Component, Source, config::Reader, embedded, error::CheckpointError, files::Files, hub,
};
use crate::text::{printable, printable_path};

/// The file that says what kind of pipeline a folder holds.
pub const INDEX: &str = "model_index.json";

/// Finds the folder or file and makes sure that it looks like a checkpoint, of the right kind as far as its index tells.
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
        return single_file(path);
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
    if files.has(INDEX) {
        check_index(&Reader::new(&files.shown_file(INDEX), &files.read(INDEX)?)?)?;
    }
    Ok(files)
}

/// The weights of a component: the plain file, or else the one in half precision.
pub fn weights_path(files: &Files, component: Component) -> Result<&'static str, CheckpointError> {
    let (folder, paths, what) = match component {
        Component::TextEncoder => (
            "text_encoder",
            [
                "text_encoder/model.safetensors",
                "text_encoder/model.fp16.safetensors",
            ],
            "the text encoder's weights are",
        ),
        Component::UNet => (
            "unet",
            [
                "unet/diffusion_pytorch_model.safetensors",
                "unet/diffusion_pytorch_model.fp16.safetensors",
            ],
            "the UNet's weights are",
        ),
        Component::Vae => (
            "vae",
            [
                "vae/diffusion_pytorch_model.safetensors",
                "vae/diffusion_pytorch_model.fp16.safetensors",
            ],
            "the autoencoder's weights are",
        ),
    };
    if let Some(path) = files.first(&paths) {
        return Ok(path);
    }
    let names = files.names_in(folder);
    if let Some(name) = names
        .iter()
        .find(|name| name.ends_with(".safetensors.index.json"))
    {
        return Err(CheckpointError::Weights {
            file: files.shown_file(&format!("{folder}/{name}")),
            reason: "weights that are split over several files are not read; save the checkpoint again with diffusers' save_pretrained(…, max_shard_size=\"100GB\")".to_owned(),
        });
    }
    if let Some(name) = names
        .iter()
        .find(|name| has_extension(name, &["bin", "ckpt", "pt", "pth"]))
    {
        return Err(CheckpointError::Pickle {
            file: files.shown_file(&format!("{folder}/{name}")),
            convert: format!(
                "StableDiffusionPipeline.from_pretrained({:?}).save_pretrained(\"converted\", safe_serialization=True)",
                files.shown()
            ),
        });
    }
    files.need(&paths, what)
}

/// The file's or folder's own name, also where the path ends in `.` or `..`.
pub fn name(files: &Files) -> String {
    match files {
        Files::Embedded => embedded::NAME.to_owned(),
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
fn single_file(path: PathBuf) -> Result<Files, CheckpointError> {
    let name = path.to_string_lossy();
    if has_extension(&name, &["ckpt", "bin", "pt", "pth"]) || is_pickled(&path) {
        return Err(pickled_file(&path));
    }
    if has_extension(&name, &["safetensors"]) {
        return Ok(Files::Single(path));
    }
    Err(CheckpointError::UnknownFile {
        path: printable_path(&path),
    })
}

/// Does the file begin as PyTorch's do: a zip archive, or the bare pickle of older ones?
fn is_pickled(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && (start == *b"PK\x03\x04" || start[..2] == [0x80, 0x02])
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

fn has_extension(name: &str, extensions: &[&str]) -> bool {
    Path::new(name).extension().is_some_and(|found| {
        extensions
            .iter()
            .any(|known| found.eq_ignore_ascii_case(known))
    })
}

/// Refuses pipelines that are not Stable Diffusion's.
fn check_index(json: &Reader) -> Result<(), CheckpointError> {
    const KINDS: [&str; 3] = [
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionPipelineSafe",
    ];
    let class = json.text("_class_name", KINDS[0])?;
    if KINDS.contains(&class) {
        return Ok(());
    }
    let reason = if class.contains("XL") {
        "this is a checkpoint of Stable Diffusion XL"
    } else if class.contains("Inpaint") {
        "this is a checkpoint made for inpainting"
    } else {
        "this is a checkpoint for another kind of pipeline"
    };
    Err(json.unsupported("_class_name", reason))
}

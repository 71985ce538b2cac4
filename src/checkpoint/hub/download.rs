//! One file from the hub into the cache: resumed where it stopped, tried again where the connection breaks, and checked
//! before it gets its name.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use ureq::{Body, http::Response};

use super::{FetchProgress, HubError, RemoteFile};
use crate::text::printable;

/// How often a broken connection is tried again while nothing comes.
const TRIES: u32 = 5;
/// The wait before the second try; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Asks for the file from a byte on.
pub type Ask<'a> = &'a dyn Fn(u64) -> Result<Response<Body>, ureq::Error>;

/// Makes sure that `blob` is the file: takes it from the cache where it is whole there, else downloads it.
pub fn download(
    ask: Ask,
    file: &RemoteFile,
    blob: &Path,
    progress: &mut dyn FetchProgress,
) -> Result<(), HubError> {
    if is_whole(file, blob)? {
        progress.begin(file, file.size);
        return Ok(());
    }
    let partial = blob.with_extension("incomplete");
    let mut output = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(&partial)
        .map_err(|source| failed(&partial, source))?;
    // Some file systems know no locks; there, nothing guards against a second process.
    if let Err(TryLockError::WouldBlock) = output.try_lock() {
        return Err(HubError::Busy {
            file: file.path.clone(),
        });
    }
    let resumed = length(&output, &partial)? > 0;
    progress.begin(file, length(&output, &partial)?);
    receive(ask, file, &mut output, &partial, progress)?;
    let mut result = verify(file, &partial);
    if result.is_err() && resumed {
        // The part that was there before may have been another file's: once more, from the start.
        progress.retry(file, "the part that was there does not belong to it");
        empty(&mut output, &partial)?;
        progress.begin(file, 0);
        receive(ask, file, &mut output, &partial, progress)?;
        result = verify(file, &partial);
    }
    if let Err(error) = result {
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    output
        .sync_all()
        .and_then(|()| fs::rename(&partial, blob))
        .map_err(|source| failed(blob, source))
}

/// Is the file there already, with the size and hash that it should have? What is not is removed.
fn is_whole(file: &RemoteFile, blob: &Path) -> Result<bool, HubError> {
    if !blob.is_file() {
        return Ok(false);
    }
    if verify(file, blob).is_ok() {
        return Ok(true);
    }
    fs::remove_file(blob).map_err(|source| failed(blob, source))?;
    Ok(false)
}

/// Receives what is missing in `output`.
fn receive(
    ask: Ask,
    file: &RemoteFile,
    output: &mut File,
    partial: &Path,
    progress: &mut dyn FetchProgress,
) -> Result<(), HubError> {
    let mut tries = 0;
    loop {
        let before = length(output, partial)?;
        if before == file.size {
            return Ok(());
        }
        if before > file.size {
            empty(output, partial)?;
            progress.begin(file, 0);
            continue;
        }
        let stopped = receive_once(ask, before, file, output, partial, progress)?;
        let Some(reason) = stopped else {
            return Ok(());
        };
        let received = length(output, partial)?;
        tries = if received > before { 1 } else { tries + 1 };
        if tries >= TRIES {
            return Err(HubError::Interrupted {
                file: file.path.clone(),
                received,
                size: file.size,
                reason,
            });
        }
        progress.retry(file, &reason);
        thread::sleep(FIRST_WAIT * 2_u32.pow(tries - 1));
    }
}

/// Receives until the file is whole (`None`) or the connection breaks (why).
fn receive_once(
    ask: Ask,
    start: u64,
    file: &RemoteFile,
    output: &mut File,
    partial: &Path,
    progress: &mut dyn FetchProgress,
) -> Result<Option<String>, HubError> {
    const OK: u16 = 200;
    const PARTIAL: u16 = 206;
    const TIMEOUT: u16 = 408;
    const RANGE_NOT_SATISFIABLE: u16 = 416;
    const TOO_MANY: u16 = 429;

    let response = match ask(start) {
        Ok(response) => response,
        Err(error) => return Ok(Some(printable(&error.to_string()))),
    };
    let mut length = start;
    match response.status().as_u16() {
        PARTIAL if begins_at(&response, start) => {}
        // The server sends the whole file, or does not understand where to go on.
        OK if start == 0 => {}
        status @ (OK | PARTIAL | RANGE_NOT_SATISFIABLE) => {
            empty(output, partial)?;
            progress.begin(file, 0);
            if status != OK {
                return Ok(Some("the hub does not go on from there".to_owned()));
            }
            length = 0;
        }
        401 | 403 => {
            return Err(HubError::Status {
                what: file.path.clone(),
                status: response.status().as_u16(),
            });
        }
        404 => {
            return Err(HubError::NotFound {
                what: file.path.clone(),
            });
        }
        status if status >= 500 || status == TIMEOUT || status == TOO_MANY => {
            return Ok(Some(format!("the hub answered {status}")));
        }
        status => {
            return Err(HubError::Status {
                what: file.path.clone(),
                status,
            });
        }
    }
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 17];
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) if length < file.size => {
                return Ok(Some("the connection was closed".to_owned()));
            }
            Ok(0) => return Ok(None),
            Ok(count) => count,
            Err(error) => return Ok(Some(printable(&error.to_string()))),
        };
        length += count as u64;
        if length > file.size {
            empty(output, partial)?;
            return Err(HubError::Corrupted {
                file: file.path.clone(),
                what: "its size",
                found: format!("more than {}", file.size),
                expected: file.size.to_string(),
            });
        }
        output
            .write_all(&buffer[..count])
            .map_err(|source| failed(partial, source))?;
        progress.advance(count as u64);
    }
}

/// Does the answer begin at the byte that was asked for: `Content-Range: bytes 100-199/200`?
fn begins_at(response: &Response<Body>, start: u64) -> bool {
    let range = response.headers().get("content-range");
    let first = range
        .and_then(|range| range.to_str().ok())
        .and_then(|range| range.trim().strip_prefix("bytes "))
        .and_then(|range| range.split('-').next()?.trim().parse::<u64>().ok());
    first == Some(start)
}

/// Has the file the size and the hash that the hub gives?
fn verify(file: &RemoteFile, path: &Path) -> Result<(), HubError> {
    let mut input = File::open(path).map_err(|source| failed(path, source))?;
    let size = length(&input, path)?;
    let corrupted = |what, found: String, expected: String| HubError::Corrupted {
        file: file.path.clone(),
        what,
        found,
        expected,
    };
    if size != file.size {
        let (found, expected) = (size.to_string(), file.size.to_string());
        return Err(corrupted("its size", found, expected));
    }
    let Some(expected) = &file.sha256 else {
        return Ok(());
    };
    let mut hash = Sha256::new();
    io::copy(&mut input, &mut hash).map_err(|source| failed(path, source))?;
    let found = format!("{:x}", hash.finalize());
    if found != *expected {
        return Err(corrupted("its SHA-256", found, expected.clone()));
    }
    Ok(())
}

fn length(file: &File, path: &Path) -> Result<u64, HubError> {
    let metadata = file.metadata().map_err(|source| failed(path, source))?;
    Ok(metadata.len())
}

fn empty(file: &mut File, path: &Path) -> Result<(), HubError> {
    file.set_len(0).map_err(|source| failed(path, source))
}

pub(super) fn failed(path: &Path, source: io::Error) -> HubError {
    HubError::Write {
        file: printable(&path.to_string_lossy()),
        source,
    }
}

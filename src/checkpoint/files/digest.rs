//! What identifies a checkpoint: the SHA-256 of its files.

use std::fmt::Write as _;
use std::io::{self, BufReader};

use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use sha2::{Digest as _, Sha256};

use super::{Files, folder, locate, tokenizer};
use crate::checkpoint::{config::Extras, error::CheckpointError};

/// The small files that describe a checkpoint, without the tokenizer's vocabulary.
pub const DESCRIPTIONS: [&str; 9] = [
    locate::INDEX,
    Extras::FILE,
    folder::SCHEDULER,
    folder::TEXT_ENCODER,
    tokenizer::ADDED_TOKENS,
    tokenizer::CONFIG,
    tokenizer::SPECIAL_TOKENS,
    folder::UNET,
    folder::VAE,
];

/// The SHA-256 of each file that is read, by its path in the folder, in byte order of the paths.
pub fn digests<'a>(
    files: &Files,
    weight_paths: &'a [String],
) -> Result<Vec<(&'a str, String)>, CheckpointError> {
    let mut paths: Vec<&str> = Vec::new();
    if let Files::Single(_) = files {
        paths.push("");
    } else {
        paths.extend(tokenizer::vocabulary(files).unwrap_or_default());
        paths.extend(weight_paths.iter().map(String::as_str));
        paths.extend(DESCRIPTIONS.iter().filter(|path| files.has(path)));
        paths.sort_unstable();
    }
    paths
        .par_iter()
        .map(|path| {
            let mut hash = Sha256::new();
            let mut reader = BufReader::with_capacity(1 << 20, files.reader(path)?);
            io::copy(&mut reader, &mut hash).map_err(|source| files.failed(path, source))?;
            Ok((*path, format!("{:x}", hash.finalize())))
        })
        .collect()
}

/// What identifies the checkpoint, from the digests of its files: see
/// [`Checkpoint::sha256`](crate::checkpoint::Checkpoint::sha256).
pub fn of_checkpoint(files: &Files, digests: &[(&str, String)]) -> String {
    if let (Files::Single(_), [(_, digest)]) = (files, digests) {
        return digest.clone();
    }
    let mut list = String::new();
    for (path, digest) in digests {
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{digest}  {path}");
    }
    format!("{:x}", Sha256::digest(&list))
}

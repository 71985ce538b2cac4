//! What can go wrong while a checkpoint is downloaded.

use std::io;

use crate::checkpoint::CheckpointError;

/// What a repository has in place of what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Instead {
    /// A file that may be a whole checkpoint.
    SingleFile(String),
    /// The weights without a variant.
    NoVariant,
    /// The weights in another variant.
    Variant(String),
}

/// Why a checkpoint was not downloaded, and what to do about it. What was downloaded before stays in the cache.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The user has forbidden the network.
    #[error("HF_HUB_OFFLINE is set, and downloading needs the network; unset it to fetch {0}")]
    Offline(String),
    /// The hub wants to know who asks.
    #[error(
        "the hub does not show {repository} to everybody (401): it is private or gated, the token is wrong, or there is no such repository; check the name, and set HF_TOKEN to a token of an account that may read it"
    )]
    Unauthorised { repository: String },
    /// The account may not read the repository.
    #[error(
        "the hub refuses {repository} to this account (403): accept its terms on its page at the hub, or use the token of an account that may read it"
    )]
    Forbidden { repository: String },
    /// There is no such repository, revision or file.
    #[error("the hub has no {what} (404); check the name and the revision")]
    NotFound { what: String },
    /// Another answer than was asked for.
    #[error("the hub answered {status} when asked for {what}; try again later")]
    Status { what: String, status: u16 },
    #[error(
        "the hub cannot be reached ({reason}); check the connection and HF_ENDPOINT, then run the same command again: it goes on where it stopped"
    )]
    Unreachable { reason: String },
    /// An answer that is not understood.
    #[error(
        "the hub's description of {repository} is not understood: {reason}; HF_ENDPOINT may name something that is not a hub"
    )]
    Answer { repository: String, reason: String },
    /// The repository has not what this program needs.
    #[error("{repository} {lacks}")]
    Lacks {
        repository: String,
        /// What it lacks: "has no …".
        lacks: String,
        instead: Option<Instead>,
    },
    #[error(
        "{needed} are to be downloaded, and the disk of {folder} has room for {available}; free some, or set HF_HOME to a folder on another disk"
    )]
    Space {
        /// How much is to be downloaded, with its unit.
        needed: String,
        /// How much fits, with its unit.
        available: String,
        folder: String,
    },
    /// The connection broke, again and again.
    #[error(
        "{file}: the download stopped at {received} of {size} bytes ({reason}); run the same command again: it goes on from there"
    )]
    Interrupted {
        file: String,
        received: u64,
        size: u64,
        reason: String,
    },
    /// What came is not what the hub promised.
    #[error(
        "{file}: what was downloaded is not what the hub describes: {what} is {found}, expected {expected}; it was thrown away; run the same command again, and if that does not help the hub or a proxy before it is at fault"
    )]
    Corrupted {
        file: String,
        what: &'static str,
        found: String,
        expected: String,
    },
    /// Another process downloads the same file.
    #[error(
        "{file}: another process is downloading it; wait for that, then run the same command again"
    )]
    Busy { file: String },
    /// The cache cannot be written to.
    #[error("{file}: {source}")]
    Write { file: String, source: io::Error },
    /// The checkpoint came whole, but cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

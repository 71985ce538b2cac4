//! Downloading a checkpoint: ask what there is, say what is to come, receive it, and give it its name in the cache.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use hf_hub::{
    Cache,
    api::sync::{Api, ApiBuilder},
};
use ureq::{Body, http::Response};

use super::{
    HubError, Plan, RemoteFile, Repository, cache,
    download::{download, failed},
    environment::PROCESS,
    plan::Listing,
};
use crate::checkpoint::{
    Checkpoint, Source,
    files::{folder, locate, tokenizer},
};
use crate::text::printable;

/// How long nothing may come before a connection counts as broken; `HF_HUB_DOWNLOAD_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Is told how a download gets on.
pub trait FetchProgress {
    /// A file begins, with `have` of its bytes already there. Called again where it has to begin anew.
    fn begin(&mut self, file: &RemoteFile, have: u64);
    /// So many bytes more have come.
    fn advance(&mut self, bytes: u64);
    /// The file is there, whole and checked.
    fn end(&mut self, file: &RemoteFile);
    /// The connection broke and is tried again.
    fn retry(&mut self, file: &RemoteFile, reason: &str);
}

/// A download that was planned and has not begun.
pub struct Fetch {
    api: Api,
    cache: Cache,
    repository: Repository,
    plan: Plan,
    variant: Option<String>,
    timeout: Duration,
}

impl Fetch {
    /// Asks the hub for the repository's files. `variant` chooses the weights: `fp16`.
    pub fn prepare(repository: Repository, variant: Option<&str>) -> Result<Self, HubError> {
        if PROCESS.is_offline() {
            return Err(HubError::Offline(repository.to_string()));
        }
        let cache = cache::cache();
        let mut builder = ApiBuilder::from_env()
            .with_cache_dir(cache.path().clone())
            .with_token(PROCESS.token())
            .with_user_agent("diffuscope", env!("CARGO_PKG_VERSION"))
            .with_progress(false);
        if let Ok(endpoint) = env::var("HF_ENDPOINT") {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let api = builder.build().map_err(|error| HubError::Unreachable {
            reason: printable(&error.to_string()),
        })?;
        let timeout = env::var("HF_HUB_DOWNLOAD_TIMEOUT")
            .ok()
            .and_then(|seconds| seconds.parse().ok())
            .filter(|seconds| (1..=3600).contains(seconds))
            .map_or(TIMEOUT, Duration::from_secs);
        let listing = list(&api, &repository, timeout)?;
        let plan = Plan::of(&repository, &listing, variant)?;
        Ok(Self {
            api,
            cache,
            repository,
            plan,
            variant: variant.map(str::to_owned),
            timeout,
        })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn folder(&self) -> &Path {
        self.cache.path()
    }

    /// How much is still to come, in bytes: less than the plan's size where files or parts of them are there.
    pub fn remaining(&self) -> u64 {
        let have = |file: &RemoteFile| {
            let blob = self.blob(file);
            let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
            length(&blob).max(length(&blob.with_extension("incomplete")))
        };
        let missing = self.plan.files.iter();
        missing
            .map(|file| file.size.saturating_sub(have(file)))
            .fold(0, u64::saturating_add)
    }

    /// How much room the disk of the cache has, in bytes; `None` where the system does not say.
    pub fn room(&self) -> Option<u64> {
        // The cache may not be there yet: its nearest folder that is there lies on the same disk.
        let there = self.folder().ancestors().find(|path| path.exists())?;
        fs4::available_space(there).ok()
    }

    /// Downloads what is missing, and opens the checkpoint. Returns the folder of its files.
    pub fn run(&self, progress: &mut dyn FetchProgress) -> Result<PathBuf, HubError> {
        let folder = self
            .cache
            .repo(self.repository.repo())
            .pointer_path(&self.plan.commit);
        let mut described = false;
        for file in &self.plan.files {
            // All descriptions are there before the first of the weights: is it a checkpoint that can be run?
            if file.is_weights() && !described {
                check_descriptions(&folder)?;
                described = true;
            }
            let blob = self.blob(file);
            create_parent(&blob)?;
            download(&|start| self.ask(file, start), file, &blob, progress).map_err(|error| {
                match error {
                    HubError::Status { status: 401, .. } => HubError::Unauthorised {
                        repository: self.repository.to_string(),
                    },
                    HubError::Status { status: 403, .. } => HubError::Forbidden {
                        repository: self.repository.to_string(),
                    },
                    error => error,
                }
            })?;
            let pointer = folder.join(&file.path);
            create_parent(&pointer)?;
            point(&blob, &pointer).map_err(|source| failed(&pointer, source))?;
            progress.end(file);
        }
        let variant = self.variant.as_deref();
        Checkpoint::open_variant(&Source::Path(folder.clone()), variant)?;
        // Last, so that nothing but a whole checkpoint is found under its name.
        if self.repository.revision() != self.plan.commit {
            self.cache
                .repo(self.repository.repo())
                .create_ref(&self.plan.commit)
                .map_err(|source| failed(&folder, source))?;
        }
        Ok(folder)
    }

    fn blob(&self, file: &RemoteFile) -> PathBuf {
        self.cache
            .repo(self.repository.repo())
            .blob_path(&file.blob)
    }

    /// Asks for a file of the plan's commit, from a byte on.
    fn ask(&self, file: &RemoteFile, start: u64) -> Result<Response<Body>, ureq::Error> {
        let repository = self.api.repo(self.repository.repo_at(&self.plan.commit));
        let mut request = repository
            .info_request()
            .uri(repository.url(&file.path))
            // A range counts the file's own bytes, not those of a compressed answer.
            .header("Accept-Encoding", "identity");
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        request
            .config()
            .http_status_as_error(false)
            .timeout_connect(Some(self.timeout))
            .timeout_recv_response(Some(self.timeout))
            .timeout_per_read(Some(self.timeout))
            .build()
            .call()
    }
}

/// Asks the hub which files a repository has.
fn list(api: &Api, repository: &Repository, timeout: Duration) -> Result<Listing, HubError> {
    let answer = |reason: String| HubError::Answer {
        repository: repository.to_string(),
        reason: printable(&reason),
    };
    let mut response = api
        .repo(repository.repo())
        .info_request()
        .query("blobs", "true")
        .config()
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .build()
        .call()
        .map_err(|error| HubError::Unreachable {
            reason: printable(&error.to_string()),
        })?;
    match response.status().as_u16() {
        200 => {}
        401 => {
            return Err(HubError::Unauthorised {
                repository: repository.to_string(),
            });
        }
        403 => {
            return Err(HubError::Forbidden {
                repository: repository.to_string(),
            });
        }
        404 => {
            return Err(HubError::NotFound {
                what: repository.to_string(),
            });
        }
        status => {
            return Err(HubError::Status {
                what: repository.to_string(),
                status,
            });
        }
    }
    let text = response
        .body_mut()
        .read_to_string()
        .map_err(|error| answer(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| answer(error.to_string()))
}

/// Refuses a checkpoint of another kind by its descriptions, before gigabytes of weights are downloaded for nothing.
fn check_descriptions(folder: &Path) -> Result<(), HubError> {
    let files = locate::locate(&Source::Path(folder.to_owned()))?;
    let contents = folder::read(&files, None);
    let text_encoder = contents.text_encoder.config?;
    contents.unet.config?;
    contents.vae.config?;
    contents.scheduler?;
    contents.vocabulary?;
    tokenizer::read(&files, &text_encoder)?;
    Ok(())
}

/// Makes `pointer` lead to `blob`, as all programs for the hub do it: by a relative link where there are links.
fn point(blob: &Path, pointer: &Path) -> io::Result<()> {
    if fs::symlink_metadata(pointer).is_ok() {
        fs::remove_file(pointer)?;
    }
    if PROCESS.is_true("HF_HUB_DISABLE_SYMLINKS") {
        return same_file(blob, pointer);
    }
    let name = blob.file_name().unwrap_or_default();
    // From snapshots/COMMIT/(folders)/FILE up to the repository's folder.
    let root = blob.parent().and_then(Path::parent);
    let depth = root
        .and_then(|root| pointer.strip_prefix(root).ok())
        .map_or(0, |below| below.components().count() - 1);
    let mut target: PathBuf = std::iter::repeat_n("..", depth).collect();
    target.push("blobs");
    target.push(name);
    link(&target, blob, pointer)
}

#[cfg(unix)]
fn link(target: &Path, _: &Path, pointer: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, pointer)
}

#[cfg(not(unix))]
fn link(_: &Path, blob: &Path, pointer: &Path) -> io::Result<()> {
    // Links need a privilege there.
    same_file(blob, pointer)
}

/// A second name for the file, or a copy.
fn same_file(blob: &Path, pointer: &Path) -> io::Result<()> {
    fs::hard_link(blob, pointer).or_else(|_| fs::copy(blob, pointer).map(drop))
}

fn create_parent(path: &Path) -> Result<(), HubError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|source| failed(parent, source))
}

//! What is not complete yet: temporary files and folders beside their places, and what a killed process left of its own.
//!
//! Each is locked as long as its process lives; the system lets go of the lock however that ends. So what nobody has
//! locked is nobody's, and is removed by the next one that writes into the same folder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir};

/// In the name of each: nothing else is ever removed.
const MARK: &str = ".diffuscope-partial-";

/// A temporary file in `folder`, on its way to become `name`. Those whom the file that it replaces was hidden from see
/// nothing of it: only the user does, with `private`.
pub(super) fn file(folder: &Path, name: &Path, private: bool) -> io::Result<NamedTempFile> {
    remove_abandoned(folder);
    let prefix = prefix(name);
    let mut builder = Builder::new();
    builder.prefix(&prefix);
    // The library's own default keeps temporary files from other users; these are results.
    #[cfg(unix)]
    if !private {
        builder.permissions(mode(0o666));
    }
    loop {
        let file = builder.tempfile_in(folder)?;
        if is_ours(file.as_file(), file.path()) {
            return Ok(file);
        }
    }
}

/// A temporary folder and the lock on it.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
    _lock: Option<File>,
}

impl Folder {
    /// One in `parent`, on its way to become `name`, or to fill `parent` where there is none.
    pub fn new(parent: &Path, name: Option<&Path>) -> io::Result<Self> {
        remove_abandoned(parent);
        let prefix = name.map_or_else(|| MARK.to_owned(), prefix);
        let mut builder = Builder::new();
        builder.prefix(&prefix);
        #[cfg(unix)]
        builder.permissions(mode(0o777));
        loop {
            let folder = builder.tempdir_in(parent)?;
            // Where a folder cannot be opened, none can be locked, and none is taken for abandoned.
            let Ok(lock) = File::open(folder.path()) else {
                return Ok(Self {
                    folder,
                    _lock: None,
                });
            };
            if is_ours(&lock, folder.path()) {
                return Ok(Self {
                    folder,
                    _lock: Some(lock),
                });
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Locks what was just made. It fails where another process took it for abandoned in between.
fn is_ours(file: &File, path: &Path) -> bool {
    match file.try_lock() {
        Ok(()) => path.exists(),
        Err(TryLockError::WouldBlock) => false,
        // No locks on this file system: there, nothing is ever taken for abandoned.
        Err(TryLockError::Error(_)) => true,
    }
}

/// Removes what processes that are gone have left in `folder`.
fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_partial = name
            .to_str()
            .is_some_and(|name| name.starts_with('.') && name.contains(MARK));
        let Some(kind) = entry.file_type().ok().filter(|_| is_partial) else {
            continue;
        };
        let path = entry.path();
        // Not a pipe, which would wait for its other end.
        if !(kind.is_file() || kind.is_dir()) {
            continue;
        }
        let Ok(file) = File::open(&path) else {
            continue;
        };
        // The lock is held while it is removed: see `is_ours`.
        if file.try_lock().is_ok() {
            let _ = if kind.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
        }
    }
}

/// `.NAME.diffuscope-partial-`: hidden, and known by its name as a thing that is not complete.
fn prefix(name: &Path) -> String {
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    // Room for the rest of the name within the 255 bytes that file systems allow.
    let mut end = name.len().min(200);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!(".{}{MARK}", &name[..end])
}

/// Where `path` leads: itself, or what a link, or a chain of them, points to, which need not be there.
///
/// # Errors
/// Links that lead in a circle.
pub(super) fn follow(path: &Path) -> io::Result<PathBuf> {
    // Without a slash at its end, which would make a link what it points to.
    let mut target: PathBuf = path.components().collect();
    // As many as Linux follows.
    for _ in 0..40 {
        match fs::read_link(&target) {
            Ok(next) => target = parent(&target).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("the link leads in a circle"))
}

/// The folder that `path` is in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Permissions, less what the user's umask takes away.
#[cfg(unix)]
fn mode(bits: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(bits)
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_lives_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let file_left = path.join(format!(".a.png{MARK}abc123"));
        let folder_left = path.join(format!(".run{MARK}abc123"));
        fs::write(&file_left, "half").unwrap();
        fs::create_dir_all(folder_left.join("tensors")).unwrap();
        fs::write(path.join(".other.partial-abc123"), "somebody's").unwrap();
        let one = file(path, Path::new("b.png"), false).unwrap();
        assert!(!file_left.exists() && !folder_left.exists());
        let two = Folder::new(path, Some(Path::new("run"))).unwrap();
        let three = file(path, Path::new("b.png"), true).unwrap();
        assert!(one.path().exists() && two.path().exists() && three.path().exists());
        drop((one, two, three));
        assert_eq!(names(path), [".other.partial-abc123"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_to_what_need_not_be_there() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("second", at("first")).unwrap();
        symlink(at("target"), at("second")).unwrap();
        assert_eq!(follow(&at("first")).unwrap(), at("target"));
        assert_eq!(follow(&at("first/")).unwrap(), at("target"));
        assert_eq!(follow(&at("plain")).unwrap(), at("plain"));
        symlink("circle", at("circle")).unwrap();
        assert!(follow(&at("circle")).is_err());
    }
}

//! What reads bytes from outside, one function each: whatever the bytes are, it returns.
//!
//! `tests/library/fuzz.rs` calls these with seeded changes of the files in `seeds/`, as a part of the tests; `cargo fuzz`
//! calls them for as long as one likes (see `tests/README.md`). A function here may fail in no other way than by a panic: an
//! error is a good answer, and a success must keep what it promises.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::text::{clean, escaped_json, printable, visible};

/// A reader of bytes from outside.
pub type Target = fn(&[u8]);

/// All of them by name; each name is that of a folder in `seeds/` and of a program in `fuzz_targets/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("arguments", arguments),
    ("configuration", crate::checkpoint::fuzz::configuration),
    ("folder", crate::checkpoint::fuzz::folder),
    ("hub", crate::checkpoint::hub::fuzz::listing),
    ("filter", crate::lesson::fuzz::filter),
    ("lesson", crate::lesson::fuzz::lesson),
    ("progress", crate::lesson::fuzz::progress),
    ("prompt", crate::checkpoint::fuzz::prompt),
    ("recording", crate::export::fuzz::recording),
    #[cfg(unix)]
    ("terminal", crate::tui::terminal::fuzz::replies),
    ("text", text),
    ("tokenizer", crate::checkpoint::fuzz::tokenizer),
    ("weights", crate::checkpoint::fuzz::weights),
];

/// The one called `name`.
///
/// # Panics
/// Where there is none of that name, or the reader fails: that is what is looked for.
pub fn run(name: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = found.unwrap_or_else(|| panic!("there is no target {name}"));
    target(data);
}

/// Nothing that is said of bytes from outside is too long for a message.
pub(crate) fn said(error: impl std::fmt::Display) {
    const LONGEST: usize = 1 << 16;
    let text = visible(&error.to_string());
    assert!(text.len() < LONGEST, "a message of {} bytes", text.len());
}

/// Calls `with` with a folder that lives as long as the thread, made by `fill` when it is first asked for.
///
/// The system's folder for such files may be in memory (`TMPDIR`), and then this is fast.
pub(crate) fn in_folder(
    folder: &'static std::thread::LocalKey<OnceCell<TempDir>>,
    fill: impl FnOnce(&Path),
    with: impl FnOnce(&Path),
) {
    folder.with(|cell| {
        let folder = cell.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder for the files");
            fill(folder.path());
            folder
        });
        with(folder.path());
    });
}

/// Puts `data` in place of the file at `path`, calls `with`, and puts the file back.
pub(crate) fn replaced(path: &Path, data: &[u8], with: impl FnOnce()) {
    let before = fs::read(path).ok();
    // Links to files outside are replaced, not written through.
    let _ = fs::remove_file(path);
    fs::write(path, data).expect("a file can be written");
    with();
    match before {
        Some(bytes) => {
            let _ = fs::remove_file(path);
            fs::write(path, bytes).expect("a file can be written");
        }
        None => fs::remove_file(path).expect("a file can be removed"),
    }
}

/// A command line: arguments, one a line.
fn arguments(data: &[u8]) {
    use clap::Parser as _;
    let text = String::from_utf8_lossy(data);
    if let Err(error) =
        crate::cli::Cli::try_parse_from(["diffuscope"].into_iter().chain(text.lines()))
    {
        let _ = error.to_string();
    }
}

/// What is shown of any text.
fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let harmless = |c: char| c == '\n' || !c.is_control();
    assert!(visible(&text).chars().all(harmless));
    assert!(!printable(&text).chars().any(char::is_control));
    assert!(!clean(&text).chars().any(char::is_control));
    assert_eq!(clean(&text).chars().count(), text.chars().count());
    let json = serde_json::to_string(&text).expect("any text is JSON");
    let escaped = escaped_json(&json);
    assert!(escaped.chars().all(harmless));
    assert_eq!(
        serde_json::from_str::<String>(&escaped).expect("it stays JSON"),
        text
    );
}

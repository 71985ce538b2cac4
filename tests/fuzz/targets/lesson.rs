//! The readers of lessons, of their filters, and of what readers have solved.

use std::cell::OnceCell;
use std::fs;

use tempfile::TempDir;

use super::filter::{Filter, Input, Tensors};
use super::{Progress, parse};
use crate::fuzz::{in_folder, said};

/// A lesson.
pub(crate) fn lesson(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse("lesson.md", &text) {
        Ok(lesson) => assert!(!lesson.pages.is_empty()),
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.into_iter().for_each(said);
        }
    }
}

/// A filter over a run's document.
pub(crate) fn filter(data: &[u8]) {
    const DOCUMENT: &[u8] = br#"{"prompt": {"text": "an apple"}, "steps": [{"sigma": 14.6, "timestep": 999}, {"sigma": 0.5, "timestep": 10}]}"#;
    let input = Input::new(DOCUMENT, Tensors::default()).expect("the document is JSON");
    match Filter::parse(&String::from_utf8_lossy(data)) {
        Ok(filter) => drop(filter.run(&input).map_err(said)),
        Err(error) => said(error),
    }
}

/// A file of what a reader has solved.
pub(crate) fn progress(data: &[u8]) {
    thread_local!(static FOLDER: OnceCell<TempDir> = const { OnceCell::new() });
    in_folder(
        &FOLDER,
        |_| (),
        |folder| {
            let path = folder.join("progress.json");
            fs::write(&path, data).expect("a file can be written");
            let _ = Progress::open(Some(path)).map_err(said);
        },
    );
}

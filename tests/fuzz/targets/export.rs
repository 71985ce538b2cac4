//! The reader of recorded runs.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::Replay;
use crate::fuzz::{in_folder, replaced, said};

/// Files of a recorded run: its document, a tensor and its picture.
const FILES: [(&str, &[u8]); 3] = [
    ("run.json", include_bytes!("../seeds/recording/document")),
    (
        "tensors/prompt_embedding.json",
        include_bytes!("../seeds/recording/tensor"),
    ),
    ("image.png", include_bytes!("../seeds/recording/picture")),
];

/// A file of a recorded run. The first byte says which.
pub(crate) fn recording(data: &[u8]) {
    thread_local!(static FOLDER: OnceCell<TempDir> = const { OnceCell::new() });
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    let (file, _) = FILES[usize::from(which.wrapping_sub(b'0')) % FILES.len()];
    in_folder(&FOLDER, fill, |folder| {
        replaced(&folder.join(file), bytes, || match Replay::open(folder) {
            Ok(replay) => {
                for event in replay.events(true).take(64) {
                    if let Err(error) = event {
                        return said(error);
                    }
                }
            }
            Err(error) => said(error),
        });
    });
}

fn fill(folder: &Path) {
    for (file, bytes) in FILES {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder can be made");
        // After the byte that chooses the file.
        fs::write(path, &bytes[1..]).expect("a file can be written");
    }
}

//! The readers of a checkpoint's files.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use tempfile::TempDir;

use super::config::{self, Extras, Reader};
use super::files::{Files, embedded, tokenizer};
use super::{Checkpoint, Report, Source};
use crate::fuzz::{in_folder, replaced, said};
use crate::model::config::{Activation, TextEncoderConfig, UNetConfig, VaeConfig};
use crate::model::tokenizer::{ClipTokenizer, Tokens};
use crate::scheduler::{Schedule, SchedulerKind};

/// A configuration. The first byte says of what.
pub(crate) fn configuration(data: &[u8]) {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    let read = || Reader::new("config.json", bytes);
    let notes = match which.wrapping_sub(b'0') % 6 {
        0 => read()
            .and_then(TextEncoderConfig::read)
            .map(|(_, notes)| notes),
        1 => read().and_then(UNetConfig::read).map(|(_, notes)| notes),
        2 => read().and_then(VaeConfig::read).map(|(_, notes)| notes),
        3 => read().and_then(Extras::read).map(|(_, notes)| notes),
        4 => read()
            .and_then(|json| config::scheduler(json, None, None))
            .map(|(config, notes)| {
                for kind in SchedulerKind::ALL {
                    let _ = Schedule::new(kind, &config, 3).map_err(said);
                }
                notes
            }),
        _ => read()
            .and_then(config::Pipeline::read)
            .map(|pipeline| pipeline.notes),
    };
    match notes {
        Ok(notes) => notes.into_iter().for_each(said),
        Err(error) => said(error),
    }
}

/// A file of weights, opened as a checkpoint in a single file.
pub(crate) fn weights(data: &[u8]) {
    thread_local!(static FOLDER: OnceCell<TempDir> = const { OnceCell::new() });
    in_folder(
        &FOLDER,
        |_| (),
        |folder| {
            let path = folder.join("model.safetensors");
            fs::write(&path, data).expect("a file can be written");
            let source = Source::Path(path);
            let _ = Checkpoint::open(&source).map_err(said);
            let _ = Report::of(&source, None).map_err(said);
        },
    );
}

/// A file of a folder in diffusers' layout. The first byte says which.
pub(crate) fn folder(data: &[u8]) {
    const FILES: [&str; 8] = [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "unet/config.json",
        "vae/config.json",
        "diffuscope.json",
        "tokenizer/tokenizer_config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ];
    thread_local!(static FOLDER: OnceCell<TempDir> = const { OnceCell::new() });
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    let file = FILES[usize::from(which.wrapping_sub(b'0')) % FILES.len()];
    in_folder(&FOLDER, fill, |folder| {
        replaced(&folder.join(file), bytes, || {
            let source = Source::Path(folder.to_owned());
            match Checkpoint::open(&source) {
                Ok(checkpoint) => drop(checkpoint.tokenizer().map_err(said)),
                Err(error) => said(error),
            }
        });
    });
}

/// The embedded checkpoint's files.
fn fill(folder: &Path) {
    for (path, bytes) in embedded::FILES {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder can be made");
        fs::write(path, bytes).expect("a file can be written");
    }
}

/// A file of a tokenizer, after a first byte that says which, among small files.
pub(crate) fn tokenizer(data: &[u8]) {
    const FILES: [&str; 6] = [
        tokenizer::PAIR[0],
        tokenizer::PAIR[1],
        tokenizer::WHOLE,
        tokenizer::CONFIG,
        tokenizer::SPECIAL_TOKENS,
        "tokenizer/added_tokens.json",
    ];
    thread_local!(static FOLDER: OnceCell<TempDir> = const { OnceCell::new() });
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    let file = FILES[usize::from(which.wrapping_sub(b'0')) % FILES.len()];
    in_folder(&FOLDER, fill_tokenizer, |folder| {
        // The vocabulary in one file is read where it is not there in two.
        let pair = tokenizer::PAIR.map(|path| folder.join(path));
        let hidden = pair.clone().map(|path| path.with_extension("hidden"));
        let hides = file == tokenizer::WHOLE;
        if hides {
            for (path, hidden) in pair.iter().zip(&hidden) {
                fs::rename(path, hidden).expect("a file can be renamed");
            }
        }
        replaced(&folder.join(file), bytes, || {
            match tokenizer::read(&Files::Folder(folder.to_owned()), &text_encoder()) {
                Ok(tokenizer) => {
                    for prompt in [
                        "an apple",
                        "苹果 🍎 <toy>",
                        "a\u{1b}[2J \u{202e}<|endoftext|>",
                    ] {
                        check(&tokenizer, prompt);
                    }
                }
                Err(error) => said(error),
            }
        });
        if hides {
            for (path, hidden) in pair.iter().zip(&hidden) {
                fs::rename(hidden, path).expect("a file can be renamed");
            }
        }
    });
}

/// A tokenizer with a handful of pieces.
fn fill_tokenizer(folder: &Path) {
    fs::create_dir_all(folder.join("tokenizer")).expect("a folder can be made");
    for (file, text) in [
        (tokenizer::PAIR[0], include_str!("../seeds/tokenizer/vocab")),
        (
            tokenizer::PAIR[1],
            include_str!("../seeds/tokenizer/merges"),
        ),
    ] {
        // After the byte that chooses the file.
        fs::write(folder.join(file), &text[1..]).expect("a file can be written");
    }
}

fn text_encoder() -> TextEncoderConfig {
    TextEncoderConfig {
        vocab_size: 64,
        hidden_size: 8,
        intermediate_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        max_position_embeddings: 16,
        hidden_act: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
    }
}

/// A prompt.
pub(crate) fn prompt(data: &[u8]) {
    static TOKENIZER: LazyLock<ClipTokenizer> = LazyLock::new(|| {
        let checkpoint = Checkpoint::open(&Source::Embedded).expect("the embedded checkpoint");
        checkpoint.tokenizer().expect("its tokenizer")
    });
    check(&TOKENIZER, &String::from_utf8_lossy(data));
}

/// Tokens that the text encoder has rows for, as many as it has positions, each from whole characters of the prompt.
fn check(tokenizer: &ClipTokenizer, prompt: &str) {
    let Tokens { tokens, truncated } = match tokenizer.encode(prompt) {
        Ok(tokens) => tokens,
        Err(error) => return said(error),
    };
    assert_eq!(tokens.len(), tokenizer.max_length());
    for token in tokens.iter().chain(&truncated) {
        assert!((token.id as usize) < tokenizer.vocab_size(), "{token:?}");
        if let Some(span) = &token.span {
            assert!(
                prompt.get(span.clone()).is_some(),
                "{token:?} of {prompt:?}"
            );
        }
    }
}

//! What a file is, by its first bytes: for those that are not what their name says.

/// How many bytes of a file's beginning tell what it is.
pub const ENOUGH: usize = 1024;

/// What a file is, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    pub kind: Kind,
    /// Its name with an article: "a ZIP archive".
    pub name: &'static str,
    /// What to do about it.
    pub todo: &'static str,
}

/// What matters of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text of no known meaning, or JSON.
    Text,
    Safetensors,
    /// In Python's pickle format, PyTorch's archives included.
    Pickle,
    /// Anything else: neither weights nor a configuration.
    Other,
}

const DOWNLOAD: &str =
    "the file itself was not downloaded; run `git lfs pull` in its folder, or download it again";
const PAGE: &str = "a server sent it in place of the file, most often because a login or another address is needed; download the file again";
const AGAIN: &str = "download or copy the file again";
const UNPACK: &str = "unpack it and give what is in it";
const PICKLE: &str = "loading it can run code, and so it is not read; convert it in Python with diffusers: load it there, then save_pretrained(…, safe_serialization=True)";
const OTHER_LIBRARY: &str = "it is a model of another library; give the checkpoint in diffusers' layout, with .safetensors files";
const QUANTISED: &str = "its weights are quantised, which is not supported; give the original checkpoint, with .safetensors files";
const WRONG_FILE: &str = "it stands under the name of another file; put the right one in its place";

/// Beginnings of files that are not of text.
const SIGNATURES: [(&[u8], &str, &str); 27] = [
    (b"PK\x03\x04", "a ZIP archive", UNPACK),
    (b"PK\x05\x06", "an empty ZIP archive", AGAIN),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"GGUF", "a GGUF file", QUANTISED),
    (b"FUGG", "a GGUF file of the other byte order", QUANTISED),
    (b"lmgg", "a GGML file", QUANTISED),
    (b"tjgg", "a GGML file", QUANTISED),
    (b"fmgg", "a GGML file", QUANTISED),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file, as Keras and TensorFlow write them",
        OTHER_LIBRARY,
    ),
    (b"\x93NUMPY", "a NumPy array", OTHER_LIBRARY),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", WRONG_FILE),
    (b"\xff\xd8\xff", "a JPEG picture", WRONG_FILE),
    (b"GIF8", "a GIF picture", WRONG_FILE),
    (b"RIFF", "a RIFF file, as WebP pictures are", WRONG_FILE),
    (b"%PDF", "a PDF document", WRONG_FILE),
    (b"\x7fELF", "a program for Linux", WRONG_FILE),
    (b"MZ\x90\0", "a program for Windows", WRONG_FILE),
    (b"SQLite format 3\0", "an SQLite database", WRONG_FILE),
    (b"!<arch>\n", "an ar archive", UNPACK),
    (b"\xff\xfe", "text in UTF-16", "save it in UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it in UTF-8"),
    (b"ftrt", "a TensorRT engine", OTHER_LIBRARY),
];

/// Beginnings of text, in lower case and without white space before them.
const TEXTS: [(&str, &str, &str); 12] = [
    (
        "version https://git-lfs",
        "a Git LFS pointer, a few lines in place of the large file that they describe",
        DOWNLOAD,
    ),
    (
        "version https://hawser",
        "a Git LFS pointer, a few lines in place of the large file that they describe",
        DOWNLOAD,
    ),
    ("<!doctype html", "a web page (HTML)", PAGE),
    ("<html", "a web page (HTML)", PAGE),
    ("<head", "a web page (HTML)", PAGE),
    ("<!--", "a web page (HTML)", PAGE),
    ("<?xml", "an XML document", PAGE),
    ("<error>", "a server's error message (XML)", PAGE),
    ("entry not found", "a server's error message", PAGE),
    ("access denied", "a server's error message", PAGE),
    ("not found", "a server's error message", PAGE),
    ("#!/", "a script", WRONG_FILE),
];

/// What a file is whose first bytes (up to [`ENOUGH`] of them) these are. `None` where they do not tell.
pub fn of(start: &[u8]) -> Option<Format> {
    let other = |name, todo| {
        Some(Format {
            kind: Kind::Other,
            name,
            todo,
        })
    };
    if start.is_empty() {
        return other("empty", AGAIN);
    }
    if start.len() > 16 && start.iter().all(|byte| *byte == 0) {
        let name = "nothing but zeros, as an interrupted download or copy leaves it";
        return other(name, AGAIN);
    }
    if is_safetensors(start) {
        return Some(Format {
            kind: Kind::Safetensors,
            name: "a safetensors file",
            todo: WRONG_FILE,
        });
    }
    if is_pickle(start) {
        return Some(Format {
            kind: Kind::Pickle,
            name: "a file in Python's pickle format, as PyTorch writes them",
            todo: PICKLE,
        });
    }
    if start.get(257..262) == Some(b"ustar") {
        return other("a tar archive", UNPACK);
    }
    if start.get(4..8) == Some(b"TFL3") {
        return other("a TensorFlow Lite model", OTHER_LIBRARY);
    }
    let signature = SIGNATURES
        .iter()
        .find(|(begin, ..)| start.starts_with(begin));
    if let Some((_, name, todo)) = signature {
        return other(name, todo);
    }
    if is_onnx(start) {
        return other("an ONNX model", OTHER_LIBRARY);
    }
    if is_msgpack(start) {
        return other(
            "a MessagePack file, as Flax writes its weights",
            OTHER_LIBRARY,
        );
    }
    of_text(start)
}

fn of_text(start: &[u8]) -> Option<Format> {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character may be cut in two at the end.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower: String = text.chars().take(64).collect::<String>().to_lowercase();
    let known = TEXTS.iter().find(|(begin, ..)| lower.starts_with(begin));
    let (kind, name, todo) = match (known, text.chars().next()) {
        (Some((_, name, todo)), _) => (Kind::Other, *name, *todo),
        (None, None) => (Kind::Other, "nothing but white space", AGAIN),
        (None, _) if text.contains('\0') => return None,
        (None, Some('{' | '[')) => (Kind::Text, "JSON text", WRONG_FILE),
        (None, Some(_)) => (Kind::Text, "plain text", WRONG_FILE),
    };
    Some(Format { kind, name, todo })
}

/// Eight bytes with a length that is believed, then the opening of an object.
fn is_safetensors(start: &[u8]) -> bool {
    let length = start.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    length.is_some_and(|length| (2..=100 << 20).contains(&length)) && start.get(8) == Some(&b'{')
}

/// A bare pickle of a newer protocol, or a ZIP archive whose first entry is what PyTorch puts first.
fn is_pickle(start: &[u8]) -> bool {
    if matches!(start, [0x80, 2..=3, ..] | [0x80, 4..=5, 0x95, ..]) {
        return true;
    }
    if !start.starts_with(b"PK\x03\x04") {
        return false;
    }
    let length = start.get(26..28).map_or(0, |bytes| {
        usize::from(bytes[0]) | usize::from(bytes[1]) << 8
    });
    let name = start.get(30..30 + length).unwrap_or_default();
    [
        &b"data.pkl"[..],
        b".format_version",
        b"byteorder",
        b"version",
    ]
    .iter()
    .any(|end| name.ends_with(end))
}

/// Protocol buffers of ONNX: its version first, then the name of who wrote it.
fn is_onnx(start: &[u8]) -> bool {
    match *start {
        [0x08, version, 0x12, length, ref rest @ ..] if (1..=20).contains(&version) => rest
            .get(..usize::from(length))
            .is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic)),
        _ => false,
    }
}

/// A map whose first key is a text, in `MessagePack`.
fn is_msgpack(start: &[u8]) -> bool {
    let ([0x81..=0x8f, ref rest @ ..]
    | [0xde, _, _, ref rest @ ..]
    | [0xdf, _, _, _, _, ref rest @ ..]) = *start
    else {
        return false;
    };
    let (length, text) = match *rest {
        [first @ 0xa1..=0xbf, ref text @ ..] => (usize::from(first & 0x1f), text),
        [0xd9, length, ref text @ ..] => (usize::from(length), text),
        _ => return false,
    };
    text.get(..length)
        .is_some_and(|text| text.iter().all(|byte| (b' '..=b'~').contains(byte)))
}

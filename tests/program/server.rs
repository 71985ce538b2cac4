//! A small hub on the loopback: it lists a repository's files and serves them, whole or with faults.

use std::{
    collections::{BTreeMap, HashMap},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The commit that every revision stands for, unless the listing was changed.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong with an answer.
#[derive(Clone, Copy)]
pub enum Fault {
    /// The connection closes after so many bytes.
    Cut(usize),
    /// Nothing more comes after so many bytes.
    Stall(usize),
    /// The bytes come in small pieces, so many milliseconds apart.
    Slow(u64),
    /// The whole file comes, whatever range was asked for.
    IgnoresRange,
    /// The byte at this place is another one.
    Flip(usize),
    /// Nothing but this status comes.
    Status(u16),
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The file's path in the repository, or the whole path of another request.
    pub path: String,
    /// The first byte that was asked for.
    pub start: usize,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
}

#[derive(Default)]
struct State {
    repository: String,
    files: BTreeMap<String, Vec<u8>>,
    /// What is in the listing besides, or instead.
    listing: Option<String>,
    extra: Vec<Value>,
    /// The next faults of a file, and the one that it always has.
    once: HashMap<String, Vec<Fault>>,
    always: HashMap<String, Fault>,
    token: Option<String>,
    redirect: Option<String>,
    requests: Vec<Request>,
}

/// The hub. It ends with the process.
pub struct Hub {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    /// Serves `files` as `repository`.
    pub fn new(repository: &str, files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            repository: repository.to_owned(),
            files,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that goes away is no fault of the server.
                thread::spawn(move || drop(answer(stream, &shared)));
            }
        });
        Self { endpoint, state }
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> &Self {
        change(&mut self.state.lock().unwrap());
        self
    }

    /// The next answer to a file has this fault.
    pub fn once(&self, path: &str, fault: Fault) -> &Self {
        self.change(|state| state.once.entry(path.to_owned()).or_default().push(fault))
    }

    /// Every answer to a file (or to `api`, the listing) has this fault.
    pub fn always(&self, path: &str, fault: Fault) -> &Self {
        self.change(|state| {
            state.always.insert(path.to_owned(), fault);
        })
    }

    /// All is well from now on.
    pub fn heal(&self) -> &Self {
        self.change(|state| {
            state.once.clear();
            state.always.clear();
            state.requests.clear();
        })
    }

    /// The listing is this text.
    pub fn listing(&self, text: &str) -> &Self {
        self.change(|state| state.listing = Some(text.to_owned()))
    }

    /// The listing has one more file.
    pub fn list_also(&self, entry: Value) -> &Self {
        self.change(|state| state.extra.push(entry))
    }

    /// A file is another one.
    pub fn replace(&self, path: &str, contents: &[u8]) -> &Self {
        self.change(|state| {
            state.files.insert(path.to_owned(), contents.to_vec());
        })
    }

    /// A file is not there.
    pub fn remove(&self, path: &str) -> &Self {
        self.change(|state| {
            state.files.remove(path);
        })
    }

    /// Only who has this token is answered.
    pub fn require(&self, token: &str) -> &Self {
        self.change(|state| state.token = Some(token.to_owned()))
    }

    /// Files lie on another server, to which every request for one is sent.
    pub fn redirect(&self, endpoint: &str) -> &Self {
        self.change(|state| state.redirect = Some(endpoint.to_owned()))
    }

    /// What was asked for so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// The first bytes that were asked for of a file.
    pub fn starts(&self, path: &str) -> Vec<usize> {
        let requests = self.requests().into_iter();
        let of_file = requests.filter(|request| request.path == path);
        of_file.map(|request| request.start).collect()
    }
}

fn answer(mut stream: TcpStream, shared: &Mutex<State>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let target = head.split(' ').nth(1).unwrap_or("/").to_owned();
    let start = header("range")
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        })
        .unwrap_or(0);

    let mut state = shared.lock().unwrap();
    let files_of = format!("/{}/resolve/{COMMIT}/", state.repository);
    let is_listing = target.starts_with(&format!("/api/models/{}/revision/", state.repository));
    let path = match target.strip_prefix(&files_of) {
        Some(path) => path.to_owned(),
        None if is_listing => "api".to_owned(),
        None => target.clone(),
    };
    let authorization = header("authorization");
    state.requests.push(Request {
        path: path.clone(),
        start,
        authorization: authorization.clone(),
    });
    let expected = state.token.as_ref().map(|token| format!("Bearer {token}"));
    if expected.is_some() && authorization != expected {
        return reply(&mut stream, 401, "", b"who are you?");
    }
    let once = state.once.get_mut(&path);
    let fault = once
        .and_then(|faults| (!faults.is_empty()).then(|| faults.remove(0)))
        .or_else(|| state.always.get(&path).copied());
    if let Some(Fault::Status(status)) = fault {
        return reply(&mut stream, status, "", b"no");
    }
    if is_listing {
        let listing = listing(&state);
        return reply(&mut stream, 200, "", listing.as_bytes());
    }
    let Some(contents) = state.files.get(&path).cloned() else {
        return reply(&mut stream, 404, "", b"not here");
    };
    if let Some(endpoint) = &state.redirect {
        let location = format!("Location: {endpoint}{target}\r\n");
        return reply(&mut stream, 302, &location, b"");
    }
    drop(state);
    send(&mut stream, contents, start, fault)
}

fn send(
    stream: &mut TcpStream,
    mut contents: Vec<u8>,
    start: usize,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let total = contents.len();
    if let Some(Fault::Flip(place)) = fault {
        contents[place] ^= 0x10;
    }
    let is_part = start > 0 && !matches!(fault, Some(Fault::IgnoresRange));
    let body = &contents[if is_part { start.min(total) } else { 0 }..];
    let status = match (is_part, start >= total) {
        (false, _) => "200 OK".to_owned(),
        (true, true) => return reply(stream, 416, "", b""),
        (true, false) => format!(
            "206 Partial Content\r\nContent-Range: bytes {start}-{}/{total}",
            total - 1
        ),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    match fault {
        Some(Fault::Cut(count)) => stream.write_all(&body[..count.min(length)]),
        Some(Fault::Stall(count)) => {
            stream.write_all(&body[..count.min(length)])?;
            stream.flush()?;
            thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        Some(Fault::Slow(milliseconds)) => {
            for piece in body.chunks(length / 4 + 1) {
                stream.write_all(piece)?;
                stream.flush()?;
                thread::sleep(Duration::from_millis(milliseconds));
            }
            Ok(())
        }
        _ => stream.write_all(body),
    }
}

fn reply(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}

/// The repository's description, as the hub writes it with `blobs=true`.
fn listing(state: &State) -> String {
    if let Some(listing) = &state.listing {
        return listing.clone();
    }
    let mut siblings: Vec<Value> = state
        .files
        .iter()
        .map(|(path, contents)| {
            let sha256 = format!("{:x}", Sha256::digest(contents));
            let size = contents.len();
            if path.ends_with(".safetensors") {
                let lfs = json!({"sha256": sha256, "size": size, "pointerSize": 134});
                json!({"rfilename": path, "size": size, "blobId": &sha256[..40], "lfs": lfs})
            } else {
                // The hub names these by another hash, of 40 digits.
                json!({"rfilename": path, "size": size, "blobId": &sha256[..40]})
            }
        })
        .collect();
    siblings.extend(state.extra.iter().cloned());
    json!({"id": state.repository, "sha": COMMIT, "siblings": siblings}).to_string()
}

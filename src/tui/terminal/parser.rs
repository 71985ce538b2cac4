//! From the bytes that a terminal sends to keys, the mouse, pasted text, and the terminal's own replies.
//!
//! A reply may come late, cut anywhere, or without an end, and is never a key: what begins as a control sequence or a
//! control string (ECMA-48, 5.4 and 5.6) is taken to its end, and only sequences that [`csi`] knows as keys are keys.
//! What has no end is given up after a silence, or at a byte that no reply has in it; nothing is kept without bound.
//! The thread that calls decides what time it is, so that a test needs none.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::csi;
use super::input::Input;
use super::reply::Reply;

/// How long the escape key is waited with: what follows sooner belongs to it. A terminal sends a sequence in one piece,
/// but a slow line may cut it.
const ESCAPE_DELAY: Duration = Duration::from_millis(100);
/// After so long a silence the rest of a reply does not come any more.
const SILENCE: Duration = Duration::from_secs(1);
/// The same of pasted text, of which there may be much.
const PASTE_SILENCE: Duration = Duration::from_secs(5);
/// How long after that its rest is still known as such.
const LATE: Duration = Duration::from_secs(30);
/// A piece of so many bytes was typed by nobody.
const MANY: usize = 32;
/// The longest reply that is kept, in bytes; of a longer one only its end is looked for.
const LONGEST_REPLY: usize = 1024;
/// The longest text that is pasted, in bytes. The rest is left out.
const LONGEST_PASTE: usize = 4 << 20;

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const CANCEL: u8 = 0x18;
const SUBSTITUTE: u8 = 0x1a;
const PASTE_END: &[u8] = b"\x1b[201~";

/// A control string, by what opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StringKind {
    /// `ESC P`: versions, settings.
    Device,
    /// `ESC ]`: colours, titles, the clipboard.
    System,
    /// `ESC _`: kitty's pictures.
    Application,
    /// `ESC X` and `ESC ^`: nothing that is known.
    Other,
}

impl StringKind {
    fn opened_by(byte: u8) -> Option<Self> {
        match byte {
            b'P' => Some(Self::Device),
            b']' => Some(Self::System),
            b'_' => Some(Self::Application),
            b'X' | b'^' => Some(Self::Other),
            _ => None,
        }
    }

    /// Can a reply's string begin with `byte`? If not, the key was pressed together with alt.
    fn begins_with(self, byte: u8) -> bool {
        match self {
            Self::Device => byte.is_ascii_digit() || b">!|$+=?".contains(&byte),
            // `l` and `L` are the window's title and its icon's.
            Self::System => byte.is_ascii_digit() || b"lLI".contains(&byte),
            Self::Application | Self::Other => true,
        }
    }
}

#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Ground,
    /// A character of several bytes: those that are there, and how many it has.
    Character(Vec<u8>, usize),
    Escape,
    /// `ESC O` and a letter: keys.
    SingleShift,
    /// After `ESC [`.
    Sequence(Vec<u8>),
    /// `ESC [ [` and a letter: the function keys of Linux's console.
    LinuxFunction,
    /// `ESC [ M` and three bytes: the mouse, as xterm reported it first.
    OldMouse(Vec<u8>),
    String {
        kind: StringKind,
        bytes: Vec<u8>,
        /// Was the last byte an escape, which may begin its end?
        escape: bool,
        /// Was it opened by one byte above 127, so that one such byte ends it?
        is_short: bool,
    },
    /// Text, and how much of the mark of its end was read.
    Paste(Vec<u8>, usize),
}

/// Reads what a terminal sends.
#[derive(Debug, Default)]
pub struct Parser {
    state: State,
    /// What was given up, and when: its rest may still come.
    late: Option<(State, Instant)>,
    /// When the last byte came.
    last: Option<Instant>,
    read: VecDeque<Input>,
}

impl Parser {
    /// Takes in bytes that were read in one piece at `now`.
    pub fn feed(&mut self, bytes: &[u8], now: Instant) {
        // Silence is known by the clock of whoever reads, which may have been busy.
        self.expire(now);
        if let Some((state, since)) = self.late.take()
            && now < since + LATE
            && is_rest(&state, bytes)
        {
            self.state = match state {
                // What was pasted before was delivered.
                State::Paste(_, matched) => State::Paste(Vec::new(), matched),
                state => state,
            };
        }
        // No reply begins so; and a key that is pressed together with alt comes in one piece with its escape.
        if matches!(self.state, State::Escape) && bytes.first().is_some_and(|&byte| !opens(byte)) {
            self.state = State::Ground;
            self.key(KeyCode::Esc, KeyModifiers::NONE);
        }
        self.last = Some(now);
        for &byte in bytes {
            self.take(byte);
        }
    }

    /// The next thing that was read.
    pub fn next(&mut self) -> Option<Input> {
        self.read.pop_front()
    }

    /// When what is there so far is complete if nothing follows.
    pub fn deadline(&self) -> Option<Instant> {
        let patience = match self.state {
            State::Ground => return None,
            State::Escape => ESCAPE_DELAY,
            State::Paste(..) => PASTE_SILENCE,
            _ => SILENCE,
        };
        self.last.map(|last| last + patience)
    }

    /// Nothing came until `now`: gives up what waits for too long.
    pub fn expire(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let state = std::mem::take(&mut self.state);
        match &state {
            State::Escape => self.key(KeyCode::Esc, KeyModifiers::NONE),
            State::Paste(bytes, _) => self.paste(bytes),
            _ => {}
        }
        self.late = Some((state, now));
    }

    fn key(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        self.read
            .push_back(Input::Key(KeyEvent::new(code, modifiers)));
    }

    fn paste(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if !text.is_empty() {
            self.read.push_back(Input::Paste(text));
        }
    }

    fn take(&mut self, byte: u8) {
        match std::mem::take(&mut self.state) {
            State::Ground => self.begin(byte, KeyModifiers::NONE),
            State::Character(bytes, length) => self.go_on_character(bytes, length, byte),
            State::Escape => self.take_escaped(byte),
            State::SingleShift => match csi::single_shift(byte) {
                Some(code) => self.key(code, KeyModifiers::NONE),
                None => self.begin(byte, KeyModifiers::NONE),
            },
            State::Sequence(bytes) => self.go_on_sequence(bytes, byte),
            State::LinuxFunction => match byte {
                b'A'..=b'E' => self.key(KeyCode::F(1 + byte - b'A'), KeyModifiers::NONE),
                _ => self.begin(byte, KeyModifiers::NONE),
            },
            State::OldMouse(mut bytes) => {
                bytes.push(byte);
                if let &[button, column, row] = &bytes[..] {
                    let mouse = csi::old_mouse(button, column, row);
                    self.read.extend(mouse.map(Input::Mouse));
                } else {
                    self.state = State::OldMouse(bytes);
                }
            }
            State::String {
                kind,
                bytes,
                escape,
                is_short,
            } => self.go_on_string(kind, bytes, (escape, is_short), byte),
            State::Paste(bytes, matched) => self.go_on_paste(bytes, matched, byte),
        }
    }

    /// Takes the first byte of something.
    fn begin(&mut self, byte: u8, modifiers: KeyModifiers) {
        let control = modifiers | KeyModifiers::CONTROL;
        match byte {
            ESC => self.state = State::Escape,
            b'\r' => self.key(KeyCode::Enter, modifiers),
            b'\t' => self.key(KeyCode::Tab, modifiers),
            0x7f => self.key(KeyCode::Backspace, modifiers),
            0 => self.key(KeyCode::Char(' '), control),
            0x01..=0x1a => self.key(KeyCode::Char((byte - 1 + b'a').into()), control),
            0x1c..=0x1f => self.key(KeyCode::Char((byte - 0x1c + b'4').into()), control),
            0x20..=0x7e => self.character(byte.into(), modifiers),
            // A control function of one byte: as an escape and the byte 64 below it.
            0x80..=0x9f => self.take_control(byte),
            0xc2..=0xdf => self.state = State::Character(vec![byte], 2),
            0xe0..=0xef => self.state = State::Character(vec![byte], 3),
            0xf0..=0xf4 => self.state = State::Character(vec![byte], 4),
            // Nothing that UTF-8 has.
            0xa0..=0xc1 | 0xf5..=0xff => {}
        }
    }

    fn character(&mut self, typed: char, modifiers: KeyModifiers) {
        let shift = if typed.is_uppercase() {
            KeyModifiers::SHIFT
        } else {
            KeyModifiers::NONE
        };
        self.key(KeyCode::Char(typed), modifiers | shift);
    }

    fn go_on_character(&mut self, mut bytes: Vec<u8>, length: usize, byte: u8) {
        if !(0x80..=0xbf).contains(&byte) {
            // The character was cut short, and is left out.
            return self.begin(byte, KeyModifiers::NONE);
        }
        bytes.push(byte);
        if bytes.len() < length {
            self.state = State::Character(bytes, length);
        } else if let Some(typed) = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.chars().next())
        {
            match u32::from(typed) {
                control @ 0x80..=0x9f => self.take_control(control as u8),
                _ => self.character(typed, KeyModifiers::NONE),
            }
        }
    }

    /// A byte after an escape.
    fn take_escaped(&mut self, byte: u8) {
        match byte {
            b'[' => self.state = State::Sequence(Vec::new()),
            b'O' => self.state = State::SingleShift,
            // The key, and what follows it.
            ESC => {
                self.key(KeyCode::Esc, KeyModifiers::NONE);
                self.state = State::Escape;
            }
            _ => match StringKind::opened_by(byte) {
                Some(kind) => self.open(kind, false),
                None if byte < 0x80 => self.begin(byte, KeyModifiers::ALT),
                None => self.begin(byte, KeyModifiers::NONE),
            },
        }
    }

    /// A control function of one byte from 128 to 159.
    fn take_control(&mut self, byte: u8) {
        match byte - 0x40 {
            b'[' => self.state = State::Sequence(Vec::new()),
            b'O' => self.state = State::SingleShift,
            opening => {
                if let Some(kind) = StringKind::opened_by(opening) {
                    self.open(kind, true);
                }
            }
        }
    }

    fn open(&mut self, kind: StringKind, is_short: bool) {
        self.state = State::String {
            kind,
            bytes: Vec::new(),
            escape: false,
            is_short,
        };
    }

    fn go_on_sequence(&mut self, mut bytes: Vec<u8>, byte: u8) {
        match byte {
            // Parameters, and what stands between them and the end.
            0x20..=0x3f => {
                if bytes.len() < LONGEST_REPLY {
                    bytes.push(byte);
                }
                self.state = State::Sequence(bytes);
            }
            b'[' if bytes.is_empty() => self.state = State::LinuxFunction,
            b'M' if bytes.is_empty() => self.state = State::OldMouse(Vec::new()),
            b'~' if bytes == b"200" => self.state = State::Paste(Vec::new(), 0),
            0x40..=0x7e => self.read.extend(csi::meaning(&bytes, byte)),
            CANCEL | SUBSTITUTE => {}
            // No sequence has this in it: it was broken off.
            _ => self.begin(byte, KeyModifiers::NONE),
        }
    }

    fn go_on_string(
        &mut self,
        kind: StringKind,
        mut bytes: Vec<u8>,
        (escape, is_short): (bool, bool),
        byte: u8,
    ) {
        let is_first = bytes.is_empty();
        match byte {
            b'\\' if escape => self.close(kind, &bytes),
            // The string was broken off by something else.
            _ if escape => self.take_escaped(byte),
            ESC if is_first => self.state = State::Escape,
            BEL => self.close(kind, &bytes),
            0x9c if is_short || bytes.last() == Some(&0xc2) => self.close(kind, &bytes),
            CANCEL | SUBSTITUTE => {}
            ESC => {
                self.state = State::String {
                    kind,
                    bytes,
                    escape: true,
                    is_short,
                };
            }
            // No reply has a control character in it, and some begin in one way only: a key.
            0..=0x1f | 0x7f => self.begin(byte, KeyModifiers::NONE),
            _ if is_first && !kind.begins_with(byte) => self.begin(byte, KeyModifiers::NONE),
            _ => {
                if bytes.len() < LONGEST_REPLY {
                    bytes.push(byte);
                } else if let Some(last) = bytes.last_mut() {
                    // Its end may take two bytes.
                    *last = byte;
                }
                self.state = State::String {
                    kind,
                    bytes,
                    escape,
                    is_short,
                };
            }
        }
    }

    fn close(&mut self, kind: StringKind, bytes: &[u8]) {
        if kind == StringKind::Application {
            self.read.extend(Reply::graphics(bytes).map(Input::Reply));
        }
    }

    fn go_on_paste(&mut self, mut bytes: Vec<u8>, mut matched: usize, byte: u8) {
        if byte == PASTE_END[matched] {
            matched += 1;
            if matched == PASTE_END.len() {
                return self.paste(&bytes);
            }
        } else {
            let room = LONGEST_PASTE.saturating_sub(bytes.len());
            let kept = &PASTE_END[..matched.min(room)];
            bytes.extend(kept);
            matched = usize::from(byte == ESC);
            if matched == 0 && bytes.len() < LONGEST_PASTE {
                bytes.push(byte);
            }
        }
        self.state = State::Paste(bytes, matched);
    }
}

/// Does something begin with an escape and `byte` that is no key pressed together with alt?
fn opens(byte: u8) -> bool {
    byte == b'[' || byte == b'O' || StringKind::opened_by(byte).is_some()
}

/// After something was given up: do `bytes`, which came in one piece, go on with it? A key comes alone.
fn is_rest(state: &State, bytes: &[u8]) -> bool {
    let is_printable = |bytes: &[u8]| bytes.iter().all(|&byte| byte >= 0x20 && byte != 0x7f);
    match state {
        State::Escape => is_rest_of_reply(bytes),
        State::String { escape: true, .. } => bytes.first() == Some(&b'\\'),
        State::String { .. } => match bytes
            .iter()
            .position(|byte| [ESC, BEL, 0x9c].contains(byte))
        {
            Some(end) => is_printable(&bytes[..end]),
            None => bytes.len() >= MANY && is_printable(bytes),
        },
        State::Sequence(before) => {
            let parameters = bytes.iter().take_while(|byte| (0x20..0x40).contains(*byte));
            let end = bytes.get(parameters.count());
            let ends = end.is_some_and(|byte| (0x40..0x7f).contains(byte));
            // A key is one byte. So may be the end of a reply, which is known by its mark.
            let is_marked = before.first().is_some_and(|mark| b"?>=".contains(mark));
            let is_reply = is_marked && end.is_some_and(|byte| b"cnyuSRtx".contains(byte));
            ends && (bytes.len() > 1 || is_reply)
        }
        State::Paste(..) => {
            bytes.len() >= MANY
                || bytes
                    .windows(PASTE_END.len())
                    .any(|window| window == PASTE_END)
        }
        _ => false,
    }
}

/// Is this a reply without the escape that it began with, or the beginning of one?
fn is_rest_of_reply(bytes: &[u8]) -> bool {
    // Two keys that were typed at once, unless it is the focus.
    if bytes.len() < 3 && ![b"[I", b"[O"].contains(&bytes.first_chunk().unwrap_or(b"  ")) {
        return false;
    }
    let mut parser = Parser {
        state: State::Escape,
        ..Parser::default()
    };
    for &byte in bytes {
        parser.take(byte);
        if matches!(parser.state, State::Ground) {
            return !parser.read.iter().any(|read| matches!(read, Input::Key(_)));
        }
    }
    match parser.state {
        State::String { kind, bytes, .. } => kind != StringKind::Other && bytes.len() > 1,
        State::Sequence(bytes) => bytes.len() > 2 || bytes.first() == Some(&b'?'),
        _ => false,
    }
}

//! The program in a real pseudo-terminal.
#![cfg(unix)]

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

/// Columns and rows.
const SIZE: (u16, u16) = (100, 30);

const PROGRAM: &str = env!("CARGO_BIN_EXE_diffuscope");

/// A program in a terminal of which everything is known.
struct Session {
    terminal: Arc<Pty>,
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Session {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let (columns, rows) = SIZE;
        let (terminal, inside) = open().unwrap();
        terminal.resize(Size::new(rows, columns)).unwrap();
        let mut command = Command::new(program)
            .args(arguments)
            .env("TERM", "xterm-256color")
            // What the keys do is said in the locale's language.
            .env("LC_ALL", "C");
        for variable in [
            "NO_COLOR",
            "TMUX",
            "STY",
            "TERM_PROGRAM",
            "KITTY_WINDOW_ID",
            "LC_TERMINAL",
        ] {
            command = command.env_remove(variable);
        }
        let child = command.spawn(inside).unwrap();
        let (tall, wide) = vt100_size(SIZE);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(tall, wide, 0)));
        let terminal = Arc::new(terminal);
        let (output, shared) = (Arc::clone(&terminal), Arc::clone(&screen));
        thread::spawn(move || {
            let mut bytes = [0; 16384];
            while let Ok(count @ 1..) = (&*output).read(&mut bytes) {
                shared.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self {
            terminal,
            child,
            screen,
        }
    }

    /// Gives the window another size, as a terminal does.
    fn resize(&self, (columns, rows): (u16, u16)) {
        let (tall, wide) = vt100_size((columns, rows));
        let mut screen = self.screen.lock().unwrap();
        screen.screen_mut().set_size(tall, wide);
        self.terminal.resize(Size::new(rows, columns)).unwrap();
    }

    /// Sends the program a signal, by its name.
    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args(["-s", name, &id]).status().unwrap().success());
    }

    fn press(&self, keys: &str) {
        (&*self.terminal).write_all(keys.as_bytes()).unwrap();
    }

    fn contents(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until `words` stand on the screen; answers how long that took.
    fn until(&self, words: &str, patience: Duration) -> Duration {
        let start = Instant::now();
        while !self.contents().contains(words) {
            assert!(
                start.elapsed() < patience,
                "{words:?} never came:\n{}",
                self.contents()
            );
            thread::sleep(Duration::from_micros(500));
        }
        start.elapsed()
    }

    /// Waits for the program's end and answers its exit code.
    fn end(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it wrote last is still on its way.
                thread::sleep(Duration::from_millis(200));
                return status.code();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Rows and columns, as the library that reads the screen wants them.
fn vt100_size((columns, rows): (u16, u16)) -> (NonZeroU16, NonZeroU16) {
    let length = |length| NonZeroU16::new(length).unwrap();
    (length(rows), length(columns))
}

#[test]
fn the_inspector_draws_a_picture_and_gives_the_terminal_back() {
    // A shell says what the terminal's settings are before and after.
    let script = "echo before $(stty -g | cksum); \"$0\" --steps 3; code=$?; echo after $(stty -g | cksum), exit $code";
    let mut session = Session::start("sh", &["-c", script, PROGRAM]);
    session.until("diffuscope", Duration::from_secs(30));
    session.until("✓ in", Duration::from_mins(3));
    session.press("9");
    session.until("the picture", Duration::from_secs(10));
    {
        let parser = session.screen.lock().unwrap();
        let screen = parser.screen();
        assert!(screen.alternate_screen() && screen.hide_cursor() && screen.bracketed_paste());
        let cells = (0..SIZE.1).flat_map(|row| (0..SIZE.0).map(move |column| (row, column)));
        let halves = cells.filter(|&(row, column)| {
            screen
                .cell(row, column)
                .is_some_and(|cell| cell.contents() == "▀")
        });
        assert!(halves.count() > 200, "there is no picture");
    }
    // Paste, with a control character in it, reaches the prompt as text and does nothing else.
    session.press("p\x15\x1b[200~a red\napple q\x1b[201~");
    session.until("a red apple q", Duration::from_secs(10));
    // The last row is written last: escape and the next key must not arrive as one.
    session.until("esc back", Duration::from_secs(10));
    session.press("\x1b");
    session.until("q quit", Duration::from_secs(10));
    session.press("q");
    assert_eq!(session.end(), Some(0));
    let parser = session.screen.lock().unwrap();
    let screen = parser.screen();
    assert!(!screen.alternate_screen(), "still on the alternate screen");
    assert!(!screen.hide_cursor(), "the cursor is hidden");
    assert!(!screen.bracketed_paste(), "paste is still bracketed");
    let contents = screen.contents();
    let lines: Vec<&str> = contents.lines().map(str::trim).collect();
    let [before, after] = lines[..] else {
        panic!("something else was left on the screen:\n{contents}");
    };
    let settings = before.strip_prefix("before ").unwrap();
    assert_eq!(after, format!("after {settings}, exit 0"));
}

#[test]
fn quitting_while_the_model_works_is_immediate() {
    let mut session = Session::start(PROGRAM, &["--steps", "500"]);
    session.until("a step", Duration::from_mins(2));
    let start = Instant::now();
    session.press("\x03");
    assert_eq!(session.end(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!session.screen.lock().unwrap().screen().alternate_screen());
}

#[test]
fn a_terminate_signal_gives_the_terminal_back() {
    let mut session = Session::start(PROGRAM, &["--steps", "500"]);
    session.until("a step", Duration::from_mins(2));
    session.signal("TERM");
    session.end();
    let parser = session.screen.lock().unwrap();
    assert!(!parser.screen().alternate_screen() && !parser.screen().hide_cursor());
}

#[test]
fn a_key_asks_before_a_run_is_lost_and_a_signal_does_not() {
    let lose = || {
        let session = Session::start(PROGRAM, &["--steps", "2"]);
        session.until("✓ in", Duration::from_mins(2));
        session.press("r");
        session.until("run 2", Duration::from_secs(20));
        session.press("\x03");
        session.until("would be lost", Duration::from_secs(20));
        session
    };
    let mut session = lose();
    session.press("\x03");
    assert_eq!(session.end(), Some(0));
    let mut session = lose();
    session.press("\x1b");
    session.until("q quit", Duration::from_secs(20));
    session.signal("TERM");
    session.end();
    assert!(!session.screen.lock().unwrap().screen().alternate_screen());
}

#[test]
fn a_storm_of_resizes_ends_in_a_whole_screen() {
    let mut session = Session::start(PROGRAM, &["--steps", "500"]);
    session.until("a step", Duration::from_mins(2));
    for round in 0..40 {
        for size in [(200, 60), (20, 5), (1, 1), (80 + round, 24), (37, 11)] {
            session.resize(size);
        }
    }
    session.resize((20, 5));
    session.until("needs", Duration::from_secs(20));
    session.resize((80, 24));
    session.until("? keys  q quit", Duration::from_secs(20));
    // Nothing of the other sizes is left: every stage stands in its row, once.
    let contents = session.contents();
    for stage in ["Prompt", "Tokens", "Encoder", "Denoising", "Image"] {
        let lines = contents.lines().filter(|line| line.contains(stage));
        assert_eq!(lines.count(), 1, "{stage}:\n{contents}");
    }
    session.press("q");
    assert_eq!(session.end(), Some(0));
}

#[test]
fn it_sleeps_and_wakes_up_where_it_was() {
    let mut session = Session::start(PROGRAM, &["--steps", "3"]);
    session.until("✓ in", Duration::from_mins(2));
    session.press("6");
    session.until("How much noise", Duration::from_secs(10));
    let is_asleep = |session: &Session| {
        let id = session.child.id().to_string();
        let mut ps = std::process::Command::new("ps");
        let state = ps.args(["-o", "stat=", "-p", &id]).output().unwrap();
        state.stdout.starts_with(b"T")
    };
    session.press("\x1a");
    let start = Instant::now();
    while !is_asleep(&session) {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it does not sleep"
        );
        thread::sleep(Duration::from_millis(10));
    }
    {
        let parser = session.screen.lock().unwrap();
        assert!(!parser.screen().alternate_screen() && !parser.screen().hide_cursor());
    }
    session.signal("CONT");
    session.until("How much noise", Duration::from_secs(10));
    session.until("q quit", Duration::from_secs(10));
    assert!(session.screen.lock().unwrap().screen().alternate_screen());
    session.press("q");
    assert_eq!(session.end(), Some(0));
}

/// How long a key takes to reach the screen while the model works. Run it by hand, built for release:
/// `cargo test --release --test program terminal -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn latency_from_key_to_frame_while_generating() {
    let mut session = Session::start(PROGRAM, &["--steps", "1000"]);
    session.until("a step", Duration::from_mins(2));
    let views = [
        ("2", "always 77 of them"),
        ("3", "like vectors"),
        ("4", "tokens before it"),
        ("5", "A picture begins"),
        ("6", "down to none"),
        ("7", "takes part of it out"),
        ("8", "Bright is where"),
        ("9", "The autoencoder"),
    ];
    let mut times: Vec<Duration> = Vec::new();
    for round in 0..200 {
        let (key, words) = views[round % views.len()];
        thread::sleep(Duration::from_millis(37));
        let start = Instant::now();
        session.press(key);
        session.until(words, Duration::from_secs(10));
        times.push(start.elapsed());
    }
    assert!(session.contents().contains('▶'), "the run ended too early");
    times.sort();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    println!(
        "key to frame: p50 {:?}, p90 {:?}, p99 {:?}, worst {:?}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
    session.press("q");
    session.end();
    assert!(at(99) <= Duration::from_millis(50), "p99 is {:?}", at(99));
}

//! The program in a real pseudo-terminal.
#![cfg(unix)]

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const SIZE: (u16, u16) = (100, 30);

/// The program in a terminal of which everything is known.
struct Session {
    master: Box<dyn MasterPty + Send>,
    input: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Session {
    fn start(arguments: &[&str]) -> Self {
        let (cols, rows) = SIZE;
        let size = PtySize {
            rows,
            cols,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_diffuscope"));
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        for variable in [
            "NO_COLOR",
            "TMUX",
            "STY",
            "TERM_PROGRAM",
            "KITTY_WINDOW_ID",
            "LC_TERMINAL",
        ] {
            command.env_remove(variable);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let [tall, wide] = [rows, cols].map(|length| NonZeroU16::new(length).unwrap());
        let parser = vt100::Parser::new(tall, wide, 0);
        let screen = Arc::new(Mutex::new(parser));
        let mut output = pair.master.try_clone_reader().unwrap();
        let shared = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 65536];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shared.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self {
            input: pair.master.take_writer().unwrap(),
            master: pair.master,
            child,
            screen,
        }
    }

    fn press(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
        self.input.flush().unwrap();
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
    fn end(&mut self) -> u32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it wrote last is still on its way.
                thread::sleep(Duration::from_millis(200));
                return status.exit_code();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn the_inspector_draws_a_picture_and_gives_the_terminal_back() {
    let mut session = Session::start(&["--steps", "3"]);
    let echoes = |session: &Session| {
        let modes = session.master.get_termios().unwrap().local_flags;
        format!("{modes:?}")
    };
    session.until("diffuscope", Duration::from_secs(30));
    let raw = echoes(&session);
    assert!(!raw.contains("ECHO"), "{raw}");
    session.until("✓ in", Duration::from_secs(180));
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
    session.press("\x1b");
    session.until("q quit", Duration::from_secs(10));
    session.press("q");
    assert_eq!(session.end(), 0);
    let parser = session.screen.lock().unwrap();
    let screen = parser.screen();
    assert!(!screen.alternate_screen(), "still on the alternate screen");
    assert!(!screen.hide_cursor(), "the cursor is hidden");
    assert!(!screen.bracketed_paste(), "paste is still bracketed");
    assert_eq!(
        screen.contents().trim(),
        "",
        "something was left on the screen"
    );
}

#[test]
fn quitting_while_the_model_works_is_immediate() {
    let mut session = Session::start(&["--steps", "500"]);
    session.until("a step", Duration::from_secs(120));
    let start = Instant::now();
    session.press("\x03");
    assert_eq!(session.end(), 0);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!session.screen.lock().unwrap().screen().alternate_screen());
}

#[test]
fn a_terminate_signal_gives_the_terminal_back() {
    let mut session = Session::start(&["--steps", "500"]);
    session.until("a step", Duration::from_secs(120));
    let id = session.child.process_id().unwrap().to_string();
    let killed = std::process::Command::new("kill")
        .arg(&id)
        .status()
        .unwrap();
    assert!(killed.success());
    session.end();
    let parser = session.screen.lock().unwrap();
    assert!(!parser.screen().alternate_screen() && !parser.screen().hide_cursor());
}

/// How long a key takes to reach the screen while the model works. Run it by hand, built for release:
/// `cargo test --release --test terminal -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn latency_from_key_to_frame_while_generating() {
    let mut session = Session::start(&["--steps", "1000"]);
    session.until("a step", Duration::from_secs(120));
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

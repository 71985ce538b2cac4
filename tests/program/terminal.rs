//! The program in a real pseudo-terminal.
#![cfg(unix)]

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
    /// All that was written to the terminal.
    written: Arc<Mutex<Vec<u8>>>,
    /// Does the terminal read what is written to it?
    reads: Arc<AtomicBool>,
}

/// What a terminal is like.
#[derive(Default)]
struct Kind<'a> {
    /// Variables of the environment.
    environment: &'a [(&'a str, &'a str)],
    /// What it answers to the question for its attributes, which every terminal knows.
    answer: &'a str,
    folder: Option<&'a Path>,
}

impl Session {
    fn start(program: &str, arguments: &[&str]) -> Self {
        Self::start_in(&Kind::default(), program, arguments)
    }

    fn start_in(kind: &Kind, program: &str, arguments: &[&str]) -> Self {
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
            "COLORTERM",
            "TMUX",
            "STY",
            "TERM_PROGRAM",
            "KITTY_WINDOW_ID",
            "KONSOLE_VERSION",
            "LC_TERMINAL",
            "LANG",
        ] {
            command = command.env_remove(variable);
        }
        for (name, value) in kind.environment {
            command = command.env(name, value);
        }
        if let Some(folder) = kind.folder {
            command = command.current_dir(folder);
        }
        let child = command.spawn(inside).unwrap();
        let (tall, wide) = vt100_size(SIZE);
        let session = Self {
            terminal: Arc::new(terminal),
            child,
            screen: Arc::new(Mutex::new(vt100::Parser::new(tall, wide, 0))),
            written: Arc::default(),
            reads: Arc::new(AtomicBool::new(true)),
        };
        session.read(kind.answer.to_owned());
        session
    }

    /// Reads what is written to the terminal, and answers the question for its attributes.
    fn read(&self, answer: String) {
        let (terminal, screen) = (Arc::clone(&self.terminal), Arc::clone(&self.screen));
        let (written, reads) = (Arc::clone(&self.written), Arc::clone(&self.reads));
        thread::spawn(move || {
            let mut bytes = [0; 16384];
            let mut answers = 0;
            loop {
                while !reads.load(Relaxed) {
                    thread::sleep(Duration::from_millis(5));
                }
                let Ok(count @ 1..) = (&*terminal).read(&mut bytes) else {
                    return;
                };
                screen.lock().unwrap().process(&bytes[..count]);
                let mut written = written.lock().unwrap();
                written.extend(&bytes[..count]);
                let asked = written.windows(3).filter(|part| part == b"\x1b[c").count();
                while answers < asked {
                    answers += 1;
                    (&*terminal).write_all(answer.as_bytes()).unwrap();
                }
            }
        });
    }

    /// Does `wanted` stand in what was written?
    fn has_written(&self, wanted: &str) -> bool {
        let written = self.written.lock().unwrap();
        written
            .windows(wanted.len().max(1))
            .any(|part| part.starts_with(wanted.as_bytes()))
    }

    fn until_written(&self, wanted: &str) {
        wait_until(&format!("{wanted:?} is written"), || {
            self.has_written(wanted)
        });
    }

    /// Does it have the whole screen?
    fn is_full_screen(&self) -> bool {
        self.screen.lock().unwrap().screen().alternate_screen()
    }

    /// The process that this one, a shell, has started: the program, or the one above it.
    fn inner(&self) -> String {
        let mut ps = std::process::Command::new("ps");
        let ps = ps.args(["-A", "-o", "pid=,ppid="]).output().unwrap();
        let processes = String::from_utf8(ps.stdout).unwrap();
        let own = self.child.id().to_string();
        let mut pairs = processes.lines().map(str::split_whitespace);
        let inner = pairs.find_map(|mut pair| {
            let (id, parent) = (pair.next()?, pair.next()?);
            (parent == own).then(|| id.to_owned())
        });
        inner.expect("the shell has started something")
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
        signal(&self.child.id().to_string(), name);
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
        self.status().code()
    }

    /// Waits for the program's end.
    fn status(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it wrote last is still on its way.
                thread::sleep(Duration::from_millis(200));
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Sends a process a signal, by its name.
fn signal(id: &str, name: &str) {
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-s", name, id]).status().unwrap().success());
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it never came that {what}"
        );
        thread::sleep(Duration::from_millis(5));
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
    assert_eq!(session.end(), Some(128 + 15));
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
fn every_signal_that_ends_it_gives_the_terminal_back() {
    let script = "\"$0\" --steps 500; code=$?; stty -a | grep -o '[-]*icanon'; echo exit $code";
    for (name, number) in [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("USR1", 10),
        ("ALRM", 14),
    ] {
        let session = Session::start("sh", &["-c", script, PROGRAM]);
        session.until("a step", Duration::from_mins(2));
        signal(&session.inner(), name);
        if name == "USR1" {
            // Its number is another one on some systems.
            session.until("exit", Duration::from_secs(20));
        } else {
            session.until(&format!("exit {}", 128 + number), Duration::from_secs(20));
        }
        let parser = session.screen.lock().unwrap();
        let screen = parser.screen();
        assert!(
            !screen.alternate_screen() && !screen.hide_cursor(),
            "{name}"
        );
        assert!(screen.contents().contains("icanon"), "{name}");
        assert!(!screen.contents().contains("-icanon"), "{name}");
    }
}

#[test]
fn a_signal_ends_it_while_the_terminal_does_not_read() {
    let mut session = Session::start(PROGRAM, &["--steps", "3"]);
    session.until("✓ in", Duration::from_mins(2));
    session.reads.store(false, Relaxed);
    // More than a pseudo-terminal holds.
    for _ in 0..30 {
        session.press("789654");
        thread::sleep(Duration::from_millis(10));
    }
    session.signal("TERM");
    assert_eq!(session.end(), Some(128 + 15));
    // What it wrote last gives the terminal back, whatever was lost before.
    session.reads.store(true, Relaxed);
    wait_until("the terminal is given back", || {
        let parser = session.screen.lock().unwrap();
        !parser.screen().alternate_screen() && !parser.screen().hide_cursor()
    });
}

#[test]
fn a_storm_of_signals_leaves_a_live_screen() {
    let mut session = Session::start(PROGRAM, &["--steps", "3"]);
    session.until("✓ in", Duration::from_mins(2));
    for _ in 0..20 {
        for name in ["WINCH", "CONT", "WINCH"] {
            session.signal(name);
        }
    }
    session.press("6");
    session.until("How much noise", Duration::from_secs(20));
    session.until("q quit", Duration::from_secs(20));
    session.press("q");
    assert_eq!(session.end(), Some(0));
}

/// Whoever started it has told it to ignore them.
#[test]
fn signals_that_are_ignored_at_the_start_stay_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap '' HUP INT; \"$0\" run -p 'a cat' --steps 100 --png cat.png & \
                  sleep 0.5; kill -HUP $!; kill -INT $!; wait $!";
    let mut command = std::process::Command::new("sh");
    let output = command.args(["-c", script, PROGRAM]);
    let output = output.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(folder.path().join("cat.png").is_file());
    // Of the others it still hears.
    let script =
        "\"$0\" run -p 'a cat' --steps 1000 --png dog.png & sleep 0.5; kill -TERM $!; wait $!";
    let mut command = std::process::Command::new("sh");
    let output = command.args(["-c", script, PROGRAM]);
    let output = output.current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 15), "{output:?}");
    assert!(!folder.path().join("dog.png").exists());
}

/// What terminals answer when they are asked for their colours, attributes, versions and places.
const REPLIES: &str = "\x1b]11;rgb:1c1c/2b2b/3e3e\x1b\\\x1b]4;1;rgb:cccc/0000/0000\x07\x1b[?62;4;22c\x1b[>41;354;0c\
    \x1bP>|WezTerm 20240203-110809\x1b\\\x1b[?2026;2$y\x1b[12;40R\x1b[I\x1b[O\x1b_Gi=7;OK\x1b\\\x1b[?0u\
    \x1b[?997;1n\x1b[4;800;1200t\x1b[48;40;120;800;1200t";

#[test]
fn late_replies_of_the_terminal_are_no_keys() {
    let mut session = Session::start(PROGRAM, &["--steps", "3"]);
    session.until("✓ in", Duration::from_mins(2));
    session.until("q quit", Duration::from_secs(10));
    let before = session.contents();
    // In one piece, and in two with a pause between them.
    session.press(REPLIES);
    for cut in [8, 60, 75] {
        let (first, rest) = REPLIES.split_at(cut);
        session.press(first);
        thread::sleep(Duration::from_millis(150));
        session.press(rest);
    }
    thread::sleep(Duration::from_millis(300));
    assert_eq!(session.contents(), before);
    // While a prompt is typed.
    session.press("p");
    session.until("esc back", Duration::from_secs(10));
    session.press(&format!("{REPLIES} red{REPLIES} hat"));
    session.until("horse red hat", Duration::from_secs(10));
    session.press("\x1b");
    session.until("q quit", Duration::from_secs(10));
    session.press("q");
    assert_eq!(session.end(), Some(0));
}

/// kitty by its environment, and whoever is there answers nothing: a terminal that was started from kitty.
#[test]
fn a_terminal_that_never_answers_keeps_nothing_waiting_and_loses_no_key() {
    let kind = Kind {
        environment: &[("TERM", "xterm-kitty"), ("KITTY_WINDOW_ID", "1")],
        ..Kind::default()
    };
    let arguments = ["--steps", "3", "--images", "pixels"];
    let mut session = Session::start_in(&kind, PROGRAM, &arguments);
    // Typed while it starts, before anything is drawn.
    session.press("6");
    session.until("How much noise", Duration::from_mins(2));
    // It says why there are no pixels.
    session.until("did not answer", Duration::from_secs(20));
    session.press("\x1b");
    wait_until("the message is closed", || {
        !session.contents().contains("did not answer")
    });
    session.press("q");
    assert_eq!(session.end(), Some(0));
}

#[test]
fn pictures_are_sent_in_the_way_that_the_terminal_has_said_it_knows() {
    let kitty = "\x1b_Gi=31;OK\x1b\\\x1b[?62c";
    let sixel = "\x1b[6;20;10t\x1b[?1;0;256S\x1b[?2;0;1000;1000S\x1b[?62;4;22c";
    let iterm = [("TERM_PROGRAM", "iTerm.app")];
    for (answer, environment, wanted, ending) in [
        (kitty, &[][..], "\x1b_Ga=T,f=100", "\x1b_Ga=d"),
        (sixel, &[], ";0q\"1;1;", ""),
        ("", &iterm, "\x1b]1337;File=inline=1", ""),
    ] {
        let kind = Kind {
            environment,
            answer,
            ..Kind::default()
        };
        let mut session = Session::start_in(&kind, PROGRAM, &["--steps", "3"]);
        session.until("✓ in", Duration::from_mins(2));
        session.press("9");
        session.until_written(wanted);
        session.press("6");
        session.until("How much noise", Duration::from_secs(10));
        session.until_written(ending);
        session.press("q");
        assert_eq!(session.end(), Some(0));
    }
    // Cells where that is what was asked for, and no question.
    let kind = Kind {
        answer: kitty,
        ..Kind::default()
    };
    let arguments = ["--steps", "3", "--images", "cells"];
    let mut session = Session::start_in(&kind, PROGRAM, &arguments);
    session.until("✓ in", Duration::from_mins(2));
    session.press("9q");
    assert_eq!(session.end(), Some(0));
    assert!(!session.has_written("\x1b_G"));
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_a_sentence() {
    for term in ["dumb", ""] {
        let kind = Kind {
            environment: &[("TERM", term)],
            ..Kind::default()
        };
        for arguments in [&["--steps", "3"][..], &["lesson", "tokens"]] {
            let mut session = Session::start_in(&kind, PROGRAM, arguments);
            assert_eq!(session.end(), Some(1), "{}", session.contents());
            session.until("move its cursor", Duration::from_secs(5));
            assert!(!session.has_written("\x1b["), "{}", session.contents());
        }
    }
}

#[test]
fn colours_are_those_that_the_terminal_has() {
    let screen = [
        ("TERM", "screen"),
        ("COLORTERM", "truecolor"),
        ("STY", "1.pts-0.here"),
    ];
    for (environment, arguments, has, has_not) in [
        (&screen[..], &[][..], "38;5;", "38;2;"),
        (&[("COLORTERM", "truecolor")], &[], "38;2;", "38;5;"),
        (
            &[("COLORTERM", "truecolor")],
            &["--colours", "16"],
            "[3",
            "8;5;",
        ),
        (
            &[("COLORTERM", "truecolor")],
            &["--colours", "none"],
            "the picture",
            "8;5;",
        ),
        (
            &[("NO_COLOR", "1")],
            &["--colours", "truecolour"],
            "38;2;",
            "38;5;",
        ),
    ] {
        let kind = Kind {
            environment,
            ..Kind::default()
        };
        let arguments = [&["--steps", "3"], arguments].concat();
        let mut session = Session::start_in(&kind, PROGRAM, &arguments);
        session.until("✓ in", Duration::from_mins(2));
        session.press("9");
        session.until("the picture", Duration::from_secs(10));
        session.until_written(has);
        assert!(
            !session.has_written(has_not),
            "{environment:?} {arguments:?}"
        );
        session.press("q");
        assert_eq!(session.end(), Some(0));
    }
}

#[test]
fn the_mouse_is_taken_unless_it_is_not_to_be() {
    for (choice, taken) in [("on", true), ("off", false)] {
        let mut session = Session::start(PROGRAM, &["--steps", "3", "--mouse", choice]);
        session.until("✓ in", Duration::from_mins(2));
        assert_eq!(session.has_written("\x1b[?1000h"), taken);
        session.press("q");
        assert_eq!(session.end(), Some(0));
    }
}

/// However long nothing has happened before.
#[test]
fn that_something_is_saved_is_said_at_once_and_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let kind = Kind {
        folder: Some(folder.path()),
        ..Kind::default()
    };
    let mut session = Session::start_in(&kind, PROGRAM, &["--steps", "3"]);
    session.until("✓ in", Duration::from_mins(2));
    thread::sleep(Duration::from_secs(7));
    session.press("s");
    session.until("✓ saved", Duration::from_secs(3));
    thread::sleep(Duration::from_secs(3));
    assert!(session.contents().contains("✓ saved"));
    session.press("q");
    assert_eq!(session.end(), Some(0));
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

/// A shell with job control, at its prompt.
fn shell() -> Session {
    let kind = Kind {
        environment: &[("PS1", "ready> ")],
        ..Kind::default()
    };
    let session = Session::start_in(&kind, "bash", &["--norc", "--noprofile", "-i"]);
    session.until("ready>", Duration::from_secs(20));
    session
}

#[test]
fn it_sleeps_and_wakes_up_where_it_was() {
    let plain = format!("{PROGRAM} --steps 3\r");
    let wrapped = format!("sh -c '{PROGRAM} --steps 3; true'\r");
    let in_pipe = format!("sh -c 'cat /dev/null | {PROGRAM} --steps 3; true'\r");
    for command in [plain, wrapped, in_pipe] {
        let session = shell();
        session.press(&command);
        session.until("✓ in", Duration::from_mins(2));
        session.press("6");
        session.until("How much noise", Duration::from_secs(10));
        session.press("\x1a");
        wait_until("the shell has its screen", || !session.is_full_screen());
        session.until("Stopped", Duration::from_secs(10));
        assert!(!session.screen.lock().unwrap().screen().hide_cursor());
        session.press("fg\r");
        wait_until("it is back", || session.is_full_screen());
        session.until("How much noise", Duration::from_secs(10));
        session.press("2");
        session.until("always 77 of them", Duration::from_secs(10));
        session.press("q");
        wait_until("it is gone", || !session.is_full_screen());
        session.press("echo alive $?\r");
        session.until("alive 0", Duration::from_secs(10));
    }
}

#[test]
fn stopped_from_outside_it_comes_back_to_a_live_screen() {
    for name in ["TSTP", "STOP"] {
        let session = shell();
        session.press(&format!("{PROGRAM} --steps 3\r"));
        session.until("✓ in", Duration::from_mins(2));
        signal(&session.inner(), name);
        session.until("Stopped", Duration::from_secs(20));
        // Nobody can give the screen back on SIGSTOP.
        assert!(name == "STOP" || !session.is_full_screen());
        session.press("fg\r");
        session.until("q quit", Duration::from_secs(10));
        assert!(session.is_full_screen());
        session.press("6");
        session.until("How much noise", Duration::from_secs(10));
        session.press("q");
        wait_until("it is gone", || !session.is_full_screen());
        session.press("echo alive $?\r");
        session.until("alive 0", Duration::from_secs(10));
    }
}

/// A window in which nothing else runs could never be woken up.
#[test]
fn without_a_shell_it_says_that_it_cannot_sleep() {
    let mut session = Session::start(PROGRAM, &["--steps", "3"]);
    session.until("✓ in", Duration::from_mins(2));
    session.press("\x1a");
    session.until("does not sleep here", Duration::from_secs(10));
    session.press("\x1b");
    wait_until("the message is closed", || {
        !session.contents().contains("does not sleep here")
    });
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

//! A user at the inspector, on a real run of the embedded model: presses keys, waits for the worker, looks at the screen.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::generation::{DeviceChoice, Pipeline, RequestPatch};
use diffuscope::scheduler::SchedulerKind;
use diffuscope::trace::AttentionMaps;
use diffuscope::tui::keys;
use diffuscope::tui::state::App;
use diffuscope::tui::state::action::Action;
use diffuscope::tui::ui::screen;
use diffuscope::tui::ui::theme::{Colours, Theme};
use diffuscope::tui::worker::{Loader, Opened, Worker};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

pub const PROMPT: &str = "a photograph of an astronaut riding a horse";

/// Columns and rows of the screen on which lessons are scrolled.
const SIZE: (u16, u16) = (80, 24);

/// The inspector and its worker.
pub struct Session {
    pub app: App,
    pub worker: Worker,
}

impl Session {
    pub fn start(loader: Loader, prompt: &str, steps: usize) -> Self {
        let request = RequestPatch {
            prompt: Some(prompt.to_owned()),
            steps: Some(steps),
            guidance_scale: Some(5.0),
            scheduler: Some(SchedulerKind::Lms),
            ..RequestPatch::default()
        };
        Self {
            app: App::new(64 << 20),
            worker: Worker::spawn(loader, request).unwrap(),
        }
    }

    /// Runs until `reached`, which must happen within five minutes.
    pub fn until(mut self, reached: impl Fn(&App) -> bool) -> Self {
        let start = Instant::now();
        while !reached(&self.app) {
            assert!(start.elapsed() < Duration::from_mins(5), "it never came");
            if let Ok(update) = self.worker.updates.recv_timeout(Duration::from_millis(50)) {
                for command in self.app.apply(update) {
                    self.worker.send(command);
                }
                screen::settle_scroll(&mut self.app, SIZE);
            }
        }
        self
    }

    pub fn act(mut self, action: Action) -> Self {
        for command in self.app.update(action) {
            self.worker.send(command);
        }
        screen::settle_scroll(&mut self.app, SIZE);
        self
    }

    /// Presses a key, as the terminal reports it.
    pub fn press(self, code: KeyCode) -> Self {
        let event = KeyEvent::new(code, KeyModifiers::NONE);
        let action = keys::action(&self.app, event);
        self.act(action.unwrap_or_else(|| panic!("{code:?} does nothing here")))
    }

    /// Presses the keys of `words`, one after another.
    pub fn type_in(self, words: &str) -> Self {
        words
            .chars()
            .fold(self, |session, typed| session.press(KeyCode::Char(typed)))
    }
}

pub fn pipeline() -> Arc<Pipeline> {
    static PIPELINE: OnceLock<Arc<Pipeline>> = OnceLock::new();
    let load = || {
        let checkpoint = Checkpoint::open(&Source::Embedded).unwrap();
        Arc::new(Pipeline::load(&checkpoint, &DeviceChoice::Cpu.open().unwrap().0).unwrap())
    };
    Arc::clone(PIPELINE.get_or_init(load))
}

pub fn loader() -> Loader {
    Box::new(|_| {
        Ok(Opened {
            pipeline: pipeline(),
            note: None,
        })
    })
}

/// The attention maps at the cursor, and whether they have heads.
pub fn attention(app: &App) -> (&[AttentionMaps], bool) {
    let run = app.run();
    run.map_or((&[], false), |run| app.cursor.attention_maps(run))
}

pub fn has_picture(app: &App) -> bool {
    !app.is_busy() && app.run().is_some_and(|run| run.trace.image.is_some())
}

/// Is the lesson's page open, with its run, and its filters asked?
pub fn is_open(app: &App) -> bool {
    let reading = app.lesson.open.as_ref().unwrap();
    app.script.is_empty() && !app.is_busy() && reading.opened && reading.asked.is_none()
}

pub fn draw(app: &App, size: (u16, u16)) -> Buffer {
    draw_in(app, size, Colours::True)
}

/// On a terminal that shows `colours`.
pub fn draw_in(app: &App, (width, height): (u16, u16), colours: Colours) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let frame = |frame: &mut ratatui::Frame| {
        screen::render(frame.buffer_mut(), app, Theme::new(colours));
    };
    terminal.draw(frame).unwrap();
    terminal.backend().buffer().clone()
}

pub fn lines(buffer: &Buffer) -> Vec<String> {
    let rows = buffer.area.rows();
    rows.map(|row| {
        row.positions()
            .map(|place| buffer[place].symbol())
            .collect()
    })
    .collect()
}

pub fn text(app: &App, size: (u16, u16)) -> String {
    lines(&draw(app, size)).join("\n")
}

/// The column and row of `words`, which must be on the screen.
pub fn find(buffer: &Buffer, words: &str) -> (u16, u16) {
    let lines = lines(buffer);
    let found = lines.iter().enumerate().find_map(|(y, line)| {
        let index = line.find(words)?;
        Some((line[..index].chars().count() as u16, y as u16))
    });
    found.unwrap_or_else(|| panic!("{words:?} is not on the screen:\n{}", lines.join("\n")))
}

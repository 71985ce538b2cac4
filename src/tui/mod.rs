//! The inspector: a run in slow motion, full-screen.
//!
//! ```text
//!            keys ─────────────► Action ──► App::update ──► Task ─────► worker thread: model, recorder
//!  terminal        keys.rs                  state/                      worker/             │
//!            ◄── screen::render ◄──────────  App::apply ◄── Update ◄────────────────────────┘
//!                ui/
//! ```
//!
//! This thread owns the terminal: it alone reads keys and draws. It never waits for the model, redraws only when
//! something changed, and sleeps in between. [`state::App`] is all of its state and knows no terminal, so that tests
//! can drive it; `ui` reads the state and draws it, and the state knows nothing of `ui`.

pub(crate) mod keys;
pub(crate) mod not_finite;
mod options;
mod panics;
mod player;
pub(crate) mod state;
mod terminal;
pub(crate) mod ui;
pub(crate) mod worker;

use std::time::{Duration, Instant};

use anyhow::Context;
use crossterm::event::{self, Event, MouseButton, MouseEventKind};

pub use options::{ImageMode, Options};
pub(crate) use player::Player;

use crate::export::Replay;
use crate::lesson::{Language, Lesson};
use state::App;
use state::action::{Action, Typing};
use state::lesson::LessonState;
use terminal::Screen;
use ui::pixels::{self, Pixels};
use ui::screen;
use ui::theme::{Colours, Theme};
use worker::Worker;

/// How often the worker's updates are taken in while it is at something.
const BUSY: Duration = Duration::from_millis(25);
/// How often signals are looked for while nothing happens.
const IDLE: Duration = Duration::from_millis(500);
/// How often what depends on the time is drawn again.
const TICK: Duration = Duration::from_millis(80);

/// Opens the inspector and runs it until the user quits.
///
/// # Errors
/// Where the terminal cannot be used. A model that does not load is shown on the screen.
pub fn run(options: Options) -> anyhow::Result<()> {
    let mut app = App::new(options.attention_budget);
    app.lesson.language = Language::of_locale();
    app.export.plan = options.export;
    let worker = || Worker::spawn(options.loader, options.request);
    open(app, options.images, worker)
}

/// Opens the inspector with a lesson in it, and runs it until the user quits.
///
/// # Errors
/// As of [`run`].
pub fn read_lesson(
    options: Options,
    lesson_state: LessonState,
    lesson: Lesson,
) -> anyhow::Result<()> {
    let mut app = App::new(options.attention_budget).with_lessons(lesson_state);
    // The lesson says what is run.
    app.waits = true;
    app.begin(lesson);
    let worker = || Worker::spawn(options.loader, options.request);
    open(app, options.images, worker)
}

/// Opens a recorded run in the inspector, with as much of its attention in memory as fits `attention_budget` bytes.
///
/// # Errors
/// Where the terminal cannot be used. What cannot be read of the run is shown on the screen.
pub fn replay(replay: Replay, attention_budget: usize, images: ImageMode) -> anyhow::Result<()> {
    let mut app = App::new(attention_budget);
    app.lesson.language = Language::of_locale();
    open(app, images, || Worker::replay(replay))
}

/// Takes the terminal over, starts the worker and serves until the user quits.
fn open(
    app: App,
    images: ImageMode,
    start: impl FnOnce() -> std::io::Result<Worker>,
) -> anyhow::Result<()> {
    let mut screen = Screen::open().context("the terminal cannot be used for the inspector")?;
    let _panics = panics::install(terminal::restore);
    // Asks the terminal what it can do, and so comes before anything reads keys.
    let pixels = Pixels::new(pixels::printer(images));
    let worker = start().context("the worker cannot be started")?;
    let result = Inspector {
        app,
        theme: Theme::new(Colours::detect(|name| std::env::var(name).ok())),
        worker,
        pixels,
        start: Instant::now(),
        last_tick: Duration::ZERO,
    }
    .serve(&mut screen);
    drop(screen);
    result
}

struct Inspector {
    app: App,
    theme: Theme,
    worker: Worker,
    pixels: Pixels,
    start: Instant,
    last_tick: Duration,
}

impl Inspector {
    fn serve(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let mut changed = true;
        while !self.app.quit && !screen.is_terminated() {
            changed |= self.receive_updates(screen.size());
            if std::mem::take(&mut changed) {
                self.draw(screen)?;
            }
            self.pixels.print_settled(Instant::now());
            if event::poll(self.poll_timeout())? {
                // Everything that is there, before the next frame: a storm of resizes costs one.
                loop {
                    changed |= self.handle(&event::read()?, screen.size());
                    if !event::poll(Duration::ZERO)? {
                        break;
                    }
                }
            }
            changed |= self.tick(screen.size());
            screen.capture_mouse(self.app.mouse)?;
            if std::mem::take(&mut self.app.suspend) {
                self.pixels.take_away();
                screen.suspend()?;
                self.pixels.forget(Instant::now());
                changed = true;
            }
        }
        self.pixels.take_away();
        Ok(())
    }

    /// Takes in what the worker has said; true if it said anything.
    fn receive_updates(&mut self, size: (u16, u16)) -> bool {
        let mut received = false;
        while let Ok(update) = self.worker.updates.try_recv() {
            received = true;
            for task in self.app.apply(update) {
                self.worker.send(task);
            }
            screen::settle_scroll(&mut self.app, size);
        }
        received
    }

    fn update(&mut self, action: Action, size: (u16, u16)) {
        for task in self.app.update(action) {
            self.worker.send(task);
        }
        screen::settle_scroll(&mut self.app, size);
    }

    fn draw(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let mut pictures = Vec::new();
        screen.draw(|buffer| pictures = screen::render(buffer, &self.app, self.theme))?;
        if self.pixels.frame(pictures, Instant::now()) {
            screen.clear()?;
            screen.draw(|buffer| {
                screen::render(buffer, &self.app, self.theme);
            })?;
        }
        Ok(())
    }

    /// How long nothing happens unless a key is pressed.
    fn poll_timeout(&self) -> Duration {
        let timeout = match (self.app.is_busy(), self.app.wants_ticks()) {
            (true, _) => BUSY,
            (false, true) => TICK,
            (false, false) => IDLE,
        };
        let due = self.pixels.due(Instant::now());
        due.map_or(timeout, |due| due.min(timeout))
    }

    /// True if the screen has changed.
    fn handle(&mut self, event: &Event, size: (u16, u16)) -> bool {
        let action = match event {
            Event::Key(key) => keys::action(&self.app, *key),
            Event::Mouse(mouse) => match mouse.kind {
                MouseEventKind::Down(MouseButton::Left)
                | MouseEventKind::Drag(MouseButton::Left) => {
                    screen::hit(&self.app, size, mouse.column, mouse.row)
                }
                MouseEventKind::ScrollUp => Some(Action::Up),
                MouseEventKind::ScrollDown => Some(Action::Down),
                _ => None,
            },
            Event::Paste(text) => {
                (self.app.mode.is_typed()).then(|| Action::Type(Typing::Insert(text.clone())))
            }
            Event::Resize(..) => {
                self.pixels.forget(Instant::now());
                return true;
            }
            _ => None,
        };
        let changes = action.is_some();
        if let Some(action) = action {
            self.update(action, size);
        }
        changes
    }

    fn tick(&mut self, size: (u16, u16)) -> bool {
        let now = self.start.elapsed();
        if !self.app.wants_ticks() || now < self.last_tick + TICK {
            return false;
        }
        self.last_tick = now;
        self.update(Action::Tick(now), size);
        true
    }
}

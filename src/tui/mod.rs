//! The inspector: a run in slow motion, full-screen.
//!
//! ```text
//!            keys ─────────────► Action ──► App::update ──► Task ─────► worker thread: model, recorder
//!  terminal        keys.rs                  state/                      worker/             │
//!            ◄── screen::render ◄──────────  App::apply ◄── Update ◄────────────────────────┘
//!                ui/
//! ```
//!
//! This thread owns the terminal: it alone draws. Keys, signals and what the worker says come to it through one channel
//! (`terminal::events`). It never waits for the model, redraws only when something changed, and sleeps in between.
//! [`state::App`] is all of its state and knows no terminal, so that tests can drive it; `ui` reads the state and draws
//! it, and the state knows nothing of `ui`.

pub(crate) mod errors;
pub(crate) mod keys;
pub(crate) mod not_finite;
pub(crate) mod notes;
mod options;
mod panics;
mod player;
pub(crate) mod state;
pub(crate) mod terminal;
pub(crate) mod ui;
pub(crate) mod worker;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

pub use options::{ImageMode, Options, ScreenOptions};
pub(crate) use player::Player;
pub use ui::theme::Colours;

use crate::export::Replay;
use crate::lesson::{Language, Lesson};
use state::action::{Action, Typing};
use state::lesson::LessonState;
use state::{App, Notice};
use terminal::{CELL_QUESTION, Event, Events, Facts, Input, Limits, Screen, Tmux};
use ui::pixels::{self, Choice, Environment, Pixels, WhyCells};
use ui::screen;
use ui::theme::Theme;
use worker::{Failure, Worker};

/// Frames do not follow sooner than that on what the worker says; on a key they do.
const FRAME: Duration = Duration::from_millis(25);
/// How often what depends on the time is drawn again.
const TICK: Duration = Duration::from_millis(80);
/// Nothing is waited for: no more than a round number.
const FOR_EVER: Duration = Duration::from_hours(1);

/// The program was asked to end by the signal of this number, or its terminal went away. The terminal was given back.
#[derive(Debug, thiserror::Error)]
#[error("ended by signal {0}")]
pub struct Ended(pub i32);

/// Opens the inspector and runs it until the user quits.
///
/// # Errors
/// Where the terminal cannot be used; [`Ended`]. A model that does not load is shown on the screen.
pub fn run(options: Options) -> anyhow::Result<()> {
    let mut app = App::new(options.screen.attention_budget);
    app.lesson.language = Language::of_locale();
    app.export.plan = options.export;
    let worker = || Worker::spawn(options.loader, options.request);
    open(app, options.screen, worker)
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
    let mut app = App::new(options.screen.attention_budget).with_lessons(lesson_state);
    // The lesson says what is run.
    app.waits = true;
    app.begin(lesson);
    let worker = || Worker::spawn(options.loader, options.request);
    open(app, options.screen, worker)
}

/// Opens a recorded run in the inspector.
///
/// # Errors
/// As of [`run`]. What cannot be read of the run is shown on the screen.
pub fn replay(replay: Replay, options: ScreenOptions) -> anyhow::Result<()> {
    let mut app = App::new(options.attention_budget);
    app.lesson.language = Language::of_locale();
    open(app, options, || Worker::replay(replay))
}

/// Takes the terminal over, starts the worker and serves until the user quits.
fn open(
    mut app: App,
    options: ScreenOptions,
    start: impl FnOnce() -> std::io::Result<Worker>,
) -> anyhow::Result<()> {
    let variable = |name: &str| std::env::var(name).ok();
    let colours = options.colours.unwrap_or_else(|| Colours::detect(variable));
    // Decided here: the library would look at the environment again.
    crossterm::style::force_color_output(colours != Colours::None);
    app.mouse = options.mouse;

    let mut screen = Screen::open(colours == Colours::Sixteen)
        .context("the terminal cannot be used for the inspector")?;
    let _panics = panics::install(terminal::restore);
    let mut events = Events::listen().context("the terminal cannot be read")?;
    let mut worker = start().context("the worker cannot be started")?;
    let tell = events.sender();
    worker.forward(move |update| tell(Event::Update(update)))?;

    let now = Instant::now();
    let mut inspector = Inspector {
        app,
        worker,
        theme: Theme::new(colours),
        images: options.images,
        environment: Environment::detect(variable),
        facts: Facts::new(now),
        pixels: Pixels::new(None),
        choice: Choice::Undecided,
        unsaid: None,
        limits: Limits::default(),
        start: now,
        last_tick: Duration::ZERO,
        last_frame: now,
        redraw: Some(now),
    };
    let result = inspector.serve(&mut screen, &mut events);
    events.pause();
    drop(inspector);
    drop(screen);
    match events.ended() {
        Some(signal) => Err(Ended(signal).into()),
        None => result,
    }
}

struct Inspector {
    app: App,
    worker: Worker,
    theme: Theme,
    images: ImageMode,
    environment: Environment,
    /// What is known of the terminal.
    facts: Facts,
    pixels: Pixels,
    /// What pictures are drawn with.
    choice: Choice,
    /// Why there are no pixels, where that is to be said.
    unsaid: Option<WhyCells>,
    /// What pictures have to keep to.
    limits: Limits,
    start: Instant,
    last_tick: Duration,
    last_frame: Instant,
    /// When the next frame is to be drawn, if one is.
    redraw: Option<Instant>,
}

impl Inspector {
    fn serve(&mut self, screen: &mut Screen, events: &mut Events) -> anyhow::Result<()> {
        self.ask(screen, events)?;
        while !self.app.quit {
            if self.redraw.is_some_and(|due| due <= Instant::now()) {
                self.draw(screen)?;
            }
            self.pixels.print_settled(Instant::now());
            let mut event = events.wait(self.patience());
            if events.ended().is_some() {
                break;
            }
            // Everything that is there, before the next frame: a storm of resizes costs one. What never ends is broken
            // off, so that it is seen.
            let begin = Instant::now();
            while let Some(happened) = event {
                self.handle(happened, screen)?;
                let goes_on = !self.app.quit && begin.elapsed() < FRAME;
                event = goes_on.then(|| events.poll()).flatten();
            }
            self.tick(screen.size());
            self.choose_pixels(screen.size());
            self.say_why();
            screen.capture_mouse(self.app.mouse)?;
            if std::mem::take(&mut self.app.suspend) {
                self.suspend(screen, events)?;
            }
        }
        self.pixels.take_away();
        Ok(())
    }

    /// Asks what the terminal can do. Nothing waits for the answer, which comes among the keys, or does not.
    fn ask(&mut self, screen: &mut Screen, events: &Events) -> anyhow::Result<()> {
        self.facts.measure();
        self.measure(screen.size());
        let asks_for_pictures = self.images != ImageMode::Cells && self.environment.may_be_asked();
        // Elsewhere an answer could not be told from keys.
        if cfg!(unix) {
            screen.ask(&Facts::question(asks_for_pictures))?;
        }
        if self.environment.tmux && self.images != ImageMode::Cells {
            let tell = events.sender();
            let ask = move || tell(Event::Tmux(Tmux::ask().unwrap_or_default()));
            thread::Builder::new().name("tmux".into()).spawn(ask)?;
        }
        Ok(())
    }

    /// Sees how large cells are, and what else pictures have to keep to.
    fn measure(&mut self, size: (u16, u16)) {
        let limits = self.facts.limits(size);
        if limits != self.limits {
            self.limits = limits;
            self.theme = self.theme.with_cell(limits.cell);
            self.pixels.change_limits(limits, Instant::now());
            self.redraw_now();
        }
    }

    /// Decides what pictures are drawn with, when there is news of the terminal or it does not answer.
    fn choose_pixels(&mut self, size: (u16, u16)) {
        self.measure(size);
        let now = Instant::now();
        let known = (self.limits.cell.is_some(), self.theme.is_monochrome());
        let choice = pixels::choose(self.images, self.environment, &self.facts, known, now);
        if choice == self.choice {
            return;
        }
        self.choice = choice;
        let printer = match choice {
            Choice::Pixels(protocol) => Some(pixels::printer(protocol)),
            Choice::Undecided | Choice::Cells(_) => None,
        };
        self.pixels.change_printer(printer, now);
        self.redraw_now();
        self.unsaid = match choice {
            Choice::Cells(why) if self.images == ImageMode::Pixels => Some(why),
            _ => None,
        };
    }

    /// Says why there are no pixels to whoever asked for them; not before a run has begun, which closes messages.
    fn say_why(&mut self) {
        let has_begun = self.app.run().is_some();
        if let Some(why) = self.unsaid.take_if(|_| has_begun) {
            let failure = Failure::new(why.what(), why.advice());
            self.app.notice = Some(Notice::Failed(failure));
            self.redraw_now();
        }
    }

    fn update(&mut self, action: Action, size: (u16, u16)) {
        self.app.clock = self.start.elapsed();
        for task in self.app.update(action) {
            self.worker.send(task);
        }
        screen::settle_scroll(&mut self.app, size);
        self.redraw_now();
    }

    fn redraw_now(&mut self) {
        self.redraw = Some(Instant::now());
    }

    fn draw(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        self.redraw = None;
        self.last_frame = Instant::now();
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

    /// How long nothing happens unless something comes.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let until = |due: Instant| due.saturating_duration_since(now);
        let undecided = self.choice == Choice::Undecided;
        let waits = [
            self.app.wants_ticks().then_some(TICK),
            self.pixels.due(now),
            self.redraw.map(until),
            self.facts.settle_at().filter(|_| undecided).map(until),
        ];
        waits.into_iter().flatten().min().unwrap_or(FOR_EVER)
    }

    fn handle(&mut self, event: Event, screen: &mut Screen) -> anyhow::Result<()> {
        let size = screen.size();
        match event {
            Event::Input(input) => self.take_input(input, screen)?,
            Event::Update(update) => self.apply(update, size),
            Event::Tmux(answer) => self.facts.tmux = Some(Tmux::read(&answer)),
            Event::Resized => {
                self.facts.measure();
                if self.facts.are_told() {
                    screen.ask(CELL_QUESTION)?;
                }
                self.measure(size);
                self.pixels.forget(Instant::now());
                self.redraw_now();
            }
            Event::Stopped => self.app.suspend = true,
            Event::Continued => {
                screen.resume()?;
                self.pixels.forget(Instant::now());
                self.redraw_now();
            }
        }
        Ok(())
    }

    /// Takes in what the worker says.
    fn apply(&mut self, update: worker::Update, size: (u16, u16)) {
        self.app.clock = self.start.elapsed();
        for task in self.app.apply(update) {
            self.worker.send(task);
        }
        screen::settle_scroll(&mut self.app, size);
        self.redraw.get_or_insert(self.last_frame + FRAME);
    }

    fn take_input(&mut self, input: Input, screen: &mut Screen) -> anyhow::Result<()> {
        let size = screen.size();
        let action = match input {
            Input::Key(key) => keys::action(&self.app, key),
            Input::Mouse(mouse) => self.pointed_at(mouse, size),
            Input::Paste(text) => {
                (self.app.mode.is_typed()).then_some(Action::Type(Typing::Insert(text)))
            }
            Input::Reply(reply) => {
                screen.ask(self.facts.take(reply, size))?;
                None
            }
        };
        if let Some(action) = action {
            self.update(action, size);
        }
        Ok(())
    }

    fn pointed_at(&self, mouse: MouseEvent, size: (u16, u16)) -> Option<Action> {
        match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left) => {
                let place = (mouse.column, mouse.row);
                screen::hit(&self.app, size, place, self.theme)
            }
            MouseEventKind::ScrollUp => Some(Action::Up),
            MouseEventKind::ScrollDown => Some(Action::Down),
            _ => None,
        }
    }

    fn tick(&mut self, size: (u16, u16)) {
        let now = self.start.elapsed();
        if self.app.wants_ticks() && now >= self.last_tick + TICK {
            self.last_tick = now;
            self.update(Action::Tick(now), size);
        }
    }

    /// Puts the program to sleep.
    fn suspend(&mut self, screen: &mut Screen, events: &mut Events) -> anyhow::Result<()> {
        self.pixels.take_away();
        events.pause();
        let slept = screen.suspend()?;
        events.resume()?;
        if !slept {
            let failure = Failure::new(
                ["The program does not sleep here", "程序在这里不能挂起"],
                [
                    "No shell has started it that could wake it up.",
                    "没有能够唤醒它的 shell。",
                ],
            );
            self.app.notice = Some(Notice::Failed(failure));
        }
        self.facts.measure();
        self.pixels.forget(Instant::now());
        self.redraw_now();
        Ok(())
    }
}

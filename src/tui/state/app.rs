//! What there is on the screen and behind it: parts that own their rules, and what goes on between them.

use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Typing};
use super::charts::Charts;
use super::cursor::{Cursor, View};
use super::destination::Destination;
use super::detail::ImagePart;
use super::editor::Editor;
use super::export_menu::ExportMenu;
use super::help::Help;
use super::lesson::LessonState;
use super::line::{InputLine, LineEditor};
use super::requests::Requests;
use super::run::RunState;
use super::run_list::RunList;
use super::runs::{By, Runs};
use super::script::Script;
use super::variants::Variants;
use super::watches::{WatchList, WatchMenu};
use crate::generation::{ModelInfo, Request};
use crate::lesson::Depth;
use crate::model::tokenizer::ClipTokenizer;
use crate::tui::worker::{Command, Failure, Task, Update, Work};

/// How long a step is shown when a finished run is played back.
pub(super) const PLAYBACK: Duration = Duration::from_millis(160);
/// How long a message about something that went well is shown.
const NOTICE: Duration = Duration::from_secs(6);

#[derive(Debug, Clone, Default)]
pub enum Model {
    #[default]
    Loading,
    Ready(Arc<ModelInfo>),
    Failed(Failure),
}

/// Another model that is being opened.
#[derive(Debug, Clone)]
pub struct Opening {
    /// As `--model` names it.
    pub model: String,
    pub since: Duration,
    /// The form that asked for it.
    pub(super) form: Box<Editor>,
}

/// What the keys mean.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Mode {
    #[default]
    Browse,
    /// Editing the request: of a new run, or of a branch.
    Edit(Box<Editor>),
    Jump(InputLine),
    Help(Box<Help>),
    /// Choosing among the runs of this session.
    Runs(RunList),
    /// Choosing among the lessons: the row.
    Lessons(usize),
    Answer(LineEditor),
    /// Moving over the picture, to see what a place attends to.
    Place,
    /// Typing what becomes of the selected word's attention: a factor, or the word that it changes places with.
    Weight(InputLine),
    /// Typing what becomes of the selected module's output: `off`, or a factor.
    Patch(InputLine),
    /// Choosing what to write to a file: the row.
    Export(usize),
    /// Typing the name and the place of a file that is to be written.
    Destination(Box<Destination>),
    /// The watch expressions, or typing one.
    Watches(WatchMenu),
    /// Asked whether to quit, though runs would be lost; what was there before.
    Quit(Box<Mode>),
}

impl Mode {
    pub fn is_typed(&self) -> bool {
        match self {
            Self::Help(help) => help.is_searched,
            Self::Watches(menu) => menu.input.is_some(),
            Self::Edit(_)
            | Self::Jump(_)
            | Self::Weight(_)
            | Self::Patch(_)
            | Self::Answer(_)
            | Self::Destination(_) => true,
            _ => false,
        }
    }
}

/// A message in the footer.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Something went well; shown until the given time.
    Done(String, Duration),
    /// Something went wrong; shown until it is closed.
    Failed(Failure),
}

#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools)] // Independent of one another: no two of them are one state.
pub struct App {
    pub model: Model,
    /// The model that is being opened in the place of the one that is there.
    pub opening: Option<Opening>,
    pub recorded: bool,
    /// That of the model that is there, to find the words that a request names; a recording has none.
    pub(super) tokenizer: Option<Arc<ClipTokenizer>>,
    pub runs: Runs,
    pub cursor: Cursor,
    pub mode: Mode,
    pub lesson: LessonState,
    pub script: Script,
    pub export: ExportMenu,
    pub watches: WatchList,
    /// Does it wait, once the model is there, until it is told what to run?
    pub waits: bool,
    /// The explanation beside the view, if it is open.
    pub explain: Option<Depth>,
    pub notice: Option<Notice>,
    pub clock: Duration,
    /// What the worker is at, and since when.
    pub work: Option<(Work, Duration)>,
    /// Does the mouse select? Otherwise the terminal selects text with it.
    pub mouse: bool,
    pub quit: bool,
    pub suspend: bool,
    /// The view to go back to from the form of a run or a branch.
    pub(super) came_from: Option<View>,
    /// Until when the step on the screen is shown, while a finished run is played back.
    pub playback: Option<Duration>,
    pub(super) requests: Requests,
    pub variants: Variants,
    pub charts: Charts,
    /// The number of the newest query of a lesson's filters.
    pub(super) queries: u64,
    pub(super) tasks: Vec<Task>,
}

impl App {
    /// The state at the start: the model is being loaded. Attention maps of all runs may take so many bytes.
    pub fn new(attention_budget: usize) -> Self {
        Self {
            runs: Runs::new(attention_budget),
            mouse: true,
            ..Self::default()
        }
    }

    #[must_use]
    pub fn with_lessons(self, lesson: LessonState) -> Self {
        Self { lesson, ..self }
    }

    /// Carries out `action`; returns what the worker should do.
    pub fn update(&mut self, action: Action) -> Vec<Task> {
        if self.takes_over(&action) {
            self.script = Script::default();
        }
        match action {
            Action::Tick(clock) => self.tick(clock),
            Action::Quit => self.ask_to_quit(),
            Action::Suspend => self.suspend = true,
            action => self.act_in_mode(&action),
        }
        self.follow_up()
    }

    /// Takes in what the worker says; returns what it should do next.
    pub fn apply(&mut self, update: Update) -> Vec<Task> {
        self.take_in(update);
        self.follow_up()
    }

    /// Goes on with the lesson that is read, and asks for what the screen lacks.
    fn follow_up(&mut self) -> Vec<Task> {
        self.proceed();
        self.query_filters();
        self.query_watches();
        self.request_missing();
        self.make_variants();
        self.request_chart();
        if let Some(problem) = self.lesson.problem.take() {
            self.notice = Some(Notice::Failed(problem));
        }
        self.take_tasks()
    }

    /// What the worker should do, and has not been told yet.
    pub fn take_tasks(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.tasks)
    }

    /// Quits; where runs would be lost, it asks first, once.
    fn ask_to_quit(&mut self) {
        let is_asked = matches!(self.mode, Mode::Quit(_));
        if is_asked || self.runs.unsaved().next().is_none() {
            self.quit = true;
        } else {
            self.mode = Mode::Quit(Box::new(std::mem::take(&mut self.mode)));
        }
    }

    pub(super) fn send(&mut self, command: Command) {
        self.tasks.push(Task::Command(command));
    }

    /// Does the reader, with `action`, do something to a run, so that a lesson's script must not do any more to it?
    fn takes_over(&self, action: &Action) -> bool {
        match self.mode {
            Mode::Browse | Mode::Place => {
                matches!(action, Action::Run | Action::Cancel | Action::PlayPause)
            }
            Mode::Edit(_) | Mode::Weight(_) | Mode::Patch(_) => {
                *action == Action::Type(Typing::Submit)
            }
            Mode::Runs(_) => matches!(action, Action::Choose | Action::Delete),
            _ => false,
        }
    }

    /// Says for a while what was done, in the reader's language.
    pub(super) fn say<T: Into<String>>(&mut self, said: [T; 2]) {
        let said = self.lesson.language.choose(said).into();
        self.notice = Some(Notice::Done(said, self.clock + NOTICE));
    }

    fn tick(&mut self, clock: Duration) {
        self.clock = clock;
        if matches!(self.notice, Some(Notice::Done(_, until)) if until <= clock) {
            self.notice = None;
        }
        if self.playback.is_some_and(|until| until <= clock) {
            if self.newest() > Some(self.cursor.step) {
                self.cursor.step += 1;
                self.playback = Some(clock + PLAYBACK);
            } else {
                self.playback = None;
                self.cursor.follow = true;
            }
        }
    }

    /// Asks for what the screen would like to show at the cursor and does not have.
    fn request_missing(&mut self) {
        if self.playback.is_some() || (self.is_running() && self.cursor.follow) {
            return;
        }
        let is_sheet =
            self.cursor.view == View::Image && self.cursor.detail.image == ImagePart::Runs;
        let shown = if is_sheet {
            self.runs.together()
        } else {
            self.runs
                .current
                .iter()
                .chain(self.runs.compared())
                .collect()
        };
        let model = &self.model;
        let shown = shown
            .into_iter()
            .filter(|run| run.state != RunState::Failed && model.made(run));
        if self.requests.is_passed(shown.clone(), &self.cursor) && !self.is_advancing() {
            self.tasks.push(Task::Command(Command::Cancel));
            self.requests.forget_pending();
        }
        let request = self.requests.next(shown, &self.cursor);
        self.tasks.extend(request.map(Task::Command));
    }

    /// Opens another model, as the form says; where that fails, the form comes back as it was.
    pub(super) fn open_model(&mut self, model: String, request: Request, form: Box<Editor>) {
        self.opening = Some(Opening {
            model: model.clone(),
            since: self.clock,
            form,
        });
        self.send(Command::Open { model, request });
    }

    pub(super) fn start(&mut self, request: Request, by: By) {
        if let Model::Ready(info) = &self.model {
            let run = self.runs.start(request.clone(), Arc::clone(info), by);
            self.cursor.step = 0;
            self.turn_to_new_run(Command::Run { run, request });
        }
    }

    /// Leaves the run on the screen before `step`, and goes on as `request`.
    pub(super) fn branch(&mut self, step: usize, request: Request, by: By) {
        if let Some((run, parent)) = self.runs.branch(step, request.clone(), by) {
            self.turn_to_new_run(Command::Branch {
                run,
                parent,
                step,
                request,
            });
        }
    }

    fn turn_to_new_run(&mut self, command: Command) {
        self.requests.forget_pending();
        self.notice = None;
        self.turn_to_run();
        self.cursor.follow = true;
        while let Some((run, kept)) = self.runs.forget_oldest() {
            self.send(Command::Forget { run });
            self.say([
                format!("run {run} was forgotten: {kept} are kept"),
                format!("已忘记运行 {run}：保留 {kept} 个"),
            ]);
        }
        self.send(command);
    }

    pub(super) fn switch_to(&mut self, id: u64) {
        self.runs.switch_to(id);
        self.turn_to_run();
    }

    /// What belonged to the run before does not belong to the one that is on the screen now.
    fn turn_to_run(&mut self) {
        self.playback = None;
        self.work = None;
        self.cursor.step = self.cursor.step.min(self.newest().unwrap_or(0));
        self.with_run(|cursor, run| cursor.settle(run, false));
    }

    /// Tells the worker to do something with the run on the screen, which is then in `state`.
    pub(super) fn advance(&mut self, state: RunState, command: impl Fn(u64) -> Command) {
        if let Some(run) = &mut self.runs.current {
            run.state = state;
            let command = command(run.id);
            self.send(command);
        }
    }

    /// Lets the run go on, to its end or until the step `until` is the next one.
    pub(super) fn go_on(&mut self, until: Option<usize>) {
        self.cursor.follow = true;
        self.with_run(Cursor::follow);
        self.advance(RunState::Running, |run| Command::Play { run, until });
    }
}

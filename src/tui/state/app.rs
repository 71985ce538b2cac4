//! What there is on the screen and behind it: parts that own their rules, and what goes on between them.

use std::sync::Arc;
use std::time::Duration;

use super::action::{Action, Typing};
use super::cursor::{Cursor, View};
use super::editor::{Editor, LineEditor};
use super::export_menu::ExportMenu;
use super::lesson::{LessonState, Purpose, Seen};
use super::location::{run_json, selection};
use super::requests::{Requests, Wanted};
use super::run::{Run, RunState};
use super::runs::Runs;
use super::script::Script;
use crate::generation::{ModelInfo, Request};
use crate::lesson::{Depth, Lesson, RunJson};
use crate::trace::Event;
use crate::tui::worker::{Command, Failure, FilterQuery, Job, Pictures, Task, Update, Work};

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

/// What the keys mean.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Mode {
    #[default]
    Browse,
    /// Editing the request: of a new run, or of a branch.
    Edit(Box<Editor>),
    Jump(LineEditor),
    /// Reading the help, scrolled down by so many lines.
    Help(usize),
    /// Choosing among the runs of this session: the row.
    Runs(usize),
    /// Choosing among the lessons: the row.
    Lessons(usize),
    Answer(LineEditor),
    /// Moving over the picture, to see what a place attends to.
    Place,
    /// Typing what becomes of the selected word's attention: a factor, or the word that it changes places with.
    Weight(LineEditor),
    /// Choosing what to write to a file: the row.
    Export(usize),
}

impl Mode {
    pub fn is_typed(&self) -> bool {
        matches!(
            self,
            Self::Edit(_) | Self::Jump(_) | Self::Weight(_) | Self::Answer(_)
        )
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
    /// The model that is being opened in the place of the one that is there, and since when.
    pub opening: Option<(String, Duration)>,
    pub recorded: bool,
    pub runs: Runs,
    pub cursor: Cursor,
    pub mode: Mode,
    pub lesson: LessonState,
    pub script: Script,
    pub export: ExportMenu,
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
    /// The number of the newest query of a lesson's filters.
    queries: u64,
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
            Action::Quit => self.quit = true,
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
        self.request_missing();
        if let Some(problem) = self.lesson.problem.take() {
            self.notice = Some(Notice::Failed(problem));
        }
        self.take_tasks()
    }

    /// What the worker should do, and has not been told yet.
    pub fn take_tasks(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.tasks)
    }

    fn send(&mut self, command: Command) {
        self.tasks.push(Task::Command(command));
    }

    /// Does the reader, with `action`, do something to a run, so that a lesson's script must not do any more to it?
    fn takes_over(&self, action: &Action) -> bool {
        match self.mode {
            Mode::Browse | Mode::Place => {
                matches!(action, Action::Run | Action::Cancel | Action::PlayPause)
            }
            Mode::Edit(_) | Mode::Weight(_) => *action == Action::Type(Typing::Submit),
            Mode::Runs(_) => *action == Action::Choose,
            _ => false,
        }
    }

    fn take_in(&mut self, update: Update) {
        match update {
            Update::Loaded {
                info,
                request,
                note,
                recorded,
            } => {
                self.opening = None;
                self.model = Model::Ready(info);
                self.recorded = recorded;
                if std::mem::take(&mut self.waits) {
                    self.read(&Action::Reset);
                } else {
                    self.start(request);
                }
                if let Some(note) = note {
                    self.say(note);
                }
            }
            Update::LoadFailed(failure) if self.opening.take().is_some() => {
                self.notice = Some(Notice::Failed(failure));
            }
            Update::LoadFailed(failure) => self.model = Model::Failed(failure),
            Update::Branched { run, branches } => {
                if let Some(run) = self.runs.find_mut(run) {
                    run.trace.branches = branches;
                }
            }
            Update::Begins { run, work } => self.begin_work(run, work),
            Update::Recorded {
                run,
                event,
                pictures,
            } => self.record(run, event, pictures),
            Update::Paused { run, cancelled } if cancelled => {
                self.set_state(run, RunState::Cancelled);
            }
            Update::Paused { run, .. } => self.set_state(run, RunState::Paused),
            Update::Done { run } => {
                self.set_state(run, RunState::Done);
                let run = self.runs.find(run);
                let task = run.and_then(|run| self.export.write_first(run));
                self.tasks.extend(task);
            }
            Update::RunFailed { run, failure } => {
                self.set_state(run, RunState::Failed);
                self.fail(run, failure);
            }
            Update::Attention { run, key, maps } => {
                self.receive(run, Wanted::Attention(key), maps, |run, maps| {
                    run.keep_attention(key, maps);
                });
            }
            Update::Decoded { run, step, image } => {
                self.receive(run, Wanted::Decode(step), image, |run, image| {
                    run.decoded.insert(step, image);
                });
            }
            Update::Vocabulary {
                run,
                vocabulary,
                scheduler_config,
            } => {
                if let Some(run) = self.runs.find_mut(run) {
                    run.vocabulary = Some(vocabulary);
                    run.scheduler_config = Some(scheduler_config);
                }
            }
            Update::Evaluated { query, values } => self.lesson.take_values(query, values),
            Update::Saved(Ok(paths)) => {
                let paths = paths.iter().map(|path| path.display().to_string());
                self.say(format!("saved {}", paths.collect::<Vec<_>>().join(", ")));
            }
            Update::Saved(Err(failure)) => self.notice = Some(Notice::Failed(failure)),
        }
    }

    fn begin_work(&mut self, run: u64, work: Work) {
        if self.runs.is_current(run) {
            // The steps are one work: its time is that of all of them.
            let since = match (self.work, work) {
                (Some((Work::Step(_), since)), Work::Step(_)) => since,
                _ => self.clock,
            };
            self.work = Some((work, since));
        }
    }

    fn record(&mut self, id: u64, event: Event, pictures: Option<Pictures>) {
        let tokenized = matches!(event, Event::Tokens(_));
        let broken = match &event {
            Event::Step(step) => step.not_finite_message(),
            _ => None,
        };
        let Some(run) = self.runs.find_mut(id) else {
            return;
        };
        // Said once: all that follows is not finite either.
        let is_news = run.first_not_finite().is_none();
        run.record(event, pictures);
        self.runs.keep_to_budget();
        if self.runs.is_current(id)
            && let Some(run) = &self.runs.current
        {
            self.cursor.settle(run, tokenized);
            self.cursor.follow(run);
            if let (Some(what), true) = (broken, is_news) {
                let advice = "In f16 numbers can grow too large: try --dtype f32, or bf16.";
                self.notice = Some(Notice::Failed(Failure::new(what, advice)));
            }
        }
    }

    /// Takes in what was asked for; a failure is shown once.
    fn receive<T>(
        &mut self,
        id: u64,
        wanted: Wanted,
        result: Result<T, Failure>,
        keep: impl FnOnce(&mut Run, T),
    ) {
        self.requests.answered(id, wanted, result.is_err());
        if self.runs.is_current(id) {
            self.work = None;
        }
        match (result, self.runs.find_mut(id)) {
            (Ok(value), Some(run)) => keep(run, value),
            (Ok(_), None) => {}
            (Err(failure), _) => self.fail(id, failure),
        }
    }

    fn fail(&mut self, run: u64, failure: Failure) {
        if self.runs.is_current(run) {
            self.notice = Some(Notice::Failed(failure));
        }
    }

    pub(super) fn say(&mut self, what: impl Into<String>) {
        self.notice = Some(Notice::Done(what.into(), self.clock + NOTICE));
    }

    fn set_state(&mut self, id: u64, state: RunState) {
        if self.runs.is_current(id) {
            self.work = None;
        }
        if let Some(run) = self.runs.find_mut(id) {
            run.state = state;
        }
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
        let shown = self.runs.current.iter().chain(self.runs.compared());
        let model = &self.model;
        let shown = shown.filter(|run| run.state != RunState::Failed && model.made(run));
        let request = self.requests.next(shown, &self.cursor);
        self.tasks.extend(request.map(Task::Command));
    }

    pub(super) fn open_model(&mut self, model: String, request: Request) {
        self.opening = Some((model.clone(), self.clock));
        self.send(Command::Open { model, request });
    }

    pub(super) fn start(&mut self, request: Request) {
        if let Model::Ready(info) = &self.model {
            let run = self.runs.start(request.clone(), Arc::clone(info));
            self.cursor.step = 0;
            self.turn_to_new_run(Command::Run { run, request });
        }
    }

    /// Leaves the run on the screen before `step`, and goes on as `request`.
    pub(super) fn branch(&mut self, step: usize, request: Request) {
        if let Some((run, parent)) = self.runs.branch(step, request.clone()) {
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
            self.say(format!("run {run} was forgotten: {kept} are kept"));
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

    /// Opens `lesson` where it was left.
    pub fn begin(&mut self, lesson: Lesson) {
        let page = self.lesson.progress.page(&lesson);
        self.mode = Mode::Browse;
        self.explain = None;
        self.open_page(Arc::new(lesson), page);
    }

    pub(super) fn open_page(&mut self, lesson: Arc<Lesson>, page: usize) {
        let (request, goto) = (lesson.request.clone(), lesson.pages[page].goto.clone());
        self.lesson.open_page(lesson, page);
        self.notice = None;
        // Before the model is there, nothing is done; then the page is opened anew.
        self.go(&request, &goto);
    }

    /// Asks what a page wants to know now.
    fn query_filters(&mut self) {
        if let Some(problem) = self.script.take_problem() {
            self.lesson.cannot_open(&problem);
        }
        let open = self.lesson.open.as_ref();
        if let Some(open) = open.filter(|_| !self.is_run_unfinished())
            && let Some(purpose) = open.next_query()
            && match purpose {
                Purpose::Opening => self.is_at_page(),
                _ => open.seen.as_ref() != Some(&self.seen()),
            }
        {
            self.query(purpose);
        }
    }

    pub(super) fn query(&mut self, purpose: Purpose) {
        let seen = self.seen();
        let run_json = run_json(&self.runs, &seen.selection);
        let (Some(open), Some(run), Some(run_json)) =
            (&mut self.lesson.open, &self.runs.current, run_json)
        else {
            return;
        };
        let filters = open.filters(purpose, Arc::clone(&run.info), seen);
        if !filters.is_empty() {
            self.queries += 1;
            open.asked = Some((self.queries, purpose));
            let query = FilterQuery {
                number: self.queries,
                run_json,
                filters,
            };
            self.tasks.push(Task::Job(Job::Evaluate(Box::new(query))));
        }
    }

    /// Is there no run that a page's filters could be asked of?
    pub(super) fn is_run_unfinished(&self) -> bool {
        let is_done = self.run_state() == Some(&RunState::Done);
        !(is_done || self.run().is_some_and(Run::is_waiting)) || !self.script.is_empty()
    }

    /// Is the run of the page that is read on the screen, and done?
    fn is_at_page(&self) -> bool {
        let (Model::Ready(info), Some(run)) = (&self.model, &self.runs.current) else {
            return false;
        };
        run.state == RunState::Done
            && run.origin.is_none()
            && self.lesson.request(info).as_ref() == Some(&run.trace.request)
    }

    fn seen(&self) -> Seen {
        let run = self.runs.current.as_ref();
        Seen {
            selection: selection(&self.cursor, &self.runs),
            steps: run.map(|run| run.trace.steps.len()),
            compared: self.runs.compared().map(|run| run.id),
        }
    }

    /// What filters are asked about now; none before there is a run.
    pub fn facts(&self) -> Option<RunJson> {
        run_json(&self.runs, &self.seen().selection)
    }
}

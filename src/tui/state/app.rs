//! What there is on the screen and behind it, and the rules by which actions and the worker's updates change it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;

use super::action::Action;
use super::editor::{Editor, LineEditor};
use super::lesson::LessonState;
use super::run::{Run, RunState};
use super::{Cursor, ExportItem, Grid, Script, View};
use crate::export::ExportOptions;
use crate::generation::{ModelInfo, Request};
use crate::lesson::Depth;
use crate::model::AttentionDetail;
use crate::trace::{AttentionMaps, Event, Guidance};
use crate::tui::worker::{AttentionKey, Command, Failure, Update, Work};

/// How long a step is shown when a finished run is played back.
pub(super) const PLAYBACK: Duration = Duration::from_millis(160);
/// How long a message about something that went well is shown.
pub(super) const NOTICE: Duration = Duration::from_secs(6);

/// The model's state.
#[derive(Debug, Clone)]
pub enum Model {
    /// It is being loaded.
    Loading,
    /// It is there.
    Ready(Arc<ModelInfo>),
    /// It could not be loaded.
    Failed(Failure),
}

/// What the keys mean.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// Looking around.
    Browse,
    /// Editing the request: of a new run, or of a branch.
    Edit(Box<Editor>),
    /// Typing a step's number.
    Jump(LineEditor),
    /// Reading the help, scrolled down by so many lines.
    Help(usize),
    /// Choosing among the runs of this sitting: the row.
    Runs(usize),
    /// Choosing among the lessons: the row.
    Lessons(usize),
    /// Answering a lesson's question.
    Answer(LineEditor),
    /// Moving over the picture, to see what a place listens to.
    Place,
    /// Typing what becomes of the selected word's attention: a factor, or the word that it changes places with.
    Weight(LineEditor),
    /// Choosing what to write to a file: the row.
    Export(usize),
}

/// A message at the foot of the screen.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Something went well; shown until the given time.
    Done(String, Duration),
    /// Something went wrong; shown until it is closed.
    Failed(Failure),
}

/// The inspector's state.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // Independent of one another: no two of them are one state.
pub struct App {
    /// The model.
    pub model: Model,
    /// The run on the screen.
    pub run: Option<Run>,
    /// The other runs of this sitting, in the order of their numbers.
    pub shelf: Vec<Run>,
    /// The run of the shelf that stands beside the one on the screen.
    pub compared: Option<u64>,
    /// The view on the screen.
    pub view: View,
    /// The model that is being opened in the place of the one that is there, and since when.
    pub opening: Option<(String, Duration)>,
    /// The shared selection.
    pub cursor: Cursor,
    /// What the keys mean.
    pub mode: Mode,
    /// Is it a recorded run, without the model that made it?
    pub recorded: bool,
    /// What is still to be written of the first run that is finished.
    pub export: ExportOptions,
    /// The folder that files are written to; the current one where it is empty.
    pub folder: PathBuf,
    /// What the menu of files offers while it is open.
    pub offered: Vec<ExportItem>,
    /// Lessons, and the one that is being read.
    pub lesson: LessonState,
    /// The number of the newest question to a run.
    pub(super) inquiries: u64,
    /// What a lesson wants done.
    pub script: Script,
    /// Does it wait, once the model is there, until it is told what to run?
    pub waits: bool,
    /// The view to go back to from the form of a run or a branch.
    pub(super) came_from: Option<View>,
    /// The explanation beside the view, if it is open.
    pub explain: Option<Depth>,
    /// A message.
    pub notice: Option<Notice>,
    /// Time since the program's start.
    pub clock: Duration,
    /// What the worker is at, and since when.
    pub work: Option<(Work, Duration)>,
    /// Are visited steps decoded by the autoencoder?
    pub decode: bool,
    /// Does the mouse select? Otherwise the terminal selects text with it.
    pub mouse: bool,
    /// Should the program end?
    pub quit: bool,
    /// Should the program be put to sleep?
    pub suspend: bool,
    /// Until when the step on the screen is shown, while a finished run is played back.
    pub(super) playback: Option<Duration>,
    /// What was asked of the worker and has not come yet: one thing at a time.
    pub(super) pending: Option<Wish>,
    /// What the worker could not give, and is not asked for again.
    refused: BTreeSet<Wish>,
    /// Of all runs together, in bytes.
    pub(super) attention_budget: usize,
    /// The number of the newest run.
    pub(super) runs: u64,
    /// What `p` edits and `r` runs, also before and after a run that failed.
    pub(super) request: Option<Request>,
}

/// Something to ask of the worker, for the run with this number.
type Wish = (u64, Wanted);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    Attention(AttentionKey),
    Decode(usize),
}

impl App {
    /// The state at the start: the model is being loaded.
    pub fn new(attention_budget: usize) -> Self {
        Self {
            model: Model::Loading,
            run: None,
            shelf: Vec::new(),
            compared: None,
            view: View::Denoising,
            opening: None,
            cursor: Cursor::default(),
            mode: Mode::Browse,
            recorded: false,
            export: ExportOptions::default(),
            folder: PathBuf::new(),
            offered: Vec::new(),
            lesson: LessonState::default(),
            inquiries: 0,
            script: Script::default(),
            waits: false,
            came_from: None,
            explain: None,
            notice: None,
            clock: Duration::ZERO,
            work: None,
            decode: false,
            mouse: true,
            quit: false,
            suspend: false,
            playback: None,
            pending: None,
            refused: BTreeSet::new(),
            attention_budget,
            runs: 0,
            request: None,
        }
    }

    /// Carries out `action`; returns what the worker should do.
    pub fn update(&mut self, action: Action) -> Vec<Command> {
        if self.takes_over(&action) {
            self.forget_script();
        }
        let mut commands = match action {
            Action::Tick(clock) => self.tick(clock),
            Action::Quit => {
                self.quit = true;
                Vec::new()
            }
            Action::Suspend => {
                self.suspend = true;
                Vec::new()
            }
            action => match self.mode {
                Mode::Browse => self.browse(&action),
                Mode::Edit(_) => self.edit(&action),
                Mode::Jump(_) => self.jump(&action),
                Mode::Help(_) => self.read_help(&action),
                Mode::Runs(_) => self.choose_run(&action),
                Mode::Lessons(_) => self.choose_lesson(&action),
                Mode::Answer(_) => self.answer(&action),
                Mode::Place => self.move_place(&action),
                Mode::Weight(_) => self.weigh(&action),
                Mode::Export(_) => self.choose_export(&action),
            },
        };
        commands.extend(self.proceed());
        commands.extend(self.look_after_lesson());
        commands.extend(self.wants());
        commands
    }

    /// Takes in what the worker says; returns what it should do next.
    pub fn apply(&mut self, update: Update) -> Vec<Command> {
        let mut commands = Vec::new();
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
                match (std::mem::take(&mut self.waits), &self.lesson.open) {
                    (true, Some(_)) => commands.extend(self.in_lesson(&Action::Reset)),
                    (true, None) => {}
                    (false, _) => commands.extend(self.start(request)),
                }
                if let Some(note) = note {
                    self.notice = Some(Notice::Done(note, self.clock + NOTICE));
                }
            }
            Update::LoadFailed(failure) if self.opening.take().is_some() => {
                self.notice = Some(Notice::Failed(failure));
            }
            Update::LoadFailed(failure) => self.model = Model::Failed(failure),
            Update::Branched { run, branches } => {
                if let Some(run) = self.find_mut(run) {
                    run.trace.branches = branches;
                }
            }
            Update::Begins { run, work } => {
                if self.is_current(run) {
                    // The steps are one work: its time is that of all of them.
                    let since = match (self.work, work) {
                        (Some((Work::Step(_), since)), Work::Step(_)) => since,
                        _ => self.clock,
                    };
                    self.work = Some((work, since));
                }
            }
            Update::Recorded {
                run,
                event,
                pictures,
            } => {
                let is_current = self.is_current(run);
                let tokenized = matches!(event, Event::Tokens(_));
                let broken = match &event {
                    Event::Step(step) => step.not_finite_message(),
                    _ => None,
                };
                let broken = broken.map(|what| Failure {
                    what,
                    advice: "In f16 numbers can grow too large: try --dtype f32, or bf16."
                        .to_owned(),
                });
                if let Some(run) = self.find_mut(run) {
                    // Said once: all that follows is not finite either.
                    let is_news = run.first_not_finite().is_none();
                    run.record(event, pictures);
                    if let Some(failure) = broken
                        && is_news
                        && is_current
                    {
                        self.notice = Some(Notice::Failed(failure));
                    }
                }
                self.keep_to_budget();
                if is_current {
                    self.settle_cursor(tokenized);
                    self.follow();
                }
            }
            Update::Paused { run, cancelled } => {
                let state = if cancelled {
                    RunState::Cancelled
                } else {
                    RunState::Paused
                };
                self.set_state(run, state);
            }
            Update::Done { run } => {
                self.set_state(run, RunState::Done);
                commands.extend(self.export_first(run));
            }
            Update::RunFailed { run, failure } => {
                self.set_state(run, RunState::Failed);
                if self.is_current(run) {
                    self.notice = Some(Notice::Failed(failure));
                }
            }
            Update::Attention { run, key, maps } => {
                self.receive((run, Wanted::Attention(key)), maps, |run, maps| {
                    run.keep_attention(key, maps);
                });
            }
            Update::Decoded { run, step, image } => {
                self.receive((run, Wanted::Decode(step)), image, |run, image| {
                    run.decoded.insert(step, image);
                });
            }
            Update::Vocabulary {
                run,
                vocabulary,
                scheduler_config,
            } => {
                if let Some(run) = self.find_mut(run) {
                    run.vocabulary = Some(vocabulary);
                    run.scheduler_config = Some(scheduler_config);
                }
            }
            Update::Answered { number, values } => self.take_answers(number, values),
            Update::Saved(Ok(paths)) => {
                let paths: Vec<String> = paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                let text = format!("saved {}", paths.join(", "));
                self.notice = Some(Notice::Done(text, self.clock + NOTICE));
            }
            Update::Saved(Err(failure)) => self.notice = Some(Notice::Failed(failure)),
        }
        commands.extend(self.proceed());
        commands.extend(self.look_after_lesson());
        commands.extend(self.wants());
        commands
    }

    /// Writes the first run that is finished, where the program was started to do so.
    fn export_first(&mut self, run: u64) -> Option<Command> {
        let trace = Box::new(self.find(run)?.trace.clone());
        let plan = std::mem::take(&mut self.export);
        let plan = (!plan.is_empty()).then(|| Box::new(plan))?;
        Some(Command::Export { run, plan, trace })
    }

    /// Takes in what was wished for; a failure is shown once, and the wish is not repeated.
    fn receive<T>(
        &mut self,
        wish: Wish,
        result: Result<T, Failure>,
        keep: impl FnOnce(&mut Run, T),
    ) {
        if self.pending == Some(wish) {
            self.pending = None;
        }
        if self.is_current(wish.0) {
            self.work = None;
        }
        match result {
            Ok(value) => {
                if let Some(run) = self.find_mut(wish.0) {
                    keep(run, value);
                }
            }
            Err(failure) => {
                self.refused.insert(wish);
                if self.is_current(wish.0) {
                    self.notice = Some(Notice::Failed(failure));
                }
            }
        }
    }

    /// Should [`Action::Tick`] come soon, because something on the screen depends on the time?
    pub fn wants_ticks(&self) -> bool {
        self.is_busy() || self.playback.is_some() || matches!(self.notice, Some(Notice::Done(..)))
    }

    /// Is the worker at something, so that updates will come?
    pub fn is_busy(&self) -> bool {
        matches!(self.model, Model::Loading)
            || self.opening.is_some()
            || self.pending.is_some()
            || self.run.iter().chain(&self.shelf).any(Run::is_advancing)
    }

    /// Is the run on the screen being advanced?
    pub fn is_running(&self) -> bool {
        matches!(
            self.run_state(),
            Some(RunState::Running | RunState::Pausing)
        )
    }

    /// Is a finished run being played back?
    pub fn is_playing_back(&self) -> bool {
        self.playback.is_some()
    }

    /// Is there a step to look at?
    pub fn has_steps(&self) -> bool {
        self.newest().is_some()
    }

    /// Does the run wait for being continued?
    pub fn can_continue(&self) -> bool {
        self.is_live()
            && matches!(
                self.run_state(),
                Some(RunState::Paused | RunState::Cancelled)
            )
    }

    /// Does the play key do anything?
    pub fn can_play_or_pause(&self) -> bool {
        self.is_running() || self.can_continue() || self.newest().is_some_and(|newest| newest > 0)
    }

    /// Do the keys for up and down do anything in this view?
    pub fn can_select(&self) -> bool {
        let Some(run) = &self.run else {
            return false;
        };
        match self.view {
            View::Prompt => true,
            View::Tokens | View::Embedding => self.shows_tokens(),
            View::TextEncoder => run.trace.text.is_some(),
            View::Noise => run.trace.noise.is_some(),
            View::Schedule | View::Denoising | View::Attention => self.has_steps(),
            View::Image => false,
        }
    }

    /// Are there heads to choose among?
    pub fn has_heads(&self) -> bool {
        match self.view {
            View::Attention => self.has_steps(),
            View::TextEncoder => self.text_heads() > 0,
            _ => false,
        }
    }

    /// Heads of the text encoder's layers, as recorded.
    pub(super) fn text_heads(&self) -> usize {
        self.run.as_ref().map_or(0, Run::text_heads)
    }

    /// Can this view show something else, too?
    pub fn can_switch(&self) -> bool {
        let trace = self.run.as_ref().map(|run| &run.trace);
        trace.is_some_and(|trace| match self.view {
            View::Tokens => trace.tokens.is_some(),
            View::Embedding => trace.text.is_some(),
            View::Noise | View::Schedule => trace.noise.is_some(),
            View::Attention => !trace.steps.is_empty(),
            _ => false,
        })
    }

    /// Is there something of which there can be less or more?
    pub fn can_adjust(&self) -> bool {
        match self.view {
            View::Schedule => self.can_switch() && self.cursor.detail.other.is_some(),
            View::Attention => self.has_steps(),
            _ => false,
        }
    }

    /// Are there tokens to select?
    pub fn shows_tokens(&self) -> bool {
        self.run
            .as_ref()
            .is_some_and(|run| !run.tokens().is_empty())
            && !matches!(
                self.view,
                View::Prompt | View::Noise | View::Schedule | View::Image
            )
    }

    /// Can the request be edited?
    pub fn can_edit(&self) -> bool {
        self.request.is_some() && !self.recorded
    }

    /// Can the request be run again?
    pub fn can_run_again(&self) -> bool {
        self.request.is_some() && !self.is_running() && !self.recorded
    }

    /// The model that made the run on the screen; before there is one, the model that is there.
    pub fn info(&self) -> Option<&Arc<ModelInfo>> {
        match (&self.run, &self.model) {
            (Some(run), _) => Some(&run.info),
            (None, Model::Ready(info)) => Some(info),
            _ => None,
        }
    }

    /// Can the run on the screen be computed with: is the model that made it still there?
    pub fn is_live(&self) -> bool {
        self.run.as_ref().is_some_and(|run| self.made(run))
    }

    /// Did the model that is there make `run`?
    pub(super) fn made(&self, run: &Run) -> bool {
        matches!(&self.model, Model::Ready(info) if Arc::ptr_eq(info, &run.info))
    }

    /// Is there a step that can be decoded, in a view that shows pictures?
    pub fn can_decode(&self) -> bool {
        self.has_steps() && self.view.shows_pictures() && !self.recorded && self.is_live()
    }

    /// Does the run on the screen show attention of a step?
    pub fn shows_attention(&self) -> bool {
        self.view == View::Attention && self.has_steps()
    }

    /// The selected word of the prompt, if a word is selected: what it was typed as.
    pub fn selected_word(&self) -> Option<&str> {
        self.run.as_ref()?.word_at(self.cursor.token)
    }

    /// Can the selected word's attention be changed?
    pub fn can_weigh(&self) -> bool {
        self.shows_attention()
            && self.cursor.attention.half == Guidance::Cond
            && self.can_branch()
            && self.selected_word().is_some()
    }

    /// Is there a picture to save?
    pub fn can_save(&self) -> bool {
        self.picture().is_some()
    }

    /// Is there anything to write to a file?
    pub fn can_export(&self) -> bool {
        self.has_steps()
            || self
                .run
                .as_ref()
                .is_some_and(|run| run.trace.text.is_some())
    }

    /// The picture that the screen is about: the decoded one of the step looked at, with that step, or the finished one.
    pub fn picture(&self) -> Option<(Arc<RgbImage>, Option<usize>)> {
        let run = self.run.as_ref()?;
        let step = self.cursor.step;
        let finished = run.trace.image.as_ref();
        let finished = finished.map(|data| (Arc::new(data.image.clone()), None));
        let of_step = run.decoded.get(&step).filter(|_| self.decode);
        match of_step {
            Some(image) if step + 1 < run.total_steps() => Some((Arc::clone(image), Some(step))),
            _ => finished,
        }
    }

    /// What the run on the screen, or the one that failed to start, was asked for.
    pub fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    /// Where the run stands.
    pub fn run_state(&self) -> Option<&RunState> {
        self.run.as_ref().map(|run| &run.state)
    }

    /// The attention maps at the cursor, and whether they have heads.
    pub fn attention(&self) -> (&[AttentionMaps], bool) {
        self.run
            .as_ref()
            .map_or((&[], false), |run| run.attention_at(&self.cursor))
    }

    /// Number of text encoder states that can be selected.
    pub fn text_states(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.text_states().len())
    }

    pub(super) fn newest(&self) -> Option<usize> {
        self.run.as_ref().and_then(Run::newest)
    }

    fn set_state(&mut self, run: u64, state: RunState) {
        if self.is_current(run) {
            self.work = None;
        }
        if let Some(run) = self.find_mut(run) {
            run.state = state;
        }
    }

    /// Gives the cursor's parts that have no place in this run the place that says most; for a run that was just
    /// tokenized the last word.
    pub(super) fn settle_cursor(&mut self, tokenized: bool) {
        let Some(run) = &self.run else {
            return;
        };
        if run.trace.text.is_some() && self.cursor.text_layer == usize::MAX {
            // The last layer: it has attention to show, which the output has not.
            self.cursor.text_layer = run.text_states().len().saturating_sub(2);
        }
        let keeps = run.origin.is_some() && run.words().contains(&self.cursor.token);
        if tokenized && !keeps {
            self.cursor.token = run.last_word().unwrap_or(1);
        }
    }

    pub(super) fn follow(&mut self) {
        if let (true, Some(newest)) = (self.cursor.follow, self.newest()) {
            self.cursor.step = newest;
        }
    }

    pub(super) fn tick(&mut self, clock: Duration) -> Vec<Command> {
        self.clock = clock;
        if matches!(self.notice, Some(Notice::Done(_, until)) if until <= clock) {
            self.notice = None;
        }
        if self.playback.is_some_and(|until| until <= clock) {
            if self
                .newest()
                .is_some_and(|newest| self.cursor.step < newest)
            {
                self.cursor.step += 1;
                self.playback = Some(clock + PLAYBACK);
            } else {
                self.playback = None;
                self.cursor.follow = true;
            }
        }
        Vec::new()
    }

    /// Heads of the selected layer; of all layers, the fewest that one has.
    pub(super) fn head_count(&self) -> usize {
        let Some(info) = self.info() else {
            return 0;
        };
        let layers = &info.cross_attention;
        match self.cursor.attention.layer {
            Some(layer) => layers.get(layer).map_or(0, |layer| layer.heads),
            None => layers.iter().map(|layer| layer.heads).min().unwrap_or(0),
        }
    }

    /// What the screen would like to show at the cursor and does not have.
    fn wants(&mut self) -> Vec<Command> {
        let settled = self.playback.is_none() && !(self.is_running() && self.cursor.follow);
        // One at a time: who moves on quickly shall not wait for what was passed.
        if self.pending.is_some() || !settled {
            return Vec::new();
        }
        let shown = self.run.iter().chain(self.compared_run());
        let wish = shown
            .filter(|run| run.state != RunState::Failed && self.made(run))
            .flat_map(|run| self.wishes(run))
            .find(|wish| !self.refused.contains(wish));
        let Some((run, wanted)) = wish else {
            return Vec::new();
        };
        let command = match wanted {
            Wanted::Attention(key) => Command::Attention { run, key },
            Wanted::Decode(step) => {
                let found = self.find(run).and_then(|run| run.step(step));
                let Some(x0) = found.and_then(|step| step.tensor("x0")) else {
                    return Vec::new();
                };
                let x0 = x0.clone();
                Command::Decode { run, step, x0 }
            }
        };
        self.pending = Some((run, wanted));
        vec![command]
    }

    /// What `run` lacks of what the view shows, the most wanted first.
    fn wishes(&self, run: &Run) -> Vec<Wish> {
        let done = run.trace.steps.len();
        let step = self.cursor.step;
        if step >= done {
            return Vec::new();
        }
        let mut wishes = Vec::new();
        if self.view == View::Attention {
            let cursor = &self.cursor.attention;
            let mut want = |step, detail| {
                let key = AttentionKey {
                    step,
                    half: cursor.half,
                    detail,
                };
                if run.attention(key).is_empty() {
                    wishes.push((run.id, Wanted::Attention(key)));
                }
            };
            let is_guided = run.trace.request.is_guided();
            if cursor.half == Guidance::Cond || is_guided {
                want(step, AttentionDetail::Mean);
                if cursor.detail() == AttentionDetail::Heads {
                    want(step, AttentionDetail::Heads);
                }
                // Over the steps: as far as the memory goes, without computing anew what did not fit before.
                if cursor.grid == Grid::Steps && cursor.half == Guidance::Uncond {
                    let (used, budget) = run.attention_memory();
                    let a_step = used / done.max(1);
                    if used + a_step < budget {
                        (0..done).for_each(|step| want(step, AttentionDetail::Mean));
                    }
                }
            }
        }
        if self.decode && self.view.shows_pictures() && !run.decoded.contains_key(&step) {
            wishes.push((run.id, Wanted::Decode(step)));
        }
        wishes
    }
}

/// One further or back among `count`, staying at the ends.
pub(super) fn moved(at: usize, count: usize, forward: bool) -> usize {
    if forward {
        (at + 1).min(count.saturating_sub(1))
    } else {
        at.saturating_sub(1).min(count.saturating_sub(1))
    }
}

/// The depth beneath `depth`; none beneath the last: the explanation is closed.
pub fn deeper(depth: Depth) -> Option<Depth> {
    Depth::ALL.get(depth as usize + 1).copied()
}

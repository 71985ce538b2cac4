//! The inspector's state, free of any terminal: actions and the worker's updates go in, commands for the worker come out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;

use super::action::{Action, Typing};
use super::editor::{Editor, Field, LineEditor};
use super::run::{Run, RunState};
use super::selection::Detail;
use super::theme::Theme;
use super::worker::{Command, Failure, Saving, Update, Work};
use crate::generation::{ModelInfo, Request};
use crate::model::AttentionDetail;
use crate::model::tokenizer::TokenKind;
use crate::trace::{AttentionMaps, document};

/// How long a step is shown when a finished run is played back.
const PLAYBACK: Duration = Duration::from_millis(160);
/// How long a message about something that went well is shown.
const NOTICE: Duration = Duration::from_secs(6);

/// A view: one stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// What is asked for.
    Prompt,
    /// The prompt as tokens.
    Tokens,
    /// The tokens as vectors.
    Embedding,
    /// The vectors in context.
    TextEncoder,
    /// The noise that a picture begins as.
    Noise,
    /// How much noise there is at each step.
    Schedule,
    /// One step of taking noise out.
    Denoising,
    /// Which word is looked at where.
    Attention,
    /// The picture.
    Image,
}

impl View {
    /// Every view, in the order in which data flows.
    pub const ALL: [Self; 9] = [
        Self::Prompt,
        Self::Tokens,
        Self::Embedding,
        Self::TextEncoder,
        Self::Noise,
        Self::Schedule,
        Self::Denoising,
        Self::Attention,
        Self::Image,
    ];

    /// Its name on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prompt => "Prompt",
            Self::Tokens => "Tokens",
            Self::Embedding => "Embedding",
            Self::TextEncoder => "Text encoder",
            Self::Noise => "Noise",
            Self::Schedule => "Schedule",
            Self::Denoising => "Denoising",
            Self::Attention => "Attention",
            Self::Image => "Image",
        }
    }
}

/// The model's state.
#[derive(Debug, Clone)]
pub enum Model {
    /// It is being loaded.
    Loading,
    /// It is there.
    Ready(Box<ModelInfo>),
    /// It could not be loaded.
    Failed(Failure),
}

/// What the keys mean.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// Looking around.
    Browse,
    /// Editing the request.
    Edit(Box<Editor>),
    /// Typing a step's number.
    Jump(LineEditor),
    /// Reading the help, scrolled down by so many lines.
    Help(usize),
}

/// The one selection that all views share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The denoising step, from 0.
    pub step: usize,
    /// Does the step follow the newest one?
    pub follow: bool,
    /// The prompt's position, 0 to 76.
    pub token: usize,
    /// The text encoder's state: 0 is its input, the last its output.
    pub text_layer: usize,
    /// The latents' channel.
    pub channel: usize,
    /// The denoising view's third picture.
    pub tensor: StepTensor,
    /// The UNet's cross-attention layer; `None` for the mean over all.
    pub layer: Option<usize>,
    /// The attention head; `None` for the mean over all.
    pub head: Option<usize>,
    /// The request's field.
    pub field: Field,
    /// What the views of the text, the noise and the schedule show.
    pub detail: Detail,
}

/// What the denoising view shows beside `x_t` and predicted x0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepTensor {
    /// `|noise_text - noise_uncond|`: where the prompt matters.
    Difference,
    /// `noise_text`.
    Text,
    /// `noise_uncond`.
    Uncond,
    /// `noise_guided`.
    Guided,
}

impl StepTensor {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Difference, Self::Text, Self::Uncond, Self::Guided];
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
pub struct App {
    /// Styles and colours.
    pub theme: Theme,
    /// The model.
    pub model: Model,
    /// The run on the screen.
    pub run: Option<Run>,
    /// The view on the screen.
    pub view: View,
    /// The shared selection.
    pub cursor: Cursor,
    /// What the keys mean.
    pub mode: Mode,
    /// A message.
    pub notice: Option<Notice>,
    /// Time since the program's start.
    pub clock: Duration,
    /// What the worker is at, and since when.
    pub work: Option<(Work, Duration)>,
    /// Are visited steps decoded by the autoencoder?
    pub decode: bool,
    /// Should the program end?
    pub quit: bool,
    /// Should the program be put to sleep?
    pub suspend: bool,
    /// Until when the step on the screen is shown, while a finished run is played back.
    playback: Option<Duration>,
    pending: BTreeSet<Pending>,
    attention_budget: usize,
    runs: u64,
    /// What `p` edits and `r` runs, also before and after a run that failed.
    request: Option<Request>,
}

/// Something that was asked of the worker and has not come yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pending {
    Mean(usize),
    Heads(usize),
    Decode(usize),
}

impl App {
    /// The state at the start: the model is being loaded.
    pub fn new(theme: Theme, attention_budget: usize) -> Self {
        Self {
            theme,
            model: Model::Loading,
            run: None,
            view: View::Denoising,
            cursor: Cursor {
                step: 0,
                follow: true,
                token: 1,
                text_layer: usize::MAX,
                channel: 0,
                tensor: StepTensor::Difference,
                layer: None,
                head: None,
                field: Field::Prompt,
                detail: Detail::default(),
            },
            mode: Mode::Browse,
            notice: None,
            clock: Duration::ZERO,
            work: None,
            decode: false,
            quit: false,
            suspend: false,
            playback: None,
            pending: BTreeSet::new(),
            attention_budget,
            runs: 0,
            request: None,
        }
    }

    /// Carries out `action`; returns what the worker should do.
    pub fn update(&mut self, action: Action) -> Vec<Command> {
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
            action => match &mut self.mode {
                Mode::Browse => self.browse(&action),
                Mode::Edit(_) => self.edit(&action),
                Mode::Jump(_) => self.jump(&action),
                Mode::Help(scroll) => {
                    match action {
                        Action::Up => *scroll = scroll.saturating_sub(1),
                        Action::Down => *scroll += 1,
                        Action::Help | Action::Dismiss => self.mode = Mode::Browse,
                        _ => {}
                    }
                    Vec::new()
                }
            },
        };
        commands.extend(self.wants());
        commands
    }

    /// Takes in what the worker says; returns what it should do next.
    pub fn apply(&mut self, update: Update) -> Vec<Command> {
        let mut commands = Vec::new();
        match update {
            Update::Loaded { info, request } => {
                self.model = Model::Ready(info);
                commands.extend(self.start(request));
            }
            Update::LoadFailed(failure) => self.model = Model::Failed(failure),
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
                unseen,
            } => {
                if let Some(current) = self.run.as_mut().filter(|current| current.id == run) {
                    current.record(event, pictures);
                    if current.trace.text.is_some() && self.cursor.text_layer == usize::MAX {
                        // The last layer: it has attention to show, which the output has not.
                        self.cursor.text_layer = current.text_states().len().saturating_sub(2);
                    }
                    if !unseen.is_empty() {
                        current.unseen = unseen;
                        self.cursor.token = last_word(current).unwrap_or(1);
                    }
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
            Update::Done { run } => self.set_state(run, RunState::Done),
            Update::RunFailed { run, failure } => {
                if self.is_current(run) {
                    self.set_state(run, RunState::Failed);
                    self.notice = Some(Notice::Failed(failure));
                }
            }
            Update::Attention { run, step, maps } => {
                if self.is_current(run) {
                    self.work = None;
                    self.pending.remove(&Pending::Heads(step));
                    self.pending.remove(&Pending::Mean(step));
                    match (maps, &mut self.run) {
                        (Ok(maps), Some(current)) => current.keep_attention(step, maps),
                        (Err(failure), _) => {
                            self.cursor.head = None;
                            self.notice = Some(Notice::Failed(failure));
                        }
                        _ => {}
                    }
                }
            }
            Update::Decoded { run, step, image } => {
                if self.is_current(run) {
                    self.work = None;
                    self.pending.remove(&Pending::Decode(step));
                    match (image, &mut self.run) {
                        (Ok(image), Some(current)) => {
                            current.decoded.insert(step, image);
                        }
                        (Err(failure), _) => {
                            self.decode = false;
                            self.notice = Some(Notice::Failed(failure));
                        }
                        _ => {}
                    }
                }
            }
            Update::Insight { run, insight } => {
                if let Some(current) = self.run.as_mut().filter(|current| current.id == run) {
                    current.insights.take(insight);
                }
            }
            Update::Saved(Ok(path)) => {
                let text = format!("saved {}", path.display());
                self.notice = Some(Notice::Done(text, self.clock + NOTICE));
            }
            Update::Saved(Err(failure)) => self.notice = Some(Notice::Failed(failure)),
        }
        commands.extend(self.wants());
        commands
    }

    /// Should [`Action::Tick`] come soon, because something on the screen depends on the time?
    pub fn wants_ticks(&self) -> bool {
        self.is_busy() || self.playback.is_some() || matches!(self.notice, Some(Notice::Done(..)))
    }

    /// Is the worker at something, so that updates will come?
    pub fn is_busy(&self) -> bool {
        matches!(self.model, Model::Loading)
            || self.is_running()
            || !self.pending.is_empty()
            || self.run_state() == Some(&RunState::Cancelling)
    }

    /// Is the run being advanced?
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
        matches!(
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
        match self.view {
            View::Prompt => self.run.is_some(),
            View::Tokens | View::Embedding => self.shows_tokens(),
            View::TextEncoder => self
                .run
                .as_ref()
                .is_some_and(|run| run.trace.text.is_some()),
            View::Noise => self
                .run
                .as_ref()
                .is_some_and(|run| run.trace.noise.is_some()),
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
    pub fn text_heads(&self) -> usize {
        let text = self.run.as_ref().and_then(|run| run.trace.text.as_deref());
        text.and_then(|text| text.heads.first()?.shape.first().copied())
            .unwrap_or(0)
    }

    /// Can this view show something else, too?
    pub fn can_switch(&self) -> bool {
        let trace = self.run.as_ref().map(|run| &run.trace);
        trace.is_some_and(|trace| match self.view {
            View::Tokens => trace.tokens.is_some(),
            View::Embedding => trace.text.is_some(),
            View::Noise | View::Schedule => trace.noise.is_some(),
            _ => false,
        })
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
        self.request.is_some()
    }

    /// Can the request be run again?
    pub fn can_run_again(&self) -> bool {
        self.request.is_some() && !self.is_running()
    }

    /// Is there a step that can be decoded, in a view that shows pictures?
    pub fn can_decode(&self) -> bool {
        self.has_steps() && matches!(self.view, View::Denoising | View::Attention | View::Image)
    }

    /// Is there a picture to save?
    pub fn can_save(&self) -> bool {
        self.picture().is_some()
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

    fn save(&self) -> Option<Command> {
        let Model::Ready(info) = &self.model else {
            return None;
        };
        let (image, step) = self.picture()?;
        let request = self.run.as_ref()?.trace.request.clone();
        let name = match step {
            None => format!("diffuscope-{}.png", request.seed),
            Some(step) => format!("diffuscope-{}-step-{}.png", request.seed, step + 1),
        };
        let model = document::Model {
            name: info.name.clone(),
            sha256: info.sha256.clone(),
        };
        Some(Command::Save(Box::new(Saving {
            image,
            name: name.into(),
            request,
            model,
        })))
    }

    /// What the run on the screen, or the one that failed to start, was asked for.
    pub fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    /// Where the run stands.
    pub fn run_state(&self) -> Option<&RunState> {
        self.run.as_ref().map(|run| &run.state)
    }

    /// The attention maps to show at the cursor's step: those with heads where a head is selected and they are there.
    /// The flag says whether they have heads.
    pub fn attention(&self) -> (&[AttentionMaps], bool) {
        let Some(run) = &self.run else {
            return (&[], false);
        };
        match (self.cursor.head, run.heads(self.cursor.step)) {
            (Some(_), Some(maps)) => (maps, true),
            _ => (run.attention(self.cursor.step), false),
        }
    }

    /// Number of text encoder states that can be selected.
    pub fn text_states(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.text_states().len())
    }

    fn newest(&self) -> Option<usize> {
        self.run
            .as_ref()
            .and_then(|run| run.trace.steps.len().checked_sub(1))
    }

    fn is_current(&self, run: u64) -> bool {
        self.run.as_ref().is_some_and(|current| current.id == run)
    }

    fn set_state(&mut self, run: u64, state: RunState) {
        if let Some(current) = self.run.as_mut().filter(|current| current.id == run) {
            current.state = state;
            self.work = None;
        }
    }

    fn start(&mut self, request: Request) -> Vec<Command> {
        self.runs += 1;
        self.request = Some(request.clone());
        self.run = Some(Run::new(self.runs, request.clone(), self.attention_budget));
        self.cursor.step = 0;
        self.cursor.follow = true;
        self.pending.clear();
        self.playback = None;
        self.notice = None;
        self.work = None;
        vec![Command::Run {
            run: self.runs,
            request,
        }]
    }

    fn follow(&mut self) {
        if let (true, Some(newest)) = (self.cursor.follow, self.newest()) {
            self.cursor.step = newest;
        }
    }

    fn tick(&mut self, clock: Duration) -> Vec<Command> {
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

    fn browse(&mut self, action: &Action) -> Vec<Command> {
        match *action {
            Action::Help => self.mode = Mode::Help(0),
            Action::Dismiss => self.notice = None,
            Action::NextView => self.turn(1),
            Action::PreviousView => self.turn(View::ALL.len() - 1),
            Action::Show(view) => self.view = view,
            Action::StepBack => self.go_to(self.cursor.step.saturating_sub(1)),
            Action::StepForward => return self.step_forward(),
            Action::FirstStep => self.go_to(0),
            Action::LastStep => {
                self.playback = None;
                self.cursor.follow = true;
                self.follow();
            }
            Action::Jump if self.has_steps() => self.mode = Mode::Jump(LineEditor::default()),
            Action::Up => self.select(false),
            Action::Down => self.select(true),
            Action::PreviousToken => self.select_token(false),
            Action::NextToken => self.select_token(true),
            Action::NextHead if self.view == View::Attention => self.next_head(),
            Action::NextHead
            | Action::Switch
            | Action::SwitchAxis
            | Action::NextSchedule
            | Action::FewerSteps
            | Action::MoreSteps => {
                let heads = self.text_heads();
                self.cursor.detail.update(action, self.view, heads);
            }
            Action::PlayPause => return self.play_or_pause(),
            Action::Cancel if self.is_running() => {
                if let Some(run) = &mut self.run {
                    run.state = RunState::Cancelling;
                }
                return vec![Command::Cancel];
            }
            Action::Run => {
                if let Some(request) = self.request.clone() {
                    return self.start(request);
                }
            }
            Action::Edit => {
                if let Some(request) = &self.request {
                    self.mode = Mode::Edit(Box::new(Editor::new(request, self.cursor.field)));
                    self.view = View::Prompt;
                }
            }
            Action::Decode if self.has_steps() => self.decode = !self.decode,
            Action::Save => {
                return self.save().into_iter().collect();
            }
            _ => {}
        }
        Vec::new()
    }

    fn edit(&mut self, action: &Action) -> Vec<Command> {
        let Mode::Edit(editor) = &mut self.mode else {
            return Vec::new();
        };
        match action {
            Action::Dismiss => self.mode = Mode::Browse,
            Action::Type(Typing::Submit) => match editor.request() {
                Ok(request) => {
                    self.cursor.field = editor.field;
                    self.mode = Mode::Browse;
                    return self.start(request);
                }
                Err((field, problem)) => {
                    editor.field = field;
                    editor.error = Some(problem);
                }
            },
            Action::Type(typing) => editor.apply(typing),
            _ => {}
        }
        Vec::new()
    }

    fn jump(&mut self, action: &Action) -> Vec<Command> {
        let Mode::Jump(line) = &mut self.mode else {
            return Vec::new();
        };
        match action {
            Action::Dismiss => self.mode = Mode::Browse,
            Action::Type(Typing::Submit) => {
                let step = line.text().parse::<usize>();
                self.mode = Mode::Browse;
                if let (Ok(step), Some(newest)) = (step, self.newest()) {
                    // The screen counts steps from 1.
                    self.go_to(step.saturating_sub(1).min(newest));
                }
            }
            Action::Type(Typing::Insert(text)) => {
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                line.apply(&Typing::Insert(digits));
            }
            Action::Type(typing) => line.apply(typing),
            _ => {}
        }
        Vec::new()
    }

    fn turn(&mut self, by: usize) {
        let at = self.view as usize;
        self.view = View::ALL[(at + by) % View::ALL.len()];
    }

    fn go_to(&mut self, step: usize) {
        self.playback = None;
        if self.has_steps() {
            self.cursor.step = step;
            // One who goes back wants to stay there while the run goes on.
            self.cursor.follow = false;
        }
    }

    fn step_forward(&mut self) -> Vec<Command> {
        self.playback = None;
        match self.newest() {
            Some(newest) if self.cursor.step < newest => {
                self.cursor.step += 1;
                Vec::new()
            }
            _ => {
                self.cursor.follow = true;
                if self.can_continue() {
                    self.advance(RunState::Pausing, Command::Step)
                } else {
                    Vec::new()
                }
            }
        }
    }

    fn play_or_pause(&mut self) -> Vec<Command> {
        if self.is_running() {
            return self.advance(RunState::Pausing, Command::Pause);
        }
        if self.can_continue() {
            self.cursor.follow = true;
            self.follow();
            return self.advance(RunState::Running, Command::Play);
        }
        if self.playback.take().is_none()
            && let Some(newest) = self.newest()
        {
            if self.cursor.step >= newest {
                self.cursor.step = 0;
            }
            self.cursor.follow = false;
            self.playback = Some(self.clock + PLAYBACK);
        }
        Vec::new()
    }

    fn advance(&mut self, state: RunState, command: Command) -> Vec<Command> {
        if let Some(run) = &mut self.run {
            run.state = state;
        }
        vec![command]
    }

    fn select(&mut self, forward: bool) {
        match self.view {
            View::Prompt => {
                let at = self.cursor.field as usize;
                self.cursor.field = Field::ALL[moved(at, Field::ALL.len(), forward)];
            }
            View::Tokens | View::Embedding => self.select_token(forward),
            View::TextEncoder => {
                let count = self.text_states();
                let at = self.cursor.text_layer.min(count.saturating_sub(1));
                self.cursor.text_layer = moved(at, count, forward);
            }
            View::Noise => {
                let noise = self.run.as_ref().and_then(|run| run.trace.noise.as_ref());
                let shape = noise.map(|noise| noise.initial_noise.shape.as_slice());
                let channels = shape.and_then(<[usize]>::first).copied().unwrap_or(1);
                self.cursor.channel = moved(self.cursor.channel, channels, forward);
            }
            View::Schedule => {
                if let Some(newest) = self.newest() {
                    self.go_to(moved(self.cursor.step, newest + 1, forward));
                }
            }
            View::Denoising => {
                let at = self.cursor.tensor as usize;
                self.cursor.tensor = StepTensor::ALL[moved(at, StepTensor::ALL.len(), forward)];
            }
            View::Attention => {
                let layers = self.attention().0.len();
                let at = self.cursor.layer.map_or(0, |layer| layer + 1);
                let at = moved(at, layers + 1, forward);
                self.cursor.layer = at.checked_sub(1);
                // Layers may differ in their number of heads.
                if self
                    .cursor
                    .head
                    .is_some_and(|head| head >= self.head_count())
                {
                    self.cursor.head = None;
                }
            }
            View::Image => {}
        }
    }

    fn select_token(&mut self, forward: bool) {
        let count = self.run.as_ref().map_or(0, |run| run.tokens().len());
        self.cursor.token = moved(self.cursor.token, count, forward);
    }

    fn next_head(&mut self) {
        self.cursor.head = match self.cursor.head {
            None => Some(0),
            Some(head) => Some(head + 1),
        }
        .filter(|&head| head < self.head_count());
    }

    /// Heads of the selected layer; of all layers, the fewest that one has.
    fn head_count(&self) -> usize {
        let Model::Ready(info) = &self.model else {
            return 0;
        };
        let layers = &info.cross_attention;
        match self.cursor.layer {
            Some(layer) => layers.get(layer).map_or(0, |layer| layer.heads),
            None => layers.iter().map(|layer| layer.heads).min().unwrap_or(0),
        }
    }

    /// What the screen would like to show at the cursor and does not have.
    fn wants(&mut self) -> Vec<Command> {
        let step = self.cursor.step;
        let settled = self.playback.is_none() && !(self.is_running() && self.cursor.follow);
        let Some(run) = self
            .run
            .as_ref()
            .filter(|run| settled && step < run.trace.steps.len())
        else {
            return Vec::new();
        };
        if matches!(run.state, RunState::Failed) {
            return Vec::new();
        }
        let mut wanted = Vec::new();
        if self.view == View::Attention {
            let attention = |detail| Command::Attention {
                run: run.id,
                step,
                detail,
            };
            if run.attention(step).is_empty() {
                wanted.push((Pending::Mean(step), attention(AttentionDetail::Mean)));
            }
            if self.cursor.head.is_some() && run.heads(step).is_none() {
                wanted.push((Pending::Heads(step), attention(AttentionDetail::Heads)));
            }
        }
        let shows_pictures = matches!(self.view, View::Denoising | View::Attention | View::Image);
        if self.decode
            && shows_pictures
            && !run.decoded.contains_key(&step)
            && let Some(x0) = run.step(step).and_then(|step| step.tensor("x0"))
        {
            let command = Command::Decode {
                run: run.id,
                step,
                x0: x0.clone(),
            };
            wanted.push((Pending::Decode(step), command));
        }
        // One at a time: who moves on quickly shall not wait for what was passed.
        if !self.pending.is_empty() {
            return Vec::new();
        }
        let Some((pending, command)) = wanted.into_iter().next() else {
            return Vec::new();
        };
        self.pending.insert(pending);
        vec![command]
    }
}

/// One further or back among `count`, staying at the ends.
fn moved(at: usize, count: usize, forward: bool) -> usize {
    if forward {
        (at + 1).min(count.saturating_sub(1))
    } else {
        at.saturating_sub(1).min(count.saturating_sub(1))
    }
}

/// The position of the prompt's last word: most often the thing it speaks of.
fn last_word(run: &Run) -> Option<usize> {
    let is_text = |piece: &str| piece.chars().any(char::is_alphanumeric);
    run.tokens()
        .iter()
        .rposition(|token| token.kind == TokenKind::Word && is_text(&token.piece))
}

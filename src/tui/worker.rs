//! The worker: a thread that loads the model and advances runs, and talks to the screen in plain owned data.
//!
//! The screen sends [`Command`]s and never waits; the worker answers with [`Update`]s. Whatever goes wrong here, a
//! panic included, reaches the screen as a [`Failure`] and leaves the worker ready for the next command.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;

use image::RgbImage;

use super::insight::{self, Insight};
use super::panics;
use crate::generation::{self, ModelInfo, Pipeline, Request, RequestOverrides, Stage};
use crate::model::AttentionDetail;
use crate::trace::{
    AttentionMaps, CancelToken, DestinationError, Event, Half, OutputFile, RecordOptions, Recorder,
    Snapshot, document, write_png,
};

/// What the screen asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start the run `run` of `request` and let it go on to its end. The run before is forgotten here.
    Run {
        /// The run's number.
        run: u64,
        /// What to generate.
        request: Request,
    },
    /// Go on to the end.
    Play,
    /// Wait after the stage at hand.
    Pause,
    /// One stage or step.
    Step,
    /// Abandon the stage at hand and wait.
    Cancel,
    /// Compute the attention of a step again, from its latents.
    Attention {
        /// The run that is meant.
        run: u64,
        /// The step.
        step: usize,
        /// Mean or every head.
        detail: AttentionDetail,
    },
    /// Decode the predicted x0 of a step.
    Decode {
        /// The run that is meant.
        run: u64,
        /// The step.
        step: usize,
        /// The step's `x0`.
        x0: Snapshot,
    },
    /// Save a picture as PNG.
    Save(Box<Saving>),
}

/// A picture to save, with what its file says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Saving {
    /// The picture.
    pub image: Arc<RgbImage>,
    /// The file; a number is added to its name where there is one already.
    pub name: PathBuf,
    /// What was asked for.
    pub request: Request,
    /// The model that made it.
    pub model: document::Model,
}

impl Saving {
    fn save(&self) -> Result<PathBuf, DestinationError> {
        let file = OutputFile::new_at(&self.name)?;
        file.publish(|out| write_png(out, &self.image, &self.request, &self.model))
    }
}

/// What the worker says.
#[derive(Debug, Clone)]
pub enum Update {
    /// The model is there, and this is what to run first.
    Loaded {
        /// What the model is.
        info: Box<ModelInfo>,
        /// The request that the user started the program with.
        request: Request,
    },
    /// The model could not be loaded.
    LoadFailed(Failure),
    /// This stage begins.
    Begins {
        /// The run.
        run: u64,
        /// What begins.
        work: Work,
    },
    /// A stage or step is done.
    Recorded {
        /// The run.
        run: u64,
        /// What happened.
        event: Event,
        /// A step's quick previews.
        pictures: Option<Pictures>,
        /// With [`Event::Tokens`]: which positions hold tokens that the model has no embedding for.
        unseen: Vec<bool>,
    },
    /// Something was worked out about the run.
    Insight {
        /// The run.
        run: u64,
        /// What.
        insight: Insight,
    },
    /// The run waits.
    Paused {
        /// The run.
        run: u64,
        /// Was it stopped within a stage?
        cancelled: bool,
    },
    /// The run is complete.
    Done {
        /// The run.
        run: u64,
    },
    /// The run cannot go on.
    RunFailed {
        /// The run.
        run: u64,
        /// Why.
        failure: Failure,
    },
    /// Attention that was asked for.
    Attention {
        /// The run.
        run: u64,
        /// The step.
        step: usize,
        /// The maps, or why there are none.
        maps: Result<Vec<AttentionMaps>, Failure>,
    },
    /// A picture that was asked for.
    Decoded {
        /// The run.
        run: u64,
        /// The step.
        step: usize,
        /// The picture, or why there is none.
        image: Result<Arc<RgbImage>, Failure>,
    },
    /// A picture was saved, or not.
    Saved(Result<PathBuf, Failure>),
}

/// The quick previews of a step, one pixel a latent pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct Pictures {
    /// Of the latents before the step.
    pub latents: Arc<RgbImage>,
    /// Of the predicted x0.
    pub x0: Arc<RgbImage>,
}

/// What the worker is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Cutting the prompts into tokens.
    Tokens,
    /// Running the text encoder.
    Text,
    /// Drawing the noise.
    Noise,
    /// Denoising, step by step.
    Step(usize),
    /// Decoding the picture.
    Image,
    /// Computing attention again.
    Attention(usize),
    /// Decoding a step's predicted x0.
    Decode(usize),
}

/// Something went wrong: what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

/// Loads the model. Runs on the worker.
pub type Loader = Box<dyn FnOnce() -> anyhow::Result<Arc<Pipeline>> + Send>;

/// The screen's end of the worker.
pub struct Worker {
    /// What the worker says.
    pub updates: Receiver<Update>,
    commands: Sender<Command>,
    answers: Sender<Update>,
    cancel: CancelToken,
}

impl Worker {
    /// Starts the worker: it loads the model at once.
    pub fn spawn(loader: Loader, request: RequestOverrides) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let (answers, updates) = channel();
        let cancel = CancelToken::default();
        let state = State {
            answers: answers.clone(),
            inbox,
            cancel: cancel.clone(),
        };
        thread::Builder::new()
            .name("worker".into())
            .spawn(move || state.work(loader, &request))?;
        Ok(Self {
            updates,
            commands,
            answers,
            cancel,
        })
    }

    /// Sends a command. Never blocks.
    pub fn send(&self, command: Command) {
        match command {
            Command::Save(saving) => {
                // Files can be slow and the worker may be busy: a thread of its own.
                let answers = self.answers.clone();
                thread::spawn(move || {
                    let saved = saving.save().map_err(|error| Failure {
                        what: format!("The picture was not saved: {error}"),
                        advice: "Start the program in a folder that you can write to.".to_owned(),
                    });
                    let _ = answers.send(Update::Saved(saved));
                });
            }
            // A worker that is gone has said why before it went.
            command => {
                if matches!(command, Command::Cancel | Command::Run { .. }) {
                    self.cancel.cancel();
                }
                let _ = self.commands.send(command);
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// The screen is gone: nobody wants to know any more.
struct Gone;

struct State {
    answers: Sender<Update>,
    inbox: Receiver<Command>,
    cancel: CancelToken,
}

struct Running {
    run: u64,
    recorder: Recorder,
    playing: bool,
}

impl State {
    fn work(self, loader: Loader, request: &RequestOverrides) {
        let pipeline = match guarded(loader) {
            Ok(Ok(pipeline)) => pipeline,
            Ok(Err(error)) => {
                let failure = Failure {
                    what: format!("The model could not be loaded: {error:#}"),
                    advice: "Quit with q, and start again with another --model.".to_owned(),
                };
                let _ = self.say(Update::LoadFailed(failure));
                return;
            }
            Err(failure) => {
                let _ = self.say(Update::LoadFailed(failure));
                return;
            }
        };
        let prompt = request.prompt.clone().unwrap_or_default();
        let loaded = Update::Loaded {
            info: Box::new(pipeline.info().clone()),
            request: request.clone().apply(pipeline.default_request(&prompt)),
        };
        if self.say(loaded).is_ok() {
            let _ = self.serve(&pipeline);
        }
    }

    fn serve(&self, pipeline: &Arc<Pipeline>) -> Result<(), Gone> {
        let mut running: Option<Running> = None;
        loop {
            let playing = running.as_ref().is_some_and(|running| running.playing);
            let command = if playing {
                match self.inbox.try_recv() {
                    Ok(command) => Some(command),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => return Err(Gone),
                }
            } else {
                Some(self.inbox.recv().map_err(|_| Gone)?)
            };
            match (command, &mut running) {
                (Some(Command::Run { run, request }), _) => {
                    self.cancel.reset();
                    running = self.start(pipeline, run, request)?;
                }
                (Some(Command::Attention { run, step, detail }), Some(current))
                    if current.run == run =>
                {
                    self.attention(&current.recorder, run, step, detail)?;
                }
                (Some(Command::Attention { run, step, .. }), _) => {
                    let maps = Err(Failure {
                        what: "That run is over: its steps cannot be computed again.".to_owned(),
                        advice: "r runs it once more.".to_owned(),
                    });
                    self.say(Update::Attention { run, step, maps })?;
                }
                (Some(Command::Decode { run, step, x0 }), _) => {
                    self.decode(pipeline, run, step, &x0)?;
                }
                (Some(Command::Play), Some(current)) => current.playing = true,
                (Some(Command::Pause), Some(current)) => {
                    current.playing = false;
                    self.say_paused(current, false)?;
                }
                (Some(Command::Cancel), Some(current)) => {
                    self.cancel.reset();
                    current.playing = false;
                    self.say_paused(current, true)?;
                }
                (Some(Command::Step), Some(current)) => {
                    current.playing = false;
                    if self.advance(pipeline, current)?.is_break() {
                        running = None;
                    } else {
                        self.say_paused(current, false)?;
                    }
                }
                (None, Some(current)) => {
                    let ended = self.advance(pipeline, current)?.is_break();
                    if ended {
                        running = None;
                    }
                }
                _ => {}
            }
        }
    }

    fn start(
        &self,
        pipeline: &Arc<Pipeline>,
        run: u64,
        request: Request,
    ) -> Result<Option<Running>, Gone> {
        let options = RecordOptions {
            layers: true,
            attention: AttentionDetail::Mean,
            cancel: self.cancel.clone(),
            ..RecordOptions::default()
        };
        let recorder = guarded(|| Recorder::new(Arc::clone(pipeline), request, options));
        match flatten(recorder) {
            Ok(recorder) => Ok(Some(Running {
                run,
                recorder,
                playing: true,
            })),
            Err(failure) => {
                self.say(Update::RunFailed { run, failure })?;
                Ok(None)
            }
        }
    }

    /// One stage or step; breaks when the run has failed.
    fn advance(
        &self,
        pipeline: &Pipeline,
        current: &mut Running,
    ) -> Result<std::ops::ControlFlow<()>, Gone> {
        use std::ops::ControlFlow::{Break, Continue};
        let run = current.run;
        let work = match current.recorder.stage() {
            Stage::Tokens => Work::Tokens,
            Stage::Text => Work::Text,
            Stage::Noise => Work::Noise,
            Stage::Step(index) => Work::Step(index),
            Stage::Image => Work::Image,
            Stage::Done => {
                current.playing = false;
                self.say(Update::Done { run })?;
                return Ok(Continue(()));
            }
        };
        self.say(Update::Begins { run, work })?;
        let advanced = guarded(|| {
            let event = current.recorder.advance()?;
            let (pictures, unseen) = match &event {
                Some(Event::Step(step)) => {
                    let preview = |name: &str, scale| {
                        let tensor = step.tensor(name);
                        tensor.map(|tensor| Arc::new(pipeline.preview(&tensor.data, scale)))
                    };
                    let latents = preview("latents", step.preview_scale);
                    let pictures = latents
                        .zip(preview("x0", 1.0))
                        .map(|(latents, x0)| Pictures { latents, x0 });
                    (pictures, Vec::new())
                }
                Some(Event::Tokens(tokens)) => {
                    let ids: Vec<u32> = tokens.prompt.ids();
                    let table = pipeline.token_embeddings();
                    (None, insight::unseen(table, &ids).unwrap_or_default())
                }
                _ => (None, Vec::new()),
            };
            Ok::<_, generation::Error>((event, pictures, unseen))
        });
        match advanced {
            Ok(Ok((Some(event), pictures, unseen))) => {
                self.say(Update::Recorded {
                    run,
                    event: event.clone(),
                    pictures,
                    unseen,
                })?;
                self.say_insight(pipeline, current, &event)?;
                if matches!(current.recorder.stage(), Stage::Done) {
                    current.playing = false;
                    self.say(Update::Done { run })?;
                }
            }
            Ok(Ok((None, ..))) => {
                current.playing = false;
                self.say(Update::Done { run })?;
            }
            // The command that cancelled stands in the inbox and answers for it.
            Ok(Err(generation::Error::Cancelled)) => current.playing = false,
            Ok(Err(error)) => {
                let failure = failure(&error);
                self.say(Update::RunFailed { run, failure })?;
                return Ok(Break(()));
            }
            Err(failure) => {
                self.say(Update::RunFailed { run, failure })?;
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    }

    fn attention(
        &self,
        recorder: &Recorder,
        run: u64,
        step: usize,
        detail: AttentionDetail,
    ) -> Result<(), Gone> {
        let work = Work::Attention(step);
        self.say(Update::Begins { run, work })?;
        let maps = flatten(guarded(|| recorder.attention_at(step, detail, Half::Text)));
        self.say(Update::Attention { run, step, maps })
    }

    fn decode(
        &self,
        pipeline: &Pipeline,
        run: u64,
        step: usize,
        x0: &Snapshot,
    ) -> Result<(), Gone> {
        let work = Work::Decode(step);
        self.say(Update::Begins { run, work })?;
        let image = flatten(guarded(|| pipeline.decode_values(&x0.data))).map(Arc::new);
        self.say(Update::Decoded { run, step, image })
    }

    /// What `event` gives reason to work out. It goes without saying where that fails: the run itself is not touched.
    fn say_insight(
        &self,
        pipeline: &Pipeline,
        current: &Running,
        event: &Event,
    ) -> Result<(), Gone> {
        let run = current.run;
        if let Ok(Ok(insights)) = guarded(|| insight::of(pipeline, event)) {
            for insight in insights {
                self.say(Update::Insight { run, insight })?;
            }
        }
        Ok(())
    }

    fn say_paused(&self, current: &Running, cancelled: bool) -> Result<(), Gone> {
        let run = current.run;
        if matches!(current.recorder.stage(), Stage::Done) {
            self.say(Update::Done { run })
        } else {
            self.say(Update::Paused { run, cancelled })
        }
    }

    fn say(&self, update: Update) -> Result<(), Gone> {
        self.answers.send(update).map_err(|_| Gone)
    }
}

/// Runs `work`; a panic becomes a failure that says where.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Failure {
        what: format!("Diffuscope has a defect: {}", panics::take_message()),
        advice: "The program goes on. r runs again; please report what you did and this message."
            .to_owned(),
    })
}

fn flatten<T>(result: Result<Result<T, generation::Error>, Failure>) -> Result<T, Failure> {
    result?.map_err(|error| failure(&error))
}

fn failure(error: &generation::Error) -> Failure {
    let mut what = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !what.contains(&cause_text) {
            what = format!("{what}: {cause_text}");
        }
        source = cause.source();
    }
    let advice = match error {
        generation::Error::Cancelled => "space goes on from there.",
        _ => "p changes the request, r runs it again.",
    };
    Failure {
        what,
        advice: advice.to_owned(),
    }
}

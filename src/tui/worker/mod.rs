//! The worker: a thread that loads the model and advances runs, and talks to the screen in plain owned data.
//!
//! The screen sends [`Command`]s and never waits; the worker answers with [`Update`]s. Whatever goes wrong here, a
//! panic included, reaches the screen as a [`Failure`] and leaves the worker ready for the next command.

mod recorded;
mod service;
mod writing;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use image::RgbImage;

use crate::export::{ExportOptions, Replay};
use crate::generation::{BranchPoint, ModelInfo, Pipeline, Request, RequestPatch, Vocabulary};
use crate::lesson::RunJson;
use crate::lesson::filter::{Filter, FilterError, Value};
use crate::model::AttentionDetail;
use crate::scheduler::SchedulerConfig;
use crate::trace::{AttentionMaps, CancelToken, Event, Guidance, TensorData, Trace};
use service::Service;
pub use writing::{Content, Plane, Writing};

/// What the screen asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Ask a lesson's filters.
    Inquire(Box<Inquiry>),
    /// Open another model in the place of the one that is there, and start the next run on it. Runs that were made by
    /// the model before are forgotten: its memory is given back.
    Open {
        /// As `--model` names it.
        model: String,
        /// What to generate with it.
        request: Request,
    },
    /// Start the run `run` of `request` and let it go on to its end. A run that goes on is paused.
    Run {
        /// The run's number.
        run: u64,
        /// What to generate.
        request: Request,
    },
    /// Start the run `run` from where another one stood before a step, and let it go on to its end.
    Branch {
        /// The new run's number.
        run: u64,
        /// The run that it leaves.
        parent: u64,
        /// The first step that is its own.
        step: usize,
        /// What to generate from there on.
        request: Request,
    },
    /// Let a run go on to its end, or until the step `until` is the next one.
    Play {
        /// The run that is meant.
        run: u64,
        /// The first step that is not done any more.
        until: Option<usize>,
    },
    /// Wait after the stage at hand.
    Pause,
    /// One stage or step.
    Step {
        /// The run that is meant.
        run: u64,
    },
    /// Abandon the stage at hand and wait.
    Cancel,
    /// Forget a run: its steps will not be computed again.
    Forget {
        /// The run that is meant.
        run: u64,
    },
    /// Compute the attention of a step again, from its latents.
    Attention {
        /// The run that is meant.
        run: u64,
        /// What is asked for.
        key: AttentionKey,
    },
    /// Decode the predicted x0 of a step.
    Decode {
        /// The run that is meant.
        run: u64,
        /// The step.
        step: usize,
        /// The step's `x0`.
        x0: TensorData,
    },
    /// Write a file.
    Write(Box<Writing>),
    /// Write a finished run, as the plan says.
    Export {
        /// The run that is meant.
        run: u64,
        /// What to write, and where.
        plan: Box<ExportOptions>,
        /// What was recorded.
        trace: Box<Trace>,
    },
}

/// A question to a run: what a lesson's filters give.
#[derive(Debug, Clone)]
pub struct Inquiry {
    /// Its number.
    pub number: u64,
    /// What they are asked about.
    pub facts: RunJson,
    /// The filters.
    pub filters: Vec<Filter>,
}

impl Inquiry {
    fn answer(self) -> Update {
        let values = match self.facts.input() {
            Ok(input) => self
                .filters
                .iter()
                .map(|filter| filter.run(&input))
                .collect(),
            Err(error) => vec![Err(error); self.filters.len()],
        };
        Update::Answered {
            number: self.number,
            values,
        }
    }
}

/// Attention that can be computed again: of which step, in which half of guidance, how fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttentionKey {
    /// The denoising step, from 0.
    pub step: usize,
    /// With or without the prompt.
    pub half: Guidance,
    /// Mean or every head.
    pub detail: AttentionDetail,
}

/// What the worker says.
#[derive(Debug, Clone)]
pub enum Update {
    /// What a lesson's filters gave.
    Answered {
        /// The question's number.
        number: u64,
        /// What each gave.
        values: Vec<Result<Value, FilterError>>,
    },
    /// The model is there, and this is what to run first.
    Loaded {
        /// What the model is.
        info: Arc<ModelInfo>,
        /// What to run first.
        request: Request,
        /// What there is to say of the memory that it needs.
        note: Option<String>,
        /// Is it a recorded run, without the model that made it?
        recorded: bool,
    },
    /// The model could not be loaded; one that was there before is still there.
    LoadFailed(Failure),
    /// This stage begins.
    Begins {
        /// The run.
        run: u64,
        /// What begins.
        work: Work,
    },
    /// A branch has left the run that it comes from.
    Branched {
        /// The run.
        run: u64,
        /// Where its request was changed, its own beginning included.
        branches: Vec<BranchPoint>,
    },
    /// A stage or step is done.
    Recorded {
        /// The run.
        run: u64,
        /// What happened.
        event: Event,
        /// A step's quick previews.
        pictures: Option<Pictures>,
    },
    /// What only the model knows of a run's text, and what it was trained with.
    Vocabulary {
        /// The run.
        run: u64,
        /// What its vocabulary says of the two texts.
        vocabulary: Arc<Vocabulary>,
        /// What it was trained with.
        scheduler_config: Arc<SchedulerConfig>,
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
        /// What was asked for.
        key: AttentionKey,
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
    /// Files were written, or not.
    Saved(Result<Vec<PathBuf>, Failure>),
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

/// Loads a model: the one that the program was started with, or another one as `--model` names it. Runs on the worker.
pub type Loader = Box<dyn FnMut(Option<&str>) -> anyhow::Result<Opened> + Send>;

/// A model that was loaded.
#[derive(Clone)]
pub struct Opened {
    /// The model.
    pub pipeline: Arc<Pipeline>,
    /// What there is to say of the memory that it needs.
    pub note: Option<String>,
}

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
    pub fn spawn(loader: Loader, request: RequestPatch) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let (answers, updates) = channel();
        let cancel = CancelToken::default();
        let service = Service::new(answers.clone(), inbox, cancel.clone());
        thread::Builder::new()
            .name("worker".into())
            .spawn(move || service.work(loader, &request))?;
        Ok(Self {
            updates,
            commands,
            answers,
            cancel,
        })
    }

    /// Starts the worker on a recorded run: it has no model, and computes nothing.
    pub fn replay(replay: Replay) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let (answers, updates) = channel();
        let to_screen = answers.clone();
        thread::Builder::new()
            .name("worker".into())
            .spawn(move || recorded::serve(&replay, &to_screen, &inbox))?;
        Ok(Self {
            updates,
            commands,
            answers,
            cancel: CancelToken::default(),
        })
    }

    /// Sends a command. Never blocks.
    pub fn send(&self, command: Command) {
        match command {
            Command::Write(writing) => {
                // Files can be slow and the worker may be busy: a thread of its own.
                let answers = self.answers.clone();
                thread::spawn(move || {
                    let written = writing.write().map(|path| vec![path]);
                    let _ = answers.send(Update::Saved(written));
                });
            }
            Command::Inquire(inquiry) => {
                let answers = self.answers.clone();
                thread::spawn(move || {
                    let _ = answers.send(inquiry.answer());
                });
            }
            // A worker that is gone has said why before it went.
            command => {
                let interrupts = matches!(
                    command,
                    Command::Cancel
                        | Command::Run { .. }
                        | Command::Branch { .. }
                        | Command::Open { .. }
                );
                if interrupts {
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

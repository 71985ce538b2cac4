//! The worker: a thread that loads the model and advances runs, and talks to the screen in plain owned data.
//!
//! The state sends [`Task`]s and never waits; the worker answers with [`Update`]s. Whatever goes wrong here, a panic
//! included, reaches the screen as a [`Failure`] and leaves the worker ready for the next command.

mod command;
mod failure;
mod files;
mod model_thread;
mod recorded;
mod update;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::export::Replay;
use crate::generation::{Pipeline, RequestPatch};
use crate::trace::CancelToken;
pub use command::{Command, FilterQuery, Job, Task};
pub use failure::Failure;
pub use files::{Content, NewFile};
pub use update::{AttentionKey, Pictures, Update, Work};

/// Loads a model: the one that the program was started with, or another one as `--model` names it. Runs on the worker.
pub type Loader = Box<dyn FnMut(Option<&str>) -> anyhow::Result<Opened> + Send>;

#[derive(Clone)]
pub struct Opened {
    pub pipeline: Arc<Pipeline>,
    /// What there is to say of its device, its memory and its weights, in English and in Chinese.
    pub note: Option<[String; 2]>,
}

/// Why a model was not loaded, in English and in Chinese.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0[0])]
pub struct NotLoaded(pub [String; 2]);

pub struct Worker {
    pub updates: Receiver<Update>,
    commands: Sender<Command>,
    /// For jobs, which answer from threads of their own.
    answers: Sender<Update>,
    cancel: CancelToken,
}

impl Worker {
    /// Starts the worker: it loads the model at once, and says with what to begin: `request`, over the model's
    /// defaults.
    pub fn spawn(loader: Loader, request: RequestPatch) -> std::io::Result<Self> {
        Self::start(move |answers, commands, cancel| {
            model_thread::work(loader, &request, answers, commands, cancel);
        })
    }

    /// Starts the worker on a recorded run: it has no model, and computes nothing.
    pub fn replay(replay: Replay) -> std::io::Result<Self> {
        Self::start(move |answers, commands, _| recorded::work(&replay, &answers, &commands))
    }

    fn start(
        work: impl FnOnce(Sender<Update>, Receiver<Command>, CancelToken) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = channel();
        let (answers, updates) = channel();
        let worker = Self {
            updates,
            commands,
            answers,
            cancel: CancelToken::default(),
        };
        let (answers, cancel) = (worker.answers.clone(), worker.cancel.clone());
        let thread = thread::Builder::new().name("worker".into());
        thread.spawn(move || work(answers, inbox, cancel))?;
        Ok(worker)
    }

    /// Hands every update on to `tell` from now on, on a thread of its own, until that answers that nobody listens.
    pub fn forward(
        &mut self,
        tell: impl Fn(Update) -> bool + Send + 'static,
    ) -> std::io::Result<()> {
        let (_, nothing) = channel();
        let updates = std::mem::replace(&mut self.updates, nothing);
        let forward = move || updates.into_iter().all(tell);
        thread::Builder::new()
            .name("updates".into())
            .spawn(forward)?;
        Ok(())
    }

    /// Never blocks. A model's thread that is gone has said why before it went.
    pub fn send(&self, task: Task) {
        match task {
            Task::Job(job) => {
                let answers = self.answers.clone();
                thread::spawn(move || send(&answers, job.run()));
            }
            Task::Command(command) => {
                if command.interrupts() {
                    self.cancel.cancel();
                }
                let _ = self.commands.send(command);
            }
        }
    }
}

/// Where the screen is gone nobody listens, and no command comes any more either.
fn send(answers: &Sender<Update>, update: Update) {
    let _ = answers.send(update);
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

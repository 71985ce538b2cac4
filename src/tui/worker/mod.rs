//! The worker: a thread that loads the model and advances runs, and talks to the screen in plain owned data.
//!
//! The state sends [`Task`]s and never waits; the worker answers with [`Update`]s. Whatever goes wrong here, a panic
//! included, reaches the screen as a [`Failure`] and leaves the worker ready for the next command.

mod command;
mod failure;
mod files;
mod look;
mod model_thread;
mod probe;
mod recorded;
mod update;
mod variant;
mod watch;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::export::Replay;
use crate::generation::{Pipeline, RequestPatch, has_open_gpu};
use crate::trace::CancelToken;
pub use command::{Command, FilterQuery, Job, LatentPathQuery, Task};
pub use failure::Failure;
pub use files::{Content, NewFile};
pub use look::{Look, LookKey, Looked};
pub use update::{AttentionKey, Pictures, ProbeKey, Probed, Update, Work, fits_all_steps};
pub use variant::Variant;
pub use watch::{Asked, WatchQuery};

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

/// How long leaving waits for a thread that a GPU is at work for: the driver's and the libraries' own ends, which come with
/// that of the process, must not find a call under way.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Worker {
    pub updates: Receiver<Update>,
    /// Until it is to end.
    commands: Option<Sender<Command>>,
    /// For jobs, which answer from threads of their own.
    answers: Sender<Update>,
    cancel: CancelToken,
    thread: Option<JoinHandle<()>>,
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
        let mut worker = Self {
            updates,
            commands: Some(commands),
            answers,
            cancel: CancelToken::default(),
            thread: None,
        };
        let (answers, cancel) = (worker.answers.clone(), worker.cancel.clone());
        let thread = thread::Builder::new().name("worker".into());
        worker.thread = Some(thread.spawn(move || work(answers, inbox, cancel))?);
        Ok(worker)
    }

    /// Cancels what the thread does, gives it nothing more to do, and waits at most `patience` for its end.
    fn end(&mut self, patience: Duration) {
        self.cancel.cancel();
        self.commands = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        let start = Instant::now();
        while !thread.is_finished() {
            if start.elapsed() >= patience {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // Its panics have been said.
        let _ = thread.join();
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
                if let Some(commands) = &self.commands {
                    let _ = commands.send(command);
                }
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
        // A thread on the CPU ends with the process, wherever it is.
        self.end(if has_open_gpu() {
            PATIENCE
        } else {
            Duration::ZERO
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A worker that goes on for `longer` after it was cancelled, and what says that it has ended.
    fn slow(longer: Duration) -> (Worker, Arc<AtomicBool>) {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let worker = Worker::start(move |_, commands, cancel| {
            while !cancel.is_cancelled() {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(longer);
            // Nobody gives it more to do.
            assert!(commands.recv().is_err());
            end.store(true, Ordering::Release);
        });
        (worker.unwrap(), ended)
    }

    #[test]
    fn whoever_leaves_waits_for_the_work_that_is_under_way_and_not_for_ever() {
        let (mut worker, ended) = slow(Duration::from_millis(100));
        worker.end(Duration::from_mins(1));
        assert!(ended.load(Ordering::Acquire));

        let (mut worker, ended) = slow(Duration::from_secs(5));
        let start = Instant::now();
        worker.end(Duration::from_millis(50));
        assert!(!ended.load(Ordering::Acquire) && start.elapsed() < Duration::from_secs(3));
    }
}

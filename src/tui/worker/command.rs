//! What the state asks of the worker.

use crate::export::{ExportOptions, WatchValues};
use crate::generation::Request;
use crate::lesson::filter::Filter;
use crate::lesson::{RunJson, Watch};
use crate::trace::latent_path::{LatentPath, LatentState};
use crate::trace::{TensorData, Trace};

use super::files::NewFile;
use super::look::LookKey;
use super::update::{AttentionKey, ProbeKey, Update};
use super::variant::Variant;
use super::watch::WatchQuery;

/// Something for the worker to do, on the thread that has the model or on one of its own.
#[derive(Debug, Clone)]
pub enum Task {
    Command(Command),
    Job(Job),
}

/// For the model's thread, which carries out one command after the other, between two denoising steps.
#[derive(Debug, Clone)]
pub enum Command {
    /// Open another model, as `--model` names it, in the place of the one that is there, and start the next run on
    /// it. Runs that were made by the model before are forgotten: its memory is given back.
    Open { model: String, request: Request },
    /// Start a run and let it go on to its end. A run that goes on is paused.
    Run { run: u64, request: Request },
    /// Start a run from where `parent` stood before `step`, and let it go on to its end.
    Branch {
        run: u64,
        parent: u64,
        step: usize,
        request: Request,
    },
    /// Let a run go on to its end, or until the step `until` is the next one.
    Play { run: u64, until: Option<usize> },
    /// Wait after the stage at hand.
    Pause,
    /// One stage or step.
    Step { run: u64 },
    /// Abandon the stage at hand and wait.
    Cancel,
    /// Forget a run: its steps will not be computed again.
    Forget { run: u64 },
    /// Compute the attention of a step again, from its latents.
    Attention { run: u64, key: AttentionKey },
    /// Look closer at a step, from its latents.
    Look { run: u64, key: LookKey },
    /// Decode the predicted x0 of a step.
    Decode {
        run: u64,
        step: usize,
        x0: TensorData,
    },
    /// Make a variant of a finished run, in the place of one that is being made, whenever there is nothing else to do.
    Variant {
        run: u64,
        variant: Variant,
        request: Request,
    },
    /// Give up the variant that is being made, after the step at hand.
    StopVariant,
    /// Look into a network; `latents` are what a decoder is given.
    Probe {
        run: u64,
        key: ProbeKey,
        latents: Option<TensorData>,
    },
    /// Stop runs where one of these, if it is a breakpoint, is true after a step; and record what they look at in runs
    /// that begin from now on.
    Watch(Vec<Watch>),
    /// Write a finished run, as the plan says, with what watch expressions gave.
    Export {
        run: u64,
        watches: Vec<WatchValues>,
        plan: Box<ExportOptions>,
        trace: Box<Trace>,
    },
}

impl Command {
    /// Does it end the stage at hand at once?
    pub(super) fn interrupts(&self) -> bool {
        matches!(
            self,
            Self::Cancel | Self::Run { .. } | Self::Branch { .. } | Self::Open { .. }
        )
    }
}

/// For a thread of its own: it needs no model, and may be slow.
#[derive(Debug, Clone)]
pub enum Job {
    WriteFile(Box<NewFile>),
    Evaluate(Box<FilterQuery>),
    Watch(Box<WatchQuery>),
    LatentPath(LatentPathQuery),
}

impl Job {
    pub(super) fn run(self) -> Update {
        match self {
            Self::WriteFile(file) => Update::Saved {
                kept: file.keeps,
                saved: file.write().map(|path| vec![path]),
            },
            Self::Evaluate(query) => query.evaluate(),
            Self::Watch(query) => query.evaluate(),
            Self::LatentPath(LatentPathQuery { runs, states }) => Update::LatentPath {
                path: LatentPath::of(&states),
                runs,
            },
        }
    }
}

/// Runs, how many of their steps are done, and their states.
#[derive(Debug, Clone)]
pub struct LatentPathQuery {
    pub runs: Vec<(u64, usize)>,
    pub states: Vec<Vec<LatentState>>,
}

/// A lesson's filters, and what they are asked about.
#[derive(Debug, Clone)]
pub struct FilterQuery {
    pub number: u64,
    pub run_json: RunJson,
    pub filters: Vec<Filter>,
}

impl FilterQuery {
    fn evaluate(self) -> Update {
        let values = match self.run_json.input() {
            Ok(input) => (self.filters.iter())
                .map(|filter| filter.run(&input))
                .collect(),
            Err(error) => vec![Err(error); self.filters.len()],
        };
        Update::Evaluated {
            query: self.number,
            values,
        }
    }
}

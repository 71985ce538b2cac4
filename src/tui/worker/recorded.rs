//! The worker of a recorded run: it reads what was written down, and computes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::service::{Gone, not_written};
use super::{AttentionKey, Command, Failure, Pictures, Update};
use crate::export::{ExportError, ExportOptions, Replay, ReplayError, save_trace};
use crate::model::AttentionDetail;
use crate::trace::{AttentionMaps, Event, Guidance, Trace};

/// Answers commands until the screen is gone.
pub(super) fn serve(replay: &Replay, answers: &Sender<Update>, inbox: &Receiver<Command>) {
    let say = |update| answers.send(update).map_err(|_| Gone);
    let loaded = say(Update::Loaded {
        info: Arc::new(replay.info().clone()),
        request: replay.request().clone(),
        note: None,
        recorded: true,
    });
    let mut gone = loaded.is_err();
    while !gone {
        let Ok(command) = inbox.recv() else {
            return;
        };
        let answered = match command {
            Command::Run { run, .. } => read(replay, run, answers),
            Command::Attention { run, key } => {
                let maps = attention(replay, key);
                say(Update::Attention { run, key, maps })
            }
            Command::Decode { run, step, .. } => {
                let image = Err(missing("The picture decoded at this step"));
                say(Update::Decoded { run, step, image })
            }
            Command::Branch { run, .. } | Command::Play { run, .. } | Command::Step { run } => {
                let failure = missing("A model to go on with");
                say(Update::RunFailed { run, failure })
            }
            Command::Export { plan, trace, .. } => {
                say(Update::Saved(export(replay, &plan, &trace)))
            }
            Command::Open { .. } => {
                let failure = missing("A model to run");
                say(Update::LoadFailed(failure))
            }
            Command::Pause
            | Command::Cancel
            | Command::Forget { .. }
            | Command::Write(_)
            | Command::Inquire(_) => Ok(()),
        };
        gone = answered.is_err();
    }
}

/// What was recorded of the prompt's half, as fine as it was recorded.
fn attention(replay: &Replay, key: AttentionKey) -> Result<Vec<AttentionMaps>, Failure> {
    if key.half == Guidance::Uncond {
        return Err(missing("Attention without the prompt"));
    }
    let maps = replay
        .attention_at(key.step)
        .map_err(|error| failure(&error))?;
    let has_heads = maps.iter().all(|map| map.heads.is_some());
    match key.detail {
        _ if maps.is_empty() => Err(missing("The attention of this step")),
        AttentionDetail::Heads if !has_heads => Err(missing("Attention of every head")),
        _ => Ok(maps),
    }
}

/// Writes the run once more: as it was recorded, with the attention that was.
fn export(replay: &Replay, plan: &ExportOptions, trace: &Trace) -> Result<Vec<PathBuf>, Failure> {
    let Some(folder) = plan.folder().map_err(|error| not_written(&error))? else {
        return Ok(Vec::new());
    };
    let attention = |step| replay.attention_at(step).map_err(|error| failure(&error));
    let written = save_trace(
        folder,
        replay.metadata(),
        trace,
        replay.selection(),
        attention,
    );
    written.map(|path| vec![path])
}

/// Reads the whole run, event by event.
fn read(replay: &Replay, run: u64, answers: &Sender<Update>) -> Result<(), Gone> {
    let say = |update| answers.send(update).map_err(|_| Gone);
    for event in replay.events(true) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let failure = failure(&error);
                return say(Update::RunFailed { run, failure });
            }
        };
        let pictures = match &event {
            Event::Step(step) => {
                let preview = |name: &str, scale| {
                    let tensor = step.tensor(name);
                    tensor.map(|tensor| Arc::new(replay.info().preview(&tensor.data, scale)))
                };
                let latents = preview("latents", step.preview_scale);
                let both = latents.zip(preview("x0", 1.0));
                both.map(|(latents, x0)| Pictures { latents, x0 })
            }
            _ => None,
        };
        say(Update::Recorded {
            run,
            event,
            pictures,
        })?;
    }
    say(Update::Done { run })
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        not_written(&error)
    }
}

fn failure(error: &ReplayError) -> Failure {
    Failure {
        what: error.to_string(),
        advice: "Record the run once more: diffuscope run --json DIR.".to_owned(),
    }
}

fn missing(what: &str) -> Failure {
    Failure {
        what: format!("{what} is not part of this recording."),
        advice:
            "A recorded run is looked at without its model. `diffuscope -p TEXT` opens a live one."
                .to_owned(),
    }
}

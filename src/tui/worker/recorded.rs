//! The worker of a recorded run: it reads what was written down, and computes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::command::Command;
use super::failure::Failure;
use super::look::{Look, LookKey, Looked};
use super::send;
use super::update::{AttentionKey, Pictures, Update};
use crate::export::{ExportOptions, Replay, RunMetadata, WatchValues, save_trace};
use crate::lesson::Said;
use crate::model::AttentionDetail;
use crate::trace::{AttentionMaps, Guidance, HeadSummary, Trace};

pub(super) fn work(replay: &Replay, answers: &Sender<Update>, commands: &Receiver<Command>) {
    let loaded = Update::Loaded {
        info: Arc::new(replay.info().clone()),
        request: Box::new(replay.request().clone()),
        note: replay.stopped().map(|stopped| {
            [
                format!(
                    "this run was stopped after {stopped}; its picture is what was predicted there"
                ),
                format!(
                    "这次运行在第 {} 步之后被断点停下，图片是那一步的预测",
                    stopped.step + 1
                ),
            ]
        }),
        recorded: true,
        tokenizer: None,
    };
    send(answers, loaded);
    while let Ok(command) = commands.recv() {
        carry_out(replay, command, answers);
    }
}

fn carry_out(replay: &Replay, command: Command, answers: &Sender<Update>) {
    let update = match command {
        Command::Run { run, .. } => return read(replay, run, answers),
        Command::Attention { run, key } => Update::Attention {
            run,
            key,
            maps: attention(replay, key),
        },
        Command::Look { run, key } => Update::Looked {
            run,
            key,
            found: look(replay, key).map(Some),
        },
        Command::Decode { run, step, .. } => Update::Decoded {
            run,
            step,
            image: Err(missing([
                "The picture decoded at this step",
                "这一步解码出的图片",
            ])),
        },
        Command::Probe { run, key, .. } => Update::Probed {
            run,
            key,
            features: Err(missing([
                "What passed inside of the networks",
                "网络内部经过的值",
            ])),
        },
        Command::Branch { run, .. } | Command::Play { run, .. } | Command::Step { run } => {
            Update::RunFailed {
                run,
                failure: missing(["A model to go on with", "继续运行要用的模型"]),
            }
        }
        Command::Export {
            run,
            watches,
            plan,
            trace,
        } => Update::Saved {
            kept: Some(run),
            saved: export(replay, &plan, &trace, watches),
        },
        Command::Open { .. } => Update::LoadFailed(missing(["A model to run", "运行要用的模型"])),
        Command::Variant { run, variant, .. } => Update::Variant {
            run,
            variant,
            image: Err(missing(["A variant of the run", "这次运行的变体"])),
        },
        // Nothing goes on that could be stopped, and nothing is kept for a run.
        Command::Pause
        | Command::Cancel
        | Command::StopVariant
        | Command::Forget { .. }
        | Command::Watch(_) => return,
    };
    send(answers, update);
}

/// What was recorded of the prompt's half, as fine as it was recorded.
fn attention(replay: &Replay, key: AttentionKey) -> Result<Vec<AttentionMaps>, Failure> {
    if key.half == Guidance::Uncond {
        return Err(missing([
            "Attention without the prompt",
            "没有提示词时的注意力",
        ]));
    }
    let maps = replay.attention_at(key.step)?;
    let has_heads = maps.iter().all(|map| map.heads.is_some());
    match key.detail {
        _ if maps.is_empty() => Err(missing(["The attention of this step", "这一步的注意力"])),
        AttentionDetail::Heads if !has_heads => {
            Err(missing(["Attention of every head", "各个头的注意力"]))
        }
        _ => Ok(maps),
    }
}

/// What follows from what was recorded: heads from the maps of every head.
fn look(replay: &Replay, key: LookKey) -> Result<Looked, Failure> {
    if key.look != Look::Heads {
        return Err(missing(["Queries and keys", "查询和键"]));
    }
    let maps = attention(
        replay,
        AttentionKey {
            step: key.step,
            half: key.half,
            detail: AttentionDetail::Heads,
        },
    )?;
    Ok(Looked::Heads(
        maps.iter().filter_map(HeadSummary::of_maps).collect(),
    ))
}

/// Writes the run once more: as it was recorded, with the attention that was.
fn export(
    replay: &Replay,
    plan: &ExportOptions,
    trace: &Trace,
    watches: Vec<WatchValues>,
) -> Result<Vec<PathBuf>, Failure> {
    let Some(folder) = plan
        .folder()
        .map_err(|error| Failure::not_written(&error))?
    else {
        return Ok(Vec::new());
    };
    let attention = |step| replay.attention_at(step).map_err(Failure::from);
    let metadata = RunMetadata {
        watches,
        ..replay.metadata()
    };
    let selection = replay.selection();
    Ok(vec![save_trace(
        folder, metadata, trace, selection, attention,
    )?])
}

fn read(replay: &Replay, run: u64, answers: &Sender<Update>) {
    for event in replay.events(true) {
        let update = match event {
            Ok(event) => Update::Recorded {
                run,
                pictures: Pictures::of(&event, |latents, scale| {
                    replay.info().preview(latents, scale)
                }),
                event,
            },
            Err(error) => {
                let failure = error.into();
                return send(answers, Update::RunFailed { run, failure });
            }
        };
        send(answers, update);
    }
    if let Some(weight) = replay.broken_weight().cloned() {
        send(answers, Update::Blamed { run, weight });
    }
    send(answers, Update::Done { run });
}

fn missing(what: Said) -> Failure {
    Failure::new(
        [
            format!("{} is not part of this recording.", what[0]),
            format!("这份记录里没有{}。", what[1]),
        ],
        [
            "A recorded run is looked at without its model. `diffuscope -p TEXT` opens a live one.",
            "看记录下来的运行时没有它的模型。用 `diffuscope -p TEXT` 可以当场运行。",
        ],
    )
}

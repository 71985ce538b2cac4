//! What the screen would like to show at the cursor and does not have: asked of the worker one after the other.

use std::collections::BTreeSet;

use super::cursor::{Cursor, Grid, View};
use super::detail::ImagePart;
use super::run::Run;
use crate::model::AttentionDetail;
use crate::trace::Guidance;
use crate::tui::worker::{AttentionKey, Command};

/// Something to ask of the worker, for the run with this number.
type RunRequest = (u64, Wanted);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    Attention(AttentionKey),
    Decode(usize),
}

/// What was asked of the worker, and what it could not give.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    /// One at a time: who moves on quickly shall not wait for what was passed.
    pending: Option<RunRequest>,
    /// Not asked for again.
    refused: BTreeSet<RunRequest>,
}

impl Requests {
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    pub fn forget_pending(&mut self) {
        self.pending = None;
    }

    /// The next thing that one of `runs` lacks, of what is looked at.
    pub fn next<'a>(
        &mut self,
        runs: impl Iterator<Item = &'a Run>,
        cursor: &Cursor,
    ) -> Option<Command> {
        if self.pending.is_some() {
            return None;
        }
        let mut wanted = runs.flat_map(|run| {
            wanted_of(run, cursor)
                .into_iter()
                .map(move |wanted| (run, wanted))
        });
        let (run, wanted) =
            wanted.find(|(run, wanted)| !self.refused.contains(&(run.id, *wanted)))?;
        let command = match wanted {
            Wanted::Attention(key) => Command::Attention { run: run.id, key },
            Wanted::Decode(step) => Command::Decode {
                run: run.id,
                step,
                x0: run.step(step)?.tensor("x0")?.clone(),
            },
        };
        self.pending = Some((run.id, wanted));
        Some(command)
    }

    /// An answer came; where it is a refusal, it is not asked for again.
    pub fn answered(&mut self, run: u64, wanted: Wanted, is_refused: bool) {
        let request = (run, wanted);
        self.pending = self.pending.filter(|pending| *pending != request);
        if is_refused {
            self.refused.insert(request);
        }
    }
}

/// What `run` lacks of what the view shows, the most wanted first.
fn wanted_of(run: &Run, cursor: &Cursor) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    if cursor.step >= run.trace.steps.len() {
        return wanted;
    }
    if cursor.view == View::Attention {
        wanted_attention(run, cursor, &mut wanted);
    }
    let shows_decoded = cursor.decode && cursor.view.shows_pictures();
    if shows_decoded && cursor.view == View::Image && cursor.detail.image == ImagePart::Steps {
        // The last one is the picture itself.
        let steps = (0..run.trace.steps.len()).filter(|step| step + 1 < run.total_steps());
        let missing = steps.filter(|step| !run.decoded.contains_key(step));
        wanted.extend(missing.map(Wanted::Decode));
    } else if shows_decoded && !run.decoded.contains_key(&cursor.step) {
        wanted.push(Wanted::Decode(cursor.step));
    }
    wanted
}

fn wanted_attention(run: &Run, cursor: &Cursor, wanted: &mut Vec<Wanted>) {
    let half = cursor.attention.half;
    if half == Guidance::Uncond && !run.is_guided_at(cursor.step) {
        return;
    }
    let mut want = |step, detail| {
        let key = AttentionKey { step, half, detail };
        if run.attention(key).is_empty() {
            wanted.push(Wanted::Attention(key));
        }
    };
    want(cursor.step, AttentionDetail::Mean);
    if cursor.attention.detail() == AttentionDetail::Heads {
        want(cursor.step, AttentionDetail::Heads);
    }
    // Over the steps: as far as the memory goes, without computing anew what did not fit before.
    if cursor.attention.grid == Grid::Steps && half == Guidance::Uncond {
        let (used, budget) = run.attention_memory();
        let done = run.trace.steps.len();
        if used + used / done.max(1) < budget {
            (0..done).for_each(|step| want(step, AttentionDetail::Mean));
        }
    }
}

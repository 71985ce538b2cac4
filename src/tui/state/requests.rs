//! What the screen would like to show at the cursor and does not have: asked of the worker one after the other.

use std::collections::BTreeSet;

use super::cursor::{Cursor, Grid, View};
use super::run::Run;
use crate::model::AttentionDetail;
use crate::trace::Guidance;
use crate::tui::worker::{AttentionKey, Command, LookKey};

/// Something to ask of the worker, for the run with this number.
type RunRequest = (u64, Wanted);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    Attention(AttentionKey),
    Look(LookKey),
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

    /// Is a closer look on its way that takes a pass of the network, and that may be cancelled?
    pub fn is_looking(&self) -> bool {
        matches!(self.pending, Some((_, Wanted::Look(_))))
    }

    /// Is a pass of the network on its way that nobody waits for any more?
    pub fn is_passed<'a>(&self, runs: impl Iterator<Item = &'a Run>, cursor: &Cursor) -> bool {
        let mut all = runs.flat_map(|run| {
            let wanted = wanted_of(run, cursor).into_iter();
            wanted.map(move |wanted| (run.id, wanted))
        });
        let is_pass = matches!(
            self.pending,
            Some((_, Wanted::Look(_) | Wanted::Attention(_)))
        );
        is_pass && !all.any(|request| Some(request) == self.pending)
    }

    /// Does not ask again for the look that is on its way; returns its run and what it is at.
    pub fn refuse_look(&mut self) -> Option<(u64, LookKey)> {
        self.refused.extend(self.pending);
        match self.pending {
            Some((run, Wanted::Look(key))) => Some((run, key)),
            _ => None,
        }
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
            Wanted::Look(key) => Command::Look { run: run.id, key },
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
    if shows_decoded && !run.decoded.contains_key(&cursor.step) {
        wanted.push(Wanted::Decode(cursor.step));
    }
    wanted
}

fn wanted_attention(run: &Run, cursor: &Cursor, wanted: &mut Vec<Wanted>) {
    let half = cursor.attention.half;
    if half == Guidance::Uncond && !run.is_guided_at(cursor.step) {
        return;
    }
    if !cursor.attention.grid.has_maps() {
        return wanted_looks(run, cursor, wanted);
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

/// A step takes less than this where a look at all of them is asked for at once, in seconds: beyond it those that were
/// visited have to do.
const QUICK: f64 = 0.5;

fn wanted_looks(run: &Run, cursor: &Cursor, wanted: &mut Vec<Wanted>) {
    let half = cursor.attention.half;
    let keys = cursor.looks();
    let lacks = |key: &LookKey| run.looked.get(*key).is_none();
    wanted.extend(keys.iter().copied().filter(lacks).map(Wanted::Look));
    let is_quick = run.seconds_a_step().is_some_and(|seconds| seconds < QUICK);
    // A recording that has not this step's heads has no other's either.
    if cursor.attention.grid == Grid::Matrix && is_quick && wanted.is_empty() {
        let steps = (0..run.trace.steps.len())
            .filter(|&step| half == Guidance::Cond || run.is_guided_at(step));
        let keys = steps.flat_map(|step| keys.iter().map(move |&key| LookKey { step, ..key }));
        wanted.extend(keys.filter(lacks).map(Wanted::Look));
    }
}

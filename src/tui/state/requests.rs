//! What the screen would like to show at the cursor and does not have: asked of the worker one after the other.

use std::collections::BTreeSet;

use super::cursor::{Cursor, Grid, View};
use super::detail::ImagePart;
use super::run::Run;
use crate::checkpoint::Component;
use crate::model::AttentionDetail;
use crate::trace::Guidance;
use crate::trace::TensorData;
use crate::tui::worker::{AttentionKey, Command, LookKey, ProbeKey, Probed, fits_all_steps};

/// Something to ask of the worker, for the run with this number.
type RunRequest = (u64, Wanted);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    Attention(AttentionKey),
    Look(LookKey),
    Decode(usize),
    Probe(ProbeKey),
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

    /// Is a network looked into?
    pub fn is_probing(&self) -> bool {
        matches!(self.pending, Some((_, Wanted::Probe(_))))
    }

    /// What could not be looked at is asked for again.
    pub fn forgive_probes(&mut self) {
        let is_probe = |(_, wanted): &RunRequest| matches!(wanted, Wanted::Probe(_));
        self.refused.retain(|request| !is_probe(request));
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
            Wanted::Probe(key) => Command::Probe {
                run: run.id,
                key,
                latents: latents(run, key),
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
    wanted_probes(run, cursor, &mut wanted);
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

/// What a decoder is given in a step: the latents that the picture is made of, or the predicted x0.
fn latents(run: &Run, key: ProbeKey) -> Option<TensorData> {
    let is_last = key.step + 1 >= run.total_steps();
    let name = if is_last { "latents_next" } else { "x0" };
    let latents = run.step(key.step)?.tensor(name)?.clone();
    (key.network == Component::Vae).then_some(latents)
}

/// What of the network is looked at and not there: what is shown first, then what the colours of all steps need.
fn wanted_probes(run: &Run, cursor: &Cursor, wanted: &mut Vec<Wanted>) {
    let (Some(inside), Some(key)) = (cursor.inside(), cursor.probe_key()) else {
        return;
    };
    let done = run.trace.steps.len();
    let is_there = match inside.network {
        Component::TextEncoder => run.trace.text.is_some(),
        Component::UNet | Component::Vae => key.step < done,
    };
    let is_guided = |step| key.half == Guidance::Cond || run.is_guided_at(step);
    let is_unet = inside.network == Component::UNet;
    if inside.module(&run.info).is_none() || !is_there || is_unet && !is_guided(key.step) {
        return;
    }
    if run.probes.get(key).is_none() {
        wanted.push(Wanted::Probe(key));
    }
    if !fits_all_steps(&run.info) && inside.line.is_none() {
        let what = Probed::Module(inside.module);
        let of_one = ProbeKey { what, ..key };
        if run.probes.get(of_one).is_none() {
            wanted.push(Wanted::Probe(of_one));
        }
    }
    if !is_unet || !fits_all_steps(&run.info) {
        return;
    }
    let steps: Vec<usize> = (0..done).filter(|&step| is_guided(step)).collect();
    let missing = steps
        .iter()
        .filter(|&&step| !run.probes.is_fitted(key.half, step));
    let fit = |&step: &usize| {
        Wanted::Probe(ProbeKey {
            step,
            what: Probed::Fit,
            ..key
        })
    };
    wanted.extend(missing.map(fit));
    let all = run.probes.steps_fitted(key.half);
    if key.what == Probed::Modules && all == steps.len() && run.probes.fitted(key) < all {
        wanted.push(Wanted::Probe(key));
    }
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

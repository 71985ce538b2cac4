//! The runs of this sitting: a small tree, because a branch leaves another run at one of its steps.

use std::sync::Arc;

use super::app::NOTICE;
use super::run::{Origin, Run};
use super::{App, Cursor, Model, Notice};
use crate::generation::Request;
use crate::tui::worker::Command;

/// The most runs that are kept: beyond it the oldest is forgotten that is neither on the screen nor beside it.
const KEPT: usize = 24;

/// A run as a row of the tree.
#[derive(Debug, Clone, Copy)]
pub struct Branch<'a> {
    /// The run.
    pub run: &'a Run,
    /// How deep it hangs: 0 for a run that left no other one.
    pub depth: usize,
    /// Is it the one on the screen?
    pub is_current: bool,
    /// Does it stand beside the one on the screen?
    pub is_compared: bool,
}

impl App {
    /// Every run of this sitting as a tree, oldest first, branches below the run that they left.
    pub fn tree(&self) -> Vec<Branch<'_>> {
        let mut runs: Vec<&Run> = self.run.iter().chain(&self.shelf).collect();
        runs.sort_by_key(|run| run.id);
        let mut rows = Vec::new();
        let is_root = |run: &&&Run| {
            let parent = run.origin.map(|origin| origin.run);
            parent.is_none_or(|parent| !runs.iter().any(|other| other.id == parent))
        };
        for root in runs.iter().filter(is_root) {
            self.hang(root, 0, &runs, &mut rows);
        }
        rows
    }

    fn hang<'a>(
        &'a self,
        run: &'a Run,
        depth: usize,
        runs: &[&'a Run],
        rows: &mut Vec<Branch<'a>>,
    ) {
        rows.push(Branch {
            run,
            depth,
            is_current: self.is_current(run.id),
            is_compared: self.compared == Some(run.id),
        });
        for child in runs {
            if child.origin.is_some_and(|origin| origin.run == run.id) {
                self.hang(child, depth + 1, runs, rows);
            }
        }
    }

    /// The run that stands beside the one on the screen.
    pub fn compared_run(&self) -> Option<&Run> {
        let id = self.compared?;
        self.shelf.iter().find(|run| run.id == id)
    }

    /// Is there another run to stand beside the one on the screen?
    pub fn can_compare(&self) -> bool {
        !self.shelf.is_empty()
    }

    /// Can the run on the screen be left at the step that is looked at?
    pub fn can_branch(&self) -> bool {
        self.has_steps() && self.is_live() && !self.recorded
    }

    /// Starts a run of `request` from its first stage.
    pub(super) fn start(&mut self, request: Request) -> Vec<Command> {
        let Model::Ready(info) = &self.model else {
            return Vec::new();
        };
        let info = Arc::clone(info);
        let run = self.next_number();
        let new = Run::new(run, request.clone(), info, self.attention_budget);
        let mut commands = self.show_new(new);
        self.cursor.step = 0;
        commands.push(Command::Run { run, request });
        commands
    }

    /// Leaves the run on the screen before the step that is looked at, and goes on as `request`.
    pub(super) fn branch(&mut self, step: usize, request: Request) -> Vec<Command> {
        let Some(parent) = &self.run else {
            return Vec::new();
        };
        let origin = Origin {
            run: parent.id,
            step,
        };
        let run = self.runs + 1;
        let branch = parent.branch(run, step, request.clone());
        self.next_number();
        let mut commands = self.show_new(branch);
        // What changes is best seen beside what it was.
        self.compared = Some(origin.run);
        commands.push(Command::Branch {
            run,
            parent: origin.run,
            step,
            request,
        });
        commands
    }

    /// Opens another model, which then runs `request`.
    pub(super) fn open(&mut self, model: String, request: Request) -> Vec<Command> {
        self.opening = Some((model.clone(), self.clock));
        vec![Command::Open { model, request }]
    }

    fn next_number(&mut self) -> u64 {
        self.runs += 1;
        self.runs
    }

    /// Puts a new run on the screen, and the one that was there on the shelf.
    fn show_new(&mut self, run: Run) -> Vec<Command> {
        self.request = Some(run.trace.request.clone());
        let mut before = self.run.replace(run);
        if let Some(before) = &mut before {
            before.forget_recomputed();
        }
        self.shelf.extend(before);
        self.compared = None;
        self.pending = None;
        self.notice = None;
        self.turn_to_run();
        self.cursor.follow = true;
        self.forget_oldest()
    }

    /// Puts the run `id` of the shelf on the screen.
    pub(super) fn switch_to(&mut self, id: u64) {
        let Some(at) = self.shelf.iter().position(|run| run.id == id) else {
            return;
        };
        let run = self.shelf.remove(at);
        self.request = Some(run.trace.request.clone());
        let before = self.run.replace(run);
        if self.compared == Some(id) {
            self.compared = before.as_ref().map(|before| before.id);
        }
        self.shelf.extend(before);
        self.shelf.sort_by_key(|run| run.id);
        self.turn_to_run();
    }

    /// What belonged to the run before does not belong to the one that is on the screen now.
    fn turn_to_run(&mut self) {
        self.playback = None;
        self.work = None;
        let newest = self.newest().unwrap_or(0);
        self.cursor = Cursor {
            step: self.cursor.step.min(newest),
            ..self.cursor
        };
        self.settle_cursor(false);
    }

    /// Puts another run beside the one on the screen, or none where there is one.
    pub(super) fn compare(&mut self) {
        if self.compared.take().is_some() {
            return;
        }
        // The run that this one left, or else the newest other one.
        let parent = self.run.as_ref().and_then(|run| run.origin);
        let parent = parent.map(|origin| origin.run);
        let parent = parent.filter(|id| self.find(*id).is_some());
        self.compared = parent.or_else(|| self.shelf.iter().map(|run| run.id).max());
    }

    /// Forgets attention maps of earlier runs, the oldest first, until those of all runs fit the budget together. Those of
    /// the run on the screen stay: it keeps to the budget by itself.
    pub(super) fn keep_to_budget(&mut self) {
        let runs = self.run.iter().chain(&self.shelf);
        let mut used: usize = runs.map(|run| run.attention_memory().0).sum();
        // The one beside the run on the screen is the last to lose them.
        let (beside, others): (Vec<_>, Vec<_>) =
            (self.shelf.iter_mut()).partition(|run| Some(run.id) == self.compared);
        for run in others.into_iter().chain(beside) {
            if used <= self.attention_budget {
                break;
            }
            used -= run.forget_attention();
        }
    }

    fn forget_oldest(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        while self.shelf.len() >= KEPT {
            let oldest = (self.shelf.iter()).position(|run| Some(run.id) != self.compared);
            let Some(oldest) = oldest else {
                break;
            };
            let run = self.shelf.remove(oldest).id;
            commands.push(Command::Forget { run });
            let text = format!("run {run} was forgotten: {KEPT} are kept");
            self.notice = Some(Notice::Done(text, self.clock + NOTICE));
        }
        commands
    }

    pub(super) fn is_current(&self, run: u64) -> bool {
        self.run.as_ref().is_some_and(|current| current.id == run)
    }

    pub(super) fn find(&self, id: u64) -> Option<&Run> {
        self.run.iter().chain(&self.shelf).find(|run| run.id == id)
    }

    pub(super) fn find_mut(&mut self, id: u64) -> Option<&mut Run> {
        let mut runs = self.run.iter_mut().chain(&mut self.shelf);
        runs.find(|run| run.id == id)
    }
}

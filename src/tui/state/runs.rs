//! The runs of this session: a small tree, because a branch leaves another run at one of its steps.

use std::sync::Arc;

use super::run::{Origin, Run};
use crate::generation::{ModelInfo, Request};

/// The most runs that are kept: beyond it the oldest is forgotten that is neither on the screen nor beside it.
const KEPT: usize = 24;

#[derive(Debug, Clone, Default)]
pub struct Runs {
    pub current: Option<Run>,
    /// The other ones, in the order of their numbers.
    pub others: Vec<Run>,
    /// Which of the others stands beside the one on the screen.
    compared: Option<u64>,
    newest: u64,
    /// Memory for the attention maps of all runs together, in bytes.
    attention_budget: usize,
}

/// Who asked for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    User,
    /// A lesson's page, or the start of the program on the embedded model: asked again, it makes the run again.
    Program,
}

/// A run as a row of the tree.
#[derive(Debug, Clone, Copy)]
pub struct Branch<'a> {
    pub run: &'a Run,
    /// 0 for a run that left no other one.
    pub depth: usize,
    pub is_current: bool,
    pub is_compared: bool,
}

impl Runs {
    pub fn new(attention_budget: usize) -> Self {
        Self {
            attention_budget,
            ..Self::default()
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Run> {
        self.current.iter().chain(&self.others)
    }

    pub fn find(&self, id: u64) -> Option<&Run> {
        self.all().find(|run| run.id == id)
    }

    pub fn find_mut(&mut self, id: u64) -> Option<&mut Run> {
        let mut all = self.current.iter_mut().chain(&mut self.others);
        all.find(|run| run.id == id)
    }

    pub fn is_current(&self, id: u64) -> bool {
        self.current.as_ref().is_some_and(|run| run.id == id)
    }

    pub fn compared(&self) -> Option<&Run> {
        let id = self.compared?;
        self.others.iter().find(|run| run.id == id)
    }

    /// Every run as a tree, oldest first, branches below the run that they left.
    pub fn tree(&self) -> Vec<Branch<'_>> {
        let mut runs: Vec<&Run> = self.all().collect();
        runs.sort_by_key(|run| run.id);
        let mut rows: Vec<Branch> = Vec::new();
        // A branch is younger than what it left: that has its row already.
        for run in runs {
            let is_parent = |row: &Branch| run.origin.is_some_and(|from| from.run == row.run.id);
            let parent = rows.iter().position(is_parent);
            let depth = parent.map_or(0, |parent| rows[parent].depth + 1);
            let below = parent.map_or(rows.len(), |parent| parent + 1);
            let branches = rows[below..].iter().take_while(|row| row.depth >= depth);
            let branch = Branch {
                run,
                depth,
                is_current: self.is_current(run.id),
                is_compared: self.compared == Some(run.id),
            };
            rows.insert(below + branches.count(), branch);
        }
        rows
    }

    /// Puts a run of `request`, of which nothing is done yet, on the screen; returns its number.
    pub fn start(&mut self, request: Request, info: Arc<ModelInfo>, by: By) -> u64 {
        self.newest += 1;
        let run = Run::new(self.newest, request, info, self.attention_budget);
        self.show_new(run, by);
        self.compared = None;
        self.newest
    }

    /// Puts a branch on the screen, which leaves the run there before `step`, and that run beside it: what changes is
    /// best seen beside what it was. Returns the branch's number and its parent's.
    pub fn branch(&mut self, step: usize, request: Request, by: By) -> Option<(u64, u64)> {
        let parent = self.current.as_ref()?;
        let origin = parent.id;
        self.newest += 1;
        let branch = parent.branch(self.newest, step, request);
        self.show_new(branch, by);
        self.compared = Some(origin);
        Some((self.newest, origin))
    }

    fn show_new(&mut self, mut run: Run, by: By) {
        run.is_kept = by == By::Program;
        let mut before = self.current.replace(run);
        if let Some(before) = &mut before {
            before.forget_recomputed();
        }
        self.others.extend(before);
    }

    /// Forgets the oldest run where there are more than are kept; returns its number, and how many are kept.
    pub fn forget_oldest(&mut self) -> Option<(u64, usize)> {
        if self.others.len() < KEPT {
            return None;
        }
        let is_free = |run: &Run| Some(run.id) != self.compared;
        let oldest = self.others.iter().position(is_free)?;
        Some((self.others.remove(oldest).id, KEPT))
    }

    /// Puts another run on the screen, if there is one with this number.
    pub fn switch_to(&mut self, id: u64) {
        let Some(at) = self.others.iter().position(|run| run.id == id) else {
            return;
        };
        let run = self.others.remove(at);
        let before = self.current.replace(run);
        if self.compared == Some(id) {
            self.compared = before.as_ref().map(|before| before.id);
        }
        self.others.extend(before);
        self.others.sort_by_key(|run| run.id);
    }

    /// Takes the run `id` away, which is not on the screen.
    pub fn remove(&mut self, id: u64) {
        self.others.retain(|run| run.id != id);
        self.compared = self.compared.filter(|&compared| compared != id);
    }

    /// The runs that would be lost with the program.
    pub fn unsaved(&self) -> impl Iterator<Item = &Run> {
        self.all().filter(|run| run.is_unsaved())
    }

    pub fn compare(&mut self, id: Option<u64>) {
        self.compared = id;
    }

    /// Takes away the run beside the one on the screen; false where there is none.
    pub fn end_comparison(&mut self) -> bool {
        self.compared.take().is_some()
    }

    /// The run to put beside the one on the screen: the one that this one left, or else the newest other one.
    pub fn to_compare(&self) -> Option<u64> {
        let parent = self.current.as_ref().and_then(|run| run.origin);
        let parent = parent.filter(|origin| self.find(origin.run).is_some());
        let newest = || self.others.iter().map(|run| run.id).max();
        parent.map(|Origin { run, .. }| run).or_else(newest)
    }

    /// Forgets attention maps of earlier runs, the oldest first, until those of all runs fit the budget together.
    /// Those of the run on the screen stay: it keeps to the budget by itself.
    pub fn keep_to_budget(&mut self) {
        let mut used: usize = self.all().map(|run| run.attention_memory().0).sum();
        // The one beside the run on the screen is the last to lose them.
        let (beside, others): (Vec<_>, Vec<_>) =
            (self.others.iter_mut()).partition(|run| Some(run.id) == self.compared);
        for run in others.into_iter().chain(beside) {
            if used <= self.attention_budget {
                break;
            }
            used -= run.forget_attention();
        }
    }
}

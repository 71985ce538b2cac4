//! The list of runs: looking at another one, comparing, deleting.

use super::action::Action;
use super::app::{App, Mode};
use super::run::Run;
use crate::tui::worker::Command;

/// The list while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunList {
    /// The selected row.
    pub row: usize,
    /// The run that would be lost, where it is asked whether to delete it.
    pub asks: Option<u64>,
}

impl App {
    /// Shows the runs, the one on the screen selected.
    pub(super) fn list_runs(&mut self) {
        let current = self.runs.tree().iter().position(|row| row.is_current);
        self.mode = Mode::Runs(RunList {
            row: current.unwrap_or(0),
            asks: None,
        });
    }

    pub(super) fn choose_run(&mut self, action: &Action, list: RunList) {
        let rows = self.runs.tree();
        let chosen = rows.get(list.row).copied();
        let other = chosen.filter(|row| !row.is_current);
        match (action, other.map(|row| (row.run.id, row.is_compared))) {
            (Action::Choose, Some((id, _))) => self.switch_to(id),
            (Action::Compare, Some((id, is_compared))) => {
                self.runs.compare((!is_compared).then_some(id));
            }
            (Action::Dismiss, _) if list.asks.is_some() => {
                return self.mode = Mode::Runs(RunList { asks: None, ..list });
            }
            (Action::Choose | Action::Runs | Action::Dismiss, _) => {}
            (Action::Delete, _) => {
                if let Some((id, is_unsaved)) = chosen.map(|row| (row.run.id, row.run.is_unsaved()))
                {
                    self.delete(id, is_unsaved && list.asks != Some(id), list);
                }
                return;
            }
            _ => return,
        }
        self.mode = Mode::Browse;
    }

    /// Deletes the run `id`, or asks whether to. Its branches stay: they have all that was done before they left it.
    fn delete(&mut self, id: u64, asks: bool, list: RunList) {
        if self.runs.others.is_empty() {
            return self.say([
                "the only run stays; p starts another",
                "唯一的运行不删除；按 p 开始另一个",
            ]);
        }
        if asks {
            self.mode = Mode::Runs(RunList {
                asks: Some(id),
                ..list
            });
            return;
        }
        // The worker is at no other run.
        if self.runs.find(id).is_some_and(Run::is_advancing) {
            self.send(Command::Cancel);
        }
        if self.runs.is_current(id)
            && let Some(next) = self.runs.to_compare()
        {
            self.switch_to(next);
        }
        self.runs.remove(id);
        self.send(Command::Forget { run: id });
        let row = list.row.min(self.runs.others.len());
        self.mode = Mode::Runs(RunList { row, asks: None });
        self.say([format!("run {id} was deleted"), format!("已删除运行 {id}")]);
    }
}

//! What can be written to a file from the view on the screen.

use std::path::PathBuf;

use super::cursor::Cursor;
use super::export_items::{ExportItem, ItemList, export};
use super::run::{Run, RunState};
use crate::export::ExportOptions;
use crate::lesson::Language;
use crate::tui::worker::Task;

/// What is written to files, and where.
#[derive(Debug, Clone, Default)]
pub struct ExportMenu {
    /// The folder that files are written to; the current one where it is empty.
    pub folder: PathBuf,
    /// The folder that was chosen last, which is offered next.
    pub(super) chosen: Option<PathBuf>,
    /// What is offered while the menu is open.
    pub items: Vec<ExportItem>,
    /// What is still to be written of the first run that is finished.
    pub plan: ExportOptions,
}

impl ExportMenu {
    /// Offers what can be written from the view, what is looked at first and the whole run last. A run that its model
    /// can go on with `is_live`.
    pub(super) fn open(&mut self, run: &Run, cursor: &Cursor, is_live: bool, language: Language) {
        let mut items = ItemList::new(run, self.folder.clone(), language);
        items.of_view(cursor);
        items.picture(cursor);
        items.step(cursor);
        // Attention that is not kept is computed once more.
        if run.state == RunState::Done && is_live {
            items.whole_run();
        }
        self.items = items.list;
    }

    /// Where the item at `row` is written unless another place is named.
    pub(super) fn default_path(&self, row: usize) -> Option<PathBuf> {
        let folder = self.chosen.as_ref().unwrap_or(&self.folder);
        self.items.get(row).map(|item| folder.join(&item.name))
    }

    /// What writes the picture that the screen is about.
    pub(super) fn save_picture(&self, run: &Run, cursor: &Cursor) -> Option<Task> {
        // Its name, which no menu shows, is of no matter.
        let mut items = ItemList::new(run, self.folder.clone(), Language::En);
        items.picture(cursor);
        items.list.pop().map(|item| item.task)
    }

    /// What writes the first run that is finished, where the program was started to do so.
    pub(super) fn write_first(&mut self, run: &Run) -> Option<Task> {
        let plan = std::mem::take(&mut self.plan);
        (!plan.is_empty()).then(|| export(run, plan))
    }
}

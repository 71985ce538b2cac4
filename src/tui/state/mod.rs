//! The inspector's state: plain data and rules, free of any terminal. Actions and the worker's updates go in, tasks
//! for the worker come out; `ui` draws what is here, and nothing here draws.

pub mod action;
mod app;
pub mod attention;
mod browse;
pub mod charts;
mod cursor;
mod destination;
pub mod detail;
pub mod editor;
mod enabled;
mod export_items;
mod export_menu;
mod help;
pub mod in_words;
mod input;
pub mod lesson;
mod line;
mod location;
pub mod plane;
mod proceed;
mod reading;
mod requests;
pub mod run;
mod run_list;
mod runs;
mod script;
mod updates;
pub mod variants;

pub use app::{App, Mode, Model, Notice, Opening};
pub use cursor::{AttentionCursor, Cursor, Grid, StepTensor, View};
pub use destination::Destination;
pub use export_items::ExportItem;
pub use help::Help;
pub use line::{InputLine, LineEditor};
pub use run_list::RunList;
pub use runs::{Branch, Runs};

//! The inspector's state: plain data and rules, free of any terminal. Actions and the worker's updates go in, tasks
//! for the worker come out; `ui` draws what is here, and nothing here draws.

pub mod action;
mod app;
pub mod attention;
mod browse;
pub mod charts;
pub mod closer;
mod cursor;
mod destination;
pub mod detail;
pub mod editor;
mod enabled;
pub mod export_closer;
mod export_items;
mod export_menu;
mod help;
pub mod in_words;
mod input;
pub mod inside;
pub mod lesson;
mod line;
mod location;
pub mod looked;
mod patching;
pub mod plane;
mod probes;
mod proceed;
mod reading;
mod requests;
pub mod run;
mod run_list;
mod runs;
mod script;
mod updates;
pub mod variants;
mod watches;

pub use app::{App, Mode, Model, Notice, Opening};
pub use cursor::{AttentionCursor, Cursor, Grid, Measure, StepTensor, View};
pub use destination::Destination;
pub use export_items::ExportItem;
pub use help::Help;
pub use line::{InputLine, LineEditor};
pub use run_list::RunList;
pub use runs::{Branch, Runs};
pub use watches::WatchMenu;

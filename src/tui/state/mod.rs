//! The inspector's state: plain data and rules, free of any terminal. Actions and the worker's updates go in, tasks
//! for the worker come out; `ui` draws what is here, and nothing here draws.

pub mod action;
mod app;
pub mod attention;
mod browse;
mod cursor;
pub mod detail;
pub mod editor;
mod enabled;
mod export_menu;
mod input;
pub mod lesson;
mod location;
pub mod plane;
mod proceed;
mod requests;
pub mod run;
mod runs;
mod script;

pub use app::{App, Mode, Model, Notice};
pub use cursor::{AttentionCursor, Cursor, Grid, StepTensor, View};
pub use export_menu::ExportItem;
pub use runs::Branch;

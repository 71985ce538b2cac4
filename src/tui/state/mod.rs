//! The inspector's state: plain data and rules, free of any terminal. Actions and the worker's updates go in, commands
//! for the worker come out; `ui` draws what is here, and nothing here draws.

mod app;
pub mod attention;
mod browse;
mod cursor;
pub mod detail;
pub mod editor;
mod exercises;
mod export_menu;
mod input;
pub mod lesson;
mod lessons;
mod navigation;
pub mod plane;
pub mod run;
mod runs;
mod script;

pub mod action;

pub use app::{App, Mode, Model, Notice, deeper};
pub use cursor::{AttentionCursor, Cursor, Grid, StepTensor, View};
pub use export_menu::ExportItem;
pub use runs::Branch;
pub use script::Script;

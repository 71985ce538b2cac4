//! The lesson's pane, the list of lessons, and what a lesson points at.

mod explanation;
mod highlight;
pub mod list;
pub mod markdown;
mod page;
mod pane;
mod solution;

pub use explanation::Explanation;
pub use highlight::find;
pub use pane::{Pane, split};

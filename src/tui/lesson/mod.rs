//! Lessons in the inspector.

mod highlight;
pub mod list;
pub mod markdown;
mod pane;
mod player;
mod reading;
mod solution;
mod words;

pub use highlight::find;
pub use pane::{Pane, split};
pub use player::Player;
pub use reading::{Classroom, Purpose, Reading, Standing};
pub use words::Words;

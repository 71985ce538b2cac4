//! Lessons in the inspector.

mod highlight;
pub mod list;
pub mod markdown;
mod pane;
mod player;
mod reading;

pub use highlight::find;
pub use pane::{Pane, split};
pub use player::Player;
pub use reading::{Classroom, Purpose, Reading, Standing};

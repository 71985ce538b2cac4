//! Lessons in the inspector.

mod highlight;
mod joining;
pub mod list;
pub mod markdown;
mod pane;
mod player;
mod reading;
mod solution;
mod words;

pub use highlight::find;
pub use joining::joined;
pub use pane::{Pane, Spot, split};
pub use player::Player;
pub use reading::{Classroom, Here, Purpose, Reading, Standing};
pub use words::Words;

//! Lessons in the inspector.

mod highlight;
mod joining;
pub mod list;
pub mod markdown;
mod page;
mod pane;
mod player;
mod reading;
mod solution;
mod words;
mod wrap;

pub use highlight::find;
pub use joining::joined;
pub use page::Spot;
pub use pane::{Pane, split};
pub use player::Player;
pub use reading::{Classroom, Here, Purpose, Reading, Standing};
pub use words::Words;

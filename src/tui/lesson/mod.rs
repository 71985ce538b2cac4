//! Lessons in the inspector.

mod highlight;
mod player;

pub use highlight::find;
pub use player::Player;

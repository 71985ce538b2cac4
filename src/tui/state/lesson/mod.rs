//! A lesson that is being read: what there is, how far the reader has come, and what is said of it.

mod joining;
mod messages;
mod open;

pub use joining::{joined, needs_space};
pub use messages::Messages;
pub use open::{Here, LessonState, OpenLesson, Purpose, Scroll, Spot, Status};

//! Drawing: the state, read through a small context, becomes cells. Nothing here is known to the state.

mod area;
pub(crate) mod context;
pub mod lesson;
pub mod pixels;
pub mod screen;
pub(crate) mod text;
pub mod theme;
mod views;
mod widgets;
mod wrap;

//! What a terminal sends.

use crossterm::event::{KeyEvent, MouseEvent};

use super::reply::Reply;

/// What a terminal sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    Reply(Reply),
}

//! What a control sequence from the terminal means: a key, the mouse, a reply, or nothing that is wanted.
//!
//! Sources: xterm's "Control Sequences" and kitty's "Comprehensive keyboard handling". Only what stands here is a key;
//! every other sequence is somebody's reply.

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::input::Input;
use super::reply::Reply;

/// The meaning of `ESC [`, `parameters` and the byte `end`.
pub fn meaning(parameters: &[u8], end: u8) -> Option<Input> {
    let text = std::str::from_utf8(parameters).ok()?;
    if text.is_empty() || text.starts_with(|first: char| first.is_ascii_digit() || first == ';') {
        let numbers = Numbers::read(text)?;
        return match end {
            b'M' => mouse_event(numbers.first(0)?.checked_sub(32)?, &numbers, false),
            b't' => Reply::sequence(text, end).map(Input::Reply),
            _ => key(&numbers, end),
        };
    }
    match (text.strip_prefix('<'), end) {
        (Some(numbers), b'M' | b'm') => {
            let numbers = Numbers::read(numbers)?;
            mouse_event(numbers.first(0)?, &numbers, end == b'm')
        }
        _ => Reply::sequence(text, end).map(Input::Reply),
    }
}

/// The key of `ESC O` and a byte.
pub fn single_shift(byte: u8) -> Option<KeyCode> {
    Some(match byte {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'F' => KeyCode::End,
        b'H' => KeyCode::Home,
        b'M' => KeyCode::Enter,
        b'P'..=b'S' => KeyCode::F(1 + byte - b'P'),
        // The number pad.
        b'j'..=b'y' => KeyCode::Char((byte - b'j' + b'*').into()),
        _ => return None,
    })
}

/// Numbers, separated by semicolons, and their parts, separated by colons. What is left out is `None`.
struct Numbers(Vec<Vec<Option<u32>>>);

impl Numbers {
    fn read(text: &str) -> Option<Self> {
        let number = |text: &str| match text {
            "" => Some(None),
            text => text.parse().ok().map(Some),
        };
        let numbers = text.split(';');
        let numbers = numbers.map(|parts| parts.split(':').map(number).collect());
        numbers.collect::<Option<_>>().map(Self)
    }

    /// A part of a number.
    fn part(&self, number: usize, part: usize) -> Option<u32> {
        self.0.get(number)?.get(part).copied().flatten()
    }

    fn first(&self, number: usize) -> Option<u32> {
        self.part(number, 0)
    }

    /// Modifiers, one more than their bits, and what happened to the key, as the number at `index` has them.
    fn modifiers(&self, index: usize) -> (KeyModifiers, KeyEventKind) {
        let bits = self.first(index).unwrap_or(1).saturating_sub(1);
        let known = [
            KeyModifiers::SHIFT,
            KeyModifiers::ALT,
            KeyModifiers::CONTROL,
            KeyModifiers::SUPER,
            KeyModifiers::HYPER,
            KeyModifiers::META,
        ];
        let pressed = known.iter().enumerate();
        let pressed = pressed.filter(|(bit, _)| bits & (1 << bit) != 0);
        let kind = match self.part(index, 1) {
            Some(2) => KeyEventKind::Repeat,
            Some(3) => KeyEventKind::Release,
            _ => KeyEventKind::Press,
        };
        (pressed.map(|(_, modifier)| *modifier).collect(), kind)
    }
}

fn key(numbers: &Numbers, end: u8) -> Option<Input> {
    let (mut modifiers, kind) = numbers.modifiers(1);
    let code = match end {
        b'~' if numbers.first(0) == Some(27) => character(numbers.first(2)?)?,
        b'~' => numbered(numbers.first(0)?)?,
        b'u' => character(numbers.first(0)?)?,
        b'Z' => {
            modifiers |= KeyModifiers::SHIFT;
            KeyCode::BackTab
        }
        // With another first number it is no key.
        b'A'..=b'S' if numbers.first(0).is_none_or(|first| first == 1) => match end {
            b'P' => KeyCode::F(1),
            b'Q' => KeyCode::F(2),
            b'S' => KeyCode::F(4),
            // `ESC [ I` and `ESC [ O` are the focus, and `ESC [ 1 ; 2 R` is a place as much as a key.
            b'A' | b'B' | b'C' | b'D' | b'F' | b'H' => single_shift(end)?,
            _ => return None,
        },
        _ => return None,
    };
    Some(Input::Key(KeyEvent::new_with_kind(code, modifiers, kind)))
}

/// The key of a number before `~`.
fn numbered(number: u32) -> Option<KeyCode> {
    Some(match number {
        1 | 7 => KeyCode::Home,
        2 => KeyCode::Insert,
        3 => KeyCode::Delete,
        4 | 8 => KeyCode::End,
        5 => KeyCode::PageUp,
        6 => KeyCode::PageDown,
        11..=15 => KeyCode::F((number - 10) as u8),
        17..=21 => KeyCode::F((number - 11) as u8),
        23..=26 => KeyCode::F((number - 12) as u8),
        28 | 29 => KeyCode::F((number - 13) as u8),
        31..=34 => KeyCode::F((number - 14) as u8),
        _ => return None,
    })
}

/// The key of a character's number.
fn character(number: u32) -> Option<KeyCode> {
    Some(match number {
        9 => KeyCode::Tab,
        13 => KeyCode::Enter,
        27 => KeyCode::Esc,
        8 | 127 => KeyCode::Backspace,
        // The private use area has kitty's names of keys without a character.
        57_344..=63_743 => return None,
        number => KeyCode::Char(char::from_u32(number).filter(|typed| !typed.is_control())?),
    })
}

/// The mouse as xterm reported it first: each byte is 32 more than its number.
pub fn old_mouse(button: u8, column: u8, row: u8) -> Option<MouseEvent> {
    let number = |byte: u8| byte.checked_sub(32).map(u32::from);
    mouse(
        number(button)?,
        number(column)?,
        number(row)?,
        button & 3 == 3,
    )
}

fn mouse_event(button: u32, numbers: &Numbers, is_released: bool) -> Option<Input> {
    mouse(button, numbers.first(1)?, numbers.first(2)?, is_released).map(Input::Mouse)
}

/// Columns and rows count from 1. Of the button's number bits 0, 1, 6 and 7 are the button, 2 to 4 modifiers, and bit 5
/// says that the mouse moved.
fn mouse(button: u32, column: u32, row: u32, is_released: bool) -> Option<MouseEvent> {
    let place = |number: u32| u16::try_from(number.checked_sub(1)?).ok();
    let which = match button & 0b1100_0011 {
        0 => Some(MouseButton::Left),
        1 => Some(MouseButton::Middle),
        2 => Some(MouseButton::Right),
        _ => None,
    };
    let kind = match (which, button & 0b1100_0011) {
        (Some(held), _) if button & 32 != 0 => MouseEventKind::Drag(held),
        (Some(button), _) if is_released => MouseEventKind::Up(button),
        (Some(button), _) => MouseEventKind::Down(button),
        (None, 3) if button & 32 != 0 => MouseEventKind::Moved,
        (None, 3) => MouseEventKind::Up(MouseButton::Left),
        (None, 64) => MouseEventKind::ScrollUp,
        (None, 65) => MouseEventKind::ScrollDown,
        (None, 66) => MouseEventKind::ScrollLeft,
        (None, 67) => MouseEventKind::ScrollRight,
        (None, _) => return None,
    };
    let mut modifiers = KeyModifiers::NONE;
    for (bit, modifier) in [
        (4, KeyModifiers::SHIFT),
        (8, KeyModifiers::ALT),
        (16, KeyModifiers::CONTROL),
    ] {
        modifiers.set(modifier, button & bit != 0);
    }
    Some(MouseEvent {
        kind,
        column: place(column)?,
        row: place(row)?,
        modifiers,
    })
}

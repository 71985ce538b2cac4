//! kitty's graphics protocol from within tmux.
//!
//! tmux knows nothing of the picture, which is sent past it, and so could neither move nor clear it. What tmux knows is
//! text: in each of the picture's cells stands the character U+10EEEE, whose colour is the picture's number and whose
//! combining mark is the row; the terminal shows the picture's part there
//! (<https://sw.kovidgoyal.net/kitty/graphics-protocol/#unicode-placeholders>).

use crossterm::cursor::MoveTo;
use crossterm::queue;
use crossterm::style::{Color, ResetColor, SetForegroundColor};
use ratatui::layout::Rect;

use super::kitty::{png, send, sequences};
use super::{PixelPrinter, PlacedPicture, scaled};
use crate::tui::terminal::Limits;

const PLACEHOLDER: char = '\u{10EEEE}';

/// The marks of rows: the first hundred of kitty's `rowcolumn-diacritics.txt`. A cell without a mark for its column is
/// the one after its left neighbour.
#[rustfmt::skip]
const ROWS: [u16; 100] = [
    0x0305, 0x030d, 0x030e, 0x0310, 0x0312, 0x033d, 0x033e, 0x033f, 0x0346, 0x034a,
    0x034b, 0x034c, 0x0350, 0x0351, 0x0352, 0x0357, 0x035b, 0x0363, 0x0364, 0x0365,
    0x0366, 0x0367, 0x0368, 0x0369, 0x036a, 0x036b, 0x036c, 0x036d, 0x036e, 0x036f,
    0x0483, 0x0484, 0x0485, 0x0486, 0x0487, 0x0592, 0x0593, 0x0594, 0x0595, 0x0597,
    0x0598, 0x0599, 0x059c, 0x059d, 0x059e, 0x059f, 0x05a0, 0x05a1, 0x05a8, 0x05a9,
    0x05ab, 0x05ac, 0x05af, 0x05c4, 0x0610, 0x0611, 0x0612, 0x0613, 0x0614, 0x0615,
    0x0616, 0x0617, 0x0657, 0x0658, 0x0659, 0x065a, 0x065b, 0x065d, 0x065e, 0x06d6,
    0x06d7, 0x06d8, 0x06d9, 0x06da, 0x06db, 0x06dc, 0x06df, 0x06e0, 0x06e1, 0x06e2,
    0x06e4, 0x06e7, 0x06e8, 0x06eb, 0x06ec, 0x0730, 0x0732, 0x0733, 0x0735, 0x0736,
    0x073a, 0x073d, 0x073f, 0x0740, 0x0741, 0x0743, 0x0745, 0x0747, 0x0749, 0x074a,
];

/// Prints them, and remembers the numbers of those that the terminal has.
#[derive(Default)]
pub struct Placeholders {
    printed: Vec<u8>,
    last: u8,
}

impl PixelPrinter for Placeholders {
    fn print(&mut self, picture: &PlacedPicture, limits: &Limits) {
        let area = picture.area;
        let image = scaled::at_most(&picture.image, area, limits.cell);
        let Some(png) = png(&image).filter(|_| usize::from(area.height) <= ROWS.len()) else {
            return;
        };
        // A number that the 256 colours have, for tmux keeps those as they are; 0 is none.
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.printed.push(self.last);
        let (columns, rows) = (area.width, area.height);
        let keys = format!("a=T,U=1,f=100,q=2,i={},c={columns},r={rows}", self.last);
        let mut out = Vec::new();
        for sequence in sequences(&keys, &png) {
            out.extend(past_tmux(&sequence));
        }
        // What fails is not there.
        let _ = place(&mut out, area, self.last);
        let _ = send(&out);
    }

    fn clear(&mut self) -> bool {
        let mut out = Vec::new();
        for id in self.printed.drain(..) {
            let delete = format!("\x1b_Ga=d,d=I,i={id},q=2\x1b\\");
            out.extend(past_tmux(delete.as_bytes()));
        }
        let _ = send(&out);
        // Text stands in the cells.
        true
    }
}

/// `sequence` as tmux passes it on to the terminal around it.
fn past_tmux(sequence: &[u8]) -> Vec<u8> {
    let mut passed = b"\x1bPtmux;".to_vec();
    for &byte in sequence {
        if byte == 0x1b {
            passed.push(byte);
        }
        passed.push(byte);
    }
    passed.extend(b"\x1b\\");
    passed
}

/// Writes the text where the picture `id` is to be.
fn place(out: &mut Vec<u8>, area: Rect, id: u8) -> std::io::Result<()> {
    queue!(out, SetForegroundColor(Color::AnsiValue(id)))?;
    for (y, mark) in area.rows().map(|row| row.y).zip(ROWS) {
        queue!(out, MoveTo(area.x, y))?;
        let mark = char::from_u32(mark.into()).unwrap_or(PLACEHOLDER);
        let cell = String::from_iter([PLACEHOLDER, mark]);
        out.extend(cell.repeat(area.width.into()).bytes());
    }
    queue!(out, ResetColor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_past_tmux_has_its_escapes_doubled() {
        assert_eq!(
            past_tmux(b"\x1b_Ga=d\x1b\\"),
            b"\x1bPtmux;\x1b\x1b_Ga=d\x1b\x1b\\\x1b\\"
        );
    }

    #[test]
    fn every_cell_has_its_row_and_the_pictures_number() {
        let mut out = Vec::new();
        place(&mut out, Rect::new(4, 2, 3, 2), 7).unwrap();
        let text = String::from_utf8(out).unwrap();
        let cell = |mark| format!("{PLACEHOLDER}{mark}");
        let [first, second] = ['\u{305}', '\u{30d}'].map(|mark| cell(mark).repeat(3));
        let wanted = format!("\x1b[38;5;7m\x1b[3;5H{first}\x1b[4;5H{second}\x1b[0m");
        assert_eq!(text, wanted);
    }

    #[test]
    fn no_two_rows_have_one_mark() {
        let mut marks = ROWS.to_vec();
        marks.dedup();
        assert!(marks.len() == ROWS.len() && marks.is_sorted());
    }
}

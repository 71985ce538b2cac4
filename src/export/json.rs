//! JSON, written a member at a time.

use std::io::{self, Write};

use serde::Serialize;

use super::document::Number;

/// Writes a JSON object a member at a time: one line a member, one line an item of a list.
#[derive(Debug)]
pub(crate) struct ObjectWriter<W: Write> {
    out: W,
    is_empty: bool,
}

impl<W: Write> ObjectWriter<W> {
    /// Begins an object.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"{")?;
        Ok(Self {
            out,
            is_empty: true,
        })
    }

    fn key(&mut self, name: &str) -> io::Result<()> {
        self.separate()?;
        serde_json::to_writer(&mut self.out, name)?;
        self.out.write_all(b": ")
    }

    /// A member that is written whole.
    pub fn member(&mut self, name: &str, value: &impl Serialize) -> io::Result<()> {
        self.key(name)?;
        Ok(serde_json::to_writer(&mut self.out, value)?)
    }

    /// Begins a member that is a list, of [`Self::item`]s.
    pub fn begin_list(&mut self, name: &str) -> io::Result<()> {
        self.key(name)?;
        self.is_empty = true;
        self.out.write_all(b"[")
    }

    /// An item of the list.
    pub fn item(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.separate()?;
        Ok(serde_json::to_writer(&mut self.out, value)?)
    }

    /// Ends the list.
    pub fn end_list(&mut self) -> io::Result<()> {
        self.is_empty = false;
        self.out.write_all(b"\n]")
    }

    /// Begins a member that is a list on one line, of [`Self::number`]s.
    pub fn begin_numbers(&mut self, name: &str) -> io::Result<()> {
        self.key(name)?;
        self.out.write_all(b"[")
    }

    /// The number at `index` of the list.
    pub fn number(&mut self, index: usize, value: f32) -> io::Result<()> {
        if index > 0 {
            self.out.write_all(b",")?;
        }
        Ok(serde_json::to_writer(&mut self.out, &Number(value))?)
    }

    /// Ends the list of numbers.
    pub fn end_numbers(&mut self) -> io::Result<()> {
        self.out.write_all(b"]")
    }

    /// Ends the object, and gives the output back.
    pub fn end(mut self) -> io::Result<W> {
        self.out.write_all(b"\n}\n")?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn separate(&mut self) -> io::Result<()> {
        let separator: &[u8] = if self.is_empty { b"\n" } else { b",\n" };
        self.is_empty = false;
        self.out.write_all(separator)
    }
}

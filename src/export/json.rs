//! JSON that can be read line by line: one line a member of the document.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// Writes `document`, an object: one line a member, and one line an item of those of its lists that `lists` names.
/// Nothing of it is held in memory: what it borrows, or makes while it is asked, is written at once.
pub(crate) fn write_lines(
    out: impl Write,
    document: &impl Serialize,
    lists: &'static [&'static str],
) -> io::Result<()> {
    let lines = Lines {
        lists,
        ..Lines::default()
    };
    let mut out = BufWriter::new(out);
    document.serialize(&mut Serializer::with_formatter(&mut out, lines))?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Breaks the lines of [`write_lines`].
#[derive(Default)]
struct Lines {
    /// Names of the lists with a line for each item.
    lists: &'static [&'static str],
    /// How many objects and lists are open.
    depth: usize,
    /// The name of the member of the outermost object, and whether it is being written.
    member: String,
    in_name: bool,
    /// Is one of `lists` open?
    in_list: bool,
}

impl Lines {
    fn separate<W: Write + ?Sized>(out: &mut W, first: bool, breaks: bool) -> io::Result<()> {
        out.write_all(match (first, breaks) {
            (true, false) => b"",
            (false, false) => b",",
            (true, true) => b"\n",
            (false, true) => b",\n",
        })
    }
}

impl Formatter for Lines {
    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth += 1;
        out.write_all(b"{")
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth -= 1;
        out.write_all(if self.depth == 0 { b"\n}" } else { b"}" })
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        let is_member = self.depth == 1;
        if is_member {
            self.member.clear();
            self.in_name = true;
        }
        Self::separate(out, first, is_member)
    }

    fn end_object_key<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.in_name = false;
        Ok(())
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if self.depth == 1 { b": " } else { b":" })
    }

    fn begin_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        if self.depth == 1 {
            self.in_list = self.lists.contains(&self.member.as_str());
        }
        self.depth += 1;
        out.write_all(b"[")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        Self::separate(out, first, self.in_list && self.depth == 2)
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth -= 1;
        let breaks = self.depth == 1 && std::mem::take(&mut self.in_list);
        out.write_all(if breaks { b"\n]" } else { b"]" })
    }

    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if self.in_name {
            self.member.push_str(fragment);
        }
        out.write_all(fragment.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_member_has_a_line_and_every_item_of_a_named_list() {
        let document = json!({
            "name": "a",
            "steps": [{"steps": [1, 2]}, {"steps": []}],
            "none": [],
            "others": [{"a": 1}, 2],
            "inner": {"steps": [1, 2], "x": {}},
        });
        let mut out = Vec::new();
        write_lines(&mut out, &document, &["steps", "none"]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\n\"name\": \"a\",\n\"steps\": [\n{\"steps\":[1,2]},\n{\"steps\":[]}\n],\n\"none\": [\n],\n\
             \"others\": [{\"a\":1},2],\n\"inner\": {\"steps\":[1,2],\"x\":{}}\n}\n"
        );
    }
}

//! A line of text that is typed, and what is wrong with it.

use unicode_segmentation::UnicodeSegmentation;

use super::action::Typing;

/// A line that is typed on the screen's last row, and what was wrong with it when it was to be taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputLine {
    pub line: LineEditor,
    pub problem: Option<String>,
}

impl InputLine {
    /// Carries out one edit; what was wrong is wrong no longer.
    pub fn apply(&mut self, typing: &Typing) {
        self.problem = None;
        self.line.apply(typing);
    }

    /// What was typed, without the spaces around it.
    pub fn typed(&self) -> &str {
        self.line.text().trim()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineEditor {
    text: String,
    /// Byte index, always on a grapheme's boundary.
    cursor: usize,
}

impl LineEditor {
    /// A line that says `text`, with the cursor at its end.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            cursor: text.len(),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn parts(&self) -> (&str, &str) {
        self.text.split_at(self.cursor)
    }

    /// Carries out one edit of this line; other edits change nothing.
    pub fn apply(&mut self, typing: &Typing) {
        match typing {
            Typing::Insert(text) => self.insert(text),
            Typing::Backspace => self.delete_to(self.before()),
            Typing::Delete => {
                let end = self.after();
                self.text.replace_range(self.cursor..end, "");
            }
            Typing::DeleteWord => {
                let before = self.text[..self.cursor].trim_end();
                let word = before.rsplit(char::is_whitespace).next().unwrap_or(before);
                self.delete_to(before.len() - word.len());
            }
            Typing::DeleteToStart => self.delete_to(0),
            Typing::Left => self.cursor = self.before(),
            Typing::Right => self.cursor = self.after(),
            Typing::Start => self.cursor = 0,
            Typing::End => self.cursor = self.text.len(),
            Typing::NextField | Typing::PreviousField | Typing::Submit => {}
        }
    }

    /// Line breaks and tabs become spaces: it is one line.
    fn insert(&mut self, text: &str) {
        let text = text
            .replace("\r\n", " ")
            .replace(['\n', '\r', '\t', '\u{2028}', '\u{2029}'], " ");
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        // What was inserted may have joined its neighbours into one grapheme.
        let mut boundaries = self.text.grapheme_indices(true).map(|(index, _)| index);
        let boundary = boundaries.find(|&index| index >= self.cursor);
        self.cursor = boundary.unwrap_or(self.text.len());
    }

    fn delete_to(&mut self, start: usize) {
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    fn before(&self) -> usize {
        let mut graphemes = self.text[..self.cursor].grapheme_indices(true);
        graphemes.next_back().map_or(0, |(index, _)| index)
    }

    fn after(&self) -> usize {
        let mut graphemes = self.text[self.cursor..].graphemes(true);
        self.cursor + graphemes.next().map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, edits: &[Typing]) -> (String, String) {
        let mut line = LineEditor::new(text);
        for edit in edits {
            line.apply(edit);
        }
        let (before, after) = line.parts();
        (before.to_owned(), after.to_owned())
    }

    fn parts(before: &str, after: &str) -> (String, String) {
        (before.to_owned(), after.to_owned())
    }

    #[test]
    fn the_cursor_moves_over_what_a_reader_calls_a_character() {
        use Typing::{Backspace, Delete, DeleteWord, Insert, Left, Start};
        assert_eq!(line("e\u{301}👩‍🚀", &[Left]), parts("e\u{301}", "👩‍🚀"));
        assert_eq!(line("苹果", &[Backspace]), parts("苹", ""));
        assert_eq!(line("a horse", &[Start, Delete]), parts("", " horse"));
        assert_eq!(line("a red horse", &[DeleteWord]), parts("a red ", ""));
        assert_eq!(
            line("red", &[Start, Insert("a ".into())]),
            parts("a ", "red")
        );
        assert_eq!(line("", &[Backspace, Delete, DeleteWord]), parts("", ""));
    }

    #[test]
    fn a_pasted_paragraph_becomes_one_line() {
        let pasted = Typing::Insert("a cat\r\non a\tmat\n".into());
        assert_eq!(line("", &[pasted]).0, "a cat on a mat ");
    }
}

//! Where in the prompt each token came from.

use std::ops::Range;

/// A prompt in which words were replaced by others, and where in the original each of its bytes came from.
pub struct Replaced {
    pub text: String,
    /// For each byte of `text`, the bytes of the original that it stands for.
    origins: Vec<Range<usize>>,
}

impl Replaced {
    /// Nothing replaced yet.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            origins: (0..text.len()).map(|at| at..at + 1).collect(),
        }
    }

    /// Replaces every `word` by `by`, from left to right, as Python's `str.replace` does. `None` where the text would
    /// become longer than `longest` bytes.
    pub fn replace(self, word: &str, by: &str, longest: usize) -> Option<Self> {
        let mut replaced = Self {
            text: String::new(),
            origins: Vec::new(),
        };
        let mut rest = 0;
        for (start, _) in self.text.match_indices(word) {
            let end = start + word.len();
            replaced.text.push_str(&self.text[rest..start]);
            replaced
                .origins
                .extend_from_slice(&self.origins[rest..start]);
            replaced.text.push_str(by);
            let origin = self.origin(start..end);
            replaced
                .origins
                .extend((0..by.len()).map(|_| origin.clone()));
            rest = end;
            if replaced.text.len() > longest {
                return None;
            }
        }
        replaced.text.push_str(&self.text[rest..]);
        replaced.origins.extend_from_slice(&self.origins[rest..]);
        Some(replaced)
    }

    /// The bytes of the original that a range of `text` stands for.
    pub fn origin(&self, range: Range<usize>) -> Range<usize> {
        let part = self.origins.get(range).unwrap_or_default();
        match (part.first(), part.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => 0..0,
        }
    }
}

/// The prompt's bytes that each token came from, from the library's offsets: widened to whole characters, and over
/// the characters that were composed into the one before (an accent, typed as a character of its own); without the
/// white space that an added word may have taken with it.
pub fn spans(text: &str, offsets: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = offsets
        .map(|range| {
            let start = text.floor_char_boundary(range.start);
            let end = text.ceil_char_boundary(range.end.max(start));
            without_white_space(text, start..end)
        })
        .collect();
    let mut next = text.len();
    let mut start = text.len();
    for span in spans.iter_mut().rev() {
        if span.start < start {
            next = start;
            start = span.start;
        }
        // Nothing but white space is dropped between tokens, so the rest of the gap belongs to this one.
        let gap = text.get(span.end..next).unwrap_or_default();
        span.end += gap.find(char::is_whitespace).unwrap_or(gap.len());
    }
    spans
}

/// A span without white space at its ends; as it is, where it is nothing else.
fn without_white_space(text: &str, span: Range<usize>) -> Range<usize> {
    let whole = &text[span.clone()];
    let trimmed = whole.trim();
    if trimmed.is_empty() {
        return span;
    }
    let start = span.start + (whole.len() - whole.trim_start().len());
    start..start + trimmed.len()
}

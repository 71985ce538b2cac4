//! Divides a lesson's body: titles, depths, prose, and blocks that are for the program.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::Reader;
use crate::lesson::Depth;

/// The Markdown that lessons may have beyond the common one.
pub const MARKDOWN: Options = Options::ENABLE_TABLES.union(Options::ENABLE_MATH);

/// A part of a page's Markdown, by its place in the file.
pub(super) enum Block {
    Title(Range<usize>),
    Depth(Range<usize>, Depth),
    Directive(Range<usize>, Directive, Range<usize>),
    Prose(Range<usize>),
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Directive {
    Goto,
    Claim,
    Task,
    Question,
}

impl Reader<'_> {
    /// What the body consists of, at its uppermost level.
    pub(super) fn blocks(&mut self, body: Range<usize>) -> Vec<Block> {
        let text = self.text;
        let mut divider = Divider {
            text,
            open: 0,
            heading: None,
            code: None,
            blocks: Vec::new(),
        };
        let events = Parser::new_ext(&text[body.clone()], MARKDOWN).into_offset_iter();
        for (event, place) in events {
            let place = place.start + body.start..place.end + body.start;
            if let Some(what) = refusal(&event) {
                self.problem(place.start, format!("found {what}"));
            }
            divider.take(event, place);
        }
        divider.blocks
    }
}

/// Collects blocks while the events of a body go by.
struct Divider<'a> {
    text: &'a str,
    /// How many elements are open.
    open: usize,
    /// The heading that is open.
    heading: Option<(HeadingLevel, Range<usize>)>,
    /// The directive that is open: the place of its fence, and that of its content as far as it is known.
    code: Option<(Directive, Range<usize>, Option<Range<usize>>)>,
    blocks: Vec<Block>,
}

impl Divider<'_> {
    fn take(&mut self, event: Event, place: Range<usize>) {
        match event {
            Event::Start(tag) => {
                if self.open == 0 {
                    self.start(tag, place);
                }
                self.open += 1;
            }
            Event::End(end) => {
                self.open -= 1;
                if self.open == 0 {
                    self.end(end);
                }
            }
            Event::Text(_) => {
                if let Some((_, _, content)) = &mut self.code {
                    let start = content.as_ref().map_or(place.start, |place| place.start);
                    *content = Some(start..place.end);
                }
            }
            Event::Rule if self.open == 0 => self.blocks.push(Block::Prose(place)),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag, place: Range<usize>) {
        match tag {
            Tag::Heading { level, .. } => self.heading = Some((level, place)),
            Tag::CodeBlock(CodeBlockKind::Fenced(info)) => match directive(&info) {
                Some(directive) => self.code = Some((directive, place, None)),
                None => self.blocks.push(Block::Prose(place)),
            },
            // Its place begins after the indentation, without which it would be a paragraph.
            Tag::CodeBlock(CodeBlockKind::Indented) => {
                let line = self.text[..place.start].rfind('\n');
                let start = line.map_or(0, |line| line + 1);
                self.blocks.push(Block::Prose(start..place.end));
            }
            _ => self.blocks.push(Block::Prose(place)),
        }
    }

    fn end(&mut self, end: TagEnd) {
        match end {
            TagEnd::Heading(_) => {
                if let Some((level, place)) = self.heading.take() {
                    self.blocks.push(self.title_or_depth(level, place));
                }
            }
            TagEnd::CodeBlock => {
                if let Some((directive, fence, content)) = self.code.take() {
                    let after = self.text[fence.clone()].find('\n');
                    let after = fence.start + after.map_or(0, |line| line + 1);
                    let content = content.unwrap_or(after..after);
                    self.blocks
                        .push(Block::Directive(fence, directive, content));
                }
            }
            _ => {}
        }
    }

    fn title_or_depth(&self, level: HeadingLevel, place: Range<usize>) -> Block {
        let words = self.text[place.clone()].trim_start_matches('#').trim();
        let names = |depth: &Depth| depth.headings().contains(&words);
        match (level, Depth::ALL.into_iter().find(names)) {
            (HeadingLevel::H1, _) => Block::Title(place),
            (HeadingLevel::H2, Some(depth)) => Block::Depth(place, depth),
            _ => Block::Prose(place),
        }
    }
}

/// What in `markdown` lessons may not have: its place, and what it is.
pub(super) fn refused(markdown: &str) -> Vec<(Range<usize>, &'static str)> {
    let events = Parser::new_ext(markdown, MARKDOWN).into_offset_iter();
    events
        .filter_map(|(event, place)| Some((place, refusal(&event)?)))
        .collect()
}

/// What lessons may not have, because the screen would not show it.
fn refusal(event: &Event) -> Option<&'static str> {
    match event {
        Event::Start(Tag::Image { .. }) => Some("a picture; lessons have text only"),
        Event::Html(_) | Event::InlineHtml(_) => {
            Some("HTML; lessons have Markdown only, so write what is to be read between backticks")
        }
        _ => None,
    }
}

fn directive(info: &str) -> Option<Directive> {
    match info.trim() {
        "goto" => Some(Directive::Goto),
        "claim" => Some(Directive::Claim),
        "task" => Some(Directive::Task),
        "question" => Some(Directive::Question),
        _ => None,
    }
}

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
        let mut blocks = Vec::new();
        let mut depth = 0;
        let mut heading: Option<(HeadingLevel, Range<usize>)> = None;
        let mut code: Option<(Directive, Range<usize>, Option<Range<usize>>)> = None;
        let events = Parser::new_ext(&self.text[body.clone()], MARKDOWN).into_offset_iter();
        let mut refused = Vec::new();
        for (event, place) in events {
            let place = place.start + body.start..place.end + body.start;
            refused.extend(refusal(&event).map(|what| (place.start, what)));
            match event {
                Event::Start(tag) => {
                    if depth == 0 {
                        match tag {
                            Tag::Heading { level, .. } => heading = Some((level, place)),
                            Tag::CodeBlock(CodeBlockKind::Fenced(info)) => match directive(&info) {
                                Some(directive) => code = Some((directive, place, None)),
                                None => blocks.push(Block::Prose(place)),
                            },
                            // Its place begins after the indentation, without which it would be a paragraph.
                            Tag::CodeBlock(CodeBlockKind::Indented) => {
                                let line = self.text[..place.start].rfind('\n');
                                let start = line.map_or(0, |line| line + 1);
                                blocks.push(Block::Prose(start..place.end));
                            }
                            _ => blocks.push(Block::Prose(place)),
                        }
                    }
                    depth += 1;
                }
                Event::End(end) => {
                    depth -= 1;
                    match end {
                        TagEnd::Heading(_) if depth == 0 => {
                            if let Some((level, place)) = heading.take() {
                                blocks.push(self.heading(level, place));
                            }
                        }
                        TagEnd::CodeBlock => {
                            if let Some((directive, fence, content)) = code.take() {
                                let after = self.text[fence.clone()].find('\n');
                                let after = fence.start + after.map_or(0, |line| line + 1);
                                let content = content.unwrap_or(after..after);
                                blocks.push(Block::Directive(fence, directive, content));
                            }
                        }
                        _ => {}
                    }
                }
                Event::Text(_) => {
                    if let Some((_, _, content)) = &mut code {
                        let start = content.as_ref().map_or(place.start, |place| place.start);
                        *content = Some(start..place.end);
                    }
                }
                Event::Rule if depth == 0 => blocks.push(Block::Prose(place)),
                _ => {}
            }
        }
        for (at, what) in refused {
            self.problem(at, format!("found {what}"));
        }
        blocks
    }

    fn heading(&self, level: HeadingLevel, place: Range<usize>) -> Block {
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

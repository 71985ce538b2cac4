//! Reads a lesson, and says exactly where one cannot be read.

mod blocks;
mod exercise;
mod tables;

use std::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::{Depth, Goto, Lesson, Page, Problem, Prose, Subject};
use crate::generation::RequestPatch;
pub use blocks::MARKDOWN;
use blocks::{Block, Directive};

/// Reads the lesson `text` of the file that errors call `file`.
///
/// # Errors
/// Everything that is wrong with it, each with its line and what was expected.
pub fn parse(file: &str, text: &str) -> Result<Lesson, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        file,
        text,
        subject: Subject::default(),
        problems: Vec::new(),
    };
    let lesson = reader.lesson();
    match lesson {
        Some(lesson) if reader.problems.is_empty() => Ok(lesson),
        _ => {
            reader.problems.sort();
            Err(reader.problems)
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    id: Spanned<String>,
    title: String,
    minutes: u32,
    #[serde(default)]
    model: Subject,
    request: Spanned<RequestPatch>,
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    /// The model that the lesson is about.
    subject: Subject,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, at: usize, message: impl Into<String>) {
        let line = self.line(at);
        self.problems.push(Problem::new(self.file, line, message));
    }

    /// The line, from 1, of the byte `at`.
    fn line(&self, at: usize) -> usize {
        line_at(self.text.as_bytes(), at)
    }

    fn lesson(&mut self) -> Option<Lesson> {
        let (head, body) = self.split()?;
        let head: Option<Head> = self.toml(head, "the head of the lesson");
        if let Some(head) = &head {
            self.subject = head.model.clone();
        }
        let problems = self.problems.len();
        let pages = self.pages(body.clone());
        // Whoever wrote words without a heading has been told of the heading.
        if pages.is_empty() && self.problems.len() == problems {
            self.problem(
                // The last line that there is.
                body.start.saturating_sub(1),
                "the lesson has no page; expected a heading of the first level, `# Title`",
            );
        }
        let head = head?;
        let id = head.id.get_ref();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if id.is_empty() || !id.chars().all(is_plain) {
            let message = format!("the id is “{id}”; expected lower-case letters, digits and `-`");
            self.problem(self.offset_of(&head.id), message);
        }
        if head.title.trim().is_empty() {
            self.problem(0, "the title is empty; expected what the lesson is called");
        }
        if head.minutes == 0 {
            self.problem(0, "minutes is 0; expected how long the lesson takes");
        }
        if head.request.get_ref().prompt.is_none() {
            let at = self.offset_of(&head.request);
            self.problem(
                at,
                "[request] has no `prompt`; expected what the lesson's run draws",
            );
        }
        Some(Lesson {
            id: head.id.into_inner(),
            title: head.title,
            minutes: head.minutes,
            subject: head.model,
            request: head.request.into_inner(),
            pages,
        })
    }

    /// Where something of the head stands: it is read from a text that begins after the first line.
    fn offset_of<T>(&self, spanned: &Spanned<T>) -> usize {
        self.first_line() + spanned.span().start
    }

    fn first_line(&self) -> usize {
        self.text.find('\n').map_or(self.text.len(), |at| at + 1)
    }

    /// The head and the body.
    fn split(&mut self) -> Option<(Range<usize>, Range<usize>)> {
        let is_fence = |line: &str| line.trim_end() == "+++";
        if !self.text.lines().next().is_some_and(is_fence) {
            self.problem(
                0,
                "expected the lesson's head: a line `+++`, TOML, and another line `+++`",
            );
            return None;
        }
        let start = self.first_line();
        let mut at = start;
        for line in self.text[start..].split_inclusive('\n') {
            if is_fence(line) {
                return Some((start..at, at + line.len()..self.text.len()));
            }
            at += line.len();
        }
        self.problem(
            0,
            "the lesson's head does not end; expected a second line `+++`",
        );
        None
    }

    fn toml<T: DeserializeOwned>(&mut self, place: Range<usize>, what: &str) -> Option<T> {
        match toml::from_str(&self.text[place.clone()]) {
            Ok(value) => Some(value),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let message = error.message().trim().replace('\n', "; ");
                self.problem(place.start + at, format!("{what}: {message}"));
                None
            }
        }
    }

    fn pages(&mut self, body: Range<usize>) -> Vec<Page> {
        let mut pages = Vec::new();
        let mut page: Option<Draft> = None;
        for block in self.blocks(body) {
            if let Block::Title(place) = &block {
                pages.extend(page.take().map(|draft| draft.page));
                page = Some(self.new_page(place));
                continue;
            }
            let Some(draft) = &mut page else {
                let (Block::Depth(place, _) | Block::Directive(place, ..) | Block::Prose(place)) =
                    &block
                else {
                    continue;
                };
                self.problem(
                    place.start,
                    "expected a page's title, `# Title`, before anything else",
                );
                return pages;
            };
            match block {
                Block::Title(_) => {}
                Block::Depth(place, depth) => {
                    let part = &mut draft.page.prose.depths[depth as usize];
                    if part.is_some() {
                        let name = depth.headings()[0];
                        self.problem(place.start, format!("the page has two parts `## {name}`"));
                    }
                    *part = Some(String::new());
                    draft.depth = Some(depth);
                }
                Block::Prose(place) => {
                    let text = &self.text[place.clone()];
                    let prose = &mut draft.page.prose;
                    let part = match draft.depth {
                        Some(depth) => prose.depths[depth as usize].get_or_insert_default(),
                        None => &mut prose.always,
                    };
                    part.push_str(text.trim_end());
                    part.push_str("\n\n");
                }
                Block::Directive(fence, directive, toml) => {
                    self.directive(draft, directive, fence.start, toml);
                }
            }
        }
        pages.extend(page.map(|draft| draft.page));
        pages
    }

    fn new_page(&mut self, place: &Range<usize>) -> Draft {
        let title = self.text[place.clone()].lines().next().unwrap_or_default();
        let title = title.trim_start_matches('#').trim();
        let line = self.line(place.start);
        if title.is_empty() {
            self.problem(place.start, "a page's title is empty");
        }
        Draft {
            page: Page {
                title: title.to_owned(),
                line,
                prose: Prose::default(),
                goto: Goto::default(),
                goto_line: line,
                claims: Vec::new(),
                exercise: None,
            },
            depth: None,
            has_goto: false,
        }
    }

    fn directive(
        &mut self,
        draft: &mut Draft,
        directive: Directive,
        fence: usize,
        toml: Range<usize>,
    ) {
        let line = self.line(fence);
        match directive {
            Directive::Goto => {
                if draft.has_goto {
                    self.problem(
                        fence,
                        "the page has two blocks `goto`; expected at most one",
                    );
                }
                draft.has_goto = true;
                draft.page.goto_line = line;
                if let Some(goto) = self.toml(toml, "goto") {
                    draft.page.goto = goto;
                }
            }
            Directive::Claim => {
                let claim = self.claim(line, toml);
                draft.page.claims.extend(claim);
            }
            Directive::Task | Directive::Question => {
                if draft.page.exercise.is_some() {
                    let message =
                        "the page has more than one task or question; expected at most one";
                    self.problem(fence, message);
                }
                let exercise = if directive == Directive::Task {
                    self.task(line, toml)
                } else {
                    self.question(line, toml)
                };
                draft.page.exercise = exercise;
            }
        }
    }
}

/// A page that is being read.
struct Draft {
    page: Page,
    depth: Option<Depth>,
    has_goto: bool,
}

/// The line of `text`, from 1, in which the byte `at` is.
pub fn line_at(text: &[u8], at: usize) -> usize {
    let before = &text[..at.min(text.len())];
    1 + before.split(|byte| *byte == b'\n').skip(1).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../lessons/en/01-the-whole-way.md");

    fn problem(text: &str) -> (usize, String) {
        let problems = parse("x.md", text).expect_err(text);
        (problems[0].line, problems[0].message.clone())
    }

    #[test]
    fn a_lesson_is_read_whole() {
        let lesson = parse("x.md", SAMPLE).unwrap();
        assert_eq!(lesson.id, "the-whole-way");
        assert!(lesson.pages.len() >= 3);
        let page = &lesson.pages[0];
        assert!(page.prose.always.contains("slow motion"));
        assert!(!page.prose.always.contains("view ="));
        assert!(page.prose.at(Depth::Mathematics)[1].contains("embedding"));
        assert_eq!(page.prose.at(Depth::Idea)[1], "");
    }

    #[test]
    fn an_indented_block_of_code_keeps_its_indentation() {
        let text = "+++\nid = \"x\"\ntitle = \"X\"\nminutes = 5\n[request]\nprompt = \"a cat\"\n+++\n\n# One\n\nWords:\n\n    first\n      second\n\nMore.\n";
        let lesson = parse("x.md", text).unwrap();
        let prose = &lesson.pages[0].prose.always;
        assert_eq!(
            prose.trim_end(),
            "Words:\n\n    first\n      second\n\nMore."
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let head =
            "+++\nid = \"x\"\ntitle = \"X\"\nminutes = 5\n[request]\nprompt = \"a cat\"\n+++\n";
        let page = |block: &str| format!("{head}\n# One\n\nWords.\n\n{block}\n");
        for (text, line, expected) in [
            ("# Only a title\n".to_owned(), 1, "head"),
            ("+++\nid = \"x\"\n".to_owned(), 1, "does not end"),
            (head.replace("id = \"x\"", "id = \"X y\""), 2, "lower-case"),
            (head.replace("title", "titel"), 3, "titel"),
            (head.to_owned(), 7, "no page"),
            (format!("{head}\nWords first.\n"), 9, "before anything else"),
            (page("```goto\nview = \"nowhere\"\n```"), 14, "nowhere"),
            (page("```goto\n\nveiw = \"tokens\"\n```"), 15, "veiw"),
            (page("```claim\nsays = \"x\"\n```"), 14, "filter"),
            (page("```claim\nfilter = '.a | lenght'\n```"), 14, "lenght"),
            (
                page("```claim\nfilter = '''\n.a\n| lenght\n'''\n```"),
                16,
                "lenght",
            ),
            (
                page(
                    "```task\ndo = \"x\"\ndone = 'true'\nhints = []\nsolution = [{step = 1}]\nexplanation = \"y\"\n```",
                ),
                16,
                "hint is missing",
            ),
            (
                page(
                    "```task\ndo = \"x\"\ndone = 'true'\nhints = [\"y\"]\nsolution = [{step = 1, seed = 2}]\nexplanation = \"y\"\n```",
                ),
                17,
                "not both",
            ),
            (
                page(
                    "```question\nask = \"x\"\nkind = \"choice\"\nanswer = '1'\nhints = [\"y\"]\nexplanation = \"y\"\n```",
                ),
                14,
                "no `choices`",
            ),
            (
                page("```claim\nsays = \"It ends with </w>.\"\nfilter = 'true'\n```"),
                14,
                "`says`: found HTML",
            ),
            (
                page(
                    "```question\nask = \"x\"\nkind = \"number\"\nanswer = '1'\nhints = [\n  \"y\",\n  \"an <i> is\",\n]\nexplanation = \"y\"\n```",
                ),
                19,
                "`hints`: found HTML",
            ),
            (
                page(
                    "```question\nask = \"x\"\nkind = \"number\"\nanswer = '1'\nhints = [\"y\"]\nexplanation = \"\"\"\\\nFirst \\\nand <b>\"\"\"\n```",
                ),
                20,
                "`explanation`: found HTML",
            ),
            (
                page("```claim\nfilter = 'true'\nhere = '1'\n```"),
                15,
                "expected a `model`, too",
            ),
            (
                page("```claim\nmodel = \"\"\nfilter = 'true'\n```"),
                14,
                "empty name of a model",
            ),
            (page("<b>bold</b>"), 13, "HTML"),
            (page("![picture](x.png)"), 13, "picture"),
        ] {
            let (found, message) = problem(&text);
            assert!(message.contains(expected), "{text}\n{message}");
            assert_eq!(found, line, "{text}\n{message}");
        }
    }
}

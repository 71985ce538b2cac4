//! Reads a lesson, and says exactly where one cannot be read.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::filter::Filter;
use super::{
    Act, Ask, Claim, Depth, Exercise, ExerciseKind, Form, Goto, Lesson, Page, Problem, Prose,
};

/// The Markdown that lessons may have beyond the common one.
pub const MARKDOWN: Options = Options::ENABLE_TABLES.union(Options::ENABLE_MATH);

/// Reads the lesson `text` of the file that errors call `file`.
///
/// # Errors
/// Everything that is wrong with it, each with its line and what was expected.
pub fn parse(file: &str, text: &str) -> Result<Lesson, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        file,
        text,
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
    request: Spanned<Ask>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClaim {
    says: Option<String>,
    filter: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTask {
    r#do: String,
    done: Spanned<String>,
    hints: Spanned<Vec<String>>,
    solution: Spanned<Vec<Act>>,
    explanation: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuestion {
    ask: String,
    kind: RawKind,
    answer: Spanned<String>,
    choices: Option<Spanned<Vec<String>>>,
    within: Option<Spanned<f64>>,
    wrong: Option<String>,
    hints: Spanned<Vec<String>>,
    explanation: String,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Number,
    Word,
    Choice,
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

/// A part of a page's Markdown, by its place in the file.
enum Block {
    Title(Range<usize>),
    Depth(Range<usize>, Depth),
    Directive(Range<usize>, Directive, Range<usize>),
    Prose(Range<usize>),
}

#[derive(Clone, Copy, PartialEq)]
enum Directive {
    Goto,
    Claim,
    Task,
    Question,
}

impl<'a> Reader<'a> {
    fn problem(&mut self, at: usize, message: impl Into<String>) {
        let line = self.line(at);
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line,
            message: message.into(),
        });
    }

    /// The line, from 1, of the byte `at`.
    fn line(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn lesson(&mut self) -> Option<Lesson> {
        let (head, body) = self.split()?;
        let head: Option<Head> = self.toml(head, "the head of the lesson");
        let pages = self.pages(body.clone());
        if pages.is_empty() {
            self.problem(
                body.start,
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

    fn claim(&mut self, line: usize, toml: Range<usize>) -> Option<Claim> {
        let raw: RawClaim = self.toml(toml.clone(), "claim")?;
        Some(Claim {
            line,
            says: raw.says,
            filter: self.filter(&toml, "filter", &raw.filter)?,
        })
    }

    fn task(&mut self, line: usize, toml: Range<usize>) -> Option<Exercise> {
        let raw: RawTask = self.toml(toml.clone(), "task")?;
        self.check_hints(&toml, &raw.hints);
        self.check_words(&toml, "do", &raw.r#do);
        self.check_words(&toml, "explanation", &raw.explanation);
        if raw.solution.get_ref().is_empty() {
            let at = toml.start + raw.solution.span().start;
            self.problem(
                at,
                "the task's solution is empty; expected the actions that do it",
            );
        }
        Some(Exercise {
            line,
            words: raw.r#do,
            kind: ExerciseKind::Task {
                done: self.filter(&toml, "done", &raw.done)?,
                solution: raw.solution.into_inner(),
            },
            hints: raw.hints.into_inner(),
            explanation: raw.explanation,
        })
    }

    fn question(&mut self, line: usize, toml: Range<usize>) -> Option<Exercise> {
        let raw: RawQuestion = self.toml(toml.clone(), "question")?;
        self.check_hints(&toml, &raw.hints);
        self.check_words(&toml, "ask", &raw.ask);
        self.check_words(&toml, "explanation", &raw.explanation);
        let answer = self.filter(&toml, "answer", &raw.answer);
        if let Some(within) = &raw.within {
            let at = toml.start + within.span().start;
            if raw.kind != RawKind::Number {
                self.problem(at, "`within` is for questions of kind \"number\" only");
            } else if !within.get_ref().is_finite() || *within.get_ref() < 0.0 {
                self.problem(
                    at,
                    "`within` is how far off an answer may be; expected 0 or more",
                );
            }
        }
        let form = match (raw.kind, raw.choices) {
            (RawKind::Choice, Some(choices)) => {
                if choices.get_ref().len() < 2 || choices.get_ref().len() > 9 {
                    let at = toml.start + choices.span().start;
                    self.problem(at, "expected two to nine choices");
                }
                Form::Choice(choices.into_inner())
            }
            (RawKind::Choice, None) => {
                let message = "the question is of kind \"choice\" and has no `choices`";
                self.problem(toml.start, message);
                Form::Choice(Vec::new())
            }
            (_, Some(choices)) => {
                let at = toml.start + choices.span().start;
                self.problem(at, "`choices` are for questions of kind \"choice\" only");
                Form::Word
            }
            (RawKind::Number, None) => Form::Number(raw.within.map_or(0.0, Spanned::into_inner)),
            (RawKind::Word, None) => Form::Word,
        };
        Some(Exercise {
            line,
            words: raw.ask,
            kind: ExerciseKind::Question {
                answer: answer?,
                form,
                wrong: raw.wrong,
            },
            hints: raw.hints.into_inner(),
            explanation: raw.explanation,
        })
    }

    fn check_hints(&mut self, toml: &Range<usize>, hints: &Spanned<Vec<String>>) {
        let is_empty = |hint: &String| hint.trim().is_empty();
        if hints.get_ref().is_empty() || hints.get_ref().iter().any(is_empty) {
            let at = toml.start + hints.span().start;
            self.problem(
                at,
                "a hint is missing; expected at least one, and none empty",
            );
        }
    }

    fn check_words(&mut self, toml: &Range<usize>, name: &str, words: &str) {
        if words.trim().is_empty() {
            self.problem(toml.start, format!("`{name}` is empty"));
        }
    }

    fn filter(
        &mut self,
        toml: &Range<usize>,
        name: &str,
        code: &Spanned<String>,
    ) -> Option<Filter> {
        match Filter::parse(code.get_ref()) {
            Ok(filter) => Some(filter),
            Err(bad) => {
                let start = toml.start + code.span().start;
                let written = &self.text[start..];
                // In a text of several lines the first line break does not count.
                let quotes = ["'''", "\"\"\""].map(|quotes| {
                    let rest = written.strip_prefix(quotes);
                    rest.is_some_and(|rest| rest.starts_with(['\n', '\r']))
                });
                let before = &code.get_ref()[..bad.at.min(code.get_ref().len())];
                let lines = before.matches('\n').count() + usize::from(quotes.contains(&true));
                let mut at = start;
                for _ in 0..lines {
                    at += self.text[at..].find('\n').map_or(0, |line| line + 1);
                }
                self.problem(at, format!("the filter `{name}`: {}", bad.message));
                None
            }
        }
    }

    /// What the body consists of, at its uppermost level.
    fn blocks(&mut self, body: Range<usize>) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut depth = 0;
        let mut heading: Option<(HeadingLevel, Range<usize>)> = None;
        let mut code: Option<(Directive, Range<usize>, Option<Range<usize>>)> = None;
        let events = Parser::new_ext(&self.text[body.clone()], MARKDOWN).into_offset_iter();
        let mut refused = Vec::new();
        for (event, place) in events {
            let place = place.start + body.start..place.end + body.start;
            match &event {
                Event::Start(Tag::Image { .. }) => {
                    refused.push((place.start, "a picture; lessons have text only"));
                }
                Event::Html(_) | Event::InlineHtml(_) => {
                    refused.push((place.start, "HTML; lessons have Markdown only"));
                }
                _ => {}
            }
            match event {
                Event::Start(tag) => {
                    if depth == 0 {
                        match tag {
                            Tag::Heading { level, .. } => heading = Some((level, place)),
                            Tag::CodeBlock(CodeBlockKind::Fenced(info)) => match directive(&info) {
                                Some(directive) => code = Some((directive, place, None)),
                                None => blocks.push(Block::Prose(place)),
                            },
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

/// A page that is being read.
struct Draft {
    page: Page,
    depth: Option<Depth>,
    has_goto: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../lessons/en/01-the-whole-way.md");

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
            (page("<b>bold</b>"), 13, "HTML"),
            (page("![picture](x.png)"), 13, "picture"),
        ] {
            let (found, message) = problem(&text);
            assert!(message.contains(expected), "{text}\n{message}");
            assert_eq!(found, line, "{text}\n{message}");
        }
    }
}

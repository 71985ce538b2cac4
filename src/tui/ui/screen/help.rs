//! The help: every key that does something in this session, what works here first, by what one wants to do.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::overlays::overlay;
use crate::lesson::Language;
use crate::tui::keys::{ALWAYS, BROWSE, Binding, Group, LESSON, MOUSE, NETWORK, beneath_help};
use crate::tui::state::{App, Help, View};
use crate::tui::ui::area::{below, top};
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::wrap::wrap_words;

/// The most columns and rows that it takes.
const SIZE: (u16, u16) = (100, 100);
/// Columns of the keys.
const KEYS: u16 = 11;
/// Rows of its title, with the gap beneath.
const HEAD: u16 = 2;

/// One key, or one heading.
enum Line {
    Gap,
    Title(String),
    Group(&'static str),
    /// The keys, in its first line, and a part of what they do; do they work here?
    Key(&'static str, String, bool),
}

/// Keys under one heading.
struct Section {
    title: Line,
    keys: Vec<(&'static Binding, String)>,
    works: bool,
}

/// Draws the help over `body`.
pub fn draw(buffer: &mut Buffer, body: Rect, help: &Help, app: &App, theme: Theme) {
    let area = overlay(buffer, body, SIZE.0, SIZE.1);
    let language = app.lesson.language;
    let lines = lines(help, app, area.width);
    draw_head(buffer, area, help, app, theme);
    let place = below(area, HEAD);
    let rows = usize::from(place.height);
    let shown = lines.iter().skip(help.scroll).take(rows);
    for (row, line) in place.rows().zip(shown) {
        draw_line(buffer, row, line, theme);
    }
    if lines.is_empty() {
        let said = ["no key has to do with that", "没有与此有关的按键"];
        let said = language.choose(said);
        buffer.set_stringn(place.x, place.y, said, place.width.into(), theme.muted());
    }
    if area.width < KEYS || place.height == 0 {
        return;
    }
    for (is_more, y, mark) in [
        (help.scroll > 0, place.y, "↑"),
        (help.scroll + rows < lines.len(), place.bottom() - 1, "↓"),
    ] {
        if is_more {
            buffer.set_string(area.right() - 1, y, mark, theme.accent());
        }
    }
}

/// Scrolls as was asked for, on a screen whose views lie in `body`.
pub fn settle(help: &mut Help, app: &App, body: Rect) {
    // The frame and the margin of what lies over a view.
    let width = SIZE.0.min(body.width).saturating_sub(4);
    let rows = SIZE.1.min(body.height).saturating_sub(2 + HEAD);
    let lines = lines(help, app, width).len();
    help.settle(lines, rows.into());
}

fn draw_head(buffer: &mut Buffer, area: Rect, help: &Help, app: &App, theme: Theme) {
    let language = app.lesson.language;
    let said = language.choose(["Keys", "按键"]);
    let title = format!("{said} · {}", language.choose(app.cursor.view.name()));
    let head = top(area, 1);
    buffer.set_stringn(head.x, head.y, title, head.width.into(), theme.accent());
    let typed = text::clean(help.search.text());
    let (search, style) = match (help.is_searched, typed.is_empty()) {
        (true, _) => (format!("/{typed}▏"), theme.accent()),
        (false, false) => (format!("/{typed}"), theme.accent()),
        (false, true) => {
            let said = ["/ searches · space goes on", "/ 搜索 · 空格翻页"];
            (language.choose(said).to_owned(), theme.muted())
        }
    };
    let width = text::width(&search) as u16;
    let x = head.right().saturating_sub(width).max(head.x);
    let room = usize::from(head.right().saturating_sub(x));
    buffer.set_stringn(x, head.y, search, room, style);
}

fn draw_line(buffer: &mut Buffer, area: Rect, line: &Line, theme: Theme) {
    let room = usize::from(area.width);
    match line {
        Line::Gap => {}
        Line::Title(title) => {
            buffer.set_stringn(area.x, area.y, title, room, theme.accent());
        }
        Line::Group(title) => {
            buffer.set_stringn(area.x, area.y, title, room, theme.title());
        }
        Line::Key(keys, words, works) => {
            let style = if *works { theme.title() } else { theme.muted() };
            buffer.set_stringn(area.x, area.y, keys, room, style);
            let style = if *works { theme.text() } else { theme.muted() };
            let room = room.saturating_sub(KEYS.into());
            buffer.set_stringn(area.x + KEYS.min(area.width), area.y, words, room, style);
        }
    }
}

/// What is to be read, in lines of `width` columns.
fn lines(help: &Help, app: &App, width: u16) -> Vec<Line> {
    let language = app.lesson.language;
    let wanted = help.search.text().trim().to_lowercase();
    let columns = usize::from(width.saturating_sub(KEYS + 1));
    let mut lines = Vec::new();
    for section in sections(app) {
        let found = section.keys.iter();
        let found: Vec<_> = found
            .filter(|(binding, views)| is_about(binding, views, &wanted, language))
            .collect();
        if found.is_empty() {
            continue;
        }
        if !lines.is_empty() {
            lines.push(Line::Gap);
        }
        lines.push(section.title);
        for (binding, views) in found {
            let mut keys = binding.keys(language);
            let sentence = language.choose(binding.sentence);
            for words in wrap_words(&format!("{views}{sentence}"), columns) {
                lines.push(Line::Key(std::mem::take(&mut keys), words, section.works));
            }
        }
    }
    lines
}

/// Has `binding` to do with `wanted`? A single character is a key.
fn is_about(binding: &Binding, views: &str, wanted: &str, language: Language) -> bool {
    let mut letters = wanted.chars();
    if let (Some(key), None) = (letters.next(), letters.next())
        && key.is_ascii()
    {
        return binding.keys.to_lowercase().contains(key);
    }
    let said = [
        binding.keys,
        binding.group.name()[0],
        language.choose(binding.group.name()),
        binding.label[0],
        language.choose(binding.label),
        language.choose(binding.sentence),
        views,
    ];
    said.iter().any(|said| said.to_lowercase().contains(wanted))
}

/// The keys by what one wants to do: first those that work here, then those of other views and of other moments. What
/// cannot happen in this session is not there.
fn sections(app: &App) -> Vec<Section> {
    let language = app.lesson.language;
    let here = app.cursor.view;
    let all = || {
        [LESSON, NETWORK, BROWSE, MOUSE, ALWAYS]
            .into_iter()
            .flatten()
    };
    let works_here = |binding: &&Binding| (binding.works)(app, here);
    let plain = |binding| (binding, String::new());
    let mut sections = vec![Section {
        title: Line::Title(
            language
                .choose(["In what lies beneath", "在下面打开的列表里"])
                .to_owned(),
        ),
        keys: beneath_help(app).iter().map(plain).collect(),
        works: true,
    }];
    for group in Group::ALL {
        let of_group = all().filter(|binding| binding.group == group);
        sections.push(Section {
            title: Line::Group(language.choose(group.name())),
            keys: of_group.filter(works_here).map(plain).collect(),
            works: true,
        });
    }
    let others = all().filter(|binding| !works_here(binding));
    let (elsewhere, later): (Vec<_>, Vec<_>) = others
        .map(|binding| (binding, views_of(binding, app, language)))
        .partition(|(_, views)| !views.is_empty());
    sections.push(Section {
        title: Line::Title(
            language
                .choose(["In other views", "在其他视图里"])
                .to_owned(),
        ),
        keys: elsewhere,
        works: false,
    });
    // A recording is all there: what does not work now never will.
    if !app.recorded {
        let said = [
            "At other moments: in a lesson, inside of a network, while a run goes on, with several runs, with a message",
            "在其他时候：在课程里，在网络内部，运行进行时，有多个运行时，有消息时",
        ];
        sections.push(Section {
            title: Line::Title(language.choose(said).to_owned()),
            keys: later,
            works: false,
        });
    }
    sections
}

/// The views in which `binding` does something now: `Schedule: `; nothing where there are none.
fn views_of(binding: &Binding, app: &App, language: Language) -> String {
    let views = View::ALL.into_iter();
    let views = views.filter(|&view| (binding.works)(app, view));
    let views: Vec<&str> = views.map(|view| language.choose(view.name())).collect();
    if views.is_empty() {
        return String::new();
    }
    let gap = language.choose([", ", "、"]);
    format!("{}{}", views.join(gap), language.choose([": ", "："]))
}

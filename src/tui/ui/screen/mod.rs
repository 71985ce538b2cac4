//! The whole screen.
//!
//! ```text
//!  diffuscope   model · device · request                        attention memory
//! ───────────┬──────────────────────────────────────────────────────────────────
//!  ✓ Prompt  │ one sentence: what happens at this stage
//!  ✓ Tokens  │
//!  …         │ the view
//!    Image   │
//! ───────────┴──────────────────────────────────────────────────────────────────
//!  noise ├━━━━━━━━━━━━●───────────┤ picture   step 12 / 25   what goes on
//!  ←→ step  ↑↓ select  … the keys that work here                  ? keys  q quit
//! ```

mod bottom;
mod help;
mod hit;
mod overlays;
mod watches;

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;

use super::context::ViewContext;
use super::lesson::{self, Explanation, Pane};
use super::pixels::PlacedPicture;
use super::text;
use super::theme::{Colours, Theme};
use super::views;
use super::wrap::wrap_words;
use crate::lesson::Language;
use crate::tui::not_finite;
use crate::tui::state::in_words;
use crate::tui::state::lesson::OpenLesson;
use crate::tui::state::run::Run;
use crate::tui::state::{App, Mode, View};
use crate::tui::worker::Work;
pub use hit::hit;

/// The smallest screen that the inspector can be used on.
const SMALLEST: (u16, u16) = (40, 12);

/// Draws the whole screen in `buffer`; returns the pictures that may be printed over their cells in pixels.
pub fn render(buffer: &mut Buffer, app: &App, theme: Theme) -> Vec<PlacedPicture> {
    let area = buffer.area;
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(buffer, area, app.lesson.language);
        return Vec::new();
    }
    let places = Places::new(area);
    let wide = places.wide;
    draw_header(buffer, places.header, app, theme);
    draw_rules(buffer, [places.upper, places.lower], places.rule, theme);
    draw_sidebar(buffer, places.sidebar, app, theme, wide);
    let (middle, pane) = places.explained(app);
    // The form has the whole width.
    let is_edited = matches!(app.mode, Mode::Edit(_));
    let context = ViewContext::new(app, theme);
    let mut pictures = match app.runs.compared().filter(|_| !is_edited) {
        Some(other) => views::compare::draw(buffer, middle, &context, other),
        None => views::draw(buffer, middle, &context),
    };
    if let Some((explanation, pane)) = pane {
        explanation.draw(buffer, pane, theme);
    }
    if let Some(reading) = &app.lesson.open {
        lesson_pane(area, reading, app.lesson.language).draw(buffer, app, reading, theme);
        draw_highlights(buffer, app, reading, theme);
    }
    bottom::draw_timeline(buffer, places.when, app, theme);
    bottom::draw_footer(buffer, places.keys, app, theme);
    if overlays::draw(buffer, places.middle, app, theme) {
        pictures.clear();
    }
    pictures
}

/// Does `wanted` stand on a screen of `size` (columns, rows), outside of a lesson's own words?
pub fn shows(app: &App, size: (u16, u16), wanted: &str) -> bool {
    let area = Rect::new(0, 0, size.0, size.1);
    let mut buffer = Buffer::empty(area);
    render(&mut buffer, app, Theme::new(Colours::None));
    !found(&buffer, app, wanted).is_empty()
}

fn lesson_pane(screen: Rect, reading: &OpenLesson, language: Language) -> Pane {
    lesson::split(Places::new(screen).middle, reading, language).1
}

/// Scrolls the help and the lesson's page as the state asks for, on a screen of `size` (columns, rows).
pub fn settle_scroll(app: &mut App, size: (u16, u16)) {
    let language = app.lesson.language;
    let screen = Rect::new(0, 0, size.0, size.1);
    if let Mode::Help(help) = &app.mode {
        let mut help = help.clone();
        help::settle(&mut help, app, Places::new(screen).middle);
        app.mode = Mode::Help(help);
    }
    if let Some(reading) = &mut app.lesson.open
        && reading.scrolling.is_some()
    {
        reading.scroll = lesson_pane(screen, reading, language).scroll(reading, language);
        reading.scrolling = None;
    }
}

/// The places of `wanted` outside of a lesson's own words.
fn found(buffer: &Buffer, app: &App, wanted: &str) -> Vec<Rect> {
    let area = buffer.area;
    let mut found = lesson::find(buffer, area, wanted);
    if let Some(reading) = &app.lesson.open {
        let pane = lesson_pane(area, reading, app.lesson.language);
        found.retain(|place| place.intersection(pane.area).is_empty());
    }
    found
}

fn draw_highlights(buffer: &mut Buffer, app: &App, reading: &OpenLesson, theme: Theme) {
    if !app.script.is_empty() {
        return;
    }
    let style = theme.warning().underlined().bold();
    for wanted in &reading.page().goto.highlight {
        for place in found(buffer, app, wanted) {
            buffer.set_style(place, style);
        }
    }
}

struct Places {
    header: Rect,
    upper: Rect,
    sidebar: Rect,
    rule: Rect,
    middle: Rect,
    lower: Rect,
    when: Rect,
    keys: Rect,
    wide: bool,
}

impl Places {
    fn new(area: Rect) -> Self {
        let row = Length(1);
        let [header, upper, body, lower, when, keys] =
            Layout::vertical([row, row, Fill(1), row, row, row]).areas(area);
        let wide = area.width >= 100;
        let margin = u16::from(wide);
        let (gap, names) = (Length(margin), Length(if wide { 16 } else { 11 }));
        let [_, sidebar, rule, _, middle, _] =
            Layout::horizontal([gap, names, row, row, Fill(1), gap]).areas(body);
        Self {
            header,
            upper,
            sidebar,
            rule,
            middle,
            lower,
            when,
            keys,
            wide,
        }
    }

    /// The view's place, and that of its explanation where one is open.
    fn explained(&self, app: &App) -> (Rect, Option<(Explanation, Pane)>) {
        let language = app.lesson.language;
        if let Some(reading) = &app.lesson.open {
            return (lesson::split(self.middle, reading, language).0, None);
        }
        let Some(depth) = app.explain else {
            return (self.middle, None);
        };
        let explanation = match app.cursor.inside() {
            Some(_) => Explanation::of_network(depth, language),
            None => Explanation::of(app.cursor.view, depth, language),
        };
        let (view, pane) = explanation.split(self.middle);
        (view, Some((explanation, pane)))
    }
}

fn too_small(buffer: &mut Buffer, area: Rect, language: Language) {
    let (columns, rows) = SMALLEST;
    let Rect { width, height, .. } = area;
    let caption = language.choose([
        format!(
            "Diffuscope needs {columns}×{rows} characters; this window has {width}×{height}. \
             Make it larger, or q to quit."
        ),
        format!(
            "Diffuscope 需要 {columns}×{rows} 个字符；这个窗口是 {width}×{height}。请放大窗口，或按 q 退出。"
        ),
    ]);
    let lines = wrap_words(&caption, width.into());
    for (place, line) in area.rows().zip(lines) {
        buffer.set_stringn(place.x, place.y, line, width.into(), Style::new());
    }
}

fn draw_header(buffer: &mut Buffer, area: Rect, app: &App, theme: Theme) {
    let room = |x: u16| usize::from(area.right().saturating_sub(x));
    let (x, _) = buffer.set_stringn(area.x, area.y, " diffuscope", room(area.x), theme.accent());
    let broken = app.run().and_then(|run| run.trace.not_finite());
    let broken = broken.map_or_else(String::new, |found| {
        format!(
            "   {}",
            app.lesson.language.choose(not_finite::short(&found))
        )
    });
    let (x, _) = buffer.set_stringn(x, area.y, broken, room(x), theme.warning());
    let mut right = String::new();
    if let Some(run) = app.run() {
        let (used, budget) = run.attention_memory();
        let (used, budget) = (tenths(used), budget >> 20);
        right = app.lesson.language.choose([
            format!("attention {used} of {budget} MiB "),
            format!("注意力 {used} / {budget} MiB "),
        ]);
    }
    let caption = what_is_shown(app, room(x));
    let (end, _) = buffer.set_stringn(x, area.y, caption, room(x), theme.muted());
    let start = area.right().saturating_sub(text::width(&right) as u16);
    if start > end + 2 {
        buffer.set_string(start, area.y, right, theme.muted());
    }
}

/// The run, its model and what was asked for, in `columns` columns: the parts that have no room are left out whole, those
/// that other places say first.
fn what_is_shown(app: &App, columns: usize) -> String {
    let language = app.lesson.language;
    let mut parts: Vec<(u8, String)> = Vec::new();
    if let Some(run) = app.run() {
        parts.push((0, name_of(run, app)));
    }
    if let Some(request) = app.request() {
        // What was changed by hand comes first: it is never to be overlooked.
        let changes = in_words::special(request, language).into_iter();
        parts.extend(changes.map(|change| (0, text::clean(&change))));
    }
    if let Some(info) = app.info() {
        parts.push((4, text::clean(&info.name)));
        parts.push((5, format!("{} {}", info.device, info.dtype)));
    }
    if let Some(request) = app.request() {
        parts.push((3, in_words::scheduler_name(request.scheduler)));
        parts.push((1, in_words::seed(request, language)));
        parts.push((2, in_words::guidance(request, language)));
    }
    parts.retain(|(_, part)| !part.is_empty());
    loop {
        let shown: Vec<&str> = parts.iter().map(|(_, part)| part.as_str()).collect();
        let caption = format!("   {}", shown.join(" · "));
        let least = parts.iter().map(|(rank, _)| *rank).max().unwrap_or(0);
        if text::width(&caption) <= columns || least == 0 {
            return text::truncate(&caption, columns);
        }
        parts.retain(|(rank, _)| *rank != least);
    }
}

/// Which run this is, where there are several: `run 3`, `run 4 from 3 at step 12`.
fn name_of(run: &Run, app: &App) -> String {
    let id = run.id;
    app.lesson.language.choose(match run.origin {
        Some(origin) => {
            let (parent, step) = (origin.run, origin.step + 1);
            [
                format!("run {id} from {parent} at step {step}"),
                format!("运行 {id}，从运行 {parent} 的第 {step} 步分出"),
            ]
        }
        None if app.runs.others.is_empty() => Default::default(),
        None => [format!("run {id}"), format!("运行 {id}")],
    })
}

/// Bytes in MiB, with a decimal where there are few.
fn tenths(bytes: usize) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 10.0 {
        format!("{mebibytes:.1}")
    } else {
        format!("{mebibytes:.0}")
    }
}

fn draw_rules(buffer: &mut Buffer, across: [Rect; 2], down: Rect, theme: Theme) {
    let style = theme.rule();
    for (area, joint) in across.into_iter().zip(["┬", "┴"]) {
        for x in area.left()..area.right() {
            let symbol = if x == down.x { joint } else { "─" };
            buffer[(x, area.y)].set_symbol(symbol).set_style(style);
        }
    }
    for y in down.top()..down.bottom() {
        buffer[(down.x, y)].set_symbol("│").set_style(style);
    }
}

fn draw_sidebar(buffer: &mut Buffer, area: Rect, app: &App, theme: Theme, wide: bool) {
    for (index, view) in View::ALL.into_iter().enumerate() {
        let y = area.y + index as u16;
        if y >= area.bottom() {
            break;
        }
        let (mark, style) = match progress(app, view) {
            (true, _) => ("✓", theme.good()),
            (false, true) => ("●", theme.warning()),
            (false, false) => ("·", theme.muted()),
        };
        let name = app.lesson.language.choose(match view {
            View::TextEncoder if !wide => ["Encoder", "编码器"],
            view => view.name(),
        });
        let width = usize::from(area.width);
        if view == app.cursor.view {
            let row = text::fit(&format!("{mark} {name}"), width);
            buffer.set_stringn(area.x, y, row, width, theme.selected());
        } else {
            buffer.set_stringn(area.x, y, mark, 1, style);
            buffer.set_stringn(area.x + 2, y, name, width - 2, theme.text());
        }
    }
}

/// Is the stage done that `view` shows, and is it being computed?
fn progress(app: &App, view: View) -> (bool, bool) {
    let Some(run) = app.run() else {
        return (false, false);
    };
    let trace = &run.trace;
    let working = app.work.map(|(work, _)| work);
    match view {
        View::Prompt => (true, false),
        View::Tokens => (trace.tokens.is_some(), working == Some(Work::Tokens)),
        View::Embedding | View::TextEncoder => (trace.text.is_some(), working == Some(Work::Text)),
        View::Noise | View::Schedule => (trace.noise.is_some(), working == Some(Work::Noise)),
        View::Denoising | View::Attention => (
            trace.steps.len() >= run.total_steps(),
            matches!(working, Some(Work::Step(_))),
        ),
        View::Image => (trace.image.is_some(), working == Some(Work::Image)),
    }
}

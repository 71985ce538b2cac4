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

mod hit;
mod overlays;

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::area::right_of;
use super::context::ViewContext;
use super::lesson::{self, Explanation, Pane};
use super::pixels::PlacedPicture;
use super::text;
use super::theme::{Colours, Theme};
use super::views;
use super::widgets::{key_line, timeline::Timeline};
use crate::lesson::Language;
use crate::tui::keys;
use crate::tui::state::editor::scheduler_name;
use crate::tui::state::lesson::{Messages, OpenLesson, joined};
use crate::tui::state::run::{Run, RunState};
use crate::tui::state::{App, Mode, Model, Notice, View};
use crate::tui::worker::Work;
pub use hit::hit;

/// The smallest screen that the inspector can be used on.
const SMALLEST: (u16, u16) = (40, 12);

/// Draws the whole screen in `buffer`; returns the pictures that may be printed over their cells in pixels.
pub fn render(buffer: &mut Buffer, app: &App, theme: Theme) -> Vec<PlacedPicture> {
    let area = buffer.area;
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(buffer, area);
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
    draw_timeline(buffer, places.when, app, theme);
    draw_footer(buffer, places.keys, app, theme);
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

/// Scrolls the lesson's page as the state asks for, on a screen of `size` (columns, rows).
pub fn settle_scroll(app: &mut App, size: (u16, u16)) {
    let language = app.lesson.language;
    if let Some(reading) = &mut app.lesson.open
        && reading.scrolling.is_some()
    {
        let screen = Rect::new(0, 0, size.0, size.1);
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
        let explanation = Explanation::of(app.cursor.view, depth, language);
        let (view, pane) = explanation.split(self.middle);
        (view, Some((explanation, pane)))
    }
}

fn too_small(buffer: &mut Buffer, area: Rect) {
    let caption = format!(
        "Diffuscope needs {}×{} characters; this window has {}×{}. Make it larger, or q to quit.",
        SMALLEST.0, SMALLEST.1, area.width, area.height
    );
    let caption = Paragraph::new(caption).wrap(Wrap { trim: true });
    caption.render(area, buffer);
}

fn draw_header(buffer: &mut Buffer, area: Rect, app: &App, theme: Theme) {
    let room = |x: u16| usize::from(area.right().saturating_sub(x));
    let (x, _) = buffer.set_stringn(area.x, area.y, " diffuscope", room(area.x), theme.accent());
    let broken = app.run().and_then(Run::first_not_finite);
    let broken = broken.map_or_else(String::new, |step| {
        format!("   NaN or infinite since step {}", step.index + 1)
    });
    let (x, _) = buffer.set_stringn(x, area.y, broken, room(x), theme.warning());
    let mut right = String::new();
    let mut parts = Vec::new();
    if let Some(info) = app.info() {
        parts.push(text::clean(&info.name));
        parts.push(format!("{} {}", info.device, info.dtype));
    }
    if let Some(request) = app.request() {
        parts.push(scheduler_name(request.scheduler));
        parts.push(format!("seed {}", request.seed));
        parts.push(format!("guidance {}", request.guidance_scale));
        // What was changed by hand comes first: it is never to be overlooked.
        let changes = request.interventions.iter();
        let changes = changes.map(|change| text::clean(&change.to_string()));
        parts.splice(0..0, changes);
    }
    if let Some(run) = app.run() {
        let (used, budget) = run.attention_memory();
        right = format!("attention {} of {} MiB ", tenths(used), budget >> 20);
        let name = name_of(run, app);
        if !name.is_empty() {
            parts.insert(0, name);
        }
    }
    let caption = format!("   {}", parts.join(" · "));
    let (end, _) = buffer.set_stringn(x, area.y, caption, room(x), theme.muted());
    let start = area.right().saturating_sub(text::width(&right) as u16);
    if start > end + 2 {
        buffer.set_string(start, area.y, right, theme.muted());
    }
}

/// Which run this is, where there are several: `run 3`, `run 4 from 3 at step 12`.
fn name_of(run: &Run, app: &App) -> String {
    match run.origin {
        Some(origin) => {
            let step = origin.step + 1;
            format!("run {} from {} at step {step}", run.id, origin.run)
        }
        None if app.runs.others.is_empty() => String::new(),
        None => format!("run {}", run.id),
    }
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
        let name = match view {
            View::TextEncoder if !wide => "Encoder",
            view => view.name(),
        };
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

fn draw_timeline(buffer: &mut Buffer, area: Rect, app: &App, theme: Theme) {
    let status = status(app);
    if let Some(run) = app.run() {
        Timeline {
            current: app.has_steps().then_some(app.cursor.step),
            done: run.trace.steps.len(),
            total: run.total_steps(),
            finished: run.trace.image.is_some(),
            status: &status,
        }
        .draw(buffer, area, theme);
    } else {
        let caption = format!(" {status}");
        buffer.set_stringn(area.x, area.y, caption, area.width.into(), theme.text());
    }
}

/// What goes on, in a few words.
fn status(app: &App) -> String {
    let elapsed = |since: std::time::Duration| {
        let seconds = app.clock.saturating_sub(since).as_secs_f64();
        if seconds < 1.0 {
            String::new()
        } else {
            format!(" {}", text::seconds(seconds))
        }
    };
    if let Some((model, since)) = &app.opening {
        return format!("opening {} …{}", text::clean(model), elapsed(*since));
    }
    let Some(run) = app.run() else {
        return match app.model {
            Model::Loading => format!("loading the model …{}", elapsed(std::time::Duration::ZERO)),
            Model::Ready(_) => "ready".to_owned(),
            Model::Failed(_) => "there is no model".to_owned(),
        };
    };
    if app.playback.is_some() {
        return "▶ playing back".to_owned();
    }
    let a_step = run.seconds_a_step();
    let a_step = a_step.map_or_else(String::new, |each| {
        format!("{} a step", text::seconds(each))
    });
    match (&run.state, app.work) {
        (_, Some((Work::Attention(_), since))) => format!("computing heads …{}", elapsed(since)),
        (_, Some((Work::Decode(_), since))) => format!("decoding x0 …{}", elapsed(since)),
        (RunState::Cancelling, _) => "cancelling …".to_owned(),
        (RunState::Pausing, _) => "pausing after this step …".to_owned(),
        (RunState::Running, Some((work, since))) => match work {
            Work::Tokens => "▶ cutting into tokens".to_owned(),
            Work::Text => format!("▶ reading the text{}", elapsed(since)),
            Work::Noise => "▶ drawing the noise".to_owned(),
            Work::Step(step) if run.trace.steps.len() < 2 => {
                format!("▶ denoising {}{}", step + 1, elapsed(since))
            }
            Work::Step(_) if app.cursor.follow => format!("▶ {a_step}"),
            Work::Step(step) => format!("▶ at {} · {a_step}", step + 1),
            _ => format!("▶ decoding{}", elapsed(since)),
        },
        (RunState::Running, None) => "▶".to_owned(),
        (RunState::Paused, _) => format!("⏸ paused · {a_step}"),
        (RunState::Cancelled, _) => "⏸ cancelled · space goes on".to_owned(),
        (RunState::Failed, _) => "failed".to_owned(),
        (RunState::Done, _) => format!("✓ in {} · {a_step}", text::seconds(run.seconds())),
    }
}

fn draw_footer(buffer: &mut Buffer, area: Rect, app: &App, theme: Theme) {
    let (bindings, always) = keys::active(app);
    let caption = match (&app.mode, &app.notice) {
        (Mode::Weight(line), _) => {
            let word = text::clean(app.selected_word().unwrap_or_default());
            let typed = text::clean(line.text());
            Some((format!(" attention to “{word}” × {typed}▏"), theme.accent()))
        }
        (Mode::Answer(line), _) => {
            let typed = text::clean(line.text());
            let caption = Messages::of(app.lesson.language);
            let caption = joined(caption.answer, &format!("{typed}▏"));
            Some((format!(" {caption}"), theme.accent()))
        }
        (Mode::Jump(line), _) => Some((format!(" go to step: {}▏", line.text()), theme.accent())),
        (_, Some(Notice::Done(caption, _))) => {
            Some((format!(" ✓ {}", text::clean(caption)), theme.good()))
        }
        _ => None,
    };
    let mut keys = area;
    if let Some((caption, style)) = caption {
        let (end, _) = buffer.set_stringn(area.x, area.y, caption, area.width.into(), style);
        keys = right_of(area, end + 2);
    }
    key_line::draw(buffer, keys, (&bindings, always), |word| word, theme);
}

//! What lies over the view: the help, the runs of this sitting, an error.

use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Widget};

use crate::tui::keys::{self, Binding};
use crate::tui::state::editor::{changes, scheduler_name};
use crate::tui::state::run::RunState;
use crate::tui::state::{App, Branch, ExportItem, Mode, Notice};
use crate::tui::ui::lesson;
use crate::tui::ui::text::{self, wrap_words};
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::choice;
use crate::tui::worker::Failure;

/// Draws what lies over the view, if anything does.
pub fn draw(buffer: &mut Buffer, body: Rect, app: &App, theme: Theme) -> bool {
    match (&app.mode, &app.notice) {
        (Mode::Help(scroll), _) => draw_help(buffer, body, *scroll, app, theme),
        (_, Some(Notice::Failed(failure))) => draw_failure(buffer, body, failure, theme),
        (Mode::Runs(row), _) => draw_runs(buffer, body, *row, app, theme),
        (Mode::Lessons(row), _) => {
            let area = overlay(buffer, body, 84, app.lesson.lessons().len() as u16 + 4);
            lesson::list::draw(buffer, area, *row, app, theme);
        }
        (Mode::Export(row), _) => draw_offers(buffer, body, *row, app, theme),
        _ => return false,
    }
    true
}

/// The runs of this sitting as a tree: what each was asked for, and a branch only for what it changed.
fn draw_runs(buffer: &mut Buffer, body: Rect, selected: usize, app: &App, theme: Theme) {
    let rows = app.runs.tree();
    let area = overlay(buffer, body, 100, rows.len() as u16 + 4);
    buffer.set_stringn(area.x, area.y, "Runs", area.width.into(), theme.accent());
    let lines = rows.iter().map(|row| {
        let style = if row.is_current {
            theme.title()
        } else {
            theme.text()
        };
        (describe(row, &rows), style)
    });
    choice::draw(buffer, area, selected, lines, theme);
}

/// What can be written to a file, with its format and the file's name.
fn draw_offers(buffer: &mut Buffer, body: Rect, selected: usize, app: &App, theme: Theme) {
    let offers = &app.export.items;
    let area = overlay(buffer, body, 84, offers.len() as u16 + 4);
    let title = "Write to a new file in the current folder";
    buffer.set_stringn(area.x, area.y, title, area.width.into(), theme.accent());
    let widest =
        |of: fn(&ExportItem) -> &str| offers.iter().map(|offer| text::width(of(offer))).max();
    let name = widest(|offer| &offer.name).unwrap_or(0);
    // The names are what has to be found again, and stand there in full; where there is little room, their endings say
    // the format.
    let is_narrow = area.width < 70;
    let beside = name + if is_narrow { 2 } else { 10 };
    let room = usize::from(area.width).saturating_sub(beside).max(12);
    let what = widest(|offer| &offer.what).unwrap_or(0).min(room);
    let rows = offers.iter().map(|offer| {
        let caption = text::fit(&offer.what, what);
        let format = if is_narrow {
            String::new()
        } else {
            format!("{:<6}  ", offer.format)
        };
        (format!("{caption}  {format}{}", offer.name), theme.text())
    });
    choice::draw(buffer, area, selected, rows, theme);
}

fn describe(row: &Branch, rows: &[Branch]) -> String {
    let run = row.run;
    let mark = match (row.is_current, row.is_compared) {
        (true, _) => "●",
        (false, true) => "◐",
        (false, false) => "○",
    };
    let state = match run.state {
        RunState::Done => "✓".to_owned(),
        RunState::Failed => "failed".to_owned(),
        RunState::Running => "▶".to_owned(),
        _ => format!("⏸ {}/{}", run.trace.steps.len(), run.total_steps()),
    };
    let request = &run.trace.request;
    let parent = run.origin.and_then(|origin| {
        let parent = rows.iter().find(|other| other.run.id == origin.run)?;
        Some((origin, &parent.run.trace.request))
    });
    let asked = match parent {
        None => {
            let scheduler = scheduler_name(request.scheduler);
            let (steps, seed) = (request.steps, request.seed);
            let (prompt, guidance) = (&request.prompt, request.guidance_scale);
            format!("{prompt}  · {scheduler} · {steps} steps · seed {seed} · guidance {guidance}")
        }
        Some((origin, before)) => {
            let mut changes = changes(request, before).join(" · ");
            if changes.is_empty() {
                changes.push_str("nothing changed");
            }
            format!("from step {}: {changes}", origin.step + 1)
        }
    };
    let branch = if row.depth > 0 { "└ " } else { "" };
    let indent = "  ".repeat(row.depth.saturating_sub(1));
    let id = run.id;
    text::clean(&format!("{mark} {id:>2} {indent}{branch}{asked}  {state}"))
}

fn draw_help(buffer: &mut Buffer, body: Rect, scroll: usize, app: &App, theme: Theme) {
    let area = overlay(buffer, body, 96, 60);
    let sections: [(&str, &[&[Binding]]); 8] = [
        ("Keys", &[keys::BROWSE, keys::ALWAYS]),
        ("In a lesson", &[keys::LESSON]),
        ("While choosing a lesson", &[keys::LESSONS]),
        ("While editing the request", &[keys::EDIT]),
        ("While typing a word's weight", &[keys::WEIGHT]),
        ("While choosing a run", &[keys::RUNS]),
        ("While choosing what to export", &[keys::EXPORT]),
        ("While moving over the picture", &[keys::PLACE]),
    ];
    let mut lines = Vec::new();
    for (title, tables) in sections {
        if !lines.is_empty() {
            lines.push((String::new(), String::new(), true));
        }
        lines.push((title.to_owned(), String::new(), true));
        for binding in tables.iter().copied().flatten() {
            let columns = usize::from(area.width).saturating_sub(11);
            let works = (binding.works)(app) || title != "Keys";
            let mut keys = binding.keys.to_owned();
            for sentence in wrap_words(binding.sentence, columns) {
                lines.push((std::mem::take(&mut keys), sentence, works));
            }
        }
    }
    let rows = usize::from(area.height);
    let first = scroll.min(lines.len().saturating_sub(rows));
    for (row, (keys, sentence, works)) in lines.iter().skip(first).take(rows).enumerate() {
        let y = area.y + row as u16;
        let is_title = sentence.is_empty();
        let style = match (is_title, works) {
            (true, _) => theme.accent(),
            (false, true) => theme.title(),
            (false, false) => theme.muted(),
        };
        buffer.set_stringn(area.x, y, keys, area.width.into(), style);
        let style = if *works { theme.text() } else { theme.muted() };
        let room = usize::from(area.width).saturating_sub(11);
        buffer.set_stringn(area.x + 11, y, sentence, room, style);
    }
    if first + rows < lines.len() {
        buffer.set_string(area.right() - 1, area.bottom() - 1, "↓", theme.accent());
    }
}

fn draw_failure(buffer: &mut Buffer, body: Rect, failure: &Failure, theme: Theme) {
    let columns = body.width.saturating_sub(6).min(76);
    let what = wrap_words(&text::clean(&failure.what), columns.into());
    let advice = wrap_words(&text::clean(&failure.advice), columns.into());
    let rows = (what.len() + advice.len() + 3) as u16;
    let area = overlay(buffer, body, columns + 4, rows + 2);
    let what = what.into_iter().map(|line| (line, theme.error()));
    let advice = advice.into_iter().map(|line| (line, theme.text()));
    let gap = || [(String::new(), theme.text())];
    let close = ("esc closes this message".to_owned(), theme.muted());
    let lines = what.chain(gap()).chain(advice).chain(gap()).chain([close]);
    for (place, (line, style)) in area.rows().zip(lines) {
        buffer.set_stringn(place.x, place.y, line, area.width.into(), style);
    }
}

/// Clears a place for something that lies over `body`, and returns the room within its margin.
fn overlay(buffer: &mut Buffer, body: Rect, width: u16, height: u16) -> Rect {
    let size = Size::new(width.min(body.width), height.min(body.height));
    let area = Rect {
        x: body.x + (body.width - size.width) / 2,
        y: body.y + (body.height - size.height) / 2,
        ..body
    };
    let area = area.resize(size);
    Clear.render(area, buffer);
    let block = Block::bordered().border_type(BorderType::Rounded);
    let block = block.padding(Padding::horizontal(1));
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

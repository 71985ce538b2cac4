//! What lies over the view: the help, the runs of this session, what can be written, an error, the question whether to
//! quit.

use ratatui::buffer::Buffer;
use ratatui::layout::{Rect, Size};
use ratatui::style::Style;
use ratatui::widgets::{Block, BorderType, Clear, Padding, Widget};

use super::{help, watches};
use crate::generation::Request;
use crate::lesson::Language;
use crate::tui::state::in_words::{self, changes};
use crate::tui::state::run::{Origin, Run, RunState};
use crate::tui::state::{App, Branch, Destination, ExportItem, Mode, Notice, RunList};
use crate::tui::ui::lesson;
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::choice;
use crate::tui::ui::wrap::{wrap, wrap_words};
use crate::tui::worker::Failure;

/// Columns of the question whether to quit.
const QUIT: u16 = 84;

/// Draws what lies over the view, if anything does.
pub fn draw(buffer: &mut Buffer, body: Rect, app: &App, theme: Theme) -> bool {
    match (&app.mode, &app.notice) {
        (Mode::Help(help), _) => help::draw(buffer, body, help, app, theme),
        (Mode::Quit(_), _) => draw_quit(buffer, body, app, theme),
        (_, Some(Notice::Failed(failure))) => draw_failure(buffer, body, failure, app, theme),
        (Mode::Runs(list), _) => draw_runs(buffer, body, *list, app, theme),
        (Mode::Lessons(row), _) => {
            let area = overlay(buffer, body, 84, app.lesson.lessons().len() as u16 + 4);
            lesson::list::draw(buffer, area, *row, app, theme);
        }
        (Mode::Export(row), _) => draw_offers(buffer, body, *row, app, theme),
        (Mode::Watches(menu), _) => watches::draw(buffer, body, menu, app, theme),
        (Mode::Destination(asked), _) => draw_destination(buffer, body, asked, app, theme),
        _ => return false,
    }
    true
}

/// Asks whether to quit, and names what would be lost.
fn draw_quit(buffer: &mut Buffer, body: Rect, app: &App, theme: Theme) {
    let rows = app.runs.tree();
    let unsaved: Vec<&Branch> = rows.iter().filter(|row| row.run.is_unsaved()).collect();
    let language = app.lesson.language;
    let count = unsaved.len();
    let title = language.choose(match count {
        1 => [
            "Quit? One run is in no file and would be lost:",
            "退出吗？有 1 个运行没有保存，会丢失：",
        ]
        .map(str::to_owned),
        _ => [
            format!("Quit? {count} runs are in no file and would be lost:"),
            format!("退出吗？有 {count} 个运行没有保存，会丢失："),
        ],
    });
    let keys = language.choose([
        "q quits · esc stays, and e writes a run · t shows the runs",
        "q 退出 · esc 留下，再按 e 写入文件 · t 查看运行",
    ]);
    let columns = usize::from(QUIT.min(body.width).saturating_sub(4));
    let mut said: Vec<Vec<String>> = (unsaved.iter())
        .map(|row| describe(row, &rows, app).whole(columns))
        .collect();
    // Runs that have no room are left out whole, with a row that says how many.
    let most = usize::from(body.height.saturating_sub(6)).max(1);
    let taken = |said: &[Vec<String>]| {
        let rows: usize = said.iter().map(Vec::len).sum();
        rows + usize::from(said.len() < count)
    };
    while said.len() > 1 && taken(&said) > most {
        said.pop();
    }
    let area = overlay(buffer, body, QUIT, taken(&said) as u16 + 6);
    let left = count - said.len();
    let mut lines = vec![(title, theme.warning()), (String::new(), theme.text())];
    let said = said.into_iter().flatten();
    lines.extend(said.map(|words| (words, theme.text())));
    if left > 0 {
        let said = [format!("… and {left} more"), format!("… 还有 {left} 个")];
        lines.push((language.choose(said), theme.muted()));
    }
    lines.push((String::new(), theme.text()));
    lines.push((keys.to_owned(), theme.muted()));
    draw_lines(buffer, area, lines);
}

/// The runs of this session as a tree: what each was asked for, and a branch only for what it changed.
fn draw_runs(buffer: &mut Buffer, body: Rect, list: RunList, app: &App, theme: Theme) {
    let rows = app.runs.tree();
    let area = overlay(buffer, body, 100, rows.len() as u16 + 4);
    let title = app.lesson.language.choose(["Runs", "运行"]);
    buffer.set_stringn(area.x, area.y, title, area.width.into(), theme.accent());
    if let Some(run) = list.asks {
        let said = [
            format!("run {run} is in no file: d deletes it, esc keeps it"),
            format!("运行 {run} 没有保存：按 d 删除，按 esc 保留"),
        ];
        let said = app.lesson.language.choose(said);
        let x = area.x + text::width(title) as u16 + 3;
        let room = usize::from(area.right().saturating_sub(x));
        buffer.set_stringn(x, area.y, said, room, theme.warning());
    }
    let lines = rows.iter().map(|row| {
        let style = if row.is_current {
            theme.title()
        } else {
            theme.text()
        };
        let words = describe(row, &rows, app).in_columns(area.width.into());
        (words, style)
    });
    choice::draw(buffer, area, list.row, lines, theme);
}

/// What can be written to a file, with its format and the file's name.
fn draw_offers(buffer: &mut Buffer, body: Rect, selected: usize, app: &App, theme: Theme) {
    let offers = &app.export.items;
    let area = overlay(buffer, body, 84, offers.len() as u16 + 4);
    let language = app.lesson.language;
    let title = language.choose(["Write to a new file", "写入新文件"]);
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
            format!("{}  ", text::fit(offer.format(language), 6))
        };
        (format!("{caption}  {format}{}", offer.name), theme.text())
    });
    choice::draw(buffer, area, selected, rows, theme);
}

/// The name and the place of a file while they are typed, and what is wrong with them.
fn draw_destination(buffer: &mut Buffer, body: Rect, asked: &Destination, app: &App, theme: Theme) {
    let language = app.lesson.language;
    let what = app.export.items.get(asked.row);
    let what = what.map_or_else(String::new, |item| text::clean(&item.what));
    let said = [format!("Write {what} to"), format!("把 {what} 写入")];
    let said = language.choose(said);
    let columns = usize::from(84.min(body.width).saturating_sub(4));
    let (note, style) = match (&asked.path.problem, asked.is_writing) {
        (Some(problem), _) => (text::clean(problem), theme.error()),
        (None, true) => (language.choose(["writing …", "正在写入 …"]).to_owned(), theme.muted()),
        (None, false) => (
            language
                .choose([
                    "~ is your home folder. What is there already stays: the new file gets a number.",
                    "~ 是你的主文件夹。已有的文件不动：新文件加上编号。",
                ])
                .to_owned(),
            theme.muted(),
        ),
    };
    let (before, after) = asked.path.line.parts();
    let (before, after) = (text::clean(before), text::clean(after));
    let whole = format!("{before}▏{after}");
    let typed = text::wrap(&whole, columns);
    let note = wrap_words(&note, columns);
    let rows = 3 + typed.len() + note.len();
    let area = overlay(buffer, body, 84, rows as u16 + 2);
    let title = (text::truncate(&said, columns), theme.accent());
    let typed = typed
        .into_iter()
        .map(|line| (line.to_owned(), theme.text()));
    let note = note.into_iter().map(|line| (line, style));
    let gap = || [(String::new(), theme.text())];
    let lines = [title].into_iter().chain(gap()).chain(typed).chain(gap());
    draw_lines(buffer, area, lines.chain(note));
}

/// A run as a line: what it is, what it was asked for, and how that was done.
struct Described {
    mark: String,
    asked: String,
    rest: String,
}

impl Described {
    /// In one line of `columns` columns: a long prompt is cut, and nothing else where that is possible.
    fn in_columns(&self, columns: usize) -> String {
        let Self { mark, asked, rest } = self;
        let room = columns.saturating_sub(text::width(mark) + text::width(rest));
        let asked = text::truncate(asked, room.max(12));
        format!("{mark}{asked}{rest}")
    }

    /// Whole, in lines of `columns` columns; only of a prompt that fills lines the end is left out.
    fn whole(&self, columns: usize) -> Vec<String> {
        const LINES: usize = 4;
        let indent = text::width(&self.mark);
        let words = self.in_columns(LINES * columns.saturating_sub(indent + 8));
        let words = words
            .strip_prefix(self.mark.as_str())
            .unwrap_or(&words)
            .to_owned();
        let spans = [(words, Style::new())];
        let lines = wrap(&spans, columns, &self.mark, &" ".repeat(indent));
        lines.iter().map(ToString::to_string).collect()
    }
}

fn describe(row: &Branch, rows: &[Branch], app: &App) -> Described {
    let (run, language) = (row.run, app.lesson.language);
    let mark = match (row.is_current, row.is_compared) {
        (true, _) => "●",
        (false, true) => "◐",
        (false, false) => "○",
    };
    let branch = if row.depth > 0 { "└ " } else { "" };
    let indent = "  ".repeat(row.depth.saturating_sub(1));
    let state = match run.state {
        RunState::Done => "✓".to_owned(),
        RunState::Failed => language.choose(["failed", "失败"]).to_owned(),
        RunState::Running => "▶".to_owned(),
        _ => format!("⏸ {}/{}", run.trace.steps.len(), run.total_steps()),
    };
    let parent = run.origin.and_then(|origin| {
        let parent = rows.iter().find(|other| other.run.id == origin.run)?;
        Some((origin, &parent.run.trace.request))
    });
    let (asked, settings) = match parent {
        Some((origin, before)) => (changed(run, origin, before, language), String::new()),
        None => of_its_own(run, language),
    };
    Described {
        mark: format!("{mark} {:>2} {indent}{branch}", run.id),
        asked: text::clean(&asked),
        rest: text::clean(&format!("{settings}  {state}")),
    }
}

/// What a branch asks for that the run did not that it left.
fn changed(run: &Run, origin: Origin, before: &Request, language: Language) -> String {
    let mut changes = changes(&run.trace.request, before, language).join(" · ");
    if changes.is_empty() {
        changes.push_str(language.choose(["nothing changed", "没有改动"]));
    }
    let step = origin.step + 1;
    language.choose([
        format!("from step {step}: {changes}"),
        format!("从第 {step} 步：{changes}"),
    ])
}

/// The prompt and the settings of a run that left no other one, or one that is not there any more.
fn of_its_own(run: &Run, language: Language) -> (String, String) {
    let request = &run.trace.request;
    let prompt = &request.prompt;
    let asked = run.origin.map_or_else(
        || prompt.clone(),
        |origin| {
            let (step, left) = (origin.step + 1, origin.run);
            language.choose([
                format!("from step {step} of run {left} (deleted): {prompt}"),
                format!("从运行 {left}（已删除）的第 {step} 步：{prompt}"),
            ])
        },
    );
    let settings = [
        in_words::scheduler_name(request.scheduler),
        in_words::steps(request.steps, language),
        in_words::seed(request, language),
        in_words::guidance(request, language),
    ];
    (asked, format!("  · {}", settings.join(" · ")))
}

fn draw_failure(buffer: &mut Buffer, body: Rect, failure: &Failure, app: &App, theme: Theme) {
    let columns = body.width.saturating_sub(6).min(76);
    let language = app.lesson.language;
    let what = text::clean(failure.what(language));
    let what = wrap_words(&what, columns.into());
    let advice = text::clean(failure.advice(language));
    let advice = wrap_words(&advice, columns.into());
    let rows = (what.len() + advice.len() + 3) as u16;
    let area = overlay(buffer, body, columns + 4, rows + 2);
    let what = what.into_iter().map(|line| (line, theme.error()));
    let advice = advice.into_iter().map(|line| (line, theme.text()));
    let gap = || [(String::new(), theme.text())];
    let close = language.choose(["esc closes this message", "按 esc 关闭"]);
    let close = (close.to_owned(), theme.muted());
    let lines = what.chain(gap()).chain(advice).chain(gap()).chain([close]);
    draw_lines(buffer, area, lines);
}

fn draw_lines(buffer: &mut Buffer, area: Rect, lines: impl IntoIterator<Item = (String, Style)>) {
    for (place, (line, style)) in area.rows().zip(lines) {
        buffer.set_stringn(place.x, place.y, line, area.width.into(), style);
    }
}

/// Clears a place for something that lies over `body`, and returns the room within its margin.
pub fn overlay(buffer: &mut Buffer, body: Rect, width: u16, height: u16) -> Rect {
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

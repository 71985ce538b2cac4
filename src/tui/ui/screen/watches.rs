//! The watch expressions: each with its value at the step that is looked at, and at every step as bars.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::overlays::overlay;
use crate::export::{WatchValue, WatchValues};
use crate::lesson::Said;
use crate::tui::state::run::Run;
use crate::tui::state::{App, InputLine, WatchMenu};
use crate::tui::ui::area::{below, right_of, scroll, top};
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::bars;
use crate::tui::ui::wrap::wrap_words;

/// What it is, and what can be asked.
const EXAMPLES: Said = [
    "A watch expression is a filter in the language of jq over run.json as it stands after a step: step.sigma, \
     step.tensors.x0.stats.std, share(\"horse\"), .not_finite != null. `step` is the newest step.",
    "监视表达式是用 jq 的语言写的过滤器，作用于每一步之后的 run.json：step.sigma、step.tensors.x0.stats.std、\
     share(\"horse\")、.not_finite != null。step 是最新的一步。",
];
/// Columns of a value.
const VALUE: usize = 12;

/// Draws the list over `body`.
pub fn draw(buffer: &mut Buffer, body: Rect, menu: &WatchMenu, app: &App, theme: Theme) {
    const COLUMNS: u16 = 100;
    let language = app.lesson.language;
    let columns = usize::from(COLUMNS.min(body.width).saturating_sub(4));
    let beneath = beneath(menu, app, columns, theme);
    let rows = app.watches.items.len();
    let height = rows + beneath.len() + 4 + usize::from(rows > 0);
    let area = overlay(buffer, body, COLUMNS, height as u16);
    let title = language.choose(["Watch expressions", "监视表达式"]);
    buffer.set_stringn(area.x, area.y, title, columns, theme.accent());
    let room = usize::from(area.height)
        .saturating_sub(beneath.len() + 3)
        .max(1);
    let list = top(below(area, 2), room.min(rows) as u16);
    let first = scroll(menu.row, rows, usize::from(list.height).max(1));
    let places = list.rows();
    for (index, place) in (first..rows).zip(places) {
        draw_watch(buffer, place, index, menu, app, theme);
    }
    let area = below(list, list.height + u16::from(rows > 0));
    let area = Rect {
        height: beneath.len() as u16,
        ..area
    };
    for ((line, style), place) in beneath.iter().zip(area.rows()) {
        buffer.set_stringn(place.x, place.y, line, columns, *style);
    }
}

/// One of them in a row: is it a breakpoint, the filter, its value, its values.
fn draw_watch(
    buffer: &mut Buffer,
    place: Rect,
    index: usize,
    menu: &WatchMenu,
    app: &App,
    theme: Theme,
) {
    let watch = &app.watches.items[index];
    let watched = watched(app, index);
    let value = watched.and_then(|watched| watched.values.get(app.cursor.step));
    let columns = usize::from(place.width);
    let filter = (columns / 2).max(columns.saturating_sub(VALUE + 2 + 40));
    let mark = if watch.breaks { "● " } else { "  " };
    let code = text::fit(&text::clean(watch.filter.code()), filter.saturating_sub(2));
    let said = value.map_or_else(|| "…".to_owned(), short);
    let said = text::fit(&text::clean(&said), VALUE);
    let is_selected = index == menu.row && menu.input.is_none();
    let style = theme.selected_if(is_selected, theme.text());
    buffer.set_stringn(place.x, place.y, mark, columns, theme.error());
    buffer.set_stringn(place.x + 2, place.y, code, columns, style);
    let at = place.x + filter as u16 + 1;
    buffer.set_stringn(
        at,
        place.y,
        said,
        right_of(place, at).width.into(),
        theme.text(),
    );
    let area = right_of(place, at + VALUE as u16 + 1);
    let total = app.run().map_or(0, Run::total_steps);
    let numbers: Vec<f64> = watched.map_or_else(Vec::new, |watched| {
        watched.values.iter().map(number).collect()
    });
    if numbers.iter().any(|number| number.is_finite()) {
        bars::steps(
            buffer,
            area,
            &from_zero(numbers),
            total,
            Some(app.cursor.step),
            theme,
        );
    }
}

/// What stands beneath the list: what is typed and what is wrong with it, or the selected value whole.
fn beneath(menu: &WatchMenu, app: &App, columns: usize, theme: Theme) -> Vec<(String, Style)> {
    let language = app.lesson.language;
    let lines = |said: &str| wrap_words(&text::clean(said), columns);
    if let Some(InputLine { line, problem }) = &menu.input {
        let (before, after) = line.parts();
        let typed = format!("{}▏{}", text::clean(before), text::clean(after));
        let typed = text::wrap(&typed, columns);
        let typed = typed
            .into_iter()
            .map(|line| (line.to_owned(), theme.accent()));
        let (note, style) = match problem {
            Some(problem) => (problem.as_str(), theme.error()),
            None => (language.choose(EXAMPLES), theme.muted()),
        };
        let note = lines(note).into_iter().map(|line| (line, style));
        return typed.chain(note).collect();
    }
    let Some(watched) = watched(app, menu.row) else {
        return Vec::new();
    };
    let mut said = range(watched).map_or_else(String::new, |[least, most]| {
        let [zero, least, most] = [least.min(0.0), least, most].map(WatchValue::number);
        language.choose([
            format!("from {least} to {most} over the steps; bars begin at {zero}"),
            format!("各步之间从 {least} 到 {most}；条形从 {zero} 开始"),
        ])
    });
    if let Some(value @ (WatchValue::Text(_) | WatchValue::Failed { .. })) =
        watched.values.get(app.cursor.step)
    {
        said = value.to_string();
    }
    let said = lines(&said);
    said.into_iter().map(|line| (line, theme.muted())).collect()
}

fn watched(app: &App, index: usize) -> Option<&WatchValues> {
    app.run()?.watched.get(index)
}

/// A value in a few columns.
fn short(value: &WatchValue) -> String {
    match value {
        WatchValue::Failed { .. } => "—".to_owned(),
        value => value.to_string(),
    }
}

/// What a bar is made of: true is one, and what is no number has none.
fn number(value: &WatchValue) -> f64 {
    match value {
        WatchValue::Bool(value) => f64::from(u8::from(*value)),
        WatchValue::Number(value) => *value,
        WatchValue::Text(_) | WatchValue::Failed { .. } => f64::NAN,
    }
}

/// The least and the largest number among the values.
fn range(watched: &WatchValues) -> Option<[f64; 2]> {
    let numbers = watched.values.iter().filter_map(|value| match value {
        WatchValue::Number(value) => Some(*value),
        _ => None,
    });
    let range = numbers.fold(
        (f64::INFINITY, f64::NEG_INFINITY),
        |(least, most), value| (least.min(value), most.max(value)),
    );
    (range.0 <= range.1).then_some([range.0, range.1])
}

/// Numbers as bars show them: from the least where that is below zero.
fn from_zero(numbers: Vec<f64>) -> Vec<f64> {
    let finite = numbers.iter().copied().filter(|number| number.is_finite());
    let least = finite.fold(0.0, f64::min);
    numbers.into_iter().map(|number| number - least).collect()
}

//! Heads at a glance: a figure of every head of every layer, and of the selected one at every step.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::one_head;
use crate::trace::HeadSummary;
use crate::tui::state::attention::short_path;
use crate::tui::state::{Measure, closer, in_words};
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{below, fitting_of, matrix, scroll, top};
use crate::tui::ui::widgets::heat_map::{Scale, legend};
use crate::tui::ui::widgets::{tabs, token_strip};

/// Columns of a layer's name, and of one with its size.
const NAME: u16 = 8;
const LONG_NAME: u16 = 18;
/// Columns that the steps take at least.
const STEPS: u16 = 6;

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) {
    let cursor = &ctx.cursor;
    let area = choice(buffer, area, ctx);
    let Some(layers) = closer::heads(ctx.run, cursor, cursor.step) else {
        super::draw_lack(buffer, area, ctx, &cursor.looks());
        return;
    };
    let count = layers.iter().map(|layer| layer.heads).max().unwrap_or(0);
    let place = Place::new(area, layers.len(), count);
    let (scale, measure) = (scale(ctx, layers), cursor.attention.measure);
    headings(buffer, area, ctx, &place);
    let selected = cursor.attention.layer.map_or(0, |layer| layer + 1);
    let first = scroll(selected, layers.len() + 1, place.rows);
    for (row, index) in (first..=layers.len()).take(place.rows).enumerate() {
        let y = area.y + 1 + row as u16;
        let of_step = |step| {
            let layers = closer::heads(ctx.run, cursor, step)?;
            value(ctx, layers, index, cursor.attention.head, measure)
        };
        name(buffer, (area.x, y), ctx, layers, index, &place);
        for column in 0..=count {
            let head = column.checked_sub(1);
            let at = (place.cells + column as u16 * place.width as u16, y);
            let is_selected = (index, head) == (selected, cursor.attention.head);
            let value = value(ctx, layers, index, head, measure);
            cell(buffer, at, place.width, value, scale, ctx);
            if is_selected {
                let rect = Rect::new(at.0, at.1, place.width as u16, 1);
                select(buffer, rect.intersection(area), ctx);
            }
        }
        steps(buffer, y, ctx, &place, scale, of_step);
    }
    let used = 1 + place.rows.min(layers.len() + 1) as u16;
    let beneath = below(area, used);
    let whose = ctx.say(match cursor.attention.measure {
        Measure::Entropy => ["bits, of all heads and steps", "bit；所有的头和步共用"],
        _ => ["%, of all heads and steps", "%；所有的头和步共用"],
    });
    legend(buffer, top(beneath, 1), scale, whose, ctx.theme);
    one_head::describe(buffer, below(beneath, 1), ctx, layers);
}

/// The figures that there are, the chosen one marked, and the key that goes on to the next.
fn choice(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Rect {
    let cursor = &ctx.cursor;
    let step = in_words::step(cursor.step, ctx.language);
    let names = Measure::ALL.map(|measure| measure_name(ctx, measure));
    let names = names.each_ref().map(String::as_str);
    let selected = Measure::ALL
        .iter()
        .position(|&one| one == cursor.attention.measure);
    let key = if area.width > 60 {
        format!("{step} · z")
    } else {
        "z".to_owned()
    };
    tabs::draw(buffer, area, &key, &names, selected.unwrap_or(0), ctx.theme);
    below(area, 1 + u16::from(area.height > 16))
}

pub fn measure_name(ctx: &RunContext, measure: Measure) -> String {
    match measure {
        Measure::Entropy => ctx.say(["entropy", "熵"]).to_owned(),
        Measure::Token => {
            let name = token_strip::name_at(super::tokens(ctx), ctx.cursor.token, ctx.language);
            format!("“{name}”")
        }
        Measure::Start => ctx.say(token_strip::START).to_owned(),
        Measure::End => ctx.say(token_strip::END).to_owned(),
        Measure::Padding => ctx.say(token_strip::PADDING).to_owned(),
    }
}

/// Where the columns stand.
struct Place {
    /// Columns of a layer's name.
    name: u16,
    /// Where the heads' cells begin, each `width` columns wide.
    cells: u16,
    width: usize,
    /// Rows for layers and their mean.
    rows: usize,
    /// Where the steps begin, and how many columns they have.
    steps: u16,
    step_columns: u16,
}

impl Place {
    fn new(area: Rect, layers: usize, heads: usize) -> Self {
        let heads = heads + 1;
        let needed = |name: u16| usize::from(name) + 1 + heads * 6 + usize::from(STEPS) + 2;
        let is_wide = usize::from(area.width) >= needed(LONG_NAME) + 24;
        let name = if is_wide { LONG_NAME } else { NAME };
        let room = usize::from(area.width.saturating_sub(name + 1));
        let width = match matrix::cell_width(heads, room) {
            // Narrow cells leave room for the steps.
            6 if heads * 6 + usize::from(STEPS) > room && heads * 2 < room => 2,
            width => width,
        };
        let cells = area.x + name + 1;
        let steps = cells + (heads * width) as u16 + 2;
        let rest = area.right().saturating_sub(steps);
        Self {
            name,
            cells,
            width,
            // Headings, the scale, and two lines that describe the selected one.
            rows: usize::from(area.height.saturating_sub(4)).min(layers + 1),
            steps,
            step_columns: if rest < STEPS { 0 } else { rest },
        }
    }
}

fn headings(buffer: &mut Buffer, area: Rect, ctx: &RunContext, place: &Place) {
    let (theme, attention) = (ctx.theme, &ctx.cursor.attention);
    if area.height == 0 {
        return;
    }
    let title = ctx.say(["layer", "层"]);
    buffer.set_stringn(area.x, area.y, title, place.name.into(), theme.title());
    let heads = ctx.run.info.cross_attention.iter().map(|layer| layer.heads);
    for column in 0..=heads.max().unwrap_or(0) {
        let is_selected = column.checked_sub(1) == attention.head;
        let name = match column.checked_sub(1) {
            None if place.width >= 5 => ctx.say(["mean", "平均"]).to_owned(),
            None => "x̄".to_owned(),
            Some(head) => head.to_string(),
        };
        let x = place.cells + (column * place.width) as u16;
        let width = place.width.saturating_sub(usize::from(place.width >= 5));
        let name = text::right(&name, width);
        let style = theme.accent_if(is_selected, theme.muted());
        let room = usize::from(area.right().saturating_sub(x)).min(place.width);
        buffer.set_stringn(x, area.y, name, room, style);
    }
    let forms = match attention.head {
        Some(head) => ctx.say([
            [format!("head {head} at every step"), format!("head {head}")],
            [format!("头 {head} 在每一步"), format!("头 {head}")],
        ]),
        None => ctx
            .say([
                ["mean of heads at every step", "over steps"],
                ["各头平均在每一步", "每一步"],
            ])
            .map(str::to_owned),
    };
    let title = fitting_of(&forms, place.step_columns);
    buffer.set_stringn(
        place.steps,
        area.y,
        title,
        place.step_columns.into(),
        theme.title(),
    );
}

/// The name of the layer in row `index`, whose first is the mean of all.
fn name(
    buffer: &mut Buffer,
    (x, y): (u16, u16),
    ctx: &RunContext,
    layers: &[HeadSummary],
    index: usize,
    place: &Place,
) {
    let name = match index.checked_sub(1).and_then(|layer| layers.get(layer)) {
        None => ctx.say(["mean", "平均"]).to_owned(),
        Some(layer) => {
            let path = short_path(&layer.path);
            let known = &ctx.run.info.cross_attention;
            let size = known.iter().find(|known| *known.path == *layer.path);
            match size {
                Some(size) if place.name == LONG_NAME => {
                    format!("{path} · {}×{}", size.width, size.height)
                }
                _ => path,
            }
        }
    };
    let is_selected = index == ctx.cursor.attention.layer.map_or(0, |layer| layer + 1);
    let style = ctx.theme.accent_if(is_selected, ctx.theme.text());
    let name = text::truncate(&name, place.name.into());
    buffer.set_stringn(x, y, name, place.name.into(), style);
}

/// What stands in row `index` (0 is the mean over the layers) of `head`'s column, in the measure's unit: bits or percent.
pub fn value(
    ctx: &RunContext,
    layers: &[HeadSummary],
    index: usize,
    head: Option<usize>,
    measure: Measure,
) -> Option<f64> {
    let cursor = &ctx.cursor;
    let of = |layer: &HeadSummary| {
        let tokens = (cursor.token, super::tokens(ctx));
        closer::figure(layer, head, measure, tokens)
    };
    let figure = mean_of(layers, index, of)?;
    Some(match measure {
        Measure::Entropy => figure,
        _ => 100.0 * figure,
    })
}

/// What `of` says of the layer in row `index`, or for row 0 the mean of what it says of those that it says something of:
/// layers may differ in their number of heads.
pub fn mean_of(
    layers: &[HeadSummary],
    index: usize,
    of: impl Fn(&HeadSummary) -> Option<f64>,
) -> Option<f64> {
    if let Some(layer) = index.checked_sub(1) {
        return of(layers.get(layer)?);
    }
    let values: Vec<f64> = layers.iter().filter_map(of).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// From 0 to the largest figure of any head at any step that is known, so that colours mean the same in all of them.
fn scale(ctx: &RunContext, layers: &[HeadSummary]) -> Scale {
    let measure = ctx.cursor.attention.measure;
    let all = |layers: &[HeadSummary]| -> Vec<f32> {
        let heads = layers.iter().map(|layer| layer.heads).max().unwrap_or(0);
        let rows = 1..=layers.len();
        rows.flat_map(|index| (0..heads).map(move |head| (index, head)))
            .filter_map(|(index, head)| value(ctx, layers, index, Some(head), measure))
            .map(|value| value as f32)
            .collect()
    };
    let steps = 0..ctx.run.trace.steps.len();
    let steps = steps.filter_map(|step| closer::heads(ctx.run, &ctx.cursor, step));
    Scale::magnitudes(steps.chain([layers]).flat_map(all))
}

fn cell(
    buffer: &mut Buffer,
    at: (u16, u16),
    width: usize,
    value: Option<f64>,
    scale: Scale,
    ctx: &RunContext,
) {
    let is_inside = usize::from(at.0) + width <= usize::from(buffer.area.right());
    match value {
        _ if !is_inside || at.1 >= buffer.area.bottom() => {}
        Some(value) => matrix::cell(buffer, at, width, value as f32, scale, ctx),
        None => {
            let none = text::right("·", width.saturating_sub(usize::from(width >= 5)));
            buffer.set_stringn(at.0, at.1, none, width, ctx.theme.muted());
        }
    }
}

/// Marks the selected cell, whose number, where it has one, stays.
fn select(buffer: &mut Buffer, area: Rect, ctx: &RunContext) {
    if area.width < 5 && !area.is_empty() {
        buffer.set_stringn(area.x, area.y, "◆", area.width.into(), ctx.theme.selected());
    }
    buffer.set_style(area, ctx.theme.selected());
}

/// The selected head of one layer at every step, a column each, or a column for several.
fn steps(
    buffer: &mut Buffer,
    y: u16,
    ctx: &RunContext,
    place: &Place,
    scale: Scale,
    of_step: impl Fn(usize) -> Option<f64>,
) {
    let total = ctx.run.total_steps().max(1);
    let room = usize::from(place.step_columns);
    if room == 0 {
        return;
    }
    let width = (room / total).clamp(1, 4);
    let columns = (room / width).min(total);
    for column in 0..columns {
        let covered = column * total / columns..((column + 1) * total / columns).max(1);
        let current = ctx.cursor.step;
        let is_current = covered.contains(&current);
        let step = if is_current { current } else { covered.start };
        let at = (place.steps + (column * width) as u16, y);
        match of_step(step) {
            Some(value) => cell(buffer, at, width, Some(value), scale, ctx),
            None => {
                buffer.set_stringn(at.0, at.1, "·", 1, ctx.theme.muted());
            }
        }
        if is_current {
            buffer.set_stringn(at.0, at.1, "▏", 1, ctx.theme.accent());
        }
    }
}

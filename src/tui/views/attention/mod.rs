//! Cross-attention: where in the picture which word is listened to, and what a place of the picture listens to.

mod grid;
mod listening;
mod overlay;
mod selection;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout as RatatuiLayout, Rect};

use super::{below, columns, empty, fitting, line, top};
use crate::model::tokenizer::Token;
use crate::trace::Guidance;
use crate::tui::app::{App, Mode};
use crate::tui::pixels::PlacedPicture;
use crate::tui::run::Run;
use crate::tui::screen::wrap_words;
use crate::tui::widgets::heat_map::{HeatMap, Scale, legend};
use crate::tui::widgets::token_strip;
pub(in crate::tui) use selection::Selection;
pub use selection::short_path;

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, app: &App) -> Vec<PlacedPicture> {
    let index = app.cursor.step;
    let Some(run) = app.run.as_ref().filter(|run| run.step(index).is_some()) else {
        empty(buffer, area, app, "Attention maps");
        return Vec::new();
    };
    let area = strip(buffer, area, app, run);
    let (maps, with_heads) = app.attention();
    if maps.is_empty() {
        for (row, words) in wrap_words(missing(app, run), area.width.into())
            .iter()
            .enumerate()
        {
            line(buffer, below(area, row as u16), words, app.theme.text());
        }
        return Vec::new();
    }
    let selection = Selection::new(app, maps, with_heads);
    let forms = selection.describe(app);
    let words = fitting(&forms.each_ref().map(String::as_str), area.width);
    let area = line(buffer, area, words, app.theme.text());
    let layout = Layout::new(area);
    let map = selection.map(app.cursor.token, selection.size);
    let heat_map = HeatMap {
        values: &map,
        width: selection.size.0,
        height: selection.size.1,
        scale: Scale::magnitudes(map.iter().copied()),
    };
    let drawn = draw_map(buffer, layout.columns[1], layout.room, app, &heat_map);
    overlay::draw(buffer, layout.columns[0], drawn, app, run, &heat_map);
    let place = top(layout.columns[2], layout.room + 2);
    if app.mode == Mode::Place {
        overlay::mark(buffer, drawn, app);
        listening::draw_place(buffer, place, app, run, &selection);
    } else {
        listening::draw_shares(buffer, place, app, run, &selection, &map);
    }
    grid::draw(buffer, layout.grid(drawn), app, run, &selection);
    Vec::new()
}

/// Where the picture that the map lies over is, if it is on the screen: what a click on it means.
pub fn picture_area(area: Rect, app: &App) -> Option<Rect> {
    let run = app.run.as_ref()?;
    run.step(app.cursor.step)?;
    let (maps, with_heads) = app.attention();
    let selection = (!maps.is_empty()).then(|| Selection::new(app, maps, with_heads))?;
    let area = below(area, super::strip_rows(area) + 1);
    let layout = Layout::new(area);
    Some(overlay::area(&layout, selection.size))
}

/// Where there are fewer columns, the numbers get half of them.
const NARROW: u16 = 44;

/// The places of the view's parts, below the strip and the line that describes what is shown.
struct Layout {
    area: Rect,
    /// The picture, the map, and the numbers.
    columns: Vec<Rect>,
    /// Rows for picture and map.
    room: u16,
    gap: u16,
}

impl Layout {
    fn new(area: Rect) -> Self {
        let area = below(area, u16::from(area.height > 18));
        let grid = match area.height {
            0..=20 => 6,
            21..=26 => 8,
            _ => 11,
        };
        let gap = u16::from(area.height > 18);
        Self {
            area,
            columns: if area.width < NARROW {
                // Where there are few columns there are few rows, too: the maps are small, and the numbers need room.
                let [picture, map, numbers] =
                    RatatuiLayout::horizontal([1, 1, 2].map(Constraint::Fill))
                        .spacing(2)
                        .areas(area);
                vec![picture, map, numbers]
            } else {
                columns(area, 3, 2)
            },
            room: area.height.saturating_sub(grid + 2 + gap).max(3),
            gap,
        }
    }

    /// The place of the small maps. Where the view is wide and low, the large maps end early and these get what is left.
    fn grid(&self, drawn: Rect) -> Rect {
        let numbers = 16.min(self.room + 2);
        let used = (drawn.bottom() + 1)
            .saturating_sub(self.area.y)
            .max(numbers);
        below(self.area, used.min(self.room + 2) + self.gap)
    }
}

/// Why there are no maps.
fn missing(app: &App, run: &Run) -> &'static str {
    if app.cursor.attention.half == Guidance::Uncond {
        if run.trace.request.is_guided() {
            "The unconditional half of this step is being computed again …"
        } else {
            "Guidance is off (1 or less), so there is no unconditional half. u goes back to the prompt's."
        }
    } else {
        "The memory for attention was full at this step: its maps are being computed again …"
    }
}

/// The tokens whose maps are shown: the prompt's, or the negative prompt's in the unconditional half.
fn tokens<'a>(app: &App, run: &'a Run) -> &'a [Token] {
    match (app.cursor.attention.half, &run.trace.tokens) {
        (Guidance::Uncond, Some(tokens)) => &tokens.negative_prompt.tokens,
        _ => run.tokens(),
    }
}

fn strip(buffer: &mut Buffer, area: Rect, app: &App, run: &Run) -> Rect {
    if app.cursor.attention.half == Guidance::Cond {
        return super::strip(buffer, area, app, run);
    }
    let row = top(area, 1);
    if row.height > 0 {
        let tokens = tokens(app, run);
        token_strip::draw(buffer, row, tokens, app.cursor.token, &[], app.theme);
    }
    below(area, super::strip_rows(area))
}

fn draw_map(buffer: &mut Buffer, place: Rect, room: u16, app: &App, map: &HeatMap) -> Rect {
    let title = fitting(&["attention alone", "alone"], place.width);
    let place = line(buffer, place, title, app.theme.title());
    let drawn = map.draw(buffer, top(place, room), app.theme);
    let below_map = top(below(place, drawn.height), 1);
    legend(buffer, below_map, map.scale, "own scale", app.theme);
    drawn
}

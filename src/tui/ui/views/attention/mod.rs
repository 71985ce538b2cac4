//! Cross-attention: where in the picture which word is attended to, and what a place of the picture attends to.

mod grid;
mod overlay;
mod shares;

use std::collections::BTreeSet;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout as RatatuiLayout, Rect};

use super::{below, columns, empty, fitting, fitting_of, line, paragraph, titled_map, top};
use crate::model::tokenizer::Token;
use crate::trace::Guidance;
use crate::tui::state::Mode;
use crate::tui::state::attention::SelectedMaps;
use crate::tui::state::run::Run;
use crate::tui::ui::context::ViewContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale};
use crate::tui::ui::widgets::token_strip;

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &ViewContext) -> Vec<PlacedPicture> {
    let index = ctx.cursor.step;
    let Some(run) = ctx.run.filter(|run| run.step(index).is_some()) else {
        empty(buffer, area, ctx, "Attention maps");
        return Vec::new();
    };
    let area = strip(buffer, area, ctx, run);
    let (maps, with_heads) = ctx.attention();
    if maps.is_empty() {
        paragraph(buffer, area, missing(ctx, run), ctx.theme.text());
        return Vec::new();
    }
    let selection = SelectedMaps::new(&ctx.cursor.attention, maps, with_heads);
    let forms = selection.describe(&ctx.cursor);
    let caption = fitting_of(&forms, area.width);
    let area = line(buffer, area, caption, ctx.theme.text());
    let layout = Layout::new(area);
    let map = selection.map(ctx.cursor.token, selection.size);
    let heat_map = HeatMap::new(&map, selection.size, Scale::magnitudes(map.iter().copied()));
    let place = layout.columns[1];
    let title = fitting(&["attention alone", "alone"], place.width);
    let drawn = titled_map(buffer, place, title, &heat_map, layout.room, ctx.theme);
    overlay::draw(buffer, layout.columns[0], drawn, ctx, run, &heat_map);
    let place = top(layout.columns[2], layout.room + 2);
    if *ctx.mode == Mode::Place {
        overlay::mark(buffer, drawn, ctx);
        shares::draw_place(buffer, place, ctx, run, &selection);
    } else {
        shares::draw_shares(buffer, place, ctx, run, &selection, &map);
    }
    grid::draw(buffer, layout.grid(drawn), ctx, run, &selection);
    Vec::new()
}

/// Where the picture that the map lies over is, if it is on the screen: what a click on it means.
pub fn picture_area(area: Rect, ctx: &ViewContext) -> Option<Rect> {
    let run = ctx.run?;
    run.step(ctx.cursor.step)?;
    let (maps, with_heads) = ctx.attention();
    let selection =
        (!maps.is_empty()).then(|| SelectedMaps::new(&ctx.cursor.attention, maps, with_heads))?;
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
fn missing(ctx: &ViewContext, run: &Run) -> &'static str {
    if ctx.cursor.attention.half == Guidance::Uncond {
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
fn tokens<'a>(ctx: &ViewContext, run: &'a Run) -> &'a [Token] {
    match (ctx.cursor.attention.half, &run.trace.tokens) {
        (Guidance::Uncond, Some(tokens)) => &tokens.negative_prompt.tokens,
        _ => run.tokens(),
    }
}

fn strip(buffer: &mut Buffer, area: Rect, ctx: &ViewContext, run: &Run) -> Rect {
    if ctx.cursor.attention.half == Guidance::Cond {
        return super::strip(buffer, area, ctx, run);
    }
    let row = top(area, 1);
    if row.height > 0 {
        let tokens = tokens(ctx, run);
        token_strip::draw(
            buffer,
            row,
            tokens,
            ctx.cursor.token,
            &BTreeSet::new(),
            ctx.theme,
        );
    }
    below(area, super::strip_rows(area))
}

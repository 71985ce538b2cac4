//! Cross-attention: where in the picture which word is attended to, and what a place of the picture attends to.

mod grid;
mod overlay;
mod shares;

use std::collections::BTreeSet;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout as RatatuiLayout, Rect};

use super::{DRAWN, below, columns, fitting, fitting_of, line, paragraph, titled_map, top};
use crate::lesson::Said;
use crate::model::tokenizer::Token;
use crate::trace::Guidance;
use crate::tui::state::Mode;
use crate::tui::state::attention::SelectedMaps;
use crate::tui::ui::context::{RunContext, ViewContext};
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale};

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    ctx.run.step(ctx.cursor.step)?;
    let area = strip(buffer, area, ctx);
    let (maps, with_heads) = ctx.cursor.attention_maps(ctx.run);
    if maps.is_empty() {
        paragraph(buffer, area, ctx.say(missing(ctx)), ctx.theme.text());
        return DRAWN;
    }
    let selection = SelectedMaps::new(&ctx.cursor.attention, maps, with_heads);
    let forms = selection.describe(&ctx.cursor, ctx.language);
    let caption = fitting_of(&forms, area.width);
    let area = line(buffer, area, caption, ctx.theme.text());
    let layout = Layout::new(area);
    let map = selection.map(ctx.cursor.token, selection.size);
    let heat_map = HeatMap::new(&map, selection.size, Scale::magnitudes(map.iter().copied()));
    let place = layout.columns[1];
    let titles = ctx.say([["attention alone", "alone"], ["只有注意力", "注意力"]]);
    let title = fitting(&titles, place.width);
    let drawn = titled_map(buffer, place, title, &heat_map, layout.room, ctx);
    overlay::draw(buffer, layout.columns[0], drawn, ctx, &heat_map);
    let place = top(layout.columns[2], layout.room + 2);
    if *ctx.mode == Mode::Place {
        overlay::mark(buffer, drawn, ctx);
        shares::draw_place(buffer, place, ctx, &selection);
    } else {
        shares::draw_shares(buffer, place, ctx, &selection, &map);
    }
    grid::draw(buffer, layout.grid(drawn), ctx, &selection);
    DRAWN
}

/// Where the picture that the map lies over is, if it is on the screen: what a click on it means.
pub fn picture_area(area: Rect, ctx: &ViewContext) -> Option<Rect> {
    let run = ctx.run?;
    run.step(ctx.cursor.step)?;
    let (maps, with_heads) = ctx.cursor.attention_maps(run);
    let selection =
        (!maps.is_empty()).then(|| SelectedMaps::new(&ctx.cursor.attention, maps, with_heads))?;
    let layout = Layout::new(below(area, super::strip_rows(area) + 1));
    Some(overlay::area(&layout, selection.size, ctx.theme.tall()))
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
                let columns = RatatuiLayout::horizontal([1, 1, 2].map(Constraint::Fill));
                columns.spacing(2).split(area).to_vec()
            } else {
                columns(area, 3, 2)
            },
            room: area.height.saturating_sub(grid + 2 + gap).max(3),
            gap,
        }
    }

    /// The place of the small maps. Where the view is wide and low, the large maps end early and these get the rest.
    fn grid(&self, drawn: Rect) -> Rect {
        let numbers = 16.min(self.room + 2);
        let used = (drawn.bottom() + 1)
            .saturating_sub(self.area.y)
            .max(numbers);
        below(self.area, used.min(self.room + 2) + self.gap)
    }
}

/// Why there are no maps.
fn missing(ctx: &RunContext) -> Said {
    match ctx.cursor.attention.half {
        Guidance::Cond => [
            "The memory for attention was full at this step: its maps are being computed again …",
            "到这一步时，注意力的内存满了：正在重新计算它的图 …",
        ],
        Guidance::Uncond if ctx.run.is_guided_at(ctx.cursor.step) => [
            "The unconditional half of this step is being computed again …",
            "正在重新计算这一步无条件的一半 …",
        ],
        Guidance::Uncond => [
            "Guidance is off at this step, so there is no unconditional half. u goes back to the prompt's.",
            "这一步没有引导，所以没有无条件的一半。按 u 回到提示词的一半。",
        ],
    }
}

/// The tokens whose maps are shown: the prompt's, or the negative prompt's in the unconditional half.
fn tokens<'a>(ctx: &RunContext<'a>) -> &'a [Token] {
    match (ctx.cursor.attention.half, &ctx.run.trace.tokens) {
        (Guidance::Uncond, Some(tokens)) => &tokens.negative_prompt.tokens,
        _ => ctx.run.tokens(),
    }
}

fn strip(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Rect {
    match ctx.cursor.attention.half {
        Guidance::Cond => super::strip(buffer, area, ctx),
        Guidance::Uncond => super::strip_of(buffer, area, ctx, tokens(ctx), &BTreeSet::new()),
    }
}

//! Cross-attention: where in the picture which word is attended to, and what a place of the picture attends to.

mod grid;
mod heads;
mod numbers;
mod one_head;
mod overlay;
mod own;
mod shares;

use std::collections::BTreeSet;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout as RatatuiLayout, Rect};

use super::{DRAWN, below, columns, fitting, fitting_of, line, paragraph, titled_map, top};
use crate::lesson::Said;
use crate::model::tokenizer::Token;
use crate::trace::Guidance;
use crate::tui::state::attention::SelectedMaps;
use crate::tui::state::{Grid, Mode, closer};
use crate::tui::ui::context::{RunContext, ViewContext};
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale};
use crate::tui::ui::widgets::token_strip;
use crate::tui::worker::{Look, LookKey};

/// What is shown, and what it does not prove, in a sentence.
pub fn words(grid: Grid) -> Said {
    match grid {
        Grid::Matrix => [
            "What every head attends to; not what the picture depends on.",
            "每个头关注什么；这不等于图片取决于什么。",
        ],
        Grid::Own => [
            "Where the marked place looks in the picture itself, and which places look alike; not why.",
            "标出的位置看向图片自己的哪里，哪些位置看法相近；看不出为什么。",
        ],
        Grid::Numbers => [
            "A place asks, a word answers: by hand. A large share is loud, not yet important.",
            "一个位置提问，一个词回答：手算一遍。份额大只是声音大，不等于重要。",
        ],
        _ => [
            "Bright is where the picture attends to the selected word.",
            "亮的地方，就是图片关注所选的词的地方。",
        ],
    }
}

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    ctx.run.step(ctx.cursor.step)?;
    let area = strip(buffer, area, ctx);
    match ctx.cursor.attention.grid {
        Grid::Matrix => heads::draw(buffer, area, ctx),
        Grid::Own => own::draw(buffer, area, ctx),
        Grid::Numbers => numbers::draw(buffer, area, ctx),
        _ => return draw_maps(buffer, area, ctx),
    }
    DRAWN
}

fn draw_maps(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
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
    let word = token_strip::name_at(tokens(ctx), ctx.cursor.token, ctx.language);
    let title = ctx.say([format!("“{word}” over x0"), format!("“{word}”叠在 x0 上")]);
    let short = ctx.say(["over x0", "叠在 x0 上"]);
    let title = fitting(&[&title, short, "x0"], layout.columns[0].width);
    overlay::draw(buffer, layout.columns[0], drawn, ctx, &heat_map, title);
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
    let beneath = below(area, super::strip_rows(area) + 1);
    match ctx.cursor.attention.grid {
        Grid::Matrix | Grid::Numbers => return None,
        Grid::Own => {
            let [layer, ..] = closer::projections(run, &ctx.cursor)? else {
                return None;
            };
            let (layout, size) = (Layout::new(beneath), (layer.width, layer.height));
            return Some(overlay::area(&layout, size, ctx.theme.tall()));
        }
        _ => {}
    }
    let (maps, with_heads) = ctx.cursor.attention_maps(run);
    let selection =
        (!maps.is_empty()).then(|| SelectedMaps::new(&ctx.cursor.attention, maps, with_heads))?;
    let layout = Layout::new(beneath);
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

    /// What is left beneath the large maps, whose titles and scales are a row each.
    fn beneath(&self, drawn: Rect) -> Rect {
        let used = (drawn.bottom() + 1).saturating_sub(self.area.y);
        below(self.area, used.min(self.room + 2) + self.gap)
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

/// Why there is nothing to look at closer, where it would be looked at under `key`.
fn lacking(ctx: &RunContext, key: LookKey) -> Said {
    let has_half = key.half == Guidance::Cond || ctx.run.is_guided_at(key.step);
    if !has_half {
        return missing(ctx);
    }
    if ctx.recorded {
        return match key.look {
            Look::Heads => [
                "This recording has no attention of single heads: `run --json DIR --attention heads` records it.",
                "这份记录里没有各个头的注意力：记录时加上 `--attention heads` 就有。",
            ],
            _ => [
                "Queries and keys are computed with the model, which a recording has not: `diffuscope -p TEXT` opens a live run.",
                "查询和键要用模型来算，记录里没有模型：用 `diffuscope -p TEXT` 可以当场运行。",
            ],
        };
    }
    if !ctx.model.made(ctx.run) {
        return [
            "The model that made this run is not there any more: r runs it on the one that is.",
            "做出这个运行的模型已经不在了：按 r 用现在的模型再运行。",
        ];
    }
    if ctx.run.looked.is_refused(key) {
        return [
            "This was cancelled, or could not be computed. Other steps, layers and heads can still be looked at.",
            "已中止，或无法计算。别的步、层和头仍然可以看。",
        ];
    }
    [
        "This is being computed from the step's latents …",
        "正在由这一步的潜变量算出 …",
    ]
}

/// The first of `keys` under which nothing was found yet, said in place of the view; none where all is there.
fn draw_lack(buffer: &mut Buffer, area: Rect, ctx: &RunContext, keys: &[LookKey]) -> bool {
    let lack = keys.iter().find(|key| ctx.run.looked.get(**key).is_none());
    if let Some(&key) = lack {
        paragraph(
            buffer,
            below(area, 1),
            ctx.say(lacking(ctx, key)),
            ctx.theme.text(),
        );
    }
    lack.is_some()
}

/// The tokens whose maps are shown: the prompt's, or the negative prompt's in the unconditional half.
fn tokens<'a>(ctx: &RunContext<'a>) -> &'a [Token] {
    closer::tokens(ctx.run, ctx.cursor.attention.half)
}

fn strip(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Rect {
    match ctx.cursor.attention.half {
        Guidance::Cond => super::strip(buffer, area, ctx),
        Guidance::Uncond => super::strip_of(buffer, area, ctx, tokens(ctx), &BTreeSet::new()),
    }
}

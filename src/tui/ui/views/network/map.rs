//! A network as it is: every module at its level, with what it gives as a small picture, and its skips.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, line, module, pending, picture};
use crate::model::modules::{Module, ModuleKind, Side};
use crate::trace::Features;
use crate::tui::state::inside::Inside;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::worker::{ProbeKey, Probed};

/// Widths of a module's picture, the widest first; each is half as high.
const WIDTHS: [u16; 6] = [12, 10, 8, 6, 4, 2];
/// Columns between both sides of a U, where there is room for them.
const GAP: u16 = 14;
/// Rows for the module that is looked at, at least.
const MODULE: u16 = 6;

/// Where the modules stand.
struct Places {
    /// One a module: the place of its picture; its name stands in the row above it.
    cells: Vec<Rect>,
    bottom: u16,
}

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext, inside: Inside) {
    let modules = ctx.run.info.modules.of(inside.network);
    let key = ctx.cursor.probe_key().map(|key| ProbeKey {
        what: Probed::Modules,
        ..key
    });
    let features = key.and_then(|key| ctx.run.probes.get(key));
    let mut from = 0;
    if let Some(places) = Places::new(modules, area) {
        draw_skips(buffer, modules, &places, inside, ctx);
        for (index, (module, cell)) in modules.iter().zip(&places.cells).enumerate() {
            let features = features.and_then(|features| features.get(index));
            draw_cell(buffer, *cell, module, features, index == inside.module, ctx);
        }
        from = places.bottom - area.y;
    }
    let beneath = below(area, from);
    let beneath = below(beneath, u16::from(beneath.height > MODULE + 4));
    if features.is_none() {
        line(buffer, beneath, pending(ctx), ctx.theme.muted());
        return;
    }
    module::draw(buffer, beneath, ctx, inside);
}

impl Places {
    /// As large as there is room for; none where there is none at all.
    fn new(modules: &[Module], area: Rect) -> Option<Self> {
        let levels = 1 + modules.iter().map(|module| module.level).max()?;
        let row = |level: usize| modules.iter().filter(move |module| module.level == level);
        let longest = (0..levels).map(|level| row(level).count()).max()? as u16;
        let room = area.height.saturating_sub(MODULE);
        let is_high_enough = |width: u16| levels as u16 * (width / 2 + 1) <= room;
        // With a gap between both sides, for what goes across.
        let fits = |width: u16, gap: u16| longest * (width + 1) + gap <= area.width;
        let of = |gap| {
            let mut widths = WIDTHS.into_iter();
            widths.find(|&width| is_high_enough(width) && fits(width, gap))
        };
        let width = of(GAP).or_else(|| of(0))?;
        let height = (width / 2).max(1);
        // The deeper, the further in, as far as there is room.
        let taken = |level: usize| row(level).count() as u16 * (width + 1);
        let spare = (0..levels).filter(|&level| level > 0).map(|level| {
            let spare = area.width.saturating_sub(taken(level)) / 2;
            spare / level as u16
        });
        let indent = spare.min().unwrap_or(0).min(width + 1);
        let mut cells = vec![Rect::default(); modules.len()];
        for level in 0..levels {
            let y = area.y + level as u16 * (height + 1) + 1;
            let inset = indent * level as u16;
            let mut x = area.x + inset;
            let rising = row(level).filter(|module| module.side == Side::Up).count() as u16;
            let right = (area.right() - inset).saturating_sub(rising * (width + 1));
            let mut up = right.max(area.x);
            for (index, module) in modules.iter().enumerate() {
                if module.level != level {
                    continue;
                }
                let at = if module.side == Side::Up {
                    &mut up
                } else {
                    &mut x
                };
                cells[index] = Rect::new(*at, y, width, height);
                *at += width + 1;
            }
        }
        let bottom = area.y + levels as u16 * (height + 1);
        Some(Self { cells, bottom })
    }
}

/// What a module is called where there are a few columns.
fn short(module: &Module) -> &'static str {
    match module.kind {
        ModuleKind::Convolution => "conv",
        ModuleKind::Resnet { .. } => "res",
        ModuleKind::Transformer { .. } | ModuleKind::PixelAttention => "attn",
        ModuleKind::Downsampler => "down",
        ModuleKind::Upsampler => "up",
        ModuleKind::TextLayer => "layer",
    }
}

fn draw_cell(
    buffer: &mut Buffer,
    cell: Rect,
    module: &Module,
    features: Option<&Features>,
    is_selected: bool,
    ctx: &RunContext,
) {
    let theme = ctx.theme;
    let room = usize::from(cell.width);
    let name = text::truncate(short(module), room);
    let style = theme.selected_if(is_selected, theme.muted());
    let name = if is_selected {
        text::fit(&name, room)
    } else {
        name
    };
    buffer.set_stringn(cell.x, cell.y - 1, name, room, style);
    match features {
        Some(features) => {
            let Some(inside) = ctx.cursor.inside() else {
                return;
            };
            picture::draw(buffer, cell, features, inside, theme);
        }
        None => {
            for row in cell.rows() {
                buffer.set_stringn(row.x, row.y, "░".repeat(room), room, theme.rule());
            }
        }
    }
}

/// Lines between the two sides of the U, where something goes across; that of the module looked at is marked.
fn draw_skips(
    buffer: &mut Buffer,
    modules: &[Module],
    places: &Places,
    inside: Inside,
    ctx: &RunContext,
) {
    let levels = 1 + modules.iter().map(|module| module.level).max().unwrap_or(0);
    for level in 0..levels {
        let here = |side: Side| {
            let all = modules.iter().zip(&places.cells);
            all.filter(move |(module, _)| {
                module.level == level && (module.side == Side::Up) == (side == Side::Up)
            })
        };
        let (Some((_, from)), Some((_, to))) =
            (here(Side::Down).next_back(), here(Side::Up).next())
        else {
            continue;
        };
        // Of the skips that this level leaves: an up block's last one leaves from a level above.
        let taken = modules.iter().enumerate().filter_map(|(at, module)| {
            let from = module.skip?;
            (modules[from].level == level).then_some((at, from))
        });
        let taken: Vec<(usize, usize)> = taken.collect();
        let (start, end) = (from.right() + 1, to.x.saturating_sub(1));
        if taken.is_empty() || end <= start + 2 {
            continue;
        }
        let is_marked = (taken.iter()).any(|&(to, from)| [to, from].contains(&inside.module));
        let style = ctx.theme.accent_if(is_marked, ctx.theme.rule());
        let y = from.y + from.height / 2;
        let width = usize::from(end - start);
        let count = taken.len();
        let caption = ctx.say([
            format!(" {count} skip{} ", if count == 1 { "" } else { "s" }),
            format!(" {count} 条跳连 "),
        ]);
        let rule = format!("{}▸", "─".repeat(width - 1));
        buffer.set_stringn(start, y, rule, width, style);
        let room = text::width(&caption);
        if width > room + 3 {
            let x = start + ((width - room) / 2) as u16;
            buffer.set_stringn(x, y, caption, room, style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(count: usize) -> Vec<Module> {
        let module = |level, side| Module::new("x", ModuleKind::Upsampler, level, side);
        let row = |level| {
            let down = (0..count).map(move |_| module(level, Side::Down));
            down.chain((0..count).map(move |_| module(level, Side::Up)))
        };
        (0..3).flat_map(row).collect()
    }

    #[test]
    fn modules_stand_apart_at_every_size() {
        for (width, height) in [(66, 18), (100, 34), (200, 60), (40, 12)] {
            let area = Rect::new(12, 4, width, height);
            for count in 1..=6 {
                let modules = modules(count);
                let Some(places) = Places::new(&modules, area) else {
                    continue;
                };
                for (at, cell) in places.cells.iter().enumerate() {
                    assert_eq!(cell.intersection(area), *cell, "{width}x{height} {count}");
                    let before = &places.cells[..at];
                    assert!(before.iter().all(|other| !other.intersects(*cell)));
                }
                assert!(places.bottom <= area.bottom());
            }
        }
    }
}

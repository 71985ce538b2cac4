//! Small maps side by side on one scale: of every word, or of the selected word over steps, layers or heads.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::model::AttentionDetail;
use crate::model::tokenizer::TokenKind;
use crate::trace::Guidance;
use crate::tui::state::Grid;
use crate::tui::state::attention::{SelectedMaps, short_path};
use crate::tui::ui::context::RunContext;
use crate::tui::ui::text;
use crate::tui::ui::views::{line, right_of, scroll};
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale, legend};
use crate::tui::ui::widgets::token_strip;
use crate::tui::worker::AttentionKey;

/// Widths of a small map, in columns: the largest with which all fit is taken.
const WIDTHS: [u16; 11] = [48, 40, 32, 28, 24, 20, 16, 14, 12, 10, 8];

/// What the grid goes through.
pub struct Cells {
    pub title: String,
    pub count: usize,
    pub selected: Option<usize>,
}

pub struct Small {
    pub name: String,
    pub size: (usize, usize),
    pub values: Vec<f32>,
}

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext, selection: &SelectedMaps) {
    let cells = cells(ctx, selection);
    draw_cells(buffer, area, ctx, &cells, selection.size, |index| {
        small(index, ctx, selection)
    });
}

/// Draws maps of about the shape of `size` (width, height) on one scale, each of which `small` has by its number.
pub fn draw_cells(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    cells: &Cells,
    size: (usize, usize),
    small: impl Fn(usize) -> Option<Small>,
) {
    let theme = ctx.theme;
    if cells.count == 0 || area.height < 4 || area.width < 8 {
        return;
    }
    let title = area;
    let area = line(buffer, area, &cells.title, theme.title());
    let aspect = size.1 as f64 / size.0 as f64;
    let fits = |width: u16| {
        let rows = ((f64::from(width) * aspect / f64::from(theme.tall())).ceil() as u16).max(1) + 1;
        // A map that is taller than there is room is drawn smaller than its place is wide.
        let rows = rows.min(area.height);
        let across = (area.width + 1) / (width + 1);
        (usize::from(across), usize::from(area.height / rows), rows)
    };
    let all_fit = |&width: &u16| {
        let (across, down, _) = fits(width);
        across * down >= cells.count
    };
    let width = WIDTHS.into_iter().find(all_fit).unwrap_or(8);
    let (across, down, rows) = fits(width);
    let visible = across * down;
    if visible == 0 {
        return;
    }
    let first = scroll(cells.selected.unwrap_or(0), cells.count, visible);
    let shown = first..cells.count.min(first + visible);
    let maps: Vec<(usize, Small)> = (shown.clone())
        .filter_map(|index| Some((index, small(index)?)))
        .collect();
    let scale = Scale::magnitudes(maps.iter().flat_map(|(_, map)| map.values.iter().copied()));
    for (index, map) in &maps {
        let at = index - first;
        let x = area.x + (at % across) as u16 * (width + 1);
        let y = area.y + (at / across) as u16 * rows;
        let place = Rect::new(x, y, width, rows);
        let style = theme.accent_if(cells.selected == Some(*index), theme.muted());
        let place = line(buffer, place, &map.name, style);
        HeatMap::new(&map.values, map.size, scale).draw(buffer, place, theme);
    }
    let (some, all) = (shown.len(), cells.count);
    let note = ctx.say(if some < all {
        [
            format!("shared; {some} of {all}"),
            format!("共用；{some} / {all}"),
        ]
    } else {
        ["shared scale", "共用色标"].map(str::to_owned)
    });
    let free = (title.width as usize).saturating_sub(text::width(&cells.title) + 2);
    let legend_width = free.min(42) as u16;
    if legend_width < 16 {
        return;
    }
    let place = right_of(title, title.right() - legend_width);
    legend(buffer, place, scale, &note, theme);
}

fn cells(ctx: &RunContext, selection: &SelectedMaps) -> Cells {
    let cursor = &ctx.cursor;
    let tokens = super::tokens(ctx);
    let word = token_strip::name_at(tokens, cursor.token, ctx.language);
    match cursor.attention.grid {
        Grid::Words => {
            let words = words(ctx);
            Cells {
                title: ctx.say(["every word", "每个词"]).to_owned(),
                count: words.len(),
                selected: words.iter().position(|&word| word == cursor.token),
            }
        }
        Grid::Steps => Cells {
            title: ctx.say([
                format!("“{word}” at every step"),
                format!("“{word}”在每一步"),
            ]),
            count: ctx.run.trace.steps.len(),
            selected: Some(cursor.step),
        },
        Grid::Layers => Cells {
            title: ctx.say([
                format!("“{word}” in every layer"),
                format!("“{word}”在每一层"),
            ]),
            count: selection.all.len(),
            selected: cursor.attention.layer,
        },
        // The other ones have no small maps of a word.
        Grid::Heads | Grid::Matrix | Grid::Own | Grid::Numbers => {
            let heads = selection.layers.iter().filter_map(|layer| layer.heads);
            let count = selection.layers.len();
            let layers = match (cursor.attention.layer, selection.layers.first()) {
                (Some(_), Some(layer)) => [(); 2].map(|()| short_path(&layer.path)),
                _ => [
                    format!("the mean of {count} layers"),
                    format!("{count} 层平均"),
                ],
            };
            let heads = heads.min().unwrap_or(0);
            let computing = if heads == 0 {
                [" is being computed …", "，正在计算 …"]
            } else {
                ["", ""]
            };
            Cells {
                title: ctx.say([
                    format!("“{word}” in every head of {}{}", layers[0], computing[0]),
                    format!("“{word}”在 {} 的每个头{}", layers[1], computing[1]),
                ]),
                count: heads.max(1),
                selected: cursor.attention.head,
            }
        }
    }
}

fn small(index: usize, ctx: &RunContext, selection: &SelectedMaps) -> Option<Small> {
    let cursor = &ctx.cursor;
    let of = |name: String, selection: &SelectedMaps, token: usize| Small {
        name,
        size: selection.size,
        values: selection.map(token, selection.size),
    };
    match cursor.attention.grid {
        Grid::Words => {
            let token = *words(ctx).get(index)?;
            let name = token_strip::word(super::tokens(ctx).get(token)?, ctx.language);
            Some(of(name, selection, token))
        }
        Grid::Steps => {
            let key = AttentionKey {
                step: index,
                half: cursor.attention.half,
                detail: AttentionDetail::Mean,
            };
            let maps = ctx.run.attention(key);
            let name = format!("{}", index + 1);
            if maps.is_empty() {
                let (name, values) = (format!("{name} –"), vec![f32::NAN]);
                return Some(Small {
                    name,
                    size: (1, 1),
                    values,
                });
            }
            let one = SelectedMaps::new(&cursor.attention, maps, false);
            Some(of(name, &one, cursor.token))
        }
        Grid::Layers => {
            let layer = selection.all.get(index)?;
            let one = SelectedMaps::of(selection.all, vec![layer], selection.head);
            Some(of(short_path(&layer.path), &one, cursor.token))
        }
        Grid::Heads | Grid::Matrix | Grid::Own | Grid::Numbers => {
            let layers = selection.layers.clone();
            let have_heads = layers.iter().all(|layer| layer.heads.is_some());
            let one = SelectedMaps::of(selection.all, layers, Some(index));
            let name = ctx.say([format!("head {index}"), format!("头 {index}")]);
            have_heads.then(|| of(name, &one, cursor.token))
        }
    }
}

/// The positions that have a small map each: the words, or in an empty prompt start, end and the first padding.
fn words(ctx: &RunContext) -> Vec<usize> {
    let tokens = super::tokens(ctx);
    let of_words = tokens.iter().filter(|token| token.kind == TokenKind::Word);
    let words: Vec<usize> = of_words.map(|token| token.position).collect();
    if words.is_empty() && ctx.cursor.attention.half == Guidance::Uncond {
        (0..tokens.len().min(3)).collect()
    } else {
        words
    }
}

//! The selected token's vector before and after a layer.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::State;
use crate::tui::ui::context::RunContext;
use crate::tui::ui::views::{below, line, right_of, top};
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale, legend};

/// The selected token's vector before and after, number by number, on one scale.
pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext, state: &State) {
    let token = ctx.cursor.token;
    let name = ctx.word(token);
    let after = state.vectors.row(token);
    let vectors: Vec<(&str, &[f32])> = match state.before {
        Some(before) => vec![
            (ctx.say(["before", "之前"]), before.row(token)),
            (ctx.say(["after", "之后"]), after),
        ],
        None => vec![(ctx.say(["input", "输入"]), after)],
    };
    let length = after.len();
    if length == 0 || area.height < 3 || area.width < 20 {
        return;
    }
    let all = vectors
        .iter()
        .flat_map(|(_, vector)| vector.iter().copied());
    let scale = Scale::signed(all);
    let title = ctx.say([
        format!("{name}: its {length} numbers"),
        format!("{name}：它的 {length} 个数"),
    ]);
    let mut area = line(buffer, area, &title, ctx.theme.title());
    let label = 8;
    let room = usize::from(area.width) - label;
    let rows_for_each = (usize::from(area.height).saturating_sub(1) / vectors.len()).clamp(1, 6);
    let (columns, height) = fold(length, (room, 2 * rows_for_each));
    for (name, vector) in &vectors {
        if area.height < 2 {
            break;
        }
        buffer.set_stringn(area.x, area.y, name, label, ctx.theme.muted());
        let mut values = vector.to_vec();
        values.resize(columns * height, 0.0);
        let place = right_of(area, area.x + label as u16);
        let place = top(place, (rows_for_each as u16).min(area.height - 1));
        let map = HeatMap::new(&values, (columns, height), scale);
        let drawn = map.draw(buffer, place, ctx.theme);
        area = below(area, drawn.height.max(1));
    }
    let place = right_of(top(area, 1), area.x + label as u16);
    let whose = ctx.say(["shared scale", "共用色标"]);
    legend(buffer, place, scale, whose, ctx.theme);
}

/// Columns and rows that `length` numbers fold into without a rest, so that each is drawn as large as possible in
/// `room` (columns, rows of pixels).
fn fold(length: usize, room: (usize, usize)) -> (usize, usize) {
    (1..=length.min(room.0))
        .filter(|columns| length.is_multiple_of(*columns))
        .map(|columns| (columns, length / columns))
        .filter(|&(_, rows)| rows <= room.1)
        .max_by_key(|&(columns, rows)| ((room.0 / columns).min(room.1 / rows), columns))
        .unwrap_or_else(|| {
            let columns = length.min(room.0).max(1);
            (columns, length.div_ceil(columns))
        })
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn numbers_fold_without_a_rest_into_large_pixels() {
        assert_eq!(fold(96, (93, 12)), (24, 4));
        assert_eq!(fold(768, (93, 12)), (64, 12));
        assert_eq!(fold(97, (50, 4)), (50, 2), "a prime number has a rest");
    }
}

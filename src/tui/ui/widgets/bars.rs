//! A value for each step as a row of bars, and a share as one bar.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::ui::area::right_of;
use crate::tui::ui::theme::Theme;

const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
const ACROSS: [&str; 9] = [" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];

/// Draws `values` as bars over the whole of `area`, each from 0 to the largest; place is kept for `total` of them.
/// The bar `current` has the accent.
pub fn steps(
    buffer: &mut Buffer,
    area: Rect,
    values: &[f64],
    total: usize,
    current: Option<usize>,
    theme: Theme,
) {
    let total = total.max(values.len()).max(1);
    let finite = values.iter().copied().filter(|value| value.is_finite());
    let largest = finite.fold(0.0, f64::max);
    let columns = usize::from(area.width);
    for column in 0..columns {
        let index = column * total / columns;
        // Where a column stands for several values, the current one wins, so that it can always be seen.
        let last = ((column + 1) * total / columns).max(index + 1);
        let is_current = current.is_some_and(|current| (index..last).contains(&current));
        let index = current.filter(|_| is_current).unwrap_or(index);
        let Some(&value) = values.get(index) else {
            continue;
        };
        let filled = if largest > 0.0 && value.is_finite() {
            (value / largest * 8.0 * f64::from(area.height)).round() as usize
        } else {
            0
        };
        let style = theme.accent_if(is_current, theme.muted());
        upright(
            buffer,
            right_of(area, area.x + column as u16),
            filled.max(1),
            style,
        );
    }
}

/// A bar of `eighths` of a row in the first column of `area`, from its lowest row up.
pub fn upright(buffer: &mut Buffer, area: Rect, eighths: usize, style: Style) {
    for (row, place) in area.rows().enumerate() {
        let beneath = 8 * (usize::from(area.height) - 1 - row);
        let symbol = EIGHTHS[eighths.saturating_sub(beneath).min(8)];
        buffer.set_string(place.x, place.y, symbol, style);
    }
}

/// A bar that fills `share`, 0 to 1, of `columns` columns.
pub fn share(share: f64, columns: usize) -> String {
    let share = if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let eighths = (share * 8.0 * columns as f64).round() as usize;
    let bar: String = (0..columns)
        .map(|column| ACROSS[eighths.saturating_sub(8 * column).min(8)])
        .collect();
    bar.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_fills_its_part() {
        assert_eq!(share(0.5, 4), "██");
        assert_eq!(share(0.3125, 2), "▋");
        assert_eq!(share(7.0, 2), "██");
        assert_eq!(share(f64::NAN, 2), "");
    }
}

//! The keys that work here, in one row.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::keys::Binding;
use crate::tui::text;
use crate::tui::theme::Theme;

/// Draws `bindings` from the left as far as they fit, and `always` at the right end.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    bindings: &[&Binding],
    always: &[Binding],
    theme: Theme,
) {
    if area.is_empty() {
        return;
    }
    let width = |binding: &Binding| text::width(binding.keys) + 1 + text::width(binding.word);
    let right: usize = always.iter().map(|binding| width(binding) + 2).sum();
    let mut x = area.right().saturating_sub(right as u16).max(area.x);
    let limit = usize::from(x.saturating_sub(area.x + 2));
    for binding in always {
        put(buffer, x, area, binding, theme);
        x += width(binding) as u16 + 2;
    }
    let mut used = 1;
    for binding in bindings {
        let needed = width(binding);
        if used + needed > limit {
            continue;
        }
        put(buffer, area.x + used as u16, area, binding, theme);
        used += needed + 2;
    }
}

fn put(buffer: &mut Buffer, x: u16, area: Rect, binding: &Binding, theme: Theme) {
    let room = |x: u16| usize::from(area.right().saturating_sub(x));
    let (x, _) = buffer.set_stringn(x, area.y, binding.keys, room(x), theme.title());
    let word = format!(" {}", binding.word);
    buffer.set_stringn(x, area.y, word, room(x), theme.muted());
}

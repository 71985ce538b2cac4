//! The keys that work here, in one row.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::lesson::Language;
use crate::tui::keys::Binding;
use crate::tui::ui::text;
use crate::tui::ui::theme::Theme;

/// Draws `bindings` from the left as far as they fit, and `always` at the right end, with what the keys do in
/// `language`. Returns those that did not fit.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    [bindings, always]: [&[&'static Binding]; 2],
    language: Language,
    theme: Theme,
) -> Vec<&'static Binding> {
    if area.is_empty() {
        return bindings.to_vec();
    }
    let name = |binding: &Binding| language.choose(binding.label);
    let width = |binding: &Binding| text::width(binding.keys) + 1 + text::width(name(binding));
    let right: usize = always.iter().map(|binding| width(binding) + 2).sum();
    let mut x = area.right().saturating_sub(right as u16).max(area.x);
    let limit = usize::from(x.saturating_sub(area.x + 2));
    for binding in always {
        put(buffer, x, area, (binding.keys, name(binding)), theme);
        x += width(binding) as u16 + 2;
    }
    let mut used = 1;
    let mut left_out = Vec::new();
    for binding in bindings {
        let needed = width(binding);
        if used + needed > limit {
            left_out.push(*binding);
            continue;
        }
        let caption = (binding.keys, name(binding));
        put(buffer, area.x + used as u16, area, caption, theme);
        used += needed + 2;
    }
    left_out
}

fn put(buffer: &mut Buffer, x: u16, area: Rect, (keys, word): (&str, &str), theme: Theme) {
    let room = |x: u16| usize::from(area.right().saturating_sub(x));
    let (x, _) = buffer.set_stringn(x, area.y, keys, room(x), theme.title());
    let word = format!(" {word}");
    buffer.set_stringn(x, area.y, word, room(x), theme.muted());
}

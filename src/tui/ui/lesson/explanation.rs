//! What is said of the view at hand, in the pane of lessons: a page at three depths.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::markdown;
use super::pane::{Pane, divide};
use crate::lesson::{Depth, Language, explanation};
use crate::tui::state::View;
use crate::tui::state::lesson::messages;
use crate::tui::ui::text::width;
use crate::tui::ui::theme::Theme;

/// Rows that are left to the view above its explanation.
const ROWS_OF_VIEW: u16 = 4;

pub struct Explanation {
    title: &'static str,
    markdown: &'static str,
    depth: Depth,
    language: Language,
}

impl Explanation {
    pub fn of(view: View, depth: Depth, language: Language) -> Self {
        Self::named(view.name()[0], depth, language)
    }

    /// The same of the inside of a network, which looks alike in each.
    pub fn of_network(depth: Depth, language: Language) -> Self {
        Self::named("network", depth, language)
    }

    fn named(name: &str, depth: Depth, language: Language) -> Self {
        let (title, markdown) = explanation(name, depth, language);
        Self {
            title,
            markdown,
            depth,
            language,
        }
    }

    /// Divides the place of a view: what is left to the view, and the explanation's pane.
    pub fn split(&self, area: Rect) -> (Rect, Pane) {
        divide(area, ROWS_OF_VIEW, || {
            self.lines(area.width, Theme::default()).len() as u16 + 2
        })
    }

    fn lines(&self, columns: u16, theme: Theme) -> Vec<Line<'static>> {
        markdown::lines(self.markdown, columns.into(), theme)
    }

    pub fn draw(&self, buffer: &mut Buffer, pane: Pane, theme: Theme) {
        let mut lines = self.lines(pane.columns(), theme);
        if lines.len() > pane.rows() {
            lines.retain(|line| line.width() > 0);
        }
        let depths = self.language.choose(messages::DEPTHS_OF_VIEW);
        let depths = (&depths, self.depth);
        let title = format!("{} ", self.title);
        if !pane.draw_page(buffer, &title, depths, &lines, theme) {
            return;
        }
        let deeper = self.depth.deeper();
        let hint = deeper.map_or(messages::CLOSES, |_| messages::DEEPER);
        let hint = self.language.choose(hint);
        let footer = pane.footer();
        buffer.set_stringn(footer.x, footer.y, hint, footer.width.into(), theme.muted());
        if lines.len() > pane.rows() {
            let x = footer.x + width(hint) as u16 + 1;
            buffer.set_stringn(x, footer.y, "…", 1, theme.accent());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(size: (u16, u16)) -> Rect {
        // What the screen leaves to a view.
        let sidebar = if size.0 >= 100 { 20 } else { 13 };
        Rect::new(sidebar, 2, size.0 - sidebar, size.1 - 5)
    }

    /// The views, and the inside of a network.
    fn all() -> impl Iterator<Item = (&'static str, Depth, Language)> {
        let names = View::ALL.into_iter().map(|view| view.name()[0]);
        let depths = |name| Depth::ALL.map(|depth| (name, depth));
        let languages = |(name, depth)| Language::ALL.map(|language| (name, depth, language));
        names
            .chain(["network"])
            .flat_map(depths)
            .flat_map(languages)
    }

    #[test]
    fn every_view_is_explained_at_every_depth_and_every_formula_has_a_source() {
        for (view, depth, language) in all() {
            let words = Explanation::named(view, depth, language).markdown;
            assert!(words.len() > 200, "{view:?} {depth:?} {language:?}");
            let source = ["\nSource: ", "\n出处："][language as usize];
            assert_eq!(
                depth == Depth::Mathematics,
                words.contains(source) && words.starts_with("```\n"),
                "{view:?} {depth:?} {language:?}"
            );
        }
    }

    #[test]
    fn explanations_fit_their_pane() {
        for size in [(80, 24), (120, 40), (200, 60)] {
            for (view, depth, language) in all() {
                let explanation = Explanation::named(view, depth, language);
                let (left, pane) = explanation.split(place(size));
                assert!(left.area() > 0 && left.intersection(pane.area).is_empty());
                let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
                explanation.draw(&mut buffer, pane, Theme::default());
                let mut shown = String::new();
                for cell in &buffer.content {
                    shown.push_str(cell.symbol());
                }
                let mut is_formula = false;
                for line in explanation.markdown.lines() {
                    if line == "```" {
                        is_formula = !is_formula;
                        continue;
                    }
                    let last = line.split_whitespace().last().unwrap_or_default();
                    let expected = if is_formula { line } else { last };
                    assert!(
                        language == Language::Zh || shown.contains(&expected.replace('`', "")),
                        "{view:?} {depth:?} at {size:?} lacks {expected:?}"
                    );
                }
                let columns = pane.columns();
                let lines = explanation.lines(columns, Theme::default());
                let lines = lines.iter().filter(|line| line.width() > 0);
                assert!(lines.count() <= pane.rows(), "{view:?} {depth:?} {size:?}");
            }
        }
    }

    #[test]
    fn the_key_goes_down_through_the_depths_and_out() {
        let mut depth = Some(Depth::default());
        let mut names = Vec::new();
        while let Some(now) = depth {
            names.push(messages::DEPTHS_OF_VIEW[0][now as usize]);
            depth = now.deeper();
        }
        assert_eq!(names, ["idea", "mechanism", "formula"]);
    }
}

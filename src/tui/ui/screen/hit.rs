//! What a click means: the same places that are drawn, asked the other way round.

use ratatui::layout::{Position, Rect};

use super::{Places, SMALLEST};
use crate::tui::state::action::Action;
use crate::tui::state::{App, Mode, View};
use crate::tui::ui::context::ViewContext;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::views;
use crate::tui::ui::widgets::timeline::Timeline;

/// What a click at column `x` and row `y` of a screen of `size` (columns, rows) means now.
pub fn hit(app: &App, size: (u16, u16), (x, y): (u16, u16), theme: Theme) -> Option<Action> {
    let area = Rect::new(0, 0, size.0, size.1);
    let looks_around = matches!(app.mode, Mode::Browse | Mode::Place);
    if size.0 < SMALLEST.0 || size.1 < SMALLEST.1 || !looks_around {
        return None;
    }
    let places = Places::new(area);
    let click = Position { x, y };
    if places.sidebar.contains(click) {
        let view = View::ALL.get(usize::from(y - places.sidebar.y))?;
        return Some(Action::Show(*view));
    }
    if places.when.contains(click) {
        let total = app.run()?.total_steps();
        return Timeline::step_at(places.when, total, x).map(Action::GoTo);
    }
    if app.cursor.view == View::Attention && app.runs.compared().is_none() {
        let (view, _) = places.explained(app);
        let context = ViewContext::new(app, theme);
        let place = views::place(view, &app.cursor, app.lesson.language);
        let picture = views::attention::picture_area(place, &context)?;
        if picture.contains(click) {
            let across = (f32::from(x - picture.x) + 0.5) / f32::from(picture.width);
            let down = (f32::from(y - picture.y) + 0.5) / f32::from(picture.height);
            return Some(Action::PlaceAt(across, down));
        }
    }
    None
}

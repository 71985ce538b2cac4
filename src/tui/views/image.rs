//! The picture, and what it came from.

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, empty, line};
use crate::tui::app::App;
use crate::tui::editor::scheduler_name;
use crate::tui::pixels::PlacedPicture;
use crate::tui::run::Run;
use crate::tui::screen::wrap_words;
use crate::tui::text;
use crate::tui::widgets::picture;

/// Columns for the request beside the picture, at least.
const BESIDE: u16 = 26;

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, app: &App) -> Vec<PlacedPicture> {
    let Some(run) = app.run.as_ref() else {
        empty(buffer, area, app, "The picture");
        return Vec::new();
    };
    let step = app.cursor.step;
    let newest = step + 1 >= run.total_steps();
    let finished = run
        .trace
        .image
        .as_deref()
        .filter(|_| newest || !run.pictures.is_empty());
    let decoded = run.decoded.get(&step).filter(|_| app.decode && !newest);
    let preview = run.pictures.get(step).map(|pictures| &pictures.x0);
    let place = Rect {
        width: area.width.saturating_sub(BESIDE + 2),
        ..area
    };
    let (image, what) = match (decoded, finished, preview) {
        (Some(image), ..) => (
            Arc::clone(image),
            format!("predicted x0 of step {}, decoded", step + 1),
        ),
        (None, Some(data), _) if newest || !app.decode => {
            (Arc::new(data.image.clone()), "the picture".to_owned())
        }
        (None, _, Some(preview)) => (
            Arc::clone(preview),
            format!("quick preview of x0 at step {}", step + 1),
        ),
        _ => {
            empty(buffer, area, app, "The picture");
            return Vec::new();
        }
    };
    let drawn = picture::draw(buffer, place, &image, app.theme);
    let x = drawn.right() + 2;
    let beside = Rect {
        x,
        width: area.right().saturating_sub(x),
        ..area
    };
    draw_request(
        buffer,
        beside,
        app,
        run,
        &what,
        (image.width(), image.height()),
    );
    vec![PlacedPicture { area: drawn, image }]
}

fn draw_request(
    buffer: &mut Buffer,
    area: Rect,
    app: &App,
    run: &Run,
    what: &str,
    (width, height): (u32, u32),
) {
    let theme = app.theme;
    let request = &run.trace.request;
    let mut area = area;
    for words in wrap_words(what, area.width.into()) {
        area = line(buffer, area, &words, theme.title());
    }
    area = line(
        buffer,
        area,
        &format!("{width}×{height} pixels"),
        theme.muted(),
    );
    area = below(area, 1);
    for words in wrap_words(&text::clean(&request.prompt), area.width.into())
        .iter()
        .take(8)
    {
        area = line(buffer, area, words, theme.text());
    }
    if !request.negative_prompt.is_empty() {
        let words = format!("without: {}", text::clean(&request.negative_prompt));
        for words in wrap_words(&words, area.width.into()).iter().take(4) {
            area = line(buffer, area, words, theme.muted());
        }
    }
    area = below(area, 1);
    let mut rows = vec![
        ("seed", request.seed.to_string()),
        ("steps", run.total_steps().to_string()),
        ("guidance", request.guidance_scale.to_string()),
        ("scheduler", scheduler_name(request.scheduler)),
    ];
    if let Some(image) = &run.trace.image {
        rows.push(("", String::new()));
        rows.push((
            "text",
            time(run.trace.text.as_ref().map_or(0.0, |text| text.seconds)),
        ));
        let steps: f64 = run.trace.steps.iter().map(|step| step.seconds).sum();
        rows.push(("denoising", time(steps)));
        rows.push(("decoding", time(image.seconds)));
    }
    for (name, value) in rows {
        area = line(buffer, area, &format!("{name:<11}{value}"), theme.muted());
    }
}

fn time(seconds: f64) -> String {
    text::seconds(seconds)
}

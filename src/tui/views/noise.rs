//! The initial noise: its channels, and whether it is as normal as it should be.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, columns, empty, line, statistics, top};
use crate::trace::Stats;
use crate::tui::app::App;
use crate::tui::text;
use crate::tui::widgets::half_blocks;
use crate::tui::widgets::heat_map::{HeatMap, Scale, legend};
use crate::tui::widgets::histogram::Histogram;

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, app: &App) {
    let found = app
        .run
        .as_ref()
        .and_then(|run| Some((run, run.trace.noise.as_deref()?)));
    let Some((run, info)) = found else {
        empty(buffer, area, app, "The noise");
        return;
    };
    let theme = app.theme;
    let noise = &info.initial_noise;
    let [channels, height, width] = noise.shape[..] else {
        return;
    };
    let sigma = f64::from(info.schedule.init_noise_sigma);
    let words = format!(
        "seed {} · {channels}×{height}×{width} · times sigma {} gives latents with std {}",
        run.trace.request.seed,
        text::fixed(sigma, 4),
        text::fixed(sigma * noise.stats.std, 2)
    );
    let area = line(buffer, area, &words, theme.text());
    let area = below(area, u16::from(area.height > 16));
    let scale = Scale::around_zero(Scale::signed(noise.data.iter().copied()).high.max(1.0));
    let least_below = if area.height > 24 { 10 } else { 5 };
    let places = columns(area, channels.clamp(1, 8) as u16, 1);
    let room = area.height.saturating_sub(least_below + 3).max(4);
    let mut used = 0;
    for (channel, place) in places.iter().enumerate() {
        let is_selected = channel == app.cursor.channel;
        let style = if is_selected {
            theme.accent()
        } else {
            theme.title()
        };
        let mark = if is_selected { "▸ " } else { "" };
        let plane = line(buffer, *place, &format!("{mark}channel {channel}"), style);
        let map = HeatMap {
            values: noise.plane(channel),
            width,
            height,
            scale,
        };
        let drawn = map.draw(buffer, top(plane, room), theme);
        let stats = Stats::of(noise.plane(channel));
        let caption = below(plane, drawn.height);
        let words = if place.width >= 24 {
            statistics(&stats)
        } else {
            format!(
                "{} ± {}",
                text::fixed(stats.mean, 2),
                text::fixed(stats.std, 2)
            )
        };
        line(buffer, caption, &words, theme.muted());
        used = used.max(drawn.height + 2);
    }
    let area = below(area, used);
    legend(
        buffer,
        top(area, 1),
        scale,
        "one scale for all channels",
        theme,
    );
    let area = below(area, 1 + u16::from(area.height > 8));
    let channel = noise.plane(app.cursor.channel.min(channels - 1));
    let words = format!(
        "channel {}: {} numbers   • the normal distribution",
        app.cursor.channel,
        channel.len()
    );
    let area = line(buffer, area, &words, theme.title());
    let width = half_blocks::cells((96, 2), area).width;
    let place = Rect {
        width,
        height: area.height.min(14),
        ..area
    };
    Histogram {
        values: channel,
        range: (-4.0, 4.0),
        normal: true,
    }
    .draw(buffer, place, theme);
}

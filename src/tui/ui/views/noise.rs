//! The initial noise: its channels, whether it is as normal as it should be, and what it becomes times the initial
//! sigma.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{DRAWN, below, columns, fitting, fitting_of, left, line, right_of, statistics, top};
use crate::trace::{NoiseTrace, Stats, TensorData};
use crate::tui::ui::context::RunContext;
use crate::tui::ui::pixels::PlacedPicture;
use crate::tui::ui::text;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale, legend};
use crate::tui::ui::widgets::histogram::Histogram;
use crate::tui::ui::widgets::{half_blocks, tabs};

/// Shares of a normal distribution within one, two and three standard deviations, in percent.
const WITHIN: [(f32, f64); 3] = [(1.0, 68.27), (2.0, 95.45), (3.0, 99.73)];

pub fn draw(buffer: &mut Buffer, area: Rect, ctx: &RunContext) -> Option<Vec<PlacedPicture>> {
    let info = ctx.run.trace.noise.as_deref()?;
    let noise = &info.initial_noise;
    let scaled = ctx.cursor.detail.scaled;
    let factor = scaled.then_some(info.schedule.init_noise_sigma);
    let area = draw_head(buffer, area, ctx, info);
    let area = draw_channels(buffer, area, ctx, info, factor)?;
    draw_distribution(buffer, area, ctx, noise, factor);
    DRAWN
}

/// Seed, shape, and the choice between the noise and the first latents.
fn draw_head(buffer: &mut Buffer, area: Rect, ctx: &RunContext, info: &NoiseTrace) -> Rect {
    let noise = &info.initial_noise;
    let sigma = f64::from(info.schedule.init_noise_sigma);
    let shape: Vec<String> = noise.shape.iter().map(usize::to_string).collect();
    let (seed, count, shape) = (
        ctx.run.trace.request.seed,
        noise.data.len(),
        shape.join("×"),
    );
    let std = text::fixed(noise.stats.std, 3);
    let product = text::fixed(sigma * noise.stats.std, 2);
    let sigma = text::fixed(sigma, 4);
    let forms = ctx.say([
        [
            format!(
                "seed {seed} · {count} numbers, {shape} · std {std} × sigma {sigma} = {product}"
            ),
            format!("seed {seed} · {shape} · std {std}"),
            format!("seed {seed} · {shape}"),
        ],
        [
            format!(
                "种子 {seed} · {count} 个数，{shape} · 标准差 {std} × sigma {sigma} = {product}"
            ),
            format!("种子 {seed} · {shape} · 标准差 {std}"),
            format!("种子 {seed} · {shape}"),
        ],
    ]);
    let caption = fitting_of(&forms, area.width);
    let area = line(buffer, area, caption, ctx.theme.text());
    let forms = ctx.say([
        ["times sigma: the first latents", "times sigma"],
        ["乘以 sigma：最初的潜变量", "乘以 sigma"],
    ]);
    let latents = fitting(&forms, area.width.saturating_sub(10));
    let names = [ctx.say(["noise", "噪声"]), latents];
    let selected = usize::from(ctx.cursor.detail.scaled);
    tabs::draw(buffer, top(area, 1), "v", &names, selected, ctx.theme);
    below(area, 1 + u16::from(area.height > 20))
}

/// The channels side by side on one scale. Returns the place beneath.
fn draw_channels(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    info: &NoiseTrace,
    factor: Option<f32>,
) -> Option<Rect> {
    let theme = ctx.theme;
    let noise = &info.initial_noise;
    let [channels, height, width] = noise.shape[..] else {
        return None;
    };
    let largest = Scale::signed(noise.data.iter().copied()).high.max(1.0);
    let scale = Scale::around_zero(largest * factor.unwrap_or(1.0));
    let least_below = if area.height > 24 { 13 } else { 5 };
    let places = columns(area, channels.clamp(1, 8) as u16, 1);
    let room = area.height.saturating_sub(least_below + 3).max(4);
    let mut used = 0;
    for (channel, place) in places.iter().enumerate() {
        let is_selected = channel == ctx.cursor.channel;
        let style = theme.accent_if(is_selected, theme.title());
        let mark = if is_selected { "▸ " } else { "" };
        let forms = [
            ctx.say([
                format!("{mark}channel {channel}"),
                format!("{mark}通道 {channel}"),
            ]),
            format!("{mark}{channel}"),
        ];
        let plane = line(buffer, *place, fitting_of(&forms, place.width), style);
        let values = times(noise.plane(channel), factor);
        let map = HeatMap::new(&values, (width, height), scale);
        let drawn = map.draw(buffer, top(plane, room), theme);
        let caption = statistics(&Stats::of(&values), place.width, ctx.language);
        line(buffer, below(plane, drawn.height), &caption, theme.muted());
        used = used.max(drawn.height + 2);
    }
    let area = below(area, used);
    let place = top(area, 1);
    let whose = ctx.say(["one scale for all channels", "各通道共用一个色标"]);
    legend(buffer, place, scale, whose, theme);
    Some(below(area, 1 + u16::from(area.height > 8)))
}

fn times(values: &[f32], factor: Option<f32>) -> Cow<'_, [f32]> {
    match factor {
        None => Cow::Borrowed(values),
        Some(factor) => values.iter().map(|value| value * factor).collect(),
    }
}

/// A channel's histogram against the normal curve, and both in numbers.
fn draw_distribution(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    noise: &TensorData,
    factor: Option<f32>,
) {
    let theme = ctx.theme;
    let channels = noise.shape.first().copied().unwrap_or(0);
    let channel = ctx.cursor.channel.min(channels.saturating_sub(1));
    let values = noise.plane(channel);
    let spread = factor.map_or_else(Default::default, |factor| {
        let factor = text::fixed(f64::from(factor), 2);
        [format!(" of std {factor}"), format!("，标准差 {factor}")]
    });
    let spread = ctx.say(spread);
    let count = values.len();
    let forms = ctx.say([
        [
            format!("channel {channel}: {count} numbers   • the normal distribution{spread}"),
            format!("channel {channel}   • normal distribution"),
            format!("channel {channel}"),
        ],
        [
            format!("通道 {channel}：{count} 个数   • 正态分布{spread}"),
            format!("通道 {channel}   • 正态分布"),
            format!("通道 {channel}"),
        ],
    ]);
    let area = line(buffer, area, fitting_of(&forms, area.width), theme.title());
    let beside = area.width >= 60 && area.height >= 6;
    let numbers = if beside { 29 } else { 0 };
    let width = half_blocks::cells((96, 2), left(area, area.width - numbers)).width;
    let place = top(left(area, width), 16);
    Histogram {
        values,
        range: (-4.0, 4.0),
        normal: true,
    }
    .draw_times(buffer, place, theme, factor.unwrap_or(1.0));
    if beside {
        let place = right_of(area, place.right() + 3);
        draw_shares(buffer, place, ctx, values, factor);
    }
}

/// How many of the values lie within one, two and three standard deviations, and how many should.
fn draw_shares(
    buffer: &mut Buffer,
    area: Rect,
    ctx: &RunContext,
    values: &[f32],
    factor: Option<f32>,
) {
    let theme = ctx.theme;
    let head = ctx.say(["within    here  normal", "范围      这里    正态"]);
    let mut area = line(buffer, area, head, theme.muted());
    for (limit, expected) in WITHIN {
        let inside = values.iter().filter(|value| value.abs() <= limit).count();
        let share = 100.0 * inside as f64 / values.len().max(1) as f64;
        let limit = match factor {
            None => format!("±{limit}"),
            Some(factor) => format!("±{}", text::number(f64::from(limit * factor))),
        };
        let caption = format!("{limit:<7}{share:>7.1} {expected:>7.1} %");
        area = line(buffer, area, &caption, theme.text());
    }
    let stats = Stats::of(values);
    let factor = f64::from(factor.unwrap_or(1.0));
    let rows = [
        (["mean", "均值"], stats.mean * factor, 0.0),
        (["std", "标准差"], stats.std * factor, factor),
    ];
    area = below(area, 1);
    for (name, value, expected) in rows {
        let (value, expected) = (text::fixed(value, 3), text::fixed(expected, 3));
        let name = text::fit(ctx.say(name), 7);
        let caption = format!("{name}{value:>7} {expected:>7}");
        area = line(buffer, area, &caption, theme.text());
    }
}

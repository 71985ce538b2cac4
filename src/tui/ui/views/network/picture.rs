//! Features as a picture: three principal components in colour, one channel, or their norm.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::lesson::Said;
use crate::trace::Features;
use crate::tui::state::inside::{Inside, Shows};
use crate::tui::ui::area::top;
use crate::tui::ui::theme::Theme;
use crate::tui::ui::widgets::heat_map::{HeatMap, Scale};
use crate::tui::ui::widgets::picture;

/// Draws `features` as `inside` says, and returns the cells that takes. What is not there to be shown so is shown as the
/// norm.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    features: &Features,
    inside: Inside,
    theme: Theme,
) -> Rect {
    // A row of positions is as high as its place.
    if features.size.1 == 1 && features.size.0 > 1 && area.height > 2 {
        return draw_positions(buffer, area, features, inside, theme);
    }
    match inside.shows {
        Shows::Components => match &features.components {
            Some(components) => {
                let image = components.colours(features.size);
                picture::draw(buffer, area, &image, theme)
            }
            None => draw_norm(buffer, area, features, theme),
        },
        Shows::Channel => match features.channel(inside.channel) {
            Some(channel) => {
                let scale = Scale::signed(channel.iter().copied());
                HeatMap::new(&channel, features.size, scale).draw(buffer, area, theme)
            }
            None => draw_norm(buffer, area, features, theme),
        },
        Shows::Norm => draw_norm(buffer, area, features, theme),
    }
}

fn draw_norm(buffer: &mut Buffer, area: Rect, features: &Features, theme: Theme) -> Rect {
    let scale = Scale::magnitudes(features.norm.iter().copied());
    HeatMap::new(&features.norm, features.size, scale).draw(buffer, area, theme)
}

/// Vectors at positions of a text: positions across, features down. Of one channel or the norm a single row.
fn draw_positions(
    buffer: &mut Buffer,
    area: Rect,
    features: &Features,
    inside: Inside,
    theme: Theme,
) -> Rect {
    let count = features.channels();
    let rows: Option<Vec<Vec<f32>>> = match inside.shows {
        Shows::Components => (0..count).map(|at| features.channel(at)).collect(),
        Shows::Channel => features.channel(inside.channel).map(|row| vec![row]),
        Shows::Norm => Some(vec![features.norm.to_vec()]),
    };
    let Some(rows) = rows else {
        return draw_norm(buffer, top(area, 1), features, theme);
    };
    let (height, values) = (rows.len(), rows.concat());
    let scale = match inside.shows {
        Shows::Norm => Scale::magnitudes(values.iter().copied()),
        _ => Scale::signed(values.iter().copied()),
    };
    HeatMap::new(&values, (features.size.0, height), scale).draw(buffer, area, theme)
}

/// What is shown of `features`, in a few words: what was asked for is not always there.
pub fn title(features: &Features, inside: Inside) -> [String; 2] {
    let components = features.components.as_deref();
    match (inside.shows, components) {
        (Shows::Components, _) if features.size.1 == 1 && features.size.0 > 1 => {
            said(["positions across, features down", "横向是位置，纵向是特征"])
        }
        (Shows::Components, Some(components)) => {
            let shares = components.shares.map(|share| (100.0 * share).round());
            let [a, b, c] = shares;
            let percent = format!("{a}+{b}+{c} %");
            match components.steps {
                Some(steps) => [
                    format!("3 components of {steps} steps: {percent}"),
                    format!("{steps} 步的 3 个主成分：{percent}"),
                ],
                None => [
                    format!("3 components of this step: {percent}"),
                    format!("这一步的 3 个主成分：{percent}"),
                ],
            }
        }
        (Shows::Components, None) if features.stats.non_finite > 0 => said([
            "norm (there are NaN or infinity)",
            "范数（有 NaN 或无穷大）",
        ]),
        (Shows::Channel, _) if features.values.is_some() => {
            let (at, count) = (inside.channel + 1, features.channels());
            [
                format!("channel {at} of {count}"),
                format!("通道 {at} / {count}"),
            ]
        }
        (Shows::Channel, _) => said([
            "norm (too large to keep its channels)",
            "范数（太大，没有保留各通道）",
        ]),
        (Shows::Components, None) => said(["norm (no components)", "范数（没有主成分）"]),
        (Shows::Norm, _) => said(["norm at each place", "每个位置的范数"]),
    }
}

fn said(said: Said) -> [String; 2] {
    said.map(str::to_owned)
}

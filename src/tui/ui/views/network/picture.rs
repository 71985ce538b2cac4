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

/// What is shown of `features`, in a few words, from the longest form to the shortest: what was asked for is not always
/// there.
pub fn titles(features: &Features, inside: Inside) -> [Vec<String>; 2] {
    let components = features.components.as_deref();
    let is_text = features.size.1 == 1 && features.size.0 > 1;
    let forms = |said: Said| said.map(|said| vec![said.to_owned()]);
    match (inside.shows, components) {
        (Shows::Components, _) if is_text => {
            forms(["positions across, features down", "横向是位置，纵向是特征"])
        }
        (Shows::Components, Some(components)) => {
            let [a, b, c] = components.shares.map(|share| (100.0 * share).round());
            let percent = format!("{a}+{b}+{c} %");
            [
                vec![format!("3 components: {percent}"), percent.clone()],
                vec![format!("3 个主成分：{percent}"), percent],
            ]
        }
        (Shows::Components, None) if features.stats.non_finite > 0 => forms([
            "norm (there are NaN or infinity)",
            "范数（有 NaN 或无穷大）",
        ]),
        (Shows::Channel, _) if features.values.is_some() => {
            let (at, count) = (
                inside.channel.min(features.channels().saturating_sub(1)) + 1,
                features.channels(),
            );
            [
                vec![format!("channel {at} of {count}")],
                vec![format!("通道 {at} / {count}")],
            ]
        }
        (Shows::Channel, _) => forms([
            "norm (too large to keep its channels)",
            "范数（太大，没有保留各通道）",
        ]),
        (Shows::Components, None) => forms(["norm (no components)", "范数（没有主成分）"]),
        (Shows::Norm, _) => forms(["norm at each place", "每个位置的范数"]),
    }
}

//! Cross-attention: where in the picture which word is listened to.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{below, columns, empty, line, strip, top};
use crate::model::tokenizer::TokenKind;
use crate::trace::AttentionMaps;
use crate::tui::app::App;
use crate::tui::colour_map::ColourMap;
use crate::tui::pixels::PlacedPicture;
use crate::tui::run::Run;
use crate::tui::text;
use crate::tui::theme::Rgb;
use crate::tui::widgets::heat_map::{HeatMap, Scale, legend, resample};
use crate::tui::widgets::{bars, picture, token_strip};

/// Draws the view.
pub fn draw(buffer: &mut Buffer, area: Rect, app: &App) -> Vec<PlacedPicture> {
    let index = app.cursor.step;
    let Some(run) = app.run.as_ref().filter(|run| run.step(index).is_some()) else {
        empty(buffer, area, app, "Attention maps");
        return Vec::new();
    };
    let area = strip(buffer, area, app, run);
    let (maps, with_heads) = app.attention();
    if maps.is_empty() {
        let words =
            "The memory for attention was full at this step: its maps are being computed again …";
        line(buffer, area, words, app.theme.text());
        return Vec::new();
    }
    let head = app.cursor.head.filter(|_| with_heads);
    let selection = Selection::new(app, maps, head);
    let area = line(buffer, area, &selection.describe(app), app.theme.text());
    let area = below(area, u16::from(area.height > 18));

    let grid = match area.height {
        0..=20 => 6,
        21..=26 => 8,
        _ => 11,
    };
    let gap = u16::from(area.height > 18);
    let room = area.height.saturating_sub(grid + 2 + gap).max(3);
    let places = columns(area, 3, 2);
    let map = selection.map(app.cursor.token, selection.size);
    let scale = Scale::magnitudes(map.iter().copied());
    let place = line(buffer, places[1], "attention alone", app.theme.title());
    let heat_map = HeatMap {
        values: &map,
        width: selection.size.0,
        height: selection.size.1,
        scale,
    };
    let drawn = heat_map.draw(buffer, top(place, room), app.theme);
    legend(
        buffer,
        top(below(place, drawn.height), 1),
        scale,
        "own scale",
        app.theme,
    );
    draw_overlay(buffer, places[0], drawn, app, run, &heat_map);
    draw_shares(buffer, top(places[2], room + 2), app, run, &selection, &map);
    // Where the place is wide and low, the maps end early and the grid gets what is left.
    let used = (drawn.bottom() + 1)
        .saturating_sub(area.y)
        .max(if area.width > 90 { 16 } else { 0 });
    draw_grid(
        buffer,
        below(area, used.min(room + 2) + gap),
        app,
        run,
        &selection,
    );
    Vec::new()
}

/// The layers and the head that are looked at.
struct Selection<'a> {
    layers: Vec<&'a AttentionMaps>,
    head: Option<usize>,
    /// Width and height of the largest map among the layers.
    size: (usize, usize),
    all_layers: usize,
}

impl<'a> Selection<'a> {
    fn new(app: &App, maps: &'a [AttentionMaps], head: Option<usize>) -> Self {
        let layers: Vec<&AttentionMaps> = match app.cursor.layer.and_then(|layer| maps.get(layer)) {
            Some(layer) => vec![layer],
            None => maps.iter().collect(),
        };
        let width = layers.iter().map(|map| map.width).max().unwrap_or(1);
        let height = layers.iter().map(|map| map.height).max().unwrap_or(1);
        Self {
            layers,
            head,
            size: (width, height),
            all_layers: maps.len(),
        }
    }

    /// The map of position `token`, mean over the layers, at `size` (width, height).
    fn map(&self, token: usize, size: (usize, usize)) -> Vec<f32> {
        let mut sum = vec![0.0; size.0 * size.1];
        for layer in &self.layers {
            let values = self.values(layer, token);
            let scaled = resample(values, (layer.width, layer.height), size);
            for (sum, value) in sum.iter_mut().zip(scaled) {
                *sum += value / self.layers.len() as f32;
            }
        }
        sum
    }

    /// The mean probability of position `token` over all places and layers: its share of the attention.
    fn share(&self, token: usize) -> f64 {
        let mean = |values: &[f32]| {
            values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
        };
        let shares = self
            .layers
            .iter()
            .map(|layer| mean(self.values(layer, token)));
        shares.sum::<f64>() / self.layers.len().max(1) as f64
    }

    fn values(&self, layer: &'a AttentionMaps, token: usize) -> &'a [f32] {
        layer.map(self.head.filter(|_| layer.heads.is_some()), token)
    }

    fn describe(&self, app: &App) -> String {
        let layer = match (app.cursor.layer, self.layers.first()) {
            (Some(index), Some(layer)) => format!(
                "layer {} of {}: {} · {}×{}",
                index + 1,
                self.all_layers,
                short_path(&layer.path),
                layer.width,
                layer.height
            ),
            _ => format!(
                "mean of {} layers at {}×{}",
                self.all_layers, self.size.0, self.size.1
            ),
        };
        let head = match (app.cursor.head, self.head) {
            (Some(head), Some(_)) => format!("head {head}"),
            (Some(head), None) => format!("head {head} is being computed …"),
            _ => "mean of heads".to_owned(),
        };
        format!("step {} · {layer} · {head}", app.cursor.step + 1)
    }
}

/// `down_blocks.0.attentions.1.transformer_blocks.0.attn2` as `down 0.1`, `mid_block.attentions.0…` as `mid 0`.
fn short_path(path: &str) -> String {
    let path = path
        .strip_suffix(".transformer_blocks.0.attn2")
        .unwrap_or(path);
    let short = path.replace("_blocks.", " ").replace("_block", "").replace(
        ".attentions.",
        if path.starts_with("mid") { " " } else { "." },
    );
    text::clean(&short)
}

/// The picture of this step, in as many cells as the map beside it, lit where the attention lies.
fn draw_overlay(
    buffer: &mut Buffer,
    place: Rect,
    map_area: Rect,
    app: &App,
    run: &Run,
    map: &HeatMap,
) {
    let token = run.tokens().get(app.cursor.token);
    let word = token.map_or_else(String::new, token_strip::word);
    let place = line(
        buffer,
        place,
        &format!("“{word}” over x0"),
        app.theme.title(),
    );
    let decoded = run.decoded.get(&app.cursor.step).filter(|_| app.decode);
    let preview = run
        .pictures
        .get(app.cursor.step)
        .map(|pictures| &pictures.x0);
    let Some(image) = decoded.or(preview) else {
        return;
    };
    let area = Rect {
        width: map_area.width.min(place.width),
        height: map_area.height.min(place.height),
        ..place
    };
    let drawn = picture::draw_with(buffer, area, image, app.theme, |x, y, rgb| {
        overlay(rgb, map.scale.position(map.sample(x, y)).unwrap_or(0.0))
    });
    let words = if decoded.is_some() {
        "decoded by the VAE"
    } else {
        "preview; d decodes"
    };
    line(buffer, below(place, drawn.height), words, app.theme.muted());
}

/// The picture's pixel, dark where no attention lies and its own colour, warmed, where all of it does.
fn overlay(rgb: Rgb, position: f32) -> Rgb {
    let heat = ColourMap::Magnitude.at(0.25 + 0.6 * position);
    std::array::from_fn(|channel| {
        let own = f32::from(rgb[channel]) * (0.30 + 0.70 * position);
        let heat = f32::from(heat[channel]);
        (own + (heat - own) * 0.35 * position)
            .round()
            .clamp(0.0, 255.0) as u8
    })
}

/// What all places together listen to, and how evenly this word's attention is spread.
fn draw_shares(
    buffer: &mut Buffer,
    area: Rect,
    app: &App,
    run: &Run,
    selection: &Selection,
    map: &[f32],
) {
    let theme = app.theme;
    let token = app.cursor.token;
    let tokens = run.tokens();
    let sum_of = |kind: TokenKind| -> f64 {
        let of_kind = tokens
            .iter()
            .filter(|other| other.kind == kind && other.position != token);
        of_kind.map(|other| selection.share(other.position)).sum()
    };
    let name = tokens
        .get(token)
        .map_or_else(String::new, token_strip::word);
    let rows = [
        (name, selection.share(token), theme.accent()),
        ("start".to_owned(), sum_of(TokenKind::Start), theme.text()),
        (
            "other words".to_owned(),
            sum_of(TokenKind::Word),
            theme.text(),
        ),
        ("end".to_owned(), sum_of(TokenKind::End), theme.text()),
        (
            "padding".to_owned(),
            sum_of(TokenKind::Padding),
            theme.text(),
        ),
    ];
    let mut area = line(buffer, area, "share of attention", theme.title());
    let bar = usize::from(area.width).saturating_sub(22).min(16);
    for (name, share, style) in rows {
        let words = format!(
            "{}{:>6} % {}",
            text::fit(&name, 12),
            text::fixed(100.0 * share, 1),
            bars::share(share, bar)
        );
        area = line(buffer, area, words.trim_end(), style);
    }
    let (bits, most) = entropy(map);
    let words = format!(
        "spread {} of {} bit",
        text::fixed(bits, 2),
        text::fixed(most, 0)
    );
    area = line(buffer, area, &words, theme.muted());
    if area.height > 3 + selection.all_layers as u16 || area.height > 8 {
        draw_layers(buffer, below(area, 1), app);
    }
}

/// Entropy of a map over places, in bits, and the most that it could be.
fn entropy(map: &[f32]) -> (f64, f64) {
    let sum: f64 = map.iter().map(|&value| f64::from(value)).sum();
    let bits = map.iter().filter(|value| **value > 0.0).map(|&value| {
        let share = f64::from(value) / sum;
        -share * share.log2()
    });
    (bits.sum(), (map.len().max(1) as f64).log2())
}

/// The layers, to choose from.
fn draw_layers(buffer: &mut Buffer, area: Rect, app: &App) {
    let theme = app.theme;
    let (maps, _) = app.attention();
    let area = line(buffer, area, "layers ↑↓", theme.title());
    let selected = app.cursor.layer.map_or(0, |layer| layer + 1);
    let rows = usize::from(area.height).min(maps.len() + 1);
    let first = super::scroll(selected, maps.len() + 1, rows);
    let mut area = area;
    for index in first..first + rows {
        let words = match index.checked_sub(1).and_then(|layer| maps.get(layer)) {
            None => format!("mean of all {}", maps.len()),
            Some(map) => format!("{} · {}×{}", short_path(&map.path), map.width, map.height),
        };
        let style = if index == selected {
            theme.accent()
        } else {
            theme.text()
        };
        let mark = if index == selected { "▸" } else { " " };
        area = line(buffer, area, &format!("{mark} {words}"), style);
    }
}

/// The maps of all words at this step, on one scale.
fn draw_grid(buffer: &mut Buffer, area: Rect, app: &App, run: &Run, selection: &Selection) {
    let theme = app.theme;
    let words: Vec<usize> = run.words().collect();
    if words.is_empty() || area.height < 4 || area.width < 8 {
        return;
    }
    let aspect = selection.size.1 as f64 / selection.size.0 as f64;
    let area = top_line(buffer, area, app);
    // The largest maps with which all words fit, else the smallest.
    let fits = |width: u16| {
        let rows = ((f64::from(width) * aspect / 2.0).ceil() as u16).max(1) + 1;
        let across = (area.width + 1) / (width + 1);
        (usize::from(across), usize::from(area.height / rows), rows)
    };
    let sizes = [48, 40, 32, 28, 24, 20, 16, 14, 12, 10, 8_u16];
    let width = sizes
        .into_iter()
        .find(|&width| {
            let (across, down, _) = fits(width);
            across * down >= words.len()
        })
        .unwrap_or(8);
    let (across, down, rows) = fits(width);
    let visible = across * down;
    if visible == 0 {
        return;
    }
    let selected = words.iter().position(|&word| word == app.cursor.token);
    let first = super::scroll(selected.unwrap_or(0), words.len(), visible);
    let maps: Vec<(usize, Vec<f32>)> = words
        .iter()
        .skip(first)
        .take(visible)
        .map(|&word| (word, selection.map(word, selection.size)))
        .collect();
    let scale = Scale::magnitudes(maps.iter().flat_map(|(_, map)| map.iter().copied()));
    for (index, (word, map)) in maps.iter().enumerate() {
        let place = Rect {
            x: area.x + (index % across) as u16 * (width + 1),
            y: area.y + (index / across) as u16 * rows,
            width,
            height: rows,
        };
        let is_selected = *word == app.cursor.token;
        let style = if is_selected {
            theme.accent()
        } else {
            theme.muted()
        };
        let name = run
            .tokens()
            .get(*word)
            .map_or_else(String::new, token_strip::word);
        let place = line(buffer, place, &name, style);
        HeatMap {
            values: map,
            width: selection.size.0,
            height: selection.size.1,
            scale,
        }
        .draw(buffer, place, theme);
    }
    let end = area.right();
    let legend_width = 42.min(area.width);
    let place = Rect {
        x: end - legend_width,
        y: area.y.saturating_sub(1),
        width: legend_width,
        height: 1,
    };
    let more = if visible < words.len() {
        format!("shared; {} of {} words", maps.len(), words.len())
    } else {
        "shared scale".to_owned()
    };
    legend(buffer, place, scale, &more, theme);
}

fn top_line(buffer: &mut Buffer, area: Rect, app: &App) -> Rect {
    line(buffer, area, "every word", app.theme.title())
}

//! What a closer look at attention has that can be written to a file.

use image::{Rgb, RgbImage};

use super::attention::short_path;
use super::closer;
use super::cursor::{Cursor, Grid, Measure};
use super::export_items::{ItemList, enlarged, file_name};
use crate::export::HeatMap;
use crate::trace::{AttentionKind, Components, Projections, TensorData};
use crate::tui::worker::{Content, Look, LookKey, Looked};

impl ItemList<'_> {
    /// What the attention view shows where it has no maps of words.
    pub(super) fn closer(&mut self, cursor: &Cursor) {
        match cursor.attention.grid {
            Grid::Matrix => self.matrix(cursor),
            Grid::Own => self.own(cursor),
            Grid::Numbers => self.numbers(cursor),
            _ => {}
        }
    }

    /// The figure of every head, `(layers, heads)`: as the screen has it, layer by layer, without the means.
    fn matrix(&mut self, cursor: &Cursor) {
        let run = self.run;
        let Some(layers) = closer::heads(run, cursor, cursor.step) else {
            return;
        };
        let tokens = closer::tokens(run, cursor.attention.half);
        let heads = layers.iter().map(|layer| layer.heads).max().unwrap_or(0);
        let measure = cursor.attention.measure;
        // A layer with fewer heads has no number for the others.
        let figure = |layer, head| {
            let figure = closer::figure(layer, Some(head), measure, (cursor.token, tokens));
            figure.map_or(f32::NAN, |figure| figure as f32)
        };
        let values: Vec<f32> = layers
            .iter()
            .flat_map(|layer| (0..heads).map(move |head| figure(layer, head)))
            .collect();
        let name = format!("attention_heads/{}", measure_name(measure, cursor.token));
        let shape = vec![layers.len(), heads];
        let map = HeatMap {
            name: format!("{name}, step {}", cursor.step + 1),
            values: values.clone(),
            width: heads,
            height: layers.len(),
        };
        let tensor = TensorData::from_values(&name, shape, values);
        let at = Some(cursor.step);
        self.tensor(
            ["this figure of every head", "每个头的这个指标"],
            at,
            tensor,
        );
        self.add(
            ["the matrix as a map", "矩阵图"],
            at,
            &file_name(&name),
            Content::Map(map),
        );
    }

    /// Where the place looks, and what belongs together.
    fn own(&mut self, cursor: &Cursor) {
        let run = self.run;
        let at = Some(cursor.step);
        if let Some(layers @ [first, ..]) = closer::projections(run, cursor) {
            let place = first.place_at(cursor.attention.place);
            let values = closer::row(layers, cursor.attention.head, place);
            let (down, across) = (place / first.width.max(1), place % first.width.max(1));
            let head = cursor.attention.head;
            let head = head.map_or_else(|| "mean".to_owned(), |head| head.to_string());
            let which = if layers.len() == 1 {
                first.path.to_string()
            } else {
                format!("attn1.{}x{}", first.width, first.height)
            };
            // Its layer, the row and the column of the place, the head.
            let name = format!("attention/{which}/{down}/{across}/{head}");
            let map = HeatMap {
                name: format!("{name}, step {}", cursor.step + 1),
                values: values.clone(),
                width: first.width,
                height: first.height,
            };
            let file = match cursor.attention.head {
                Some(head) => short_name(layers, &format!("{down}-{across}-h{head}")),
                None => short_name(layers, &format!("{down}-{across}")),
            };
            let shape = vec![first.height, first.width];
            let tensor = TensorData::from_values(&name, shape, values);
            self.add(
                ["where this place looks, as a map", "这个位置看向哪里，图"],
                at,
                &file,
                Content::Map(map),
            );
            self.add(
                ["where this place looks", "这个位置看向哪里"],
                at,
                &file,
                Content::Tensor(tensor),
            );
            if let Some(components) = closer::components(run, cursor) {
                self.components(cursor, components, layers);
            }
        }
    }

    fn components(&mut self, cursor: &Cursor, components: &Components, layers: &[Projections]) {
        let at = Some(cursor.step);
        let name = short_name(layers, "components");
        let picture = Content::Picture(enlarged(&colours(components)));
        self.add(
            ["the components as colours", "主成分，作为颜色"],
            at,
            &name,
            picture,
        );
        let shape = vec![components.scores.len(), components.height, components.width];
        let tensor = TensorData::from_values(&name, shape, components.scores.concat());
        self.add(
            ["the components", "主成分"],
            at,
            &name,
            Content::Tensor(tensor),
        );
    }

    /// Queries, keys and values of the layer, under the paths of the modules whose outputs they are.
    fn numbers(&mut self, cursor: &Cursor) {
        let (layer, _) = cursor.attention.by_hand();
        let key = LookKey {
            step: cursor.step,
            half: cursor.attention.half,
            look: Look::Projections(AttentionKind::Text, Some(layer)),
        };
        let Some(Looked::Projections(layers)) = self.run.looked.get(key) else {
            return;
        };
        for layer in layers {
            let path = short_path(&layer.path);
            for (name, what, values) in [
                ("to_q", ["queries", "查询"], &layer.query),
                ("to_k", ["keys", "键"], &layer.key),
                ("to_v", ["values", "值"], &layer.value),
            ] {
                let shape = vec![values.len() / layer.channels.max(1), layer.channels];
                let name = format!("{}.{name}", layer.path);
                let tensor = TensorData::from_values(&name, shape, values.to_vec());
                let what = [
                    format!("all {} of {path}", what[0]),
                    format!("{path} 的全部{}", what[1]),
                ];
                self.tensor(what, Some(cursor.step), tensor);
            }
        }
    }
}

/// The layer, or the size of those that are averaged, and what of it: for a file's name.
fn short_name(layers: &[Projections], what: &str) -> String {
    let which = match layers {
        [layer] => file_name(&short_path(&layer.path)),
        [layer, ..] => format!("{}x{}", layer.width, layer.height),
        [] => String::new(),
    };
    format!("self-{which}-{what}")
}

fn measure_name(measure: Measure, token: usize) -> String {
    match measure {
        Measure::Entropy => "entropy".to_owned(),
        Measure::Token => format!("share/{token}"),
        Measure::Start => "share/start".to_owned(),
        Measure::End => "share/end".to_owned(),
        Measure::Padding => "share/padding".to_owned(),
    }
}

/// Each component from its smallest coordinate to its largest, as red, green and blue.
pub fn colours(components: &Components) -> RgbImage {
    let ranges: Vec<(f32, f32)> = components
        .scores
        .iter()
        .map(|scores| {
            let low = scores.iter().copied().fold(f32::INFINITY, f32::min);
            let high = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            (low, high)
        })
        .collect();
    RgbImage::from_fn(components.width as u32, components.height as u32, |x, y| {
        let place = y as usize * components.width + x as usize;
        let level = |component: usize| {
            let (low, high) = ranges.get(component)?;
            let score = components.scores.get(component)?.get(place)?;
            let position = (score - low) / (high - low);
            position
                .is_finite()
                .then(|| (position * 255.0).round() as u8)
        };
        Rgb(std::array::from_fn(|component| {
            level(component).unwrap_or(0)
        }))
    })
}

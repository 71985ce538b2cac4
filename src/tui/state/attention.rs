//! Which attention is looked at: of which layers, of which head.

use super::plane::Plane;
use super::{AttentionCursor, Cursor};
use crate::lesson::Language;
use crate::text;
use crate::trace::{AttentionMaps, Guidance};

pub struct SelectedMaps<'a> {
    pub all: &'a [AttentionMaps],
    /// The maps of the selected layer, or of all of them.
    pub layers: Vec<&'a AttentionMaps>,
    /// The selected head; `None` for the mean.
    pub head: Option<usize>,
    /// Width and height of the largest map among the layers.
    pub size: (usize, usize),
}

impl<'a> SelectedMaps<'a> {
    /// What the cursor selects of `maps`, which have heads or are averages over them.
    pub fn new(cursor: &AttentionCursor, maps: &'a [AttentionMaps], with_heads: bool) -> Self {
        let selected = cursor.layer.and_then(|layer| maps.get(layer));
        let head = cursor.head.filter(|_| with_heads);
        Self::of(
            maps,
            selected.map_or(maps.iter().collect(), |layer| vec![layer]),
            head,
        )
    }

    pub fn of(
        all: &'a [AttentionMaps],
        layers: Vec<&'a AttentionMaps>,
        head: Option<usize>,
    ) -> Self {
        let width = layers.iter().map(|map| map.width).max().unwrap_or(1);
        let height = layers.iter().map(|map| map.height).max().unwrap_or(1);
        Self {
            all,
            layers,
            head,
            size: (width, height),
        }
    }

    /// The map of position `token`, mean over the layers, at `size` (width, height): smaller maps are interpolated to
    /// the larger ones' size before they are averaged, as DAAM does (Tang et al. 2022, arXiv 2210.04885).
    pub fn map(&self, token: usize, size: (usize, usize)) -> Vec<f32> {
        let mut sum = vec![0.0; size.0 * size.1];
        for layer in &self.layers {
            let values = self.values(layer, token);
            let plane = Plane {
                values: &values,
                width: layer.width,
                height: layer.height,
            };
            let scaled = plane.resample(size);
            for (sum, value) in sum.iter_mut().zip(scaled) {
                *sum += value / self.layers.len() as f32;
            }
        }
        sum
    }

    /// The mean probability of position `token` over all places and layers: its share of the attention.
    pub fn share(&self, token: usize) -> f64 {
        let mean = |values: &[f32]| {
            values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
        };
        let shares = (self.layers.iter()).map(|layer| mean(&self.values(layer, token)));
        shares.sum::<f64>() / self.layers.len().max(1) as f64
    }

    /// The probability of position `token` at a place (across, down, from 0 to 1): the pixel of each layer that
    /// covers it, mean over the layers.
    pub fn at(&self, token: usize, (across, down): (f32, f32)) -> f64 {
        let pixel =
            |position: f32, count: usize| ((position * count as f32) as usize).min(count - 1);
        let values = self.layers.iter().filter_map(|layer| {
            let at = pixel(down, layer.height) * layer.width + pixel(across, layer.width);
            self.values(layer, token).get(at).copied()
        });
        values.map(f64::from).sum::<f64>() / self.layers.len().max(1) as f64
    }

    /// The map of one layer: of the selected head, or the mean over heads.
    fn values(&self, layer: &'a AttentionMaps, token: usize) -> std::borrow::Cow<'a, [f32]> {
        match (self.head, layer.heads) {
            (None, Some(heads)) => {
                let mut mean = vec![0.0; layer.width * layer.height];
                for head in 0..heads {
                    for (sum, value) in mean.iter_mut().zip(layer.map(Some(head), token)) {
                        *sum += value / heads as f32;
                    }
                }
                mean.into()
            }
            (head, _) => layer
                .map(head.filter(|_| layer.heads.is_some()), token)
                .into(),
        }
    }

    /// What is shown, in a line: in full, and shorter twice, for places with less room.
    pub fn describe(&self, at: &Cursor, language: Language) -> [String; 3] {
        let cursor = &at.attention;
        let (layer, short) = self.describe_layer(cursor, language);
        let (head, short_head) = match (cursor.head, self.head) {
            (Some(head), Some(_)) => {
                let head = language.choose([format!("head {head}"), format!("头 {head}")]);
                (head.clone(), format!(" · {head}"))
            }
            (Some(head), None) => (
                language.choose([
                    format!("head {head} is being computed …"),
                    format!("正在计算头 {head} …"),
                ]),
                language.choose([format!(" · head {head} …"), format!(" · 头 {head} …")]),
            ),
            _ => {
                let mean = language.choose(["mean of heads", "各头平均"]);
                (mean.to_owned(), String::new())
            }
        };
        let half = match cursor.half {
            Guidance::Cond => "",
            Guidance::Uncond => language.choose([" · without the prompt", " · 没有提示词"]),
        };
        let number = at.step + 1;
        let step = language.choose([format!("step {number}"), format!("第 {number} 步")]);
        [
            format!("{step} · {layer} · {head}{half}"),
            format!("{step} · {short}{short_head}{half}"),
            format!("{number} · {short}{short_head}"),
        ]
    }

    /// The layer, or that it is the mean of all, in full and in short.
    fn describe_layer(&self, cursor: &AttentionCursor, language: Language) -> (String, String) {
        let count = self.all.len();
        let Some((index, layer)) = cursor.layer.zip(self.layers.first()) else {
            let mean =
                language.choose([format!("mean of {count} layers"), format!("{count} 层平均")]);
            let (width, height) = self.size;
            let size = language.choose([
                format!("{mean} at {width}×{height}"),
                format!("{mean}，{width}×{height}"),
            ]);
            return (size, mean);
        };
        let (number, path) = (index + 1, short_path(&layer.path));
        let which = language.choose([
            format!("layer {number} of {count}: {path}"),
            format!("第 {number} 层，共 {count} 层：{path}"),
        ]);
        (format!("{which} · {}×{}", layer.width, layer.height), path)
    }
}

/// `down_blocks.0.attentions.1.transformer_blocks.0.attn2` as `down 0.1`, `mid_block.attentions.0…` as `mid 0`; the second
/// block of a transformer that has several as `down 0.1.1`.
pub fn short_path(path: &str) -> String {
    let attention = [".attn2", ".attn1"];
    let path = attention
        .iter()
        .find_map(|name| path.strip_suffix(name))
        .unwrap_or(path);
    let path = path.strip_suffix(".transformer_blocks.0").unwrap_or(path);
    let path = path.replace(".transformer_blocks.", ".");
    let short = path.replace("_blocks.", " ").replace("_block", "").replace(
        ".attentions.",
        if path.starts_with("mid") { " " } else { "." },
    );
    text::clean(&short)
}

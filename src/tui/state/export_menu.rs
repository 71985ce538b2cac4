//! What can be written to a file from the view on the screen.

use std::path::PathBuf;
use std::sync::Arc;

use super::attention::SelectedMaps;
use super::detail::Part;
use super::run::{Run, RunState};
use super::{App, StepTensor, View};
use crate::export::{ExportOptions, OnExisting, RunMetadata};
use crate::generation::cosine;
use crate::model::AttentionDetail;
use crate::model::tokenizer::TokenKind;
use crate::text;
use crate::trace::{AttentionMaps, TensorData};
use crate::tui::worker::{AttentionKey, Command, Content, Plane, Writing};

/// Something that can be written, as the menu offers it.
#[derive(Debug, Clone)]
pub struct ExportItem {
    /// What it is, in a few words.
    pub what: String,
    /// Its format: `JSON`, `PNG`, `GIF`, or `folder`.
    pub format: &'static str,
    /// The name of the file or folder; where there is one already, the new one gets a number.
    pub name: String,
    command: Command,
}

impl ExportItem {
    /// The command that writes it.
    pub(super) fn accept(self) -> Command {
        self.command
    }
}

impl App {
    /// What can be written from this view, what is looked at first and the whole run last.
    pub fn offers(&self) -> Vec<ExportItem> {
        let (Some(run), Some(mut list)) = (&self.run, self.no_offers()) else {
            return Vec::new();
        };
        match self.view {
            View::Prompt | View::Tokens => {}
            View::Embedding => self.offer_embedding(run, &mut list),
            View::TextEncoder => {
                let states = run.text_states();
                let last = states.len().saturating_sub(1);
                if let Some((name, state)) =
                    states.into_iter().nth(self.cursor.text_layer.min(last))
                {
                    list.tensor(format!("the prompt at {name}"), None, state);
                }
            }
            View::Noise => {
                if let Some(noise) = &run.trace.noise {
                    let noise = noise.initial_noise.clone();
                    list.tensor("the noise, standard normal".into(), None, noise);
                }
            }
            View::Schedule => {
                if let Some(schedule) = run.schedule() {
                    for (name, values) in [
                        ("sigmas", &schedule.sigmas),
                        ("timesteps", &schedule.timesteps),
                    ] {
                        let tensor =
                            TensorData::from_values(name, vec![values.len()], values.clone());
                        list.tensor(format!("the {name}"), None, tensor);
                    }
                }
            }
            View::Denoising => self.offer_denoising(run, &mut list),
            View::Attention => self.offer_attention(run, &mut list),
            View::Image => {
                let last = run.trace.steps.last();
                if let Some(latents) = last.and_then(|step| step.tensor("latents_next")) {
                    list.tensor("the last latents".into(), None, latents.clone());
                }
            }
        }
        self.offer_picture(&mut list);
        if let Some(step) = run.trace.steps.get(self.cursor.step) {
            let at = step.index;
            let key = self.cursor.attention_key(AttentionDetail::Mean);
            let kept = run.attention(AttentionKey {
                half: crate::trace::Guidance::Cond,
                ..key
            });
            let content = Content::Step(Arc::clone(step), kept.to_vec());
            list.add(
                format!("step {} with its tensors", at + 1),
                Some(at),
                "",
                content,
            );
        }
        // Attention that is not kept is computed once more.
        if run.state == RunState::Done && self.is_live() {
            list.run(run);
        }
        list.offers
    }

    /// Writes the picture that the screen is about.
    pub(super) fn save(&self) -> Option<Command> {
        let mut list = self.no_offers()?;
        self.offer_picture(&mut list);
        list.offers.pop().map(ExportItem::accept)
    }

    /// An empty list for the run on the screen.
    fn no_offers(&self) -> Option<List> {
        let run = self.run.as_ref()?;
        let (request, branches) = (run.trace.request.clone(), &run.trace.branches);
        let metadata = RunMetadata::new(&run.info, request, branches);
        Some(List {
            metadata,
            folder: self.folder.clone(),
            stem: format!("diffuscope-{}", run.trace.request.seed),
            offers: Vec::new(),
        })
    }

    fn offer_picture(&self, list: &mut List) {
        if let Some((image, step)) = self.picture() {
            let what = match step {
                None => "the picture".to_owned(),
                Some(step) => format!("predicted x0 of step {}, decoded", step + 1),
            };
            list.add(what, step, "", Content::Picture(image));
        }
    }

    fn offer_embedding(&self, run: &Run, list: &mut List) {
        let Some(text) = &run.trace.text else {
            return;
        };
        let find = |name: &str| {
            text.prompt
                .iter()
                .find(|state| &*state.name == name)
                .cloned()
        };
        let (what, tensor) = match self.cursor.detail.part {
            Part::Token => ("the token embedding", find("token_embedding")),
            Part::Position => ("the position embedding", find("position_embedding")),
            Part::Sum => {
                let input = run.text_states().into_iter().next();
                ("token and position, added", input.map(|(_, sum)| sum))
            }
        };
        let Some(tensor) = tensor else {
            return;
        };
        let words = run.tokens().iter();
        let words = words
            .filter(|token| token.kind != TokenKind::Padding)
            .count();
        let rows: Vec<&[f32]> = (0..words).map(|row| tensor.row(row)).collect();
        let cosines = (rows.iter())
            .flat_map(|a| rows.iter().map(|b| cosine(a, b) as f32))
            .collect();
        let plane = Plane {
            name: format!("cosines of {what} between the prompt's tokens"),
            values: cosines,
            width: words,
            height: words,
        };
        list.tensor(what.into(), None, tensor);
        list.add(
            "the cosines as a map".into(),
            None,
            "cosines",
            Content::Map(plane),
        );
    }

    fn offer_denoising(&self, run: &Run, list: &mut List) {
        let Some(step) = run.step(self.cursor.step) else {
            return;
        };
        let at = Some(step.index);
        let selected = match self.cursor.tensor {
            StepTensor::Difference => {
                difference(step.tensor("noise_text"), step.tensor("noise_uncond"))
            }
            StepTensor::Text => step.tensor("noise_text").cloned(),
            StepTensor::Uncond => step.tensor("noise_uncond").cloned(),
            StepTensor::Guided => step.tensor("noise_guided").cloned(),
        };
        let shown = ["latents", "x0"].map(|name| step.tensor(name).cloned());
        for tensor in shown.into_iter().chain([selected]).flatten() {
            list.tensor(text::clean(&tensor.name), at, tensor);
        }
        if let Some(pictures) = run.pictures.get(step.index) {
            for (what, name, picture) in [
                (
                    "the quick preview of x_t",
                    "latents-preview",
                    &pictures.latents,
                ),
                ("the quick preview of x0", "x0-preview", &pictures.x0),
            ] {
                list.add(what.into(), at, name, Content::Picture(enlarged(picture)));
            }
        }
    }

    fn offer_attention(&self, run: &Run, list: &mut List) {
        let (maps, with_heads) = self.attention();
        if maps.is_empty() {
            return;
        }
        let token = self.cursor.token;
        let word = run.tokens().get(token);
        let word = word.map_or_else(String::new, |token| text::clean(&token.piece));
        let word = word.trim_end_matches("</w>");
        let selection = SelectedMaps::new(&self.cursor.attention, maps, with_heads);
        let plane = |selection: &SelectedMaps, about: String| Plane {
            name: about,
            values: selection.map(token, selection.size),
            width: selection.size.0,
            height: selection.size.1,
        };
        let at = Some(self.cursor.step);
        let [described, ..] = selection.describe(&self.cursor);
        let about = format!("“{word}” · {described}");
        let map = Content::Map(plane(&selection, about));
        let name = format!("attention-{}", file_name(word));
        list.add(format!("this map of “{word}”"), at, &name, map);
        let frames: Vec<Plane> = (0..run.trace.steps.len())
            .filter_map(|step| {
                let key = AttentionKey {
                    step,
                    ..self.cursor.attention_key(AttentionDetail::Mean)
                };
                let maps = run.attention(key);
                let about = format!("“{word}” · step {}", step + 1);
                (!maps.is_empty()).then(|| {
                    plane(
                        &SelectedMaps::new(&self.cursor.attention, maps, false),
                        about,
                    )
                })
            })
            .collect();
        if frames.len() > 1 {
            let what = format!(
                "“{word}” over {} of {} steps",
                frames.len(),
                run.trace.steps.len()
            );
            list.add(what, None, &name, Content::Animation(frames));
        }
        let layers: Vec<AttentionMaps> = selection.layers.iter().copied().cloned().collect();
        if let [layer] = layers.as_slice() {
            let content = Content::Attention(layer.clone());
            let name = format!("attention-{}", file_name(&layer.path));
            list.add("this layer's maps of every word".into(), at, &name, content);
        }
    }
}

/// The offers so far, and what all of them share.
struct List {
    metadata: RunMetadata,
    folder: PathBuf,
    /// What every name begins with.
    stem: String,
    offers: Vec<ExportItem>,
}

impl List {
    /// `what` is written as `content`; its file is named after the step it belongs to, and `name`.
    fn add(&mut self, what: String, step: Option<usize>, name: &str, content: Content) {
        let step = step
            .map(|step| format!("-step-{}", step + 1))
            .unwrap_or_default();
        let name = if name.is_empty() {
            String::new()
        } else {
            format!("-{name}")
        };
        let (format, extension) = match content {
            Content::Picture(_) | Content::Map(_) => ("PNG", "png"),
            Content::Animation(_) => ("GIF", "gif"),
            Content::Tensor(_) | Content::Attention(_) | Content::Step(..) => ("JSON", "json"),
        };
        let name = format!("{}{step}{name}.{extension}", self.stem);
        let writing = Writing {
            name: self.folder.join(&name),
            metadata: self.metadata.clone(),
            content,
        };
        self.offers.push(ExportItem {
            what,
            format,
            name,
            command: Command::Write(Box::new(writing)),
        });
    }

    fn tensor(&mut self, what: String, step: Option<usize>, tensor: TensorData) {
        let name = file_name(&tensor.name);
        self.add(what, step, &name, Content::Tensor(tensor));
    }

    fn run(&mut self, run: &Run) {
        let plan = ExportOptions {
            json: Some(self.folder.join(&self.stem)),
            existing: OnExisting::AddNumber,
            attention: AttentionDetail::Mean,
            ..ExportOptions::default()
        };
        self.offers.push(ExportItem {
            what: "the whole run as JSON".into(),
            format: "folder",
            name: self.stem.clone(),
            command: Command::Export {
                run: run.id,
                plan: Box::new(plan),
                trace: Box::new(run.trace.clone()),
            },
        });
    }
}

/// `noise_text - noise_uncond`: what guidance scales.
fn difference(text: Option<&TensorData>, uncond: Option<&TensorData>) -> Option<TensorData> {
    let (text, uncond) = (text?, uncond?);
    let values = text.data.iter().zip(uncond.data.iter()).map(|(a, b)| a - b);
    let values: Vec<f32> = values.collect();
    (values.len() == text.data.len())
        .then(|| TensorData::from_values("noise_difference", text.shape.clone(), values))
}

/// A small picture with every pixel a square, so that the shorter side has 256 pixels or a little more.
fn enlarged(picture: &image::RgbImage) -> Arc<image::RgbImage> {
    let (width, height) = picture.dimensions();
    let square = 256_u32.div_ceil(width.min(height).max(1));
    let filter = image::imageops::FilterType::Nearest;
    let large = image::imageops::resize(picture, width * square, height * square, filter);
    Arc::new(large)
}

/// `name` with everything that is awkward in a file's name replaced by a hyphen; at most 60 characters.
fn file_name(name: &str) -> String {
    let kept = |c: char| {
        if c.is_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(kept).take(60).collect();
    if name.is_empty() { "word".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prompt_leads_a_file_out_of_its_folder() {
        assert_eq!(file_name("../../etc/passwd"), "..-..-etc-passwd");
        assert_eq!(file_name("苹果"), "苹果");
        assert_eq!(file_name("a\u{1b}[31m"), "a--31m");
        assert_eq!(file_name(""), "word");
    }

    #[test]
    fn previews_are_enlarged_without_inventing_colours() {
        let mut small = image::RgbImage::new(16, 8);
        small.put_pixel(15, 7, image::Rgb([1, 2, 3]));
        let large = enlarged(&small);
        assert_eq!(large.dimensions(), (512, 256));
        assert_eq!(large.get_pixel(480, 224).0, [1, 2, 3]);
        assert_eq!(large.get_pixel(479, 223).0, [0, 0, 0]);
    }
}

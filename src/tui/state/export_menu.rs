//! What can be written to a file from the view on the screen.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;

use super::attention::SelectedMaps;
use super::cursor::{Cursor, View};
use super::detail::Part;
use super::run::{Run, RunState};
use crate::export::{ExportOptions, HeatMap, OnExisting, RunMetadata};
use crate::generation::cosine;
use crate::model::AttentionDetail;
use crate::model::tokenizer::TokenKind;
use crate::text;
use crate::trace::{AttentionMaps, Guidance, TensorData};
use crate::tui::worker::{AttentionKey, Command, Content, Job, NewFile, Task};

/// The format of what is no file.
const FOLDER: &str = "folder";

/// What is written to files, and where.
#[derive(Debug, Clone, Default)]
pub struct ExportMenu {
    /// The folder that files are written to; the current one where it is empty.
    pub folder: PathBuf,
    /// The folder that was chosen last, which is offered next.
    pub(super) chosen: Option<PathBuf>,
    /// What is offered while the menu is open.
    pub items: Vec<ExportItem>,
    /// What is still to be written of the first run that is finished.
    pub plan: ExportOptions,
}

#[derive(Debug, Clone)]
pub struct ExportItem {
    /// What it is, in a few words.
    pub what: String,
    /// Its format: `JSON`, `PNG`, `GIF`, or `folder`.
    pub format: &'static str,
    /// The name of the file or folder; where there is one already, the new one gets a number.
    pub name: String,
    task: Task,
}

impl ExportItem {
    /// The ending of its file's name; none for a folder.
    pub(super) fn ending(&self) -> Option<&str> {
        let (_, ending) = self.name.rsplit_once('.')?;
        (self.format != FOLDER).then_some(ending)
    }

    /// What writes it at `path`.
    pub(super) fn at(&self, path: PathBuf) -> Task {
        let mut task = self.task.clone();
        match &mut task {
            Task::Job(Job::WriteFile(file)) => file.name = path,
            Task::Command(Command::Export { plan, .. }) => plan.json = Some(path),
            _ => {}
        }
        task
    }
}

impl ExportMenu {
    /// Offers what can be written from the view, what is looked at first and the whole run last. A run that its model
    /// can go on with `is_live`.
    pub(super) fn open(&mut self, run: &Run, cursor: &Cursor, is_live: bool) {
        let mut items = ItemList::new(run, self.folder.clone());
        items.of_view(cursor);
        items.picture(cursor);
        items.step(cursor);
        // Attention that is not kept is computed once more.
        if run.state == RunState::Done && is_live {
            items.whole_run();
        }
        self.items = items.list;
    }

    /// Where the item at `row` is written unless another place is named.
    pub(super) fn default_path(&self, row: usize) -> Option<PathBuf> {
        let folder = self.chosen.as_ref().unwrap_or(&self.folder);
        self.items.get(row).map(|item| folder.join(&item.name))
    }

    /// What writes the picture that the screen is about.
    pub(super) fn save_picture(&self, run: &Run, cursor: &Cursor) -> Option<Task> {
        let mut items = ItemList::new(run, self.folder.clone());
        items.picture(cursor);
        items.list.pop().map(|item| item.task)
    }

    /// What writes the first run that is finished, where the program was started to do so.
    pub(super) fn write_first(&mut self, run: &Run) -> Option<Task> {
        let plan = std::mem::take(&mut self.plan);
        (!plan.is_empty()).then(|| export(run, plan))
    }
}

/// The picture that the screen is about: the decoded one of the step looked at, with that step, or the finished one.
pub(super) fn picture(run: &Run, cursor: &Cursor) -> Option<(Arc<RgbImage>, Option<usize>)> {
    let step = cursor.step;
    match run.decoded.get(&step).filter(|_| cursor.decode) {
        Some(image) if step + 1 < run.total_steps() => Some((Arc::clone(image), Some(step))),
        _ => {
            let finished = run.trace.image.as_ref()?;
            Some((Arc::new(finished.image.clone()), None))
        }
    }
}

fn export(run: &Run, plan: ExportOptions) -> Task {
    Task::Command(Command::Export {
        run: run.id,
        plan: Box::new(plan),
        trace: Box::new(run.trace.clone()),
    })
}

/// The items so far, and what all of them share.
struct ItemList<'a> {
    run: &'a Run,
    metadata: RunMetadata,
    folder: PathBuf,
    /// What every name begins with.
    stem: String,
    list: Vec<ExportItem>,
}

impl<'a> ItemList<'a> {
    fn new(run: &'a Run, folder: PathBuf) -> Self {
        let (request, branches) = (run.trace.request.clone(), &run.trace.branches);
        Self {
            run,
            metadata: RunMetadata::new(&run.info, request, branches),
            folder,
            stem: format!("diffuscope-{}", run.trace.request.seed),
            list: Vec::new(),
        }
    }

    /// `what` is written as `content`; its file is named after the step it belongs to, and `name`.
    fn add(&mut self, what: impl Into<String>, step: Option<usize>, name: &str, content: Content) {
        let (format, extension) = match content {
            Content::Picture(_) | Content::Map(_) => ("PNG", "png"),
            Content::Animation(_) => ("GIF", "gif"),
            Content::Tensor(_) | Content::Attention(_) | Content::Step(..) => ("JSON", "json"),
        };
        // A finished picture says what it was made from.
        let keeps = matches!((&content, step), (Content::Picture(_), None)).then_some(self.run.id);
        let gap = if name.is_empty() { "" } else { "-" };
        let step = step.map_or_else(String::new, |step| format!("-step-{}", step + 1));
        let name = format!("{}{step}{gap}{name}.{extension}", self.stem);
        let file = NewFile {
            name: self.folder.join(&name),
            metadata: self.metadata.clone(),
            content,
            keeps,
        };
        self.list.push(ExportItem {
            what: what.into(),
            format,
            name,
            task: Task::Job(Job::WriteFile(Box::new(file))),
        });
    }

    fn tensor(&mut self, what: impl Into<String>, step: Option<usize>, tensor: TensorData) {
        let name = file_name(&tensor.name);
        self.add(what, step, &name, Content::Tensor(tensor));
    }

    fn whole_run(&mut self) {
        let plan = ExportOptions {
            json: Some(self.folder.join(&self.stem)),
            existing: OnExisting::AddNumber,
            attention: AttentionDetail::Mean,
            ..ExportOptions::default()
        };
        self.list.push(ExportItem {
            what: "the whole run as JSON".into(),
            format: FOLDER,
            name: self.stem.clone(),
            task: export(self.run, plan),
        });
    }

    fn picture(&mut self, cursor: &Cursor) {
        if let Some((image, step)) = picture(self.run, cursor) {
            let what = match step {
                None => "the picture".to_owned(),
                Some(step) => format!("predicted x0 of step {}, decoded", step + 1),
            };
            self.add(what, step, "", Content::Picture(image));
        }
    }

    fn step(&mut self, cursor: &Cursor) {
        if let Some(step) = self.run.trace.steps.get(cursor.step) {
            let kept = self.run.attention(AttentionKey {
                half: Guidance::Cond,
                ..cursor.attention_key(AttentionDetail::Mean)
            });
            let what = format!("step {} with its tensors", step.index + 1);
            let content = Content::Step(Arc::clone(step), kept.to_vec());
            self.add(what, Some(step.index), "", content);
        }
    }

    fn of_view(&mut self, cursor: &Cursor) {
        match cursor.view {
            View::Prompt | View::Tokens => {}
            View::Embedding => self.embedding(cursor.detail.part),
            View::TextEncoder => {
                let states = self.run.text_states();
                let last = states.len().saturating_sub(1);
                if let Some((name, state)) = states.into_iter().nth(cursor.text_layer.min(last)) {
                    self.tensor(format!("the prompt at {name}"), None, state);
                }
            }
            View::Noise => {
                if let Some(noise) = &self.run.trace.noise {
                    let noise = noise.initial_noise.clone();
                    self.tensor("the noise, standard normal", None, noise);
                }
            }
            View::Schedule => {
                if let Some(schedule) = self.run.schedule() {
                    for (name, values) in [
                        ("sigmas", &schedule.sigmas),
                        ("timesteps", &schedule.timesteps),
                    ] {
                        let shape = vec![values.len()];
                        let tensor = TensorData::from_values(name, shape, values.clone());
                        self.tensor(format!("the {name}"), None, tensor);
                    }
                }
            }
            View::Denoising => self.denoising(cursor),
            View::Attention => self.attention(cursor),
            View::Image => {
                let last = self.run.trace.steps.last();
                if let Some(latents) = last.and_then(|step| step.tensor("latents_next")) {
                    self.tensor("the last latents", None, latents.clone());
                }
            }
        }
    }

    fn embedding(&mut self, part: Part) {
        let find = |name| self.run.text_tensor(name).cloned();
        let (what, tensor) = match part {
            Part::Token => ("the token embedding", find("token_embedding")),
            Part::Position => ("the position embedding", find("position_embedding")),
            Part::Sum => {
                let input = self.run.text_states().into_iter().next();
                ("token and position, added", input.map(|(_, sum)| sum))
            }
        };
        let Some(tensor) = tensor else {
            return;
        };
        let tokens = self.run.tokens().iter();
        let count = tokens
            .filter(|token| token.kind != TokenKind::Padding)
            .count();
        let rows: Vec<&[f32]> = (0..count).map(|row| tensor.row(row)).collect();
        let cosines = (rows.iter())
            .flat_map(|a| rows.iter().map(|b| cosine(a, b) as f32))
            .collect();
        let map = HeatMap {
            name: format!("cosines of {what} between the prompt's tokens"),
            values: cosines,
            width: count,
            height: count,
        };
        self.tensor(what, None, tensor);
        self.add("the cosines as a map", None, "cosines", Content::Map(map));
    }

    fn denoising(&mut self, cursor: &Cursor) {
        let Some(step) = self.run.step(cursor.step) else {
            return;
        };
        let at = Some(step.index);
        let shown = ["latents", "x0"].map(|name| step.tensor(name).cloned());
        for tensor in shown.into_iter().chain([cursor.tensor.of(step)]).flatten() {
            self.tensor(text::clean(&tensor.name), at, tensor);
        }
        if let Some(pictures) = self.run.pictures.get(step.index) {
            let x_t = Content::Picture(enlarged(&pictures.latents));
            self.add("the quick preview of x_t", at, "latents-preview", x_t);
            let x0 = Content::Picture(enlarged(&pictures.x0));
            self.add("the quick preview of x0", at, "x0-preview", x0);
        }
    }

    fn attention(&mut self, cursor: &Cursor) {
        let run = self.run;
        let (maps, with_heads) = cursor.attention_maps(run);
        if maps.is_empty() {
            return;
        }
        let word = run.tokens().get(cursor.token);
        let word = word.map_or_else(String::new, |token| text::clean(&token.piece));
        let word = word.trim_end_matches("</w>");
        let selected = SelectedMaps::new(&cursor.attention, maps, with_heads);
        let map = |selected: &SelectedMaps, name: String| HeatMap {
            name,
            values: selected.map(cursor.token, selected.size),
            width: selected.size.0,
            height: selected.size.1,
        };
        let at = Some(cursor.step);
        let [described, ..] = selected.describe(cursor);
        let this = Content::Map(map(&selected, format!("“{word}” · {described}")));
        let name = format!("attention-{}", file_name(word));
        self.add(format!("this map of “{word}”"), at, &name, this);
        let steps = run.trace.steps.len();
        let frames: Vec<HeatMap> = (0..steps)
            .filter_map(|step| {
                let key = AttentionKey {
                    step,
                    ..cursor.attention_key(AttentionDetail::Mean)
                };
                let maps = run.attention(key);
                let selected = SelectedMaps::new(&cursor.attention, maps, false);
                let name = format!("“{word}” · step {}", step + 1);
                (!maps.is_empty()).then(|| map(&selected, name))
            })
            .collect();
        if frames.len() > 1 {
            let what = format!("“{word}” over {} of {steps} steps", frames.len());
            self.add(what, None, &name, Content::Animation(frames));
        }
        if let [layer] = selected.layers[..] {
            let layer: &AttentionMaps = layer;
            let name = format!("attention-{}", file_name(&layer.path));
            let content = Content::Attention(layer.clone());
            self.add("this layer's maps of every word", at, &name, content);
        }
    }
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

//! What each view has that can be written to a file.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;

use super::attention::SelectedMaps;
use super::cursor::{Cursor, View};
use super::detail::Part;
use super::in_words;
use super::run::Run;
use crate::export::{ExportOptions, HeatMap, OnExisting, RunMetadata};
use crate::generation::cosine;
use crate::lesson::Language;
use crate::model::AttentionDetail;
use crate::model::tokenizer::TokenKind;
use crate::text;
use crate::trace::{AttentionMaps, Guidance, TensorData};
use crate::tui::worker::{AttentionKey, Command, Content, Job, NewFile, Task};

/// The format of what is no file.
const FOLDER: &str = "folder";

#[derive(Debug, Clone)]
pub struct ExportItem {
    /// What it is, in a few words.
    pub what: String,
    /// Its format: `JSON`, `PNG`, `GIF`, or `folder`.
    format: &'static str,
    /// The name of the file or folder; where there is one already, the new one gets a number.
    pub name: String,
    pub(super) task: Task,
}

impl ExportItem {
    /// Its format, as the menu has it.
    pub fn format(&self, language: Language) -> &'static str {
        match self.format {
            FOLDER => language.choose([FOLDER, "文件夹"]),
            format => format,
        }
    }

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

pub(super) fn export(run: &Run, plan: ExportOptions) -> Task {
    Task::Command(Command::Export {
        run: run.id,
        plan: Box::new(plan),
        trace: Box::new(run.trace.clone()),
    })
}

/// The items so far, and what all of them share.
pub(super) struct ItemList<'a> {
    pub run: &'a Run,
    metadata: RunMetadata,
    folder: PathBuf,
    /// What every name begins with.
    stem: String,
    language: Language,
    pub list: Vec<ExportItem>,
}

impl<'a> ItemList<'a> {
    pub fn new(run: &'a Run, folder: PathBuf, language: Language) -> Self {
        let (request, branches) = (run.trace.request.clone(), &run.trace.branches);
        Self {
            run,
            metadata: RunMetadata::new(&run.info, request, branches),
            folder,
            stem: format!("diffuscope-{}", run.trace.request.seed),
            language,
            list: Vec::new(),
        }
    }

    /// `what` is written as `content`; its file is named after the step it belongs to, and `name`.
    pub fn add<T: Into<String>>(
        &mut self,
        what: [T; 2],
        step: Option<usize>,
        name: &str,
        content: Content,
    ) {
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
            what: self.language.choose(what).into(),
            format,
            name,
            task: Task::Job(Job::WriteFile(Box::new(file))),
        });
    }

    pub fn tensor<T: Into<String>>(
        &mut self,
        what: [T; 2],
        step: Option<usize>,
        tensor: TensorData,
    ) {
        let name = file_name(&tensor.name);
        self.add(what, step, &name, Content::Tensor(tensor));
    }

    pub fn whole_run(&mut self) {
        let plan = ExportOptions {
            json: Some(self.folder.join(&self.stem)),
            existing: OnExisting::AddNumber,
            attention: AttentionDetail::Mean,
            ..ExportOptions::default()
        };
        self.list.push(ExportItem {
            what: (self.language)
                .choose(["the whole run as JSON", "整个运行，JSON"])
                .into(),
            format: FOLDER,
            name: self.stem.clone(),
            task: export(self.run, plan),
        });
    }

    pub fn picture(&mut self, cursor: &Cursor) {
        if let Some((image, step)) = picture(self.run, cursor) {
            let what = match step {
                None => ["the picture", "图片"].map(str::to_owned),
                Some(step) => {
                    let step = step + 1;
                    [
                        format!("predicted x0 of step {step}, decoded"),
                        format!("第 {step} 步预测的 x0，已解码"),
                    ]
                }
            };
            self.add(what, step, "", Content::Picture(image));
        }
    }

    pub fn step(&mut self, cursor: &Cursor) {
        if let Some(step) = self.run.trace.steps.get(cursor.step) {
            let kept = self.run.attention(AttentionKey {
                half: Guidance::Cond,
                ..cursor.attention_key(AttentionDetail::Mean)
            });
            let number = step.index + 1;
            let what = [
                format!("step {number} with its tensors"),
                format!("第 {number} 步及其张量"),
            ];
            let content = Content::Step(Arc::clone(step), kept.to_vec());
            self.add(what, Some(step.index), "", content);
        }
    }

    pub fn of_view(&mut self, cursor: &Cursor) {
        match cursor.view {
            View::Prompt | View::Tokens => {}
            View::Embedding => self.embedding(cursor.detail.part),
            View::TextEncoder => {
                let states = self.run.text_states();
                let last = states.len().saturating_sub(1);
                if let Some((name, state)) = states.into_iter().nth(cursor.text_layer.min(last)) {
                    let chinese = in_words::text_state(&name, Language::Zh);
                    let what = [
                        format!("the prompt at {name}"),
                        format!("提示词在“{chinese}”处的向量"),
                    ];
                    self.tensor(what, None, state);
                }
            }
            View::Noise => {
                if let Some(noise) = &self.run.trace.noise {
                    let noise = noise.initial_noise.clone();
                    self.tensor(
                        ["the noise, standard normal", "噪声，标准正态"],
                        None,
                        noise,
                    );
                }
            }
            View::Schedule => {
                if let Some(schedule) = self.run.schedule() {
                    for (name, what, values) in [
                        ("sigmas", ["the sigmas", "各步的 sigma"], &schedule.sigmas),
                        (
                            "timesteps",
                            ["the timesteps", "各步的时间步"],
                            &schedule.timesteps,
                        ),
                    ] {
                        let shape = vec![values.len()];
                        let tensor = TensorData::from_values(name, shape, values.clone());
                        self.tensor(what, None, tensor);
                    }
                }
            }
            View::Denoising => self.denoising(cursor),
            View::Attention if !cursor.attention.grid.has_maps() => self.closer(cursor),
            View::Attention => self.attention(cursor),
            View::Image => {
                let last = self.run.trace.steps.last();
                if let Some(latents) = last.and_then(|step| step.tensor("latents_next")) {
                    self.tensor(["the last latents", "最后的潜变量"], None, latents.clone());
                }
            }
        }
    }

    fn embedding(&mut self, part: Part) {
        let find = |name| self.run.text_tensor(name).cloned();
        let (what, tensor) = match part {
            Part::Token => (
                ["the token embedding", "词元的嵌入"],
                find("token_embedding"),
            ),
            Part::Position => (
                ["the position embedding", "位置的嵌入"],
                find("position_embedding"),
            ),
            Part::Sum => {
                let input = self.run.text_states().into_iter().next();
                (
                    ["token and position, added", "词元加位置"],
                    input.map(|(_, sum)| sum),
                )
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
            name: format!("cosines of {} between the prompt's tokens", what[0]),
            values: cosines,
            width: count,
            height: count,
        };
        self.tensor(what, None, tensor);
        let what = ["the cosines as a map", "余弦图"];
        self.add(what, None, "cosines", Content::Map(map));
    }

    fn denoising(&mut self, cursor: &Cursor) {
        let Some(step) = self.run.step(cursor.step) else {
            return;
        };
        let at = Some(step.index);
        let shown = ["latents", "x0"].map(|name| step.tensor(name).cloned());
        for tensor in shown.into_iter().chain([cursor.tensor.of(step)]).flatten() {
            // As everywhere in files and papers.
            let name = text::clean(&tensor.name);
            self.tensor([name.clone(), name], at, tensor);
        }
        if let Some(pictures) = self.run.pictures.get(step.index) {
            let x_t = Content::Picture(enlarged(&pictures.latents));
            self.add(
                ["the quick preview of x_t", "x_t 的快速预览"],
                at,
                "latents-preview",
                x_t,
            );
            let x0 = Content::Picture(enlarged(&pictures.x0));
            self.add(
                ["the quick preview of x0", "x0 的快速预览"],
                at,
                "x0-preview",
                x0,
            );
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
        // What stands in the file is English, as its other names are.
        let [described, ..] = selected.describe(cursor, Language::En);
        let this = Content::Map(map(&selected, format!("“{word}” · {described}")));
        let name = format!("attention-{}", file_name(word));
        let what = [format!("this map of “{word}”"), format!("“{word}”的这幅图")];
        self.add(what, at, &name, this);
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
            let count = frames.len();
            let what = [
                format!("“{word}” over {count} of {steps} steps"),
                format!("“{word}”，{count} / {steps} 步"),
            ];
            self.add(what, None, &name, Content::Animation(frames));
        }
        if let [layer] = selected.layers[..] {
            let layer: &AttentionMaps = layer;
            let name = format!("attention-{}", file_name(&layer.path));
            let content = Content::Attention(layer.clone());
            self.add(
                ["this layer's maps of every word", "这一层每个词的图"],
                at,
                &name,
                content,
            );
        }
    }
}

/// A small picture with every pixel a square, so that the shorter side has 256 pixels or a little more.
pub(super) fn enlarged(picture: &image::RgbImage) -> Arc<image::RgbImage> {
    let (width, height) = picture.dimensions();
    let square = 256_u32.div_ceil(width.min(height).max(1));
    let filter = image::imageops::FilterType::Nearest;
    let large = image::imageops::resize(picture, width * square, height * square, filter);
    Arc::new(large)
}

/// `name` with everything that is awkward in a file's name replaced by a hyphen; at most 60 characters.
pub(super) fn file_name(name: &str) -> String {
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

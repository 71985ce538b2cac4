//! The export of a run: its events, written as JSON while they happen.
//!
//! Each event is written when it comes and then forgotten, each tensor number by number through a buffer; only what
//! `run.json` says of it is kept until [`Export::finish`]. So memory does not grow with the tensors that are exported.
//! Everything lies in a temporary folder until then.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::PathBuf;

use super::document::{
    Architecture, DataType, FORMAT_VERSION, Format, Image, Model, Program, RunDocument, Schedule,
    Step, TensorEntry, TensorView, TextStage, Tokens,
};
use super::json::write_lines;
use super::png::write_png;
use super::watch::{Stopped, WatchValues};
use super::{DestinationError, OutputFolder, TensorSelection};
use crate::checkpoint::BrokenWeight;
use crate::generation::{BranchPoint, ModelInfo, Request};
use crate::scheduler::SchedulerConfig;
use crate::trace::{AttentionMaps, Event, ImageTrace, StepTrace};

/// What an export says of a run besides what happened in it.
#[derive(Debug, Clone)]
pub struct RunMetadata {
    /// The model that runs.
    pub model: Model,
    /// The device that it runs on: `cpu`, `cuda`.
    pub device: String,
    /// The type of the numbers that it computes with, by numpy's name: `float32`.
    pub dtype: String,
    /// The model's sizes: what it takes to replay the export.
    pub architecture: Option<Architecture>,
    /// What was asked for, from the last branch on.
    pub request: Request,
    /// Where the request was changed on the way.
    pub branches: Vec<BranchPoint>,
    /// The noise schedule that the model was trained with.
    pub scheduler_config: Option<SchedulerConfig>,
    /// The weight that brought about values that are not finite, where that is known already.
    pub broken_weight: Option<BrokenWeight>,
    /// Where a breakpoint stopped the run, so that the picture is what was predicted there.
    pub stopped: Option<Stopped>,
    /// What watch expressions gave, where that is known already.
    pub watches: Vec<WatchValues>,
}

impl RunMetadata {
    /// That of a run of `request` on the model that `info` describes, with `branches` before it.
    pub fn new(info: &ModelInfo, request: Request, branches: &[BranchPoint]) -> Self {
        Self {
            model: Model::of(info),
            device: info.device.clone(),
            dtype: DataType::name_of(&info.dtype),
            architecture: Some(Architecture::of(info)),
            request,
            branches: branches.to_vec(),
            scheduler_config: info.scheduler_config.clone(),
            broken_weight: None,
            stopped: None,
            watches: Vec::new(),
        }
    }

    /// That of a run on no real model, for tests.
    #[cfg(test)]
    pub fn hand_made(request: Request) -> Self {
        Self {
            model: Model {
                name: "hand-made".to_owned(),
                sha256: "0123456789abcdef".repeat(4),
            },
            device: "cpu".to_owned(),
            dtype: "float32".to_owned(),
            architecture: None,
            request,
            branches: Vec::new(),
            scheduler_config: None,
            broken_weight: None,
            stopped: None,
            watches: Vec::new(),
        }
    }

    /// The document of a run that has not begun.
    fn into_document(self) -> RunDocument {
        RunDocument {
            format: Format::Trace,
            version: FORMAT_VERSION,
            program: Program::this(),
            model: self.model,
            device: self.device,
            dtype: self.dtype,
            architecture: self.architecture,
            request: self.request,
            branches: self.branches,
            tokens: Tokens::default(),
            text: None,
            scheduler_config: self.scheduler_config,
            schedule: Schedule::default(),
            not_finite: None,
            steps: Vec::new(),
            tensors: BTreeMap::new(),
            image: Image::default(),
            watches: self.watches,
            stopped: None,
        }
    }
}

/// An export that failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It could not be written.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The events were not those of one run from its beginning to its end.
    #[error("the run cannot be exported: {0}")]
    Order(String),
}

/// An export in progress. Dropped before [`Export::finish`], it takes back everything that it wrote.
#[derive(Debug)]
pub struct Export {
    folder: OutputFolder,
    selection: TensorSelection,
    expects: Expects,
    /// What goes with the picture.
    metadata: RunMetadata,
    /// As far as the run has come.
    document: RunDocument,
}

/// The event that has to come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    Tokens,
    Text,
    Noise,
    /// This step, of so many.
    Step(usize, usize),
    Image,
    Nothing,
}

impl Export {
    /// An export to `folder` of the run that `metadata` is about, with the tensors in `selection`.
    pub fn new(folder: OutputFolder, metadata: RunMetadata, selection: TensorSelection) -> Self {
        Self {
            folder,
            selection,
            expects: Expects::Tokens,
            document: metadata.clone().into_document(),
            metadata,
        }
    }

    /// Writes what happened. Events come in the order of a run.
    ///
    /// # Errors
    /// An event out of order; a file that cannot be written.
    pub fn write(&mut self, event: &Event) -> Result<(), ExportError> {
        self.expects = match (event, self.expects) {
            (Event::Tokens(tokens), Expects::Tokens) => {
                self.document.tokens = Tokens::from(&**tokens);
                Expects::Text
            }
            (Event::Text(text), Expects::Text) => {
                self.document.text = Some(TextStage::from(&**text));
                let negative = &text.negative_prompt_embedding;
                let tensors = text.prompt.iter().chain([negative]).chain(&text.attention);
                self.run_tensors(tensors.map(TensorView::from))?;
                Expects::Noise
            }
            (Event::Noise(noise), Expects::Noise) => {
                self.document.schedule = Schedule::from(&noise.schedule);
                self.run_tensors([TensorView::from(&noise.initial_noise)])?;
                after_step(0, noise.schedule.timesteps.len())
            }
            (Event::Step(step), Expects::Step(index, steps)) if step.index == index => {
                self.step(step)?;
                after_step(index + 1, steps)
            }
            (Event::Image(image), Expects::Image) => {
                self.image(image)?;
                Expects::Nothing
            }
            _ => return Err(out_of_order(event, self.expects)),
        };
        if self.document.not_finite.is_none() {
            self.document.not_finite = event.not_finite();
            self.blame(self.metadata.broken_weight.clone());
        }
        Ok(())
    }

    /// Says which weight brought about the values that are not finite, where there are some.
    pub fn blame(&mut self, weight: Option<BrokenWeight>) {
        if let Some(found) = &mut self.document.not_finite {
            found.weight = weight;
        }
    }

    /// Says what watch expressions gave.
    pub fn watch(&mut self, watches: Vec<WatchValues>) {
        self.document.watches = watches;
    }

    /// Says that a breakpoint stopped the run after a step: the picture is what comes next.
    ///
    /// # Errors
    /// A run that is not between two steps, or after its last.
    pub fn stop(&mut self, stopped: Stopped) -> Result<(), ExportError> {
        let steps = self.document.steps.len();
        let is_there = matches!(self.expects, Expects::Step(..) | Expects::Image);
        if !is_there || steps != stopped.step + 1 {
            let reason = format!("it was stopped after {steps} steps, not at {stopped}");
            return Err(ExportError::Order(reason));
        }
        self.expects = Expects::Image;
        self.metadata.stopped = Some(stopped.clone());
        self.document.stopped = Some(stopped);
        Ok(())
    }

    /// Completes the export and puts it into its place; returns the folder's path.
    ///
    /// # Errors
    /// A run that is not complete; a folder that cannot be written.
    pub fn finish(self) -> Result<PathBuf, ExportError> {
        if self.expects != Expects::Nothing {
            return Err(not_at_its_end());
        }
        let write = || {
            let file = File::create(self.folder.stage().join(DOCUMENT))?;
            write_lines(file, &self.document, &["steps"])
        };
        write().map_err(|source| self.failed(source))?;
        Ok(self.folder.publish()?)
    }

    fn run_tensors<'a>(
        &mut self,
        tensors: impl IntoIterator<Item = TensorView<'a>>,
    ) -> Result<(), ExportError> {
        let entries = self.tensors("tensors", tensors)?;
        self.document.tensors.extend(entries);
        Ok(())
    }

    fn step(&mut self, step: &StepTrace) -> Result<(), ExportError> {
        let folder = format!("steps/{:04}", step.index);
        let entries = self.tensors(&folder, step_tensors(step, &step.attention))?;
        self.document.steps.push(Step::new(step, entries));
        Ok(())
    }

    fn image(&mut self, image: &ImageTrace) -> Result<(), ExportError> {
        let write = || {
            let mut out = BufWriter::new(File::create(self.folder.stage().join(IMAGE))?);
            write_png(&mut out, &image.image, &self.metadata)?;
            out.into_inner()?;
            Ok(())
        };
        write().map_err(|source| self.failed(source))?;
        self.document.image = Image::new(image, IMAGE.into());
        Ok(())
    }

    /// Writes those of `tensors` that are wanted into files in `folder`; returns their entries by name.
    fn tensors<'a>(
        &self,
        folder: &str,
        tensors: impl IntoIterator<Item = TensorView<'a>>,
    ) -> Result<BTreeMap<String, TensorEntry>, ExportError> {
        let write = |file: &str, tensor: TensorView| {
            let path = self.folder.stage().join(file);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            write_lines(File::create(path)?, &tensor.into_document(), &[])
        };
        let mut entries = BTreeMap::new();
        for tensor in tensors {
            if self.selection.contains(&tensor.name) {
                let file = tensor_file(folder, &tensor.name);
                entries.insert(tensor.name.clone(), tensor.entry(file.clone()));
                write(&file, tensor).map_err(|source| self.failed(source))?;
            }
        }
        Ok(entries)
    }

    fn failed(&self, source: io::Error) -> ExportError {
        let path = self.folder.path().to_owned();
        DestinationError::Write { path, source }.into()
    }
}

/// The tensors of a step, `attention` last.
pub(super) fn step_tensors<'a>(
    step: &'a StepTrace,
    attention: &'a [AttentionMaps],
) -> impl Iterator<Item = TensorView<'a>> {
    let tensors = step.tensors.iter().map(TensorView::from);
    tensors.chain(attention.iter().map(TensorView::from))
}

const DOCUMENT: &str = "run.json";
const IMAGE: &str = "image.png";

fn after_step(next: usize, steps: usize) -> Expects {
    if next < steps {
        Expects::Step(next, steps)
    } else {
        Expects::Image
    }
}

/// The error of a run that was stopped, or goes on.
pub(super) fn not_at_its_end() -> ExportError {
    ExportError::Order("it has not come to its end".to_owned())
}

fn out_of_order(event: &Event, expects: Expects) -> ExportError {
    let found = match event {
        Event::Tokens(_) => "tokens".into(),
        Event::Text(_) => "the text encoder".into(),
        Event::Noise(_) => "noise".into(),
        Event::Step(step) => format!("step {}", step.index),
        Event::Image(_) => "the image".into(),
    };
    let expected = match expects {
        Expects::Tokens => "tokens".into(),
        Expects::Text => "the text encoder".into(),
        Expects::Noise => "noise".into(),
        Expects::Step(index, steps) => format!("step {index} of {steps}"),
        Expects::Image => "the image".into(),
        Expects::Nothing => "nothing more".into(),
    };
    ExportError::Order(format!("found {found} where {expected} was expected"))
}

/// The file of the tensor `name` within `folder`, with `/` between its parts.
pub(crate) fn tensor_file(folder: &str, name: &str) -> String {
    format!("{folder}/{}.json", file_name(name))
}

/// A name as a path that every file system takes: of letters, digits, `.`, `_`, `-`, in parts between `/`.
fn file_name(name: &str) -> String {
    let safe = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '/' => c,
        _ => '_',
    };
    let parts = name.split('/').map(|part| {
        let part: String = part.chars().map(safe).collect();
        // No part may be empty, or lead upwards.
        if part.chars().all(|c| c == '.') {
            part.replace('.', "_") + "_"
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

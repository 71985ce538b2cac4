//! The export: a run's events, written as JSON while they happen.
//!
//! Each event is written when it comes and then forgotten, each tensor number by number through a buffer: memory does
//! not grow with the export. `run.json` is written in the same way, a member at a time, and everything lies in a
//! temporary folder until [`Export::finish`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use super::document::{
    Architecture, DataType, FORMAT_VERSION, Format, Image, Model, Program, Schedule, Step,
    TensorEntry, TensorView, TextStage, Tokens,
};
use super::json::ObjectWriter;
use super::png::write_png;
use super::{DestinationError, OutputFolder, TensorSelection};
use crate::generation::{BranchPoint, Pipeline, Request};
use crate::trace::{Event, ImageTrace, StepTrace, TextTrace, TokensTrace};

/// What an export says about a run besides what happened in it.
#[derive(Debug, Clone)]
pub struct RunMetadata {
    /// The model that runs.
    pub model: Model,
    /// The device that it runs on.
    pub device: String,
    /// The type of the numbers that it computes with.
    pub dtype: String,
    /// The model's sizes: what it takes to replay the export.
    pub architecture: Option<Architecture>,
    /// What was asked for, from the last branch on.
    pub request: Request,
    /// Where the request was changed on the way.
    pub branches: Vec<BranchPoint>,
}

impl RunMetadata {
    /// That of a run of `request` on `pipeline`, with `branches` before it.
    pub fn new(pipeline: &Pipeline, request: Request, branches: &[BranchPoint]) -> Self {
        let info = pipeline.info();
        Self {
            model: Model {
                name: info.name.clone(),
                sha256: info.sha256.clone(),
            },
            device: info.device.clone(),
            dtype: DataType::name_of(&info.dtype),
            architecture: Some(Architecture::of(info, pipeline.latent_rgb())),
            request,
            branches: branches.to_vec(),
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
    // Before the folder, so that the file is closed when the folder is removed.
    document: ObjectWriter<BufWriter<File>>,
    folder: OutputFolder,
    metadata: RunMetadata,
    selection: TensorSelection,
    expects: Expects,
    tensors: BTreeMap<String, TensorEntry>,
    image: Option<Image>,
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
    /// An export of a run with this metadata to `folder`, of the tensors in `selection`.
    pub fn new(
        folder: OutputFolder,
        metadata: RunMetadata,
        selection: TensorSelection,
    ) -> Result<Self, ExportError> {
        let path = folder.path().to_owned();
        let begin = || {
            let file = File::create(folder.stage().join(DOCUMENT))?;
            let mut document = ObjectWriter::new(BufWriter::new(file))?;
            document.member("format", &Format::Trace)?;
            document.member("version", &FORMAT_VERSION)?;
            document.member("program", &Program::this())?;
            document.member("model", &metadata.model)?;
            document.member("device", &metadata.device)?;
            document.member("dtype", &metadata.dtype)?;
            if let Some(architecture) = &metadata.architecture {
                document.member("architecture", architecture)?;
            }
            document.member("request", &metadata.request)?;
            if !metadata.branches.is_empty() {
                document.member("branches", &metadata.branches)?;
            }
            Ok(document)
        };
        let document = begin().map_err(|source| DestinationError::Write { path, source })?;
        Ok(Self {
            document,
            folder,
            metadata,
            selection,
            expects: Expects::Tokens,
            tensors: BTreeMap::new(),
            image: None,
        })
    }

    /// Writes what happened. Events come in the order of a run.
    pub fn write(&mut self, event: &Event) -> Result<(), ExportError> {
        let (written, next) = match (event, self.expects) {
            (Event::Tokens(tokens), Expects::Tokens) => (self.tokens(tokens), Expects::Text),
            (Event::Text(text), Expects::Text) => (self.text(text), Expects::Noise),
            (Event::Noise(noise), Expects::Noise) => {
                let steps = noise.schedule.timesteps.len();
                let written = self
                    .document
                    .member("schedule", &Schedule::from(&noise.schedule))
                    .and_then(|()| self.run_tensors([&noise.initial_noise]))
                    .and_then(|()| self.document.begin_list("steps"));
                (written, after_step(0, steps))
            }
            (Event::Step(step), Expects::Step(index, steps)) if step.index == index => {
                (self.step(step), after_step(index + 1, steps))
            }
            (Event::Image(image), Expects::Image) => (self.image(image), Expects::Nothing),
            _ => return Err(out_of_order(event, self.expects)),
        };
        written.map_err(|source| self.failed(source))?;
        self.expects = next;
        Ok(())
    }

    /// Completes the export and puts it into its place; returns the folder's path.
    pub fn finish(mut self) -> Result<PathBuf, ExportError> {
        let (Expects::Nothing, Some(image)) = (self.expects, self.image.take()) else {
            return Err(not_at_its_end());
        };
        let end = |mut document: ObjectWriter<BufWriter<File>>| {
            document.end_list()?;
            document.member("tensors", &self.tensors)?;
            document.member("image", &image)?;
            // The file has to be closed before its folder is renamed.
            drop(document.end()?.into_inner()?);
            Ok(())
        };
        match end(self.document) {
            Ok(()) => Ok(self.folder.publish()?),
            Err(source) => Err(DestinationError::Write {
                path: self.folder.path().to_owned(),
                source,
            }
            .into()),
        }
    }

    fn tokens(&mut self, tokens: &TokensTrace) -> io::Result<()> {
        self.document.member("tokens", &Tokens::from(tokens))
    }

    fn text(&mut self, text: &TextTrace) -> io::Result<()> {
        self.document.member("text", &TextStage::from(text))?;
        let snapshots = text
            .prompt
            .iter()
            .chain([&text.negative_prompt_embedding])
            .chain(&text.attention);
        self.run_tensors(snapshots)
    }

    fn run_tensors<'a, T>(&mut self, tensors: impl IntoIterator<Item = T>) -> io::Result<()>
    where
        T: Into<TensorView<'a>>,
    {
        for tensor in tensors {
            if let Some((name, entry)) = self.tensor("tensors", &tensor.into())? {
                self.tensors.insert(name, entry);
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &StepTrace) -> io::Result<()> {
        let folder = format!("steps/{:04}", step.index);
        let mut tensors = BTreeMap::new();
        let snapshots = step.tensors.iter().map(TensorView::from);
        let maps = step.attention.iter().map(TensorView::from);
        for tensor in snapshots.chain(maps) {
            tensors.extend(self.tensor(&folder, &tensor)?);
        }
        self.document.item(&Step::new(step, tensors))
    }

    fn image(&mut self, image: &ImageTrace) -> io::Result<()> {
        let file = File::create(self.folder.stage().join(IMAGE))?;
        let mut out = BufWriter::new(file);
        let RunMetadata { request, model, .. } = &self.metadata;
        write_png(&mut out, &image.image, request, model)?;
        out.into_inner()?;
        self.image = Some(Image {
            file: IMAGE.into(),
            width: image.image.width(),
            height: image.image.height(),
            seconds: image.seconds,
        });
        Ok(())
    }

    /// Writes a tensor's file into `folder`, if the tensor is wanted; returns its name and entry.
    fn tensor(
        &self,
        folder: &str,
        tensor: &TensorView,
    ) -> io::Result<Option<(String, TensorEntry)>> {
        if !self.selection.contains(&tensor.name) {
            return Ok(None);
        }
        let file = tensor_file(folder, &tensor.name);
        let path = self.folder.stage().join(&file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut out = BufWriter::new(File::create(path)?);
        write_tensor(&mut out, tensor)?;
        out.into_inner()?;
        let entry = TensorEntry {
            shape: tensor.shape.clone(),
            stats: tensor.stats,
            file,
        };
        Ok(Some((tensor.name.clone(), entry)))
    }

    fn failed(&self, source: io::Error) -> ExportError {
        let path = self.folder.path().to_owned();
        DestinationError::Write { path, source }.into()
    }
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

/// Writes a [`TensorDocument`](super::document::TensorDocument), number by number.
pub(super) fn write_tensor(out: &mut impl Write, tensor: &TensorView) -> io::Result<()> {
    let mut document = ObjectWriter::new(&mut *out)?;
    document.member("name", &tensor.name)?;
    document.member("shape", &tensor.shape)?;
    document.member("dtype", &DataType::Float32)?;
    document.begin_numbers("data")?;
    for (index, &value) in tensor.data.iter().enumerate() {
        document.number(index, value)?;
    }
    document.end_numbers()?;
    document.end()?;
    Ok(())
}

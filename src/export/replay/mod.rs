//! A recorded run, read back without a model: what `run --json` wrote.
//!
//! Opening reads `run.json` and checks all of it; a tensor's file is read only when the tensor is asked for. The files
//! may come from anywhere: nothing in them can make the program read outside the folder, or read more than the document
//! announces.

mod check;
mod donors;
mod files;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{self, Architecture, DataType, Number, RunDocument, TensorEntry, TokenEntry};
use super::selection::{ATTENTION, STEP_TENSORS};
use super::{RunMetadata, Stopped, TensorSelection};
use crate::checkpoint::BrokenWeight;
use crate::generation::{BranchPoint, ModelInfo, Modules, Request};
use crate::model::tokenizer::{Token, Tokens};
use crate::random::Generator;
use crate::scheduler::Schedule;
use crate::trace::{
    AttentionMaps, Event, ImageTrace, NoiseTrace, StepTrace, TensorData, TextTrace, TokensTrace,
    Trace,
};
pub use donors::open_donors;
use files::Folder;
pub use verify::Verified;

/// A recorded run. Its parts are read when they are asked for.
#[derive(Debug)]
pub struct Replay {
    folder: Folder,
    document: RunDocument,
    info: ModelInfo,
    schedule: Schedule,
}

/// A recorded run that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file could not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file has more bytes than what it should hold can have.
    #[error("`{}` has {found} bytes, and what it should hold has at most {largest}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The largest size that makes sense.
        largest: u64,
    },
    /// A file is not in its format.
    #[error("`{}` is damaged: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `run.json` has a version that this program does not know.
    #[error(
        "`{}` has version {found} of the format, and this program reads version {}; use the program that wrote it",
        path.display(),
        document::FORMAT_VERSION
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// `run.json` lacks a member that this program writes, and that a replay needs.
    #[error("`{}`: {member} is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The member, as a path: `schedule.space`.
        member: String,
    },
    /// A member of a document has a value that cannot be.
    #[error("`{}`: {member} is {found}; expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The member, as a path: `steps[3].tensors.latents.shape`.
        member: String,
        /// Its value.
        found: String,
        /// What it has to be.
        expected: String,
    },
}

impl Replay {
    /// Opens the folder that `run --json` wrote, reading and checking `run.json`.
    ///
    /// # Errors
    /// A folder, a document or a member of it that is not as `run --json` writes it.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let folder = Folder::open(path)?;
        let document = folder.document()?;
        let at = check::Document(folder.document_path());
        let checked = check::check(&document, &at)?;
        for entry in tensors(&document) {
            folder.check(&entry.file)?;
        }
        folder.check(&document.image.file)?;
        let info = model_info(&document, &checked.architecture);
        Ok(Self {
            folder,
            document,
            info,
            schedule: checked.schedule,
        })
    }

    /// The folder, as the user named it.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The description of the model that ran.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// What was asked for, from the last branch on.
    pub fn request(&self) -> &Request {
        &self.document.request
    }

    /// Where the request was changed on the way.
    pub fn branches(&self) -> &[BranchPoint] {
        &self.document.branches
    }

    /// Number of denoising steps.
    pub fn steps(&self) -> usize {
        self.document.steps.len()
    }

    /// What an export of it says besides what happened.
    pub fn metadata(&self) -> RunMetadata {
        RunMetadata {
            broken_weight: self.broken_weight().cloned(),
            stopped: self.stopped().cloned(),
            watches: self.document.watches.clone(),
            ..RunMetadata::new(&self.info, self.request().clone(), self.branches())
        }
    }

    /// The weight that brought about values that are not finite, where there are some and it was found.
    pub fn broken_weight(&self) -> Option<&BrokenWeight> {
        self.document.not_finite.as_ref()?.weight.as_ref()
    }

    /// Where a breakpoint stopped the run, where one did.
    pub fn stopped(&self) -> Option<&Stopped> {
        self.document.stopped.as_ref()
    }

    /// The tensors that were recorded.
    pub fn selection(&self) -> TensorSelection {
        let of_run = self.document.tensors.keys();
        let of_steps = self
            .document
            .steps
            .iter()
            .flat_map(|step| step.tensors.keys());
        let names: std::collections::BTreeSet<&String> = of_run.chain(of_steps).collect();
        TensorSelection::of(names)
    }

    /// What happened, in order; each part is read when it is reached. Without attention, steps have no maps, which
    /// [`Replay::attention_at`] reads.
    pub fn events(&self, attention: bool) -> impl Iterator<Item = Result<Event, ReplayError>> + '_ {
        let tokens = std::iter::once_with(|| Ok(self.tokens_event()));
        let text = std::iter::once_with(|| self.text_event());
        let noise = std::iter::once_with(|| self.noise_event());
        let steps = (0..self.steps()).map(move |index| {
            let step = self.step(index, attention)?;
            Ok(Event::Step(Arc::new(step)))
        });
        let image = std::iter::once_with(|| self.image_event());
        tokens.chain(text).chain(noise).chain(steps).chain(image)
    }

    /// The whole run, with as much of its attention as fits `attention_budget` bytes; the rest is read by
    /// [`Replay::attention_at`].
    pub fn trace(&self, attention_budget: usize) -> Result<Trace, ReplayError> {
        let mut trace = Trace::new(self.request().clone(), attention_budget);
        trace.branches = self.branches().to_vec();
        for event in self.events(false) {
            trace.apply(event?);
        }
        for index in 0..self.steps() {
            if trace.attention.used() + self.attention_bytes(index) > attention_budget {
                break;
            }
            trace.attention.insert(index, self.attention_at(index)?);
        }
        Ok(trace)
    }

    /// A step, with its attention or without.
    pub fn step(&self, index: usize, attention: bool) -> Result<StepTrace, ReplayError> {
        let step = self.entry(index)?;
        let tensors = step
            .tensors
            .iter()
            .filter(|(name, _)| !name.starts_with(ATTENTION));
        let mut tensors: Vec<_> = tensors.collect();
        tensors.sort_by_key(|(name, _)| STEP_TENSORS.iter().position(|known| known == name));
        let tensors = tensors
            .into_iter()
            .map(|(name, entry)| self.tensor(name, entry))
            .collect::<Result<_, _>>()?;
        Ok(StepTrace {
            index,
            timestep: step.timestep.0,
            sigma: step.sigma.0,
            sigma_next: step.sigma_next.0,
            seconds: step.seconds,
            tensors,
            modules: step.modules.clone(),
            attention: if attention {
                self.attention_at(index)?
            } else {
                Vec::new()
            },
            preview_scale: step.preview_scale.map_or(1.0, |scale| scale.0),
        })
    }

    /// The cross-attention that was recorded of a step, in the order of a forward pass: of the prompt's half, the mean
    /// over heads or every head, as it was exported. Empty where none was.
    pub fn attention_at(&self, index: usize) -> Result<Vec<AttentionMaps>, ReplayError> {
        let step = self.entry(index)?;
        let mut maps = Vec::new();
        for layer in &self.info.cross_attention {
            let name = format!("{ATTENTION}{}", layer.path);
            let Some(entry) = step.tensors.get(&name) else {
                continue;
            };
            let tensor = self.tensor(&name, entry)?;
            // The shape has been checked: (tokens, height, width), or (heads, tokens, height, width).
            let tokens = tensor.shape[tensor.shape.len() - 3];
            maps.push(AttentionMaps {
                path: layer.path.as_str().into(),
                heads: (tensor.shape.len() == 4).then_some(layer.heads),
                tokens,
                height: layer.height,
                width: layer.width,
                data: tensor.data,
            });
        }
        Ok(maps)
    }

    /// Memory that a step's attention takes, in bytes.
    pub fn attention_bytes(&self, index: usize) -> usize {
        let Some(step) = self.document.steps.get(index) else {
            return 0;
        };
        let maps = step
            .tensors
            .iter()
            .filter(|(name, _)| name.starts_with(ATTENTION));
        maps.map(|(_, entry)| entry.shape.iter().product::<usize>() * size_of::<f32>())
            .sum()
    }

    fn tokens_event(&self) -> Event {
        let tokens = &self.document.tokens;
        let side = |entries: &[TokenEntry], rest: &[TokenEntry]| Tokens {
            tokens: entries.iter().map(token).collect(),
            truncated: rest.iter().map(token).collect(),
        };
        let unseen = tokens
            .prompt
            .iter()
            .chain(&tokens.negative_prompt)
            .filter(|entry| entry.unseen)
            .map(|entry| entry.id);
        Event::Tokens(Arc::new(TokensTrace {
            prompt: side(&tokens.prompt, &tokens.prompt_rest),
            negative_prompt: side(&tokens.negative_prompt, &tokens.negative_prompt_rest),
            unseen: unseen.collect(),
        }))
    }

    fn text_event(&self) -> Result<Event, ReplayError> {
        let layers =
            || (0..self.info.text_layers).map(|n| format!("text_model.encoder.layers.{n}"));
        let names = ["token_embedding", "position_embedding"].map(str::to_owned);
        let names = names
            .into_iter()
            .chain(layers())
            .chain(["prompt_embedding".to_owned()]);
        let read = |names: &mut dyn Iterator<Item = String>| {
            names
                .filter_map(|name| Some((self.document.tensors.get(&name)?, name)))
                .map(|(entry, name)| self.tensor(&name, entry))
                .collect::<Result<Vec<_>, _>>()
        };
        let negative = "negative_prompt_embedding";
        let negative_prompt_embedding = match self.document.tensors.get(negative) {
            Some(entry) => self.tensor(negative, entry)?,
            None => TensorData::from_values(negative, vec![0, self.info.hidden_size], Vec::new()),
        };
        let stage = self.document.text.clone().unwrap_or_default();
        Ok(Event::Text(Arc::new(TextTrace {
            prompt: read(&mut names.into_iter())?,
            negative_prompt_embedding,
            attention: read(&mut layers().map(|layer| layer + ".self_attn"))?,
            heads: Vec::new(),
            modules: stage.modules,
            seconds: stage.seconds,
        })))
    }

    /// Where the noise was not recorded it is drawn again: the seed and the shape are all that it depends on.
    fn noise_event(&self) -> Result<Event, ReplayError> {
        let name = "initial_noise";
        let initial_noise = if let Some(entry) = self.document.tensors.get(name) {
            self.tensor(name, entry)?
        } else {
            let first = self.branches().first();
            let request = first.map_or(self.request(), |branch| &branch.request);
            let shape = self.info.latent_shape.to_vec();
            let values = Generator::manual_seed(request.seed).randn(shape.iter().product());
            TensorData::from_values(name, shape, values)
        };
        Ok(Event::Noise(Arc::new(NoiseTrace {
            schedule: self.schedule.clone(),
            initial_noise,
        })))
    }

    fn image_event(&self) -> Result<Event, ReplayError> {
        let image = &self.document.image;
        Ok(Event::Image(Arc::new(ImageTrace {
            image: self
                .folder
                .picture(&image.file, (image.width, image.height))?,
            stats: image.stats,
            dtype: image.dtype.as_deref().map(DataType::short_name_of),
            overflowed: image.overflowed,
            seconds: image.seconds,
        })))
    }

    fn entry(&self, index: usize) -> Result<&document::Step, ReplayError> {
        let steps = &self.document.steps;
        steps.get(index).ok_or_else(|| ReplayError::Value {
            path: self.folder.document_path(),
            member: "steps".to_owned(),
            found: format!("a list of {}", steps.len()),
            expected: format!("a step {index}"),
        })
    }

    fn tensor(&self, name: &str, entry: &TensorEntry) -> Result<TensorData, ReplayError> {
        self.folder.tensor(name, entry)
    }
}

fn tensors(document: &RunDocument) -> impl Iterator<Item = &TensorEntry> {
    let steps = document.steps.iter().map(|step| &step.tensors);
    std::iter::once(&document.tensors)
        .chain(steps)
        .flat_map(BTreeMap::values)
}

fn token(entry: &TokenEntry) -> Token {
    Token {
        position: entry.position,
        id: entry.id,
        piece: entry.piece.clone(),
        added: entry.added,
        bytes: entry.bytes.clone(),
        span: entry.span.map(|[start, end]| start..end),
        kind: entry.kind.unwrap_or(check::kind_of(entry)),
    }
}

fn model_info(document: &RunDocument, architecture: &Architecture) -> ModelInfo {
    ModelInfo {
        name: document.model.name.clone(),
        sha256: document.model.sha256.clone(),
        device: document.device.clone(),
        dtype: DataType::short_name_of(&document.dtype),
        image_size: architecture.image_size,
        latent_shape: architecture.latent_shape,
        text_layers: architecture.text_layers,
        hidden_size: architecture.hidden_size,
        parameters: architecture.parameters,
        cross_attention: architecture.cross_attention.clone(),
        // A recording is looked at without its networks.
        modules: Modules::default(),
        default_guidance: architecture.default_guidance,
        // Not recorded, and nothing new runs on a recording.
        default_scheduler: document.request.scheduler,
        default_steps: document.request.steps,
        latent_rgb: architecture.latent_rgb.clone(),
        scheduler_config: document.scheduler_config.clone(),
        notes: architecture.notes.clone(),
    }
}

/// The values of a list of numbers.
fn values(numbers: &[Number]) -> Vec<f32> {
    numbers.iter().map(|number| number.0).collect()
}

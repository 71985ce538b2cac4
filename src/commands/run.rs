//! `diffuscope run`: a generation without a screen, and its export.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use candle_core::DType;
use indicatif::{ProgressBar, ProgressStyle};

use crate::checkpoint::Checkpoint;
use crate::cli::{AttentionChoice, RunArgs};
use crate::generation::{self, ModelInfo, Pipeline, Request, words};
use crate::model::AttentionDetail;
use crate::model::tokenizer::Token;
use crate::trace::document::{DataType, Model};
use crate::trace::{
    CancelToken, Event, Export, Heading, ImageData, OutputFile, OutputFolder, RecordOptions,
    Recorder, Selection, TokensTrace, tensor_names, write_png,
};

use super::text::{or_standard_input, visible};
use super::{UsageError, complain, memory, print, source, truncation, warn};

/// Generates a picture, writes it and the export, and prints where they are.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let overrides = args.request.overrides(or_standard_input(args.prompt)?);
    // Before the work: a place that cannot be written to is better known now than after it.
    let folder = args.json.as_deref();
    let folder = folder
        .map(|path| OutputFolder::at(path, args.force))
        .transpose()?;
    let png = args.png.as_deref().map(OutputFile::at).transpose()?;

    let cancel = CancelToken::default();
    cancel_on_signals(&cancel)?;
    let progress = Progress::new();
    let checkpoint = Checkpoint::open(&source(&args.model.model))?;
    let device = args.model.device.open()?;
    if let Some(forecast) = memory::forecast(&checkpoint, DType::F32, &device)? {
        progress.interrupt(|| complain("note", &forecast));
    }
    let pipeline = Pipeline::load(&checkpoint, &device)?;
    let info = pipeline.info().clone();
    let request = overrides.apply(pipeline.default_request(""));
    let png = match (png, &folder) {
        (None, None) => {
            let name = format!("diffuscope-{}.png", request.seed);
            Some(OutputFile::new_at(Path::new(&name))?)
        }
        (png, _) => png,
    };
    let selection = selection(args.tensors.as_deref(), args.attention, &info)?;
    let options = RecordOptions {
        cancel,
        modules: args.modules,
        ..record_options(
            folder.is_some().then_some(&selection),
            args.attention,
            &info,
        )
    };

    let model = Model {
        name: info.name.clone(),
        sha256: info.sha256.clone(),
    };
    let pipeline = Arc::new(pipeline);
    let recorder = Recorder::new(Arc::clone(&pipeline), request, options).map_err(usage)?;
    let request = recorder.request().clone();
    let export = folder
        .map(|folder| {
            let heading = Heading {
                model: model.clone(),
                device: info.device.clone(),
                dtype: DataType::name_of(&info.dtype),
                request: request.clone(),
            };
            Export::new(folder, heading, selection)
        })
        .transpose()?;
    let (image, export) = generate(&pipeline, recorder, export, &progress)?;
    let mut written: Vec<PathBuf> = Vec::new();
    if let Some(png) = png {
        written.push(png.publish(|out| write_png(out, &image.image, &request, &model))?);
    }
    if let Some(export) = export {
        written.push(export.finish()?);
    }
    progress.finish();
    show(&written)
}

/// A request that cannot be carried out, such as a word that the prompt does not have, is wrong usage.
fn usage(error: generation::Error) -> anyhow::Error {
    match error {
        generation::Error::Request(error) => UsageError(error.to_string()).into(),
        error => error.into(),
    }
}

/// Runs the generation to its end, exporting what happens.
fn generate(
    pipeline: &Pipeline,
    mut recorder: Recorder,
    mut export: Option<Export>,
    progress: &Progress,
) -> anyhow::Result<(Arc<ImageData>, Option<Export>)> {
    let mut image = None;
    while let Some(event) = recorder.advance()? {
        if let Some(export) = &mut export {
            export.write(&event)?;
        }
        if let Event::Tokens(tokens) = &event {
            let warnings = warnings(pipeline, recorder.request(), tokens)?;
            progress.interrupt(|| warnings.iter().for_each(|warning| warn(warning)));
        }
        progress.show(&event);
        if let Event::Image(done) = event {
            image = Some(done);
        }
    }
    let Some(image) = image else {
        anyhow::bail!("the run ended without a picture");
    };
    Ok((image, export))
}

/// The tensors that are asked for, each of which the model has to have.
fn selection(
    names: Option<&[String]>,
    attention: AttentionChoice,
    info: &ModelInfo,
) -> Result<Selection, UsageError> {
    let Some(names) = names else {
        return Ok(Selection::default());
    };
    let selection = Selection::of(names);
    let known = names_of(info, attention);
    match selection.unknown(&known) {
        None => Ok(selection),
        Some(unknown) if unknown.starts_with("attention") && attention == AttentionChoice::None => {
            Err(UsageError(format!(
                "--tensors asks for `{unknown}` and --attention none leaves it out; drop one of the two"
            )))
        }
        Some(unknown) => Err(UsageError(format!(
            "--tensors asks for `{unknown}`, and there is no such tensor; there are {}",
            known.join(", ")
        ))),
    }
}

fn names_of(info: &ModelInfo, attention: AttentionChoice) -> Vec<String> {
    let layers = info.cross_attention.iter();
    let layers = layers.filter(|_| attention != AttentionChoice::None);
    tensor_names(info.text_layers, layers.map(|layer| layer.path.as_str()))
}

/// What has to be recorded for an export of `selection`; nothing without one.
fn record_options(
    selection: Option<&Selection>,
    attention: AttentionChoice,
    info: &ModelInfo,
) -> RecordOptions {
    let Some(selection) = selection else {
        return RecordOptions::default();
    };
    let wanted: Vec<String> = names_of(info, attention)
        .into_iter()
        .filter(|name| selection.contains(name))
        .collect();
    let is_layer = |name: &String| {
        name.starts_with("text_model.") || name == "token_embedding" || name == "position_embedding"
    };
    let has_attention = wanted.iter().any(|name| name.starts_with("attention/"));
    RecordOptions {
        layers: wanted.iter().any(is_layer),
        attention: match attention {
            AttentionChoice::Mean if has_attention => AttentionDetail::Mean,
            AttentionChoice::Heads if has_attention => AttentionDetail::Heads,
            _ => AttentionDetail::None,
        },
        ..RecordOptions::default()
    }
}

/// Cancels the run on Ctrl-C and when the system asks the process to end; a second time ends it at once.
#[cfg(unix)]
fn cancel_on_signals(cancel: &CancelToken) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if cancel.is_cancelled() {
                std::process::exit(128 + signal);
            }
            cancel.cancel();
        }
    });
    Ok(())
}

/// Elsewhere, Ctrl-C ends the process at once.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
fn cancel_on_signals(_: &CancelToken) -> anyhow::Result<()> {
    Ok(())
}

/// The paths on standard output, for scripts as they are.
fn show(paths: &[PathBuf]) -> anyhow::Result<()> {
    let is_terminal = std::io::stdout().is_terminal();
    print(|out| {
        for path in paths {
            if is_terminal {
                writeln!(out, "{}", visible(&path.to_string_lossy()))?;
            } else {
                out.write_all(path.as_os_str().as_encoded_bytes())?;
                writeln!(out)?;
            }
        }
        Ok(())
    })
}

/// A progress bar on standard error, where that is a terminal.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new() -> Self {
        // Draws to standard error, and nothing where that is no terminal.
        let bar = ProgressBar::new_spinner();
        bar.set_style(style("{spinner} {msg}"));
        bar.set_message("loading the model");
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar }
    }

    /// Prints something else while the bar is out of the way.
    fn interrupt(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    fn show(&self, event: &Event) {
        match event {
            Event::Tokens(_) => self.bar.set_message("encoding the prompt"),
            Event::Text(_) => self.bar.set_message("drawing the noise"),
            Event::Noise(noise) => {
                self.bar.set_length(noise.schedule.timesteps.len() as u64);
                self.bar
                    .set_style(style("denoising {wide_bar} step {pos}/{len}  {msg}"));
                self.bar.set_message("");
            }
            Event::Step(step) => {
                self.bar.inc(1);
                if self.bar.length() == Some(self.bar.position()) {
                    self.bar.set_message("decoding the picture");
                } else {
                    let milliseconds = step.seconds * 1000.0;
                    self.bar.set_message(format!("{milliseconds:.0} ms a step"));
                }
            }
            Event::Image(_) => self.bar.set_message("writing"),
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What the user should know of the prompts: what did not fit, and what the model knows nothing of.
fn warnings(
    pipeline: &Pipeline,
    request: &Request,
    tokens: &TokensTrace,
) -> anyhow::Result<Vec<String>> {
    let mut prompts = vec![("prompt", &request.prompt, &tokens.prompt)];
    if !request.negative_prompt.is_empty() {
        let negative = &tokens.negative_prompt;
        prompts.push(("negative prompt", &request.negative_prompt, negative));
    }
    let mut warnings: Vec<String> = Vec::new();
    let mut unseen: Vec<String> = Vec::new();
    for (name, text, tokens) in prompts {
        warnings.extend(truncation(name, tokens));
        for word in words(text, tokens) {
            let name = format!("“{}”", word.text);
            let is_named = |named: &String| named.to_lowercase() == name.to_lowercase();
            if !unseen.iter().any(is_named) && is_unseen(pipeline, word.tokens)? {
                unseen.push(name);
            }
        }
    }
    if !unseen.is_empty() {
        warnings.push(format!(
            "{} never saw {} in its training, and cannot draw it",
            pipeline.info().name,
            unseen.join(", ")
        ));
    }
    Ok(warnings)
}

/// Has one of the tokens no embedding? What a model was never trained on has a row of zeros.
fn is_unseen(pipeline: &Pipeline, tokens: &[Token]) -> candle_core::Result<bool> {
    for token in tokens {
        let row = pipeline.token_embeddings().get(token.id as usize)?;
        let largest = row.abs()?.max_all()?.to_dtype(DType::F32)?;
        if largest.to_scalar::<f32>()? == 0.0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

//! `diffuscope run`: a generation without a screen, and its export.

use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{RunArgs, Seed};
use crate::export::{
    DestinationError, Export, OutputFile, RunMetadata, Stopped, TensorSelectionError, WatchValue,
    WatchValues, open_donors, write_png,
};
use crate::generation::{self, ModelInfo, Request, late_note, words};
use crate::lesson::Watches;
use crate::model::AttentionDetail;
use crate::model::tokenizer::Token;
use crate::trace::{
    CancelToken, Cause, Event, ImageTrace, NotFinite, RecordOptions, Recorder, StepTrace,
    TextTrace, TokensTrace,
};

use super::advice::{device_note, tensor_selection};
use super::interrupt::cancel_on_signals;
use super::load::load;
use super::stdin::or_standard_input;
use super::{NotFiniteRun, UsageError, complain, print, truncation, warn};
use crate::text::visible;
use crate::tui::not_finite;

/// Generates a picture, writes it and the export, and prints where they are.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let drawn = args.request.seed.filter(|seed| seed.is_drawn);
    let patch = args.request.patch(or_standard_input(args.prompt)?);
    let mut export = args.export.options();
    let is_piped = export
        .png
        .as_ref()
        .is_some_and(|png| png.as_os_str() == "-");
    let piped = is_piped.then(standard_output).transpose()?;
    export.png = export.png.filter(|_| !is_piped);
    // Before the work: a place that cannot be written to is better known now than after it.
    let folder = export.folder().map_err(|error| usage(error.into()))?;
    let png = piped.or(export.file().map_err(|error| usage(error.into()))?);

    let cancel = CancelToken::default();
    cancel_on_signals(&cancel)?;
    let bar = RunBar::new();
    if let Some(Seed { value, .. }) = drawn {
        let said =
            format!("seed {value} was drawn at random; --seed {value} makes this picture again");
        bar.interrupt(|| complain("note", &said));
    }
    let say = |kind, what: String| bar.interrupt(|| complain(kind, &what));
    let pipeline = load(&args.model.model, &args.model, args.size.size, say).map_err(usage)?;
    let info = pipeline.info().clone();
    let request = patch.apply(&pipeline.default_request(""));
    let png = match (png, &folder) {
        (None, None) => {
            let name = format!("diffuscope-{}.png", request.seed);
            Some(OutputFile::new_at(Path::new(&name))?)
        }
        (png, _) => png,
    };
    let wrong = |error: TensorSelectionError| UsageError(tensor_selection(&error));
    let selection = export.selection(&info).map_err(wrong)?;
    let donors =
        open_donors(&request, &info).context("a patch takes values from a recorded run")?;
    let questions = [args.watch, args.breakpoints].concat();
    let watches = Watches::new(&info, request.clone(), questions);
    let exported = export.record_options(&info).map_err(wrong)?;
    let options = RecordOptions {
        donors,
        cancel,
        ..watches.record_options(exported.clone())
    };

    let pipeline = Arc::new(pipeline);
    let recorder = Recorder::new(Arc::clone(&pipeline), request, options);
    let recorder = recorder.map_err(|error| usage(error.into()))?;
    let mut metadata = RunMetadata::new(&info, recorder.request().clone(), &[]);
    let export = folder.map(|folder| Export::new(folder, metadata.clone(), selection));
    let watched = Watched { watches, exported };
    let outcome = generate(&info, recorder, export, watched, &bar)?;
    metadata.stopped = outcome.stopped;
    for watch in &outcome.watches {
        bar.interrupt(|| complain("watch", &in_words(watch)));
    }
    let mut written: Vec<PathBuf> = Vec::new();
    if let Some(png) = png {
        let path = png.publish(|out| write_png(out, &outcome.image.image, &metadata));
        written.extend(published(path, is_piped)?);
    }
    if let Some(export) = outcome.export {
        written.push(export.finish()?);
    }
    if let Some(late) = late_note() {
        bar.interrupt(|| complain("note", &device_note(&late)));
    }
    bar.finish();
    if is_piped {
        let paths = written.iter();
        paths.for_each(|path| complain("wrote", &path.to_string_lossy()));
    } else {
        show(&written)?;
    }
    if outcome.is_broken {
        return Err(NotFiniteRun.into());
    }
    Ok(())
}

/// Standard output for the picture, unless it would fill a terminal with it.
fn standard_output() -> Result<OutputFile, UsageError> {
    if std::io::stdout().is_terminal() {
        let reason = "--png - writes the picture to standard output, which is a terminal; send it into a file or a \
                      program, or name a file";
        return Err(UsageError(reason.to_owned()));
    }
    Ok(OutputFile::standard_output())
}

/// The picture's path; none of one that went to standard output, also where whoever read it had enough of it.
fn published(
    result: Result<PathBuf, DestinationError>,
    is_piped: bool,
) -> Result<Option<PathBuf>, DestinationError> {
    match result {
        Err(DestinationError::Write { source, .. })
            if is_piped && source.kind() == ErrorKind::BrokenPipe =>
        {
            Ok(None)
        }
        result => result.map(|path| (!is_piped).then_some(path)),
    }
}

/// A request that cannot be carried out, such as a word that the prompt does not have or a size that the model cannot
/// draw, is wrong usage.
fn usage(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(generation::Error::Request(error)) => return UsageError(error.to_string()).into(),
        Some(error @ generation::Error::ImageSize { .. }) => {
            return UsageError(format!("--size: {error}")).into();
        }
        _ => {}
    }
    match error.downcast_ref() {
        Some(error @ DestinationError::OtherFormat(_)) => {
            UsageError(format!("--png: {error}")).into()
        }
        Some(error @ DestinationError::StandardOutput) => {
            UsageError(format!("--json: {error}")).into()
        }
        _ => error,
    }
}

/// Questions that are asked beside a run.
struct Watched {
    watches: Watches,
    /// What is recorded for the export, and not for them alone.
    exported: RecordOptions,
}

impl Watched {
    /// `event` as it is exported: without what was recorded for the questions alone.
    fn exported(&self, event: &Event) -> Event {
        match event {
            Event::Step(step) => {
                let mut step = StepTrace::clone(step);
                if self.exported.attention == AttentionDetail::None {
                    step.attention.clear();
                }
                if !self.exported.modules {
                    step.modules.clear();
                }
                Event::Step(step.into())
            }
            Event::Text(text) if !self.exported.modules => {
                let modules = Vec::new();
                let text = TextTrace::clone(text);
                Event::Text(TextTrace { modules, ..text }.into())
            }
            event => event.clone(),
        }
    }
}

/// A question and what it gave: the newest value, and from where to where it went.
fn in_words(watch: &WatchValues) -> String {
    let numbers = watch.values.iter().filter_map(|value| match value {
        WatchValue::Number(value) => Some(*value),
        _ => None,
    });
    let (least, most) = numbers.fold(
        (f64::INFINITY, f64::NEG_INFINITY),
        |(least, most), value| (least.min(value), most.max(value)),
    );
    let filter = &watch.filter;
    let Some(last) = watch.values.last() else {
        return format!("{filter}: never asked");
    };
    if least < most {
        let [least, most] = [least, most].map(WatchValue::Number);
        format!("{filter}: {last} at the end, from {least} to {most} over the steps")
    } else {
        format!("{filter}: {last}")
    }
}

/// What came of a generation.
struct Outcome {
    image: Arc<ImageTrace>,
    export: Option<Export>,
    /// What was asked after every step.
    watches: Vec<WatchValues>,
    /// Where a breakpoint stopped it.
    stopped: Option<Stopped>,
    /// Were there values that are NaN or infinite? It has been said.
    is_broken: bool,
}

/// Runs the generation to its end, or to where a breakpoint stops it, exporting what happens.
fn generate(
    info: &ModelInfo,
    mut recorder: Recorder,
    mut export: Option<Export>,
    mut watched: Watched,
    bar: &RunBar,
) -> anyhow::Result<Outcome> {
    let mut image = None;
    let mut is_broken = false;
    let mut stopped = None;
    let mut next = recorder.advance()?;
    while let Some(event) = next {
        if let Some(export) = &mut export {
            export.write(&watched.exported(&event))?;
        }
        if let Event::Tokens(tokens) = &event {
            let warnings = warnings(&info.name, recorder.request(), tokens);
            bar.interrupt(|| warnings.iter().for_each(|warning| warn(warning)));
        }
        // Said once: what follows is not finite either.
        if !is_broken && let Some(found) = event.not_finite() {
            is_broken = true;
            say_not_finite(found, info, &recorder, export.as_mut(), bar);
        }
        bar.show(&event);
        let stop = watched.watches.take(&event);
        next = match (event, stop) {
            (Event::Image(done), _) => {
                if let Some([note, _]) = not_finite::decoded_again(&done, info) {
                    bar.interrupt(|| complain("note", &note));
                }
                image = Some(done);
                None
            }
            (Event::Step(step), Some(found)) => {
                bar.interrupt(|| complain("note", &format!("stopped after {found}")));
                if let Some(export) = &mut export {
                    export.stop(found.clone())?;
                }
                stopped = Some(found);
                Some(recorder.predicted_image(&step)?)
            }
            _ => recorder.advance()?,
        };
    }
    let Some(image) = image else {
        anyhow::bail!("the run ended without a picture");
    };
    let watches = watched.watches.values();
    if let Some(export) = &mut export {
        export.watch(watches.clone());
    }
    Ok(Outcome {
        image,
        export,
        watches,
        stopped,
        is_broken,
    })
}

/// Says where values first ceased to be finite, and which weight was it.
fn say_not_finite(
    mut found: NotFinite,
    info: &ModelInfo,
    recorder: &Recorder,
    export: Option<&mut Export>,
    bar: &RunBar,
) {
    let component = found.component();
    let weight = component.and_then(|component| recorder.pipeline().broken_weight(component));
    found.weight = weight.cloned();
    if let Some(export) = export {
        export.blame(found.weight.clone());
    }
    let [what, _] = not_finite::what(&found);
    let advice = if let Cause::Weight(_) = found.cause(&info.dtype) {
        // It was warned of when it was read.
        "The weights that are not finite themselves, named above, are why.".to_owned()
    } else {
        let [advice, _] = not_finite::advice(&found, info);
        advice
    };
    bar.interrupt(|| warn(&format!("{what}. {advice}")));
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
struct RunBar {
    bar: ProgressBar,
}

impl RunBar {
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

impl Drop for RunBar {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What the user should know of the prompts: what did not fit, and what the model knows nothing of.
fn warnings(model: &str, request: &Request, tokens: &TokensTrace) -> Vec<String> {
    let mut prompts = vec![("prompt", &request.prompt, &tokens.prompt)];
    if !request.negative_prompt.is_empty() {
        let negative = &tokens.negative_prompt;
        prompts.push(("negative prompt", &request.negative_prompt, negative));
    }
    let mut warnings: Vec<String> = Vec::new();
    let mut unseen: Vec<String> = Vec::new();
    for (name, text, own) in prompts {
        warnings.extend(truncation(name, own));
        for word in words(text, own) {
            let name = format!("“{}”", word.text);
            let is_named = |named: &String| named.to_lowercase() == name.to_lowercase();
            let is_unseen = |token: &Token| tokens.unseen.contains(&token.id);
            if !unseen.iter().any(is_named) && word.tokens.iter().any(is_unseen) {
                unseen.push(name);
            }
        }
    }
    if !unseen.is_empty() {
        warnings.push(format!(
            "{model} never saw {} in its training, and cannot draw it",
            unseen.join(", ")
        ));
    }
    warnings
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

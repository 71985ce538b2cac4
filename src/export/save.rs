//! Parts of a run, saved when somebody looks at them: one tensor, one step, or the whole run.
//!
//! They have the form that `run --json` gives them, and the same promise: a file is there only when it is complete.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::document::{FORMAT_VERSION, Number, Program, StepDocument, StepFormat, TensorView};
use super::json::write_lines;
use super::png::write_png;
use super::writer::{not_at_its_end, step_tensors};
use super::{
    DestinationError, Export, ExportError, ExportOptions, OutputFile, OutputFolder, RunMetadata,
    TensorSelection, TensorSelectionError, WatchValues,
};
use crate::generation;
use crate::model::AttentionDetail;
use crate::trace::{AttentionMaps, Event, Guidance, Recorder, StepTrace, TensorData, Trace};

/// A finished run that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveRunError {
    /// The tensors that were asked for cannot be had.
    #[error(transparent)]
    Selection(#[from] TensorSelectionError),
    /// It could not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// Attention could not be computed again.
    #[error(transparent)]
    Generation(#[from] generation::Error),
}

impl From<DestinationError> for SaveRunError {
    fn from(error: DestinationError) -> Self {
        Self::Export(error.into())
    }
}

/// Writes a tensor's values: the same file as `run --json` writes for it. Returns its path.
pub fn save_tensor(file: OutputFile, tensor: &TensorData) -> Result<PathBuf, DestinationError> {
    save_view(file, tensor.into())
}

/// The same for a layer's cross-attention.
pub fn save_attention(file: OutputFile, maps: &AttentionMaps) -> Result<PathBuf, DestinationError> {
    save_view(file, maps.into())
}

fn save_view(file: OutputFile, tensor: TensorView) -> Result<PathBuf, DestinationError> {
    file.publish(|out| write_lines(out, &tensor.into_document(), &[]))
}

/// Writes a [`StepDocument`]: one step with the values of its tensors and of `attention`. Returns its path.
pub fn save_step(
    file: OutputFile,
    metadata: &RunMetadata,
    step: &StepTrace,
    attention: &[AttentionMaps],
) -> Result<PathBuf, DestinationError> {
    let document = StepDocument {
        format: StepFormat::Step,
        version: FORMAT_VERSION,
        program: Program::this(),
        model: metadata.model.clone(),
        request: metadata.request.clone(),
        branches: metadata.branches.clone(),
        index: step.index,
        timestep: Number(step.timestep),
        sigma: Number(step.sigma),
        sigma_next: Number(step.sigma_next),
        seconds: step.seconds,
        modules: step.modules.clone(),
        tensors: StepTensors { step, attention },
    };
    file.publish(|out| write_lines(out, &document, &["tensors"]))
}

/// The documents of a step's tensors, each made when it is written: together they may be large.
struct StepTensors<'a> {
    step: &'a StepTrace,
    attention: &'a [AttentionMaps],
}

impl Serialize for StepTensors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tensors = step_tensors(self.step, self.attention);
        serializer.collect_seq(tensors.map(TensorView::into_document))
    }
}

/// Writes a finished run that was kept in memory, `recorder`'s, as `options` say, with what watch expressions gave; returns
/// what was written. Attention
/// that `trace` does not keep in the detail that is asked for is computed again, a step at a time. Statistics of
/// modules are there only if the run was recorded with them.
///
/// # Errors
/// Those of [`save_trace`]; a picture that cannot be written; tensors that the model does not have.
pub fn save_run(
    options: &ExportOptions,
    recorder: &Recorder,
    trace: &Trace,
    watches: Vec<WatchValues>,
) -> Result<Vec<PathBuf>, SaveRunError> {
    let info = recorder.pipeline().info();
    let found = trace.not_finite();
    let component = found.and_then(|found| found.component());
    let weight = component.and_then(|component| recorder.pipeline().broken_weight(component));
    let metadata = RunMetadata {
        broken_weight: weight.cloned(),
        watches,
        ..RunMetadata::new(info, trace.request.clone(), &trace.branches)
    };
    let mut written = Vec::new();
    if let (Some(file), Some(image)) = (options.file()?, &trace.image) {
        written.push(file.publish(|out| write_png(out, &image.image, &metadata))?);
    }
    if let Some(folder) = options.folder()? {
        let selection = options.selection(info)?;
        let detail = options.record_options(info)?.attention;
        let attention = |step| -> Result<_, SaveRunError> {
            let kept = trace.attention.step(step);
            match detail {
                AttentionDetail::None => Ok(Vec::new()),
                AttentionDetail::Mean if is_mean(kept) => Ok(kept.to_vec()),
                _ => Ok(recorder.attention_at(step, detail, Guidance::Cond)?),
            }
        };
        written.push(save_trace(folder, metadata, trace, selection, attention)?);
    }
    Ok(written)
}

fn is_mean(maps: &[AttentionMaps]) -> bool {
    !maps.is_empty() && maps.iter().all(|maps| maps.heads.is_none())
}

/// Writes a whole finished run: the folder that `run --json` writes. A step's attention is what `attention` gives for
/// its index, because a trace keeps only as much as its budget allows. Returns the path.
///
/// # Errors
/// A run that is not complete, a place that cannot be written to, and the errors of `attention`. Nothing is
/// left then.
pub fn save_trace<E: From<ExportError>>(
    folder: OutputFolder,
    metadata: RunMetadata,
    trace: &Trace,
    selection: TensorSelection,
    mut attention: impl FnMut(usize) -> Result<Vec<AttentionMaps>, E>,
) -> Result<PathBuf, E> {
    let (Some(tokens), Some(text), Some(noise), Some(image)) =
        (&trace.tokens, &trace.text, &trace.noise, &trace.image)
    else {
        return Err(not_at_its_end().into());
    };
    let stopped = metadata.stopped.clone();
    let mut export = Export::new(folder, metadata, selection);
    export.write(&Event::Tokens(tokens.clone()))?;
    export.write(&Event::Text(text.clone()))?;
    export.write(&Event::Noise(noise.clone()))?;
    for step in &trace.steps {
        let mut step = StepTrace::clone(step);
        step.attention = attention(step.index)?;
        export.write(&Event::Step(step.into()))?;
    }
    if let Some(stopped) = stopped {
        export.stop(stopped)?;
    }
    export.write(&Event::Image(image.clone()))?;
    Ok(export.finish()?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::export::document::{TensorDocument, step_schema};
    use crate::generation::Request;

    fn metadata() -> RunMetadata {
        RunMetadata::hand_made(Request::plain("苹果"))
    }

    #[test]
    fn one_tensor_is_the_file_of_a_whole_export() {
        let folder = tempfile::tempdir().unwrap();
        let file = OutputFile::at(&folder.path().join("x0.json")).unwrap();
        let values = vec![0.1, f32::NAN, -0.0, 1e-45];
        let tensor = TensorData::from_values("x0", vec![1, 2, 2], values.clone());
        let path = save_tensor(file, &tensor).unwrap();
        let read: TensorDocument = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!((read.name.as_str(), read.shape), ("x0", vec![1, 2, 2]));
        for (read, value) in read.data.iter().zip(values) {
            assert_eq!(read.0.is_nan(), value.is_nan());
            assert!(value.is_nan() || read.0.to_bits() == value.to_bits());
        }
    }

    #[test]
    fn one_step_is_what_its_schema_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = OutputFile::at(&folder.path().join("step.json")).unwrap();
        let step = StepTrace {
            index: 3,
            timestep: 500.5,
            sigma: 1.5,
            sigma_next: 1.0,
            seconds: 0.25,
            tensors: vec![TensorData::from_values("x0", vec![1, 1, 2], vec![0.5, 1.0])],
            modules: Vec::new(),
            attention: Vec::new(),
            preview_scale: 1.0,
        };
        let maps = AttentionMaps {
            path: "mid".into(),
            heads: None,
            tokens: 2,
            height: 1,
            width: 1,
            data: vec![0.75, 0.25].into(),
        };
        let path = save_step(file, &metadata(), &step, &[maps]).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let validator = jsonschema::validator_for(step_schema().as_value()).unwrap();
        validator.validate(&json).unwrap();
        let document: StepDocument = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(document.index, 3);
        assert_eq!(document.tensors[1].name, "attention/mid");
        assert_eq!(document.tensors[1].data, [Number(0.75), Number(0.25)]);
        assert_eq!(serde_json::to_value(&document).unwrap(), json);
    }

    #[test]
    fn a_run_that_is_not_done_is_refused_and_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = OutputFolder::at(&parent.path().join("run"), false).unwrap();
        let metadata = metadata();
        let trace = Trace::new(metadata.request.clone(), 0);
        let none = |_| Ok(Vec::new());
        let refused: Result<_, ExportError> =
            save_trace(folder, metadata, &trace, TensorSelection::default(), none);
        assert!(matches!(refused, Err(ExportError::Order(_))));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}

//! Pieces of a run, saved when somebody looks at them: one tensor, one step, or a whole trace.
//!
//! They have the form that `run --json` gives them, and the same promise: a file is there only when it is complete.

use std::path::PathBuf;

use super::document::{
    DataType, FORMAT_VERSION, Number, Program, StepFormat, TensorDocument, TensorView,
};
use super::json::ObjectWriter;
use super::writer::{not_at_its_end, write_tensor};
use super::{
    DestinationError, Export, ExportError, OutputFile, OutputFolder, RunMetadata, TensorSelection,
};
use crate::trace::{AttentionMaps, Event, StepTrace, TensorData, Trace};

/// Writes a tensor's values: the same file as `run --json` writes for it. Returns its path.
pub fn save_tensor(file: OutputFile, tensor: &TensorData) -> Result<PathBuf, DestinationError> {
    let tensor = TensorView::from(tensor);
    file.publish(|mut out| write_tensor(&mut out, &tensor))
}

/// The same for a layer's cross-attention.
pub fn save_attention(file: OutputFile, maps: &AttentionMaps) -> Result<PathBuf, DestinationError> {
    let tensor = TensorView::from(maps);
    file.publish(|mut out| write_tensor(&mut out, &tensor))
}

/// Writes a [`StepDocument`](super::document::StepDocument): one step with the values of its tensors and of `attention`.
/// Returns its path.
pub fn save_step(
    file: OutputFile,
    metadata: &RunMetadata,
    step: &StepTrace,
    attention: &[AttentionMaps],
) -> Result<PathBuf, DestinationError> {
    file.publish(|out| {
        let mut document = ObjectWriter::new(out)?;
        document.member("format", &StepFormat::Step)?;
        document.member("version", &FORMAT_VERSION)?;
        document.member("program", &Program::this())?;
        document.member("model", &metadata.model)?;
        document.member("request", &metadata.request)?;
        if !metadata.branches.is_empty() {
            document.member("branches", &metadata.branches)?;
        }
        document.member("index", &step.index)?;
        document.member("timestep", &Number(step.timestep))?;
        document.member("sigma", &Number(step.sigma))?;
        document.member("sigma_next", &Number(step.sigma_next))?;
        document.member("seconds", &step.seconds)?;
        if !step.modules.is_empty() {
            document.member("modules", &step.modules)?;
        }
        document.begin_list("tensors")?;
        let snapshots = step.tensors.iter().map(TensorView::from);
        let maps = attention.iter().map(TensorView::from);
        for tensor in snapshots.chain(maps) {
            // One at a time: they are large.
            document.item(&TensorDocument {
                data: tensor.data.iter().copied().map(Number).collect(),
                name: tensor.name,
                shape: tensor.shape,
                dtype: DataType::Float32,
            })?;
        }
        document.end_list()?;
        document.end()?;
        Ok(())
    })
}

/// Writes a whole finished run: the folder that `run --json` writes. A step's attention is what `attention` gives for its
/// index, because a trace keeps only as much as its budget allows. Returns the path.
///
/// # Errors
/// A run that has not come to its end, a place that cannot be written to, and the errors of `attention`. Nothing is
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
    let mut export = Export::new(folder, metadata, selection)?;
    export.write(&Event::Tokens(tokens.clone()))?;
    export.write(&Event::Text(text.clone()))?;
    export.write(&Event::Noise(noise.clone()))?;
    for step in &trace.steps {
        let mut step = StepTrace::clone(step);
        step.attention = attention(step.index)?;
        export.write(&Event::Step(step.into()))?;
    }
    export.write(&Event::Image(image.clone()))?;
    Ok(export.finish()?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::export::document::{Model, StepDocument, step_schema};

    fn metadata() -> RunMetadata {
        RunMetadata {
            model: Model {
                name: "hand-made".into(),
                sha256: "0123456789abcdef".repeat(4),
            },
            device: "cpu".into(),
            dtype: "float32".into(),
            request: crate::generation::Request {
                prompt: "苹果".into(),
                negative_prompt: String::new(),
                seed: 1,
                steps: 1,
                guidance_scale: 7.5,
                scheduler: crate::scheduler::SchedulerKind::Euler,
                interventions: Vec::new(),
            },
            architecture: None,
            branches: Vec::new(),
        }
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

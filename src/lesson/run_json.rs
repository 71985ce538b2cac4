//! What filters are asked about: the document of a run in memory, finished or not.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Selection;
use super::filter::{FilterError, Input, Tensor, Tensors};
use crate::export::document::{
    DataType, FORMAT_VERSION, Format, Image, Model, Program, Schedule, Step, TensorEntry,
    TensorView, TextStage, Tokens,
};
use crate::export::tensor_file;
use crate::generation::ModelInfo;
use crate::trace::Trace;

/// A run's document, with what the reader looks at.
#[derive(Debug, Clone)]
pub struct RunJson {
    document: Map<String, Value>,
    tensors: Tensors,
}

impl RunJson {
    /// The document of `trace`, a run on the model that `info` describes: what `run --json` writes, as far as it is
    /// there. Its tensors' files are beneath `folder`, which is empty or ends with `/`.
    pub fn new(info: &ModelInfo, trace: &Trace, folder: &str) -> Self {
        let mut run = Self {
            document: Map::new(),
            tensors: Tensors::default(),
        };
        run.head(info, trace);
        if let Some(tokens) = &trace.tokens {
            run.put("tokens", Tokens::from(&**tokens));
        }
        let mut of_the_run = BTreeMap::new();
        if let Some(text) = &trace.text {
            run.put("text", TextStage::from(text.as_ref()));
            let snapshots = text.prompt.iter().chain([&text.negative_prompt_embedding]);
            for snapshot in snapshots.chain(&text.attention) {
                run.tensor(
                    &mut of_the_run,
                    &format!("{folder}tensors"),
                    &snapshot.into(),
                    &snapshot.data,
                );
            }
        }
        if let Some(noise) = &trace.noise {
            run.put("schedule", Schedule::from(&noise.schedule));
            let snapshot = &noise.initial_noise;
            run.tensor(
                &mut of_the_run,
                &format!("{folder}tensors"),
                &snapshot.into(),
                &snapshot.data,
            );
        }
        let steps: Vec<Step> = (0..trace.steps.len())
            .map(|index| run.step(trace, index, folder))
            .collect();
        run.put("steps", steps);
        if let Some(found) = trace.not_finite() {
            run.put("not_finite", found);
        }
        run.put("tensors", of_the_run);
        let image = trace.image.as_deref();
        let image = image.map(|image| Image::new(image, format!("{folder}image.png")));
        run.put("image", image);
        run
    }

    /// The same with what the reader looks at.
    #[must_use]
    pub fn with_selection(mut self, selection: &Selection) -> Self {
        self.put("selection", selection);
        self
    }

    /// The same with the run that stands beside it.
    #[must_use]
    pub fn with_compared(mut self, compared: Option<Self>) -> Self {
        let (document, tensors) = match compared {
            Some(compared) => (Some(compared.document), compared.tensors),
            None => (None, Tensors::default()),
        };
        self.put("compared", document);
        self.tensors.extend(&tensors);
        self
    }

    /// The document, as JSON.
    #[cfg(test)]
    pub fn document(&self) -> Value {
        Value::Object(self.document.clone())
    }

    /// In the form that filters take.
    ///
    /// # Errors
    /// A document that cannot be read back; no case is known.
    pub fn input(self) -> Result<Input, FilterError> {
        let json = serde_json::to_vec(&self.document)
            .map_err(|error| FilterError::Document(error.to_string()))?;
        Input::new(&json, self.tensors)
    }

    fn head(&mut self, info: &ModelInfo, trace: &Trace) {
        self.put("format", Format::Trace);
        self.put("version", FORMAT_VERSION);
        self.put("program", Program::this());
        let model = Model {
            name: info.name.clone(),
            sha256: info.sha256.clone(),
        };
        self.put("model", model);
        self.put("device", &info.device);
        self.put("dtype", DataType::name_of(&info.dtype));
        let architecture = json!({
            "image_size": info.image_size,
            "latent_shape": info.latent_shape,
            "text_layers": info.text_layers,
            "hidden_size": info.hidden_size,
            "parameters": info.parameters,
            "default_guidance": info.default_guidance,
            "cross_attention": info.cross_attention,
        });
        self.put("architecture", architecture);
        if let Some(config) = &info.scheduler_config {
            self.put("scheduler_config", config);
        }
        self.put("request", &trace.request);
        if !trace.branches.is_empty() {
            self.put("branches", &trace.branches);
        }
    }

    fn step(&mut self, trace: &Trace, index: usize, folder: &str) -> Step {
        let step = &trace.steps[index];
        let folder = format!("{folder}steps/{index:04}");
        let mut tensors = BTreeMap::new();
        for snapshot in &step.tensors {
            self.tensor(&mut tensors, &folder, &snapshot.into(), &snapshot.data);
        }
        for maps in trace.attention.step(index) {
            self.tensor(&mut tensors, &folder, &maps.into(), &maps.data);
        }
        Step::new(step, tensors)
    }

    fn tensor(
        &mut self,
        entries: &mut BTreeMap<String, TensorEntry>,
        folder: &str,
        view: &TensorView,
        data: &std::sync::Arc<[f32]>,
    ) {
        let file = tensor_file(folder, &view.name);
        let entry = TensorEntry {
            shape: view.shape.clone(),
            stats: view.stats,
            file: file.clone(),
        };
        entries.insert(view.name.clone(), entry);
        let tensor = Tensor {
            name: view.name.clone(),
            shape: view.shape.clone(),
            data: data.clone(),
        };
        self.tensors.insert(file, tensor);
    }

    fn put(&mut self, name: &str, value: impl serde::Serialize) {
        self.document.insert(name.to_owned(), exact(value));
    }
}

/// A value as a reader of its JSON text has it: the shortest digits of an f32, read in double precision.
fn exact(value: impl serde::Serialize) -> Value {
    let text = serde_json::to_string(&value).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

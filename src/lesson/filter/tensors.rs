//! Tensors that a filter can ask for, by the files that `run --json` would write them to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jaq_json::{Map, Val};

/// Tensors by their files. Their values are made into JSON when a filter asks for them.
#[derive(Debug, Clone, Default)]
pub struct Tensors {
    by_file: BTreeMap<String, Tensor>,
}

#[derive(Debug, Clone)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub data: Arc<[f32]>,
}

impl Tensors {
    /// Adds `tensor`, which would be written to `file`.
    pub fn insert(&mut self, file: String, tensor: Tensor) {
        self.by_file.insert(file, tensor);
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: &Self) {
        let others = others.by_file.iter();
        self.by_file
            .extend(others.map(|(file, tensor)| (file.clone(), tensor.clone())));
    }

    /// The tensor that would be written to `file`.
    pub fn of_file(&self, file: &str) -> Option<&Tensor> {
        self.by_file.get(file)
    }

    /// The document of the tensor that would be written to `file`.
    pub fn get(&self, file: &str) -> Option<Val> {
        let tensor = self.by_file.get(file)?;
        let text = |text: &str| Val::from(text.to_owned());
        let shape: Val = tensor.shape.iter().copied().map(Val::from).collect();
        let data: Val = tensor.data.iter().copied().map(number).collect();
        let members = [
            ("name", text(&tensor.name)),
            ("shape", shape),
            ("dtype", text("float32")),
            ("data", data),
        ];
        let members = members.map(|(name, value)| (text(name), value));
        Some(Val::obj(members.into_iter().collect::<Map>()))
    }
}

/// A number as a reader of the JSON text would have it: its shortest digits, read in double precision.
fn number(value: f32) -> Val {
    let text = match value {
        value if value.is_finite() => value.to_string(),
        value if value.is_nan() => return Val::from("NaN".to_owned()),
        value if value > 0.0 => return Val::from("Infinity".to_owned()),
        _ => return Val::from("-Infinity".to_owned()),
    };
    text.parse::<f64>().map_or(Val::Null, Val::from)
}

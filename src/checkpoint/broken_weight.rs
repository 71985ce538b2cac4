//! Weights that are NaN or infinite, looked for when a run was spoilt.

use candle_core::{DType, Device};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::weights::Weights;

/// A weight of which not every value is finite in the type that its network computes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenWeight {
    /// The tensor, as diffusers and transformers name it, or by the name that a single file has for it.
    pub tensor: String,
    /// Its file, relative to the checkpoint's folder or as the user named it.
    pub file: String,
    /// Number of its values that are NaN or infinite.
    pub non_finite: usize,
    /// Number of its values.
    pub count: usize,
    /// Are they finite in the file, and too large for the type that the network computes in?
    pub too_large: bool,
}

impl Weights {
    /// The first tensor, by name, that is not finite in `dtype`, of those that `is_used`. Reads them all: seconds for
    /// weights of gigabytes.
    pub fn broken(&self, dtype: DType, is_used: impl Fn(&str) -> bool) -> Option<BrokenWeight> {
        let names = self
            .parameters()
            .into_iter()
            .map(|parameter| parameter.name);
        names.filter(|name| is_used(name)).find_map(|name| {
            let (non_finite, count) = self.non_finite(&name, dtype)?;
            (non_finite > 0).then(|| BrokenWeight {
                tensor: self.own_name(&name).to_owned(),
                file: self.file_of(&name).to_owned(),
                non_finite,
                count,
                too_large: self
                    .non_finite(&name, DType::F64)
                    .is_some_and(|(found, _)| found == 0),
            })
        })
    }

    /// How many values of a tensor are not finite in `dtype`, of how many. `None` of one that holds no real numbers.
    fn non_finite(&self, name: &str, dtype: DType) -> Option<(usize, usize)> {
        let values = self
            .load(name, dtype, &Device::Cpu)
            .ok()?
            .flatten_all()
            .ok()?;
        let found = match dtype {
            DType::F64 => not_finite(&values.to_vec1::<f64>().ok()?, |value| value.is_finite()),
            _ => not_finite(
                &values
                    .to_dtype(DType::F32)
                    .and_then(|values| values.to_vec1::<f32>())
                    .ok()?,
                |value| value.is_finite(),
            ),
        };
        Some((found, values.elem_count()))
    }
}

fn not_finite<T>(values: &[T], is_finite: impl Fn(&T) -> bool) -> usize {
    values.iter().filter(|value| !is_finite(value)).count()
}

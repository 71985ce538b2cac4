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
    /// Its file, relative to the checkpoint's folder; of a checkpoint in a single file, that file's name.
    pub file: String,
    /// Number of its values that are NaN or infinite.
    pub non_finite: usize,
    /// Number of its values.
    pub count: usize,
    /// Are they finite in the file, and too large for the type that the network computes in?
    pub too_large: bool,
}

impl Weights {
    /// The first tensor, by name, that is not finite in `dtype`, of those that `is_used` and the network was built of.
    /// Where f16 may be too small for what is finite in the file, it reads them all: seconds for gigabytes.
    pub fn broken(&self, dtype: DType, is_used: impl Fn(&str) -> bool) -> Option<BrokenWeight> {
        let broken = |name: &str, non_finite, count, too_large| BrokenWeight {
            tensor: self.own_name(name).to_owned(),
            file: self.file_name_of(name).to_owned(),
            non_finite,
            count,
            too_large,
        };
        if let Some((name, found)) = self.first_not_finite(&is_used) {
            let count = found.nan + found.infinite;
            return Some(broken(&name, count, found.of, false));
        }
        if dtype != DType::F16 {
            return None;
        }
        let names = self.parameters().into_iter();
        let names = names.map(|parameter| parameter.name);
        names.filter(|name| is_used(name)).find_map(|name| {
            let (lost, count) = self.infinite_in_f16(&name)?;
            (lost > 0).then(|| broken(&name, lost, count, true))
        })
    }

    /// How many values of a tensor f16 cannot hold, of how many. `None` of one that holds no real numbers.
    fn infinite_in_f16(&self, name: &str) -> Option<(usize, usize)> {
        let values = self.load(name, DType::F16, &Device::Cpu);
        let values = values.and_then(|values| values.flatten_all()?.to_dtype(DType::F32));
        let values = values.and_then(|values| values.to_vec1::<f32>()).ok()?;
        let lost = values.iter().filter(|value| !value.is_finite());
        Some((lost.count(), values.len()))
    }
}

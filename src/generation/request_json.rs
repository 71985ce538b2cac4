//! A request in JSON: with its seed as text, too.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Intervention, Patch, Request, StepRange};
use crate::scheduler::SchedulerKind;

/// The whole input of a generation, besides the model.
///
/// The same request on the same model and device gives the same image, bit for bit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Request")]
pub(super) struct RequestJson {
    /// What to draw.
    prompt: String,
    /// What to steer away from: the text of the unconditional half of guidance. Empty by default.
    negative_prompt: String,
    /// Seed of the initial noise, read as `torch.Generator.manual_seed` does: negative ones wrap, and the CPU
    /// generator uses the low 32 bits. From -2^63 to 2^64 - 1, which is more than the numbers of many readers of JSON
    /// hold exactly.
    #[schemars(with = "i128")]
    seed: Seed,
    /// The same seed in decimal digits, which every reader keeps. Where there are both, this is what counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed_text: Option<String>,
    /// Number of denoising steps, 1 to 1000.
    steps: usize,
    /// Classifier-free guidance scale `w` in `uncond + w (text - uncond)`. At 1 or below, there is no guidance and
    /// the unconditional half is not computed.
    guidance_scale: f64,
    /// The steps in which there is guidance; all where there are none. In the others the scale is 1: the noise is what is
    /// predicted with the prompt, and the unconditional half is not computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guidance_steps: Option<StepRange>,
    /// How much of the guided prediction is brought to the standard deviation of the one with the prompt, 0 to 1: `phi`
    /// of Lin et al. 2023 (arXiv 2305.08891). 0 by default.
    #[serde(default, skip_serializing_if = "is_zero")]
    guidance_rescale: f64,
    /// The sampler and its noise schedule.
    scheduler: SchedulerKind,
    /// How many of the text encoder's layers the prompt passes before its final layer norm, from 0; all where there is
    /// no number. The negative prompt passes all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text_layers: Option<usize>,
    /// Changes of what the prompt's words do; those of its cross-attention one after another. None by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    interventions: Vec<Intervention>,
    /// Changes of what modules of the UNet put out, in both halves of guidance; of one module, one after another. None by
    /// default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    patches: Vec<Patch>,
}

// What `skip_serializing_if` calls takes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// A seed as it stands in a document that another program may have written anew, with numbers of 64 bits.
#[derive(Debug, Clone, Copy)]
enum Seed {
    Exact(i128),
    Rounded(f64),
}

/// Integers below this, 2^53, are exact in f64.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl From<Request> for RequestJson {
    fn from(request: Request) -> Self {
        Self {
            prompt: request.prompt,
            negative_prompt: request.negative_prompt,
            seed: Seed::Exact(request.seed),
            seed_text: Some(request.seed.to_string()),
            steps: request.steps,
            guidance_scale: request.guidance_scale,
            guidance_steps: request.guidance_steps,
            guidance_rescale: request.guidance_rescale,
            scheduler: request.scheduler,
            text_layers: request.text_layers,
            interventions: request.interventions,
            patches: request.patches,
        }
    }
}

impl TryFrom<RequestJson> for Request {
    type Error = String;

    fn try_from(json: RequestJson) -> Result<Self, String> {
        Ok(Self {
            seed: json.seed.resolve(json.seed_text.as_deref())?,
            prompt: json.prompt,
            negative_prompt: json.negative_prompt,
            steps: json.steps,
            guidance_scale: json.guidance_scale,
            guidance_steps: json.guidance_steps,
            guidance_rescale: json.guidance_rescale,
            scheduler: json.scheduler,
            text_layers: json.text_layers,
            interventions: json.interventions,
            patches: json.patches,
        })
    }
}

impl JsonSchema for Request {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        RequestJson::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        RequestJson::json_schema(generator)
    }
}

impl Seed {
    /// The seed that is meant, beside `text`.
    fn resolve(self, text: Option<&str>) -> Result<i128, String> {
        let number = match self {
            Self::Exact(seed) => seed as f64,
            Self::Rounded(seed) => seed,
        };
        // The same, or what it is rounded to.
        let near = |exact: i128| (number - exact as f64).abs() < 0.5;
        match (text, self) {
            (Some(text), _) => match text.parse::<i128>() {
                Ok(seed) if near(seed) => Ok(seed),
                Ok(_) => Err(format!(
                    "seed is {self}, and seed_text is another number, {text}"
                )),
                Err(_) => Err(format!("seed_text is {text:?}, expected a whole number")),
            },
            (None, Self::Exact(seed)) => Ok(seed),
            (None, Self::Rounded(seed)) if seed.fract() == 0.0 && seed.abs() < EXACT => {
                Ok(seed as i128)
            }
            (None, Self::Rounded(seed)) => Err(format!(
                "seed is {seed}, expected a whole number; above 2^53 it takes seed_text to say which"
            )),
        }
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Exact(seed) => write!(f, "{seed}"),
            Self::Rounded(seed) => write!(f, "{seed}"),
        }
    }
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Exact(seed) => serializer.serialize_i128(seed),
            Self::Rounded(seed) => serializer.serialize_f64(seed),
        }
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeedVisitor)
    }
}

struct SeedVisitor;

impl Visitor<'_> for SeedVisitor {
    type Value = Seed;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a whole number")
    }

    fn visit_i64<E>(self, seed: i64) -> Result<Seed, E> {
        Ok(Seed::Exact(seed.into()))
    }

    fn visit_u64<E>(self, seed: u64) -> Result<Seed, E> {
        Ok(Seed::Exact(seed.into()))
    }

    fn visit_f64<E>(self, seed: f64) -> Result<Seed, E> {
        Ok(Seed::Rounded(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(seed: &str) -> Result<i128, String> {
        let json = format!(
            r#"{{"prompt": "", "negative_prompt": "", {seed}, "steps": 1, "guidance_scale": 1, "scheduler": "lms"}}"#
        );
        let request = serde_json::from_str::<Request>(&json);
        request
            .map(|request| request.seed)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_seed_survives_a_reader_whose_numbers_are_f64() {
        for seed in [
            0,
            42,
            -1,
            1 << 53,
            (1 << 53) + 1,
            (1 << 64) - 1,
            -(1 << 63),
            -((1 << 53) + 1),
        ] {
            let json = serde_json::to_value(Request {
                seed,
                ..Request::plain("")
            })
            .unwrap();
            assert_eq!(
                serde_json::from_value::<Request>(json.clone())
                    .unwrap()
                    .seed,
                seed
            );
            assert_eq!(json["seed_text"], seed.to_string());
            // What JavaScript and jq 1.6 make of the document.
            for rounded in [
                format!("{:?}", seed as f64),
                (seed as f64 as i128).to_string(),
            ] {
                let found = read(&format!(r#""seed": {rounded}, "seed_text": "{seed}""#));
                assert_eq!(found, Ok(seed), "{rounded}");
            }
        }
    }

    #[test]
    fn a_document_without_the_text_is_read_where_its_number_is_exact() {
        assert_eq!(read(r#""seed": 18446744073709551615"#), Ok((1 << 64) - 1));
        assert_eq!(read(r#""seed": 7.0"#), Ok(7));
        assert!(
            read(r#""seed": 18446744073709552000"#)
                .unwrap_err()
                .contains("seed_text")
        );
        assert!(read(r#""seed": 1.5"#).is_err());
        assert!(read(r#""seed": "7""#).is_err());
    }

    #[test]
    fn a_number_and_a_text_that_contradict_each_other_are_refused() {
        let error = read(r#""seed": 8, "seed_text": "7""#).unwrap_err();
        assert!(
            error.contains("seed is 8") && error.contains('7'),
            "{error}"
        );
        assert!(read(r#""seed": 8, "seed_text": "eight""#).is_err());
    }
}

//! `model_index.json`: which parts a pipeline has, and of which classes.
//!
//! `StableDiffusionPipeline.from_pretrained` opens the folder of any pipeline that has its parts, whatever that is called,
//! and leaves the others out. So does this.

use serde_json::Value;

use super::Reader;
use super::reader::{Fate, Keys};
use crate::checkpoint::CheckpointError;
use crate::text::printable;

/// The pipeline that a checkpoint is opened as.
const CLASS: &str = "StableDiffusionPipeline";

/// The parts that are needed, and the classes that they may be of.
const PARTS: [(&str, &[&str]); 4] = [
    ("vae", &["AutoencoderKL"]),
    ("text_encoder", &["CLIPTextModel"]),
    ("tokenizer", &["CLIPTokenizer", "CLIPTokenizerFast"]),
    ("unet", &["UNet2DConditionModel"]),
];

/// Keys that are not read.
const KEYS: Keys = Keys {
    class: CLASS,
    keys: &[
        (
            "safety_checker",
            Fate::Noted(
                &["null"],
                "and no pictures are checked here: diffusers shows black ones in place of those that it finds unsafe",
            ),
        ),
        (
            "feature_extractor",
            Fate::Harmless("it prepares pictures for the safety checker"),
        ),
        (
            "image_encoder",
            Fate::Harmless("it is for pictures as prompts (IP-Adapter)"),
        ),
        (
            "requires_safety_checker",
            Fate::Harmless("without a checker diffusers only warns"),
        ),
    ],
};

/// What `model_index.json` says.
#[derive(Debug, Default)]
pub struct Pipeline {
    /// The scheduler's class.
    pub scheduler: Option<String>,
    pub notes: Vec<String>,
}

impl Pipeline {
    /// Reads the index, and refuses pipelines that lack a part of Stable Diffusion's, or have another in its place.
    pub fn read(json: Reader) -> Result<Self, CheckpointError> {
        let class = class_name(&json)?;
        for (part, classes) in PARTS {
            check_part(&json, part, classes, &class)?;
        }
        let scheduler = match json.value("scheduler") {
            Some(value) => Some(component(value).ok_or_else(|| missing(&json, "scheduler"))?),
            None if json.written("scheduler").is_some() => return Err(missing(&json, "scheduler")),
            None => None,
        };
        if class != CLASS {
            json.note(&format!(
                "_class_name is {}, and it is run as {CLASS} runs it: from noise, guided by the prompt alone",
                printable(&class)
            ));
        }
        json.refuse(&KEYS)?;
        json.name_unknown(CLASS);
        Ok(Self {
            scheduler: scheduler.map(str::to_owned),
            notes: json.notes(),
        })
    }
}

/// The pipeline's class; of a pipeline with its own code, the name of that.
fn class_name(json: &Reader) -> Result<String, CheckpointError> {
    match json.value("_class_name") {
        Some(Value::Array(names)) => match names.iter().filter_map(Value::as_str).next_back() {
            Some(name) => Ok(name.to_owned()),
            None => Err(json.wrong("_class_name", "a text")),
        },
        _ => Ok(json.text("_class_name", CLASS)?.to_owned()),
    }
}

/// Refuses a part of another class, and a pipeline of another kind that lacks the part.
fn check_part(
    json: &Reader,
    part: &str,
    classes: &[&str],
    pipeline: &str,
) -> Result<(), CheckpointError> {
    let Some(value) = json.written(part) else {
        // Of Stable Diffusion's own, the files tell.
        let is_own = pipeline.starts_with("StableDiffusion") && !pipeline.contains("XL");
        return if is_own && !pipeline.contains('3') {
            Ok(())
        } else {
            Err(json.unsupported("_class_name", other_kind(pipeline)))
        };
    };
    let class = component(value).ok_or_else(|| match other_kind(pipeline) {
        OTHER => missing(json, part),
        kind => json.unsupported("_class_name", kind),
    })?;
    if classes.contains(&class) {
        return Ok(());
    }
    Err(json.unsupported(part, &format!("it must be {}", classes.join(" or "))))
}

/// The class of a component, `[library, class]`; none where there is no such component.
fn component(value: &Value) -> Option<&str> {
    value.as_array()?.get(1)?.as_str()
}

fn missing(json: &Reader, part: &str) -> CheckpointError {
    json.unsupported(
        part,
        "the pipeline is without a part that Stable Diffusion needs",
    )
}

const OTHER: &str = "this is a checkpoint for another kind of pipeline";

fn other_kind(pipeline: &str) -> &'static str {
    if pipeline.contains("XL") {
        "this is a checkpoint of Stable Diffusion XL"
    } else if pipeline.contains("Diffusion3") {
        "this is a checkpoint of Stable Diffusion 3"
    } else {
        OTHER
    }
}

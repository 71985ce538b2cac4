//! Every key of every configuration that diffusers and transformers have is obeyed, refused, or known to change nothing:
//! held against what their classes do with it (`tests/goldens/config_keys.py`).

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use diffuscope::checkpoint::{read_configuration, uncorrected_scheduler};
use diffuscope::random::Generator;
use diffuscope::scheduler::{Scheduler, SchedulerConfig, SchedulerKind};
use diffuscope::text::python_json;
use diffuscope::tui::notes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Goldens {
    #[serde(rename = "StableDiffusionPipeline")]
    pipeline: Vec<String>,
    #[serde(rename = "UNet2DConditionModel")]
    unet: Class<String>,
    #[serde(rename = "AutoencoderKL")]
    vae: Class<String>,
    #[serde(rename = "CLIPTextConfig")]
    text_encoder: Class<String>,
    schedulers: Class<HashMap<SchedulerKind, Outcome>>,
}

/// A class: a configuration of it, and what each key does.
#[derive(Deserialize)]
struct Class<E> {
    base: Map<String, Value>,
    keys: BTreeMap<String, Key<E>>,
}

#[derive(Deserialize)]
struct Key<E> {
    default: Value,
    /// Values, and what comes of them.
    tried: Vec<(Value, E)>,
}

/// What a scheduler makes of a value: the effect, and the last sample as bits.
#[derive(Deserialize)]
#[serde(untagged)]
enum Outcome {
    Sample(String, Vec<u32>),
    Failure([String; 1]),
}

fn goldens() -> Goldens {
    python_json::from_slice(include_bytes!("../goldens/config_keys.json")).unwrap()
}

fn with(base: &Map<String, Value>, key: &str, value: &Value) -> Vec<u8> {
    let mut config = base.clone();
    config.insert(key.to_owned(), value.clone());
    serde_json::to_vec(&config).unwrap()
}

/// What changes the result in diffusers is obeyed or refused; what changes nothing is accepted.
fn walk(name: &str, class: &Class<String>) {
    let read =
        |bytes: &[u8]| read_configuration(name, "file", bytes).map_err(|error| error.to_string());
    let base = serde_json::to_vec(&class.base).unwrap();
    let (usual, notes) = read(&base).unwrap();
    assert_eq!(notes, Vec::<String>::new(), "{name}");
    for (key, about) in &class.keys {
        // Written out, a default is as good as absent.
        // The autoencoder's class says force_upcast where the file does not, and Stable Diffusion's pipeline asks for it
        // nowhere; here a file's own word counts.
        let is_other_default = key == "sample_size" || key == "force_upcast";
        if !class.base.contains_key(key) && !is_other_default {
            match read(&with(&class.base, key, &about.default)) {
                Ok((config, notes)) => {
                    assert_eq!(config, usual, "{name}: {key}");
                    assert!(notes.is_empty(), "{name}: {key}: {notes:?}");
                }
                // Lists whose lengths are those of other lists.
                Err(error) => assert!(about.default.is_array(), "{name}: {key}: {error}"),
            }
        }
        for (value, effect) in &about.tried {
            let what = format!("{name}: {key} = {value}, which in diffusers {effect}");
            match read(&with(&class.base, key, value)) {
                Ok((config, notes)) => {
                    assert!(
                        !notes.iter().any(|note| note.contains("does not know")),
                        "{what}: {notes:?}"
                    );
                    said_in_chinese(&notes);
                    let is_obeyed = config != usual;
                    assert!(
                        effect == "none" || is_obeyed || FAILURES.contains(&(key.as_str(), name)),
                        "{what}: passed over"
                    );
                }
                Err(error) => {
                    assert!(error.starts_with("file: "), "{what}: {error}");
                    assert!(error.contains(key.as_str()), "{what}: {error}");
                    assert!(effect != "none", "{what}: {error}");
                }
            }
        }
    }
    // A key of nobody's is named, and does nothing.
    let (config, notes) = read(&with(&class.base, "n\u{1b}ew_key", &json!([1, 2]))).unwrap();
    assert_eq!(config, usual);
    assert_eq!(
        notes,
        [format!(
            "file: {name} does not know n\\u{{1b}}ew_key ([1,2]); it is ignored, as in diffusers"
        )]
    );
    said_in_chinese(&notes);
    let (_, notes) = read(&with(&class.base, "_private", &json!(1))).unwrap();
    assert!(notes.is_empty());
}

/// The inspector knows each of `notes` in Chinese.
pub fn said_in_chinese(notes: &[String]) {
    for note in notes {
        assert_ne!(&notes::chinese(note), note, "a form that is not known");
    }
}

/// Values that diffusers' class stumbles over, for outputs that are not taken here.
const FAILURES: [(&str, &str); 1] = [("eos_token_id", "CLIPTextConfig")];

#[test]
fn every_key_of_the_unet_is_obeyed_or_refused_or_harmless() {
    walk("UNet2DConditionModel", &goldens().unet);
}

#[test]
fn every_key_of_the_autoencoder_is_obeyed_or_refused_or_harmless() {
    walk("AutoencoderKL", &goldens().vae);
}

#[test]
fn every_key_of_the_text_encoder_is_obeyed_or_refused_or_harmless() {
    walk("CLIPTextConfig", &goldens().text_encoder);
}

#[test]
fn every_part_of_a_pipeline_is_opened_or_known_to_change_nothing() {
    let parts = goldens().pipeline;
    assert!(parts.len() >= 9, "{parts:?}");
    let index: Map<String, Value> = parts
        .iter()
        .map(|part| {
            let value = match part.as_str() {
                "vae" => json!(["diffusers", "AutoencoderKL"]),
                "text_encoder" => json!(["transformers", "CLIPTextModel"]),
                "tokenizer" => json!(["transformers", "CLIPTokenizer"]),
                "unet" => json!(["diffusers", "UNet2DConditionModel"]),
                "scheduler" => json!(["diffusers", "PNDMScheduler"]),
                "requires_safety_checker" => json!(true),
                _ => json!([null, null]),
            };
            (part.clone(), value)
        })
        .collect();
    let read = |index: &Map<String, Value>| {
        let bytes = serde_json::to_vec(index).unwrap();
        read_configuration("StableDiffusionPipeline", "file", &bytes)
            .map_err(|error| error.to_string())
    };
    let (pipeline, notes) = read(&index).unwrap();
    assert!(pipeline.contains("PNDMScheduler"), "{pipeline}");
    assert!(notes.is_empty(), "{notes:?}");
    for part in ["vae", "text_encoder", "tokenizer", "unet"] {
        let mut other = index.clone();
        other.insert(part.to_owned(), json!(["diffusers", "Other"]));
        let error = read(&other).unwrap_err();
        assert!(
            error.contains(part) && error.contains("it must be"),
            "{error}"
        );
        other.insert(part.to_owned(), json!([null, null]));
        let error = read(&other).unwrap_err();
        assert!(
            error.contains(part) && error.contains("without a part"),
            "{error}"
        );
    }
    let mut checked = index;
    checked.insert(
        "safety_checker".into(),
        json!(["stable_diffusion", "StableDiffusionSafetyChecker"]),
    );
    checked.insert("controlnet".into(), json!(["diffusers", "ControlNetModel"]));
    let (_, notes) = read(&checked).unwrap();
    assert!(
        notes[0].contains("no pictures are checked here"),
        "{notes:?}"
    );
    assert!(notes[1].contains("does not know controlnet"), "{notes:?}");
    said_in_chinese(&notes);
}

/// The last of ten steps, from the goldens' noise.
fn last_sample(kind: SchedulerKind, config: &SchedulerConfig) -> Result<Vec<f32>, String> {
    const SHAPE: (usize, usize, usize, usize) = (1, 1, 2, 2);
    let draw = |generator: &mut Generator| generator.randn_tensor(SHAPE, &Device::Cpu).unwrap();
    let mut scheduler = Scheduler::new(kind, config, 10).map_err(|error| error.to_string())?;
    let [mut start, mut model, mut noise] = [1, 2, 3].map(Generator::manual_seed);
    let scale = f64::from(scheduler.schedule().init_noise_sigma);
    let mut sample: Tensor = draw(&mut start).affine(scale, 0.0).unwrap();
    for index in 0..scheduler.len() {
        let output = draw(&mut model);
        let noise = scheduler.needs_noise().then(|| draw(&mut noise));
        let step = scheduler.step(index, &output, &sample, noise.as_ref());
        sample = step.map_err(|error| error.to_string())?.prev_sample;
    }
    Ok(sample.flatten_all().unwrap().to_vec1().unwrap())
}

#[test]
fn every_key_of_every_scheduler_is_obeyed_or_refused_or_harmless() {
    let class = goldens().schedulers;
    assert!(class.keys.len() > 40);
    let (mut obeyed, mut refused) = (0, 0);
    for (key, about) in &class.keys {
        for (value, outcomes) in &about.tried {
            let config = uncorrected_scheduler("file", &with(&class.base, key, value))
                .map_err(|error| error.to_string());
            for (kind, outcome) in outcomes {
                let what = format!("{kind}, {key} = {value}");
                let found = config
                    .clone()
                    .and_then(|config| last_sample(*kind, &config));
                match (found, outcome) {
                    (Ok(found), Outcome::Sample(_, expected)) => {
                        for (found, expected) in found.iter().zip(expected) {
                            let expected = f32::from_bits(*expected);
                            let difference = (found - expected).abs() / expected.abs().max(1.0);
                            assert!(difference < 1e-3, "{what}: {found}, expected {expected}");
                        }
                        obeyed += 1;
                    }
                    (Err(error), Outcome::Sample(effect, _)) => {
                        assert!(error.contains(key.as_str()), "{what}: {error}");
                        // A learned variance takes channels that the goldens' sample does not have.
                        let needs_more = key == "prediction_type" || key == "variance_type";
                        assert!(effect == "changes" || needs_more, "{what}: {error}");
                        refused += 1;
                    }
                    // What diffusers cannot run may be refused, or be run rightly.
                    (_, Outcome::Failure([effect])) => assert_eq!(effect, "fails", "{what}"),
                }
            }
        }
    }
    println!("{obeyed} as in diffusers, {refused} refused");
    assert!(obeyed > 300 && refused < 12, "{obeyed}, {refused}");
}

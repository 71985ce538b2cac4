//! A miniature of Stable Diffusion v2's structure against diffusers: OpenCLIP's text encoder, heads level by level,
//! linear projections, and a UNet that predicts the velocity; and one with deeper transformers and latents that are no
//! square.
//!
//! What is expected is in `goldens/v2.json` and `goldens/deep.json`, made by `parity/v2_structured.py`, which also says
//! how the weights are made: they are a formula of each tensor's name.

use std::{collections::BTreeMap, ffi::OsStr, fs, path::Path};

use clap::Parser as _;
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::cli::Cli;
use diffuscope::commands;
use diffuscope::model::config::Activation;
use diffuscope::scheduler::PredictionType;
use safetensors::{Dtype, tensor::TensorView};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

#[derive(Deserialize)]
struct Golden {
    configs: BTreeMap<String, Value>,
    tensors: BTreeMap<String, BTreeMap<String, Vec<usize>>>,
    some_weights: BTreeMap<String, Vec<f32>>,
    request: Request,
    ids: Vec<u32>,
    prompt_embedding: Vec<f32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Request {
    prompt: String,
    negative: String,
    seed: u64,
    guidance: f64,
    steps: usize,
}

#[derive(Deserialize)]
struct Case {
    scheduler: String,
    /// What the UNet puts out at the first step: without the prompt, and with it.
    outputs_of_step_0: [Vec<f32>; 2],
    /// The latents after the first step and after the last.
    latents_after: [Vec<f32>; 2],
    image: Option<Vec<u8>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../goldens/v2.json")).unwrap()
}

/// Numbers from -1 to 1 with 23 bits, by a hash of their place and of the tensor's name.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let seed = name.bytes().fold(2_166_136_261_u32, |seed, byte| {
        (seed ^ u32::from(byte)).wrapping_mul(16_777_619)
    });
    (0..count as u32).map(move |place| {
        let mut x = place.wrapping_add(seed);
        for _ in 0..2 {
            x = (x ^ (x >> 16)).wrapping_mul(0x045D_9F3B);
        }
        x ^= x >> 16;
        (x >> 8) as f32 / 8_388_608.0 - 1.0
    })
}

/// A tensor's values: norms around 1, biases small, and matrices divided by a power of two near the root of their inputs.
fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let values = uniform(name, shape.iter().product());
    if shape.len() == 1 {
        return if name.contains("norm") && name.ends_with("weight") {
            values.map(|value| 1.0 + value * 0.125).collect()
        } else {
            values.map(|value| value * 0.0625).collect()
        };
    }
    let inputs: usize = shape[1..].iter().product();
    let mut scale = 1.0;
    let mut power = 1;
    while power < inputs {
        power *= 4;
        scale /= 2.0;
    }
    values.map(|value| value * scale).collect()
}

/// The checkpoint as a folder.
fn write(golden: &Golden, folder: &Path) {
    let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons/little-world/checkpoint");
    for part in ["text_encoder", "unet", "vae", "scheduler", "tokenizer"] {
        fs::create_dir_all(folder.join(part)).unwrap();
        let name = match part {
            "scheduler" => "scheduler_config",
            "tokenizer" => "tokenizer_config",
            _ => "config",
        };
        let config = golden.configs[part].to_string();
        fs::write(folder.join(part).join(format!("{name}.json")), config).unwrap();
    }
    for file in ["tokenizer/vocab.json", "tokenizer/merges.txt"] {
        fs::copy(embedded.join(file), folder.join(file)).unwrap();
    }
    let index = json!({"_class_name": "StableDiffusionPipeline"});
    fs::write(folder.join("model_index.json"), index.to_string()).unwrap();
    for (part, file) in [
        ("text_encoder", "model"),
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
    ] {
        let tensors: Vec<(&String, &Vec<usize>, Vec<u8>)> = golden.tensors[part]
            .iter()
            .map(|(name, shape)| {
                let values = weight(name, shape);
                let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
                (name, shape, bytes)
            })
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, (*shape).clone(), bytes).unwrap();
            (name, view)
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        fs::write(folder.join(part).join(format!("{file}.safetensors")), bytes).unwrap();
    }
}

#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f32], bound: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let pairs = found.iter().zip(expected);
    let distance = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{what}: largest distance {distance:e}, bound {bound:e}");
    assert!(distance <= bound, "{what}: {distance:e} is above {bound:e}");
}

/// A tensor of an export.
fn read(folder: &Path, entry: &Value) -> Vec<f32> {
    let file = fs::read(folder.join(entry["file"].as_str().unwrap())).unwrap();
    let document: Value = serde_json::from_slice(&file).unwrap();
    serde_json::from_value(document["data"].clone()).unwrap()
}

#[test]
fn the_weights_are_those_that_diffusers_was_given() {
    let golden = golden();
    for (name, expected) in &golden.some_weights {
        let found = weight(name, &golden.tensors["unet"][name]);
        assert!(found.starts_with(expected), "{name}: {found:?}");
    }
}

#[test]
fn what_v2_does_otherwise_is_read_from_its_configurations() {
    let golden = golden();
    let folder = TempDir::new().unwrap();
    write(&golden, folder.path());
    let checkpoint = Checkpoint::open(&Source::Path(folder.path().to_owned())).unwrap();
    assert_eq!(checkpoint.text_encoder.hidden_act, Activation::Gelu);
    assert!(checkpoint.unet.use_linear_projection);
    assert_eq!(checkpoint.unet.attention_heads, [2, 4]);
    assert_eq!(
        checkpoint.scheduler.prediction_type,
        PredictionType::VPrediction
    );
    let tokens = checkpoint.tokenizer().unwrap();
    let ids = tokens.encode(&golden.request.prompt).unwrap();
    assert_eq!(ids.ids(), golden.ids);
}

#[test]
fn a_model_of_v2s_structure_computes_what_diffusers_computes() {
    compare(&golden());
}

#[test]
fn deeper_transformers_and_latents_that_are_no_square_are_computed_as_in_diffusers() {
    let golden: Golden = serde_json::from_str(include_str!("../goldens/deep.json")).unwrap();
    let (width, height) = compare(&golden);
    assert_eq!((width, height), (96, 72));
}

/// Runs every case. The size of the last picture.
fn compare(golden: &Golden) -> (u32, u32) {
    let mut size = (0, 0);
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("model");
    write(golden, &model);
    for case in &golden.cases {
        let out = folder.path().join(&case.scheduler);
        let request = &golden.request;
        let command = [
            "diffuscope run --device cpu --attention none",
            &format!("--seed {} --steps {}", request.seed, request.steps),
            &format!(
                "--guidance {} --scheduler {}",
                request.guidance, case.scheduler
            ),
        ];
        let command = command.iter().flat_map(|part| part.split(' '));
        let paths = [
            "--model".as_ref(),
            model.as_os_str(),
            "--json".as_ref(),
            out.as_os_str(),
        ];
        let texts = ["--prompt", &request.prompt, "--negative", &request.negative];
        let command = command.chain(texts).map(OsStr::new).chain(paths);
        commands::execute(Cli::try_parse_from(command).unwrap()).unwrap();
        let run: Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
        let name = &case.scheduler;
        let of = |what: &str| format!("{name}: {what}");
        let embedding = read(&out, &run["tensors"]["prompt_embedding"]);
        assert_close(
            &of("prompt embedding"),
            &embedding,
            &golden.prompt_embedding,
            1e-5,
        );
        let steps = run["steps"].as_array().unwrap();
        assert_eq!(steps.len(), request.steps);
        let first = &steps[0]["tensors"];
        let last = &steps[request.steps - 1]["tensors"];
        for (what, entry, expected, bound) in [
            (
                "velocity without prompt",
                &first["noise_uncond"],
                &case.outputs_of_step_0[0],
                1e-4,
            ),
            (
                "velocity with prompt",
                &first["noise_text"],
                &case.outputs_of_step_0[1],
                1e-4,
            ),
            (
                "latents after step 0",
                &first["latents_next"],
                &case.latents_after[0],
                1e-3,
            ),
            (
                "final latents",
                &last["latents_next"],
                &case.latents_after[1],
                1e-3,
            ),
        ] {
            assert_close(&of(what), &read(&out, entry), expected, bound);
        }
        if let Some(expected) = &case.image {
            let picture = image::open(out.join("image.png")).unwrap().to_rgb8();
            size = picture.dimensions();
            let levels = |bytes: &[u8]| bytes.iter().map(|&x| f32::from(x)).collect::<Vec<_>>();
            assert_close(
                &of("image"),
                &levels(picture.as_raw()),
                &levels(expected),
                1.0,
            );
        }
    }
    size
}

//! Values that are NaN or infinite, wherever they arise, are said; a picture is never black without a word.

use std::fs;
use std::path::Path;

use diffuscope::document::{RunDocument, run_schema};
use predicates::prelude::*;
use predicates::str::contains;
use safetensors::SafeTensors;

use super::cli::{diffuscope, here, model_folder};

const NAN: u16 = 0x7e00;
const SIXTY_THOUSAND: u16 = 0x7b53;

/// Puts `value`, the bits of an f16, into a weight of a model's folder: its first value, or all of them.
fn put(model: &Path, file: &str, tensor: &str, value: u16, all: bool) {
    let path = model.join(file);
    let mut bytes = fs::read(&path).unwrap();
    let range = {
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let view = file.tensor(tensor).unwrap();
        assert_eq!(view.dtype(), safetensors::Dtype::F16);
        let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        start..start + if all { view.data().len() } else { 2 }
    };
    for value_bytes in bytes[range].chunks_exact_mut(2) {
        value_bytes.copy_from_slice(&value.to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

#[test]
fn a_weight_that_is_nan_is_named_with_the_first_place_that_it_spoils() {
    for (file, tensor, stage, first, step) in [
        (
            "text_encoder/model.safetensors",
            "encoder.layers.1.mlp.fc1.weight",
            "text",
            "text_model.encoder.layers.1",
            None,
        ),
        (
            "unet/diffusion_pytorch_model.safetensors",
            "mid_block.resnets.0.conv1.weight",
            "step",
            "noise_uncond",
            Some(0),
        ),
        (VAE, "decoder.conv_in.weight", "image", "image", None),
    ] {
        let folder = here();
        let model = model_folder(&folder);
        put(&model, file, tensor, NAN, false);
        let args = [
            "run", "-p", "a cat", "--steps", "2", "--size", "64", "--model", "model", "--png",
            "a.png", "--json", "out",
        ];
        diffuscope(&folder, &args)
            .assert()
            .code(3)
            .stdout("a.png\nout\n")
            .stderr(
                contains("NaN or infinite")
                    .and(contains(tensor))
                    .and(contains(file)),
            )
            .stderr(contains("--dtype").not())
            .stderr(contains(tensor).count(1).and(contains("warning: ")));
        let json = fs::read(folder.path().join("out/run.json")).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let schema = jsonschema::validator_for(run_schema().as_value()).unwrap();
        schema.validate(&value).unwrap();
        assert_eq!(value["not_finite"]["stage"], stage);
        let document: RunDocument = serde_json::from_slice(&json).unwrap();
        let found = document.not_finite.unwrap();
        assert_eq!((found.tensor.as_str(), found.step), (first, step));
        let weight = found.weight.unwrap();
        assert!(weight.tensor.ends_with(tensor), "{weight:?}");
        // Where the model lies is nobody's business who is given the run.
        assert_eq!(weight.file, file);
        assert_eq!(weight.non_finite, 1);
        assert!(!weight.too_large);
        diffuscope(&folder, &["replay", "--check", "out"])
            .assert()
            .success();
    }
}

#[test]
fn a_weight_that_no_network_uses_changes_nothing() {
    let folder = here();
    let model = model_folder(&folder);
    put(&model, VAE, "encoder.conv_in.weight", NAN, false);
    let args = [
        "run", "-p", "a cat", "--steps", "1", "--size", "64", "--model", "model", "--png", "a.png",
    ];
    diffuscope(&folder, &args).assert().success().stderr("");
}

/// A model whose autoencoder outgrows f16 by its features, not by its weights.
fn outgrowing(folder: &tempfile::TempDir, force_upcast: bool) {
    let model = model_folder(folder);
    for block in ["0", "1"] {
        let bias = format!("decoder.mid_block.resnets.{block}.conv2.bias");
        put(&model, VAE, &bias, SIXTY_THOUSAND, true);
    }
    let config = model.join("vae/config.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["force_upcast"] = force_upcast.into();
    fs::write(config, json.to_string()).unwrap();
}

#[test]
fn an_autoencoder_that_outgrows_f16_is_decoded_in_f32_where_that_is_left_to_the_program() {
    let folder = here();
    outgrowing(&folder, false);
    let run = |png: &str, options: &[&str]| {
        let args = [
            "run", "-p", "a cat", "--steps", "1", "--size", "64", "--model", "model", "--png", png,
        ];
        diffuscope(&folder, &[&args, options].concat()).assert()
    };
    run("f32.png", &["--dtype", "f32"]).success().stderr("");
    let half = run("f16.png", &["--dtype", "f16"])
        .code(3)
        .stdout("f16.png\n");
    half.stderr(
        contains("the decoded picture")
            .and(contains("--vae-dtype f32"))
            .and(contains("bf16").not()),
    );
    let again = run("auto.png", &["--dtype", "f16", "--vae-dtype", "auto"]).success();
    again.stderr(contains("decoded in f32").and(contains("NaN or infinite")));
    let asked = run("asked.png", &["--dtype", "f16", "--vae-dtype", "f32"]).success();
    asked.stderr(contains("pictures are decoded in f32"));
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(bytes("auto.png"), bytes("asked.png"));
    assert_ne!(bytes("f16.png"), bytes("asked.png"));
}

#[test]
fn an_autoencoder_that_asks_for_f32_gets_it_where_that_is_left_to_the_program() {
    let folder = here();
    outgrowing(&folder, true);
    let args = [
        "run",
        "-p",
        "a cat",
        "--steps",
        "1",
        "--size",
        "64",
        "--model",
        "model",
        "--json",
        "out",
        "--dtype",
        "f16",
        "--vae-dtype",
        "auto",
    ];
    let assert = diffuscope(&folder, &args).assert().success();
    assert.stderr(contains("pictures are decoded in f32"));
    let json = fs::read(folder.path().join("out/run.json")).unwrap();
    let document: RunDocument = serde_json::from_slice(&json).unwrap();
    assert_eq!(document.image.dtype.as_deref(), Some("float32"));
    assert_eq!(
        (document.dtype.as_str(), document.image.overflowed),
        ("float16", None)
    );
    assert_eq!(document.image.stats.unwrap().non_finite, 0);
}

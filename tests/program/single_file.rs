//! Checkpoints in a single file with their original names, and `diffuscope model check`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use assert_cmd::{assert::Assert, cargo::cargo_bin_cmd};
use candle_core::{DType, Device, Tensor};
use diffuscope::config::UpBlockType;
use diffuscope::{Checkpoint, Component, PredictionType, Source};
use predicates::{prelude::*, str::contains};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use tempfile::TempDir;

/// Both names of every tensor of a checkpoint, and its shape in a single file, from `goldens/single_file.json`: diffusers'
/// own converter has read a file with these names (`parity/single_file.py`).
#[derive(serde::Deserialize)]
struct Golden {
    title: String,
    parts: BTreeMap<String, BTreeMap<String, (String, Vec<usize>)>>,
}

fn golden(title: &str) -> Golden {
    let goldens: Vec<Golden> =
        serde_json::from_str(include_str!("../goldens/single_file.json")).unwrap();
    goldens
        .into_iter()
        .find(|golden| golden.title == title)
        .unwrap()
}

/// A tensor of a file that is written.
#[derive(Clone)]
struct Raw {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Raw {
    fn zeros(shape: &[usize]) -> Self {
        Self {
            dtype: Dtype::F16,
            shape: shape.to_vec(),
            data: vec![0; 2 * shape.iter().product::<usize>()],
        }
    }
}

type Tensors = BTreeMap<String, Raw>;

fn embedded_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons/little-world/checkpoint")
}

/// The embedded model's tensors under their original names.
fn little_world() -> Tensors {
    let golden = golden("Little World");
    let mut tensors = Tensors::new();
    for (part, file) in [
        ("text_encoder", "text_encoder/model.safetensors"),
        ("unet", "unet/diffusion_pytorch_model.safetensors"),
        ("vae", "vae/diffusion_pytorch_model.safetensors"),
    ] {
        let bytes = fs::read(embedded_folder().join(file)).unwrap();
        let names = &golden.parts[part];
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
            let (own, shape) = names
                .get(name)
                .or_else(|| names.get(&format!("text_model.{name}")))
                .unwrap();
            let raw = Raw {
                dtype: view.dtype(),
                shape: shape.clone(),
                data: view.data().to_vec(),
            };
            tensors.insert(own.clone(), raw);
        }
    }
    tensors
}

/// A narrow checkpoint of Stable Diffusion v1's structure, of zeros.
fn narrow() -> Tensors {
    let golden = golden("Stable Diffusion v1, narrow");
    let parts = golden.parts.into_values().flat_map(BTreeMap::into_values);
    parts
        .map(|(own, shape)| (own, Raw::zeros(&shape)))
        .collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, raw)| {
        let view = TensorView::new(raw.dtype, raw.shape.clone(), &raw.data).unwrap();
        (name, view)
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn open(tensors: &Tensors) -> Result<Checkpoint, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    write(&path, tensors);
    Checkpoint::open(&Source::Path(path)).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(tensors: &Tensors, parts: &[&str]) {
    let message = open(tensors).map(|_| ()).expect_err("should be refused");
    for part in parts {
        assert!(message.contains(part), "{message:?} should say {part:?}");
    }
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
    flat.to_vec1().unwrap()
}

fn run(folder: &TempDir, args: &[&str]) -> Assert {
    cargo_bin_cmd!("diffuscope")
        .current_dir(folder.path())
        .args(args)
        .assert()
}

/// The picture's pixels; what a PNG says about the model is another thing.
fn pixels(path: &Path) -> Vec<u8> {
    image::open(path).unwrap().to_rgb8().into_raw()
}

#[test]
fn a_folder_and_a_single_file_of_the_same_weights_draw_the_same_picture() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("single.safetensors"), &little_world());
    let ask = |model: &str, png: &str| {
        let args = [
            "run",
            "-p",
            "a cat on the beach",
            "--guidance",
            "3",
            "--steps",
            "3",
            "--model",
            model,
            "--device",
            "cpu",
            "--png",
            png,
        ];
        run(&folder, &args).success();
        pixels(&folder.path().join(png))
    };
    let whole = embedded_folder();
    let expected = ask(whole.to_str().unwrap(), "folder.png");
    assert!(ask("single.safetensors", "single.png") == expected);
}

#[test]
fn a_single_file_has_the_folders_networks_and_values() {
    let folder = Checkpoint::open(&Source::Embedded).unwrap();
    let single = open(&little_world()).unwrap();
    assert_eq!(single.name, "model");
    assert_eq!(single.text_encoder, folder.text_encoder);
    assert_eq!(single.unet, folder.unet);
    assert_eq!(single.vae, folder.vae);
    for component in Component::ALL {
        assert_eq!(single.parameters(component), folder.parameters(component));
        let weights = |checkpoint: &Checkpoint| {
            checkpoint
                .weights(component, DType::F32, &Device::Cpu)
                .unwrap()
        };
        let (ours, theirs) = (weights(&single), weights(&folder));
        for parameter in folder.parameters(component) {
            let get = |weights: &candle_nn::VarBuilder| {
                values(&weights.get(&parameter.shape[..], &parameter.name).unwrap())
            };
            assert!(get(&ours) == get(&theirs), "{}", parameter.name);
        }
    }
    let tokens = single.tokenizer().unwrap().encode("a cat").unwrap();
    assert_eq!(tokens.ids()[..4], [49406, 320, 2368, 49407]);
}

#[test]
fn the_structure_of_stable_diffusion_v1_is_read_from_the_shapes() {
    let checkpoint = open(&narrow()).unwrap();
    let unet = &checkpoint.unet;
    assert_eq!(unet.block_out_channels, [32, 64, 128, 128]);
    assert_eq!(unet.layers_per_block, 2);
    assert_eq!(unet.attention_heads, [8; 4]);
    assert_eq!(unet.norm_num_groups, 32);
    assert_eq!(unet.cross_attention_dim, 64);
    assert_eq!(unet.up_block_types[0], UpBlockType::Plain);
    assert_eq!(unet.up_block_types[1..], [UpBlockType::CrossAttn; 3]);
    assert_eq!(unet.sample_size, (64, 64));
    assert_eq!(checkpoint.vae.block_out_channels, [32, 32, 64, 64]);
    assert_eq!(checkpoint.vae.layers_per_block, 2);
    assert_eq!(checkpoint.vae.sample_size, 512);
    let text = &checkpoint.text_encoder;
    assert_eq!((text.num_hidden_layers, text.num_attention_heads), (2, 1));
    let scheduler = &checkpoint.scheduler;
    assert_eq!(scheduler.prediction_type, PredictionType::Epsilon);
    assert!((scheduler.beta_start - 0.00085).abs() < 1e-12);
    assert_eq!(scheduler.steps_offset, Some(1));
    let golden = golden("Stable Diffusion v1, narrow");
    for component in Component::ALL {
        let names: Vec<String> = checkpoint
            .parameters(component)
            .into_iter()
            .map(|parameter| parameter.name)
            .collect();
        let expected: Vec<&String> = golden.parts[component.name()].keys().collect();
        assert!(names.iter().eq(expected), "{}", component.name());
    }
}

#[test]
fn what_belongs_to_no_network_does_no_harm() {
    let mut tensors = narrow();
    for name in [
        "model_ema.decay",
        "alphas_cumprod",
        "cond_stage_model.transformer.text_model.embeddings.position_ids",
    ] {
        tensors.insert(name.to_owned(), Raw::zeros(&[3]));
    }
    assert!(open(&tensors).is_ok());
    tensors.insert("v_pred".to_owned(), Raw::zeros(&[0]));
    let checkpoint = open(&tensors).unwrap();
    assert_eq!(
        checkpoint.scheduler.prediction_type,
        PredictionType::VPrediction
    );
}

#[test]
fn older_files_without_the_text_models_prefix_are_read() {
    let prefix = "cond_stage_model.transformer.text_model.";
    let tensors = narrow()
        .into_iter()
        .map(|(name, raw)| (name.replace(prefix, "cond_stage_model.transformer."), raw))
        .collect();
    assert!(open(&tensors).is_ok());
}

#[test]
fn a_tensor_that_is_missing_or_misshapen_is_named_as_the_file_names_it() {
    let whole = narrow();
    for (name, _) in whole.iter().step_by(97) {
        let mut tensors = whole.clone();
        tensors.remove(name);
        refused(
            &tensors,
            &[&format!("tensor {name} is missing"), "incomplete"],
        );
    }
    let name = "model.diffusion_model.middle_block.1.transformer_blocks.0.ff.net.2.weight";
    let mut tensors = whole;
    tensors.insert(name.to_owned(), Raw::zeros(&[128, 256]));
    refused(
        &tensors,
        &[
            &format!("tensor {name} has shape [128, 256], expected [128, 512]"),
            "from the shapes of the others",
        ],
    );
}

#[test]
fn what_is_not_stable_diffusion_v1_is_refused_by_its_name() {
    for (name, says) in [
        (
            "conditioner.embedders.0.transformer.text_model.final_layer_norm.bias",
            "Stable Diffusion XL",
        ),
        (
            "cond_stage_model.model.transformer.resblocks.0.ln_1.bias",
            "Stable Diffusion 2; convert it with diffusers",
        ),
        (
            "model.diffusion_model.joint_blocks.0.x_block.attn.qkv.bias",
            "Stable Diffusion 3",
        ),
        ("double_blocks.0.img_attn.norm.key_norm.scale", "FLUX"),
        (
            "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight",
            "it is a LoRA",
        ),
        ("control_model.input_hint_block.0.bias", "a ControlNet"),
        ("encoder.down.0.block.0.conv1.bias", "an autoencoder alone"),
    ] {
        let tensors = Tensors::from([(name.to_owned(), Raw::zeros(&[4]))]);
        refused(&tensors, &[says, "Stable Diffusion v1"]);
    }
    for (names, says) in [
        (
            &["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"][..],
            "it is a LoRA",
        ),
        (
            &["unet.down_blocks.0.attentions.0.to_q.lora_A.weight"],
            "it is a LoRA",
        ),
        (
            &["unet.down_blocks.0.attentions.0.processor.to_q_lora.down.weight"],
            "it is a LoRA",
        ),
        (
            &["down_blocks.0.attentions.0.to_q.lora_linear_layer.up.weight"],
            "it is a LoRA",
        ),
        (
            &["text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_B.weight"],
            "it is a LoRA",
        ),
        (&["unet:0:up", "unet:0:down"], "it is a LoRA"),
        (
            &[
                "lora_unet_mid_block.lora_down.weight",
                "lora_unet_mid_block.dora_scale",
            ],
            "it is a DoRA",
        ),
        (&["lora_unet_mid_block.hada_w1_a"], "it is a LoHa"),
        (&["lora_unet_mid_block.lokr_w1"], "it is a LoKr"),
        (&["lora_unet_mid_block.oft_blocks"], "it is an OFT"),
        (&["lora_unet_mid_block.on_input"], "it is an IA3"),
        (&["lora_unet_mid_block.diff"], "it is a LoRA"),
        (&["lycoris_mid_block.diff"], "it is a LyCORIS"),
        (&["emb_params"], "it is a textual inversion"),
        (&["string_to_param.*"], "it is a textual inversion"),
        (&["<cat-toy>"], "it is a textual inversion"),
        (&["clip_l", "clip_g"], "it is a textual inversion"),
        (
            &["image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"],
            "it is an IP-Adapter",
        ),
        (
            &["down_blocks.0.motion_modules.0.temporal_transformer.norm.weight"],
            "it is a motion module",
        ),
        (
            &[
                "down_blocks.0.motion_modules.0.norm.weight",
                "controlnet_cond_embedding.conv_in.weight",
            ],
            "it is a SparseCtrl",
        ),
        (
            &["down_blocks.0.motion_modules.0.attn.processor.to_q_lora.down.weight"],
            "it is a motion LoRA",
        ),
        (
            &[
                "model.diffusion_model.input_blocks.1.0.time_mixer.mix_factor",
                "conditioner.embedders.0.open_clip.model.visual.proj",
            ],
            "Stable Video Diffusion",
        ),
        (
            &["down_blocks.0.attentions.0.temporal_transformer_blocks.0.norm.weight"],
            "Stable Video Diffusion",
        ),
        (
            &["controlnet_cond_embedding.conv_in.weight"],
            "it is a ControlNet",
        ),
        (
            &["input_hint_block.0.weight", "zero_convs.0.0.weight"],
            "it is a ControlNet",
        ),
        (
            &["lllite_unet_input_blocks_1.conditioning1.0.weight"],
            "it is a ControlNet-LLLite",
        ),
        (
            &["lora_controlnet", "input_blocks.0.0.up"],
            "it is a Control-LoRA",
        ),
        (
            &["adapter.body.0.resnets.0.block1.weight"],
            "it is a T2I-Adapter",
        ),
        (
            &["body.0.block1.weight", "conv_in.weight"],
            "it is a T2I-Adapter",
        ),
        (
            &["model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"],
            "it is an upscaler",
        ),
        (
            &["conv_first.weight", "body.0.rdb1.conv1.weight"],
            "it is an upscaler",
        ),
        (&["body.0.weight", "body.1.weight"], "it is an upscaler"),
        (
            &[
                "concept_embeds",
                "vision_model.vision_model.post_layernorm.bias",
            ],
            "it is the safety checker",
        ),
        (
            &["vision_model.embeddings.class_embedding"],
            "CLIP's image encoder",
        ),
        (&["visual.conv1.weight"], "CLIP's image encoder"),
        (
            &[
                "vision_model.post_layernorm.bias",
                "text_model.final_layer_norm.bias",
            ],
            "CLIP with both",
        ),
        (&["encoder.block.0.layer.0.SelfAttention.q.weight"], "T5"),
        (&["768.0.linear.0.weight"], "it is a hypernetwork"),
        (
            &["conditioner.embedders.1.model.ln_final.bias"],
            "a checkpoint of Stable Diffusion XL",
        ),
        (
            &["conditioner.embedders.0.model.ln_final.bias"],
            "the refiner of Stable Diffusion XL",
        ),
        (
            &["model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale"],
            "FLUX",
        ),
        (
            &[
                "adaln_single.linear.weight",
                "caption_projection.linear_1.weight",
            ],
            "PixArt",
        ),
        (
            &["transformer_blocks.0.attn.add_q_proj.weight"],
            "a diffusion transformer",
        ),
        (
            &["encoder.layers.1.conv.0.weight", "decoder.layers.1.weight"],
            "a tiny autoencoder",
        ),
        (&["1.weight", "3.conv.0.weight"], "a tiny autoencoder"),
        (
            &["decoder.up_blocks.0.resnets.0.conv1.bias"],
            "the autoencoder of a folder",
        ),
        (
            &[
                "add_embedding.linear_1.weight",
                "time_embedding.linear_1.weight",
            ],
            "the UNet of Stable Diffusion XL",
        ),
        (
            &[
                "encoder.layers.0.mlp.fc1.weight",
                "embeddings.token_embedding.weight",
            ],
            "the text encoder of a folder",
        ),
        (
            &["input_blocks.0.0.weight", "out.2.weight"],
            "a UNet, with its original names",
        ),
        (
            &[
                "time_embedding.linear_1.bias",
                "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight",
            ],
            "the UNet of a folder",
        ),
        (
            &["time_embedding.linear_1.bias", "conv_in.weight"],
            "a UNet that takes no prompt",
        ),
        (
            &["encoder.down_blocks.0.0.conv1.weight"],
            "an autoencoder of another structure",
        ),
        (
            &["clip_mean", "transformer_blocks.0.attn1.to_q.weight"],
            "a prior",
        ),
        (&["a", "b"], "no kind that this program knows (a, b)"),
    ] {
        let tensors = names
            .iter()
            .map(|name| ((*name).to_owned(), Raw::zeros(&[4])))
            .collect();
        refused(&tensors, &[says, "Stable Diffusion v1"]);
    }
    let vector = Tensors::from([("anything".to_owned(), Raw::zeros(&[2, 768]))]);
    refused(
        &vector,
        &["it is a textual inversion", "load_textual_inversion"],
    );
    for (channels, says) in [(9, "made for inpainting"), (8, "InstructPix2Pix")] {
        let mut tensors = narrow();
        let name = "model.diffusion_model.input_blocks.0.0.weight".to_owned();
        tensors.insert(name, Raw::zeros(&[32, channels, 3, 3]));
        refused(&tensors, &[says, &format!("takes {channels} channels")]);
    }
    let without = |prefix: &str| {
        let tensors = narrow();
        let kept = tensors
            .into_iter()
            .filter(|(name, _)| !name.starts_with(prefix));
        kept.collect::<Tensors>()
    };
    refused(&without("cond_stage_model."), &["it has no text encoder"]);
    refused(&without("first_stage_model."), &["it has no autoencoder"]);
    // With the others there, a network under other names is not one that is alone.
    let unet = "model.diffusion_model.";
    let bare = narrow().into_iter().map(|(name, tensor)| {
        let bare = name.strip_prefix(unet).map(str::to_owned);
        (bare.unwrap_or(name), tensor)
    });
    let named = "it has no UNet (tensors named model.diffusion_model.…)";
    refused(&bare.collect::<Tensors>(), &[named]);
}

#[test]
fn what_the_shapes_do_not_tell_is_not_guessed() {
    // 24 channels have no 32 groups, and are not the embedded model's.
    let mut tensors = narrow();
    let name = "model.diffusion_model.input_blocks.1.0.out_layers.3.weight".to_owned();
    tensors.insert(name, Raw::zeros(&[24, 24, 3, 3]));
    refused(&tensors, &["24 channels", "number of groups is not known"]);
    let mut tensors = narrow();
    let name = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight";
    tensors.insert(name.to_owned(), Raw::zeros(&[49408, 80]));
    refused(&tensors, &["80 wide", "number of heads is not known"]);
    // Sizes with which nobody can reckon.
    for shape in [[usize::MAX, 0], [0, 64], [1 << 40, 0]] {
        let mut tensors = narrow();
        tensors.insert(name.to_owned(), Raw::zeros(&shape));
        refused(&tensors, &[name, "expected 2 dimensions from 1 to"]);
    }
    let mut tensors = narrow();
    let name = "model.diffusion_model.input_blocks.4.0.out_layers.3.weight";
    tensors.insert(name.to_owned(), Raw::zeros(&[usize::MAX, 0, 3, 3]));
    refused(&tensors, &[name, "expected 4 dimensions from 1 to"]);
}

#[test]
fn pickled_files_are_refused_with_the_reason_and_the_way_to_convert_them() {
    let folder = TempDir::new().unwrap();
    // A ZIP archive as torch.save begins it.
    let mut torch = b"PK\x03\x04\0\0\x08\x08".to_vec();
    torch.resize(26, 0);
    torch.extend(b"\x10\0\0\0archive/data.pkl\x80\x02}q");
    let torch = &torch[..];
    for (name, contents) in [
        ("model.ckpt", &b"x"[..]),
        ("model.bin", b"x"),
        ("model.pt", b"x"),
        ("model.pth", b"x"),
        // By what they begin with, whatever they are called.
        ("renamed.safetensors", torch),
        ("model", b"\x80\x02}q"),
    ] {
        fs::write(folder.path().join(name), contents).unwrap();
        run(
            &folder,
            &["run", "-p", "a cat", "--model", &format!("./{name}")],
        )
        .code(1)
        .stderr(contains("pickle").and(contains("can run code")))
        .stderr(contains(format!("from_single_file(\"./{name}\")")))
        .stderr(contains("safe_serialization=True"));
    }
    fs::write(folder.path().join("notes.txt"), "x").unwrap();
    run(&folder, &["model", "check", "notes.txt"])
        .code(1)
        .stderr(contains("it is plain text and not a checkpoint"));
}

// ---- model check

#[test]
fn check_says_what_is_in_a_model_and_that_it_can_be_run() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join("single.safetensors"), &little_world());
    for model in ["little-world", "single.safetensors"] {
        run(&folder, &["model", "check", model])
            .success()
            .stdout(contains("can be run").and(contains("cannot").not()))
            .stdout(contains("text_encoder").and(contains("unet")))
            .stdout(contains("F16").and(contains("the noise (epsilon)")));
    }
    let bytes = fs::read(folder.path().join("single.safetensors")).unwrap();
    let report = json(&run(&folder, &["model", "check", "single.safetensors", "--json"]).success());
    assert_eq!(report["sha256"], sha256(&bytes));
    assert_eq!(report["can_run"], true);
    assert_eq!(report["picture_size"], serde_json::json!([128, 128]));
    let unet = &report["components"][1];
    assert_eq!(unet["component"], "unet");
    let golden = golden("Little World");
    assert_eq!(unet["tensors"], golden.parts["unet"].len());
    let parameters: usize = golden.parts["unet"]
        .values()
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    assert_eq!(unet["parameters"], parameters);
    assert_eq!(unet["dtypes"]["F16"], parameters);
}

#[test]
fn check_names_every_tensor_that_does_not_fit() {
    let folder = TempDir::new().unwrap();
    let mut tensors = little_world();
    let gone = [
        "model.diffusion_model.out.0.bias",
        "model.diffusion_model.middle_block.0.in_layers.0.bias",
        "first_stage_model.decoder.norm_out.weight",
    ];
    for name in gone {
        assert!(tensors.remove(name).is_some());
    }
    let misshapen = "first_stage_model.decoder.conv_out.bias";
    tensors.insert(misshapen.to_owned(), Raw::zeros(&[7]));
    tensors.insert("something.else".to_owned(), Raw::zeros(&[1]));
    write(&folder.path().join("single.safetensors"), &tensors);
    let mut assert = run(&folder, &["model", "check", "single.safetensors"])
        .code(1)
        .stdout(contains("cannot be run"))
        .stdout(contains(format!(
            "tensor {misshapen} has shape [7], expected [3]"
        )))
        .stdout(contains("something.else"))
        .stderr(contains("cannot be run").and(contains("2 tensors do not fit")));
    for name in gone {
        let says = contains(format!("tensor {name} of shape"));
        assert = assert.stdout(says);
    }
    let report = json(&run(&folder, &["model", "check", "single.safetensors", "--json"]).code(1));
    assert_eq!(report["can_run"], false);
    let wrong = report["components"][2]["wrong"].as_array().unwrap();
    assert_eq!(wrong.len(), 2);
    let shape = wrong.iter().find(|wrong| wrong["problem"] == "shape");
    assert_eq!(shape.unwrap()["found"], serde_json::json!([7]));
    assert_eq!(
        report["other_tensors"],
        serde_json::json!(["something.else"])
    );
}

#[test]
fn check_reports_all_parts_of_a_broken_folder_at_once() {
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("model");
    for file in [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ] {
        fs::create_dir_all(model.join(file).parent().unwrap()).unwrap();
        fs::copy(embedded_folder().join(file), model.join(file)).unwrap();
    }
    fs::write(model.join("scheduler/scheduler_config.json"), "{").unwrap();
    let vae = model.join("vae/diffusion_pytorch_model.safetensors");
    let whole = fs::read(&vae).unwrap();
    fs::write(&vae, &whole[..whole.len() / 2]).unwrap();
    let assert = run(&folder, &["model", "check", "model"])
        .code(1)
        .stdout(contains("the text encoder's weights are missing"))
        .stdout(contains("scheduler_config.json: not a valid JSON object"))
        .stdout(contains("truncated"));
    // What is sound is reported all the same.
    let golden = golden("Little World");
    let count = golden.parts["unet"].len().to_string();
    assert.stdout(predicates::str::is_match(format!("unet +{count} .*none")).unwrap());
}

fn json(assert: &Assert) -> Value {
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    format!("{:x}", Sha256::digest(bytes))
}

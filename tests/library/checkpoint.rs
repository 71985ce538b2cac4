//! Checkpoints as they come: sound ones are read, broken ones are refused with a message that says what is wrong,
//! where, and what to do.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use diffuscope::checkpoint::{Checkpoint, Component, Parameter, Source};
use diffuscope::kernels::Backend;
use diffuscope::model::config::{Activation, DownBlockType, UpBlockType};
use diffuscope::scheduler::{Schedule, SchedulerKind};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::config_keys::said_in_chinese;

const TEXT: &str = "text_encoder/model.safetensors";
const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

const WEIGHTS: [(&str, &str); 3] = [("text_encoder", TEXT), ("unet", UNET), ("vae", VAE)];

const FILES: [&str; 11] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    TEXT,
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    UNET,
    "vae/config.json",
    VAE,
];

/// A copy of the embedded checkpoint as a folder, to be changed.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        for file in FILES.into_iter().chain(["diffuscope.json"]) {
            let to = folder.path(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            // Not every checkpoint has settings for this program.
            if FILES.contains(&file) || original(file).exists() {
                link(&original(file), &to);
            }
        }
        folder
    }

    /// A checkpoint of Stable Diffusion v1's structure, narrow, with weights of zero.
    fn narrow() -> Self {
        let folder = Self::new();
        folder.write_networks(&goldens()[0].parts);
        folder
    }

    fn write_networks(&self, parts: &BTreeMap<String, Network>) {
        for (part, file) in WEIGHTS {
            self.write(
                &format!("{part}/config.json"),
                parts[part].config.to_string(),
            );
            self.write(file, parts[part].file(None));
        }
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub(super) fn remove(&self, file: &str) -> &Self {
        fs::remove_file(self.path(file)).unwrap();
        self
    }

    pub(super) fn write(&self, file: &str, contents: impl AsRef<[u8]>) -> &Self {
        let _ = fs::remove_file(self.path(file));
        fs::write(self.path(file), contents).unwrap();
        self
    }

    /// Changes keys of a JSON file.
    #[allow(clippy::needless_pass_by_value)]
    pub(super) fn set(&self, file: &str, changes: Value) -> &Self {
        let mut json: Value = serde_json::from_slice(&fs::read(self.path(file)).unwrap()).unwrap();
        for (key, value) in changes.as_object().unwrap() {
            json[key] = value.clone();
        }
        self.write(file, json.to_string())
    }

    /// Rewrites a weights file: `change` gets each tensor and returns what stands in its place.
    pub(super) fn rewrite(&self, file: &str, change: impl Fn(Raw) -> Option<Raw>) -> &Self {
        let bytes = fs::read(self.path(file)).unwrap();
        let tensors: Vec<Raw> = SafeTensors::deserialize(&bytes)
            .unwrap()
            .iter()
            .filter_map(|(name, view)| {
                change(Raw {
                    name: name.to_owned(),
                    dtype: view.dtype(),
                    shape: view.shape().to_vec(),
                    data: view.data().to_vec(),
                })
            })
            .collect();
        let views = tensors.iter().map(|raw| {
            let view = TensorView::new(raw.dtype, raw.shape.clone(), &raw.data).unwrap();
            (raw.name.clone(), view)
        });
        self.write(file, safetensors::serialize(views, None).unwrap())
    }

    /// It opened; the inspector knows whatever is said of it in Chinese, too.
    pub(super) fn open(&self) -> Result<Checkpoint, String> {
        let opened = open(self.0.path())?;
        said_in_chinese(&opened.notes);
        Ok(opened)
    }

    /// The folder is refused, with all of `parts` in the message.
    #[track_caller]
    pub(super) fn refused(&self, parts: &[&str]) {
        refused(self.open().map(|_| ()), parts);
    }
}

pub(super) struct Raw {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<u8>,
}

pub(super) fn original(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("lessons/little-world/checkpoint")
        .join(file)
}

#[cfg(unix)]
pub(super) fn link(from: &Path, to: &Path) {
    std::os::unix::fs::symlink(from, to).unwrap();
}

#[cfg(not(unix))]
pub(super) fn link(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

fn open(path: &Path) -> Result<Checkpoint, String> {
    Checkpoint::open(&Source::Path(path.to_owned())).map_err(|error| error.to_string())
}

#[track_caller]
pub(super) fn refused(result: Result<(), String>, parts: &[&str]) {
    let message = result.expect_err("should be refused");
    for part in parts {
        assert!(message.contains(part), "{message:?} should say {part:?}");
    }
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

/// A small checkpoint, from goldens/layout.json (made by goldens/layout.py).
#[derive(serde::Deserialize)]
struct Golden {
    title: String,
    parts: BTreeMap<String, Network>,
}

fn goldens() -> Vec<Golden> {
    serde_json::from_str(include_str!("../goldens/layout.json")).unwrap()
}

/// A network as diffusers or transformers builds it.
#[derive(serde::Deserialize)]
struct Network {
    config: Value,
    tensors: BTreeMap<String, Vec<usize>>,
}

impl Network {
    /// A weights file of zeros, without the tensor `left_out`.
    fn file(&self, left_out: Option<&str>) -> Vec<u8> {
        let zeros = vec![0_u8; 2 * 200_000];
        let views = self
            .tensors
            .iter()
            .filter(|(name, _)| left_out != Some(name.as_str()))
            .map(|(name, shape)| {
                let bytes = &zeros[..2 * shape.iter().product::<usize>()];
                let view = TensorView::new(Dtype::F16, shape.clone(), bytes).unwrap();
                (name, view)
            });
        safetensors::serialize(views, None).unwrap()
    }
}

#[test]
fn little_world_is_a_small_stable_diffusion_v1() {
    let checkpoint = Checkpoint::open(&Source::parse("little-world")).unwrap();
    assert_eq!(checkpoint.name, "little-world");
    let text = &checkpoint.text_encoder;
    assert_eq!((text.vocab_size, text.max_position_embeddings), (49408, 77));
    assert_eq!(text.hidden_act, Activation::QuickGelu);
    let unet = &checkpoint.unet;
    assert_eq!((unet.in_channels, unet.out_channels), (4, 4));
    assert_eq!(unet.cross_attention_dim, text.hidden_size);
    assert_eq!(unet.down_block_types[0], DownBlockType::CrossAttn);
    assert_eq!(unet.up_block_types.last(), Some(&UpBlockType::CrossAttn));
    assert_eq!(unet.attention_heads.len(), unet.block_out_channels.len());
    assert!((checkpoint.vae.scaling_factor - 0.18215).abs() < 1e-12);
    assert_eq!(
        checkpoint.vae.scale() * unet.sample_size.0,
        checkpoint.vae.sample_size
    );
    assert_eq!(checkpoint.tokenizer().unwrap().max_length(), 77);
}

#[test]
fn the_same_files_in_a_folder_are_the_same_checkpoint() {
    let embedded = Checkpoint::open(&Source::Embedded).unwrap();
    let folder = Folder::new();
    let copy = folder.open().unwrap();
    assert_eq!(copy.unet, embedded.unet);
    assert_eq!(copy.sha256().unwrap(), embedded.sha256().unwrap());
    assert_eq!(embedded.sha256().unwrap().len(), 64);
    let name = folder.0.path().file_name().unwrap().to_string_lossy();
    assert_eq!(copy.name, name);
    for component in [Component::TextEncoder, Component::UNet, Component::Vae] {
        assert_eq!(copy.parameters(component), embedded.parameters(component));
    }
    let with_a_dot = open(&folder.0.path().join(".")).unwrap();
    assert_eq!(with_a_dot.name, name);
}

#[test]
fn another_weight_or_setting_is_another_checkpoint() {
    let embedded = Checkpoint::open(&Source::Embedded).unwrap();
    let folder = Folder::new();
    folder.rewrite(VAE, |mut raw| {
        if raw.name == "decoder.conv_out.bias" {
            raw.data[0] ^= 1;
        }
        Some(raw)
    });
    let changed = folder.open().unwrap();
    assert_ne!(changed.sha256().unwrap(), embedded.sha256().unwrap());
    let folder = Folder::new();
    folder.set(
        "scheduler/scheduler_config.json",
        json!({"beta_end": 0.013}),
    );
    let changed = folder.open().unwrap();
    assert_ne!(changed.sha256().unwrap(), embedded.sha256().unwrap());
}

#[test]
fn weights_have_the_values_of_the_file_in_the_type_that_is_asked_for() {
    let checkpoint = Checkpoint::open(&Source::Embedded).unwrap();
    for (component, file) in [
        (Component::TextEncoder, TEXT),
        (Component::UNet, UNET),
        (Component::Vae, VAE),
    ] {
        let stored = candle_core::safetensors::load(original(file), &Device::Cpu).unwrap();
        let weights = checkpoint
            .weights(component, DType::F32, &Device::Cpu)
            .unwrap();
        assert_eq!(checkpoint.parameters(component).len(), stored.len());
        for (name, expected) in stored {
            let found = weights
                .get(expected.shape(), &name)
                .or_else(|_| weights.get(expected.shape(), &format!("text_model.{name}")))
                .unwrap();
            assert_eq!(found.dtype(), DType::F32);
            assert_eq!(values(&found), values(&expected), "{name}");
        }
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap();
    flat.to_vec1().unwrap()
}

#[test]
fn weights_in_single_and_in_brain_precision_are_read_too() {
    let name = "decoder.conv_out.bias";
    let numbers = [0.1_f32, -2.5, 3.0e-5];
    for (dtype, data, expected) in [
        (
            Dtype::F32,
            numbers
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect::<Vec<u8>>(),
            numbers,
        ),
        (
            Dtype::BF16,
            numbers
                .iter()
                .flat_map(|x| [x.to_le_bytes()[2], x.to_le_bytes()[3]])
                .collect(),
            // bfloat16 is the upper half of a float.
            numbers.map(|x| f32::from_bits(x.to_bits() & 0xFFFF_0000)),
        ),
    ] {
        let folder = Folder::new();
        folder.rewrite(VAE, |raw| {
            let data = data.clone();
            Some(if raw.name == name {
                Raw { dtype, data, ..raw }
            } else {
                raw
            })
        });
        let weights = folder
            .open()
            .unwrap()
            .weights(Component::Vae, DType::F32, &Device::Cpu)
            .unwrap();
        let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let found = values(&weights.get(3, name).unwrap());
        assert_eq!(bits(&found), bits(&expected));
    }
}

#[test]
fn asking_for_a_tensor_that_is_not_there_or_has_another_shape_is_an_error() {
    let checkpoint = Checkpoint::open(&Source::Embedded).unwrap();
    let weights = checkpoint
        .weights(Component::UNet, DType::F32, &Device::Cpu)
        .unwrap();
    assert!(weights.pp("conv_in").contains_tensor("weight"));
    assert!(!weights.pp("conv_in").contains_tensor("gamma"));
    let missing = weights.pp("conv_in").get(1, "gamma").map(|_| ());
    refused(
        missing.map_err(|error| error.to_string()),
        &[UNET, "tensor conv_in.gamma is missing"],
    );
    let shape = weights.get((4, 4), "conv_in.bias").map(|_| ());
    refused(
        shape.map_err(|error| error.to_string()),
        &[UNET, "tensor conv_in.bias has shape [", "expected [4, 4]"],
    );
}

#[test]
fn tensor_names_of_the_text_encoder_may_have_their_prefix() {
    let folder = Folder::new();
    folder.rewrite(TEXT, |raw| {
        let name = format!("text_model.{}", raw.name.trim_start_matches("text_model."));
        Some(Raw { name, ..raw })
    });
    let embedded = Checkpoint::open(&Source::Embedded).unwrap();
    assert_eq!(
        folder.open().unwrap().parameters(Component::TextEncoder),
        embedded.parameters(Component::TextEncoder)
    );
}

#[test]
fn older_names_and_shapes_of_the_autoencoders_attention_are_known() {
    let folder = Folder::new();
    folder.rewrite(VAE, |mut raw| {
        for (new, old) in [
            ("to_q", "query"),
            ("to_k", "key"),
            ("to_v", "value"),
            ("to_out.0", "proj_attn"),
        ] {
            if raw.name.contains(new) {
                raw.name = raw.name.replace(new, old);
                if raw.shape.len() == 2 {
                    raw.shape.extend([1, 1]);
                }
            }
        }
        Some(raw)
    });
    let checkpoint = folder.open().unwrap();
    let weights = checkpoint
        .weights(Component::Vae, DType::F32, &Device::Cpu)
        .unwrap();
    let attention = weights.pp("decoder.mid_block.attentions.0");
    assert!(attention.contains_tensor("query.weight"));
    assert!(!attention.contains_tensor("to_q.weight"));
}

#[test]
fn weights_in_half_precision_serve_where_the_plain_file_is_absent() {
    let folder = Folder::new();
    let half = "unet/diffusion_pytorch_model.fp16.safetensors";
    fs::rename(folder.path(UNET), folder.path(half)).unwrap();
    let embedded = Checkpoint::open(&Source::Embedded).unwrap();
    assert_eq!(
        folder.open().unwrap().parameters(Component::UNet),
        embedded.parameters(Component::UNet)
    );
}

#[test]
fn what_a_checkpoint_says_to_this_program_is_read() {
    let folder = Folder::new();
    let extras = json!({
        "default_guidance": 4.5,
        "latent_rgb": {"weight": [[1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 0, 0.5]], "bias": [0, 0, 1]},
    });
    folder.write("diffuscope.json", extras.to_string());
    let extras = folder.open().unwrap().extras;
    assert_eq!(extras.default_guidance, Some(4.5));
    let latent_rgb = extras.latent_rgb.unwrap();
    assert_eq!(format!("{:?}", latent_rgb.weight[1]), "[4.0, 5.0, 6.0]");
    folder.write("diffuscope.json", r#"{"default_guidance": -1}"#);
    folder.refused(&["diffuscope.json", "default_guidance is -1"]);
    folder.write("diffuscope.json", r#"{"latent_rgb": {"weight": []}}"#);
    folder.refused(&["diffuscope.json", "latent_rgb is", "four lists of three"]);
    folder.write("diffuscope.json", r#"{"default_scheduler": "unipc"}"#);
    folder.refused(&["diffuscope.json", "\"unipc\", expected one of lms"]);
    // More than a request may have.
    folder.write("diffuscope.json", r#"{"default_guidance": 101}"#);
    folder.refused(&["diffuscope.json", "default_guidance is 101"]);
    let map = json!({"weight": [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], "bias": [0, 0, 0], "gamma": 2});
    let unknown = json!({"default_guidence": 3, "latent_rgb": map, "_comment": "x"});
    folder.write("diffuscope.json", unknown.to_string());
    assert_eq!(
        folder.open().unwrap().notes,
        [
            "diffuscope.json: this program does not know default_guidence (3); it is ignored",
            "diffuscope.json: latent_rgb: this program does not know gamma (2); it is ignored",
        ]
    );
    // A preferred sampler that cannot do what the noise schedule asks for.
    folder.write("diffuscope.json", r#"{"default_scheduler": "euler-a"}"#);
    folder.set(
        "scheduler/scheduler_config.json",
        json!({"prediction_type": "sample"}),
    );
    let notes = folder.open().unwrap().notes;
    assert!(
        notes[0].starts_with("scheduler/scheduler_config.json: lms runs unless another is asked for, because prediction_type"),
        "{notes:?}"
    );
}

#[test]
fn a_path_that_is_no_checkpoint_is_refused() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| open(&folder.path().join(name)).map(|_| ());
    refused(
        at("nowhere"),
        &["nowhere", "no such file or folder", "little-world"],
    );
    refused(
        at("."),
        &[
            "is not a checkpoint: model_index.json is not in it",
            "unet/config.json",
        ],
    );
    for (name, of_file, of_folder) in [
        (
            "model.safetensors",
            "a web page (HTML) and not a checkpoint",
            "give the path of that file",
        ),
        (
            "notes.txt",
            "a web page (HTML) and not a checkpoint",
            "model_index.json is not in it",
        ),
        ("model.ckpt", "a web page (HTML)", "pickle"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, "<!DOCTYPE html>").unwrap();
        refused(at(name), &[name, of_file]);
        refused(at("."), &[of_folder]);
        fs::remove_file(path).unwrap();
    }
    refused(at("\u{1b}[2Jclear"), &["\\u{1b}[2Jclear"]);
}

#[test]
fn a_missing_file_is_named() {
    for (file, part) in [
        (
            "scheduler/scheduler_config.json",
            "the scheduler's configuration is missing",
        ),
        (
            "text_encoder/config.json",
            "the text encoder's configuration is missing",
        ),
        (TEXT, "the text encoder's weights are missing"),
        (
            "tokenizer/vocab.json",
            "the tokenizer's vocabulary is missing",
        ),
        (
            "tokenizer/merges.txt",
            "the tokenizer's vocabulary is missing",
        ),
        ("unet/config.json", "the UNet's configuration is missing"),
        (UNET, "the UNet's weights are missing"),
        (
            "vae/config.json",
            "the autoencoder's configuration is missing",
        ),
        (VAE, "the autoencoder's weights are missing"),
    ] {
        Folder::new()
            .remove(file)
            .refused(&[part, file, "looked for"]);
    }
}

#[test]
fn optional_files_may_be_missing() {
    let folder = Folder::new();
    folder
        .remove("model_index.json")
        .remove("tokenizer/tokenizer_config.json");
    let tokenizer = folder.open().unwrap().tokenizer().unwrap();
    assert_eq!(tokenizer.max_length(), 77);
}

#[test]
fn pickled_weights_are_refused_with_the_reason() {
    let folder = Folder::new();
    folder
        .remove(UNET)
        .write("unet/diffusion_pytorch_model.bin", "x");
    folder.refused(&[
        "diffusion_pytorch_model.bin",
        "pickle",
        "can run code",
        "safe_serialization",
    ]);
}

#[test]
fn damaged_json_is_refused_with_its_place() {
    for file in FILES.iter().filter(|file| file.ends_with("config.json")) {
        let file = if file.starts_with("tokenizer") {
            "model_index.json"
        } else {
            file
        };
        Folder::new().write(file, "{\n\"a\": \u{7}").refused(&[
            file,
            "not a valid JSON object",
            "line 2",
        ]);
        Folder::new()
            .write(file, "")
            .refused(&[file, "it is empty"]);
        Folder::new()
            .write(file, "[1]")
            .refused(&[file, "not a valid JSON object: it holds a list"]);
        Folder::new()
            .write(file, [0xFF, 0xFE, 0x00])
            .refused(&[file, "text in UTF-16"]);
        Folder::new()
            .write(file, [0x80, 0x81, 0x82])
            .refused(&[file, "not a valid JSON object"]);
    }
}

#[test]
fn truncated_and_damaged_weights_are_refused() {
    let bytes = fs::read(original(UNET)).unwrap();
    let length = bytes.len();
    let cut = |to: usize| {
        let folder = Folder::new();
        folder.write(UNET, &bytes[..to]);
        folder
    };
    cut(0).refused(&[UNET, "it is empty", "again"]);
    cut(5).refused(&[UNET, "truncated", "the file has 5"]);
    cut(1000).refused(&[
        UNET,
        "truncated",
        "its header should have",
        "the file has 1000",
    ]);
    let (whole, short) = (
        format!("should have {length} bytes"),
        format!("has {}", length - 1),
    );
    cut(length - 1).refused(&[UNET, "truncated", &whole, &short, "again"]);
    let mut long = bytes.clone();
    long.push(0);
    Folder::new()
        .write(UNET, long)
        .refused(&[UNET, "damaged", "header describes"]);
    for header in [u64::MAX, u64::MAX - 8, 1 << 40, 99_999_999] {
        let mut giant = bytes.clone();
        giant[..8].copy_from_slice(&header.to_le_bytes());
        let says = format!("its header should have {header} bytes");
        Folder::new().write(UNET, giant).refused(&[UNET, &says]);
    }
    let mut garbage = bytes;
    garbage[8..40].fill(b'?');
    Folder::new()
        .write(UNET, garbage)
        .refused(&[UNET, "not a safetensors file"]);
    let web_page = "<!DOCTYPE html><html>not found</html>";
    Folder::new()
        .write(VAE, web_page)
        .refused(&[VAE, "a web page (HTML) and not a safetensors file"]);
}

#[test]
fn offsets_beyond_the_file_are_refused() {
    let header = br#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([0; 16]);
    Folder::new().write(VAE, bytes).refused(&[VAE, "damaged"]);
}

#[test]
fn tensors_that_are_missing_or_misshapen_are_named() {
    let name = "mid_block.attentions.0.proj_in.bias";
    Folder::new()
        .rewrite(UNET, |raw| (raw.name != name).then_some(raw))
        .refused(&[UNET, &format!("tensor {name} is missing"), "config.json"]);
    Folder::new()
        .rewrite(UNET, |raw| {
            (!raw.name.starts_with("mid_block")).then_some(raw)
        })
        .refused(&[
            UNET,
            "tensor mid_block.",
            " is missing (and ",
            " other tensors do not fit)",
        ]);
    Folder::new()
        .rewrite(VAE, |mut raw| {
            if raw.name == "decoder.conv_out.weight" {
                raw.shape.swap(0, 1);
            }
            Some(raw)
        })
        .refused(&[
            VAE,
            "tensor decoder.conv_out.weight has shape [",
            ", 3, 3, 3], expected [3, ",
        ]);
    Folder::new()
        .rewrite(VAE, |mut raw| {
            if raw.name == "decoder.conv_out.bias" {
                raw.dtype = Dtype::I16;
            }
            Some(raw)
        })
        .refused(&[
            VAE,
            "tensor decoder.conv_out.bias holds numbers of type I16",
            "quantised",
            "F16, BF16 or F32",
        ]);
    // Of another model: its own configuration does not fit.
    Folder::new()
        .set("text_encoder/config.json", json!({"num_hidden_layers": 12}))
        .refused(&[TEXT, "tensor text_model.encoder.layers.", " is missing"]);
    Folder::new()
        .set("text_encoder/config.json", json!({"vocab_size": 1000}))
        .refused(&[
            TEXT,
            "token_embedding.weight has shape [49408, ",
            "expected [1000, ",
        ]);
}

#[test]
fn exactly_the_tensors_of_diffusers_are_needed() {
    for Golden { title, parts } in goldens() {
        let folder = Folder::new();
        folder.write_networks(&parts);
        if let Err(message) = folder.open() {
            panic!("{title}: {message}");
        }
        for (part, file) in WEIGHTS {
            for name in parts[part].tensors.keys().step_by(17) {
                let says = format!("{name} is missing;");
                folder
                    .write(file, parts[part].file(Some(name)))
                    .refused(&[file, &says]);
            }
            folder.write(file, parts[part].file(None));
        }
    }
}

#[test]
fn tensors_that_no_layer_asks_for_do_no_harm() {
    let folder = Folder::new();
    let bytes = fs::read(folder.path(TEXT)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let ids = vec![0_u8; 8 * 77];
    let ids = TensorView::new(Dtype::I64, vec![1, 77], &ids).unwrap();
    let views = file
        .iter()
        .map(|(name, view)| (name.to_owned(), view))
        .chain([("embeddings.position_ids".to_owned(), ids)]);
    let bytes = safetensors::serialize(views, None).unwrap();
    folder.write(TEXT, bytes);
    assert!(folder.open().is_ok());
}

#[test]
fn values_that_cannot_be_are_refused_by_key() {
    let text = "text_encoder/config.json";
    let unet = "unet/config.json";
    let vae = "vae/config.json";
    for (file, key, value, says) in [
        (
            text,
            "hidden_size",
            json!(0),
            "0, expected a whole number from 1",
        ),
        (
            text,
            "hidden_size",
            json!(-96),
            "-96, expected a whole number",
        ),
        (
            text,
            "hidden_size",
            json!("96"),
            "\"96\", expected a whole number",
        ),
        (
            text,
            "vocab_size",
            json!(1e18),
            "expected a whole number from 1",
        ),
        (
            text,
            "num_hidden_layers",
            json!(1_000_000),
            "1000000, expected a whole number from 1 to 256",
        ),
        (
            text,
            "num_attention_heads",
            json!(7),
            "7, expected a divisor of hidden_size",
        ),
        (text, "hidden_act", json!("relu"), "quick_gelu or gelu"),
        (
            text,
            "layer_norm_eps",
            json!(-1),
            "-1, expected a number from",
        ),
        (text, "model_type", json!("t5"), "CLIP's text model"),
        (
            text,
            "max_position_embeddings",
            json!(2),
            "2, expected from 3",
        ),
        (
            unet,
            "block_out_channels",
            json!([63, 64, 64, 64]),
            "an even number of channels first",
        ),
        (
            unet,
            "block_out_channels",
            json!([]),
            "[], expected a list of whole numbers",
        ),
        (
            unet,
            "block_out_channels",
            json!([64, "x", 128]),
            "expected a whole number",
        ),
        (
            unet,
            "down_block_types",
            json!(["DownBlock2D"]),
            "expected 4 blocks",
        ),
        (
            unet,
            "down_block_types",
            json!("DownBlock2D"),
            "expected a list of block types",
        ),
        (
            unet,
            "down_block_types",
            json!(["AttnDownBlock2D"]),
            "\"AttnDownBlock2D\": only these",
        ),
        (
            unet,
            "up_block_types",
            json!([1, 2, 3]),
            "only these block types are supported",
        ),
        (
            unet,
            "mid_block_type",
            json!("UNetMidBlock2D"),
            "must be UNetMidBlock2DCrossAttn",
        ),
        (
            unet,
            "mid_block_type",
            json!(null),
            "must be UNetMidBlock2DCrossAttn",
        ),
        (
            unet,
            "norm_num_groups",
            json!(7),
            "7, expected a divisor of every level's channels",
        ),
        (
            unet,
            "attention_head_dim",
            json!(5),
            "5, expected numbers of heads that divide",
        ),
        (
            unet,
            "attention_head_dim",
            json!([4, 4]),
            "one for each of the 4 blocks",
        ),
        (
            unet,
            "attention_head_dim",
            json!([4, 0, 4, 4]),
            "expected a whole number from 1",
        ),
        (unet, "layers_per_block", json!(1000), "from 1 to 256"),
        (
            unet,
            "layers_per_block",
            json!([1, 2, 1, 1]),
            "the same number for every level",
        ),
        (
            unet,
            "transformer_layers_per_block",
            json!(1000),
            "expected at most 1024 transformer blocks",
        ),
        (
            unet,
            "transformer_layers_per_block",
            json!([1, 2]),
            "one for each of the 4 blocks",
        ),
        (
            unet,
            "reverse_transformer_layers_per_block",
            json!([1, [1, 2], 1, 1]),
            "expected a whole number",
        ),
        (
            unet,
            "cross_attention_dim",
            json!(768),
            "768, expected 24, the text encoder's hidden_size",
        ),
        (unet, "in_channels", json!(9), "made for inpainting"),
        (unet, "in_channels", json!(8), "InstructPix2Pix"),
        (unet, "in_channels", json!(3), "3, expected 4"),
        (
            unet,
            "out_channels",
            json!(8),
            "8, expected 4, as in_channels",
        ),
        (
            unet,
            "addition_embed_type",
            json!("text_time"),
            "Stable Diffusion XL",
        ),
        (unet, "time_cond_proj_dim", json!(256), "latent consistency"),
        (
            unet,
            "class_embed_type",
            json!("timestep"),
            "class embeddings are not supported",
        ),
        (
            unet,
            "num_class_embeds",
            json!(1000),
            "class embeddings are not supported",
        ),
        (
            unet,
            "only_cross_attention",
            json!(true),
            "without self-attention",
        ),
        (
            unet,
            "dual_cross_attention",
            json!(true),
            "two cross-attentions",
        ),
        (unet, "act_fn", json!("gelu"), "must be silu"),
        (unet, "downsample_padding", json!(0), "only a padding of 1"),
        (
            unet,
            "flip_sin_to_cos",
            json!(2),
            "2, expected true or false",
        ),
        (unet, "norm_eps", json!(0), "0, expected a number from"),
        (
            unet,
            "sample_size",
            json!([16, 7]),
            "[16,7], expected from 8 to 1024",
        ),
        (
            unet,
            "_class_name",
            json!("UNet2DModel"),
            "must be UNet2DConditionModel",
        ),
        (
            vae,
            "latent_channels",
            json!(16),
            "16, expected 4, the UNet's in_channels",
        ),
        (vae, "scaling_factor", json!(0), "0, expected a number from"),
        (
            vae,
            "norm_num_groups",
            json!(32),
            "32, expected a divisor of every level's channels",
        ),
        (
            vae,
            "scaling_factor",
            json!(null),
            "null, expected a number",
        ),
        (
            unet,
            "norm_num_groups",
            json!(null),
            "null, expected a whole",
        ),
        (unet, "freq_shift", json!(null), "null, expected a number"),
        (
            unet,
            "num_attention_heads",
            json!(8),
            "it stands in attention_head_dim",
        ),
        (
            text,
            "use_attention_mask",
            json!(true),
            "does not look at padding",
        ),
        (
            text,
            "quantization_config",
            json!({"load_in_8bit": true}),
            "quantised weights are not supported",
        ),
        (
            vae,
            "down_block_types",
            json!(["DownEncoderBlock2D"]),
            "expected 4 blocks",
        ),
        (
            vae,
            "up_block_types",
            json!(["AttnUpDecoderBlock2D"]),
            "only this block type",
        ),
        (vae, "in_channels", json!(4), "4, expected 3"),
        (
            vae,
            "_class_name",
            json!("VQModel"),
            "must be AutoencoderKL",
        ),
    ] {
        Folder::narrow().set(file, json!({key: value})).refused(&[
            file,
            &format!("{key} is "),
            says,
        ]);
    }
}

#[test]
fn a_noise_schedule_that_cannot_be_is_refused() {
    let file = "scheduler/scheduler_config.json";
    for (changes, says) in [
        (
            json!({"beta_schedule": "cosine"}),
            "beta_schedule is \"cosine\", expected one of linear, scaled_linear",
        ),
        (
            json!({"beta_start": "x"}),
            "beta_start is \"x\", expected a number",
        ),
        (json!({"beta_end": -1}), "beta_end is -1"),
        (
            json!({"num_train_timesteps": 0}),
            "num_train_timesteps is 0",
        ),
    ] {
        Folder::new().set(file, changes).refused(&[file, says]);
    }
    let index = json!({"scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"]});
    Folder::new()
        .set("model_index.json", index)
        .refused(&[file, "trained for flow matching"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_is_no_absent_file() {
    for file in ["model_index.json", "diffuscope.json"] {
        let folder = Folder::new();
        let _ = fs::remove_file(folder.path(file));
        link(Path::new("nowhere"), &folder.path(file));
        folder.refused(&[file, "it is a link to nowhere"]);
    }
    for file in ["tokenizer_config", "special_tokens_map", "added_tokens"] {
        let folder = Folder::new();
        let file = format!("tokenizer/{file}.json");
        let _ = fs::remove_file(folder.path(&file));
        link(Path::new("nowhere"), &folder.path(&file));
        let tokenizer = folder.open().unwrap().tokenizer();
        let read = tokenizer.map(drop).map_err(|error| error.to_string());
        refused(read, &[&file, "it is a link to nowhere"]);
    }
}

#[test]
fn a_byte_order_mark_is_named() {
    let marked = |file: &str| {
        let folder = Folder::new();
        let text = fs::read_to_string(folder.path(file)).unwrap();
        folder.write(file, format!("\u{feff}{text}"));
        folder
    };
    marked("unet/config.json").refused(&["unet/config.json", "byte order mark"]);
    let folder = marked("tokenizer/vocab.json");
    let tokenizer = folder.open().unwrap().tokenizer();
    let read = tokenizer.map(drop).map_err(|error| error.to_string());
    refused(read, &["tokenizer/vocab.json", "byte order mark"]);
}

/// As diffusers' `StableDiffusionPipeline.__init__` and, where another sampler is asked for, `from_config` have it.
#[test]
fn old_configurations_are_corrected_as_the_pipeline_does_and_it_is_said() {
    let file = "scheduler/scheduler_config.json";
    let old = |changes: Value| {
        let folder = Folder::new();
        folder.set(file, changes);
        folder.open().unwrap()
    };
    // Written, it is corrected for every sampler.
    let written = old(json!({"steps_offset": 0}));
    assert_eq!(written.scheduler.steps_offset, Some(1));
    assert!(written.notes[0].contains("steps_offset is 0 and taken to be 1"));
    // Absent, it is the file's own sampler's alone: `from_config` leaves defaults out.
    let folder = Folder::new();
    let text = fs::read_to_string(original(file)).unwrap();
    folder.write(file, text.replace("\"steps_offset\": 1,", ""));
    let absent = folder.open().unwrap();
    assert!(absent.notes[0].contains("steps_offset is not set and taken to be 1 for pndm"));
    for (kind, first) in [(SchedulerKind::Pndm, 801.0), (SchedulerKind::Ddim, 800.0)] {
        let schedule = Schedule::new(kind, &absent.scheduler, 5).unwrap();
        assert!(
            (schedule.timesteps[0] - first).abs() < f32::EPSILON,
            "{kind}"
        );
    }
    let clipped = old(json!({"clip_sample": true}));
    assert_eq!(clipped.scheduler.clip_sample, Some(false));
    assert!(clipped.notes[0].contains("clip_sample is true and taken to be false"));
    let sound = Folder::new().open().unwrap();
    assert_eq!(sound.notes, Vec::<String>::new());
    // A wrong size of latents, from before diffusers 0.9.
    let size = |changes: Value| {
        let folder = Folder::narrow();
        folder.set("unet/config.json", changes);
        let checkpoint = folder.open().unwrap();
        (checkpoint.unet.sample_size, checkpoint.notes.len())
    };
    for (version, expected) in [
        ("0.8.1", ((64, 64), 1)),
        ("0.9.0.dev0", ((32, 32), 0)),
        ("0.42.1", ((32, 32), 0)),
    ] {
        let found = size(json!({"_diffusers_version": version, "sample_size": 32}));
        assert_eq!(found, expected, "{version}");
    }
    assert_eq!(
        size(json!({"_diffusers_version": "0.6.0", "sample_size": 96})),
        ((96, 96), 0)
    );
}

#[test]
fn a_run_takes_the_checkpoints_own_sampler_or_says_which_instead() {
    let file = "scheduler/scheduler_config.json";
    let taken = |class: &str, changes: Value| {
        let folder = Folder::new();
        folder.set(file, changes);
        folder.set(
            "model_index.json",
            json!({"scheduler": ["diffusers", class]}),
        );
        folder.remove("diffuscope.json");
        let checkpoint = folder.open().unwrap();
        let kind = checkpoint.extras.default_scheduler(&checkpoint.scheduler);
        (kind, checkpoint.notes.join("\n"))
    };
    for (class, changes, kind, says) in [
        (
            "EulerDiscreteScheduler",
            json!({}),
            SchedulerKind::Euler,
            "",
        ),
        ("PNDMScheduler", json!({}), SchedulerKind::Pndm, ""),
        (
            "DPMSolverMultistepScheduler",
            json!({"use_karras_sigmas": true}),
            SchedulerKind::DpmPlusPlus2MKarras,
            "use_karras_sigmas is true: lms, euler and dpm++-2m take Karras' sigmas",
        ),
        (
            "UniPCMultistepScheduler",
            json!({"solver_type": "bh2", "predict_x0": true}),
            SchedulerKind::Lms,
            "it is for UniPCMultistepScheduler, which is not among the schedulers here: unless another is asked for, lms runs, with what is set here, as LMSDiscreteScheduler.from_config takes it",
        ),
        (
            "DPMSolverMultistepScheduler",
            json!({"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
            SchedulerKind::DpmPlusPlus2M,
            "",
        ),
        (
            "DPMSolverMultistepScheduler",
            json!({"algorithm_type": "dpmsolver"}),
            SchedulerKind::Lms,
            "lms runs unless another is asked for, because",
        ),
    ] {
        let (found, notes) = taken(class, changes);
        assert_eq!(found, kind, "{class}");
        assert!(notes.contains(says), "{notes}");
        assert_eq!(notes.is_empty(), says.is_empty(), "{notes}");
    }
    // diffusers' own DPM-Solver writes this.
    let folder = Folder::new();
    folder.write(
        file,
        r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "steps_offset": 1}"#,
    );
    assert!(folder.open().is_ok());
    // The embedded model is taught with LMS, whatever its file is for.
    let embedded = Checkpoint::open(&Source::Embedded).unwrap();
    assert_eq!(embedded.scheduler.own_kind(), Some(SchedulerKind::Pndm));
    assert_eq!(
        embedded.extras.default_scheduler(&embedded.scheduler),
        SchedulerKind::Lms
    );
}

#[test]
fn harmless_values_are_accepted_and_unused_ones_are_named() {
    let folder = Folder::narrow();
    folder
        .set(
            "unet/config.json",
            json!({
                "act_fn": "swish", "only_cross_attention": [false, false, false, false], "upcast_attention": true,
                "conv_in_kernel": 3.0, "num_attention_heads": null, "dual_cross_attention": null,
                "flip_sin_to_cos": 1, "center_input_sample": 0,
            }),
        )
        .set(
            "vae/config.json",
            json!({
                "act_fn": "SiLU", "latents_mean": [0, 0, 0, 0], "latents_std": [1, 1, 1, 1], "shift_factor": 0.0,
                "force_upcast": false,
            }),
        );
    assert_eq!(folder.open().unwrap().notes, Vec::<String>::new());
    folder.set("vae/config.json", json!({"shift_factor": 0.1}));
    let notes = folder.open().unwrap().notes;
    assert!(
        notes[0].contains(
            "vae/config.json: shift_factor is 0.1, which StableDiffusionPipeline does not apply"
        ),
        "{notes:?}"
    );
    // A whole CLIP's configuration, with the text model's inside.
    let text = fs::read_to_string(folder.path("text_encoder/config.json")).unwrap();
    let text: Value = serde_json::from_str(&text).unwrap();
    let whole = json!({"model_type": "clip", "text_config": text, "vision_config": {}});
    folder.write("text_encoder/config.json", whole.to_string());
    assert!(folder.open().is_ok());
}

#[test]
fn values_that_are_absent_are_those_of_diffusers() {
    let folder = Folder::new();
    for file in [
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
    ] {
        folder.write(file, "{}");
    }
    // diffusers' and transformers' defaults do not fit each other, and the first thing that does not fit is named.
    folder.refused(&[
        "unet/config.json",
        "cross_attention_dim is absent, expected 512",
    ]);
}

#[test]
fn one_number_of_heads_is_for_every_level_and_a_list_for_each() {
    let folder = Folder::narrow();
    folder.set("unet/config.json", json!({"attention_head_dim": 8}));
    assert_eq!(folder.open().unwrap().unet.attention_heads, [8, 8, 8, 8]);
    folder.set(
        "unet/config.json",
        json!({"attention_head_dim": [2, 4, 8, 8]}),
    );
    assert_eq!(folder.open().unwrap().unet.attention_heads, [2, 4, 8, 8]);
}

#[test]
fn other_pipelines_are_refused_by_name() {
    let without = json!([null, null]);
    for (class, changes, says) in [
        (
            "StableDiffusionXLPipeline",
            json!({"text_encoder": without}),
            "a checkpoint of Stable Diffusion XL",
        ),
        (
            "StableDiffusion3Pipeline",
            json!({"unet": without}),
            "a checkpoint of Stable Diffusion 3",
        ),
        (
            "FluxPipeline",
            json!({"vae": ["diffusers", "AutoencoderTiny"]}),
            "it must be AutoencoderKL",
        ),
    ] {
        Folder::new()
            .set("model_index.json", json!({"_class_name": class}))
            .set("model_index.json", changes)
            .refused(&["model_index.json", says]);
    }
    let index = json!({"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]});
    Folder::new()
        .write("model_index.json", index.to_string())
        .refused(&[
            "model_index.json",
            "FluxPipeline",
            "another kind of pipeline",
        ]);
}

/// As `StableDiffusionPipeline.from_pretrained` does.
#[test]
fn pipelines_of_other_names_with_its_parts_are_opened_and_it_is_said() {
    for class in [
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "StableDiffusionControlNetPipeline",
        "LatentConsistencyModelPipeline",
    ] {
        let folder = Folder::new();
        folder.set("model_index.json", json!({"_class_name": class}));
        let notes = folder.open().unwrap().notes;
        assert!(
            notes[0].contains(&format!(
                "_class_name is {class}, and it is run as StableDiffusionPipeline"
            )),
            "{notes:?}"
        );
    }
}

#[test]
fn the_tokenizers_settings_are_those_of_the_checkpoint() {
    let folder = Folder::new();
    let config = "tokenizer/tokenizer_config.json";
    folder.set(config, json!({"pad_token": "!", "model_max_length": 1e30}));
    let tokens = folder
        .open()
        .unwrap()
        .tokenizer()
        .unwrap()
        .encode("a")
        .unwrap();
    assert_eq!(tokens.ids().len(), 77);
    assert_eq!(tokens.ids()[..4], [49406, 320, 49407, 0]);
    folder.set(config, json!({"pad_token": null, "model_max_length": 20}));
    folder.write(
        "tokenizer/special_tokens_map.json",
        r#"{"pad_token": {"content": "!", "lstrip": false}}"#,
    );
    let tokens = folder
        .open()
        .unwrap()
        .tokenizer()
        .unwrap()
        .encode("a")
        .unwrap();
    assert_eq!(tokens.ids().len(), 20);
    assert_eq!(tokens.ids()[3], 0);
}

#[test]
fn a_broken_tokenizer_is_refused() {
    let tokenizer = |folder: &Folder| {
        let checkpoint = folder.open().unwrap();
        checkpoint
            .tokenizer()
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let folder = Folder::new();
    folder.write("tokenizer/vocab.json", "{}");
    refused(
        tokenizer(&folder),
        &["vocab.json", "no token ", "which a merge needs"],
    );
    let folder = Folder::new();
    folder.write("tokenizer/merges.txt", [0xFF]);
    refused(
        tokenizer(&folder),
        &["merges.txt", "the list of merges is damaged", "utf-8"],
    );
    let folder = Folder::new();
    folder.set("tokenizer/vocab.json", json!({"new": 49408}));
    refused(
        tokenizer(&folder),
        &[
            "vocab.json",
            "largest id is 49408, expected less than 49408",
            "vocab_size",
        ],
    );
    let folder = Folder::new();
    folder.set(
        "tokenizer/tokenizer_config.json",
        json!({"model_max_length": 1}),
    );
    refused(
        tokenizer(&folder),
        &["tokenizer_config.json", "model_max_length is 1"],
    );
    folder.set(
        "tokenizer/tokenizer_config.json",
        json!({"model_max_length": 77, "pad_token": 3}),
    );
    refused(
        tokenizer(&folder),
        &[
            "tokenizer_config.json",
            "pad_token is 3, expected a token's text",
        ],
    );
}

#[test]
fn the_memory_that_a_run_needs_is_known_before_it_starts() {
    let checkpoint = Checkpoint::open(&Source::Embedded).unwrap();
    let parameters: Vec<_> = [Component::TextEncoder, Component::UNet, Component::Vae]
        .into_iter()
        .flat_map(|component| checkpoint.parameters(component))
        .collect();
    let numbers: usize = parameters.iter().map(Parameter::numbers).sum();
    // None of its matrices is so large that it would be kept in 16 bits.
    let of = |dtype, size, backend| checkpoint.memory_estimate(dtype, (size, size), backend);
    let single = of(DType::F32, 128, Backend::Cpu);
    assert_eq!(single.weights, 4 * numbers as u64);
    let with_scores = of(DType::F32, 128, Backend::Candle);
    assert_eq!(with_scores.weights, 4 * numbers as u64);
    let sixteen = of(DType::F16, 128, Backend::Candle);
    assert_eq!(sixteen.weights, 2 * numbers as u64);
    // The decoder's finest level is given 32 channels of 128x128 numbers.
    assert!(single.decoding >= 32 * 128 * 128 * 4);
    // The finest level's attention has 4 heads, 16x16 pixels and both halves of the guidance.
    let scores = 2 * 4 * 256 * 256 * 4;
    assert!(with_scores.denoising >= single.denoising + scores);
    // 64 channels of 16x16 numbers for each half, and more than one such map.
    assert!(single.denoising > 2 * 64 * 256 * 4);
    assert_eq!(
        single.total(),
        single.weights + single.denoising.max(single.decoding)
    );
    let larger = of(DType::F32, 256, Backend::Cpu);
    assert!(larger.decoding == 4 * single.decoding && larger.denoising == 4 * single.denoising);
}

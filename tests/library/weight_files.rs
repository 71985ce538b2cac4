//! Weights in several files, in variants, in other number types, and files that are not what their name says.

use std::collections::BTreeMap;
use std::fs;

use candle_core::{DType, Device};
use diffuscope::checkpoint::{Checkpoint, Component, Report, Source};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

use super::checkpoint::{Folder, Raw};

const TEXT: &str = "text_encoder/model.safetensors";
const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

fn tensors(folder: &Folder, file: &str) -> Vec<Raw> {
    let bytes = fs::read(folder.path(file)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<Raw> = file
        .iter()
        .map(|(name, view)| Raw {
            name: name.to_owned(),
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            data: view.data().to_vec(),
        })
        .collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

fn serialized<'a>(tensors: impl IntoIterator<Item = &'a Raw>) -> Vec<u8> {
    let views: Vec<_> = tensors
        .into_iter()
        .map(|raw| {
            let view = TensorView::new(raw.dtype, raw.shape.clone(), &raw.data).unwrap();
            (raw.name.clone(), view)
        })
        .collect();
    safetensors::serialize(views, None).unwrap()
}

/// The embedded checkpoint with the weights in `file` split over two, as diffusers and transformers write them; the
/// index is what they call `index`.
fn split(
    file: &str,
    index: &str,
    part: impl Fn(usize) -> String,
) -> (Folder, BTreeMap<String, String>) {
    let folder = Folder::new();
    let component = file.split('/').next().unwrap();
    let tensors = tensors(&folder, file);
    let (first, second) = tensors.split_at(tensors.len() / 3);
    let mut map = BTreeMap::new();
    for (number, tensors) in [(1, first), (2, second)] {
        folder.write(
            &format!("{component}/{}", part(number)),
            serialized(tensors),
        );
        map.extend(tensors.iter().map(|raw| (raw.name.clone(), part(number))));
    }
    folder.remove(file);
    write_index(&folder, &format!("{component}/{index}"), &map);
    (folder, map)
}

fn write_index(folder: &Folder, path: &str, map: &BTreeMap<String, String>) {
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    folder.write(path, index.to_string());
}

const INDEX: &str = "diffusion_pytorch_model.safetensors.index.json";

fn shard(number: usize) -> String {
    format!("diffusion_pytorch_model-0000{number}-of-00002.safetensors")
}

fn values(checkpoint: &Checkpoint, component: Component, name: &str) -> Vec<f32> {
    let shape = checkpoint
        .parameters(component)
        .into_iter()
        .find(|parameter| parameter.name == name)
        .unwrap()
        .shape;
    let weights = checkpoint
        .weights(component, DType::F32, &Device::Cpu)
        .unwrap();
    let tensor = weights.get(shape, name).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn weights_in_several_files_are_those_of_one() {
    let embedded = Checkpoint::open(&Source::Embedded).unwrap();
    for (component, file, index, stem) in [
        (Component::UNet, UNET, INDEX, "diffusion_pytorch_model"),
        (
            Component::Vae,
            VAE,
            "diffusion_pytorch_model.safetensors.index.fp16.json",
            "diffusion_pytorch_model.fp16",
        ),
        (
            Component::Vae,
            VAE,
            "diffusion_pytorch_model.safetensors.fp16.index.json",
            "diffusion_pytorch_model.fp16",
        ),
        (
            Component::TextEncoder,
            TEXT,
            "model.safetensors.index.json",
            "model",
        ),
    ] {
        let part = |number| format!("{stem}-0000{number}-of-00002.safetensors");
        let (folder, _) = split(file, index, part);
        let checkpoint = folder.open().unwrap();
        let parameters = checkpoint.parameters(component);
        assert_eq!(parameters, embedded.parameters(component));
        for parameter in parameters.iter().step_by(29) {
            assert_eq!(
                values(&checkpoint, component, &parameter.name),
                values(&embedded, component, &parameter.name),
                "{}",
                parameter.name
            );
        }
        assert_ne!(checkpoint.sha256().unwrap(), embedded.sha256().unwrap());
    }
}

#[test]
fn an_index_comes_before_a_single_file_in_diffusers_and_after_it_in_transformers() {
    let (folder, _) = split(UNET, INDEX, shard);
    folder.write(UNET, "not read");
    assert!(folder.open().is_ok());
    let (folder, _) = split(TEXT, "model.safetensors.index.json", shard);
    folder.write(TEXT, "read");
    folder.refused(&[TEXT, "plain text and not a safetensors file"]);
}

#[test]
fn an_index_that_cannot_be_is_refused_by_file_and_tensor() {
    let (folder, map) = split(UNET, INDEX, shard);
    let index = format!("unet/{INDEX}");
    let (name, _) = map.first_key_value().unwrap();
    let with = |shard: &str| {
        let mut map = map.clone();
        map.insert(name.clone(), shard.to_owned());
        write_index(&folder, &index, &map);
    };
    for hostile in [
        "../vae/diffusion_pytorch_model.safetensors",
        "/etc/passwd",
        "..",
        "",
        "a/b.safetensors",
        "a\\b",
        "C:x",
        ".hidden",
        "a\u{0}b",
    ] {
        with(hostile);
        folder.refused(&[&index, name, "the name of a file in the same folder"]);
    }
    with("diffusion_pytorch_model-00003-of-00003.safetensors");
    folder.refused(&["index of the weights names", "00003-of-00003"]);
    with(&shard(2));
    folder.refused(&[&index, &format!("tensor {name} is not in"), &shard(2)]);
    let mut more = map.clone();
    more.insert("new.weight".to_owned(), shard(1));
    write_index(&folder, &index, &more);
    folder.refused(&[&index, "tensor new.weight is not in"]);
    for (text, says) in [
        ("{}", "weight_map is absent"),
        (r#"{"weight_map": {}}"#, "weight_map is {}"),
        (r#"{"weight_map": ["a"]}"#, "weight_map is"),
        (r#"{"weight_map": {"a": 3}}"#, "weight_map, a is 3"),
        ("[]", "not a valid JSON object"),
    ] {
        folder.write(&index, text);
        folder.refused(&[&index, says]);
    }
    // One tensor in both files.
    write_index(&folder, &index, &map);
    let mut second = tensors(&folder, &format!("unet/{}", shard(2)));
    second.extend(
        tensors(&folder, &format!("unet/{}", shard(1)))
            .into_iter()
            .take(1),
    );
    folder.write(&format!("unet/{}", shard(2)), serialized(&second));
    folder.refused(&[&index, name, "is in two files", &shard(1), &shard(2)]);
}

#[test]
fn a_tensor_of_several_files_is_named_with_its_own() {
    let (folder, map) = split(UNET, INDEX, shard);
    let (name, _) = map.last_key_value().unwrap();
    folder.rewrite(&format!("unet/{}", shard(2)), |mut raw| {
        if raw.name == *name {
            raw.shape.insert(0, 1);
        }
        Some(raw)
    });
    folder.refused(&[&shard(2), name, "has shape [1, "]);
}

#[test]
fn a_variant_serves_where_it_is_the_only_one() {
    for name in ["fp16", "non_ema", "bf16"] {
        let folder = Folder::new();
        let file = format!("unet/diffusion_pytorch_model.{name}.safetensors");
        fs::rename(folder.path(UNET), folder.path(&file)).unwrap();
        assert!(folder.open().is_ok(), "{name}");
    }
    let folder = Folder::new();
    for name in ["non_ema", "bf16"] {
        fs::copy(
            folder.path(UNET),
            folder.path(&format!("unet/diffusion_pytorch_model.{name}.safetensors")),
        )
        .unwrap();
    }
    assert!(folder.open().is_ok(), "the plain one");
    folder.remove(UNET);
    folder.refused(&["unet", "several variants (bf16, non_ema)", "--variant"]);
    let open = |variant| {
        let source = Source::Path(folder.path(""));
        Checkpoint::open_variant(&source, Some(variant)).map_err(|error| error.to_string())
    };
    assert!(open("non_ema").is_ok());
    let message = open("fp16").unwrap_err();
    assert!(message.contains("no weights of the variant fp16; of these there are: bf16, non_ema"));
}

/// The embedded checkpoint with the autoencoder's numbers in another type: those of `keep` as they are.
fn converted(dtype: Dtype, convert: impl Fn(f32) -> Vec<u8>) -> Folder {
    let folder = Folder::new();
    folder.rewrite(VAE, |mut raw| {
        // Some tensors stay what they are.
        if raw.name.contains("mid_block") {
            return Some(raw);
        }
        let halves = raw.data.as_chunks::<2>().0.iter();
        let values = halves.map(|bytes| f32_of_half(u16::from_le_bytes(*bytes)));
        raw.data = values.flat_map(&convert).collect();
        raw.dtype = dtype;
        Some(raw)
    });
    folder
}

fn f32_of_half(bits: u16) -> f32 {
    let half =
        candle_core::Tensor::from_raw_buffer(&bits.to_le_bytes(), DType::F16, &[1], &Device::Cpu)
            .unwrap();
    half.to_dtype(DType::F32).unwrap().to_vec1().unwrap()[0]
}

#[test]
fn weights_in_double_precision_and_in_eight_bits_are_read_beside_others() {
    let embedded = Checkpoint::open(&Source::Embedded).unwrap();
    let name = "decoder.conv_out.weight";
    let expected = values(&embedded, Component::Vae, name);
    // One part in 2^40 more, which f32 does not hold.
    let folder = converted(Dtype::F64, |value| {
        (f64::from(value) * (1.0 + 2_f64.powi(-40)))
            .to_le_bytes()
            .to_vec()
    });
    let checkpoint = folder.open().unwrap();
    assert_eq!(values(&checkpoint, Component::Vae, name), expected);
    assert_eq!(
        values(
            &checkpoint,
            Component::Vae,
            "decoder.mid_block.resnets.0.conv1.bias"
        ),
        values(
            &embedded,
            Component::Vae,
            "decoder.mid_block.resnets.0.conv1.bias"
        )
    );
    // 0x38 is 1.0 in E4M3, and 0x3c in E5M2.
    for (dtype, one) in [(Dtype::F8_E4M3, 0x38), (Dtype::F8_E5M2, 0x3c)] {
        let checkpoint = converted(dtype, |_| vec![one]).open().unwrap();
        assert!(
            values(&checkpoint, Component::Vae, name)
                .iter()
                .all(|value| value.to_bits() == 1_f32.to_bits())
        );
    }
}

#[test]
fn quantised_weights_are_refused_by_their_type_or_their_scales() {
    for (dtype, says) in [(Dtype::I8, "I8"), (Dtype::U8, "U8")] {
        converted(dtype, |_| vec![1]).refused(&[
            VAE,
            &format!("type {says}"),
            "quantised",
            "F16, BF16 or F32",
        ]);
    }
    for name in [
        "decoder.conv_out.scale_weight",
        "scaled_fp8",
        "decoder.conv_out.weight.absmax",
    ] {
        let folder = Folder::new();
        let mut tensors = tensors(&folder, VAE);
        tensors.push(Raw {
            name: name.to_owned(),
            dtype: Dtype::F32,
            shape: vec![1],
            data: vec![0; 4],
        });
        folder.write(VAE, serialized(&tensors));
        folder.refused(&[VAE, name, "quantised"]);
    }
}

#[test]
fn what_a_file_is_not_is_said_by_what_it_is() {
    let pointer = "version https://git-lfs.example/spec/v1\noid sha256:00\nsize 3\n";
    let mut torch = b"PK\x03\x04\0\0\x08\x08".to_vec();
    torch.resize(26, 0);
    torch.extend(b"\x10\0\0\0archive/data.pkl\x80\x02}q");
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let unet = fs::read(Folder::new().path(UNET)).unwrap();
    for (bytes, says) in [
        (pointer.as_bytes(), "a Git LFS pointer"),
        (b"  \n<!DOCTYPE html>\n<html>", "a web page (HTML)"),
        (b"<html lang=\"en\">", "a web page (HTML)"),
        (b"<?xml version=\"1.0\"?><Error>", "an XML document"),
        (b"PK\x03\x04 something", "a ZIP archive"),
        (&torch, "pickle"),
        (b"\x80\x02}q\0", "pickle"),
        (b"\x80\x04\x95\0\0", "pickle"),
        (b"\x1f\x8b\x08\0\0", "a gzip archive"),
        (b"7z\xbc\xaf\x27\x1c\0", "a 7z archive"),
        (&tar, "a tar archive"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (b"\x08\x07\x12\x07pytorch\x1a\x03", "an ONNX model"),
        (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file"),
        (b"\x82\xa6params\x81", "a MessagePack file"),
        (b"\xde\x00\x20\xa6params\x81", "a MessagePack file"),
        (b"\x93NUMPY\x01\0", "a NumPy array"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"%PDF-1.7", "a PDF document"),
        (b"", "it is empty"),
        (b" \n\t", "nothing but white space"),
        (&[0; 4096], "nothing but zeros"),
    ] {
        for file in [
            UNET,
            "vae/config.json",
            "scheduler/scheduler_config.json",
            "model_index.json",
        ] {
            Folder::new().write(file, bytes).refused(&[file, says]);
        }
        for file in [
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            "tokenizer/tokenizer_config.json",
            "tokenizer/added_tokens.json",
        ] {
            let folder = Folder::new();
            folder.write(file, bytes);
            let message = folder.open().unwrap().tokenizer().unwrap_err().to_string();
            assert!(
                message.contains(file) && message.contains(says),
                "{message}"
            );
        }
        let (folder, _) = split(UNET, INDEX, shard);
        folder
            .write(&format!("unet/{INDEX}"), bytes)
            .refused(&[INDEX, says]);
        let (folder, _) = split(UNET, INDEX, shard);
        folder
            .write(&format!("unet/{}", shard(2)), bytes)
            .refused(&[&shard(2), says]);
    }
    for file in ["vae/config.json", "scheduler/scheduler_config.json"] {
        Folder::new()
            .write(file, &unet)
            .refused(&[file, "a safetensors file"]);
    }
    Folder::new()
        .write(UNET, "{\"a\": 1}")
        .refused(&[UNET, "JSON text and not a safetensors file"]);
}

#[test]
fn a_folder_or_a_broken_link_in_place_of_a_file_is_named() {
    for file in [UNET, "vae/config.json", "scheduler/scheduler_config.json"] {
        let folder = Folder::new();
        folder.remove(file);
        fs::create_dir(folder.path(file)).unwrap();
        folder.refused(&[file, "it is a folder and not a file"]);
    }
    #[cfg(unix)]
    for file in [UNET, "vae/config.json", "tokenizer/vocab.json"] {
        let folder = Folder::new();
        folder.remove(file);
        super::checkpoint::link(std::path::Path::new("../../blobs/0123"), &folder.path(file));
        folder.refused(&[file, "a link to ../../blobs/0123", "not complete"]);
    }
}

#[test]
fn weights_that_are_not_finite_are_named_by_file_tensor_and_number() {
    let folder = Folder::new();
    let name = "decoder.conv_out.weight";
    folder.rewrite(VAE, |mut raw| {
        if raw.name == name {
            // Two that are no numbers and one that is infinite, in half precision.
            raw.data[..6].copy_from_slice(&[0, 0x7e, 1, 0xfc, 0, 0x7c]);
        }
        Some(raw)
    });
    let source = Source::Path(folder.path(""));
    let report = Report::of(&source, None).unwrap();
    assert!(report.can_run);
    let says = format!("tensor {name} holds 2 NaN and 1 infinite of ");
    assert_eq!(report.warnings.len(), 1);
    assert!(report.warnings[0].contains(&says), "{:?}", report.warnings);
    assert!(report.warnings[0].contains(VAE));
    assert!(report.details().iter().any(|line| line.contains(&says)));
    let json: Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["components"][2]["not_finite"][0]["nan"], 2);
    // Where weights are read, they are named, too.
    let checkpoint = folder.open().unwrap();
    assert!(checkpoint.not_finite().is_empty());
    values(&checkpoint, Component::Vae, name);
    assert!(checkpoint.not_finite()[0].contains(&says));
    let sound = Report::of(&Source::Embedded, None).unwrap();
    assert!(sound.warnings.is_empty(), "{:?}", sound.warnings);
}

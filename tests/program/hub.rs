//! Downloading models, without the internet: a small hub on the loopback stands in for the real one, and fails as
//! networks fail.

#[path = "server.rs"]
mod server;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use assert_cmd::{Command, assert::Assert, cargo::cargo_bin_cmd};
use diffuscope::{Checkpoint, Source};
use predicates::{prelude::*, str::contains};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use server::{COMMIT, Fault, Hub};
use tempfile::TempDir;

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const TEXT: &str = "text_encoder/model.safetensors";
const NAME: &str = "someone/tiny-model";

type Files = BTreeMap<String, Vec<u8>>;

fn embedded_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons/little-world/checkpoint")
}

/// The embedded model's files.
fn little_world() -> Files {
    [
        "diffuscope.json",
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
    ]
    .into_iter()
    .map(|file| {
        let contents = fs::read(embedded_folder().join(file)).unwrap();
        (file.to_owned(), contents)
    })
    .collect()
}

/// A checkpoint of Stable Diffusion v1's structure whose weights are few and arbitrary.
fn tiny() -> Files {
    let goldens: Value = serde_json::from_str(include_str!("../goldens/layout.json")).unwrap();
    let parts = &goldens[0]["parts"];
    let mut files = little_world();
    files.remove("diffuscope.json");
    let mut state = 1_u32;
    for (part, file) in [("text_encoder", TEXT), ("unet", UNET), ("vae", VAE)] {
        let mut network = parts[part].clone();
        if part == "text_encoder" {
            // The tokenizer is the real one.
            network["config"]["vocab_size"] = json!(49408);
            network["tensors"]["embeddings.token_embedding.weight"][0] = json!(49408);
        }
        files.insert(
            format!("{part}/config.json"),
            network["config"].to_string().into_bytes(),
        );
        let tensors = network["tensors"].as_object().unwrap();
        let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
            .iter()
            .map(|(name, shape)| {
                let shape: Vec<usize> = serde_json::from_value(shape.clone()).unwrap();
                let bytes = (0..2 * shape.iter().product::<usize>()).map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                });
                (name.clone(), shape.clone(), bytes.collect())
            })
            .collect();
        let views = data.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F16, shape.clone(), bytes).unwrap();
            (name, view)
        });
        files.insert(
            file.to_owned(),
            safetensors::serialize(views, None).unwrap(),
        );
    }
    files
}

/// A user's home: a cache of its own.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = cargo_bin_cmd!("diffuscope");
        command
            .current_dir(self.0.path())
            .env_clear()
            .env("HF_HOME", self.0.path().join("hf"))
            .env("HOME", self.0.path())
            .args(args);
        command
    }

    /// Fetches the repository from the hub.
    fn fetch(&self, hub: &Hub, args: &[&str]) -> Assert {
        self.fetch_as(hub, args, &[])
    }

    fn fetch_as(&self, hub: &Hub, args: &[&str], environment: &[(&str, &str)]) -> Assert {
        let args = [&["model", "fetch", NAME], args].concat();
        let assert = self
            .command(&args)
            .env("HF_ENDPOINT", &hub.endpoint)
            .env("HF_HUB_DOWNLOAD_TIMEOUT", "2")
            .envs(environment.iter().copied())
            .assert();
        let output = assert.get_output();
        for bytes in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(bytes);
            let found = text.chars().find(|&c| c.is_control() && c != '\n');
            assert_eq!(found, None, "{text:?}");
        }
        assert
    }

    /// What the downloaded model is, without a hub.
    fn check(&self, model: &str) -> Value {
        let assert = self.command(&["model", "check", model, "--json"]).assert();
        let assert = assert.success();
        serde_json::from_slice(&assert.get_output().stdout).unwrap()
    }

    /// Nothing is to be had under the repository's name, and the message says which command fetches it.
    fn has_nothing(&self) {
        self.command(&["run", "-p", "x", "--model", NAME])
            .assert()
            .code(1)
            .stderr(contains(format!("`diffuscope model fetch {NAME}`")));
    }

    fn repository(&self) -> PathBuf {
        self.0.path().join("hf/hub/models--someone--tiny-model")
    }

    fn snapshot(&self) -> PathBuf {
        self.repository().join("snapshots").join(COMMIT)
    }

    /// Parts of files that are kept for the next time.
    fn parts(&self) -> usize {
        let blobs = fs::read_dir(self.repository().join("blobs")).unwrap();
        blobs
            .filter(|entry| {
                let path = entry.as_ref().unwrap().path();
                path.extension().is_some_and(|end| end == "incomplete")
            })
            .count()
    }
}

/// The snapshot has exactly the files of the hub.
#[track_caller]
fn assert_whole(home: &Home, files: &Files) {
    for (path, contents) in files {
        let found = fs::read(home.snapshot().join(path)).unwrap();
        assert!(found == *contents, "{path}");
    }
    assert_eq!(home.parts(), 0);
}

// ---- all goes well

#[test]
fn a_fetched_model_is_the_published_one_and_runs_offline() {
    let mut files = little_world();
    let needed = files.clone();
    for other in [
        "README.md",
        "v1-5-pruned.ckpt",
        "v1-5-pruned.safetensors",
        "safety_checker/model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_flax_model.msgpack",
    ] {
        files.insert(other.to_owned(), vec![1; 1000]);
    }
    let hub = Hub::new(NAME, files);
    let home = Home::new();
    home.has_nothing();
    let size: usize = needed.values().map(Vec::len).sum();
    let megabytes = format!("{:.2} MB", size as f64 / 1e6);
    let folder = home.snapshot();
    home.fetch(&hub, &[])
        .success()
        .stdout(format!("{}\n", folder.display()))
        .stderr(contains(format!("12 files, {megabytes}")))
        .stderr(contains(format!("{megabytes} to download")))
        .stderr(contains("are free"))
        .stderr(contains(UNET))
        .stderr(contains(format!("`--model {NAME}` opens it")));
    assert_whole(&home, &needed);
    let asked: Vec<String> = hub.requests().into_iter().map(|ask| ask.path).collect();
    let unneeded = asked
        .iter()
        .find(|path| *path != "api" && !needed.contains_key(*path));
    assert_eq!(unneeded, None);
    assert_eq!(asked.len(), 13, "each file once: {asked:?}");

    // From here on nothing asks the hub.
    let embedded = Checkpoint::open(&Source::Embedded).unwrap();
    let report = home.check(NAME);
    assert_eq!(report["name"], NAME);
    assert_eq!(report["sha256"], embedded.sha256().unwrap());
    home.command(&[
        "run", "-p", "a cat", "--steps", "1", "--model", NAME, "--png", "cat.png",
    ])
    .env("HF_HUB_OFFLINE", "1")
    .env("HF_ENDPOINT", &hub.endpoint)
    .assert()
    .success();
    home.command(&["model", "list"]).assert().success().stdout(
        contains("little-world")
            .and(contains(NAME))
            .and(contains(&megabytes)),
    );
    assert_eq!(hub.requests().len(), 13);
}

#[test]
fn what_is_there_is_not_downloaded_again() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    home.fetch(&hub, &[]).success();
    hub.heal();
    home.fetch(&hub, &[])
        .success()
        .stderr(contains("nothing to download"));
    let asked: Vec<String> = hub.requests().into_iter().map(|ask| ask.path).collect();
    assert_eq!(asked, ["api"]);
}

#[test]
fn a_revision_is_fetched_and_opened_by_its_name() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    home.fetch(&hub, &["--revision", "refs/pr/3"])
        .success()
        .stderr(contains(format!("`--model {NAME}@refs/pr/3`")));
    home.has_nothing();
    home.check(&format!("{NAME}@refs/pr/3"));
    home.check(&format!("{NAME}@{COMMIT}"));
    home.command(&["model", "list"])
        .assert()
        .success()
        .stdout(contains(format!("{NAME}@refs/pr/3")));
}

#[test]
fn a_variant_is_fetched_where_the_repository_has_it() {
    let mut files = tiny();
    for file in [TEXT, UNET, VAE] {
        let contents = files.remove(file).unwrap();
        files.insert(file.replace(".safetensors", ".fp16.safetensors"), contents);
    }
    let hub = Hub::new(NAME, files.clone());
    let home = Home::new();
    home.fetch(&hub, &[])
        .code(1)
        .stderr(contains("has no text_encoder/model.safetensors"))
        .stderr(contains("`--variant fp16` would be there"));
    home.fetch(&hub, &["--variant", "fp16"]).success();
    assert_whole(&home, &files);
    home.check(NAME);
    home.fetch(&hub, &["--variant", "bf16"])
        .code(1)
        .stderr(contains("has no text_encoder/model.bf16.safetensors"));
}

#[test]
fn a_variant_of_some_networks_is_fetched_with_the_plain_others() {
    let mut files = tiny();
    let plain = files[UNET].clone();
    files.insert(UNET.replace(".safetensors", ".non_ema.safetensors"), plain);
    let hub = Hub::new(NAME, files.clone());
    let home = Home::new();
    home.fetch(&hub, &["--variant", "non_ema"]).success();
    files.remove(UNET);
    assert_whole(&home, &files);
    home.check(NAME);
    home.fetch(&hub, &["--variant", "bf16"])
        .code(1)
        .stderr(contains("has no text_encoder/model.bf16.safetensors"));
}

#[test]
fn split_weights_and_added_words_are_fetched_too() {
    let mut files = tiny();
    let whole = files.remove(UNET).unwrap();
    let shard = "diffusion_pytorch_model-00001-of-00001.safetensors";
    let tensors = safetensors::SafeTensors::deserialize(&whole).unwrap();
    let map: serde_json::Map<String, Value> = tensors
        .names()
        .into_iter()
        .map(|name| (name.to_owned(), json!(shard)))
        .collect();
    let index = json!({"metadata": {}, "weight_map": map}).to_string();
    files.insert(format!("unet/{shard}"), whole.clone());
    files.insert(format!("{UNET}.index.json"), index.into_bytes());
    // A word that the vocabulary has already needs no embedding of its own.
    files.insert(
        "tokenizer/added_tokens.json".to_owned(),
        br#"{"cat": 2368}"#.to_vec(),
    );
    let mut published = files.clone();
    published.insert("unet/other-00001-of-00001.safetensors".to_owned(), vec![1]);
    let hub = Hub::new(NAME, published);
    let home = Home::new();
    home.fetch(&hub, &[]).success();
    assert_whole(&home, &files);
    let report = home.check(NAME);
    assert_eq!(report["can_run"], true);
    assert!(report["files"][format!("unet/{shard}")].is_string());
    assert!(report["files"]["tokenizer/added_tokens.json"].is_string());
}

// ---- the connection breaks

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    hub.once(UNET, Fault::Cut(100_000))
        .once(UNET, Fault::Cut(50_000))
        .once(VAE, Fault::Status(503));
    home.fetch(&hub, &[])
        .success()
        .stderr(contains("trying again").and(contains("the hub answered 503")));
    assert_eq!(hub.starts(UNET), [0, 100_000, 150_000]);
    assert_whole(&home, &tiny());
}

#[test]
fn an_interrupted_download_goes_on_with_the_same_command() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    hub.once(UNET, Fault::Cut(70_000))
        .always(UNET, Fault::Cut(0));
    home.fetch(&hub, &[])
        .code(1)
        .stderr(contains(format!(
            "{UNET}: the download stopped at 70000 of"
        )))
        .stderr(contains("run the same command again"));
    home.has_nothing();
    assert_eq!(home.parts(), 1);
    hub.heal();
    home.fetch(&hub, &[])
        .success()
        .stderr(contains("of them to download, the rest is there"));
    assert_eq!(hub.starts(UNET), [70_000]);
    assert_whole(&home, &tiny());
}

#[test]
fn a_connection_on_which_nothing_comes_is_given_up_and_taken_up_again() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    hub.once(UNET, Fault::Stall(60_000));
    // Slow is not broken: it takes longer than the limit, but something always comes.
    hub.once(VAE, Fault::Slow(800));
    home.fetch(&hub, &[])
        .success()
        .stderr(contains(format!("{UNET}: ")).and(contains("trying again")));
    assert_eq!(hub.starts(UNET), [0, 60_000]);
    assert_eq!(hub.starts(VAE), [0]);
    assert_whole(&home, &tiny());
}

#[test]
fn a_hub_that_cannot_resume_sends_the_file_anew() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    hub.once(UNET, Fault::Cut(70_000))
        .once(UNET, Fault::IgnoresRange);
    home.fetch(&hub, &[]).success();
    assert_eq!(hub.starts(UNET), [0, 70_000]);
    assert_whole(&home, &tiny());
}

#[test]
fn a_hub_that_is_not_there_is_an_error_that_names_the_variable() {
    let hub = Hub::new(NAME, tiny());
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let endpoint = format!("http://{closed}");
    Home::new()
        .fetch_as(&hub, &[], &[("HF_ENDPOINT", &endpoint)])
        .code(1)
        .stderr(contains("cannot be reached").and(contains("HF_ENDPOINT")));
}

// ---- what comes is not what was promised

#[test]
fn a_corrupted_file_is_thrown_away_and_named() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    hub.always(VAE, Fault::Flip(5000));
    home.fetch(&hub, &[]).code(1).stderr(
        contains(VAE)
            .and(contains("SHA-256"))
            .and(contains("thrown away")),
    );
    home.has_nothing();
    assert_eq!(home.parts(), 0);
    hub.heal();
    home.fetch(&hub, &[]).success();
    assert_whole(&home, &tiny());
}

#[test]
fn a_kept_part_that_belongs_to_something_else_is_found_out() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    hub.once(UNET, Fault::Cut(70_000))
        .always(UNET, Fault::Status(410));
    home.fetch(&hub, &[]).code(1).stderr(contains("410"));
    for entry in fs::read_dir(home.repository().join("blobs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "incomplete") {
            fs::write(path, vec![7; 30_000]).unwrap();
        }
    }
    hub.heal();
    home.fetch(&hub, &[]).success();
    assert_eq!(hub.starts(UNET), [30_000, 0]);
    assert_whole(&home, &tiny());
}

#[test]
fn a_file_that_was_damaged_in_the_cache_is_fetched_again() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    home.fetch(&hub, &[]).success();
    let file = home.snapshot().join(UNET);
    let mut bytes = fs::read(&file).unwrap();
    bytes[90_000] ^= 1;
    fs::write(&file, bytes).unwrap();
    hub.heal();
    home.fetch(&hub, &[]).success();
    assert_eq!(hub.starts(UNET), [0]);
    assert_whole(&home, &tiny());
}

#[test]
fn a_file_of_another_size_is_refused() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    let listing = json!({"sha": COMMIT, "siblings": tiny().iter().map(|(path, contents)| {
        let size = contents.len() - usize::from(path == "vae/config.json");
        json!({"rfilename": path, "size": size, "blobId": "a".repeat(40)})
    }).collect::<Vec<_>>()});
    hub.listing(&listing.to_string());
    home.fetch(&hub, &[])
        .code(1)
        .stderr(contains("vae/config.json").and(contains("its size is more than")));
    home.has_nothing();
}

// ---- who may read what

#[test]
fn a_token_is_sent_from_the_environment_or_from_its_file() {
    let hub = Hub::new(NAME, tiny());
    hub.require("hf_secret");
    let home = Home::new();
    home.fetch(&hub, &[])
        .code(1)
        .stderr(contains("401").and(contains("HF_TOKEN")));
    home.fetch_as(&hub, &[], &[("HF_TOKEN", "hf_wrong")])
        .code(1)
        .stderr(contains("401").and(contains("hf_wrong").not()));
    home.fetch_as(&hub, &[], &[("HF_TOKEN", "hf_secret")])
        .success();
    let home = Home::new();
    fs::create_dir_all(home.0.path().join("hf")).unwrap();
    fs::write(home.0.path().join("hf/token"), "hf_secret\n").unwrap();
    home.fetch(&hub, &[]).success();
}

#[test]
fn a_token_is_for_the_hub_and_not_for_whom_it_sends_to() {
    let elsewhere = Hub::new(NAME, tiny());
    let hub = Hub::new(NAME, tiny());
    // Another name of the same machine is another host.
    hub.require("hf_secret")
        .redirect(&elsewhere.endpoint.replace("127.0.0.1", "localhost"));
    let home = Home::new();
    home.fetch_as(&hub, &[], &[("HF_TOKEN", "hf_secret")])
        .success();
    assert_whole(&home, &tiny());
    assert!(!elsewhere.requests().is_empty());
    for request in elsewhere.requests() {
        assert_eq!(request.authorization, None, "{request:?}");
    }
}

#[test]
fn a_gated_model_says_what_to_do() {
    let home = Home::new();
    for path in ["api", UNET] {
        let hub = Hub::new(NAME, tiny());
        hub.always(path, Fault::Status(403));
        home.fetch(&hub, &[])
            .code(1)
            .stderr(contains("403").and(contains("accept its terms")));
        home.has_nothing();
    }
}

#[test]
fn what_the_hub_does_not_have_is_an_error_that_names_it() {
    let (hub, home) = (Hub::new("someone/else", tiny()), Home::new());
    home.fetch(&hub, &[])
        .code(1)
        .stderr(contains(format!("the hub has no {NAME} (404)")));
    let hub = Hub::new(NAME, tiny());
    hub.always(VAE, Fault::Status(404));
    home.fetch(&hub, &[])
        .code(1)
        .stderr(contains(format!("the hub has no {VAE} (404)")));
    home.has_nothing();
}

#[test]
fn offline_means_that_nothing_is_asked() {
    let hub = Hub::new(NAME, tiny());
    Home::new()
        .fetch_as(&hub, &[], &[("HF_HUB_OFFLINE", "1")])
        .code(1)
        .stderr(contains("HF_HUB_OFFLINE is set"));
    assert!(hub.requests().is_empty());
}

// ---- what is not fetched

#[test]
fn another_kind_of_model_is_refused_before_its_weights_are_downloaded() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    hub.replace(
        "model_index.json",
        br#"{"_class_name": "StableDiffusionXLPipeline"}"#,
    );
    home.fetch(&hub, &[])
        .code(1)
        .stderr(contains("Stable Diffusion XL"));
    for file in [TEXT, UNET, VAE] {
        assert!(hub.starts(file).is_empty(), "{file}");
    }
    let hub = Hub::new(NAME, tiny());
    let mut config: Value = serde_json::from_slice(&tiny()["unet/config.json"]).unwrap();
    config["in_channels"] = json!(9);
    hub.replace("unet/config.json", config.to_string().as_bytes());
    home.fetch(&hub, &[]).code(1).stderr(contains("inpainting"));
    assert!(hub.starts(UNET).is_empty());
}

#[test]
fn a_repository_without_what_is_needed_says_what_it_has_instead() {
    let home = Home::new();
    let hub = Hub::new(NAME, tiny());
    hub.remove(UNET)
        .replace("unet/diffusion_pytorch_model.bin", b"x");
    home.fetch(&hub, &[])
        .code(1)
        .stderr(contains(format!("has no {UNET}")))
        .stderr(contains("pickle"));
    let single = Files::from([("v1-5.safetensors".to_owned(), vec![0; 9])]);
    home.fetch(&Hub::new(NAME, single), &[])
        .code(1)
        .stderr(contains("v1-5.safetensors").and(contains("give its path to --model")));
    home.fetch(&Hub::new(NAME, Files::new()), &[])
        .code(1)
        .stderr(contains("is not a checkpoint in diffusers' layout"));
}

#[test]
fn a_model_that_does_not_fit_on_the_disk_is_not_begun() {
    let (hub, home) = (Hub::new(NAME, tiny()), Home::new());
    let huge = 1_u64 << 60;
    hub.remove(UNET).list_also(json!({
        "rfilename": UNET, "size": huge, "blobId": "b".repeat(40),
        "lfs": {"sha256": "c".repeat(64), "size": huge, "pointerSize": 1},
    }));
    home.fetch(&hub, &[])
        .code(1)
        .stderr(contains("has room for").and(contains("HF_HOME")));
    assert_eq!(hub.requests().len(), 1);
}

#[test]
fn a_hub_cannot_write_outside_of_the_cache() {
    let home = Home::new();
    for (sha, blob) in [
        ("../../../evil", "a".repeat(40)),
        (COMMIT, "../../../evil".to_owned()),
    ] {
        let hub = Hub::new(NAME, tiny());
        let siblings: Vec<Value> = tiny()
            .iter()
            .map(|(path, contents)| json!({"rfilename": path, "size": contents.len(), "blobId": blob}))
            .collect();
        hub.listing(&json!({"sha": sha, "siblings": siblings}).to_string());
        home.fetch(&hub, &[])
            .code(1)
            .stderr(contains("not understood"));
    }
    for text in [
        "<html>a proxy's page\u{1b}[2J</html>",
        "[]",
        "{\"sha\": 3}",
        "",
    ] {
        let hub = Hub::new(NAME, tiny());
        hub.listing(text);
        home.fetch(&hub, &[])
            .code(1)
            .stderr(contains("not understood").and(contains("HF_ENDPOINT")));
    }
    assert!(!home.repository().exists());
}

#[test]
fn what_is_no_repository_is_wrong_usage() {
    let home = Home::new();
    for args in [
        &["model", "fetch", "name"] as &[&str],
        &["model", "fetch", "../../x"],
        &["model", "fetch", "a/b", "--revision", "../x"],
        &["model", "fetch", "a/b", "--variant", "../x"],
        &["model", "fetch"],
    ] {
        home.command(args).assert().code(2);
    }
    home.command(&["run", "-p", "x", "--model", "sd-v1-5"])
        .assert()
        .code(1)
        .stderr(contains("`diffuscope model fetch sd-v1-5` downloads it"));
}

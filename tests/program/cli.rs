//! The command line, as a process: what it prints, where, and how it exits.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use assert_cmd::cargo::cargo_bin_cmd;
use diffuscope::Replay;
use diffuscope::Request;
use diffuscope::SchedulerKind;
use diffuscope::Stats;
use diffuscope::document::{RunDocument, TensorDocument, TensorEntry};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

const ASTRONAUT: &str = "a photograph of an astronaut riding a horse";

/// The program, in a folder of its own.
pub(crate) fn diffuscope(folder: &TempDir, args: &[&str]) -> Command {
    let mut command = cargo_bin_cmd!("diffuscope");
    command.current_dir(folder.path()).args(args);
    command
}

pub(crate) fn here() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Neither output may hold a control character that steers a terminal.
fn assert_harmless(assert: &Assert) {
    let output = assert.get_output();
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let text = String::from_utf8_lossy(bytes);
        let found = text.chars().find(|&c| c.is_control() && c != '\n');
        assert_eq!(found, None, "{name} has a control character: {text:?}");
    }
}

// ---- help and usage

#[test]
fn help_teaches_by_examples_and_names_every_exit_code() {
    let folder = here();
    diffuscope(&folder, &["--help"])
        .assert()
        .success()
        .stdout(contains("Examples:"))
        .stdout(contains(
            "0 done, 1 failed, 2 wrong usage, 3 done with values",
        ))
        .stdout(contains("\u{1b}").not());
    for command in ["inspect", "run", "replay", "tokenize", "schedule", "schema"] {
        diffuscope(&folder, &[command, "--help"])
            .assert()
            .success()
            .stdout(contains("Examples:"));
    }
    diffuscope(&folder, &["--version"])
        .assert()
        .success()
        .stdout(contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_run_without_a_prompt_is_wrong_usage() {
    diffuscope(&here(), &["run"])
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("--prompt"));
}

#[test]
fn options_out_of_range_are_wrong_usage_and_say_the_range() {
    let folder = here();
    let seeds = "from -9223372036854775808 to 18446744073709551615";
    for (option, value, expected) in [
        ("--seed", "18446744073709551616", seeds),
        ("--seed", "-9223372036854775809", seeds),
        (
            "--seed",
            "1000000000000000000000000000000000000000000",
            seeds,
        ),
        ("--seed", "seven", "a whole number"),
        ("--seed", "", "a whole number"),
        ("--steps", "0", "from 1 to 1000"),
        ("--steps", "1001", "from 1 to 1000"),
        ("--steps", "-3", "from 1 to 1000"),
        ("--steps", "2.5", "from 1 to 1000"),
        ("--guidance", "NaN", "a number from 0 to 100"),
        ("--guidance", "inf", "a number from 0 to 100"),
        ("--guidance", "-1", "a number from 0 to 100"),
        ("--guidance", "strong", "a number from 0 to 100"),
        ("--scheduler", "heun", "dpm++-2m-karras"),
        ("--device", "tpu", "cuda"),
        ("--attention", "some", "heads"),
        ("--png", "", "a value is required"),
        ("--size", "wide", "512x768 or 512"),
        ("--size", "128x", "512x768 or 512"),
        ("--size", "-128", "512x768 or 512"),
        ("--size", "99999999999999999999999", "512x768 or 512"),
        ("--size", "100", "multiples of 8 from 32 to 2048"),
        ("--size", "128x24", "multiples of 8 from 32 to 2048"),
        ("--size", "0", "multiples of 8 from 32 to 2048"),
        ("--size", "4096x128", "multiples of 8 from 32 to 2048"),
    ] {
        let args = ["run", "-p", "a cat", "--json", "out", option, value];
        diffuscope(&folder, &args)
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains(expected).and(contains(option)));
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn options_of_the_export_need_the_export() {
    for args in [
        &["--tensors", "x0"] as &[&str],
        &["--modules"],
        &["--force"],
    ] {
        let args = [&["run", "-p", "a cat"], args].concat();
        diffuscope(&here(), &args)
            .assert()
            .code(2)
            .stderr(contains("--json"));
    }
}

#[test]
fn what_the_user_typed_cannot_steer_the_terminal() {
    let folder = here();
    for args in [
        &["\u{1b}[2J"] as &[&str],
        &["run", "-p", "x", "--seed", "\u{1b}]0;owned\u{7}"],
        &["run", "-p", "x", "--model", "no\u{1b}[31mthing"],
        &["run", "-p", "x", "--png", "no\u{1b}[31mwhere/a.png"],
        &["run", "-p", "x", "--json", "out", "--tensors", "\u{1b}[2J"],
        &["tokenize", "\u{1b}[31mred\r\u{9b}2J\u{202e}"],
        &["tokenize", "--json", "\u{1b}[31mred\r\u{9b}2J"],
    ] {
        assert_harmless(&diffuscope(&folder, args).assert());
    }
}

#[test]
fn the_inspector_says_that_it_needs_a_terminal() {
    for args in [
        &[] as &[&str],
        &["inspect"],
        &["-p", "a cat", "--seed", "-1"],
    ] {
        diffuscope(&here(), args)
            .assert()
            .code(1)
            .stdout("")
            .stderr(contains("needs a terminal").and(contains("diffuscope run")));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for args in [
        &["schedule", "--steps", "1000"] as &[&str],
        &["schema"],
        &["tokenize", "--json", "a cat"],
    ] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_diffuscope"))
            .args(args)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_on_a_full_disk_is_an_error() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_diffuscope"))
        .arg("schedule")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"));
}

// ---- tokenize

#[test]
fn a_chinese_apple_is_six_tokens() {
    let assert = diffuscope(&here(), &["tokenize", "苹果", "--json"])
        .assert()
        .success();
    let document = json(&stdout(&assert));
    let tokens = document["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 77);
    let ids: Vec<u64> = tokens.iter().map(|t| t["id"].as_u64().unwrap()).collect();
    assert_eq!(ids[..8], [49406, 164, 233, 117, 162, 252, 506, 49407]);
    let bytes: Vec<u8> = tokens
        .iter()
        .filter(|token| token["special"] == false)
        .flat_map(|token| token["bytes"].as_array().unwrap().clone())
        .map(|byte| byte.as_u64().unwrap() as u8)
        .collect();
    assert_eq!(String::from_utf8(bytes).unwrap(), "苹果");
}

#[test]
fn the_table_of_tokens_shows_position_id_piece_and_bytes() {
    let assert = diffuscope(&here(), &["tokenize", "dream beach"])
        .assert()
        .success()
        .stderr("");
    let table = stdout(&assert);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["position", "id", "piece", "bytes", "text"]);
    assert_eq!(rows[1][..3], ["0", "49406", "<|startoftext|>"]);
    assert_eq!(
        rows[2],
        [
            "1",
            "2984",
            "dream</w>",
            "64",
            "72",
            "65",
            "61",
            "6d",
            "“dream”"
        ]
    );
    assert_eq!(rows[3][..3], ["2", "2117", "beach</w>"]);
    assert_eq!(rows[5], ["4-76", "49407", "<|endoftext|>", "padding"]);
    assert_eq!(rows.len(), 6);
}

#[test]
fn a_text_that_is_too_long_is_cut_and_says_so() {
    let text = "word ".repeat(80);
    let assert = diffuscope(&here(), &["tokenize", &text]).assert().success();
    let assert = assert.stderr(contains("80 tokens").and(contains("takes 75")));
    assert_eq!(stdout(&assert).matches("cut ").count(), 5);
}

#[test]
fn a_text_can_come_from_standard_input() {
    let folder = here();
    let typed = diffuscope(&folder, &["tokenize", "a cat"])
        .assert()
        .success();
    diffuscope(&folder, &["tokenize", "-"])
        .write_stdin("a cat\n")
        .assert()
        .success()
        .stdout(stdout(&typed));
    diffuscope(&folder, &["tokenize", "-"])
        .write_stdin(b"\xff\xfe".as_slice())
        .assert()
        .code(1)
        .stderr(contains("standard input"));
}

// ---- schedule

#[test]
fn the_schedule_of_the_first_diffusion_models_begins_at_sigma_157() {
    let args = [
        "schedule",
        "--betas",
        "linear",
        "--beta-start",
        "0.0001",
        "--beta-end",
        "0.02",
        "--scheduler",
        "lms",
        "--steps",
        "100",
    ];
    let folder = here();
    let table = stdout(&diffuscope(&folder, &args).assert().success());
    let row = |index: usize| -> Vec<f64> {
        let line = table.lines().nth(index + 1).unwrap();
        line.split_whitespace()
            .map(|cell| cell.parse().unwrap())
            .collect()
    };
    assert_eq!(table.lines().count(), 101);
    let near = |found: f64, expected: f64, by: f64| {
        assert!((found - expected).abs() <= by, "{found} is not {expected}");
    };
    near(row(0)[1], 999.0, 0.0);
    near(row(1)[1], 988.909, 0.0005);
    near(row(0)[2], 157.407, 0.0005);
    near(row(0)[3], row(1)[2], 0.0);
    near(row(99)[3], 0.0, 0.0);

    let document = json(&stdout(
        &diffuscope(&folder, &[&args[..], &["--json"]].concat())
            .assert()
            .success(),
    ));
    let list = |name: &str| document[name].as_array().unwrap().clone();
    assert_eq!(list("timesteps").len(), 100);
    assert_eq!(list("sigmas").len(), 101);
    near(list("timesteps")[1].as_f64().unwrap(), 988.909_09, 1e-5);
    near(list("sigmas")[0].as_f64().unwrap(), 157.407, 0.0005);
}

#[test]
fn every_scheduler_has_a_schedule_that_ends_without_noise() {
    for scheduler in [
        "lms",
        "euler",
        "euler-a",
        "ddim",
        "dpm++-2m",
        "dpm++-2m-karras",
        "pndm",
    ] {
        for steps in ["1", "2", "25", "999"] {
            let args = [
                "schedule",
                "--scheduler",
                scheduler,
                "--steps",
                steps,
                "--json",
            ];
            let document = json(&stdout(&diffuscope(&here(), &args).assert().success()));
            let sigmas = document["sigmas"].as_array().unwrap();
            let timesteps = document["timesteps"].as_array().unwrap();
            assert_eq!(sigmas.len(), timesteps.len() + 1, "{scheduler} {steps}");
            let first = sigmas[0].as_f64().unwrap();
            let last = sigmas.last().unwrap().as_f64().unwrap();
            assert!(
                last < 0.05 && last < first,
                "{scheduler} {steps}: {first} to {last}"
            );
            assert!(first < 14.615, "{scheduler} {steps}: {first}");
        }
    }
}

#[test]
fn a_schedule_that_the_training_never_had_is_refused() {
    // These two begin steps_offset, 1, above a multiple of the stride.
    for scheduler in ["ddim", "pndm"] {
        let args = ["schedule", "--scheduler", scheduler, "--steps", "1000"];
        diffuscope(&here(), &args)
            .assert()
            .code(1)
            .stdout("")
            .stderr(contains("timestep 1000").and(contains("fewer steps")));
    }
}

#[test]
fn without_options_the_schedule_is_stable_diffusions_own() {
    let args = ["schedule", "--json"];
    let document = json(&stdout(&diffuscope(&here(), &args).assert().success()));
    assert_eq!(document["scheduler"], "lms");
    assert_eq!(document["timesteps"].as_array().unwrap().len(), 25);
    let sigma = document["sigmas"][0].as_f64().unwrap();
    assert!((sigma - 14.6146).abs() < 1e-4, "{sigma}");
    let alpha = document["alphas_cumprod"][0].as_f64().unwrap();
    assert!((alpha - 0.00466).abs() < 1e-5, "{alpha}");
}

#[test]
fn an_impossible_beta_is_wrong_usage() {
    for beta in ["0", "-0.1", "1", "NaN", "x"] {
        diffuscope(&here(), &["schedule", "--beta-end", beta])
            .assert()
            .code(2)
            .stderr(contains("between 0 and 1"));
    }
}

// ---- schema

#[test]
fn the_schemas_are_schemas() {
    for document in ["run", "tensor", "step"] {
        let assert = diffuscope(&here(), &["schema", document])
            .assert()
            .success();
        let schema = json(&stdout(&assert));
        assert!(
            schema["$schema"]
                .as_str()
                .unwrap()
                .contains("json-schema.org")
        );
        jsonschema::validator_for(&schema).unwrap();
    }
}

fn assert_valid(document: &str, instance: &Value) {
    let assert = diffuscope(&here(), &["schema", document])
        .assert()
        .success();
    let validator = jsonschema::validator_for(&json(&stdout(&assert))).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(instance)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

// ---- run: the picture

#[test]
fn a_run_writes_a_picture_and_prints_only_its_path() {
    let folder = here();
    let args = ["run", "-p", ASTRONAUT, "--steps", "2"];
    for name in ["diffuscope-42.png", "diffuscope-42-2.png"] {
        diffuscope(&folder, &args)
            .assert()
            .success()
            .stdout(format!("{name}\n"))
            .stderr("");
    }
    assert_eq!(
        names(folder.path()),
        ["diffuscope-42-2.png", "diffuscope-42.png"]
    );
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("diffuscope-42.png"), read("diffuscope-42-2.png"));
    let picture = image::load_from_memory(&read("diffuscope-42.png")).unwrap();
    assert!(picture.width() >= 64 && picture.height() >= 64);
}

/// The picture of a run with these options.
fn picture(args: &[&str]) -> image::RgbImage {
    let folder = here();
    let args = [&["run", "--steps", "2", "--png", "a.png"], args].concat();
    diffuscope(&folder, &args)
        .assert()
        .success()
        .stdout("a.png\n");
    image::open(folder.path().join("a.png"))
        .unwrap()
        .into_rgb8()
}

#[test]
fn the_options_reach_the_picture() {
    let base = picture(&["-p", "a red fox"]);
    assert_eq!(base, picture(&["--prompt", "a red fox", "--seed=42"]));
    for other in [
        &["-p", "a blue fox"] as &[&str],
        &["-p", "a red fox", "--seed", "7"],
        &["-p", "a red fox", "--guidance", "2"],
        &["-p", "a red fox", "--negative", "fox"],
        &["-p", "a red fox", "--scheduler", "euler-a"],
    ] {
        assert_ne!(base, picture(other), "{other:?} changes nothing");
    }
}

#[test]
fn a_random_seed_is_said_and_makes_the_picture_again() {
    let folder = here();
    let seed_of = |assert: &Assert| -> u64 {
        let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        let (_, rest) = said.split_once("note: seed ").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    let run = |args: &[&str]| {
        let all = [&["run", "-p", "a red fox", "--steps", "1"], args].concat();
        diffuscope(&folder, &all).assert().success()
    };
    let [first, second] = [["--seed", "random"], ["-s", "random"]].map(|args| run(&args));
    let seeds = [&first, &second].map(seed_of);
    assert_ne!(seeds[0], seeds[1]);
    for (assert, seed) in [&first, &second].into_iter().zip(seeds) {
        // Torch takes 64 bits and uses 32.
        assert!(seed < 1 << 32, "{seed}");
        assert_eq!(stdout(assert), format!("diffuscope-{seed}.png\n"));
    }
    let seed = seeds[0].to_string();
    run(&["--seed", &seed, "--png", "again.png"]);
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(bytes("again.png"), bytes(&format!("diffuscope-{seed}.png")));
    run(&["--seed", "random", "--json", "run"]);
    let document: RunDocument = serde_json::from_slice(&bytes("run/run.json")).unwrap();
    assert!((0..1_i128 << 32).contains(&document.request.seed));
}

#[test]
fn a_picture_has_the_size_that_was_asked_for_and_its_recording_too() {
    let folder = here();
    let args = ["run", "-p", "a red fox", "--steps", "1", "--json", "fox"];
    let args = [&args as &[&str], &["--png", "fox.png", "--size", "136x96"]].concat();
    diffuscope(&folder, &args).assert().success();
    let picture = image::open(folder.path().join("fox.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (136, 96));
    let replay = Replay::open(&folder.path().join("fox")).unwrap();
    let info = replay.info();
    assert_eq!(info.image_size, (136, 96));
    assert_eq!(info.latent_shape, [4, 12, 17]);
    // 17 is halved to 9, and that to 5.
    let sizes: BTreeSet<_> = info
        .cross_attention
        .iter()
        .map(|layer| (layer.width, layer.height))
        .collect();
    assert_eq!(sizes, BTreeSet::from([(17, 12), (9, 6), (5, 3)]));
    assert_eq!(picture_of_side("64"), (64, 64));
}

/// Width and height of a picture with this `--size`.
fn picture_of_side(size: &str) -> (u32, u32) {
    picture(&["-p", "a red fox", "--size", size]).dimensions()
}

#[test]
fn a_negative_seed_wraps_as_torch_wraps_it() {
    let wrapped = picture(&["-p", "a cat", "--seed", "-1"]);
    assert_eq!(
        wrapped,
        picture(&["-p", "a cat", "--seed", "18446744073709551615"])
    );
    assert_ne!(wrapped, picture(&["-p", "a cat", "--seed", "1"]));
    picture(&["-p", "a cat", "--seed", "-9223372036854775808"]);
}

#[test]
fn prompts_of_every_kind_are_drawn() {
    for prompt in ["", "   ", "苹果", "\u{1b}[2J\u{7}", "\u{1F600}", "a\u{301}"] {
        picture(&["-p", prompt]);
    }
}

#[test]
fn a_prompt_of_ten_thousand_words_is_cut_and_says_so() {
    let folder = here();
    let prompt = "cat ".repeat(10_000);
    diffuscope(
        &folder,
        &["run", "-p", "-", "--steps", "1", "--json", "out"],
    )
    .write_stdin(prompt)
    .assert()
    .success()
    .stdout("out\n")
    .stderr(contains("10000 tokens").and(contains("takes 75")));
    let document = json(&fs::read_to_string(folder.path().join("out/run.json")).unwrap());
    assert_eq!(document["tokens"]["prompt_truncated"], 9925);
    assert_eq!(document["tokens"]["negative_prompt_truncated"], 0);
}

#[test]
fn words_that_the_model_never_saw_are_named() {
    let folder = here();
    let args = [
        "run",
        "-p",
        "a horse 苹果, Quantum horse quantum!",
        "--steps",
        "1",
        "--negative",
        "zyzzyva",
    ];
    diffuscope(&folder, &args)
        .assert()
        .success()
        .stderr(contains("never saw “苹果”, “Quantum”, “zyzzyva”").and(contains("horse”").not()));
}

#[test]
fn a_picture_that_is_named_is_replaced_whole() {
    let folder = here();
    fs::write(folder.path().join("a.png"), "old").unwrap();
    diffuscope(
        &folder,
        &["run", "-p", "a cat", "--steps", "1", "--png", "a.png"],
    )
    .assert()
    .success();
    image::open(folder.path().join("a.png")).unwrap();
    assert_eq!(names(folder.path()), ["a.png"]);
}

#[cfg(unix)]
#[test]
fn who_may_read_a_picture_stays_as_it_was_and_links_stay_links() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = here();
    let at = |name: &str| folder.path().join(name);
    let run = |name: &str| {
        let args = [
            "run", "-p", "a cat", "--steps", "1", "--size", "64", "--png", name,
        ];
        diffuscope(&folder, &args).assert().success();
    };
    fs::write(at("a.png"), "old").unwrap();
    fs::set_permissions(at("a.png"), fs::Permissions::from_mode(0o600)).unwrap();
    run("a.png");
    assert_eq!(
        fs::metadata(at("a.png")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    symlink("b.png", at("link.png")).unwrap();
    run("link.png");
    assert!(at("link.png").is_symlink());
    image::open(at("b.png")).unwrap();
}

#[test]
fn a_picture_is_png_and_goes_where_it_was_asked_for() {
    let folder = here();
    let run = |png: &str| {
        let args = [
            "run", "-p", "a cat", "--steps", "1", "--size", "64", "--png", png,
        ];
        diffuscope(&folder, &args).assert()
    };
    run("a.jpg").code(2).stdout("").stderr(contains("`a.png`"));
    let assert = run("-").success().stderr("");
    let picture = image::load_from_memory(&assert.get_output().stdout).unwrap();
    assert_eq!(picture.width(), 64);
    assert!(names(folder.path()).is_empty());
    run("./-").success();
    assert_eq!(names(folder.path()), ["-"]);
    let args = ["run", "-p", "a cat", "--json", "-"];
    diffuscope(&folder, &args)
        .assert()
        .code(2)
        .stderr(contains("./-"));
}

#[test]
fn what_a_killed_run_left_is_taken_away_by_the_next() {
    let folder = here();
    let left = folder.path().join(".a.png.diffuscope-partial-abcdef");
    fs::write(&left, "half").unwrap();
    let args = [
        "run", "-p", "a cat", "--steps", "1", "--size", "64", "--png", "b.png",
    ];
    diffuscope(&folder, &args).assert().success();
    assert_eq!(names(folder.path()), ["b.png"]);
}

#[test]
fn a_size_that_cannot_be_drawn_is_refused_before_anything_is_said_of_memory() {
    let folder = here();
    diffuscope(&folder, &["run", "-p", "a cat", "--size", "100000"])
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("cannot be drawn").and(contains("memory").not()));
}

// ---- run: the export

/// An export of everything, with every head.
fn everything() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = here();
        let args = [
            "run",
            "-p",
            ASTRONAUT,
            "--negative",
            "a horse",
            "--seed",
            "-5",
            "--steps",
            "3",
            "--json",
            "out",
            "--png",
            "a.png",
            "--tensors",
            "all",
            "--attention",
            "heads",
        ];
        diffuscope(&folder, &args)
            .assert()
            .success()
            .stdout("a.png\nout\n")
            .stderr("");
        folder
    });
    folder.path()
}

fn everything_document() -> RunDocument {
    document(&everything().join("out"))
}

fn document(folder: &Path) -> RunDocument {
    serde_json::from_str(&fs::read_to_string(folder.join("run.json")).unwrap()).unwrap()
}

fn tensor(folder: &Path, entry: &TensorEntry) -> TensorDocument {
    serde_json::from_str(&fs::read_to_string(folder.join(&entry.file)).unwrap()).unwrap()
}

fn values(tensor: &TensorDocument) -> Vec<f32> {
    tensor.data.iter().map(|number| number.0).collect()
}

#[test]
fn the_export_is_what_its_schema_says() {
    let folder = everything().join("out");
    let text = fs::read_to_string(folder.join("run.json")).unwrap();
    assert_valid("run", &json(&text));
    let document = document(&folder);
    for entry in document
        .tensors
        .values()
        .chain(document.steps[0].tensors.values())
    {
        let text = fs::read_to_string(folder.join(&entry.file)).unwrap();
        assert_valid("tensor", &json(&text));
    }
}

#[test]
fn the_export_says_what_was_asked_for_and_by_what() {
    let folder = everything().join("out");
    let document = document(&folder);
    assert_eq!(
        document.request,
        Request {
            prompt: ASTRONAUT.into(),
            negative_prompt: "a horse".into(),
            seed: -5,
            steps: 3,
            guidance_scale: document.request.guidance_scale,
            scheduler: SchedulerKind::Lms,
            ..Request::default()
        }
    );
    assert!(document.request.guidance_scale > 1.0);
    assert_eq!(document.program.name, "diffuscope");
    assert_eq!(document.program.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(document.model.name, "little-world");
    assert_eq!(document.model.sha256.len(), 64);
    assert_eq!(document.dtype, "float32");
    let raw = json(&fs::read_to_string(folder.join("run.json")).unwrap());
    assert_eq!(raw["format"], "diffuscope-trace");
    assert_eq!(raw["version"], 1);
    assert_eq!(raw["request"]["scheduler"], "lms");
}

#[test]
fn the_export_has_the_tokens() {
    let document = everything_document();
    let ids = |tokens: &[diffuscope::document::TokenEntry]| -> Vec<u32> {
        tokens.iter().map(|token| token.id).collect()
    };
    let prompt = ids(&document.tokens.prompt);
    assert_eq!(prompt.len(), 77);
    assert_eq!(
        prompt[..10],
        [49406, 320, 8853, 539, 550, 18376, 6765, 320, 4558, 49407]
    );
    assert_eq!(
        ids(&document.tokens.negative_prompt)[..4],
        [49406, 320, 4558, 49407]
    );
    let astronaut = &document.tokens.prompt[5];
    assert_eq!(
        (astronaut.position, astronaut.piece.as_str()),
        (5, "astronaut</w>")
    );
    assert!(!astronaut.special && document.tokens.prompt[0].special);
}

#[test]
fn the_export_has_the_schedule_and_a_step_for_each_of_its_timesteps() {
    let document = everything_document();
    let schedule = &document.schedule;
    assert_eq!(schedule.timesteps.len(), 3);
    assert_eq!(schedule.sigmas.len(), 4);
    assert_eq!(document.steps.len(), 3);
    for (index, step) in document.steps.iter().enumerate() {
        assert_eq!(step.index, index);
        assert_eq!(step.timestep, schedule.timesteps[index]);
        assert_eq!(step.sigma, schedule.sigmas[index]);
        assert_eq!(step.sigma_next, schedule.sigmas[index + 1]);
        assert!(step.seconds > 0.0);
    }
}

#[test]
fn the_export_has_every_tensor_by_its_name() {
    let document = everything_document();
    let found: BTreeSet<&str> = document.tensors.keys().map(String::as_str).collect();
    for name in [
        "token_embedding",
        "position_embedding",
        "text_model.encoder.layers.0",
        "text_model.encoder.layers.0.self_attn",
        "prompt_embedding",
        "negative_prompt_embedding",
        "initial_noise",
    ] {
        assert!(found.contains(name), "{name} is not among {found:?}");
    }
    for step in &document.steps {
        let (attention, tensors): (Vec<_>, Vec<_>) = step
            .tensors
            .keys()
            .map(String::as_str)
            .partition(|name| name.starts_with("attention/"));
        assert_eq!(
            tensors,
            [
                "latents",
                "latents_next",
                "noise_guided",
                "noise_text",
                "noise_uncond",
                "x0"
            ]
        );
        assert!(
            attention
                .iter()
                .any(|name| name.contains("down_blocks.0.attentions.0"))
        );
        assert!(attention.iter().all(|name| name.contains(".attn2")));
        for name in attention {
            let shape = &step.tensors[name].shape;
            assert_eq!((shape.len(), shape[1]), (4, 77), "{name}: {shape:?}");
        }
    }
}

#[test]
fn a_tensors_file_has_as_many_values_as_its_shape_says_and_those_its_statistics_are_of() {
    let folder = everything().join("out");
    let document = document(&folder);
    let steps = document.steps.iter().flat_map(|step| &step.tensors);
    let mut files = BTreeSet::new();
    for (name, entry) in document.tensors.iter().chain(steps) {
        let tensor = tensor(&folder, entry);
        assert_eq!(&tensor.name, name);
        assert_eq!(tensor.shape, entry.shape);
        assert_eq!(tensor.data.len(), entry.shape.iter().product::<usize>());
        assert_eq!(Stats::of(&values(&tensor)), entry.stats, "{name}");
        assert!(files.insert(&entry.file), "{} is used twice", entry.file);
    }
}

#[test]
fn what_one_step_leaves_the_next_one_finds() {
    let folder = everything().join("out");
    let document = document(&folder);
    let read =
        |step: usize, name: &str| values(&tensor(&folder, &document.steps[step].tensors[name]));
    assert_eq!(read(0, "latents_next"), read(1, "latents"));
    assert_eq!(read(1, "latents_next"), read(2, "latents"));
    let noise = values(&tensor(&folder, &document.tensors["initial_noise"]));
    let scale = document.schedule.init_noise_sigma.0;
    let scaled: Vec<f32> = noise.iter().map(|value| value * scale).collect();
    assert_eq!(scaled, read(0, "latents"));
    // Guidance is what its formula says.
    let (uncond, text) = (read(0, "noise_uncond"), read(0, "noise_text"));
    let guidance = document.request.guidance_scale as f32;
    for ((uncond, text), guided) in uncond.iter().zip(&text).zip(read(0, "noise_guided")) {
        assert!((uncond + guidance * (text - uncond) - guided).abs() < 1e-4);
    }
}

#[test]
fn attention_sums_to_one_over_the_tokens_at_every_pixel_of_every_head() {
    let folder = everything().join("out");
    let document = document(&folder);
    let tensors = &document.steps[1].tensors;
    let (_, entry) = tensors
        .iter()
        .find(|(name, _)| name.starts_with("attention/"))
        .unwrap();
    let data = values(&tensor(&folder, entry));
    let pixels = entry.shape[2] * entry.shape[3];
    for head in data.chunks_exact(77 * pixels) {
        for pixel in 0..pixels {
            let sum: f32 = head.iter().skip(pixel).step_by(pixels).sum();
            assert!((sum - 1.0).abs() < 1e-4, "{sum}");
        }
    }
}

#[test]
fn recording_everything_leaves_the_picture_bit_identical_to_recording_nothing() {
    let recorded = everything();
    let folder = here();
    let args = [
        "run",
        "-p",
        ASTRONAUT,
        "--negative",
        "a horse",
        "--seed",
        "-5",
        "--steps",
        "3",
        "--png",
        "a.png",
    ];
    diffuscope(&folder, &args).assert().success();
    let plain = fs::read(folder.path().join("a.png")).unwrap();
    assert_eq!(plain, fs::read(recorded.join("a.png")).unwrap());
    assert_eq!(plain, fs::read(recorded.join("out/image.png")).unwrap());
    let document = document(&recorded.join("out"));
    let size = image::image_dimensions(folder.path().join("a.png")).unwrap();
    assert_eq!((document.image.width, document.image.height), size);
}

#[test]
fn without_being_asked_the_export_has_mean_attention_and_every_named_tensor() {
    let folder = here();
    diffuscope(
        &folder,
        &["run", "-p", "a cat", "--steps", "1", "--json", "out"],
    )
    .assert()
    .success()
    .stdout("out\n");
    assert_eq!(names(folder.path()), ["out"]);
    let out = folder.path().join("out");
    assert_eq!(names(&out), ["image.png", "run.json", "steps", "tensors"]);
    let document = document(&out);
    assert!(document.tensors.contains_key("text_model.encoder.layers.0"));
    assert!(
        !document
            .tensors
            .keys()
            .any(|name| name.ends_with("self_attn"))
    );
    let mut attention = document.steps[0].tensors.iter();
    let (_, entry) = attention
        .find(|(name, _)| name.starts_with("attention/"))
        .unwrap();
    assert_eq!((entry.shape.len(), entry.shape[0]), (3, 77));
}

#[test]
fn only_the_tensors_that_are_named_are_exported() {
    let folder = here();
    let args = [
        "run",
        "-p",
        "a cat",
        "--steps",
        "1",
        "--json",
        "out",
        "--tensors",
        "latents, x0,prompt_*,attention/mid_block.*",
    ];
    diffuscope(&folder, &args).assert().success();
    let document = document(&folder.path().join("out"));
    assert_eq!(
        document.tensors.keys().collect::<Vec<_>>(),
        ["prompt_embedding"]
    );
    let names: Vec<&String> = document.steps[0].tensors.keys().collect();
    assert!(names[0].starts_with("attention/mid_block."), "{names:?}");
    assert_eq!(names[1..], ["latents", "x0"]);
}

#[test]
fn attention_can_be_left_out() {
    let folder = here();
    let args = [
        "run",
        "-p",
        "a cat",
        "--steps",
        "1",
        "--json",
        "out",
        "--attention",
        "none",
    ];
    diffuscope(&folder, &args).assert().success();
    let document = document(&folder.path().join("out"));
    assert!(
        !document.steps[0]
            .tensors
            .keys()
            .any(|name| name.starts_with("attention"))
    );
    diffuscope(&here(), &[&args[..], &["--tensors", "attention"]].concat())
        .assert()
        .code(2)
        .stderr(contains("--attention none"));
}

#[test]
fn a_tensor_that_does_not_exist_is_wrong_usage() {
    let folder = here();
    diffuscope(
        &folder,
        &[
            "run",
            "-p",
            "a cat",
            "--json",
            "out",
            "--tensors",
            "latents,latent",
        ],
    )
    .assert()
    .code(2)
    .stdout("")
    .stderr(contains("`latent`").and(contains("noise_guided")));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn without_guidance_there_is_no_unconditional_half() {
    let folder = here();
    let args = [
        "run",
        "-p",
        "a cat",
        "--steps",
        "1",
        "--guidance",
        "1",
        "--json",
        "out",
    ];
    diffuscope(&folder, &args).assert().success();
    let document = document(&folder.path().join("out"));
    let tensors = &document.steps[0].tensors;
    assert!(!tensors.contains_key("noise_uncond"));
    assert!(tensors.contains_key("noise_text"));
    assert!(document.tensors.contains_key("negative_prompt_embedding"));
}

#[test]
fn the_statistics_of_every_module_are_exported_on_request() {
    let folder = here();
    let args = [
        "run",
        "-p",
        "a cat",
        "--steps",
        "1",
        "--json",
        "out",
        "--tensors",
        "x0",
        "--modules",
    ];
    diffuscope(&folder, &args).assert().success();
    let out = folder.path().join("out");
    assert_valid(
        "run",
        &json(&fs::read_to_string(out.join("run.json")).unwrap()),
    );
    let document = document(&out);
    let modules = &document.steps[0].modules;
    let attention = modules
        .iter()
        .find(|module| module.path.contains("attentions"));
    assert!(
        attention.is_some_and(|module| module.stats.std > 0.0),
        "{modules:?}"
    );
    assert!(everything_document().steps[0].modules.is_empty());
}

#[test]
fn words_are_weighed_and_swapped_wherever_the_prompt_has_them_and_the_export_says_so() {
    let folder = here();
    let prompt = "a Red apple and a red house";
    let args = [
        "run",
        "-p",
        prompt,
        "--steps",
        "1",
        "--json",
        "out",
        "--tensors",
        "attention",
        "--weight",
        "red=0",
        "--swap",
        "apple=house",
    ];
    diffuscope(&folder, &args).assert().success().stderr("");
    let path = folder.path().join("out");
    let text = fs::read_to_string(path.join("run.json")).unwrap();
    assert_valid("run", &json(&text));
    let interventions = &json(&text)["request"]["interventions"];
    let expected = serde_json::json!([
        { "word": "red", "positions": [2, 6], "change": { "weight": 0.0 } },
        {
            "word": "apple",
            "positions": [3],
            "change": { "swap": { "word": "house", "positions": [7] } }
        }
    ]);
    assert_eq!(interventions, &expected);
    for entry in document(&path).steps[0].tensors.values() {
        let size = entry.shape[1] * entry.shape[2];
        let values = values(&tensor(&path, entry));
        let map = |position: usize| &values[position * size..(position + 1) * size];
        assert!(map(2).iter().chain(map(6)).all(|&value| value == 0.0));
        assert!(map(3).iter().all(|&value| value > 0.0));
    }
    // The same request without them is another picture.
    let plain = picture(&["-p", prompt]);
    let weighed = picture(&["-p", prompt, "--weight", "red=0"]);
    assert!(plain != weighed);
    assert!(plain == picture(&["-p", prompt, "--weight", "red=1"]));
}

#[test]
fn guidance_acts_in_the_steps_that_are_named_and_is_rescaled() {
    let folder = here();
    let args = [
        "run",
        "-p",
        "a red apple",
        "--steps",
        "3",
        "--json",
        "out",
        "--guidance-steps",
        "2..3",
        "--guidance-rescale",
        "0.7",
        "--tensors",
        "noise_*",
    ];
    diffuscope(&folder, &args).assert().success().stderr("");
    let path = folder.path().join("out");
    let text = fs::read_to_string(path.join("run.json")).unwrap();
    assert_valid("run", &json(&text));
    let request = &json(&text)["request"];
    assert_eq!(
        request["guidance_steps"],
        serde_json::json!({"first": 1, "last": 2})
    );
    assert_eq!(request["guidance_rescale"], 0.7);
    let steps = document(&path).steps;
    let guided = steps
        .iter()
        .map(|step| step.tensors.contains_key("noise_uncond"));
    assert_eq!(guided.collect::<Vec<_>>(), [false, true, true]);
    // Whoever replays it is told.
    let check = diffuscope(&folder, &["replay", "--check", "out"])
        .assert()
        .success();
    let said = String::from_utf8_lossy(&check.get_output().stdout).into_owned();
    assert!(
        said.contains("guidance only in steps 2 to 3\nguidance rescaled by 0.7"),
        "{said}"
    );
    assert!(said.contains("guidance combines its halves"), "{said}");
    // What says nothing of either writes nothing of either.
    assert!(json(&fs::read_to_string(everything().join("out/run.json")).unwrap())["request"]["guidance_rescale"].is_null());
    for (option, value, expected) in [
        ("--guidance-steps", "0..2", "counted from 1"),
        ("--guidance-steps", "3..2", "FIRST..LAST"),
        ("--guidance-steps", "2..26", "has 25 steps"),
        ("--guidance-rescale", "1.5", "from 0 to 1"),
        ("--guidance-rescale", "-1", "from 0 to 1"),
        ("--guidance-rescale", "NaN", "from 0 to 1"),
    ] {
        let args = ["run", "-p", "a red apple", "--json", "no", option, value];
        let assert = diffuscope(&folder, &args).assert().code(2);
        let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(said.contains(expected), "{option} {value}: {said}");
        assert!(!folder.path().join("no").exists());
    }
}

#[test]
fn modules_are_switched_off_scaled_and_taken_from_a_recorded_run_and_the_export_says_so() {
    let folder = here();
    let of = |name: &str, more: &[&str]| {
        let args = ["run", "-p", "a red apple", "--steps", "3", "--json", name];
        let args = [&args[..], &["--tensors", "latents*,noise_*"], more].concat();
        diffuscope(&folder, &args).assert().success().stderr("");
        let path = folder.path().join(name);
        let text = fs::read_to_string(path.join("run.json")).unwrap();
        assert_valid("run", &json(&text));
        let last = &document(&path).steps[2].tensors["latents_next"];
        (json(&text)["request"].clone(), values(&tensor(&path, last)))
    };
    let (request, plain) = of("plain", &[]);
    assert!(request["patches"].is_null());
    let middle = "mid_block.attentions.0";
    let (request, off) = of(
        "off",
        &["--patch", &format!("{middle}=off"), "--patch-steps", "2..3"],
    );
    let expected = serde_json::json!([
        { "module": middle, "change": "off", "steps": { "first": 1, "last": 2 } }
    ]);
    assert_eq!(request["patches"], expected);
    assert_ne!(off, plain);
    // The value that it had in the plain run, in the steps in which it is off: the plain run again.
    let taken = format!("{middle}=plain");
    let (request, again) = of(
        "again",
        &["--patch", &format!("{middle}=off"), "--patch", &taken],
    );
    assert_eq!(request["patches"][1]["change"]["take"]["run"], "plain");
    assert_eq!(again, plain);
    let head = format!("{middle}.transformer_blocks.0.attn2#1=0.5");
    let (_, scaled) = of("head", &["--patch", &head, "--patch", "conv_in=plain@1"]);
    assert_ne!(scaled, plain);

    let check = diffuscope(&folder, &["replay", "--check", "off"])
        .assert()
        .success();
    let said = String::from_utf8_lossy(&check.get_output().stdout).into_owned();
    let expected = format!("\n{middle} off in both halves, in steps 2 to 3\n");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_patch_that_cannot_be_is_wrong_usage_and_says_what_could() {
    let folder = here();
    for (args, code, expected) in [
        (
            &["--patch", "mid_block.resnet.1=off"][..],
            2,
            "mid_block.resnets.1",
        ),
        (&["--patch", "mid_block=0.5"], 2, "mid_block.attentions.0"),
        (&["--patch", "conv_in"], 2, "PATH[#HEAD]=off"),
        (&["--patch", "conv_in=1000"], 2, "-100 to 100"),
        (&["--patch", "conv_in#0=off"], 2, "only attn1 and attn2"),
        (
            &["--patch", "conv_in=off", "--patch-steps", "20..30"],
            2,
            "has 25 steps",
        ),
        (&["--patch-steps", "2..3"], 2, "--patch"),
        (&["--patch", "conv_in=nowhere"], 1, "nowhere"),
    ] {
        let args = [&["run", "-p", "a red apple", "--json", "out"], args].concat();
        let assert = diffuscope(&folder, &args).assert().code(code);
        let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert!(said.contains(expected), "{args:?}: {said}");
        assert_harmless(&assert);
        assert!(!folder.path().join("out").exists());
    }
}

#[test]
fn a_word_that_the_prompt_does_not_have_is_wrong_usage_and_names_those_it_has() {
    let folder = here();
    for (option, value, expected) in [
        ("--weight", "tiger=2", "it has a, red, apple"),
        ("--swap", "red=tiger", "no word “tiger”"),
        ("--swap", "red=red", "named twice"),
        ("--weight", "apple", "WORD=FACTOR"),
        ("--weight", "apple=-1", "from 0 to 100"),
        ("--weight", "apple=NaN", "from 0 to 100"),
        ("--weight", "=2", "WORD=FACTOR"),
        ("--swap", "red", "WORD=OTHER"),
    ] {
        let args = ["run", "-p", "a red apple", "--json", "out", option, value];
        let assert = diffuscope(&folder, &args).assert();
        assert.code(2).stdout("").stderr(contains(expected));
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_recorded_run_is_checked_without_a_model() {
    let out = everything().join("out");
    let folder = here();
    let path = out.to_str().unwrap();
    diffuscope(&folder, &["replay", "--check", path])
        .assert()
        .success()
        .stdout(contains(format!("“{ASTRONAUT}”")))
        .stdout(contains("3 steps"))
        .stdout(contains("guidance combines its halves").and(contains("Not checked:")))
        .stderr("");
    diffuscope(&folder, &["replay", path])
        .assert()
        .code(1)
        .stderr(contains("needs a terminal"));
    diffuscope(&folder, &["replay", "--check", "nowhere"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("diffuscope run --json"));
    copy(&out, &folder.path().join("copy"));
    let damaged = folder.path().join("copy/steps/0001/x0.json");
    fs::write(&damaged, "{}").unwrap();
    let assert = diffuscope(&folder, &["replay", "--check", "copy"]).assert();
    let assert = assert.code(1).stderr(contains("x0.json"));
    assert_harmless(&assert);
    fs::remove_file(damaged).unwrap();
    diffuscope(&folder, &["replay", "--check", "copy"])
        .assert()
        .code(1)
        .stderr(contains("x0.json").and(contains("with all its files")));
}

#[test]
fn pndm_exports_its_additional_step() {
    let folder = here();
    let args = [
        "run",
        "-p",
        "a cat",
        "--steps",
        "4",
        "--scheduler",
        "pndm",
        "--json",
        "out",
        "--tensors",
        "x0",
    ];
    diffuscope(&folder, &args).assert().success();
    let document = document(&folder.path().join("out"));
    assert_eq!(document.request.steps, 4);
    assert_eq!(document.steps.len(), 5);
    assert_eq!(document.schedule.sigmas.len(), 6);
}

// ---- run: where it is written

#[test]
fn a_folder_with_something_in_it_is_refused_before_the_run_and_replaced_only_by_force() {
    let folder = here();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let args = [
        "run",
        "-p",
        "a cat",
        "--steps",
        "1",
        "--json",
        "out",
        "--tensors",
        "x0",
        "--seed",
    ];
    let run = |seed: &str, more: &[&str]| {
        diffuscope(&folder, &[&args[..], &[seed], more].concat()).assert()
    };
    run("1", &[])
        .code(1)
        .stdout("")
        .stderr(contains("`out` is not empty").and(contains("--force")));
    assert_eq!(names(&out), ["notes.txt"]);
    run("1", &["--force"]).success();
    assert_eq!(document(&out).request.seed, 1);
    fs::write(out.join("steps/0000/left-over.json"), "{}").unwrap();
    run("2", &["--force"]).success();
    assert_eq!(document(&out).request.seed, 2);
    assert!(!out.join("steps/0000/left-over.json").exists());
    assert_eq!(fs::read_to_string(out.join("notes.txt")).unwrap(), "mine");
    // A run that fails leaves the earlier export as it is.
    run("3", &["--force", "--model", "nowhere"]).code(1);
    assert_eq!(document(&out).request.seed, 2);
    assert_eq!(names(&out), ["image.png", "notes.txt", "run.json", "steps"]);
}

#[test]
fn a_folder_may_be_written_with_a_slash_or_with_parts() {
    let folder = here();
    fs::create_dir(folder.path().join("in")).unwrap();
    for path in ["castle/", "./in/../fox", "in/owl/"] {
        let args = [
            "run",
            "-p",
            "a cat",
            "--steps",
            "1",
            "--json",
            path,
            "--tensors",
            "x0",
        ];
        diffuscope(&folder, &args)
            .assert()
            .success()
            .stdout(format!("{path}\n"));
        document(&folder.path().join(path));
    }
    assert_eq!(names(folder.path()), ["castle", "fox", "in"]);
}

#[test]
fn an_empty_folder_is_filled() {
    let folder = here();
    let args = [
        "run",
        "-p",
        "a cat",
        "--steps",
        "1",
        "--json",
        ".",
        "--tensors",
        "x0",
    ];
    diffuscope(&folder, &args).assert().success().stdout(".\n");
    assert_eq!(names(folder.path()), ["image.png", "run.json", "steps"]);
}

#[test]
fn a_place_that_cannot_be_written_to_is_an_error_before_the_run() {
    let folder = here();
    fs::write(folder.path().join("file"), "x").unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    for (args, expected) in [
        (["--png", "nowhere/a.png"], "create the folder"),
        (["--json", "nowhere/out"], "create the folder"),
        (["--png", "file/a.png"], "cannot write `file/a.png`"),
        (["--json", "file"], "`file` is no folder"),
        (["--png", "folder"], "`folder` is a folder"),
    ] {
        // A model that does not exist: the place is looked at first.
        let args = [
            &["run", "-p", "a cat", "--model", "nowhere"],
            args.as_slice(),
        ]
        .concat();
        diffuscope(&folder, &args)
            .assert()
            .code(1)
            .stdout("")
            .stderr(contains(expected).and(contains("panic").not()));
    }
    assert_eq!(names(folder.path()), ["file", "folder"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let folder = here();
    diffuscope(
        &folder,
        &["run", "-p", "a cat", "--steps", "1", "--png", "/dev/full"],
    )
    .assert()
    .code(1)
    .stdout("")
    .stderr(contains("cannot write `/dev/full`").and(contains("free some space")));

    // A limit on the size of files stands for a disk that fills up in the middle of the export.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let args = ["run", "-p", "a cat", "--steps", "1", "--json", "out"];
    Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", script, env!("CARGO_BIN_EXE_diffuscope")])
        .args(args)
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("cannot write `out`"));
    assert!(names(folder.path()).is_empty());
}

#[cfg(unix)]
#[test]
fn ctrl_c_cancels_the_run_and_leaves_nothing() {
    let folder = here();
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_diffuscope"))
        .current_dir(folder.path())
        .args([
            "run", "-p", "a cat", "--steps", "1000", "--json", "out", "--png", "a.png",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Wait until it is in the middle of the denoising steps.
    let first_step = || {
        let partial = names(folder.path())
            .into_iter()
            .find(|name| name.starts_with(".out"));
        partial.is_some_and(|name| folder.path().join(name).join("steps/0001").exists())
    };
    for _ in 0..1200 {
        if first_step() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(first_step(), "the run did not get to its second step");
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cancelled"));
    assert!(names(folder.path()).is_empty());
}

// ---- run: the model

#[cfg(not(feature = "cuda"))]
#[test]
fn cuda_without_cuda_says_what_to_do() {
    diffuscope(&here(), &["run", "-p", "a cat", "--device", "cuda"])
        .assert()
        .code(1)
        .stderr(contains("--device cpu").and(contains("--features cuda")));
}

#[test]
fn numbers_that_the_cpu_cannot_compute_with_are_refused_with_what_to_do() {
    let args = ["run", "-p", "a cat", "--device", "cpu", "--dtype", "bf16"];
    diffuscope(&here(), &args)
        .assert()
        .code(1)
        .stderr(contains("--dtype f32"));
}

/// A copy of the embedded model's folder.
pub(crate) fn model_folder(parent: &TempDir) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons/little-world/checkpoint");
    let to = parent.path().join("model");
    copy(&from, &to);
    to
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if fs::metadata(entry.path()).unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn the_embedded_model_as_a_folder_draws_the_same_picture() {
    let folder = here();
    let model = model_folder(&folder);
    let embedded = picture(&["-p", "a cat"]);
    assert_eq!(
        embedded,
        picture(&["-p", "a cat", "--model", model.to_str().unwrap()])
    );
}

#[test]
fn a_damaged_model_is_an_error_that_names_the_file() {
    let folder = here();
    let model = model_folder(&folder);
    let truncate = |file: &str, to: f64| {
        let path = model.join(file);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..(whole.len() as f64 * to) as usize]).unwrap();
        whole
    };
    for file in [
        "unet/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "unet/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
        "model_index.json",
    ] {
        for share in [0.0, 0.5] {
            let whole = truncate(file, share);
            let assert = diffuscope(&folder, &["run", "-p", "a cat", "--model", "model"])
                .assert()
                .code(1)
                .stdout("")
                .stderr(contains(file).and(contains("error: ")));
            assert!(!String::from_utf8_lossy(&assert.get_output().stderr).contains("panic"));
            fs::write(model.join(file), whole).unwrap();
        }
        let whole = fs::read(model.join(file)).unwrap();
        if file != "model_index.json" {
            fs::remove_file(model.join(file)).unwrap();
            diffuscope(&folder, &["run", "-p", "a cat", "--model", "model"])
                .assert()
                .code(1)
                .stdout("")
                .stderr(contains("error: "));
            fs::write(model.join(file), whole).unwrap();
        }
    }
    assert_eq!(names(folder.path()), ["model"]);
}

#[test]
fn a_model_that_does_not_exist_is_an_error_for_every_command() {
    for args in [
        &["run", "-p", "a cat", "--model", "nowhere"] as &[&str],
        &["tokenize", "a cat", "--model", "nowhere"],
    ] {
        diffuscope(&here(), args)
            .assert()
            .code(1)
            .stdout("")
            .stderr(contains("nowhere").and(contains("little-world")));
    }
}

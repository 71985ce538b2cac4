//! The streamed export, from events made by hand: what a real run does not show.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use diffuscope::export::document::{
    RunDocument, TensorDocument, TensorEntry, run_schema, tensor_schema,
};
use diffuscope::export::{Export, ExportError, OutputFolder, RunMetadata, TensorSelection};
use diffuscope::generation::Request;
use diffuscope::model::tokenizer::{Token, TokenKind, Tokens};
use diffuscope::scheduler::{Schedule, Scheduler, SchedulerConfig, SchedulerKind};
use diffuscope::trace::{
    AttentionMaps, Event, ImageTrace, ModuleStats, NoiseTrace, Stats, StepTrace, TensorData,
    TextTrace, TokensTrace,
};
use image::RgbImage;
use serde_json::Value;

fn request(steps: usize) -> Request {
    Request {
        prompt: "\u{1b}[2J \"quoted\" 苹果".into(),
        negative_prompt: String::new(),
        seed: (1_i128 << 64) - 1,
        steps,
        guidance_scale: 7.5,
        scheduler: SchedulerKind::Euler,
        ..Request::default()
    }
}

fn metadata(steps: usize) -> RunMetadata {
    RunMetadata {
        scheduler_config: Some(SchedulerConfig::stable_diffusion_v1()),
        ..RunMetadata::hand_made(request(steps))
    }
}

fn schedule(steps: usize) -> Schedule {
    let config = SchedulerConfig::stable_diffusion_v1();
    let scheduler = Scheduler::new(SchedulerKind::Euler, &config, steps).unwrap();
    scheduler.schedule().clone()
}

fn tokens() -> Event {
    let token = |position, kind, piece: &str| Token {
        position,
        id: 7,
        piece: piece.into(),
        added: false,
        bytes: Vec::new(),
        span: None,
        kind,
    };
    let tokens = |truncated| Tokens {
        tokens: vec![
            token(0, TokenKind::Start, "<|startoftext|>"),
            token(1, TokenKind::Word, "\"\\\u{7}</w>"),
            token(2, TokenKind::End, "<|endoftext|>"),
        ],
        truncated: vec![token(3, TokenKind::Word, "cut</w>"); truncated],
    };
    Event::Tokens(Arc::new(TokensTrace {
        prompt: tokens(2),
        negative_prompt: tokens(0),
        unseen: [7].into(),
    }))
}

fn text() -> Event {
    let snapshot = |name: &str| TensorData::from_values(name, vec![1, 2], vec![0.25, -1e-30]);
    Event::Text(Arc::new(TextTrace {
        prompt: vec![
            snapshot("token_embedding"),
            snapshot("text_model.encoder.layers.0"),
            snapshot("prompt_embedding"),
        ],
        negative_prompt_embedding: snapshot("negative_prompt_embedding"),
        attention: vec![snapshot("text_model.encoder.layers.0.self_attn")],
        heads: Vec::new(),
        modules: Vec::new(),
        seconds: 0.5,
    }))
}

fn noise(steps: usize) -> Event {
    Event::Noise(Arc::new(NoiseTrace {
        schedule: schedule(steps),
        initial_noise: TensorData::from_values("initial_noise", vec![1, 1, 2], vec![1.5, -0.0]),
    }))
}

fn step(index: usize, latents: &[f32], maps: usize) -> Event {
    let size = 16;
    Event::Step(Arc::new(StepTrace {
        index,
        timestep: 988.909,
        sigma: 14.6,
        sigma_next: 1.0,
        seconds: 0.125,
        tensors: vec![TensorData::from_values(
            "latents",
            vec![1, 1, latents.len()],
            latents.to_vec(),
        )],
        attention: (0..maps)
            .map(|map| AttentionMaps {
                path: format!("mid_block.attentions.{map}.attn2").into(),
                heads: Some(2),
                tokens: 77,
                height: size,
                width: size,
                data: vec![0.25; 2 * 77 * size * size].into(),
            })
            .collect(),
        modules: vec![ModuleStats {
            path: "conv_in".into(),
            shape: vec![1, 2],
            stats: Stats::of(&[1.0, 3.0]),
        }],
        preview_scale: 1.0,
    }))
}

fn picture() -> Event {
    Event::Image(Arc::new(ImageTrace {
        image: RgbImage::from_pixel(8, 4, image::Rgb([1, 2, 3])),
        stats: Some(Stats::of(&[0.5; 96])),
        dtype: Some("f32".into()),
        overflowed: None,
        seconds: 0.25,
    }))
}

fn export(path: &Path, steps: usize, selection: TensorSelection) -> Export {
    let folder = OutputFolder::at(path, false).unwrap();
    Export::new(folder, metadata(steps), selection)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn tensor(folder: &Path, entry: &TensorEntry) -> TensorDocument {
    serde_json::from_value(read(&folder.join(&entry.file))).unwrap()
}

#[test]
fn numbers_that_json_does_not_have_leave_it_valid() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("out");
    let mut export = export(&path, 1, TensorSelection::default());
    let latents = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.1, -0.0, 1e-45];
    for event in [tokens(), text(), noise(1), step(0, &latents, 0), picture()] {
        export.write(&event).unwrap();
    }
    assert_eq!(export.finish().unwrap(), path);

    let run = read(&path.join("run.json"));
    let validator = jsonschema::validator_for(run_schema().as_value()).unwrap();
    validator.validate(&run).unwrap();
    let document: RunDocument = serde_json::from_value(run.clone()).unwrap();
    assert_eq!(document.request, request(1));
    // What is streamed is what the types say, to the last member.
    let again = serde_json::to_string(&document).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), run);

    let entry = &document.steps[0].tensors["latents"];
    assert_eq!((entry.stats.count, entry.stats.non_finite), (6, 3));
    let file = read(&path.join(&entry.file));
    let validator = jsonschema::validator_for(tensor_schema().as_value()).unwrap();
    validator.validate(&file).unwrap();
    assert_eq!(file["data"][0], "NaN");
    assert_eq!(file["data"][1], "Infinity");
    assert_eq!(file["data"][2], "-Infinity");
    let values = tensor(&path, entry).data;
    for (found, expected) in values.iter().zip(latents).skip(1) {
        assert_eq!(found.0.to_bits(), expected.to_bits());
    }
}

#[test]
fn the_number_of_tokens_that_did_not_fit_is_exported() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("out");
    let mut export = export(&path, 1, TensorSelection::default());
    for event in [tokens(), text(), noise(1), step(0, &[0.0], 0), picture()] {
        export.write(&event).unwrap();
    }
    export.finish().unwrap();
    let run = read(&path.join("run.json"));
    assert_eq!(run["tokens"]["prompt_truncated"], 2);
    assert_eq!(run["tokens"]["negative_prompt_truncated"], 0);
    assert_eq!(run["tokens"]["prompt"][1]["piece"], "\"\\\u{7}</w>");
    assert_eq!(run["tokens"]["prompt"][1]["special"], false);
}

#[test]
fn files_have_names_that_every_system_takes() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("out");
    let mut export = export(&path, 1, TensorSelection::of(["all"]));
    let mut odd = step(0, &[0.0], 1);
    if let Event::Step(step) = &mut odd {
        let step = Arc::get_mut(step).unwrap();
        step.tensors[0].name = "a:b\\c*?".into();
        step.attention[0].path = "../..//up".into();
    }
    for event in [tokens(), text(), noise(1), odd, picture()] {
        export.write(&event).unwrap();
    }
    export.finish().unwrap();
    let document: RunDocument = serde_json::from_value(read(&path.join("run.json"))).unwrap();
    let tensors = &document.steps[0].tensors;
    for (name, entry) in tensors {
        assert!(path.join(&entry.file).is_file(), "{name}: {}", entry.file);
        assert!(!entry.file.contains(".."), "{}", entry.file);
        assert_eq!(&tensor(&path, entry).name, name);
    }
    assert_eq!(tensors["a:b\\c*?"].file, "steps/0000/a_b_c__.json");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
}

#[test]
fn an_export_that_does_not_come_to_its_end_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("out");
    let is_empty = || fs::read_dir(parent.path()).unwrap().count() == 0;
    // Cancelled.
    let mut cancelled = export(&path, 2, TensorSelection::default());
    for event in [tokens(), text(), noise(2), step(0, &[0.0], 1)] {
        cancelled.write(&event).unwrap();
    }
    assert!(!path.exists());
    drop(cancelled);
    assert!(is_empty());
    // Finished too early.
    let mut early = export(&path, 2, TensorSelection::default());
    for event in [tokens(), text(), noise(2), step(0, &[0.0], 1)] {
        early.write(&event).unwrap();
    }
    assert!(matches!(early.finish(), Err(ExportError::Order(_))));
    assert!(is_empty());
}

#[test]
fn events_that_are_not_a_run_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("out");
    for (events, expected) in [
        (vec![text()], "found the text encoder where tokens"),
        (
            vec![tokens(), tokens()],
            "found tokens where the text encoder",
        ),
        (
            vec![tokens(), text(), noise(2), step(1, &[0.0], 0)],
            "found step 1 where step 0 of 2",
        ),
        (
            vec![tokens(), text(), noise(2), step(0, &[0.0], 0), picture()],
            "found the image where step 1 of 2",
        ),
    ] {
        let mut export = export(&path, 2, TensorSelection::default());
        let last = events.len() - 1;
        for event in &events[..last] {
            export.write(event).unwrap();
        }
        let error = export.write(&events[last]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// The most memory that this process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<usize>().unwrap() * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_export() {
    // In a process of its own: other tests' memory would count too.
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "library_tests::export::a_long_export",
            "--ignored",
        ])
        .status();
    assert!(status.unwrap().success());
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "memory_does_not_grow_with_the_export runs it"]
fn a_long_export() {
    let steps = 40;
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("out");
    let mut export = export(&path, steps, TensorSelection::default());
    for event in [tokens(), text(), noise(steps), step(0, &[0.0], 8)] {
        export.write(&event).unwrap();
    }
    // Each step has 1.3 MB of attention: 50 MB pass, and more than that as JSON.
    let before = peak_memory();
    for index in 1..steps {
        export.write(&step(index, &[0.0], 8)).unwrap();
    }
    let grown = peak_memory() - before;
    assert!(grown < 16 << 20, "{} MiB more", grown >> 20);
    export.write(&picture()).unwrap();
    export.finish().unwrap();
}

//! A recorded run, read back without a model: what was written is what is read, and nothing else is believed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use candle_core::Device;
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::export::document::RunDocument;
use diffuscope::export::{
    Export, ExportOptions, OutputFolder, Replay, ReplayError, RunMetadata, TensorSelection,
    Verified, save_run, save_trace,
};
use diffuscope::generation::{Intervention, ModelInfo, Modules, Pipeline, Request};
use diffuscope::model::AttentionDetail;
use diffuscope::trace::{Event, RecordOptions, Recorder, Trace};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Every file below `folder`, by its path in it.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                files.push((name, fs::read(path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

static PIPELINE: LazyLock<Arc<Pipeline>> = LazyLock::new(|| {
    let checkpoint = Checkpoint::open(&Source::Embedded).expect("the embedded checkpoint opens");
    Arc::new(Pipeline::load(&checkpoint, &Device::Cpu).expect("the embedded checkpoint loads"))
});

/// A small run with everything in it, exported once: its events, and the folder.
struct Recorded {
    _parent: TempDir,
    path: PathBuf,
    events: Vec<Event>,
}

static RECORDED: LazyLock<Recorded> = LazyLock::new(|| record(TensorSelection::of(["all"])));

fn record(selection: TensorSelection) -> Recorded {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run");
    let request = Request {
        steps: 2,
        negative_prompt: "a dog, 苹果".into(),
        interventions: vec![Intervention::weight("apple", 2.0)],
        // More than fits, with a word that the model never saw.
        ..PIPELINE.default_request(&format!("a Zyzzyva and a red apple {}", "on ".repeat(80)))
    };
    let options = RecordOptions {
        layers: true,
        modules: true,
        attention: AttentionDetail::Mean,
        ..RecordOptions::default()
    };
    let mut recorder = Recorder::new(PIPELINE.clone(), request, options).unwrap();
    let metadata = RunMetadata::new(
        PIPELINE.info(),
        recorder.request().clone(),
        recorder.branches(),
    );
    let folder = OutputFolder::at(&path, false).unwrap();
    let mut export = Export::new(folder, metadata, selection);
    let mut events = Vec::new();
    while let Some(event) = recorder.advance().unwrap() {
        export.write(&event).unwrap();
        events.push(event);
    }
    export.finish().unwrap();
    Recorded {
        _parent: parent,
        path,
        events,
    }
}

fn assert_same_files(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    let names = |files: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&a), names(&b));
    for ((name, a), (_, b)) in a.iter().zip(&b) {
        assert!(a == b, "{} differs", name.display());
    }
}

fn export_again(replay: &Replay, path: &Path) {
    let folder = OutputFolder::at(path, false).unwrap();
    let mut export = Export::new(folder, replay.metadata(), replay.selection());
    for event in replay.events(true) {
        export.write(&event.unwrap()).unwrap();
    }
    export.finish().unwrap();
}

#[test]
fn a_replay_exported_again_is_the_same_to_the_byte() {
    let parent = tempfile::tempdir().unwrap();
    let again = parent.path().join("again");
    export_again(&Replay::open(&RECORDED.path).unwrap(), &again);
    assert_same_files(&RECORDED.path, &again);
}

#[test]
fn a_replay_has_what_the_screens_had() {
    let replay = Replay::open(&RECORDED.path).unwrap();
    assert_eq!(replay.path(), RECORDED.path);
    let info = PIPELINE.info();
    assert_eq!(replay.info().cross_attention, info.cross_attention);
    assert_eq!(replay.info().dtype, info.dtype);
    // What a new run would ask for is not recorded.
    let expected = ModelInfo {
        default_scheduler: replay.info().default_scheduler,
        default_steps: replay.info().default_steps,
        // A recording has no networks to step into.
        modules: Modules::default(),
        ..info.clone()
    };
    assert_eq!(replay.info(), &expected);
    let (mut seen, mut again) = (RECORDED.events.iter(), replay.events(true));
    while let (Some(seen), Some(again)) = (seen.next(), again.next()) {
        match (seen, again.unwrap()) {
            (Event::Tokens(seen), Event::Tokens(again)) => {
                assert_eq!(seen.prompt, again.prompt);
                assert_eq!(seen.negative_prompt, again.negative_prompt);
                assert!(!seen.prompt.truncated.is_empty());
                let words =
                    |token: &&diffuscope::model::tokenizer::Token| seen.unseen.contains(&token.id);
                assert!(seen.prompt.content().iter().any(|token| words(&token)));
                for token in seen.prompt.content() {
                    assert_eq!(words(&token), again.unseen.contains(&token.id));
                }
            }
            (Event::Text(seen), Event::Text(again)) => {
                assert_eq!(seen.prompt, again.prompt);
                assert_eq!(seen.attention, again.attention);
                assert_eq!(seen.modules, again.modules);
                assert_eq!(
                    seen.negative_prompt_embedding,
                    again.negative_prompt_embedding
                );
            }
            (Event::Noise(seen), Event::Noise(again)) => {
                assert_eq!(seen.schedule, again.schedule);
                assert_eq!(seen.initial_noise, again.initial_noise);
            }
            (Event::Step(seen), Event::Step(again)) => {
                assert_eq!(seen.tensors, again.tensors);
                assert_eq!(seen.attention, again.attention);
                assert_eq!(seen.modules, again.modules);
                assert_eq!(seen.preview_scale.to_bits(), again.preview_scale.to_bits());
                let latents = &again.tensor("latents").unwrap().data;
                assert_eq!(
                    replay.info().preview(latents, again.preview_scale),
                    PIPELINE.info().preview(latents, seen.preview_scale)
                );
            }
            (Event::Image(seen), Event::Image(again)) => assert_eq!(seen.image, again.image),
            (seen, again) => panic!("{seen:?} became {again:?}"),
        }
    }
    assert!(seen.next().is_none() && again.next().is_none());
}

#[test]
fn attention_is_read_under_the_budget_and_the_rest_when_it_is_asked_for() {
    let replay = Replay::open(&RECORDED.path.join("run.json")).unwrap();
    let bytes = replay.attention_bytes(0);
    let trace = replay.trace(bytes).unwrap();
    assert_eq!(trace.steps.len(), 2);
    assert!(trace.image.is_some());
    assert_eq!(trace.attention.used(), bytes);
    assert!(trace.attention.step(1).is_empty());
    let Event::Step(step) = &RECORDED.events[4] else {
        panic!("the fifth event is the second step");
    };
    assert_eq!(replay.attention_at(1).unwrap(), step.attention);
    assert!(replay.attention_at(2).is_err());
}

#[test]
fn a_trace_in_memory_is_saved_as_the_export_that_was_streamed() {
    let mut trace = Trace::new(Replay::open(&RECORDED.path).unwrap().request().clone(), 0);
    let mut attention = Vec::new();
    for event in &RECORDED.events {
        if let Event::Step(step) = event {
            attention.push(step.attention.clone());
        }
        trace.apply(event.clone());
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("saved");
    let folder = OutputFolder::at(&path, false).unwrap();
    let metadata = RunMetadata::new(PIPELINE.info(), trace.request.clone(), &trace.branches);
    let maps = |step: usize| Ok::<_, anyhow::Error>(attention[step].clone());
    save_trace(folder, metadata, &trace, TensorSelection::of(["all"]), maps).unwrap();
    assert_same_files(&RECORDED.path, &path);
}

#[test]
fn a_plan_writes_a_finished_run_with_every_head_computed_again() {
    let request = Request {
        steps: 1,
        ..PIPELINE.default_request("a red apple")
    };
    let mut recorder =
        Recorder::new(PIPELINE.clone(), request.clone(), RecordOptions::default()).unwrap();
    let mut trace = Trace::new(request, 0);
    while let Some(event) = recorder.advance().unwrap() {
        trace.apply(event);
    }
    let parent = tempfile::tempdir().unwrap();
    let options = ExportOptions {
        png: Some(parent.path().join("a.png")),
        json: Some(parent.path().join("a")),
        tensors: Some(vec!["attention".into(), "x0".into()]),
        attention: AttentionDetail::Heads,
        ..ExportOptions::default()
    };
    options.check_places().unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    let written = save_run(&options, &recorder, &trace, Vec::new()).unwrap();
    assert_eq!(
        written,
        [parent.path().join("a.png"), parent.path().join("a")]
    );
    let replay = Replay::open(&written[1]).unwrap();
    let maps = replay.attention_at(0).unwrap();
    assert_eq!(maps.len(), PIPELINE.info().cross_attention.len());
    assert!(maps.iter().all(|maps| maps.heads.is_some()));
    assert_eq!(
        fs::read(&written[0]).unwrap(),
        fs::read(written[1].join("image.png")).unwrap()
    );
}

#[test]
fn what_was_not_exported_is_missing_and_the_rest_is_there() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("few");
    let replay = Replay::open(&RECORDED.path).unwrap();
    let folder = OutputFolder::at(&path, false).unwrap();
    let mut export = Export::new(folder, replay.metadata(), TensorSelection::of(["x0"]));
    for event in replay.events(false) {
        export.write(&event.unwrap()).unwrap();
    }
    export.finish().unwrap();
    let few = Replay::open(&path).unwrap();
    let trace = few.trace(usize::MAX).unwrap();
    assert!(trace.attention.step(0).is_empty());
    assert!(trace.steps[0].tensor("latents").is_none());
    assert!(trace.steps[0].tensor("x0").is_some());
    assert!(trace.text.as_ref().unwrap().prompt.is_empty());
    // The noise is all in the seed.
    let Event::Noise(noise) = &RECORDED.events[2] else {
        panic!("the third event is the noise");
    };
    assert_eq!(trace.noise.unwrap().initial_noise, noise.initial_noise);
    let again = parent.path().join("again");
    export_again(&few, &again);
    assert_same_files(&path, &again);
}

/// A copy of the recorded run with `change` made to its `run.json`, opened.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Replay, ReplayError> {
    let parent = tempfile::tempdir().unwrap();
    let bytes = fs::read(RECORDED.path.join("run.json")).unwrap();
    let mut document: Value = serde_json::from_slice(&bytes).unwrap();
    change(&mut document);
    fs::write(parent.path().join("run.json"), document.to_string()).unwrap();
    Replay::open(parent.path())
}

type Change = fn(&mut Value);

#[test]
fn a_document_that_cannot_be_is_refused_by_the_name_of_its_member() {
    assert!(changed(|_| ()).is_ok(), "unchanged it opens");
    let cases: [(&str, Change); 23] = [
        ("version 2", |run| run["version"] = json!(2)),
        ("diffuscope-trace", |run| run["format"] = json!("picture")),
        ("architecture", |run| {
            run.as_object_mut().unwrap().remove("architecture");
        }),
        ("architecture.latent_shape", |run| {
            run["architecture"]["latent_shape"] = json!([4, 0, 32]);
        }),
        ("architecture.latent_shape", |run| {
            run["architecture"]["latent_shape"] = json!([16384, 16384, 16384]);
        }),
        ("guidance", |run| {
            run["request"]["guidance_scale"] = json!(-3);
        }),
        ("request", |run| {
            run["request"]["interventions"][0]["positions"] = json!([99]);
        }),
        ("3 layers", |run| run["request"]["text_layers"] = json!(4)),
        ("left out of a run as a whole", |run| {
            let change = json!({ "leave_out": "input" });
            run["request"]["interventions"][0]["change"] = change;
            run["request"]["interventions"][0]["steps"] = json!({ "first": 0, "last": 1 });
        }),
        ("tokens.prompt", |run| run["tokens"]["prompt"] = json!([])),
        ("position", |run| {
            run["tokens"]["prompt"][3]["position"] = json!(4);
        }),
        ("span", |run| {
            run["tokens"]["prompt"][1]["span"] = json!([0, 4_000_000]);
        }),
        ("span", |run| {
            run["tokens"]["prompt"][1]["span"] = json!([3, 1]);
        }),
        ("schedule.sigmas", |run| {
            run["schedule"]["sigmas"].as_array_mut().unwrap().pop();
        }),
        ("schedule.sigmas", |run| {
            run["schedule"]["sigmas"][0] = json!("NaN");
        }),
        ("schedule.betas", |run| run["schedule"]["betas"] = json!([])),
        ("steps", |run| {
            run["steps"].as_array_mut().unwrap().pop();
        }),
        ("steps[1].index", |run| run["steps"][1]["index"] = json!(0)),
        ("steps[0].preview_scale", |run| {
            run["steps"][0]["preview_scale"] = json!(0);
        }),
        ("steps[0].tensors.x0.shape", |run| {
            run["steps"][0]["tensors"]["x0"]["shape"] = json!([4, 1, 1]);
        }),
        ("tensors.initial_noise.shape", |run| {
            run["tensors"]["initial_noise"]["shape"] = json!([u64::MAX, 2, 0]);
        }),
        ("no tensor of that name", |run| {
            let entry = run["tensors"]["initial_noise"].clone();
            run["tensors"]["something"] = entry;
        }),
        ("image", |run| {
            run["image"]["width"] = json!(4_000_000_000_u32);
        }),
    ];
    for (expected, change) in cases {
        let error = changed(change).expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(error.contains("run.json"), "{error}");
    }
}

#[test]
fn a_path_that_leaves_the_folder_is_refused_before_anything_is_read() {
    for file in [
        "../secret.json",
        "/etc/passwd",
        "steps/../../secret.json",
        "",
        "C:\\secret.json",
        "steps\\..\\..\\secret.json",
    ] {
        for place in ["tensor", "image"] {
            let error = changed(|run| match place {
                "tensor" => run["steps"][0]["tensors"]["x0"]["file"] = json!(file),
                _ => run["image"]["file"] = json!(file),
            });
            let error = error.expect_err(file).to_string();
            assert!(error.contains("inside the folder"), "{error}");
        }
    }
}

/// The error that reading the first step gives after `change` to the recorded x0's file.
fn changed_tensor(change: impl FnOnce(&Path, &mut Value)) -> String {
    let parent = tempfile::tempdir().unwrap();
    for (name, content) in files(&RECORDED.path) {
        let path = parent.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let bytes = fs::read(parent.path().join("run.json")).unwrap();
    let run: RunDocument = serde_json::from_slice(&bytes).unwrap();
    let path = parent.path().join(&run.steps[0].tensors["x0"].file);
    let mut tensor: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let before = tensor.clone();
    change(&path, &mut tensor);
    if tensor != before {
        fs::write(&path, tensor.to_string()).unwrap();
    }
    let replay = Replay::open(parent.path()).unwrap();
    replay.step(1, false).expect("another step is as it was");
    replay
        .step(0, false)
        .expect_err("the tensor is damaged")
        .to_string()
}

#[test]
fn a_tensors_file_that_is_not_what_the_document_says_is_refused() {
    let error = changed_tensor(|_, tensor| {
        tensor["data"].as_array_mut().unwrap().pop();
    });
    assert!(error.contains("the product of its shape"), "{error}");
    let error = changed_tensor(|_, tensor| tensor["name"] = json!("latents"));
    assert!(error.contains("name is \"latents\""), "{error}");
    let error = changed_tensor(|_, tensor| tensor["shape"] = json!([1, 1, 1]));
    assert!(error.contains("shape is [1, 1, 1]"), "{error}");
    let error = changed_tensor(|_, tensor| tensor["data"][0] = json!("nan"));
    assert!(error.contains("is damaged"), "{error}");
    let error = changed_tensor(|path, _| fs::write(path, "{\"name\": \"x0\"").unwrap());
    assert!(error.contains("is damaged"), "{error}");
    let error = changed_tensor(|path, _| fs::remove_file(path).unwrap());
    assert!(
        error.contains("cannot read") && error.contains("x0.json"),
        "{error}"
    );
    let error = changed_tensor(|path, _| {
        let file = fs::File::create(path).unwrap();
        file.set_len(1 << 40).unwrap();
    });
    assert!(error.contains("has 1099511627776 bytes"), "{error}");
}

/// The whole of the recorded run with `change` made to `run.json`, checked.
fn verified(from: &Path, change: impl FnOnce(&mut Value)) -> Result<Verified, ReplayError> {
    let parent = tempfile::tempdir().unwrap();
    for (name, content) in files(from) {
        let path = parent.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let path = parent.path().join("run.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut document);
    fs::write(path, document.to_string()).unwrap();
    Replay::open(parent.path())?.verify()
}

#[test]
fn every_number_that_follows_from_the_tensors_is_held_against_them() {
    let sound = verified(&RECORDED.path, |_| ()).unwrap();
    assert!(sound.tensors > 20 && sound.maps > 0, "{sound:?}");
    let cases: [(&str, Change); 22] = [
        ("tensors.x0.stats.mean", |run| {
            run["steps"][1]["tensors"]["x0"]["stats"]["mean"] = json!(0.1);
        }),
        ("initial_noise.stats.norm", |run| {
            run["tensors"]["initial_noise"]["stats"]["norm"] = json!(1.0);
        }),
        ("latents.stats.non_finite", |run| {
            run["steps"][0]["tensors"]["latents"]["stats"]["non_finite"] = json!(1);
        }),
        ("stats.count", |run| {
            run["tensors"]["prompt_embedding"]["stats"]["count"] = json!(7);
        }),
        ("tensors.attention/", |run| {
            let tensors = run["steps"][1]["tensors"].as_object_mut().unwrap();
            let (_, map) = tensors
                .iter_mut()
                .find(|(name, _)| name.starts_with("attention/"))
                .unwrap();
            map["stats"]["max"] = json!(0.5);
        }),
        ("the noise of seed 43", |run| {
            run["request"]["seed"] = json!(43);
            run["request"]["seed_text"] = json!("43");
        }),
        ("steps", |run| run["request"]["steps"] = json!(3)),
        ("noise_guided", |run| {
            run["request"]["guidance_scale"] = json!(2.75);
        }),
        ("noise_uncond", |run| {
            run["request"]["guidance_scale"] = json!(1.0);
        }),
        ("latents_next", |run| {
            run["request"]["scheduler"] = json!("euler");
        }),
        ("steps[0].", |run| {
            run["request"]["scheduler"] = json!("dpm++-2m");
        }),
        ("request", |run| {
            run["request"]["prompt"] = json!(format!("a{}", "n apple on it ".repeat(40)));
        }),
        ("request", |run| {
            run["request"]["negative_prompt"] = json!("a cat, 苹果");
        }),
        ("request", |run| {
            run["request"]["interventions"][0]["change"]["weight"] = json!(2.5);
        }),
        ("model", |run| run["model"]["name"] = json!("another")),
        ("steps[1].sigma", |run| {
            run["steps"][1]["sigma"] = json!(1.5);
        }),
        ("steps[0].preview_scale", |run| {
            run["steps"][0]["preview_scale"] = json!(2.0);
        }),
        ("schedule.sigmas[1]", |run| {
            run["schedule"]["sigmas"][1] = json!(1.5);
        }),
        ("schedule.betas[7]", |run| {
            run["schedule"]["betas"][7] = json!(0.5);
        }),
        ("tokens.prompt_truncated", |run| {
            run["tokens"]["prompt_truncated"] = json!(1);
        }),
        ("image.stats.count", |run| {
            run["image"]["stats"]["count"] = json!(1);
        }),
        ("not_finite", |run| {
            run["not_finite"] = json!({
                "stage": "step", "step": 0, "tensor": "x0", "non_finite": 1, "count": 4
            });
        }),
    ];
    for (expected, change) in cases {
        let error = verified(&RECORDED.path, change)
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(error.contains("run.json"), "{error}");
    }
}

#[test]
fn what_cannot_be_checked_is_said() {
    let few = record(TensorSelection::of(["x0", "noise_text"]));
    let verified = verified(&few.path, |run| {
        run["request"]["guidance_scale"] = json!(2.75);
    });
    // The picture still knows.
    assert!(verified.unwrap_err().to_string().contains("image.png"));
    let verified = self::verified(&few.path, |_| ()).unwrap();
    let said = |what: &str| {
        verified
            .unchecked
            .iter()
            .any(|unchecked| unchecked.contains(what))
    };
    for what in [
        "seed",
        "guidance",
        "sampler",
        "they take the model",
        "statistics of modules",
    ] {
        assert!(said(what), "{what}: {verified:?}");
    }
    let old = self::verified(&RECORDED.path, |run| {
        run.as_object_mut().unwrap().remove("scheduler_config");
    });
    let old = old.unwrap();
    assert!(
        old.unchecked
            .iter()
            .any(|what| what.contains("scheduler_config")),
        "{old:?}"
    );
}

/// A run of 6 steps of `request`, from step 3 on those of `branches`, one after another without a step between;
/// exported, in a folder.
fn branched(request: &Request, branches: &[Request]) -> (TempDir, PathBuf) {
    let options = RecordOptions::default();
    let mut recorder = Recorder::new(PIPELINE.clone(), request.clone(), options).unwrap();
    let mut trace = Trace::new(request.clone(), 0);
    while trace.steps.len() < 4 {
        trace.apply(recorder.advance().unwrap().unwrap());
    }
    trace.truncate(3);
    for branch in branches {
        for event in recorder.branch(3, branch.clone()).unwrap() {
            trace.apply(event);
        }
    }
    while let Some(event) = recorder.advance().unwrap() {
        trace.apply(event);
    }
    trace.request = recorder.request().clone();
    trace.branches = recorder.branches().to_vec();
    let parent = tempfile::tempdir().unwrap();
    let options = ExportOptions {
        json: Some(parent.path().join("out")),
        ..ExportOptions::default()
    };
    let written = save_run(&options, &recorder, &trace, Vec::new()).unwrap();
    (parent, written[0].clone())
}

#[test]
fn a_run_with_branches_of_every_sampler_is_found_to_be_what_it_says() {
    use diffuscope::scheduler::SchedulerKind;
    for (first, then) in [
        (SchedulerKind::Lms, SchedulerKind::Ddim),
        (SchedulerKind::Ddim, SchedulerKind::EulerAncestral),
        (SchedulerKind::EulerAncestral, SchedulerKind::EulerAncestral),
        (SchedulerKind::DpmPlusPlus2M, SchedulerKind::Euler),
        (SchedulerKind::Pndm, SchedulerKind::Pndm),
        (SchedulerKind::DpmPlusPlus2MKarras, SchedulerKind::Lms),
    ] {
        let request = Request {
            steps: 6,
            scheduler: first,
            ..PIPELINE.default_request("a red apple")
        };
        let branch = Request {
            scheduler: then,
            seed: 7,
            guidance_scale: 4.0,
            prompt: "a blue house".into(),
            ..request.clone()
        };
        let (_parent, path) = branched(&request, &[branch]);
        let verified = Replay::open(&path).unwrap().verify().unwrap();
        let has = |what: &str| {
            verified
                .checked
                .iter()
                .any(|checked| checked.contains(what))
        };
        assert!(
            has("sampler") && has("latents are those") && has("guidance"),
            "{verified:?}"
        );
        let tampered = self::verified(&path, |run| {
            run["branches"][0]["request"]["guidance_scale"] = json!(3.5);
        });
        let error = tampered.unwrap_err().to_string();
        assert!(
            error.contains("steps[0].tensors.noise_guided"),
            "{first} {then}: {error}"
        );
    }
}

#[test]
fn a_run_with_two_branches_at_one_step_is_found_to_be_what_it_says() {
    use diffuscope::scheduler::SchedulerKind;
    for (own, between) in [
        (SchedulerKind::EulerAncestral, SchedulerKind::EulerAncestral),
        (SchedulerKind::Lms, SchedulerKind::Euler),
        (SchedulerKind::Ddim, SchedulerKind::Lms),
    ] {
        let request = Request {
            steps: 6,
            scheduler: own,
            ..PIPELINE.default_request("a red apple")
        };
        // Another seed and scheduler, and back.
        let first = Request {
            seed: 7,
            scheduler: between,
            ..request.clone()
        };
        let second = Request {
            guidance_scale: 4.0,
            ..request.clone()
        };
        let (_parent, path) = branched(&request, &[first, second]);
        let replay = Replay::open(&path).unwrap();
        assert_eq!(replay.branches().len(), 1);
        let verified = replay.verify();
        assert!(verified.is_ok(), "{own:?}: {verified:?}");
    }
}

#[test]
fn guidance_by_steps_and_rescaled_is_computed_again() {
    use diffuscope::generation::StepRange;
    let request = Request {
        steps: 4,
        guidance_steps: Some(StepRange { first: 1, last: 2 }),
        guidance_rescale: 0.7,
        ..PIPELINE.default_request("a red apple")
    };
    let mut recorder =
        Recorder::new(PIPELINE.clone(), request.clone(), RecordOptions::default()).unwrap();
    let mut trace = Trace::new(request.clone(), 0);
    while let Some(event) = recorder.advance().unwrap() {
        trace.apply(event);
    }
    let parent = tempfile::tempdir().unwrap();
    let options = ExportOptions {
        json: Some(parent.path().join("out")),
        ..ExportOptions::default()
    };
    let written = save_run(&options, &recorder, &trace, Vec::new()).unwrap();
    let replay = Replay::open(&written[0]).unwrap();
    assert_eq!(replay.request(), &request);
    assert!(replay.verify().is_ok());
    let cases: [(&str, Change); 4] = [
        ("steps[1].tensors.noise_guided", |run| {
            run["request"]["guidance_rescale"] = json!(0.5);
        }),
        ("steps[1].tensors.noise_guided", |run| {
            run["request"]
                .as_object_mut()
                .unwrap()
                .remove("guidance_rescale");
        }),
        ("steps[1].tensors.noise_uncond", |run| {
            run["request"]["guidance_steps"]["first"] = json!(2);
        }),
        ("first", |run| {
            run["request"]["guidance_steps"] = json!({"first": 3, "last": 2});
        }),
    ];
    for (expected, change) in cases {
        let error = verified(&written[0], change)
            .expect_err(expected)
            .to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_not_followed() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let error = changed_tensor(|path, _| {
        fs::copy(path, outside.path()).unwrap();
        fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink(outside.path(), path).unwrap();
    });
    assert!(error.contains("a link out of the folder"), "{error}");
}

#[test]
fn a_folder_that_is_no_export_says_which_file_it_lacks() {
    let empty = tempfile::tempdir().unwrap();
    let error = Replay::open(empty.path()).unwrap_err().to_string();
    assert!(error.contains("run.json"), "{error}");
    let error = Replay::open(&empty.path().join("nowhere")).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

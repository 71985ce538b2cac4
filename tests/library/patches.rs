//! Modules of the UNet switched off, scaled and taken from other runs: what that leaves alone, and what is refused.
//! `parity.rs` holds the numbers to diffusers'.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use candle_core::{DType, Device, Tensor};
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::export::{Export, OutputFolder, Replay, RunMetadata, TensorSelection, open_donors};
use diffuscope::generation::{
    Generation, Intervention, Patch, PatchChange, Pipeline, Request, Stage, StepRange, TakenFrom,
};
use diffuscope::hook::Cache;
use diffuscope::model::{self, AttentionDetail, Hook, NoHook};
use diffuscope::scheduler::SchedulerKind;
use diffuscope::trace::{CancelToken, Event, Guidance, RecordOptions, Recorder, StepTrace};
use serde_json::{Value, json};
use tempfile::TempDir;

static PIPELINE: LazyLock<Arc<Pipeline>> = LazyLock::new(|| load(DType::F32));

const STEPS: usize = 4;
/// One of every kind.
const MODULES: [&str; 12] = [
    "time_embedding",
    "conv_in",
    "down_blocks.0.resnets.0",
    "down_blocks.0.downsamplers.0",
    "down_blocks.1.attentions.0",
    "mid_block.attentions.0.transformer_blocks.0.attn1",
    "mid_block.attentions.0.transformer_blocks.0.attn2#1",
    "mid_block.attentions.0.transformer_blocks.0.ff",
    "up_blocks.0.upsamplers.0",
    "up_blocks.1.resnets.1.skip",
    "up_blocks.2.attentions.1.transformer_blocks.0.attn1#3",
    "conv_out",
];

fn load(dtype: DType) -> Arc<Pipeline> {
    let checkpoint = Checkpoint::open(&Source::Embedded).expect("the embedded checkpoint opens");
    let pipeline = Pipeline::load_as(&checkpoint, &Device::Cpu, dtype, None);
    Arc::new(pipeline.expect("the embedded checkpoint loads"))
}

fn request(scheduler: SchedulerKind) -> Request {
    Request {
        steps: STEPS,
        scheduler,
        ..PIPELINE.default_request("a red apple on a table")
    }
}

fn patch(typed: &str) -> Patch {
    typed
        .parse()
        .unwrap_or_else(|error| panic!("{typed}: {error}"))
}

/// Every step of a run; with the runs that its patches take from.
fn steps(
    pipeline: &Arc<Pipeline>,
    request: &Request,
    options: RecordOptions,
) -> Vec<Arc<StepTrace>> {
    let donors = open_donors(request, pipeline.info()).expect("runs to take from");
    let options = RecordOptions { donors, ..options };
    let mut recorder =
        Recorder::new(pipeline.clone(), request.clone(), options).expect("a valid request");
    let mut steps = Vec::new();
    while recorder.stage() != Stage::Image {
        if let Some(Event::Step(step)) = recorder.advance().expect("the run goes on") {
            steps.push(step);
        }
    }
    steps
}

/// The run, written to a folder.
fn recorded(pipeline: &Arc<Pipeline>, request: &Request, tensors: &str) -> (TempDir, String) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run");
    let options = RecordOptions::default();
    let mut recorder = Recorder::new(pipeline.clone(), request.clone(), options).unwrap();
    let metadata = RunMetadata::new(pipeline.info(), recorder.request().clone(), &[]);
    let folder = OutputFolder::at(&path, false).unwrap();
    let mut export = Export::new(folder, metadata, TensorSelection::of([tensors]));
    while let Some(event) = recorder.advance().unwrap() {
        export.write(&event).unwrap();
    }
    export.finish().unwrap();
    (parent, path.to_str().unwrap().to_owned())
}

fn assert_same(found: &[Arc<StepTrace>], expected: &[Arc<StepTrace>], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let is_same = found.tensors == expected.tensors;
        assert!(is_same, "{what}: step {} differs", found.index);
    }
}

#[test]
fn every_place_that_a_forward_pass_comes_to_is_a_site_that_can_be_named() {
    #[derive(Default)]
    struct Paths(Vec<String>);
    impl Hook for Paths {
        fn wants_output(&self, path: &str) -> bool {
            !path.starts_with("text_model.")
        }
        fn output(&mut self, path: &str, _: &Tensor) -> Result<Option<Tensor>, model::Error> {
            self.0.push(path.to_owned());
            Ok(None)
        }
    }
    let mut generation =
        Generation::new(PIPELINE.clone(), request(SchedulerKind::Lms)).expect("a valid request");
    while generation.stage() != Stage::Step(0) {
        generation.advance(&mut NoHook).expect("the run goes on");
    }
    let mut seen = Paths::default();
    generation.advance(&mut seen).expect("the first step");
    let sites = PIPELINE.unet().sites().iter().map(|site| site.path.clone());
    assert_eq!(seen.0, sites.collect::<Vec<_>>());
    for path in [
        "mid_block.attentions.0.transformer_blocks.0.attn1.heads",
        "up_blocks.0.resnets.1.skip",
    ] {
        assert!(seen.0.iter().any(|seen| seen == path), "{path}");
    }
}

#[test]
fn a_runs_own_values_and_a_factor_of_one_change_no_bit() {
    for scheduler in [
        SchedulerKind::Lms,
        SchedulerKind::EulerAncestral,
        SchedulerKind::Ddim,
    ] {
        let plain = Request {
            negative_prompt: "snow".into(),
            // Some steps have both halves, and some have one.
            guidance_steps: Some(StepRange { first: 1, last: 2 }),
            // A word re-weighted is part of what was.
            interventions: vec![Intervention::weight("apple", 2.0)],
            ..request(scheduler)
        };
        let expected = steps(&PIPELINE, &plain, RecordOptions::default());
        let (_folder, own) = recorded(&PIPELINE, &plain, "latents");
        let with = |patches: Vec<Patch>| Request {
            patches,
            ..plain.clone()
        };
        let taken = with(MODULES.map(|path| patch(&format!("{path}={own}"))).to_vec());
        let found = steps(&PIPELINE, &taken, RecordOptions::default());
        assert_same(&found, &expected, &format!("{scheduler}, its own values"));
        let once = with(MODULES.map(|path| patch(&format!("{path}=1"))).to_vec());
        let found = steps(&PIPELINE, &once, RecordOptions::default());
        assert_same(&found, &expected, &format!("{scheduler}, times one"));
    }
}

#[test]
fn a_run_that_was_patched_itself_gives_what_it_had_then() {
    let plain = request(SchedulerKind::Euler);
    let halved = Request {
        patches: vec![patch("mid_block.resnets.0=0.5")],
        ..plain.clone()
    };
    let (_folder, own) = recorded(&PIPELINE, &halved, "latents");
    let twice = Request {
        patches: [
            halved.patches.clone(),
            vec![patch(&format!("mid_block.attentions.0={own}"))],
        ]
        .concat(),
        ..plain
    };
    let expected = steps(&PIPELINE, &halved, RecordOptions::default());
    let found = steps(&PIPELINE, &twice, RecordOptions::default());
    assert_same(&found, &expected, "its own values, patched");
}

#[test]
fn in_sixteen_bits_its_own_values_change_no_bit_either_and_a_patch_does_what_it_does_in_f32() {
    let narrow = load(DType::F16);
    let plain = request(SchedulerKind::Euler);
    let expected = steps(&narrow, &plain, RecordOptions::default());
    let (_folder, own) = recorded(&narrow, &plain, "latents");
    let taken = Request {
        patches: MODULES.map(|path| patch(&format!("{path}={own}"))).to_vec(),
        ..plain.clone()
    };
    let found = steps(&narrow, &taken, RecordOptions::default());
    assert_same(&found, &expected, "f16");
    for typed in [
        "mid_block.attentions.0=off",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1#2=off",
        "up_blocks.1.resnets.0.skip=0.5",
        "time_embedding=1.5",
    ] {
        let (narrow, wide) = (first_noise(&narrow, typed), first_noise(&PIPELINE, typed));
        let square = |value: f32| f64::from(value).powi(2);
        let apart: f64 = narrow.iter().zip(&*wide).map(|(a, b)| square(a - b)).sum();
        let apart = (apart / wide.iter().map(|&b| square(b)).sum::<f64>()).sqrt();
        println!("{typed}: {apart:.2e}");
        assert!(apart > 1e-5 && apart < 2.0 * TORCH_F16, "{typed}: {apart}");
    }
}

/// How far the same patched predictions of `PyTorch` 2.15 are from its own f32, at most: printed by
/// `parity/sixteen_bits.py`.
const TORCH_F16: f64 = 3.75e-4;

/// The first noise prediction with the prompt of the run of `parity/sixteen_bits.py`, patched.
fn first_noise(pipeline: &Arc<Pipeline>, typed: &str) -> Arc<[f32]> {
    let request = Request {
        prompt: "a photograph of an astronaut riding a horse".into(),
        patches: vec![patch(typed)],
        ..request(SchedulerKind::Lms)
    };
    let mut recorder =
        Recorder::new(pipeline.clone(), request, RecordOptions::default()).expect("valid");
    loop {
        if let Some(Event::Step(step)) = recorder.advance().expect("the run goes on") {
            return step.tensor("noise_text").expect("recorded").data.clone();
        }
    }
}

#[test]
fn looking_at_a_patched_run_changes_no_bit_and_sees_what_became_of_it() {
    let attention = "mid_block.attentions.0.transformer_blocks.0.attn2";
    let patched = Request {
        patches: vec![
            patch(&format!("{attention}#1=off")),
            patch("down_blocks.0.resnets.0=0.5"),
            patch("down_blocks.0.resnets.0=2"),
        ],
        ..request(SchedulerKind::Lms)
    };
    let everything = RecordOptions {
        layers: true,
        modules: true,
        attention: AttentionDetail::Heads,
        ..RecordOptions::default()
    };
    let expected = steps(&PIPELINE, &patched, RecordOptions::default());
    let found = steps(&PIPELINE, &patched, everything);
    assert_same(&found, &expected, "watched");

    let mut generation = Generation::new(PIPELINE.clone(), patched).expect("a valid request");
    let heads = format!("{attention}.heads");
    let mut cache = Cache::of([heads.as_str()]);
    while generation.stage() != Stage::Step(1) {
        generation.advance(&mut cache).expect("the run goes on");
    }
    let values = &cache.outputs[&heads];
    let size = values.dim(2).unwrap() / 4;
    for head in 0..4 {
        let own = values.narrow(2, head * size, size).unwrap();
        let largest = own
            .abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert_eq!(largest == 0.0, head == 1, "head {head}: {largest}");
    }
}

#[test]
fn a_patch_acts_in_its_steps_alone_and_in_both_halves() {
    let plain = request(SchedulerKind::Euler);
    let mut late = patch("mid_block.attentions.0=off");
    late.steps = Some(StepRange { first: 2, last: 2 });
    let late = Request {
        patches: vec![late],
        ..plain.clone()
    };
    let expected = steps(&PIPELINE, &plain, RecordOptions::default());
    let found = steps(&PIPELINE, &late, RecordOptions::default());
    assert_same(&found[..2], &expected[..2], "before it acts");
    for name in ["noise_uncond", "noise_text"] {
        let of = |steps: &[Arc<StepTrace>]| steps[2].tensor(name).unwrap().data.clone();
        assert_ne!(of(&found), of(&expected), "{name}");
    }
    // The attention that is computed again is that of the patched run.
    let mut recorder =
        Recorder::new(PIPELINE.clone(), late.clone(), RecordOptions::default()).unwrap();
    while recorder.stage() != Stage::Image {
        recorder.advance().unwrap();
    }
    let with_maps = RecordOptions {
        attention: AttentionDetail::Mean,
        ..RecordOptions::default()
    };
    let maps = recorder.attention_at(2, AttentionDetail::Mean, Guidance::Cond);
    assert!(maps.unwrap() == steps(&PIPELINE, &late, with_maps)[2].attention);
    // And a branch may take it back.
    let (mut fork, _) = recorder.fork(2, plain).expect("step 2 was done");
    match fork.advance().unwrap() {
        Some(Event::Step(step)) => assert_eq!(step.tensors, expected[2].tensors),
        other => panic!("{other:?} instead of a step"),
    }
}

#[test]
fn a_pass_that_takes_a_value_can_be_cancelled_and_leaves_the_run_where_it_was() {
    let plain = request(SchedulerKind::Euler);
    let (_folder, own) = recorded(&PIPELINE, &plain, "latents");
    let taken = Request {
        patches: vec![patch(&format!("conv_out={own}"))],
        ..plain.clone()
    };
    let cancel = CancelToken::default();
    let options = RecordOptions {
        donors: open_donors(&taken, PIPELINE.info()).unwrap(),
        cancel: cancel.clone(),
        ..RecordOptions::default()
    };
    let mut recorder = Recorder::new(PIPELINE.clone(), taken, options).unwrap();
    while recorder.stage() != Stage::Step(1) {
        recorder.advance().unwrap();
    }
    cancel.cancel();
    assert!(recorder.advance().is_err());
    assert_eq!(recorder.stage(), Stage::Step(1));
    cancel.reset();
    let Some(Event::Step(step)) = recorder.advance().unwrap() else {
        panic!("a step comes next");
    };
    assert_eq!(
        step.tensors,
        steps(&PIPELINE, &plain, RecordOptions::default())[1].tensors
    );
}

fn refused(patches: Vec<Patch>) -> String {
    let request = Request {
        patches,
        ..request(SchedulerKind::Lms)
    };
    let refused = Generation::new(PIPELINE.clone(), request);
    refused.expect_err("it cannot be").to_string()
}

#[test]
fn a_patch_that_cannot_be_is_refused_with_what_there_is() {
    for (typed, expected) in [
        ("mid_block=off", "mid_block.resnets.0"),
        ("mid_block.resnet.1=off", "mid_block.resnets.1"),
        ("attn2=off", "attn2"),
        (
            "down_blocks.1.attentions.0.norm=off",
            "down_blocks.1.attentions.0",
        ),
        (
            "mid_block.attentions.0.transformer_blocks.0.attn2#4=off",
            "numbered 0 to 3",
        ),
        ("mid_block.resnets.0#0=off", "only attn1 and attn2"),
        ("conv_in=nowhere/at/all", "`nowhere/at/all`"),
    ] {
        let error = refused(vec![patch(typed)]);
        assert!(error.contains(expected), "{typed}: {error}");
    }
    let beyond = Patch {
        steps: Some(StepRange { first: 2, last: 9 }),
        ..patch("conv_in=off")
    };
    let error = refused(vec![beyond]);
    assert!(
        error.contains("steps 3 to 10") && error.contains("conv_in=off"),
        "{error}"
    );
    for factor in [f32::NAN, f32::INFINITY, 100.5, -101.0] {
        let wrong = Patch {
            change: PatchChange::Scale(factor),
            ..patch("conv_in=off")
        };
        assert!(refused(vec![wrong]).contains("from -100 to 100"));
    }
}

#[test]
fn a_patch_is_read_as_it_is_typed() {
    let taken = |run: &str, step| {
        let run = run.to_owned();
        PatchChange::Take(TakenFrom { run, step })
    };
    for (typed, module, head, change) in [
        ("conv_in=off", "conv_in", None, PatchChange::Off),
        (
            " a.attn1#7 = -0.5 ",
            "a.attn1",
            Some(7),
            PatchChange::Scale(-0.5),
        ),
        ("conv_in=runs/a", "conv_in", None, taken("runs/a", None)),
        (
            "conv_in=runs/a@3",
            "conv_in",
            None,
            taken("runs/a", Some(2)),
        ),
        (
            "conv_in=me@home/a",
            "conv_in",
            None,
            taken("me@home/a", None),
        ),
        ("conv_in=a=b@c@1", "conv_in", None, taken("a=b@c", Some(0))),
        ("conv_in=./2", "conv_in", None, taken("./2", None)),
        ("conv_in=a@0", "conv_in", None, taken("a@0", None)),
    ] {
        let found = patch(typed);
        let steps = None;
        let module = module.to_owned();
        assert_eq!(
            found,
            Patch {
                module,
                head,
                change,
                steps
            },
            "{typed}"
        );
        assert_eq!(patch(&found.typed()), found);
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(serde_json::from_value::<Patch>(json).unwrap(), found);
    }
    for wrong in [
        "",
        "conv_in",
        "=off",
        "conv_in=",
        "conv_in#=off",
        "conv_in#x=off",
        "conv_in=200",
        "conv_in=NaN",
    ] {
        assert!(wrong.parse::<Patch>().is_err(), "{wrong}");
    }
}

/// What is said of taking a value from the run in `folder` after `change` to its document.
fn refused_donor(folder: &str, change: impl FnOnce(&mut Value)) -> String {
    let path = Path::new(folder).join("run.json");
    let before = fs::read_to_string(&path).unwrap();
    let mut document: Value = serde_json::from_str(&before).unwrap();
    change(&mut document);
    fs::write(&path, document.to_string()).unwrap();
    let request = Request {
        patches: vec![patch(&format!("conv_in={folder}"))],
        ..request(SchedulerKind::Lms)
    };
    let error = open_donors(&request, PIPELINE.info()).expect_err("it cannot be");
    fs::write(&path, before).unwrap();
    error.to_string()
}

#[test]
fn a_run_that_nothing_can_be_taken_from_is_refused_with_file_and_key() {
    let (_folder, path) = recorded(&PIPELINE, &request(SchedulerKind::Lms), "latents");
    let error = refused_donor(&path, |run| run["model"]["sha256"] = json!("0".repeat(64)));
    assert!(
        error.contains("run.json") && error.contains("model.sha256"),
        "{error}"
    );
    assert!(error.contains("the same model"), "{error}");
    let error = refused_donor(&path, |run| {
        let tensors = run["steps"][2]["tensors"].as_object_mut().unwrap();
        tensors.remove("latents");
    });
    assert!(
        error.contains("steps[2].tensors.latents") && error.contains("--tensors"),
        "{error}"
    );
    let error = refused_donor(&path, |run| {
        run["request"]["patches"] =
            json!([{"module": "conv_in", "change": {"take": {"run": "third"}}}]);
    });
    assert!(
        error.contains("request.patches[0].change.take") && error.contains("third"),
        "{error}"
    );
    let error = refused_donor(&path, |run| {
        run["request"]["patches"] = json!([{"module": "conv_in", "change": {"scale": 1000}}]);
    });
    assert!(error.contains("from -100 to 100"), "{error}");

    let large = Pipeline::load_as(
        &Checkpoint::open(&Source::Embedded).unwrap(),
        &Device::Cpu,
        DType::F32,
        Some((64, 64)),
    );
    let from_path = |typed: &str| Request {
        patches: vec![patch(&format!("conv_in={typed}"))],
        ..request(SchedulerKind::Lms)
    };
    let error = open_donors(&from_path(&path), large.unwrap().info()).unwrap_err();
    assert!(error.to_string().contains("--size"), "{error}");
    let error = open_donors(&from_path("no/such/folder"), PIPELINE.info()).unwrap_err();
    assert!(error.to_string().contains("no/such/folder"), "{error}");

    // A step that it does not have.
    let beyond = from_path(&format!("{path}@9"));
    let donors = open_donors(&beyond, PIPELINE.info()).unwrap();
    let error = Generation::with_donors(PIPELINE.clone(), beyond, donors).unwrap_err();
    assert!(error.to_string().contains("step 9"), "{error}");
    assert!(error.to_string().contains("which has 4"), "{error}");
}

#[test]
fn a_longer_run_takes_from_a_shorter_one_only_in_steps_that_both_have() {
    let (_folder, path) = recorded(&PIPELINE, &request(SchedulerKind::Lms), "latents");
    let mut taken = patch(&format!("conv_in={path}"));
    let longer = |taken: Patch| Request {
        steps: STEPS + 2,
        patches: vec![taken],
        ..request(SchedulerKind::Lms)
    };
    let begin = |request: Request| {
        let donors = open_donors(&request, PIPELINE.info()).unwrap();
        Generation::with_donors(PIPELINE.clone(), request, donors)
    };
    let error = begin(longer(taken.clone())).unwrap_err().to_string();
    assert!(error.contains(&format!("step 5 of `{path}`")), "{error}");
    taken.steps = Some(StepRange {
        first: 0,
        last: STEPS - 1,
    });
    assert!(begin(longer(taken)).is_ok());
    assert!(begin(longer(patch(&format!("conv_in={path}@2")))).is_ok());
}

#[test]
fn a_patched_run_says_so_in_its_recording_and_is_found_to_be_what_it_says() {
    let patched = Request {
        patches: vec![patch(
            "mid_block.attentions.0.transformer_blocks.0.attn2#0=off",
        )],
        ..request(SchedulerKind::Lms)
    };
    let (_folder, path) = recorded(&PIPELINE, &patched, "all");
    let replay = Replay::open(Path::new(&path)).unwrap();
    assert_eq!(replay.request().patches, patched.patches);
    replay.verify().unwrap();
    let said = replay.request().changes();
    let expected = "mid_block.attentions.0.transformer_blocks.0.attn2 head 0 off in both halves";
    assert_eq!(said, [expected]);
    let text = fs::read_to_string(Path::new(&path).join("run.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        document["request"]["patches"],
        json!([{
            "module": "mid_block.attentions.0.transformer_blocks.0.attn2",
            "head": 0,
            "change": "off"
        }])
    );
    let names: BTreeMap<String, Value> =
        serde_json::from_value(document["request"].clone()).unwrap();
    assert!(!names.contains_key("interventions"));
}

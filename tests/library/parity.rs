//! Parity with diffusers: the engine's numbers against those that `parity/make_goldens.py` wrote down, in f32 on the
//! CPU. `cargo test --lib parity -- --nocapture` prints the measured maxima.

#[path = "../parity/measure.rs"]
mod measure;
#[path = "../parity/reference.rs"]
mod reference;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use candle_core::{DType, Device, Tensor};
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::export::{Export, OutputFolder, RunMetadata, TensorSelection, open_donors};
use diffuscope::generation::{Generation, PatchChange, Pipeline, Request, Stage};
use diffuscope::model::{self, AttentionDetail, Hook, NoHook};
use diffuscope::scheduler::{BetaSchedule, Schedule, Scheduler, SchedulerConfig, SchedulerKind};
use diffuscope::trace::{
    AttentionMaps, Event, Guidance, RecordOptions, Recorder, Stats, StepTrace, TensorData,
};

use measure::{Table, ulps};
use reference::{Case, Goldens};

static GOLDENS: LazyLock<Goldens> = LazyLock::new(Goldens::read);
static PIPELINE: LazyLock<Arc<Pipeline>> = LazyLock::new(|| {
    let checkpoint = Checkpoint::open(&Source::Embedded).expect("the embedded checkpoint opens");
    Arc::new(Pipeline::load(&checkpoint, &Device::Cpu).expect("the embedded checkpoint loads"))
});

#[test]
fn a_prompt_becomes_the_tokens_that_transformers_makes_of_it() {
    for (index, text) in GOLDENS.document.texts.iter().enumerate() {
        let tokens = PIPELINE.tokenizer().encode(text).expect("a valid prompt");
        assert_eq!(tokens.ids(), GOLDENS.ids(index), "{text:?}");
        let cut = GOLDENS.document.lengths[index].saturating_sub(77);
        assert_eq!(tokens.truncated.len(), cut, "{text:?}");
    }
}

#[test]
fn every_schedule_has_the_timesteps_and_sigmas_of_diffusers() {
    let mut table = Table::new("Noise schedules");
    let mut seen = 0;
    for name in GOLDENS.names("schedules/") {
        let Some(name) = name.strip_suffix("/timesteps") else {
            continue;
        };
        let [betas, kind, steps] = name.split('/').collect::<Vec<_>>()[..] else {
            panic!("{name} is not betas/scheduler/steps");
        };
        let linear = SchedulerConfig {
            beta_schedule: BetaSchedule::Linear,
            beta_start: 0.0001,
            beta_end: 0.02,
            ..SchedulerConfig::default()
        };
        let config = if betas == "linear" {
            &linear
        } else {
            PIPELINE.scheduler_config()
        };
        let kind: SchedulerKind =
            serde_json::from_value(kind.into()).expect("a scheduler that we have");
        let schedule = Schedule::new(kind, config, steps.parse().expect("a number"))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        check_schedule(&mut table, &format!("schedules/{name}"), &schedule);
        seen += 1;
    }
    assert!(seen > 40, "only {seen} schedules");
    table.finish();
}

#[test]
fn the_text_encoder_gives_what_transformers_gives_layer_by_layer() {
    let document = &GOLDENS.document;
    let mut table = Table::new("Text encoder");
    for (index, text) in document.texts.iter().enumerate() {
        let mut recorder = record(PIPELINE.default_request(text), AttentionDetail::None);
        let (_, event) = (advance(&mut recorder), advance(&mut recorder));
        let Event::Text(trace) = event else {
            panic!("{event:?} instead of the text encoder's");
        };
        let embedding = trace.prompt.last().expect("the prompt's embedding");
        assert_eq!(&*embedding.name, "prompt_embedding");
        let golden = format!("texts/{index}/prompt_embedding");
        table.near(
            "prompt embedding",
            1e-5,
            &golden,
            &embedding.data,
            &GOLDENS.get(&golden),
        );
        if *text == document.layers_of {
            for name in GOLDENS.names("layers/") {
                let ours = trace.prompt.iter().find(|snapshot| *snapshot.name == *name);
                let ours = ours.unwrap_or_else(|| panic!("{name} was not recorded"));
                let golden = format!("layers/{name}");
                table.near_relative(
                    "every layer",
                    1e-5,
                    &golden,
                    &ours.data,
                    &GOLDENS.get(&golden),
                );
            }
        }
    }
    table.floor(&document.noise_floor);
    table.finish();
}

#[test]
fn a_module_called_as_in_diffusers_gives_what_it_gives_in_diffusers() {
    /// Number of values, norm and mean of every output.
    #[derive(Default)]
    struct Outputs(Vec<(String, (usize, f64, f64))>);
    impl Hook for Outputs {
        fn wants_output(&self, _path: &str) -> bool {
            true
        }
        fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, model::Error> {
            let values = value.flatten_all()?.to_vec1::<f32>()?;
            let stats = Stats::of(&values);
            self.0
                .push((path.to_owned(), (stats.count, stats.norm, stats.mean)));
            Ok(None)
        }
    }
    let document = &GOLDENS.document;
    let case = document
        .cases
        .iter()
        .find(|case| case.name == document.modules_of);
    let request = case.expect("the case of the modules").request();
    let mut generation = Generation::new(PIPELINE.clone(), request).expect("a valid request");
    while generation.stage() != Stage::Step(0) {
        generation.advance(&mut NoHook).expect("the run goes on");
    }
    let mut outputs = Outputs::default();
    generation.advance(&mut outputs).expect("the first step");
    assert!(outputs.0.len() > 20, "only {} modules", outputs.0.len());
    for (path, (count, norm, mean)) in outputs.0 {
        let golden = document.modules.get(&path);
        let (golden_count, golden_norm, golden_mean) =
            *golden.unwrap_or_else(|| panic!("diffusers has no module {path}"));
        // What is the same for both halves may be computed once.
        assert_eq!(golden_count % count, 0, "{path}");
        let size = norm / (count as f64).sqrt();
        let golden_size = golden_norm / (golden_count as f64).sqrt();
        let distance = (size - golden_size).abs() / golden_size;
        assert!(
            distance < 1e-5,
            "{path}: root mean square {size}, not {golden_size}"
        );
        let distance = (mean - golden_mean).abs() / golden_size;
        assert!(distance < 1e-5, "{path}: mean {mean}, not {golden_mean}");
    }
}

#[test]
fn every_generation_is_that_of_diffusers_step_by_step() {
    let cases = &GOLDENS.document.cases;
    for kind in &SchedulerKind::ALL {
        assert!(
            cases.iter().any(|case| case.scheduler == *kind),
            "no case for {kind:?}"
        );
    }
    let mut table = Table::new("Generations");
    for case in cases {
        check_case(&mut table, case);
    }
    table.floor(&GOLDENS.document.noise_floor);
    table.finish();
}

fn check_case(table: &mut Table, case: &Case) {
    let prefix = format!("cases/{}", case.name);
    let pipeline = pipeline_for(case);
    let (request, _folders) = with_donors(case);
    let mut recorder = record_with(&pipeline, request, AttentionDetail::Mean);
    let (mut text, mut last, mut pictures) = (None, None, 0);
    while let Some(event) = recorder.advance().expect("the generation goes on") {
        match event {
            Event::Tokens(_) => {}
            Event::Text(trace) => text = Some(trace),
            Event::Noise(noise) => {
                check_schedule(table, &prefix, &noise.schedule);
                let golden = format!("{prefix}/initial_noise");
                let expected = GOLDENS.get(&golden);
                table.bits(
                    "initial noise",
                    &golden,
                    &noise.initial_noise.data,
                    &expected,
                );
            }
            Event::Step(step) => {
                let text = text.as_ref().expect("the text encoder ran");
                let prompt = &text.prompt.last().expect("the prompt's embedding").data;
                let negative = &text.negative_prompt_embedding.data;
                check_step(table, (case, &pipeline), &step, [negative, prompt]);
                last = Some(step);
            }
            Event::Image(picture) => {
                table.pixels(&prefix, &picture.image, &GOLDENS.image(&case.name));
                pictures += 1;
            }
        }
    }
    assert_eq!(pictures, 1, "{}", case.name);
    let last = last.expect("there was a step");
    let golden = format!("{prefix}/latents");
    let ours = &tensor(&last, "latents_next").data;
    table.near("final latents", 1e-3, &golden, ours, &GOLDENS.get(&golden));
    if let Some(step) = case.heads {
        check_heads(table, &recorder, &prefix, step);
    }
}

/// The case's request, in which cases that values are taken from are folders with their runs.
fn with_donors(case: &Case) -> (Request, BTreeMap<String, tempfile::TempDir>) {
    let mut request = case.request();
    let mut folders = BTreeMap::new();
    for patch in &mut request.patches {
        let PatchChange::Take(from) = &mut patch.change else {
            continue;
        };
        let folder = folders.entry(from.run.clone()).or_insert_with(|| {
            let folder = tempfile::tempdir().expect("a folder");
            let mut cases = GOLDENS.document.cases.iter();
            let donor = cases.find(|case| case.name == from.run);
            write_run(
                donor.expect("a case of that name"),
                &folder.path().join("run"),
            );
            folder
        });
        let path = folder.path().join("run");
        from.run = path.to_str().expect("a plain path").to_owned();
    }
    (request, folders)
}

/// Writes the latents of a case's run, as `run --json` does.
fn write_run(case: &Case, path: &std::path::Path) {
    let mut recorder = record(case.request(), AttentionDetail::None);
    let metadata = RunMetadata::new(PIPELINE.info(), recorder.request().clone(), &[]);
    let folder = OutputFolder::at(path, false).expect("a new folder");
    let mut export = Export::new(folder, metadata, TensorSelection::of(["latents"]));
    while let Some(event) = recorder.advance().expect("the run goes on") {
        export.write(&event).expect("room for it");
    }
    export.finish().expect("the run is written");
}

#[test]
fn a_patched_module_changes_what_it_changes_in_diffusers() {
    let mut table = Table::new("Patches");
    let case = &GOLDENS.document.cases[0];
    let plain = first_noise(case.request());
    let mut kinds = std::collections::BTreeSet::new();
    for (index, patch) in GOLDENS.document.patches.iter().enumerate() {
        let request = Request {
            patches: vec![patch.clone()],
            ..case.request()
        };
        let golden = format!("patches/{index}");
        let (ours, expected) = (first_noise(request), GOLDENS.get(&golden));
        let name = format!("{golden} ({patch})");
        table.near("noise, patched", 1e-4, &name, &ours, &expected);
        let apart = expected.iter().zip(&plain).map(|(a, b)| (a - b).abs());
        assert!(
            apart.fold(0.0, f32::max) > 1e-3,
            "{name}: it changes nothing"
        );
        let last = patch
            .module
            .rsplit('.')
            .find(|part| part.parse::<usize>().is_err());
        kinds.insert((last, patch.head.is_some()));
    }
    assert!(kinds.len() >= 12, "{kinds:?}");
    table.finish();
}

/// What is predicted in the first step: without the prompt, and with it.
fn first_noise(request: Request) -> Vec<f32> {
    let mut recorder = record(request, AttentionDetail::None);
    loop {
        if let Event::Step(step) = advance(&mut recorder) {
            let halves = ["noise_uncond", "noise_text"].into_iter();
            return halves
                .flat_map(|name| tensor(&step, name).data.to_vec())
                .collect();
        }
    }
}

fn check_schedule(table: &mut Table, prefix: &str, schedule: &Schedule) {
    let timesteps = GOLDENS.get(&format!("{prefix}/timesteps"));
    table.bits("timesteps", prefix, &schedule.timesteps, &timesteps);
    let sigmas = GOLDENS.get(&format!("{prefix}/sigmas"));
    table.ulps("sigmas", 2, prefix, &schedule.sigmas, &sigmas);
    let initial = GOLDENS.get(&format!("{prefix}/init_noise_sigma"));
    table.ulps(
        "initial sigma",
        2,
        prefix,
        &[schedule.init_noise_sigma],
        &initial,
    );
}

fn check_step(
    table: &mut Table,
    (case, pipeline): (&Case, &Pipeline),
    step: &StepTrace,
    text: [&[f32]; 2],
) {
    let prefix = format!("cases/{}/steps/{}", case.name, step.index);
    for name in GOLDENS.names(&format!("{prefix}/")) {
        let golden = format!("{prefix}/{name}");
        let expected = GOLDENS.get(&golden);
        match name.split_once('/') {
            None if name.starts_with("noise_") => {
                let ours = &tensor(step, &name).data;
                if let Some(own) = GOLDENS.document.ill_conditioned.get(&golden) {
                    let bound = (1e-4, *own);
                    table.near_or_own("noise, ill-conditioned", bound, &golden, ours, &expected);
                } else {
                    table.near("noise predictions", 1e-4, &golden, ours, &expected);
                }
            }
            // The network alone knows nothing of what is changed in it.
            None if name == "latents"
                && !(case.interventions.is_empty() && case.patches.is_empty()) => {}
            None if name == "latents" => {
                check_network(table, (case, pipeline), step, &prefix, text);
            }
            None if name == "latents_next" => {
                let ours = &tensor(step, &name).data;
                table.near("latents of a step", 1e-3, &golden, ours, &expected);
            }
            None => {
                let ours = &tensor(step, &name).data;
                table.near("x0 of a step", 1e-3, &golden, ours, &expected);
            }
            Some(("attention", path)) => {
                let maps = maps(&step.attention, path);
                if case.interventions.is_empty() {
                    check_sums(maps, None);
                }
                let ours = at_positions(maps, None);
                table.near("attention probabilities", 1e-5, &golden, &ours, &expected);
            }
            // Recomputed once the run is done.
            Some(_) => {}
        }
    }
}

/// The UNet alone, from the latents that diffusers had: where sigma is small, a distance of latents that is rounding
/// becomes a large one of noise predictions, in PyTorch too.
fn check_network(
    table: &mut Table,
    (case, pipeline): (&Case, &Pipeline),
    step: &StepTrace,
    prefix: &str,
    [negative, prompt]: [&[f32]; 2],
) {
    let run = || -> candle_core::Result<(Tensor, Tensor)> {
        let device = pipeline.device();
        let [channels, height, width] = pipeline.info().latent_shape;
        let latents = GOLDENS.get(&format!("{prefix}/latents"));
        let latents = Tensor::from_vec(latents, (1, channels, height, width), device)?;
        let hidden = pipeline.info().hidden_size;
        let embedding =
            |values: &[f32]| Tensor::from_slice(values, (1, values.len() / hidden, hidden), device);
        let scheduler = Scheduler::new(case.scheduler, pipeline.scheduler_config(), case.steps)
            .expect("the case's schedule");
        let input = scheduler.scale_model_input(&latents, step.index)?;
        let (input, context) = if case.request().is_guided_at(step.index) {
            (
                Tensor::cat(&[&input, &input], 0)?,
                Tensor::cat(&[&embedding(negative)?, &embedding(prompt)?], 0)?,
            )
        } else {
            (input, embedding(prompt)?)
        };
        Ok((input, context))
    };
    let (input, context) = run().expect("tensors of the right shapes");
    let unet = pipeline.unet();
    let noise = unet
        .context(&context)
        .and_then(|context| unet.forward(&input, step.timestep, &context, &mut NoHook))
        .expect("a forward pass");
    let halves = noise.dim(0).expect("a batch");
    let halves = ["noise_text", "noise_uncond"].into_iter().take(halves);
    for (from_end, name) in halves.enumerate() {
        let golden = format!("{prefix}/{name}");
        let half = noise.dim(0).expect("a batch") - 1 - from_end;
        let ours = noise
            .get(half)
            .and_then(|half| half.flatten_all()?.to_vec1::<f32>())
            .expect("a half of the batch");
        table.near(
            "noise, from equal latents",
            1e-4,
            &golden,
            &ours,
            &GOLDENS.get(&golden),
        );
    }
}

/// Every head, and the half without the prompt, recomputed after the run.
fn check_heads(table: &mut Table, recorder: &Recorder, prefix: &str, step: usize) {
    let recompute = |detail, half| {
        recorder
            .attention_at(step, detail, half)
            .expect("the step was done")
    };
    let heads = recompute(AttentionDetail::Heads, Guidance::Cond);
    let uncond = recompute(AttentionDetail::Mean, Guidance::Uncond);
    let mut seen = 0;
    for path in GOLDENS.names(&format!("{prefix}/steps/{step}/heads/")) {
        let golden = format!("{prefix}/steps/{step}/heads/{path}");
        let maps_of_heads = maps(&heads, &path);
        let count = maps_of_heads.heads.expect("every head");
        let ours: Vec<f32> = (0..count)
            .flat_map(|head| {
                check_sums(maps_of_heads, Some(head));
                at_positions(maps_of_heads, Some(head))
            })
            .collect();
        table.near(
            "attention, each head",
            1e-5,
            &golden,
            &ours,
            &GOLDENS.get(&golden),
        );

        let golden = format!("{prefix}/steps/{step}/uncond/{path}");
        let uncond = maps(&uncond, &path);
        check_sums(uncond, None);
        let ours = at_positions(uncond, None);
        table.near(
            "attention without prompt",
            1e-5,
            &golden,
            &ours,
            &GOLDENS.get(&golden),
        );
        seen += 1;
    }
    assert!(seen > 0, "no golden heads at step {step}");
}

/// The model, for pictures of the case's size.
fn pipeline_for(case: &Case) -> Arc<Pipeline> {
    if case.size.is_none() {
        return PIPELINE.clone();
    }
    let checkpoint = Checkpoint::open(&Source::Embedded).expect("the embedded checkpoint opens");
    let pipeline = Pipeline::load_as(&checkpoint, &Device::Cpu, DType::F32, case.size);
    Arc::new(pipeline.expect("a size that the model can draw"))
}

fn record(request: Request, attention: AttentionDetail) -> Recorder {
    record_with(&PIPELINE, request, attention)
}

fn record_with(pipeline: &Arc<Pipeline>, request: Request, attention: AttentionDetail) -> Recorder {
    let donors = open_donors(&request, pipeline.info()).expect("runs to take values from");
    let options = RecordOptions {
        layers: true,
        attention,
        donors,
        ..RecordOptions::default()
    };
    Recorder::new(pipeline.clone(), request, options).expect("a valid request")
}

fn advance(recorder: &mut Recorder) -> Event {
    let event = recorder.advance().expect("the run goes on");
    event.expect("the run is not done")
}

fn tensor<'a>(step: &'a StepTrace, name: &str) -> &'a TensorData {
    step.tensor(name)
        .unwrap_or_else(|| panic!("step {} has no {name}", step.index))
}

fn maps<'a>(maps: &'a [AttentionMaps], path: &str) -> &'a AttentionMaps {
    let found = maps.iter().find(|maps| *maps.path == *path);
    found.unwrap_or_else(|| panic!("no attention maps of {path}"))
}

/// The maps of all positions sum to 1 at every pixel.
fn check_sums(maps: &AttentionMaps, head: Option<usize>) {
    for pixel in 0..maps.height * maps.width {
        let sum: f32 = (0..maps.tokens)
            .map(|token| maps.map(head, token)[pixel])
            .sum();
        assert!((sum - 1.0).abs() < 1e-5, "{}: sum {sum}", maps.path);
    }
}

/// The maps of the text positions that the goldens have.
fn at_positions(maps: &AttentionMaps, head: Option<usize>) -> Vec<f32> {
    let positions = GOLDENS.document.attention_positions.iter();
    positions
        .flat_map(|position| maps.map(head, *position).to_vec())
        .collect()
}

#[test]
fn the_measure_tells_near_from_far() {
    assert_eq!(ulps(1.0, 1.0 + f32::EPSILON), 1);
    assert_eq!(ulps(0.0, -0.0), 0);
    assert_eq!(ulps(f32::from_bits(1), -f32::from_bits(1)), 2);
    assert_eq!(ulps(f32::NAN, 1.0), u64::MAX);
    let failures = |ours: f32, golden: f32| {
        let mut table = Table::new("one value");
        table.near("values", 1e-5, "somewhere", &[ours], &[golden]);
        table.result().1.len()
    };
    assert_eq!(failures(1.0, 1.0 + 1e-6), 0);
    assert_eq!(failures(1.0, 1.0 + 1e-4), 1);
    assert_eq!(failures(1.0, f32::NAN), 1);
}

//! Looking inside of the networks: the values are those of diffusers' own modules, looking changes nothing, and a pass ends
//! at the last module that was asked for. `tests/parity/modules.py` makes the goldens.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use candle_core::{Device, Tensor};
use diffuscope::checkpoint::{Checkpoint, Component, Source};
use diffuscope::generation::{Error, Pipeline, Request, Stage};
use diffuscope::model::modules::LineKind;
use diffuscope::model::{self, AttentionDetail, Hook};
use diffuscope::scheduler::SchedulerKind;
use diffuscope::trace::{
    CancelToken, Event, Features, Fitted, Guidance, Probe, ProbePlace, RecordOptions, Recorder,
    TensorData,
};
use serde::Deserialize;

static PIPELINE: LazyLock<Arc<Pipeline>> = LazyLock::new(|| {
    let checkpoint = Checkpoint::open(&Source::Embedded).expect("the embedded checkpoint opens");
    Arc::new(Pipeline::load(&checkpoint, &Device::Cpu).expect("the embedded checkpoint loads"))
});

#[derive(Deserialize)]
struct Goldens {
    prompt: String,
    seed: i128,
    steps: usize,
    networks: BTreeMap<String, BTreeMap<String, Site>>,
    components: Expected,
}

#[derive(Deserialize)]
struct Site {
    shape: Vec<usize>,
    at: Vec<usize>,
    values: Vec<f64>,
    rms: f64,
    largest: f64,
}

#[derive(Deserialize)]
struct Expected {
    shares: Vec<f64>,
    along: Vec<Vec<f64>>,
}

fn goldens() -> Goldens {
    serde_json::from_str(include_str!("../parity/goldens/modules.json")).expect("goldens")
}

/// A run that has done `steps` of its steps.
fn run(request: Request, steps: usize, cancel: CancelToken) -> Recorder {
    let options = RecordOptions {
        cancel,
        ..RecordOptions::default()
    };
    let mut recorder = Recorder::new(PIPELINE.clone(), request, options).expect("a valid request");
    while ![Stage::Step(steps), Stage::Image].contains(&recorder.stage()) {
        recorder.advance().expect("the run goes on");
    }
    recorder
}

fn golden_run() -> (Goldens, Recorder) {
    let goldens = goldens();
    let request = Request {
        seed: goldens.seed,
        steps: goldens.steps,
        scheduler: SchedulerKind::Pndm,
        ..PIPELINE.default_request(&goldens.prompt)
    };
    let recorder = run(request, 1, CancelToken::default());
    (goldens, recorder)
}

fn probe(recorder: &Recorder, place: &ProbePlace, paths: &[String]) -> Vec<Features> {
    let probe = Probe {
        paths,
        half: Guidance::Cond,
        fitted: None,
        components: true,
    };
    recorder.probe(place, &probe).expect("nothing fails")
}

/// The latents that the goldens' decoder is given.
fn noise(recorder: &Recorder) -> TensorData {
    let mut again = run(recorder.request().clone(), 0, CancelToken::default());
    match again.advance().expect("the first step") {
        // PNDM's noise is not scaled: what goes into the first step is the noise.
        Some(Event::Step(step)) => step.tensor("latents").expect("latents").clone(),
        other => panic!("{other:?} instead of a step"),
    }
}

/// Over all sites of a network, no farther from f64 than PyTorch is in f32; at no site four times as far.
#[test]
fn values_inside_of_the_networks_are_those_of_diffusers() {
    let (goldens, recorder) = golden_run();
    for (network, sites) in &goldens.networks {
        let place = match network.as_str() {
            "text_encoder" => ProbePlace::TextEncoder,
            "unet" => ProbePlace::UNet(0),
            _ => ProbePlace::Decoder(noise(&recorder)),
        };
        let paths: Vec<String> = sites.keys().cloned().collect();
        let found = probe(&recorder, &place, &paths);
        assert_eq!(found.len(), sites.len(), "{network}");
        let (mut ratios, mut far) = (Vec::new(), Vec::new());
        for features in &found {
            let path = &*features.path;
            let site = &sites[path];
            assert_eq!(features.shape, site.shape, "{path}");
            let values = features.values.as_ref().expect("few enough to be kept");
            let apart = site.at.iter().zip(&site.values);
            let apart: Vec<f64> = apart
                .map(|(&at, value)| (f64::from(values.data[at]) - value).abs())
                .collect();
            let squares: f64 = apart.iter().map(|apart| apart * apart).sum();
            let rms = (squares / apart.len() as f64).sqrt();
            let largest = apart.iter().copied().fold(0.0, f64::max);
            if largest > 4.0 * site.largest {
                far.push(format!(
                    "{path}: {largest:.3e}, PyTorch {:.3e}",
                    site.largest
                ));
            }
            ratios.push((rms / site.rms).max(1e-3).ln());
        }
        let ratio = (ratios.iter().sum::<f64>() / ratios.len() as f64).exp();
        println!(
            "{network}: {} sites, {ratio:.2} of PyTorch's error",
            ratios.len()
        );
        assert!(ratio <= 1.0, "{network}: {ratio}");
        assert!(far.is_empty(), "{network}: {far:#?}");
    }
}

#[test]
fn principal_components_are_those_of_numpy() {
    let document: serde_json::Value =
        serde_json::from_str(include_str!("../parity/goldens/modules.json")).unwrap();
    let given: Vec<f32> = document["components"]["given"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap() as f32)
        .collect();
    let expected = goldens().components;
    let (shares, along) = diffuscope::trace::components_of(&given, 128);
    for (found, expected) in shares.iter().zip(&expected.shares) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
    for (found, expected) in along.iter().zip(&expected.along) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            // Given back in f32.
            assert!(
                (f64::from(*found) - expected).abs() < 1e-6,
                "{found} {expected}"
            );
        }
    }
}

fn request() -> Request {
    Request {
        steps: 3,
        scheduler: SchedulerKind::EulerAncestral,
        ..PIPELINE.default_request("a horse in the snow")
    }
}

/// Every step of the rest of a run, and its picture.
fn rest(recorder: &mut Recorder) -> (Vec<Vec<TensorData>>, Vec<u8>) {
    let mut steps = Vec::new();
    loop {
        match recorder.advance().expect("the run goes on") {
            Some(Event::Step(step)) => steps.push(step.tensors.clone()),
            Some(Event::Image(image)) => return (steps, image.image.as_raw().clone()),
            _ => {}
        }
    }
}

/// All sites of a network, inside of modules too.
fn everything(network: Component) -> Vec<String> {
    let modules = PIPELINE.info().modules.of(network).iter();
    let lines = modules.flat_map(|module| {
        let lines = module.lines().into_iter().map(|line| line.site);
        [module.path.clone()].into_iter().chain(lines)
    });
    lines.collect()
}

#[test]
fn looking_changes_nothing_and_sees_every_line_of_every_module() {
    let mut plain = run(request(), 1, CancelToken::default());
    let mut looked = run(request(), 1, CancelToken::default());
    let latents = noise(&looked);
    for (network, place) in [
        (Component::UNet, ProbePlace::UNet(0)),
        (Component::TextEncoder, ProbePlace::TextEncoder),
        (Component::Vae, ProbePlace::Decoder(latents)),
    ] {
        let paths = everything(network);
        let found = probe(&looked, &place, &paths);
        let seen: Vec<&str> = found.iter().map(|features| &*features.path).collect();
        for path in &paths {
            assert!(seen.contains(&path.as_str()), "{network:?} lacks {path}");
        }
    }
    assert_eq!(rest(&mut plain), rest(&mut looked));
}

/// A hook that looks inside of everything while a run is made.
struct All(usize);

impl Hook for All {
    fn wants_output(&self, _: &str) -> bool {
        true
    }

    fn looks_inside(&self) -> bool {
        true
    }

    fn wants_intermediate(&self, _: &str) -> bool {
        true
    }

    fn intermediate(&mut self, _: &str, value: &Tensor) -> Result<(), model::Error> {
        self.0 += value.elem_count();
        Ok(())
    }
}

#[test]
fn a_run_that_is_looked_into_while_it_is_made_is_the_same_to_the_bit() {
    let generate = |hook: &mut dyn Hook| {
        let mut generation =
            diffuscope::generation::Generation::new(PIPELINE.clone(), request()).unwrap();
        let mut last = None;
        while let Some(output) = generation.advance(hook).unwrap() {
            last = Some(output);
        }
        match last {
            Some(diffuscope::generation::StageOutput::Image(image)) => image.values,
            _ => panic!("no picture"),
        }
    };
    let mut all = All(0);
    assert_eq!(generate(&mut model::NoHook), generate(&mut all));
    assert!(all.0 > 0);
}

/// The lines are the module: what the branches give, added to what came in, is what goes out.
#[test]
fn the_lines_of_a_module_add_up_to_its_output() {
    let recorder = run(request(), 1, CancelToken::default());
    let mut modules = PIPELINE.info().modules.unet.iter();
    let transformer = modules.find(|module| module.path == "mid_block.attentions.0");
    let lines = transformer.expect("a transformer").lines();
    let paths: Vec<String> = lines.iter().map(|line| line.site.clone()).collect();
    let found = probe(&recorder, &ProbePlace::UNet(0), &paths);
    let of = |kind: LineKind| {
        let line = lines.iter().find(|line| line.kind == kind).expect("a line");
        let features = found.iter().find(|features| *features.path == *line.site);
        features
            .and_then(|features| features.values.clone())
            .expect("its values")
    };
    let (input, added, output) = (
        of(LineKind::Input),
        of(LineKind::ProjectionOut),
        of(LineKind::Output),
    );
    for ((a, b), sum) in input
        .data
        .iter()
        .zip(added.data.iter())
        .zip(output.data.iter())
    {
        assert!((a + b - sum).abs() < 1e-5);
    }
    let output = found
        .iter()
        .find(|features| *features.path == *"mid_block.attentions.0");
    let branch = output
        .and_then(|features| features.branch)
        .expect("a branch");
    let rms = |tensor: &TensorData| tensor.stats.norm / (tensor.data.len() as f64).sqrt();
    assert!((branch.base - rms(&input)).abs() < 1e-6);
    assert!((branch.added - rms(&added)).abs() < 1e-5);
}

/// Counts what passes.
#[derive(Default)]
struct Passed(Vec<String>);

impl Hook for Passed {
    fn wants_output(&self, _: &str) -> bool {
        true
    }

    fn output(&mut self, path: &str, _: &Tensor) -> Result<Option<Tensor>, model::Error> {
        self.0.push(path.to_owned());
        Ok(None)
    }
}

#[test]
fn a_pass_ends_at_the_last_site_that_is_asked_for() {
    let mut generation =
        diffuscope::generation::Generation::new(PIPELINE.clone(), request()).unwrap();
    while generation.stage() != Stage::Step(0) {
        generation.advance(&mut model::NoHook).unwrap();
    }
    let before = generation.stage();
    let mut passed = Passed::default();
    let paths = ["conv_in", "down_blocks.0.attentions.0"];
    let mut until = diffuscope::hook::Until::outputs(&mut passed, paths);
    generation.look(&mut until).unwrap();
    assert_eq!(generation.stage(), before);
    assert_eq!(passed.0.last().unwrap(), "down_blocks.0.attentions.0");
    assert!(
        !passed
            .0
            .iter()
            .any(|path| path.starts_with("down_blocks.1"))
    );
}

#[test]
fn the_heads_of_one_layer_are_those_of_all_layers() {
    let recorder = run(request(), 2, CancelToken::default());
    let layers = &PIPELINE.info().cross_attention;
    for half in [Guidance::Cond, Guidance::Uncond] {
        let all = recorder
            .attention_at(1, AttentionDetail::Heads, half)
            .unwrap();
        assert_eq!(all.len(), layers.len());
        for (layer, expected) in layers.iter().zip(&all) {
            let one = recorder.attention_of(&[&layer.path], 1, AttentionDetail::Heads, half);
            assert_eq!(one.unwrap(), std::slice::from_ref(expected));
        }
    }
}

#[test]
fn components_over_all_steps_are_the_same_at_every_step() {
    let recorder = run(request(), 3, CancelToken::default());
    let paths: Vec<String> = vec!["conv_in".into(), "mid_block.attentions.0".into()];
    let mut fitted = Fitted::new(paths.clone(), Guidance::Cond);
    for step in 0..3 {
        let sizes = recorder.fit(step, &mut fitted).unwrap();
        assert!(sizes.iter().all(|&size| size > 0.0));
    }
    // Once more does not count twice.
    recorder.fit(0, &mut fitted).unwrap();
    fitted.settle();
    let look = |step| {
        let probe = Probe {
            paths: &paths,
            half: Guidance::Cond,
            fitted: Some(&fitted),
            components: true,
        };
        recorder.probe(&ProbePlace::UNet(step), &probe).unwrap()
    };
    let mut squares = [0.0_f64; 2];
    let mut count = 0;
    for step in 0..3 {
        for (index, features) in look(step).iter().enumerate() {
            let components = features.components.as_ref().expect("components");
            assert_eq!(components.steps, Some(3));
            assert!(components.shares[0] >= components.shares[1]);
            let plane = &components.planes[0];
            squares[index] +=
                plane.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / plane.len() as f64;
        }
        count += 1;
    }
    // In standard deviations of all steps together.
    for square in squares {
        assert!((square / f64::from(count) - 1.0).abs() < 1e-4, "{square}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_refused_and_cancelling_loses_nothing() {
    let cancel = CancelToken::default();
    let mut recorder = run(request(), 2, cancel.clone());
    let paths = vec!["conv_in".to_owned()];
    let ask = |recorder: &Recorder, step, half| {
        let probe = Probe {
            paths: &paths,
            half,
            fitted: None,
            components: false,
        };
        recorder.probe(&ProbePlace::UNet(step), &probe)
    };
    assert!(matches!(
        ask(&recorder, 7, Guidance::Cond),
        Err(Error::NoSuchStep(7))
    ));
    cancel.cancel();
    assert!(matches!(
        ask(&recorder, 1, Guidance::Cond),
        Err(Error::Cancelled)
    ));
    cancel.reset();
    assert_eq!(ask(&recorder, 1, Guidance::Cond).unwrap().len(), 1);
    assert_eq!(
        rest(&mut recorder),
        rest(&mut run(request(), 2, CancelToken::default()))
    );
    // Without guidance there is one half.
    let unguided = Request {
        guidance_scale: 1.0,
        ..request()
    };
    let recorder = run(unguided, 1, CancelToken::default());
    assert!(ask(&recorder, 0, Guidance::Uncond).unwrap().is_empty());
    assert_eq!(ask(&recorder, 0, Guidance::Cond).unwrap().len(), 1);
}

//! What is left out of a prompt, what is made of the text encoder's states, and the charts of a run: beside diffusers and
//! numpy, with the goldens of `parity/effects.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use candle_core::Device;
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::export::{Export, OutputFolder, Replay, RunMetadata, TensorSelection};
use diffuscope::generation::{
    Error, Generation, Intervention, LeftOutOf, Pipeline, Request, RequestError, StageOutput,
    WordChange,
};
use diffuscope::model::NoHook;
use diffuscope::scheduler::SchedulerKind;
use diffuscope::trace::guidance_plane::{GuidancePlane, length};
use diffuscope::trace::latent_path::{LatentPath, latent_states};
use diffuscope::trace::{CancelToken, Event, RecordOptions, Recorder, StepTrace, TensorData};
use image::RgbImage;
use safetensors::SafeTensors;
use serde::Deserialize;
use sha2::{Digest, Sha256};

const REMAKE: &str = "python tests/parity/effects.py lessons/little-world/checkpoint tests/goldens";

static PIPELINE: LazyLock<Arc<Pipeline>> = LazyLock::new(|| {
    let checkpoint = Checkpoint::open(&Source::Embedded).unwrap();
    Arc::new(Pipeline::load(&checkpoint, &Device::Cpu).unwrap())
});

#[derive(Deserialize)]
struct Goldens {
    weights_sha256: BTreeMap<String, String>,
    seed: i128,
    steps: usize,
    guidance: f64,
    scheduler: SchedulerKind,
    cases: Vec<Case>,
    charts: Charts,
}

#[derive(Deserialize)]
struct Case {
    prompt: String,
    #[serde(default)]
    negative_prompt: String,
    #[serde(default)]
    input: Vec<usize>,
    #[serde(default)]
    reads: Vec<usize>,
    layers: Option<usize>,
    /// How far PyTorch's embedding in f32 is from that in f64.
    torch_f32: f32,
}

#[derive(Deserialize)]
struct Charts {
    path: PathChart,
    arrows: Vec<Arrows>,
}

#[derive(Deserialize)]
struct PathChart {
    places: Vec<[f64; 2]>,
    shares: [f64; 2],
}

#[derive(Deserialize)]
struct Arrows {
    /// Of the prediction without the prompt, with it, and of their difference.
    rms: [f64; 3],
    angle: f64,
    turn: f64,
}

fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/goldens").join(name)
}

/// The goldens, which must be of the checkpoint that is embedded.
static GOLDENS: LazyLock<Goldens> = LazyLock::new(|| {
    let goldens: Goldens =
        serde_json::from_slice(&fs::read(path("effects.json")).unwrap()).unwrap();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("lessons/little-world/checkpoint");
    for (file, expected) in &goldens.weights_sha256 {
        let found = format!("{:x}", Sha256::digest(fs::read(root.join(file)).unwrap()));
        assert_eq!(&found, expected, "{file} is another one: run `{REMAKE}`");
    }
    goldens
});

fn golden(name: &str) -> Vec<f32> {
    let bytes = fs::read(path("effects.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    let (values, _) = tensor.data().as_chunks::<4>();
    values
        .iter()
        .map(|value| f32::from_le_bytes(*value))
        .collect()
}

fn left_out(positions: &[usize], of: LeftOutOf) -> Option<Intervention> {
    (!positions.is_empty()).then(|| Intervention {
        word: String::new(),
        positions: positions.to_vec(),
        change: WordChange::LeaveOut(of),
        steps: None,
    })
}

impl Case {
    fn request(&self) -> Request {
        let input = left_out(&self.input, LeftOutOf::Input);
        let reads = left_out(&self.reads, LeftOutOf::Reads);
        Request {
            prompt: self.prompt.clone(),
            negative_prompt: self.negative_prompt.clone(),
            seed: GOLDENS.seed,
            steps: GOLDENS.steps,
            guidance_scale: GOLDENS.guidance,
            scheduler: GOLDENS.scheduler,
            text_layers: self.layers,
            interventions: input.into_iter().chain(reads).collect(),
            ..Request::default()
        }
    }
}

/// What a run leaves: the prompt's embedding, its steps and its picture.
struct Run {
    recorder: Recorder,
    embedding: TensorData,
    steps: Vec<Arc<StepTrace>>,
    picture: RgbImage,
}

fn recorder(request: Request) -> Result<Recorder, Error> {
    let options = RecordOptions {
        layers: true,
        ..RecordOptions::default()
    };
    Recorder::new(PIPELINE.clone(), request, options)
}

fn run(request: Request) -> Run {
    let mut recorder = recorder(request).unwrap();
    let (mut embedding, mut steps) = (None, Vec::new());
    loop {
        match recorder.advance().unwrap().unwrap() {
            Event::Text(text) => embedding = text.prompt.last().cloned(),
            Event::Step(step) => steps.push(step),
            Event::Image(image) => {
                return Run {
                    recorder,
                    embedding: embedding.unwrap(),
                    steps,
                    picture: image.image.clone(),
                };
            }
            _ => {}
        }
    }
}

fn apart(ours: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(ours.len(), expected.len());
    let pairs = ours.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn what_is_left_out_and_what_layers_give_is_what_diffusers_makes_of_it() {
    let mut ratios = Vec::new();
    for (index, case) in GOLDENS.cases.iter().enumerate() {
        let run = run(case.request());
        let embedding = apart(
            &run.embedding.data,
            &golden(&format!("{index}/prompt_embedding")),
        );
        let last = run.steps.last().unwrap().tensor("latents_next").unwrap();
        let latents = apart(&last.data, &golden(&format!("{index}/latents")));
        let picture = image::open(path(&format!("effects-{index}.png"))).unwrap();
        let levels = run
            .picture
            .as_raw()
            .iter()
            .zip(picture.into_rgb8().into_raw());
        let levels = levels.map(|(a, b)| a.abs_diff(b)).max().unwrap();
        let own = case.torch_f32;
        println!(
            "{index}: embedding {embedding:.1e} from f64 (PyTorch's f32 {own:.1e}), latents {latents:.1e}, {levels} levels"
        );
        assert!(embedding <= 1e-5, "{index}: embedding {embedding}");
        assert!(latents <= 1e-3, "{index}: latents {latents}");
        assert!(levels <= 1, "{index}: {levels} levels");
        ratios.push(f64::from(embedding / own).ln());
    }
    let mean = (ratios.iter().sum::<f64>() / ratios.len() as f64).exp();
    println!("our error over that of PyTorch's f32, geometric mean: {mean:.2}");
    assert!(mean <= 1.2, "{mean}");
}

#[test]
fn the_way_through_latent_space_is_numpys() {
    let expected = &GOLDENS.charts.path;
    let run = run(GOLDENS.cases[0].request());
    // The very latents of the golden, in the place of our own.
    let latents = golden("path/latents");
    let size = latents.len() / expected.places.len();
    let steps: Vec<Arc<StepTrace>> = run
        .steps
        .iter()
        .map(|step| {
            let mut step = StepTrace::clone(step);
            let at = |number: usize| latents[number * size..(number + 1) * size].to_vec();
            let index = step.index;
            for tensor in &mut step.tensors {
                match &*tensor.name {
                    "latents" => tensor.data = at(index).into(),
                    "latents_next" => tensor.data = at(index + 1).into(),
                    _ => {}
                }
            }
            Arc::new(step)
        })
        .collect();
    let path = LatentPath::of(&[latent_states(&steps)]).unwrap();
    let mut largest: f64 = 0.0;
    for (place, [first, second]) in path.runs[0].iter().zip(&expected.places) {
        largest = largest
            .max((place.at.0 - first).abs())
            .max((place.at.1 - second).abs());
    }
    let shares = path.shares.iter().zip(&expected.shares);
    let shares = shares.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("places {largest:.1e}, shares {shares:.1e}");
    assert_eq!(path.runs[0].len(), expected.places.len());
    assert!(largest < 1e-6 && shares < 1e-9, "{largest} {shares}");
    // Our own run goes the same way.
    let own = LatentPath::of(&[latent_states(&run.steps)]).unwrap();
    for (place, [first, second]) in own.runs[0].iter().zip(&expected.places) {
        assert!((place.at.0 - first).abs() < 1e-2 && (place.at.1 - second).abs() < 1e-2);
    }
}

#[test]
fn the_arrows_of_guidance_are_numpys() {
    let run = run(GOLDENS.cases[0].request());
    let predictions = golden("arrows/predictions");
    let expected = &GOLDENS.charts.arrows;
    let size = predictions.len() / expected.len() / 2;
    for (step, expected) in run.steps.iter().zip(expected) {
        let mut step = StepTrace::clone(step);
        let of = |half: usize| &predictions[(2 * step.index + half) * size..][..size];
        let halves = [of(0).to_vec(), of(1).to_vec()];
        for tensor in &mut step.tensors {
            match &*tensor.name {
                "noise_uncond" => tensor.data = halves[0].clone().into(),
                "noise_text" => tensor.data = halves[1].clone().into(),
                _ => {}
            }
        }
        let plane = GuidancePlane::of(&step).unwrap();
        let found = [plane.uncond, length(plane.text), length(plane.difference())];
        for (found, expected) in found.iter().zip(expected.rms) {
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        }
        assert!((plane.angle() - expected.angle).abs() < 1e-9);
        assert!((plane.turn() - expected.turn).abs() < 1e-9);
        // The guided prediction lies in the plane, where its formula puts it.
        let (along, across) = plane.at_scale(GOLDENS.guidance);
        assert!((plane.guided.0 - along).abs() < 1e-5 && (plane.guided.1 - across).abs() < 1e-5);
    }
}

#[test]
fn rescaled_guidance_is_the_same_arrow_of_another_length() {
    let phi = 0.7;
    let request = Request {
        guidance_rescale: phi,
        ..GOLDENS.cases[0].request()
    };
    let values = |step: &StepTrace, name: &str| -> Vec<f64> {
        let tensor = step.tensor(name).unwrap();
        tensor.data.iter().map(|&value| f64::from(value)).collect()
    };
    let std = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (values.len() - 1) as f64).sqrt()
    };
    for step in &run(request).steps {
        let plane = GuidancePlane::of(step).unwrap();
        let plain = plane.at_scale(GOLDENS.guidance);
        let turned = plain.0 * plane.guided.1 - plain.1 * plane.guided.0;
        assert!(turned.abs() < 1e-5 * length(plain).powi(2), "{plane:?}");
        let (uncond, text) = (values(step, "noise_uncond"), values(step, "noise_text"));
        let guided: Vec<f64> = uncond
            .iter()
            .zip(&text)
            .map(|(u, t)| u + GOLDENS.guidance * (t - u))
            .collect();
        let factor = phi * std(&text) / std(&guided) + 1.0 - phi;
        let expected = factor * length(plain);
        assert!(
            (length(plane.guided) - expected).abs() < 1e-5 * expected,
            "{plane:?}, not {expected}"
        );
    }
}

#[test]
fn a_step_without_guidance_has_no_plane() {
    let request = Request {
        guidance_scale: 1.0,
        ..GOLDENS.cases[0].request()
    };
    assert!(
        run(request)
            .steps
            .iter()
            .all(|step| GuidancePlane::of(step).is_none())
    );
}

#[test]
fn all_layers_and_a_word_that_stands_nowhere_change_no_bit() {
    let plain = Request {
        interventions: Vec::new(),
        ..GOLDENS.cases[0].request()
    };
    let layers = PIPELINE.info().text_layers;
    let all = Request {
        text_layers: Some(layers),
        ..plain.clone()
    };
    // Padding in the place of padding.
    let padding = left_out(&[40, 76], LeftOutOf::Input);
    let padding = Request {
        interventions: padding.into_iter().collect(),
        ..plain.clone()
    };
    let expected = run(plain.clone());
    for request in [all, padding] {
        let run = run(request);
        assert_eq!(run.embedding.data, expected.embedding.data);
        assert_eq!(run.picture, expected.picture);
    }
    // The padding of a text of padding alone is not that of the prompt, which has taken in its words.
    let unread = left_out(&[40], LeftOutOf::Reads);
    let unread = run(Request {
        interventions: unread.into_iter().collect(),
        ..plain
    });
    for position in 0..77 {
        let (ours, before) = (
            unread.embedding.row(position),
            expected.embedding.row(position),
        );
        assert_eq!(ours == before, position != 40, "{position}");
    }
}

#[test]
fn the_input_changes_the_words_after_it_and_reading_changes_the_word_alone() {
    let rows = |positions: &[usize], of| {
        let request = Request {
            interventions: left_out(positions, of).into_iter().collect(),
            ..GOLDENS.cases[0].request()
        };
        run(request).embedding
    };
    let plain = run(Request {
        interventions: Vec::new(),
        ..GOLDENS.cases[0].request()
    });
    let changed = |embedding: &TensorData| -> Vec<usize> {
        let differs = |at: &usize| embedding.row(*at) != plain.embedding.row(*at);
        (0..77).filter(differs).collect()
    };
    assert_eq!(
        changed(&rows(&[5], LeftOutOf::Input)),
        (5..77).collect::<Vec<_>>()
    );
    assert_eq!(changed(&rows(&[5], LeftOutOf::Reads)), [5]);
}

#[test]
fn a_run_that_nobody_records_is_the_run_and_leaves_it_alone() {
    let plain = Request {
        interventions: Vec::new(),
        scheduler: SchedulerKind::EulerAncestral,
        ..GOLDENS.cases[0].request()
    };
    let picture = |mut generation: Generation| loop {
        if let Some(StageOutput::Image(image)) = generation.advance(&mut NoHook).unwrap() {
            return image.image;
        }
    };
    let recorded = run(plain.clone());
    let again = recorded.recorder.unrecorded(plain.clone()).unwrap();
    assert_eq!(picture(again), recorded.picture);
    let without = Request {
        interventions: vec![Intervention::leave_out("horse", LeftOutOf::Input)],
        ..plain.clone()
    };
    let unrecorded = picture(recorded.recorder.unrecorded(without.clone()).unwrap());
    assert_eq!(unrecorded, run(without.clone()).picture);
    assert_ne!(unrecorded, recorded.picture);
    // Of a branch, from where it left.
    let (mut branch, _) = recorded
        .recorder
        .fork(
            2,
            Request {
                seed: 7,
                ..plain.clone()
            },
        )
        .unwrap();
    let finish = |recorder: &mut Recorder| loop {
        if let Some(Event::Image(image)) = recorder.advance().unwrap() {
            return image.image.clone();
        }
    };
    let expected = finish(&mut branch);
    let same = branch.request().clone();
    assert_eq!(picture(branch.unrecorded(same).unwrap()), expected);
    let (mut changed, _) = recorded
        .recorder
        .fork(
            2,
            Request {
                seed: 7,
                ..without.clone()
            },
        )
        .unwrap();
    let unrecorded = branch.unrecorded(Request { seed: 7, ..without }).unwrap();
    assert_eq!(picture(unrecorded), finish(&mut changed));
}

#[test]
fn a_cancelled_run_goes_on_where_it_was() {
    let recorded = run(GOLDENS.cases[1].request());
    let cancel = CancelToken::default();
    let mut generation = recorded
        .recorder
        .unrecorded(GOLDENS.cases[1].request())
        .unwrap();
    generation.advance(&mut cancel.clone()).unwrap();
    cancel.cancel();
    let stage = generation.stage();
    assert!(matches!(
        generation.advance(&mut cancel.clone()),
        Err(Error::Cancelled)
    ));
    assert_eq!(generation.stage(), stage);
    cancel.reset();
    while let Some(output) = generation.advance(&mut cancel.clone()).unwrap() {
        if let StageOutput::Image(image) = output {
            assert_eq!(image.image, recorded.picture);
        }
    }
}

#[test]
fn what_cannot_be_left_out_is_refused() {
    let with = |change: fn(&mut Request)| {
        let mut request = GOLDENS.cases[0].request();
        change(&mut request);
        match recorder(request) {
            Err(Error::Request(error)) => error,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was accepted"),
        }
    };
    let error = with(|request| {
        request.interventions = vec![Intervention::leave_out("cow", LeftOutOf::Reads)];
    });
    assert!(matches!(error, RequestError::NoSuchWord { .. }), "{error}");
    let error = with(|request| request.text_layers = Some(4));
    assert!(
        matches!(error, RequestError::TextLayers { layers: 4, most: 3 }),
        "{error}"
    );
    let plain = run(GOLDENS.cases[0].request());
    let wrong = Request {
        text_layers: Some(4),
        ..GOLDENS.cases[0].request()
    };
    let error = plain.recorder.unrecorded(wrong).unwrap_err();
    assert!(error.to_string().contains("from 0 to 3"), "{error}");
}

#[test]
fn an_export_says_what_is_left_out_and_is_read_back() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run");
    let request = Request {
        text_layers: Some(2),
        interventions: vec![Intervention::leave_out("horse", LeftOutOf::Reads)],
        ..GOLDENS.cases[0].request()
    };
    let mut recorder = recorder(request).unwrap();
    let metadata = RunMetadata::new(PIPELINE.info(), recorder.request().clone(), &[]);
    let folder = OutputFolder::at(&path, false).unwrap();
    let mut export = Export::new(folder, metadata, TensorSelection::of(["all"]));
    while let Some(event) = recorder.advance().unwrap() {
        export.write(&event).unwrap();
    }
    export.finish().unwrap();
    let document = fs::read_to_string(path.join("run.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let expected = serde_json::json!([
        { "word": "horse", "positions": [8], "change": { "leave_out": "reads" } }
    ]);
    assert_eq!(document["request"]["interventions"], expected);
    assert_eq!(document["request"]["text_layers"], 2);
    let replay = Replay::open(&path).unwrap();
    assert_eq!(&replay.metadata().request, recorder.request());
    // Attention adds up to one: nothing of it was changed.
    let verified = replay.verify().unwrap();
    assert!(
        verified
            .checked
            .iter()
            .any(|what| what.contains("adds up to 1"))
            || verified.maps == 0
    );
}

//! How long the parts of a generation take, and what it costs to look at them. Not a test: nothing passes or fails.
//!
//! ```text
//! RAYON_NUM_THREADS=2 cargo bench --bench step
//! RAYON_NUM_THREADS=2 cargo bench --bench step -- --model PATH --rounds 5
//! ```
//!
//! The ways of recording take turns, so that a machine that slows down slows all of them; figures are medians.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Tensor};
use clap::Parser;
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::generation::{Generation, Pipeline, Progress, Request, Stage};
use diffuscope::model::{AttentionDetail, NoHook};
use diffuscope::trace::{RecordOptions, Recorder};

/// Time the parts of a generation.
#[derive(Parser)]
struct Options {
    /// A diffusers folder instead of the embedded model
    #[arg(long)]
    model: Option<PathBuf>,
    /// How many times each part is measured
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// `cargo bench` passes it; it changes nothing
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let source = options.model.map_or(Source::Embedded, Source::Path);
    let start = Instant::now();
    let checkpoint = Checkpoint::open(&source)?;
    let pipeline = Arc::new(Pipeline::load(&checkpoint, &Device::Cpu)?);
    let load = start.elapsed().as_secs_f64();

    let info = pipeline.info();
    let (width, height) = info.image_size;
    println!(
        "{}, {} million parameters, {width}x{height}, f32, {} threads; medians of {}",
        info.name,
        info.parameters / 1_000_000,
        rayon::current_num_threads(),
        options.rounds
    );
    line("load", load, None);
    parts(&pipeline, options.rounds)?;
    recording(&pipeline, options.rounds)
}

/// Each network alone.
fn parts(pipeline: &Pipeline, rounds: u32) -> anyhow::Result<()> {
    let tokens = pipeline.tokenizer().encode(PROMPT)?;
    let encode = || {
        pipeline
            .text_encoder()
            .forward(&[tokens.ids()], &mut NoHook)
    };
    let text = encode()?;
    line("text encoder", median(rounds, || encode().map(drop))?, None);

    let [channels, height, width] = pipeline.info().latent_shape;
    let one = Tensor::randn(0f32, 1.0, (1, channels, height, width), pipeline.device())?;
    for (name, batch) in [("UNet, batch 1", 1), ("UNet, batch 2 (guidance)", 2)] {
        let latents = Tensor::cat(&vec![&one; batch], 0)?;
        let context = Tensor::cat(&vec![&text; batch], 0)?;
        let forward = || {
            let noise = pipeline
                .unet()
                .forward(&latents, 500.0, &context, &mut NoHook);
            noise.map(|noise| drop(black_box(noise)))
        };
        line(name, median(rounds, forward)?, None);
    }
    let decode = || pipeline.decode(&one).map(|image| drop(black_box(image)));
    line("VAE decode", median(rounds, decode)?, None);
    Ok(())
}

/// A step, with nothing looking and with more and more of it.
fn recording(pipeline: &Arc<Pipeline>, rounds: u32) -> anyhow::Result<()> {
    let mut times: [Vec<f64>; 4] = Default::default();
    let details = [
        AttentionDetail::None,
        AttentionDetail::Mean,
        AttentionDetail::Heads,
    ];
    // One step of each in turn, so that all are measured in the same minute.
    let request = Request {
        steps: rounds as usize + 1,
        ..pipeline.default_request(PROMPT)
    };
    let mut bare = Generation::new(pipeline.clone(), request.clone())?;
    while bare.stage() != Stage::Step(0) {
        bare.advance(&mut NoHook)?;
    }
    let mut recorders = Vec::new();
    for attention in details {
        let options = RecordOptions {
            layers: true,
            attention,
            ..RecordOptions::default()
        };
        let mut recorder = Recorder::new(pipeline.clone(), request.clone(), options)?;
        while recorder.stage() != Stage::Step(0) {
            recorder.advance()?;
        }
        recorders.push(recorder);
    }
    for round in 0..request.steps {
        let mut taken = [0.0; 4];
        let start = Instant::now();
        let step = bare.advance(&mut NoHook)?;
        anyhow::ensure!(
            matches!(step, Some(Progress::Step(_))),
            "the run ended early"
        );
        taken[0] = start.elapsed().as_secs_f64();
        for (recorder, taken) in recorders.iter_mut().zip(&mut taken[1..]) {
            let start = Instant::now();
            black_box(recorder.advance()?);
            *taken = start.elapsed().as_secs_f64();
        }
        // The first round warms up.
        if round > 0 {
            for (times, taken) in times.iter_mut().zip(taken) {
                times.push(taken);
            }
        }
    }
    let [bare, none, mean, heads] = times.map(|mut times| middle(&mut times));
    line("step, recording off", bare, None);
    line("step, tensors recorded", none, Some(none / bare));
    line("step, averaged attention too", mean, Some(mean / bare));
    line("step, every head too", heads, Some(heads / bare));
    Ok(())
}

const PROMPT: &str = "a photograph of an astronaut riding a horse";

/// Median seconds of `work`, after one round to warm up.
fn median<E>(rounds: u32, work: impl Fn() -> Result<(), E>) -> Result<f64, E> {
    work()?;
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(middle(&mut times))
}

fn middle(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    let half = times.len() / 2;
    if times.len() % 2 == 1 {
        times[half]
    } else {
        f64::midpoint(times[half - 1], times[half])
    }
}

fn line(name: &str, seconds: f64, ratio: Option<f64>) {
    let ratio = ratio.map_or(String::new(), |ratio| {
        format!("  {ratio:.3} of recording off")
    });
    println!("{name:<30} {:>10.2} ms{ratio}", seconds * 1e3);
}

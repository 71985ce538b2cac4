//! How long the parts of a generation take, and what it costs to look at them. Not a test: nothing passes or fails.
//!
//! ```text
//! RAYON_NUM_THREADS=2 cargo bench --bench step
//! RAYON_NUM_THREADS=2 cargo bench --bench step -- --model PATH --rounds 5 --pixels 256 --measure parts
//! RAYON_NUM_THREADS=2 cargo bench --bench step -- --measure operations
//! ```
//!
//! The ways of recording take turns, so that a machine that slows down slows all of them; figures are medians.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Tensor};
use clap::{Parser, ValueEnum};
use diffuscope::{AttentionDetail, NoHook, layers};
use diffuscope::{Checkpoint, Source};
use diffuscope::{Generation, Pipeline, Request, Stage, StageOutput};
use diffuscope::{RecordOptions, Recorder};
use mimalloc::MiMalloc;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Time the parts of a generation.
#[derive(Parser)]
struct Options {
    /// A diffusers folder instead of the embedded model
    #[arg(long)]
    model: Option<PathBuf>,
    /// How many times each part is measured
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Width and height of the picture that the parts are measured with; the model's own if not given
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pixels: Option<u32>,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["parts", "recording"])]
    measure: Vec<Measure>,
    /// `cargo bench` passes it; it changes nothing
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Each network alone
    Parts,
    /// What it costs to look
    Recording,
    /// Single operations at Stable Diffusion v1's sizes
    Operations,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.measure.contains(&Measure::Operations) {
        operations(options.rounds)?;
    }
    if options.measure == [Measure::Operations] {
        return Ok(());
    }
    let source = options.model.map_or(Source::Embedded, Source::Path);
    let start = Instant::now();
    let checkpoint = Checkpoint::open(&source)?;
    let pipeline = Arc::new(Pipeline::load(&checkpoint, &Device::Cpu)?);
    let load = start.elapsed().as_secs_f64();

    let info = pipeline.info();
    let size = options
        .pixels
        .map_or(info.image_size, |pixels| (pixels as usize, pixels as usize));
    println!(
        "{}, {} million parameters, {}x{}, f32, {} threads; medians of {}",
        info.name,
        info.parameters / 1_000_000,
        size.0,
        size.1,
        rayon::current_num_threads(),
        options.rounds
    );
    line("load", load, None);
    if options.measure.contains(&Measure::Parts) {
        parts(&pipeline, size, options.rounds)?;
    }
    if options.measure.contains(&Measure::Recording) {
        recording(&pipeline, options.rounds)?;
    }
    Ok(())
}

/// Each network alone.
fn parts(pipeline: &Pipeline, (width, height): (usize, usize), rounds: u32) -> anyhow::Result<()> {
    let tokens = pipeline.tokenizer().encode(PROMPT)?;
    let encode = || {
        pipeline
            .text_encoder()
            .forward(&[tokens.ids()], &mut NoHook)
    };
    let text = encode()?;
    line("text encoder", median(rounds, || encode().map(drop))?, None);

    let [channels, _, lines] = pipeline.info().latent_shape;
    let scale = pipeline.info().image_size.0 / lines;
    let latents = (1, channels, height / scale, width / scale);
    let one = Tensor::randn(0f32, 1.0, latents, pipeline.device())?;
    for (name, batch) in [("UNet, batch 1", 1), ("UNet, batch 2 (guidance)", 2)] {
        let latents = Tensor::cat(&vec![&one; batch], 0)?;
        let context = pipeline
            .unet()
            .context(&Tensor::cat(&vec![&text; batch], 0)?)?;
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

/// Single operations, on batches of 2. `compare.py` knows them by name.
fn operations(rounds: u32) -> anyhow::Result<()> {
    let randn = |shape: &[usize]| Tensor::randn(0f32, 1.0, shape, &Device::Cpu);
    for (rows, inputs, outputs) in [(4096, 2880, 320), (8192, 320, 2560)] {
        let linear = layers::Linear::from_tensors(randn(&[outputs, inputs])?, None)?;
        let x = randn(&[rows, inputs])?;
        let name = format!("matmul {rows}x{inputs}x{outputs}");
        line(
            &name,
            median(rounds, || linear.forward(&x).map(drop))?,
            None,
        );
    }
    let picture = randn(&[2, 64, 64, 320])?.permute((0, 3, 1, 2))?;
    let geometry = layers::Geometry {
        size: 3,
        stride: 1,
        padding: 1,
    };
    let weight = randn(&[320, 320, 3, 3])?;
    let conv = layers::Conv2d::from_tensors(&weight, randn(&[320])?, geometry)?;
    let seconds = median(rounds, || conv.forward(&picture).map(drop))?;
    line("3x3 convolution 320 on 64x64", seconds, None);
    let norm = layers::GroupNorm::from_tensors(randn(&[320])?, randn(&[320])?, 32, 1e-5)?;
    let seconds = median(rounds, || norm.forward_silu(&picture).map(drop))?;
    line("group norm, SiLU", seconds, None);
    let x = randn(&[2, 4096, 320])?;
    let input = layers::AttentionInput {
        heads: 8,
        query: &x,
        key: &x,
        value: &x,
        mask: None,
    };
    let attend = || layers::attention(&input, "", &mut NoHook).map(drop);
    line("attention 8x4096x4096x40", median(rounds, attend)?, None);
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
            matches!(step, Some(StageOutput::Step(_))),
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

//! Branches off in the middle of a run: what becomes of the same latents with another prompt?

use std::sync::Arc;

use candle_core::Device;
use diffuscope::{Checkpoint, Generation, NoHook, Pipeline, Source, Stage, StageOutput};

fn finish(mut generation: Generation, file: &str) -> anyhow::Result<()> {
    while let Some(output) = generation.advance(&mut NoHook)? {
        if let StageOutput::Image(decoded) = output {
            let path = std::env::temp_dir().join(file);
            decoded.image.save(&path)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let checkpoint = Checkpoint::open(&Source::Embedded)?;
    let pipeline = Arc::new(Pipeline::load(&checkpoint, &Device::Cpu)?);
    let request = pipeline.default_request("a red apple on a table");
    let mut generation = Generation::new(pipeline, request.clone())?;
    while generation.stage() != Stage::Step(5) {
        generation.advance(&mut NoHook)?;
    }
    let other = request.with_prompt("a blue house in the snow");
    let branch = generation.branch(&generation.state(), other, &mut NoHook)?;
    finish(generation, "apple.png")?;
    finish(branch, "house-from-step-5.png")
}

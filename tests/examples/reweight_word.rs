//! Re-weights a word: the attention that it gets in every layer is multiplied (Hertz et al. 2022), here by 0.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use diffuscope::{Checkpoint, Generation, Hook, NoHook, Pipeline, Source, StageOutput, hook};

fn draw(pipeline: &Arc<Pipeline>, hook: &mut dyn Hook, file: &str) -> anyhow::Result<()> {
    let request = pipeline.default_request("a red apple on a table");
    let mut generation = Generation::new(pipeline.clone(), request)?;
    while let Some(output) = generation.advance(hook)? {
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
    // One factor a text position, of the half of the batch that has the prompt: "apple" is at position 3.
    let mut factors = vec![1.0_f32; 2 * 77];
    factors[77 + 3] = 0.0;
    let factors = Tensor::from_vec(factors, (2, 1, 1, 77), &Device::Cpu)?;
    let mut silenced =
        hook::replace_attention("*.attn2", |_, probs| Ok(probs.broadcast_mul(&factors)?));
    draw(&pipeline, &mut NoHook, "apple.png")?;
    draw(&pipeline, &mut silenced, "silenced-apple.png")
}

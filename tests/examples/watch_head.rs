//! Watches one head of one cross-attention layer: which pixels look at a word, in the last step of a run?

use std::sync::Arc;

use candle_core::{Device, IndexOp as _};
use diffuscope::{Checkpoint, Generation, Pipeline, Source, hook};

const LAYER: &str = "down_blocks.0.attentions.0.transformer_blocks.0.attn2";
const HEAD: usize = 3;

fn main() -> anyhow::Result<()> {
    let checkpoint = Checkpoint::open(&Source::Embedded)?;
    let pipeline = Arc::new(Pipeline::load(&checkpoint, &Device::Cpu)?);
    let request = pipeline.default_request("a red apple on a table");
    // The start token is at position 0.
    let apple = 3;

    let mut map = Vec::new();
    let mut watch = hook::on_attention(LAYER, |_, probs| {
        // (batch, heads, pixels, tokens); of the batch, the second has the prompt.
        map = probs.i((1, HEAD, .., apple))?.to_vec1::<f32>()?;
        Ok(())
    });
    let mut generation = Generation::new(pipeline, request)?;
    while generation.advance(&mut watch)?.is_some() {}
    drop(watch);

    let largest = map.iter().copied().fold(0.0, f32::max);
    for row in map.chunks(map.len().isqrt()) {
        let shade = |p: &f32| [" ", ".", ":", "+", "#"][(p / largest * 4.0).round() as usize];
        println!("{}", row.iter().map(shade).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

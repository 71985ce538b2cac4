//! Runs the embedded model and keeps what its middle block gives, as `run_with_cache` of `TransformerLens` does.

use std::sync::Arc;

use candle_core::Device;
use diffuscope::hook::Cache;
use diffuscope::{AttentionDetail, Checkpoint, Generation, Pipeline, Source};

fn main() -> anyhow::Result<()> {
    let checkpoint = Checkpoint::open(&Source::Embedded)?;
    let pipeline = Arc::new(Pipeline::load(&checkpoint, &Device::Cpu)?);
    let request = pipeline.default_request("a red apple on a table");
    let mut generation = Generation::new(pipeline, request)?;

    let mut cache = Cache::of(["mid_block.*"]).with_attention(AttentionDetail::Heads);
    while generation.advance(&mut cache)?.is_some() {}

    for (path, value) in cache.outputs.iter().chain(&cache.attention) {
        println!("{:?} {path}", value.dims());
    }
    Ok(())
}

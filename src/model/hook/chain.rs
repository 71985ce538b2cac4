//! Several hooks as one.

use candle_core::Tensor;

use super::visit::Hook;
use crate::kernels::attention::{AttentionDetail, BatchItems};
use crate::model::Error;

/// Hooks that act one after another: each sees what those before it made of a value.
///
/// ```
/// use diffuscope::Hook;
/// use diffuscope::hook::{Cache, Chain};
///
/// let (mut first, mut second) = (Cache::of(["conv_in"]), Cache::of(["conv_out"]));
/// let both = Chain(vec![&mut first, &mut second]);
/// assert!(both.wants_output("conv_in") && both.wants_output("conv_out"));
/// ```
pub struct Chain<'a>(pub Vec<&'a mut dyn Hook>);

impl Hook for Chain<'_> {
    fn check(&mut self) -> Result<(), Error> {
        self.0.iter_mut().try_for_each(|hook| hook.check())
    }

    fn wants_output(&self, path: &str) -> bool {
        self.0.iter().any(|hook| hook.wants_output(path))
    }

    fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, Error> {
        let mut replaced = None;
        for hook in &mut self.0 {
            if hook.wants_output(path) {
                let value = replaced.as_ref().unwrap_or(value);
                replaced = hook.output(path, value)?.or(replaced);
            }
        }
        Ok(replaced)
    }

    fn looks_inside(&self) -> bool {
        self.0.iter().any(|hook| hook.looks_inside())
    }

    fn wants_intermediate(&self, path: &str) -> bool {
        self.0.iter().any(|hook| hook.wants_intermediate(path))
    }

    fn intermediate(&mut self, path: &str, value: &Tensor) -> Result<(), Error> {
        let looking = self.0.iter_mut();
        looking
            .filter(|hook| hook.wants_intermediate(path))
            .try_for_each(|hook| hook.intermediate(path, value))
    }

    fn wants_attention(&self, path: &str) -> AttentionDetail {
        let details = self.0.iter().map(|hook| hook.wants_attention(path));
        details.max().unwrap_or_default()
    }

    fn attention_items(&self, path: &str) -> BatchItems {
        let looking = self
            .0
            .iter()
            .filter(|hook| hook.wants_attention(path) != AttentionDetail::None);
        let mut items = looking.map(|hook| hook.attention_items(path));
        let first = items.next().unwrap_or_default();
        if items.all(|other| other == first) {
            first
        } else {
            BatchItems::All
        }
    }

    fn attention(&mut self, path: &str, probs: &Tensor) -> Result<(), Error> {
        let given = self.wants_attention(path);
        for hook in &mut self.0 {
            match hook.wants_attention(path) {
                AttentionDetail::None => {}
                AttentionDetail::Mean if given == AttentionDetail::Heads => {
                    hook.attention(path, &probs.mean(1)?)?;
                }
                AttentionDetail::Mean | AttentionDetail::Heads => hook.attention(path, probs)?,
            }
        }
        Ok(())
    }

    fn replaces_attention(&self, path: &str) -> bool {
        self.0.iter().any(|hook| hook.replaces_attention(path))
    }

    fn replace_attention(&mut self, path: &str, probs: &Tensor) -> Result<Tensor, Error> {
        let mut probs = probs.clone();
        for hook in &mut self.0 {
            if hook.replaces_attention(path) {
                probs = hook.replace_attention(path, &probs)?;
            }
        }
        Ok(probs)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::{Cache, on, on_attention, replace_attention};
    use super::*;

    #[test]
    fn each_hook_sees_what_those_before_it_made_of_a_value() -> Result<(), Error> {
        let (mut before, mut after) = (Cache::of(["conv_in"]), Cache::of(["*"]));
        let mut doubled = on("conv_*", |_, value| Ok(Some((value * 2.0)?)));
        let one = Tensor::ones(1, candle_core::DType::F32, &Device::Cpu)?;
        let mut chain = Chain(vec![&mut before, &mut doubled, &mut after]);
        let replaced = chain.output("conv_in", &one)?.expect("a replacement");
        assert!(chain.output("mid_block", &one)?.is_none());
        assert_eq!(replaced.to_vec1::<f32>()?, [2.0]);
        assert_eq!(before.outputs["conv_in"].to_vec1::<f32>()?, [1.0]);
        assert_eq!(before.outputs.len(), 1);
        assert_eq!(after.outputs["conv_in"].to_vec1::<f32>()?, [2.0]);
        assert_eq!(after.outputs["mid_block"].to_vec1::<f32>()?, [1.0]);
        Ok(())
    }

    /// Looks at one item of a batch.
    struct One(BatchItems);

    impl Hook for One {
        fn wants_attention(&self, _: &str) -> AttentionDetail {
            AttentionDetail::Mean
        }

        fn attention_items(&self, _: &str) -> BatchItems {
            self.0
        }
    }

    #[test]
    fn of_a_batch_there_is_what_every_hook_that_looks_asked_for() {
        let (mut first, mut last) = (One(BatchItems::First), One(BatchItems::Last));
        let mut other = One(BatchItems::Last);
        let mut blind = Cache::of(["conv_in"]);
        let alike = Chain(vec![&mut last, &mut blind, &mut other]);
        assert_eq!(alike.attention_items("attn2"), BatchItems::Last);
        let unlike = Chain(vec![&mut first, &mut last]);
        assert_eq!(unlike.attention_items("attn2"), BatchItems::All);
        assert_eq!(Chain(Vec::new()).attention_items("attn2"), BatchItems::All);
        assert_eq!(BatchItems::Last.range(2), (1, 1));
        assert_eq!(BatchItems::Last.range(1), (0, 1));
        assert_eq!(BatchItems::First.range(2), (0, 1));
    }

    #[test]
    fn each_hook_gets_attention_in_the_detail_that_it_asked_for() -> Result<(), Error> {
        let mut mean = Cache::of(["*.attn2"]).with_attention(AttentionDetail::Mean);
        let mut shapes = Vec::new();
        let mut heads = on_attention("*.attn2", |_, probs| {
            shapes.push(probs.dims().to_vec());
            Ok(())
        });
        let mut halved = replace_attention("mid.attn2", |_, probs| Ok((probs * 0.5)?));
        let probs = Tensor::ones((1, 2, 3, 4), candle_core::DType::F32, &Device::Cpu)?;
        let mut chain = Chain(vec![&mut mean, &mut heads, &mut halved]);
        assert_eq!(chain.wants_attention("mid.attn2"), AttentionDetail::Heads);
        assert_eq!(chain.wants_attention("mid.attn1"), AttentionDetail::None);
        assert!(chain.replaces_attention("mid.attn2") && !chain.replaces_attention("up.attn2"));
        let probs = chain.replace_attention("mid.attn2", &probs)?;
        chain.attention("mid.attn2", &probs)?;
        drop(chain);
        drop(heads);
        assert_eq!(shapes, [[1, 2, 3, 4]]);
        let mean = &mean.attention["mid.attn2"];
        assert_eq!(mean.dims(), [1, 3, 4]);
        assert_eq!(mean.flatten_all()?.to_vec1::<f32>()?, [0.5; 12]);
        Ok(())
    }
}

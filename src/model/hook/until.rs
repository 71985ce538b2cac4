//! A hook that ends a forward pass once it has seen what it was for.

use std::collections::BTreeSet;

use candle_core::Tensor;

use super::visit::Hook;
use crate::kernels::attention::{AttentionDetail, BatchItems};
use crate::model::Error;

/// Lets `inner` look, and ends the forward pass with [`Error::Enough`] right after the last of the awaited sites: what
/// would come after it is not computed. In a [`Chain`](super::Chain) it comes last, for the others do not see the last
/// value after it.
///
/// A site that is never passed lets the pass go on to its end, and so does awaiting nothing.
///
/// ```
/// use diffuscope::Hook;
/// use diffuscope::hook::{Cache, Until};
///
/// let mut cache = Cache::of(["conv_in"]);
/// let first = Until::outputs(&mut cache, ["conv_in"]);
/// assert!(first.wants_output("conv_in") && !first.wants_output("conv_out"));
/// ```
pub struct Until<'a> {
    inner: &'a mut dyn Hook,
    outputs: BTreeSet<String>,
    attention: BTreeSet<String>,
}

impl<'a> Until<'a> {
    /// Ends after the last of the outputs, and of the values inside of modules, at these paths.
    pub fn outputs<P: Into<String>>(
        inner: &'a mut dyn Hook,
        paths: impl IntoIterator<Item = P>,
    ) -> Self {
        Self {
            inner,
            outputs: paths.into_iter().map(Into::into).collect(),
            attention: BTreeSet::new(),
        }
    }

    /// Ends after the last of the layers at these paths has handed out its attention probabilities, before they weigh
    /// anything.
    pub fn attention<P: Into<String>>(
        inner: &'a mut dyn Hook,
        paths: impl IntoIterator<Item = P>,
    ) -> Self {
        Self {
            inner,
            outputs: BTreeSet::new(),
            attention: paths.into_iter().map(Into::into).collect(),
        }
    }

    /// An error where nothing is awaited any more, of which something has been `seen` now.
    fn enough(&self, seen: bool) -> Result<(), Error> {
        if seen && self.outputs.is_empty() && self.attention.is_empty() {
            Err(Error::Enough)
        } else {
            Ok(())
        }
    }
}

impl Hook for Until<'_> {
    fn check(&mut self) -> Result<(), Error> {
        self.inner.check()
    }

    fn wants_output(&self, path: &str) -> bool {
        self.inner.wants_output(path)
    }

    fn output(&mut self, path: &str, value: &Tensor) -> Result<Option<Tensor>, Error> {
        let replaced = self.inner.output(path, value)?;
        let seen = self.outputs.remove(path);
        self.enough(seen)?;
        Ok(replaced)
    }

    fn looks_inside(&self) -> bool {
        self.inner.looks_inside()
    }

    fn wants_intermediate(&self, path: &str) -> bool {
        self.inner.wants_intermediate(path)
    }

    fn intermediate(&mut self, path: &str, value: &Tensor) -> Result<(), Error> {
        self.inner.intermediate(path, value)?;
        let seen = self.outputs.remove(path);
        self.enough(seen)
    }

    fn wants_attention(&self, path: &str) -> AttentionDetail {
        self.inner.wants_attention(path)
    }

    fn attention_items(&self, path: &str) -> BatchItems {
        self.inner.attention_items(path)
    }

    fn attention(&mut self, path: &str, probs: &Tensor) -> Result<(), Error> {
        self.inner.attention(path, probs)?;
        let seen = self.attention.remove(path);
        self.enough(seen)
    }

    fn replaces_attention(&self, path: &str) -> bool {
        self.inner.replaces_attention(path)
    }

    fn replace_attention(&mut self, path: &str, probs: &Tensor) -> Result<Tensor, Error> {
        self.inner.replace_attention(path, probs)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::Cache;
    use super::*;

    #[test]
    fn it_ends_after_the_last_of_what_is_awaited_and_not_before() -> Result<(), Error> {
        let one = Tensor::ones(1, DType::F32, &Device::Cpu)?;
        let mut cache = Cache::of(["*"]).with_attention(AttentionDetail::Mean);
        let mut until = Until::outputs(&mut cache, ["conv_in", "mid_block"]);
        assert!(until.output("mid_block", &one)?.is_none());
        assert!(until.output("elsewhere", &one)?.is_none());
        assert!(matches!(until.output("conv_in", &one), Err(Error::Enough)));
        let mut until = Until::attention(&mut cache, ["attn2"]);
        until.attention("attn1", &one)?;
        assert!(matches!(until.attention("attn2", &one), Err(Error::Enough)));
        // Nothing awaited: nothing ends.
        let nothing: [&str; 0] = [];
        Until::outputs(&mut cache, nothing).output("conv_in", &one)?;
        assert_eq!(cache.outputs.len(), 3);
        assert_eq!(cache.attention.len(), 2);
        Ok(())
    }
}

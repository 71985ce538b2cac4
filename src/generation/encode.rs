//! From the prompts to what the UNet sees of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;

use super::{Error, Generation};
use crate::model::tokenizer::Tokens;
use crate::model::unet::Context;
use crate::model::{self, Hook};

/// What the UNet sees in the prompts, as far as a run has steps that need it.
#[derive(Debug, Clone, Default)]
pub(super) struct Contexts {
    /// For steps with guidance: in both, the negative prompt first.
    pub guided: Option<Context>,
    /// For steps without: in the prompt alone.
    pub prompt: Option<Context>,
}

impl Generation {
    pub(super) fn tokenize(&mut self) -> Result<(Tokens, Tokens), Error> {
        let tokenizer = self.pipeline.tokenizer();
        let tokens = (
            tokenizer.encode(&self.state.request.prompt)?,
            tokenizer.encode(&self.state.request.negative_prompt)?,
        );
        self.state.tokens = Some(Arc::new(tokens.clone()));
        Ok(tokens)
    }

    /// The hook sees the prompt; the negative prompt passes with nobody looking.
    pub(super) fn encode(&mut self, hook: &mut dyn Hook) -> Result<(Tensor, Tensor), Error> {
        let tokens = match &self.state.tokens {
            Some(tokens) => Arc::clone(tokens),
            None => Arc::new(self.tokenize()?),
        };
        let (prompt, negative) = &*tokens;
        let encoder = self.pipeline.text_encoder();
        let embeddings = (
            encoder.forward(&[prompt.ids()], hook)?,
            encoder.forward(&[negative.ids()], &mut OnlyCheck(hook))?,
        );
        self.state.contexts = self.contexts(&embeddings)?;
        self.state.donor_contexts = Arc::new(self.encode_donors(hook)?);
        self.state.embeddings = Some(embeddings.clone());
        Ok(embeddings)
    }

    /// What the UNet sees in a prompt and a negative prompt, `(1, 77, hidden)` each.
    fn contexts(&self, (prompt, negative): &(Tensor, Tensor)) -> Result<Contexts, Error> {
        let (unet, request) = (self.pipeline.unet(), &self.state.request);
        let mut contexts = Contexts::default();
        if request.is_guided() {
            contexts.guided = Some(unet.context(&Tensor::cat(&[negative, prompt], 0)?)?);
        }
        if !request.is_guided() || request.guidance_steps.is_some() {
            contexts.prompt = Some(unet.context(prompt)?);
        }
        Ok(contexts)
    }

    /// The same of every run that patches take values from; nobody looks.
    fn encode_donors(
        &self,
        hook: &mut dyn Hook,
    ) -> Result<BTreeMap<(String, String), Contexts>, Error> {
        let (tokenizer, encoder) = (self.pipeline.tokenizer(), self.pipeline.text_encoder());
        let mut all = BTreeMap::new();
        for (prompt, negative) in self.donor_prompts() {
            let mut embed = |text: &str| -> Result<Tensor, Error> {
                let tokens = tokenizer.encode(text)?;
                Ok(encoder.forward(&[tokens.ids()], &mut OnlyCheck(hook))?)
            };
            let embeddings = (embed(&prompt)?, embed(&negative)?);
            all.insert((prompt, negative), self.contexts(&embeddings)?);
        }
        Ok(all)
    }
}

/// Lets the inner hook cancel, and look at nothing.
pub(super) struct OnlyCheck<'a>(pub &'a mut dyn Hook);

impl Hook for OnlyCheck<'_> {
    fn check(&mut self) -> Result<(), model::Error> {
        self.0.check()
    }
}

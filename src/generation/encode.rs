//! From the prompts to what the UNet sees of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::Tensor;

use super::{Error, Generation, LeftOutOf, Request};
use crate::model::tokenizer::{Token, TokenKind, Tokens};
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

/// All of a request that decides what the text encoder gives for its two texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TextInput {
    prompt: String,
    negative_prompt: String,
    /// The prompt's positions that are left out of the text encoder's input.
    without: BTreeSet<usize>,
    /// Those that are left out of what the UNet reads.
    unread: BTreeSet<usize>,
    layers: Option<usize>,
}

impl TextInput {
    /// That of `request`, whose interventions have their positions.
    pub fn of(request: &Request) -> Self {
        let positions = |wanted: LeftOutOf| {
            let left_out = request
                .interventions
                .iter()
                .filter_map(|one| one.left_out());
            let of = left_out.filter(|(_, of)| *of == wanted);
            of.flat_map(|(positions, _)| positions.iter().copied())
                .collect()
        };
        Self {
            prompt: request.prompt.clone(),
            negative_prompt: request.negative_prompt.clone(),
            without: positions(LeftOutOf::Input),
            unread: positions(LeftOutOf::Reads),
            layers: request.text_layers,
        }
    }
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
        let embeddings = self.embed(&TextInput::of(&self.state.request), &tokens, hook)?;
        self.state.contexts = self.contexts(&embeddings)?;
        self.state.donor_contexts = Arc::new(self.encode_donors(hook)?);
        self.state.embeddings = Some(embeddings.clone());
        Ok(embeddings)
    }

    /// The embeddings of a prompt and a negative prompt, `(1, 77, hidden)` each. What is left out, and the number of
    /// layers, are the prompt's alone.
    fn embed(
        &self,
        input: &TextInput,
        (prompt, negative): &(Tokens, Tokens),
        hook: &mut dyn Hook,
    ) -> Result<(Tensor, Tensor), Error> {
        let (tokenizer, encoder) = (self.pipeline.tokenizer(), self.pipeline.text_encoder());
        let layers = input.layers.unwrap_or(encoder.layers());
        let count = prompt.tokens.len();
        if let Some(&position) =
            (input.without.iter().chain(&input.unread)).find(|&&at| at >= count)
        {
            let reason = format!("there is no text position {position}: the prompt has {count}");
            return Err(candle_core::Error::Msg(reason).into());
        }
        // Padding, wherever `is_left_out` says so.
        let ids = |is_left_out: &dyn Fn(&Token) -> bool| -> Vec<u32> {
            let id = |token: &Token| {
                if is_left_out(token) {
                    tokenizer.pad()
                } else {
                    token.id
                }
            };
            prompt.tokens.iter().map(id).collect()
        };
        let own = ids(&|token| input.without.contains(&token.position));
        let mut text = encoder.forward_after(layers, &[own], hook)?;
        let mut only_check = OnlyCheck(hook);
        if !input.unread.is_empty() {
            let padding = ids(&|token| {
                token.kind != TokenKind::Start || input.unread.contains(&token.position)
            });
            let padding = encoder.forward_after(layers, &[padding], &mut only_check)?;
            for &position in &input.unread {
                let row = padding.narrow(1, position, 1)?;
                text = text.slice_assign(&[0..1, position..position + 1, 0..row.dim(2)?], &row)?;
            }
        }
        let negative = encoder.forward(&[negative.ids()], &mut only_check)?;
        Ok((text, negative))
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
    fn encode_donors(&self, hook: &mut dyn Hook) -> Result<BTreeMap<TextInput, Contexts>, Error> {
        let tokenizer = self.pipeline.tokenizer();
        let mut all = BTreeMap::new();
        for input in self.donor_texts() {
            let tokens = (
                tokenizer.encode(&input.prompt)?,
                tokenizer.encode(&input.negative_prompt)?,
            );
            let embeddings = self.embed(&input, &tokens, &mut OnlyCheck(hook))?;
            all.insert(input, self.contexts(&embeddings)?);
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

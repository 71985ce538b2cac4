//! A closer look at a step that was done, which the step itself did not record: what is asked, and what comes of it.

use crate::generation::Error;
use crate::trace::{
    AttentionKind, Components, Guidance, HeadSummary, Projections, Recorder, layers_together,
};

/// What is looked at. Layers are those of the model's attention, by their index in the order of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// Every head of the cross-attention in a few numbers.
    Heads,
    /// Queries and keys, and of cross-attention values: of one layer, or of those that are looked at together.
    Projections(AttentionKind, Option<usize>),
    /// The principal components of the self-attention of these layers, of one head or the mean.
    Components {
        layer: Option<usize>,
        head: Option<usize>,
    },
}

/// Where it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LookKey {
    /// The denoising step, from 0.
    pub step: usize,
    pub half: Guidance,
    pub look: Look,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Looked {
    Heads(Vec<HeadSummary>),
    Projections(Vec<Projections>),
    Components(Option<Components>),
}

impl Looked {
    /// Memory of the values, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Heads(heads) => heads.iter().map(HeadSummary::bytes).sum(),
            Self::Projections(layers) => layers.iter().map(Projections::bytes).sum(),
            Self::Components(found) => found.as_ref().map_or(0, Components::bytes),
        }
    }
}

impl LookKey {
    /// One pass of the UNet from the step's latents; none where it was cancelled.
    pub(super) fn find(self, recorder: &Recorder) -> Result<Option<Looked>, Error> {
        let Self { step, half, look } = self;
        let layers = &recorder.pipeline().info().cross_attention;
        let found = match look {
            Look::Heads => recorder.heads_at(step, half).map(Looked::Heads),
            Look::Projections(kind, layer) => {
                let layers = layers_together(layers, layer);
                let found = recorder.projections_at(step, half, kind, &layers);
                found.map(Looked::Projections)
            }
            Look::Components { layer, head } => {
                let layers = layers_together(layers, layer);
                let found = recorder.components_at(step, half, &layers, head);
                found.map(Looked::Components)
            }
        };
        match found {
            Err(Error::Cancelled) => Ok(None),
            found => found.map(Some),
        }
    }
}

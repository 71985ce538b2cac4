//! What a recorder records, and how it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::generation::Donors;
use crate::model::hook::BatchItems;
use crate::model::{self, AttentionDetail, Hook};

/// Stops a run from another thread: within a step, at the next module boundary. A clone is the same token.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks the run to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Was it asked to stop?
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// [`model::Error::Cancelled`] where it was asked to stop, as hooks answer that.
    pub(super) fn check(&self) -> Result<(), model::Error> {
        if self.is_cancelled() {
            Err(model::Error::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Lets it run again.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// As a hook it looks at nothing.
impl Hook for CancelToken {
    fn check(&mut self) -> Result<(), model::Error> {
        if self.is_cancelled() {
            Err(model::Error::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// What to record, besides the tensors of each step, which always are.
#[derive(Debug, Clone, Default)]
pub struct RecordOptions {
    /// The text encoder's embeddings, layers and attention.
    pub layers: bool,
    /// Statistics of every module's output that passes, of the prediction with the prompt.
    pub modules: bool,
    /// The UNet's cross-attention.
    pub attention: AttentionDetail,
    /// The runs that the request's patches take values from.
    pub donors: Donors,
    /// Stops the run.
    pub cancel: CancelToken,
}

/// One of the two noise predictions of classifier-free guidance (Ho & Salimans 2022), whose difference guidance scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Guidance {
    /// The conditional one: with the prompt.
    #[default]
    #[serde(rename = "prompt")]
    Cond,
    /// The unconditional one: with the negative prompt in its place.
    #[serde(rename = "uncond")]
    Uncond,
}

impl Guidance {
    /// Which item of a batch it is: a guided batch has the one without the prompt first, and one that is not guided has the
    /// one with the prompt alone.
    pub(super) fn item(self) -> BatchItems {
        match self {
            Self::Cond => BatchItems::Last,
            Self::Uncond => BatchItems::First,
        }
    }
}

//! Variants of a run: the same with one thing about its text changed, made for their picture alone, between commands.

use std::sync::Arc;

use image::RgbImage;

use super::failure::Failure;
use super::model_thread::{ModelThread, catch_panic, sound};
use super::update::{Update, Work};
use crate::generation::{self, Generation, LeftOutOf, Request, Stage, StageOutput};

/// What is otherwise in a variant of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variant {
    /// The word that begins at this position of the prompt is left out.
    LeaveOut { position: usize, of: LeftOutOf },
    /// The prompt passes so many of the text encoder's layers.
    TextLayers(usize),
}

/// A variant that is being made.
pub(super) struct Making {
    pub run: u64,
    variant: Variant,
    generation: Generation,
}

impl ModelThread {
    /// Begins a variant of `run`; one that is being made is given up.
    pub(super) fn begin_variant(&mut self, run: u64, variant: Variant, request: Request) {
        self.making = None;
        let begun = self
            .recorder(run)
            .and_then(|recorder| catch_panic(|| recorder.unrecorded(request)));
        match begun {
            Ok(generation) => {
                self.making = Some(Making {
                    run,
                    variant,
                    generation,
                });
            }
            Err(failure) => self.send_variant(run, variant, Err(failure)),
        }
    }

    /// One stage or step of the variant that is being made. What is cancelled there is done again later.
    pub(super) fn make(&mut self, mut making: Making) {
        let (run, variant) = (making.run, making.variant);
        let step = match making.generation.stage() {
            Stage::Step(step) => step,
            _ => making.generation.scheduler().len(),
        };
        let work = Work::Variant(variant, step);
        self.send(Update::Begins { run, work });
        let mut only_check = self.cancel.clone();
        let advanced = catch_panic(|| match making.generation.advance(&mut only_check) {
            Err(generation::Error::Cancelled) => Ok(None),
            advanced => advanced,
        });
        match advanced {
            Ok(Some(StageOutput::Image(decoded))) => {
                let image = if sound(&decoded) {
                    Ok(Arc::new(decoded.image))
                } else {
                    Err(Failure::unsound_variant())
                };
                self.send_variant(run, variant, image);
            }
            Ok(_) => self.making = Some(making),
            Err(failure) => self.send_variant(run, variant, Err(failure)),
        }
    }

    fn send_variant(&self, run: u64, variant: Variant, image: Result<Arc<RgbImage>, Failure>) {
        self.send(Update::Variant {
            run,
            variant,
            image,
        });
    }
}

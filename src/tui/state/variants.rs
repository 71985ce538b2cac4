//! Variants of the run on the screen: a word of its prompt left out, or fewer layers of the text encoder. Their pictures are
//! made one after the other, while nothing else is to be done.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use image::RgbImage;

use super::app::App;
use super::cursor::{Cursor, View};
use super::detail::{EffectsOrder, PromptPart, TextPart};
use super::run::{Run, RunState};
use crate::generation::{Intervention, LeftOutOf, Request, WordChange, words};
use crate::tui::worker::{Command, Failure, Variant};

/// Series that take no longer than this begin by themselves, in seconds.
const AT_ONCE: f64 = 30.0;

/// Variants that stand in one view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// Every word of the prompt left out, one at a time.
    LeftOut(LeftOutOf),
    /// Every number of layers of the text encoder, the run's own left out.
    TextLayers,
}

/// A variant's picture, and how far it is from the run's.
#[derive(Debug, Clone)]
pub struct VariantPicture {
    pub image: Arc<RgbImage>,
    /// The mean absolute difference of all values, in levels of 255.
    pub apart: f64,
}

/// A word of the prompt, and what it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    pub word: String,
    pub positions: Range<usize>,
    /// Its share of the attention, mean over layers, heads, places and steps; none where no attention was kept.
    pub share: Option<f64>,
    /// How far the picture changes without it, in levels of 255; none where that is not known yet.
    pub apart: Option<f64>,
}

/// What is being made.
#[derive(Debug, Clone, Default)]
pub struct Variants {
    /// Of which run.
    going: Option<(u64, Series)>,
    pending: Option<(u64, Variant)>,
    /// Not asked for again.
    refused: BTreeSet<(u64, Variant)>,
    /// The reader stopped it: it does not begin by itself.
    stopped: Option<(u64, Series)>,
}

impl Series {
    /// What the view at the cursor shows of them.
    pub fn shown(cursor: &Cursor) -> Option<Self> {
        match (cursor.view, cursor.detail.prompt, cursor.detail.text) {
            (View::Prompt, PromptPart::Effects(of), _) => Some(Self::LeftOut(of)),
            (View::TextEncoder, _, TextPart::Pictures) => Some(Self::TextLayers),
            _ => None,
        }
    }

    /// All of them, for `run`.
    pub fn of(self, run: &Run) -> Vec<Variant> {
        match self {
            Self::LeftOut(of) => {
                let positions = word_positions(run).into_iter();
                let variant = |(_, at): (String, Range<usize>)| Variant::LeaveOut {
                    position: at.start,
                    of,
                };
                positions.map(variant).collect()
            }
            Self::TextLayers => {
                let own = run.own_text_layers();
                let layers = (0..=run.info.text_layers).filter(|&layers| layers != own);
                layers.map(Variant::TextLayers).collect()
            }
        }
    }
}

/// The words of the run's prompt that the model sees, and their positions.
fn word_positions(run: &Run) -> Vec<(String, Range<usize>)> {
    let Some(tokens) = run.trace.tokens.as_deref() else {
        return Vec::new();
    };
    let words = words(&run.trace.request.prompt, &tokens.prompt);
    let positions = words.filter_map(|word| {
        let (first, last) = (word.tokens.first()?.position, word.tokens.last()?.position);
        Some((word.text.to_owned(), first..last + 1))
    });
    positions.collect()
}

impl Run {
    /// How many of the text encoder's layers its prompt passed.
    pub fn own_text_layers(&self) -> usize {
        let layers = self.trace.request.text_layers;
        layers.unwrap_or(self.info.text_layers)
    }

    /// Its picture is there, so that variants can be held against it.
    pub fn has_picture(&self) -> bool {
        self.state == RunState::Done && self.trace.image.is_some()
    }

    /// The request of a variant of it; none where there is no such word.
    fn varied(&self, variant: Variant) -> Option<Request> {
        let mut request = self.trace.request.clone();
        match variant {
            Variant::TextLayers(layers) => request.text_layers = Some(layers),
            Variant::LeaveOut { position, of } => {
                let mut words = word_positions(self).into_iter();
                let (word, positions) = words.find(|(_, at)| at.start == position)?;
                request.interventions.push(Intervention {
                    word,
                    positions: positions.collect(),
                    change: WordChange::LeaveOut(of),
                    steps: None,
                });
            }
        }
        Some(request)
    }

    /// How many of `series` there are, of how many.
    pub fn made(&self, series: Series) -> (usize, usize) {
        let all = series.of(self);
        let is_there = |variant: &&Variant| self.variants.contains_key(*variant);
        (all.iter().filter(is_there).count(), all.len())
    }

    /// What every word of the prompt does, in an order.
    pub fn effects(&self, of: LeftOutOf, order: EffectsOrder) -> Vec<Effect> {
        let effect = |(word, positions): (String, Range<usize>)| {
            let variant = Variant::LeaveOut {
                position: positions.start,
                of,
            };
            Effect {
                share: self.share_of(positions.clone()),
                apart: self.variants.get(&variant).map(|picture| picture.apart),
                word,
                positions,
            }
        };
        let mut effects: Vec<Effect> = word_positions(self).into_iter().map(effect).collect();
        // What is not known yet comes last, in the prompt's order.
        let key = |effect: &Effect| match order {
            EffectsOrder::Prompt => None,
            EffectsOrder::Attention => effect.share,
            EffectsOrder::Picture => effect.apart,
        };
        effects.sort_by(|a, b| {
            let [a, b] = [a, b].map(|effect| key(effect).unwrap_or(-1.0));
            b.total_cmp(&a)
        });
        effects
    }

    /// The share of the attention that `positions` get together, mean over the steps whose attention was kept.
    fn share_of(&self, positions: Range<usize>) -> Option<f64> {
        let known: Vec<f64> = (self.shares.iter())
            .filter_map(|shares| shares.get(positions.clone()))
            .map(|shares| shares.iter().sum())
            .collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    pub(super) fn keep_variant(&mut self, variant: Variant, image: Arc<RgbImage>) {
        let Some(own) = &self.trace.image else {
            return;
        };
        let apart = mean_difference(&own.image, &image);
        self.variants
            .insert(variant, VariantPicture { image, apart });
    }
}

/// The mean absolute difference of all values of two pictures of one size, in levels of 255.
fn mean_difference(a: &RgbImage, b: &RgbImage) -> f64 {
    let pairs = a.as_raw().iter().zip(b.as_raw());
    let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len().max(1) as f64
}

/// How far two pictures of one size are apart at each place: the mean over red, green and blue, in levels of 255.
pub fn difference_map(a: &RgbImage, b: &RgbImage) -> Vec<f32> {
    let pairs = a.pixels().zip(b.pixels());
    let apart = pairs.map(|(a, b)| {
        let levels = (0..3).map(|channel| f32::from(a[channel].abs_diff(b[channel])));
        levels.sum::<f32>() / 3.0
    });
    apart.collect()
}

impl Variants {
    /// Is one being made?
    pub fn is_going(&self) -> bool {
        self.pending.is_some()
    }

    /// Is this series of `run` being made?
    pub fn is_making(&self, run: u64, series: Series) -> bool {
        self.going == Some((run, series))
    }

    /// Could none of it be made?
    pub fn is_refused(&self, run: u64, variant: Variant) -> bool {
        self.refused.contains(&(run, variant))
    }

    fn next(&mut self, run: &Run, series: Series) -> Option<Command> {
        let mut missing = series.of(run).into_iter().filter(|variant| {
            !run.variants.contains_key(variant) && !self.refused.contains(&(run.id, *variant))
        });
        let variant = missing.next()?;
        let request = run.varied(variant)?;
        self.pending = Some((run.id, variant));
        Some(Command::Variant {
            run: run.id,
            variant,
            request,
        })
    }
}

impl App {
    /// The run and the series at the cursor, where the model is there to make it.
    fn shown_series(&self) -> Option<(&Run, Series)> {
        let series = Series::shown(&self.cursor)?;
        let run = self
            .run()
            .filter(|run| run.has_picture() && self.is_live())?;
        Some((run, series))
    }

    /// Is there something to be made for the view at the cursor, or being made?
    pub fn has_series(&self) -> bool {
        self.shown_series().is_some_and(|(run, series)| {
            let (made, all) = run.made(series);
            made < all
        })
    }

    /// Begins what the view shows and takes no time, and goes on with what was begun.
    pub(super) fn make_variants(&mut self) {
        if self.variants.pending.is_some() || self.runs.all().any(Run::is_advancing) {
            return;
        }
        if let Some((run, series)) = self.shown_series() {
            let key = (run.id, series);
            let (made, all) = run.made(series);
            let seconds = run.seconds() * (all - made) as f64;
            if seconds <= AT_ONCE && self.variants.stopped != Some(key) {
                self.variants.going = Some(key);
            }
        }
        let Some((run, series)) = self.variants.going else {
            return;
        };
        let run = self.runs.find(run).filter(|run| self.model.made(run));
        let command = run.and_then(|run| self.variants.next(run, series));
        match command {
            Some(command) => self.send(command),
            None => self.variants.going = None,
        }
    }

    /// Begins the series at the cursor, or stops what is being made. False where there is none.
    pub(super) fn toggle_series(&mut self) -> bool {
        let Some((run, series)) = self.shown_series() else {
            return false;
        };
        let key = (run.id, series);
        let (made, all) = run.made(series);
        if self.variants.going == Some(key) {
            self.stop_variants();
        } else if made < all {
            self.variants.stopped = None;
            self.variants.going = Some(key);
        } else {
            return false;
        }
        true
    }

    /// Gives up what is being made.
    pub(super) fn stop_variants(&mut self) {
        self.variants.stopped = self.variants.going.take();
        if self.variants.pending.take().is_some() {
            self.work = None;
            self.send(Command::StopVariant);
        }
    }

    pub(super) fn take_variant(
        &mut self,
        id: u64,
        variant: Variant,
        image: Result<Arc<RgbImage>, Failure>,
    ) {
        let is_awaited = self.variants.pending == Some((id, variant));
        if is_awaited {
            self.variants.pending = None;
            self.work = None;
        }
        match (image, self.runs.find_mut(id)) {
            (Ok(image), Some(run)) => run.keep_variant(variant, image),
            (Ok(_), None) => {}
            (Err(failure), _) => {
                self.variants.refused.insert((id, variant));
                self.fail(id, failure);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp)] // Whole numbers and a quotient that is taken in the same way.
    fn pictures_are_compared_in_levels() {
        let picture = |levels: [u8; 6]| RgbImage::from_raw(2, 1, levels.to_vec()).unwrap();
        let (a, b) = (
            picture([10, 10, 10, 0, 0, 255]),
            picture([10, 10, 10, 0, 6, 0]),
        );
        assert_eq!(mean_difference(&a, &b), 261.0 / 6.0);
        assert_eq!(difference_map(&a, &b), [0.0, 87.0]);
        assert_eq!(mean_difference(&a, &a), 0.0);
    }
}

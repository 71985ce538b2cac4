//! A run as the inspector holds it: its trace, and what was derived or computed anew from it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use image::RgbImage;

use super::looked::LookStore;
use super::probes::Probes;
use super::variants::VariantPicture;
use crate::export::{WatchValue, WatchValues};
use crate::generation::{ModelInfo, Request, Vocabulary, Word, words};
use crate::lesson::StepTensor;
use crate::lesson::Watch;
use crate::model::AttentionDetail;
use crate::model::tokenizer::{Token, TokenKind};
use crate::scheduler::{Schedule, SchedulerConfig};
use crate::trace::guidance_plane::GuidancePlane;
use crate::trace::{
    AttentionMaps, AttentionStore, Event, Features, Guidance, StepTrace, TensorData, Trace,
};
use crate::tui::worker::{AttentionKey, Pictures, ProbeKey, Variant};

/// Steps whose recomputed heads are kept: each holds every head of every layer.
const RECOMPUTED_STEPS: usize = 4;

/// The share of the attention's memory that recomputed averages of the unconditional half may take.
const UNCOND_SHARE: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub run: u64,
    /// The first step that is its own.
    pub step: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum RunState {
    /// The worker advances it.
    Running,
    /// The worker finishes the stage at hand, then waits.
    Pausing,
    /// It waits after a finished stage or step.
    Paused,
    /// The stage at hand is being abandoned.
    Cancelling,
    /// It was stopped within a stage; what was done is kept and it can go on.
    Cancelled,
    Done,
    Failed,
}

/// Figures of one step, for the curves over all steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepFigures {
    /// Standard deviation of the latents before the step.
    pub latents_std: f64,
    /// Root mean square of `noise_text - noise_uncond`; `None` without guidance.
    pub guidance_rms: Option<f64>,
    /// Both predictions as arrows; `None` without guidance.
    pub plane: Option<GuidancePlane>,
    /// Noise level before the step.
    pub sigma: f64,
}

#[derive(Debug, Clone)]
pub struct Run {
    /// Counts the runs of this session from 1.
    pub id: u64,
    pub info: Arc<ModelInfo>,
    pub origin: Option<Origin>,
    pub trace: Trace,
    pub state: RunState,
    /// Is it in a file, or made again by itself? Otherwise it is lost with the program.
    pub is_kept: bool,
    /// What the model's vocabulary says of its two texts; a recording has none.
    pub vocabulary: Option<Arc<Vocabulary>>,
    /// What the model was trained with; a recording has none.
    pub scheduler_config: Option<Arc<SchedulerConfig>>,
    pub pictures: Vec<Pictures>,
    pub figures: Vec<StepFigures>,
    /// Predicted x0 of some steps, decoded by the autoencoder.
    pub decoded: BTreeMap<usize, Arc<RgbImage>>,
    /// The watch expressions of this session, and what each gave after every step, as far as it was asked.
    pub watched: Vec<WatchValues>,
    /// Of each step the share of attention that each text position gets, in the half with the prompt, mean over layers,
    /// heads and places; empty where it was not recorded.
    pub shares: Vec<Vec<f64>>,
    /// Pictures of variants.
    pub variants: BTreeMap<Variant, VariantPicture>,
    /// Recomputed attention, besides the averages of the unconditional half.
    recomputed: BTreeMap<AttentionKey, Vec<AttentionMaps>>,
    uncond: AttentionStore,
    /// What was looked at in its networks.
    pub probes: Probes,
    /// What closer looks at its steps found.
    pub looked: LookStore,
}

impl Run {
    /// A run of `request` by the model `info`, of which nothing is recorded yet.
    pub fn new(id: u64, request: Request, info: Arc<ModelInfo>, attention_budget: usize) -> Self {
        let for_uncond = attention_budget / UNCOND_SHARE;
        Self {
            id,
            info,
            origin: None,
            trace: Trace::new(request, attention_budget - for_uncond),
            state: RunState::Running,
            is_kept: false,
            vocabulary: None,
            scheduler_config: None,
            pictures: Vec::new(),
            figures: Vec::new(),
            decoded: BTreeMap::new(),
            watched: Vec::new(),
            shares: Vec::new(),
            variants: BTreeMap::new(),
            recomputed: BTreeMap::new(),
            uncond: AttentionStore::new(for_uncond),
            probes: Probes::default(),
            looked: LookStore::new(for_uncond),
        }
    }

    /// A run that goes on as `request` from where this one stood before `step`: what was done until then is its own
    /// too.
    #[must_use]
    pub fn branch(&self, id: u64, step: usize, request: Request) -> Self {
        let mut branch = self.clone();
        branch.id = id;
        branch.origin = Some(Origin { run: self.id, step });
        branch.state = RunState::Running;
        branch.trace.request = request;
        branch.trace.truncate(step);
        branch.forget_from(step);
        // What the worker fitted on the other run it did not fit on this one.
        branch.probes = Probes::default();
        branch
    }

    pub fn record(&mut self, event: Event, pictures: Option<Pictures>) {
        if let Event::Step(step) = &event {
            self.forget_from(step.index);
            self.figures.push(figures(step));
            self.shares.push(shares(step));
            self.pictures.extend(pictures);
        }
        self.trace.apply(event);
    }

    /// Forgets what was derived from the steps from `first` on.
    fn forget_from(&mut self, first: usize) {
        self.figures.truncate(first);
        self.shares.truncate(first);
        self.variants.clear();
        self.pictures.truncate(first);
        self.recomputed.retain(|key, _| key.step < first);
        for watched in &mut self.watched {
            watched.values.truncate(first);
        }
        self.uncond.truncate(first);
        self.probes.truncate(first);
        self.looked.truncate(first);
        drop(self.decoded.split_off(&first));
    }

    /// Has it watched by `watches` alone; what is known of them stays.
    pub fn watch(&mut self, watches: &[Watch]) {
        let mut known = std::mem::take(&mut self.watched);
        let watched = watches.iter().map(|watch| {
            let filter = watch.filter.code();
            let at = known.iter().position(|known| known.filter == filter);
            WatchValues {
                filter: filter.to_owned(),
                breaks: watch.breaks,
                values: at.map_or_else(Vec::new, |at| std::mem::take(&mut known[at].values)),
            }
        });
        self.watched = watched.collect();
    }

    /// Keeps what the watch expression `filter` gave after the step `first` and those that follow it.
    pub fn keep_watched(&mut self, filter: &str, first: usize, values: Vec<WatchValue>) {
        let steps = self.trace.steps.len();
        let mut watched = self.watched.iter_mut();
        if let Some(watched) = watched.find(|watched| watched.filter == filter)
            && watched.values.len() == first
        {
            watched.values.extend(values);
            // Steps may have been done anew meanwhile.
            watched.values.truncate(steps);
        }
    }

    pub fn keep_attention(&mut self, key: AttentionKey, maps: Vec<AttentionMaps>) {
        if (key.half, key.detail) == (Guidance::Uncond, AttentionDetail::Mean)
            && self.uncond.insert(key.step, maps.clone())
        {
            return;
        }
        self.recomputed.insert(key, maps);
        let is_alike = |other: &AttentionKey| (other.half, other.detail) == (key.half, key.detail);
        let alike = self.recomputed.keys().filter(|other| is_alike(other));
        if alike.count() > RECOMPUTED_STEPS {
            self.forget_farthest(key, is_alike);
        }
        let (_, budget) = self.attention_memory();
        while self.recomputed_bytes() > budget && self.forget_farthest(key, |_| true) {}
    }

    /// Forgets the maps, `among` those that are not `key`'s, of the step farthest from where the reader is; false where
    /// there are none.
    fn forget_farthest(
        &mut self,
        key: AttentionKey,
        among: impl Fn(&AttentionKey) -> bool,
    ) -> bool {
        let keys = self.recomputed.keys().copied();
        let others = keys.filter(|other| *other != key && among(other));
        let farthest = others.max_by_key(|other| other.step.abs_diff(key.step));
        farthest.is_some_and(|farthest| self.recomputed.remove(&farthest).is_some())
    }

    /// Forgets every attention map: they can be computed anew. Returns how many bytes of the budget that frees.
    pub fn forget_attention(&mut self) -> usize {
        let (used, _) = self.attention_memory();
        self.trace.attention.clear();
        self.uncond.clear();
        self.forget_recomputed();
        used
    }

    /// Keeps what was found in its networks, in as much memory as recomputed attention of the other half may take.
    pub fn keep_probed(&mut self, key: ProbeKey, features: Vec<Features>) {
        let (_, budget) = self.attention_memory();
        self.probes.insert(key, features, budget / UNCOND_SHARE);
    }

    /// Forgets the attention maps that are not kept under the budget, and what was looked at in its networks.
    pub fn forget_recomputed(&mut self) {
        self.recomputed.clear();
        self.probes.clear();
        self.looked.clear();
    }

    pub(crate) fn recomputed_bytes(&self) -> usize {
        let maps = self.recomputed.values().flatten();
        maps.map(AttentionMaps::bytes).sum::<usize>()
    }

    /// Attention maps as `key` says; empty where they are neither kept nor computed anew.
    pub fn attention(&self, key: AttentionKey) -> &[AttentionMaps] {
        let kept = match (key.half, key.detail) {
            (Guidance::Cond, AttentionDetail::Mean) => self.trace.attention.step(key.step),
            (Guidance::Uncond, AttentionDetail::Mean) => self.uncond.step(key.step),
            _ => &[],
        };
        if kept.is_empty() {
            self.recomputed.get(&key).map_or(&[], Vec::as_slice)
        } else {
            kept
        }
    }

    /// Memory of the attention maps kept under the budget, in bytes: used, and the budget.
    pub fn attention_memory(&self) -> (usize, usize) {
        let stores = [&self.trace.attention, &self.uncond];
        let sum = |of: fn(&AttentionStore) -> usize| stores.iter().map(|store| of(store)).sum();
        (sum(AttentionStore::used), sum(AttentionStore::budget))
    }

    /// Is there guidance in step `index`, and so an unconditional half?
    pub fn is_guided_at(&self, index: usize) -> bool {
        self.trace.request_at(index).is_guided_at(index)
    }

    /// Number of denoising steps that the run will have in the end.
    pub fn total_steps(&self) -> usize {
        let request = self.trace.request.steps;
        self.schedule()
            .map_or(request, |schedule| schedule.timesteps.len())
            .max(self.trace.steps.len())
    }

    pub fn schedule(&self) -> Option<&Schedule> {
        self.trace.noise.as_deref().map(|noise| &noise.schedule)
    }

    pub fn step(&self, index: usize) -> Option<&StepTrace> {
        self.trace.steps.get(index).map(Arc::as_ref)
    }

    /// The prompt's 77 positions; empty before it was tokenized.
    pub fn tokens(&self) -> &[Token] {
        let tokens = self.trace.tokens.as_deref();
        tokens.map_or(&[], |tokens| tokens.prompt.tokens.as_slice())
    }

    /// Ids of those tokens of both texts that the model never saw in its training.
    pub fn unseen(&self) -> &BTreeSet<u32> {
        static NONE: BTreeSet<u32> = BTreeSet::new();
        let tokens = self.trace.tokens.as_deref();
        tokens.map_or(&NONE, |tokens| &tokens.unseen)
    }

    /// The word of the prompt that the token at `position` is a part of, as it was typed; none for start, end and
    /// padding.
    pub fn word_at(&self, position: usize) -> Option<&str> {
        let tokens = self.trace.tokens.as_deref()?;
        let mut words = words(&self.trace.request.prompt, &tokens.prompt);
        let is_at = |word: &Word| word.tokens.iter().any(|token| token.position == position);
        words.find(is_at).map(|word| word.text)
    }

    /// The position of the prompt's last word: most often the thing it speaks of.
    pub fn last_word(&self) -> Option<usize> {
        let is_text = |piece: &str| piece.chars().any(char::is_alphanumeric);
        self.tokens()
            .iter()
            .rposition(|token| token.kind == TokenKind::Word && is_text(&token.piece))
    }

    /// Heads of the text encoder's layers, as recorded.
    pub fn text_heads(&self) -> usize {
        let text = self.trace.text.as_deref();
        text.and_then(|text| text.heads.first()?.shape.first().copied())
            .unwrap_or(0)
    }

    /// The newest step; none before there is one.
    pub fn newest(&self) -> Option<usize> {
        self.trace.steps.len().checked_sub(1)
    }

    pub fn is_made_by(&self, info: &Arc<ModelInfo>) -> bool {
        Arc::ptr_eq(info, &self.info)
    }

    /// Would something be lost with it?
    pub fn is_unsaved(&self) -> bool {
        !self.is_kept && self.state != RunState::Failed
    }

    pub fn is_waiting(&self) -> bool {
        matches!(self.state, RunState::Paused | RunState::Cancelled)
    }

    /// Does the worker advance it, or wait for it to stop?
    pub fn is_advancing(&self) -> bool {
        matches!(
            self.state,
            RunState::Running | RunState::Pausing | RunState::Cancelling
        )
    }

    /// Positions of the prompt's words: without start, end and padding.
    pub fn words(&self) -> Range<usize> {
        let is_word = |token: &Token| token.kind == TokenKind::Word;
        let first = self.tokens().iter().position(is_word).unwrap_or(0);
        let last = self.tokens().iter().rposition(is_word);
        first..last.map_or(first, |last| last + 1)
    }

    /// Hidden states of the prompt on its way through the text encoder, `(77, hidden)` each, with what to call them:
    /// what goes in, each layer's output, and the final normalised embedding.
    pub fn text_states(&self) -> Vec<(String, TensorData)> {
        let find = |name| self.text_tensor(name);
        let input = find("token_embedding").zip(find("position_embedding"));
        let input = input.map(|(token, position)| ("input".to_owned(), sum(token, position)));
        let text = self.trace.text.iter().flat_map(|text| &text.prompt);
        let layers = text.filter_map(|state| {
            let layer = state.name.strip_prefix("text_model.encoder.layers.")?;
            Some((format!("layer {layer}"), state.clone()))
        });
        let output = find("prompt_embedding").map(|last| ("output".to_owned(), last.clone()));
        input.into_iter().chain(layers).chain(output).collect()
    }

    /// What the text encoder made of the prompt under this name.
    pub fn text_tensor(&self, name: &str) -> Option<&TensorData> {
        let text = self.trace.text.as_deref()?;
        text.prompt.iter().find(|state| &*state.name == name)
    }

    /// The mean time of the steps done so far, in seconds.
    pub fn seconds_a_step(&self) -> Option<f64> {
        let steps = &self.trace.steps;
        (!steps.is_empty())
            .then(|| steps.iter().map(|step| step.seconds).sum::<f64>() / steps.len() as f64)
    }

    /// The time that all recorded stages took, in seconds.
    pub fn seconds(&self) -> f64 {
        let steps: f64 = self.trace.steps.iter().map(|step| step.seconds).sum();
        let text = self.trace.text.as_ref().map_or(0.0, |text| text.seconds);
        let image = self.trace.image.as_ref().map_or(0.0, |image| image.seconds);
        steps + text + image
    }
}

/// Token plus position embedding: what the first layer gets.
fn sum(token: &TensorData, position: &TensorData) -> TensorData {
    let data = token.data.iter().zip(position.data.iter());
    let data: Vec<f32> = data.map(|(a, b)| a + b).collect();
    let shape = if data.len() == token.data.len() {
        token.shape.clone()
    } else {
        vec![data.len()]
    };
    TensorData::from_values("input", shape, data)
}

impl StepTensor {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 4] = [Self::Difference, Self::Text, Self::Uncond, Self::Guided];

    /// This tensor of `step`; some are there with guidance only.
    pub fn of(self, step: &StepTrace) -> Option<TensorData> {
        let name = match self {
            Self::Difference => return difference(step),
            Self::Text => "noise_text",
            Self::Uncond => "noise_uncond",
            Self::Guided => "noise_guided",
        };
        step.tensor(name).cloned()
    }
}

/// `noise_text - noise_uncond`: what guidance scales.
fn difference(step: &StepTrace) -> Option<TensorData> {
    let (text, uncond) = (step.tensor("noise_text")?, step.tensor("noise_uncond")?);
    let values = text.data.iter().zip(uncond.data.iter()).map(|(a, b)| a - b);
    let (shape, values) = (text.shape.clone(), values.collect());
    Some(TensorData::from_values("noise_difference", shape, values))
}

/// The share of attention that each text position gets in `step`, mean over layers, heads and places.
fn shares(step: &StepTrace) -> Vec<f64> {
    let positions = step.attention.iter().map(|maps| maps.tokens).max();
    let mean = |values: &[f32]| {
        values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
    };
    let of = |position: usize| {
        let layers = step.attention.iter();
        let shares = layers.map(|maps| {
            let heads = maps.heads.unwrap_or(1);
            let heads = (0..heads).map(|head| mean(maps.map(Some(head), position)));
            heads.sum::<f64>() / maps.heads.unwrap_or(1).max(1) as f64
        });
        shares.sum::<f64>() / step.attention.len() as f64
    };
    (0..positions.unwrap_or(0)).map(of).collect()
}

fn figures(step: &StepTrace) -> StepFigures {
    let guidance_rms = match (step.tensor("noise_text"), step.tensor("noise_uncond")) {
        (Some(text), Some(uncond)) if !text.data.is_empty() => {
            let squares = text.data.iter().zip(uncond.data.iter());
            let sum: f64 = squares.map(|(a, b)| f64::from(a - b).powi(2)).sum();
            Some((sum / text.data.len() as f64).sqrt())
        }
        _ => None,
    };
    StepFigures {
        latents_std: step.tensor("latents").map_or(0.0, |x| x.stats.std),
        guidance_rms,
        plane: GuidancePlane::of(step),
        sigma: f64::from(step.sigma),
    }
}

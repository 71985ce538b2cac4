//! A run as the inspector holds it: its trace, and what was derived or computed anew from it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use image::RgbImage;

use super::insight::Insights;
use super::worker::Pictures;
use crate::generation::Request;
use crate::model::tokenizer::{Token, TokenKind};
use crate::scheduler::Schedule;
use crate::trace::{AttentionMaps, Event, Snapshot, StepTrace, Trace};

/// Steps whose recomputed heads are kept: each holds every head of every layer.
const RECOMPUTED_STEPS: usize = 4;

/// Where a run stands.
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
    /// The picture is there.
    Done,
    /// It cannot go on.
    Failed,
}

/// Figures of one step, for the curves over all steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepFigures {
    /// Standard deviation of the latents before the step.
    pub latents_std: f64,
    /// Root mean square of `noise_text - noise_uncond`; `None` without guidance.
    pub guidance_rms: Option<f64>,
    /// Noise level before the step.
    pub sigma: f64,
}

/// A run: everything that was recorded of it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Which run of this sitting; counts from 1.
    pub id: u64,
    /// What the worker sent.
    pub trace: Trace,
    /// Where it stands.
    pub state: RunState,
    /// For each of the prompt's 77 positions: does the model have no embedding (a row of zeros) for its token?
    pub unseen: Vec<bool>,
    /// What was worked out about it.
    pub insights: Insights,
    /// The quick preview of each step.
    pub pictures: Vec<Pictures>,
    /// The figures of each step.
    pub figures: Vec<StepFigures>,
    /// Predicted x0 of some steps, decoded by the autoencoder.
    pub decoded: BTreeMap<usize, Arc<RgbImage>>,
    heads: BTreeMap<usize, Vec<AttentionMaps>>,
    means: BTreeMap<usize, Vec<AttentionMaps>>,
}

impl Run {
    /// A run of `request` of which nothing is recorded yet.
    pub fn new(id: u64, request: Request, attention_budget: usize) -> Self {
        Self {
            id,
            trace: Trace::new(request, attention_budget),
            state: RunState::Running,
            unseen: Vec::new(),
            insights: Insights::default(),
            pictures: Vec::new(),
            figures: Vec::new(),
            decoded: BTreeMap::new(),
            heads: BTreeMap::new(),
            means: BTreeMap::new(),
        }
    }

    /// Takes in what the worker recorded. `pictures` belong to a step.
    pub fn record(&mut self, event: Event, pictures: Option<Pictures>) {
        if let Event::Step(step) = &event {
            self.figures.truncate(step.index);
            self.figures.push(figures(step));
            self.pictures.truncate(step.index);
            self.pictures.extend(pictures);
            for kept in [&mut self.heads, &mut self.means] {
                drop(kept.split_off(&step.index));
            }
            drop(self.decoded.split_off(&step.index));
        }
        self.trace.apply(event);
    }

    /// Takes in attention maps that were computed anew.
    pub fn keep_attention(&mut self, step: usize, maps: Vec<AttentionMaps>) {
        let with_heads = maps.iter().any(|map| map.heads.is_some());
        let kept = if with_heads {
            &mut self.heads
        } else {
            &mut self.means
        };
        while kept.len() >= RECOMPUTED_STEPS && !kept.contains_key(&step) {
            // The one farthest from where the reader is.
            let farthest = kept
                .keys()
                .copied()
                .max_by_key(|other| other.abs_diff(step));
            kept.remove(&farthest.unwrap_or(step));
        }
        kept.insert(step, maps);
    }

    /// Head-averaged attention maps of `step`; empty where they are neither kept nor computed anew.
    pub fn attention(&self, step: usize) -> &[AttentionMaps] {
        let kept = self.trace.attention.step(step);
        if kept.is_empty() {
            self.means.get(&step).map_or(&[], Vec::as_slice)
        } else {
            kept
        }
    }

    /// Attention maps of `step` with every head, where they were computed.
    pub fn heads(&self, step: usize) -> Option<&[AttentionMaps]> {
        self.heads.get(&step).map(Vec::as_slice)
    }

    /// Number of denoising steps that the run will have in the end.
    pub fn total_steps(&self) -> usize {
        let request = self.trace.request.steps;
        self.schedule()
            .map_or(request, |schedule| schedule.timesteps.len())
            .max(self.trace.steps.len())
    }

    /// The noise schedule, once known.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.trace.noise.as_deref().map(|noise| &noise.schedule)
    }

    /// The step `index`, once done.
    pub fn step(&self, index: usize) -> Option<&StepTrace> {
        self.trace.steps.get(index).map(Arc::as_ref)
    }

    /// The prompt's 77 positions; empty before it was tokenized.
    pub fn tokens(&self) -> &[Token] {
        self.trace
            .tokens
            .as_deref()
            .map_or(&[], |tokens| tokens.prompt.tokens.as_slice())
    }

    /// Positions of the prompt's words: without start, end and padding.
    pub fn words(&self) -> Range<usize> {
        let is_word = |token: &Token| token.kind == TokenKind::Word;
        let first = self.tokens().iter().position(is_word);
        let last = self.tokens().iter().rposition(is_word);
        match (first, last) {
            (Some(first), Some(last)) => first..last + 1,
            _ => 0..0,
        }
    }

    /// Hidden states of the prompt on its way through the text encoder, `(77, hidden)` each, with what to call them:
    /// what goes in, each layer's output, and the final normalised embedding.
    pub fn text_states(&self) -> Vec<(String, Snapshot)> {
        let Some(text) = self.trace.text.as_deref() else {
            return Vec::new();
        };
        let find = |name: &str| text.prompt.iter().find(|state| &*state.name == name);
        let mut states = Vec::new();
        if let (Some(token), Some(position)) = (find("token_embedding"), find("position_embedding"))
        {
            states.push(("input".to_owned(), sum(token, position)));
        }
        for state in &text.prompt {
            if let Some(layer) = state.name.strip_prefix("text_model.encoder.layers.") {
                states.push((format!("layer {layer}"), state.clone()));
            }
        }
        if let Some(last) = find("prompt_embedding") {
            states.push(("output".to_owned(), last.clone()));
        }
        states
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
fn sum(token: &Snapshot, position: &Snapshot) -> Snapshot {
    let data = token.data.iter().zip(position.data.iter());
    let data: Vec<f32> = data.map(|(a, b)| a + b).collect();
    let shape = if data.len() == token.data.len() {
        token.shape.clone()
    } else {
        vec![data.len()]
    };
    Snapshot::from_values("input", shape, data)
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
        sigma: f64::from(step.sigma),
    }
}

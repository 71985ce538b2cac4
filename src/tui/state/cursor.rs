//! What is looked at: the one selection that all views share, and how keys move it.

use super::action::Action;
use super::detail::{Detail, PromptPart, StepPart, TextPart, after, next_head};
use super::editor::Field;
use super::inside::{Inside, Walk};
use super::run::Run;
use crate::generation::ModelInfo;
use crate::lesson::Said;
pub use crate::lesson::{Grid, StepTensor, View};
use crate::model::AttentionDetail;
use crate::trace::{AttentionKind, AttentionMaps, Guidance};
use crate::tui::worker::{AttentionKey, Look, LookKey};

impl View {
    pub(crate) const ALL: [Self; 9] = [
        Self::Prompt,
        Self::Tokens,
        Self::Embedding,
        Self::TextEncoder,
        Self::Noise,
        Self::Schedule,
        Self::Denoising,
        Self::Attention,
        Self::Image,
    ];

    pub(crate) fn name(self) -> Said {
        match self {
            Self::Prompt => ["Prompt", "提示词"],
            Self::Tokens => ["Tokens", "词元"],
            Self::Embedding => ["Embedding", "嵌入"],
            Self::TextEncoder => ["Text encoder", "文本编码器"],
            Self::Noise => ["Noise", "噪声"],
            Self::Schedule => ["Schedule", "噪声调度"],
            Self::Denoising => ["Denoising", "去噪"],
            Self::Attention => ["Attention", "注意力"],
            Self::Image => ["Image", "图片"],
        }
    }

    pub(crate) fn shows_pictures(self) -> bool {
        matches!(self, Self::Denoising | Self::Attention | Self::Image)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cursor {
    pub view: View,
    /// The denoising step, from 0.
    pub step: usize,
    pub follow: bool,
    /// Is the predicted x0 of the step shown as the autoencoder decodes it?
    pub decode: bool,
    /// The prompt's position, 0 to 76.
    pub token: usize,
    /// The text encoder's state: 0 is its input, the last its output; beyond them where none was chosen yet.
    pub text_layer: usize,
    pub channel: usize,
    /// The denoising view's third picture.
    pub tensor: StepTensor,
    pub attention: AttentionCursor,
    pub field: Field,
    /// What the views of the text, the noise and the schedule show.
    pub detail: Detail,
    /// Where in a network one was last: see [`Cursor::inside`].
    pub inside: Option<Inside>,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            view: View::Denoising,
            step: 0,
            follow: true,
            decode: false,
            token: 1,
            text_layer: usize::MAX,
            channel: 0,
            tensor: StepTensor::Difference,
            attention: AttentionCursor::default(),
            field: Field::Prompt,
            detail: Detail::default(),
            inside: None,
        }
    }
}

/// Which cross-attention is looked at, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionCursor {
    /// The UNet's cross-attention layer; `None` for the mean over all.
    pub layer: Option<usize>,
    /// The attention head; `None` for the mean over all.
    pub head: Option<usize>,
    pub half: Guidance,
    /// What the small maps go through, or what stands in their place.
    pub grid: Grid,
    /// What the matrix of heads has in its cells.
    pub measure: Measure,
    /// Was the head opened in the matrix of heads, to which esc goes back?
    pub from_matrix: bool,
    /// How strongly the map covers the picture: 0 not at all, to [`AttentionCursor::STRONGEST`].
    pub strength: u8,
    /// A place of the picture: across, down, each from 0 to 1. Arrows move it in [`super::Mode::Place`].
    pub place: (f32, f32),
}

impl AttentionCursor {
    pub const STRONGEST: u8 = 4;

    /// Shows `grid`, wherever it was come to.
    pub(super) fn show(&mut self, grid: Grid) {
        self.grid = grid;
        self.from_matrix = false;
    }

    /// The maps of the head that is selected in the matrix, to which one can go back.
    pub(super) fn open_head(&mut self) {
        self.show(Grid::Heads);
        self.from_matrix = true;
    }

    /// The other head to the left or right in the matrix, whose first column is the mean.
    pub(super) fn move_head(&mut self, info: &ModelInfo, forward: bool) {
        let at = self.head.map_or(0, |head| head + 1);
        self.head = moved(at, self.head_count(info) + 1, forward).checked_sub(1);
    }

    /// How fine the maps have to be.
    pub fn detail(&self) -> AttentionDetail {
        if self.grid.has_maps() && (self.head.is_some() || self.grid == Grid::Heads) {
            AttentionDetail::Heads
        } else {
            AttentionDetail::Mean
        }
    }

    /// The layer and the head of which figures are worked out by hand: the first ones where none is selected.
    pub fn by_hand(&self) -> (usize, usize) {
        (self.layer.unwrap_or(0), self.head.unwrap_or(0))
    }

    /// Heads of the selected layer; of all layers, the fewest that one has.
    pub fn head_count(&self, info: &ModelInfo) -> usize {
        let layers = &info.cross_attention;
        match self.layer {
            Some(layer) => layers.get(layer).map_or(0, |layer| layer.heads),
            None => layers.iter().map(|layer| layer.heads).min().unwrap_or(0),
        }
    }
}

impl Default for AttentionCursor {
    fn default() -> Self {
        Self {
            layer: None,
            head: None,
            half: Guidance::Cond,
            grid: Grid::Words,
            measure: Measure::Entropy,
            from_matrix: false,
            strength: 2,
            place: (0.5, 0.5),
        }
    }
}

impl Grid {
    const ALL: [Self; 7] = [
        Self::Words,
        Self::Steps,
        Self::Layers,
        Self::Heads,
        Self::Matrix,
        Self::Own,
        Self::Numbers,
    ];

    /// Are there small maps of cross-attention, below a large one?
    pub fn has_maps(self) -> bool {
        !matches!(self, Self::Matrix | Self::Own | Self::Numbers)
    }
}

/// What the matrix of heads has in its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Of a place's probabilities over the text, the mean over places.
    Entropy,
    /// The share of the selected token.
    Token,
    Start,
    End,
    /// The share of all padding together.
    Padding,
}

impl Measure {
    pub const ALL: [Self; 5] = [
        Self::Entropy,
        Self::Token,
        Self::Start,
        Self::End,
        Self::Padding,
    ];
}

impl Cursor {
    /// The attention at its step, in its half of guidance.
    pub fn attention_key(&self, detail: AttentionDetail) -> AttentionKey {
        AttentionKey {
            step: self.step,
            half: self.attention.half,
            detail,
        }
    }

    /// The attention maps of `run` at its step, in its half of guidance: those with heads where heads are looked at
    /// and they are there. The flag says whether they have heads.
    pub fn attention_maps<'a>(&self, run: &'a Run) -> (&'a [AttentionMaps], bool) {
        let heads = run.attention(self.attention_key(AttentionDetail::Heads));
        if self.attention.detail() == AttentionDetail::Heads && !heads.is_empty() {
            return (heads, true);
        }
        (
            run.attention(self.attention_key(AttentionDetail::Mean)),
            false,
        )
    }

    /// Shows the view that comes so many after this one.
    pub(super) fn turn(&mut self, by: usize) {
        self.view = after(&View::ALL, self.view, by);
    }

    /// To the newest step of `run`, if it follows it.
    pub(super) fn follow(&mut self, run: &Run) {
        if let (true, Some(newest)) = (self.follow, run.newest()) {
            self.step = newest;
        }
    }

    /// Gives the parts that have no place in `run` the place that says most; for a run that was just tokenized the last
    /// word.
    pub(super) fn settle(&mut self, run: &Run, tokenized: bool) {
        if run.trace.text.is_some() && self.text_layer == usize::MAX {
            // The last layer: it has attention to show, which the output has not.
            self.text_layer = run.text_states().len().saturating_sub(2);
        }
        let keeps = run.origin.is_some() && run.words().contains(&self.token);
        if tokenized && !keeps {
            self.token = run.last_word().unwrap_or(1);
        }
    }

    /// Selects what is below (`forward`) or above in the view; the step is moved by whoever plays back.
    pub(super) fn select(&mut self, run: &Run, forward: bool) {
        if self.walk(run, Walk::Next(forward)) {
            return;
        }
        match self.view {
            View::Prompt if self.shows_effects() => self.select_word(run, forward),
            View::Prompt => {
                let all = Field::of(false, &run.trace.request);
                let at = all.iter().position(|&field| field == self.field);
                self.field = all[moved(at.unwrap_or(0), all.len(), forward)];
            }
            View::Tokens | View::Embedding => self.select_token(run, forward),
            View::TextEncoder if self.detail.text == TextPart::Pictures => {
                let states = run.info.text_layers + 1;
                self.text_layer = moved(self.text_layer.min(states - 1), states, forward);
            }
            View::TextEncoder => {
                let count = run.text_states().len();
                let at = self.text_layer.min(count.saturating_sub(1));
                self.text_layer = moved(at, count, forward);
            }
            View::Noise => {
                self.channel = moved(self.channel, run.info.latent_shape[0], forward);
            }
            View::Denoising => {
                let at = moved(self.tensor as usize, StepTensor::ALL.len(), forward);
                self.tensor = StepTensor::ALL[at];
            }
            View::Attention => {
                let layers = if self.attention.grid.has_maps() {
                    self.attention_maps(run).0.len()
                } else {
                    run.info.cross_attention.len()
                };
                let cursor = &mut self.attention;
                let at = cursor.layer.map_or(0, |layer| layer + 1);
                cursor.layer = moved(at, layers + 1, forward).checked_sub(1);
                // Layers may differ in their number of heads.
                let count = cursor.head_count(&run.info);
                cursor.head = cursor.head.filter(|&head| head < count);
            }
            View::Schedule | View::Image => {}
        }
    }

    /// Are the words of the prompt shown with what they do?
    pub fn shows_effects(&self) -> bool {
        self.view == View::Prompt && self.detail.prompt != PromptPart::Request
    }

    /// Selects the word above or below in the table of what words do.
    fn select_word(&mut self, run: &Run, forward: bool) {
        let PromptPart::Effects(of) = self.detail.prompt else {
            return;
        };
        let rows = run.effects(of, self.detail.order);
        let here = rows
            .iter()
            .position(|row| row.positions.contains(&self.token));
        let at = here.map_or(0, |here| moved(here, rows.len(), forward));
        self.token = rows.get(at).map_or(self.token, |row| row.positions.start);
    }

    pub(super) fn select_token(&mut self, run: &Run, forward: bool) {
        if self.walk(run, Walk::Leap(forward)) {
            return;
        }
        self.token = moved(self.token, run.tokens().len(), forward);
    }

    /// Carries out what switches between the things that a view can show.
    pub(super) fn switch(&mut self, action: &Action, run: &Run) {
        let step = match action {
            Action::Switch => Some(Walk::Switch),
            Action::Less => Some(Walk::Channel(false)),
            Action::More => Some(Walk::Channel(true)),
            _ => None,
        };
        if step.is_some_and(|step| self.walk(run, step)) {
            return;
        }
        if self.view != View::Attention {
            let (heads, steps) = (run.text_heads(), run.trace.request.steps);
            return self.detail.update(action, self.view, heads, steps);
        }
        let cursor = &mut self.attention;
        match action {
            Action::NextHead => cursor.head = next_head(cursor.head, cursor.head_count(&run.info)),
            Action::Switch => cursor.show(after(&Grid::ALL, cursor.grid, 1)),
            Action::SwitchMeasure => cursor.measure = after(&Measure::ALL, cursor.measure, 1),
            Action::Less => cursor.strength = cursor.strength.saturating_sub(1),
            Action::More => cursor.strength = (cursor.strength + 1).min(AttentionCursor::STRONGEST),
            _ => {}
        }
    }

    pub(super) fn other_half(&mut self) {
        let halves = [Guidance::Cond, Guidance::Uncond];
        self.attention.half = after(&halves, self.attention.half, 1);
    }

    pub fn can_select(&self, run: &Run) -> bool {
        match self.view {
            _ if self.inside().is_some() => false,
            View::Prompt => true,
            View::Tokens | View::Embedding => self.shows_tokens(run),
            View::TextEncoder => run.trace.text.is_some(),
            View::Noise => run.trace.noise.is_some(),
            View::Denoising if self.detail.step != StepPart::Pictures => false,
            View::Schedule | View::Denoising | View::Attention => run.newest().is_some(),
            View::Image => false,
        }
    }

    pub fn has_heads(&self, run: &Run) -> bool {
        match self.view {
            _ if self.inside().is_some() => false,
            View::Attention => run.newest().is_some(),
            View::TextEncoder => run.text_heads() > 0 && self.detail.text == TextPart::Layers,
            _ => false,
        }
    }

    /// Can the view show something else, too?
    pub fn can_switch(&self, run: &Run) -> bool {
        match self.view {
            // A network has its own.
            _ if self.inside().is_some() => false,
            View::Prompt | View::Tokens => run.trace.tokens.is_some(),
            View::Embedding | View::TextEncoder => run.trace.text.is_some(),
            View::Noise | View::Schedule => run.trace.noise.is_some(),
            View::Denoising | View::Attention | View::Image => run.newest().is_some(),
        }
    }

    pub fn shows_schedule(&self, run: &Run) -> bool {
        self.view == View::Schedule && run.trace.noise.is_some()
    }

    /// Is the matrix of heads shown?
    pub fn shows_matrix(&self, run: &Run) -> bool {
        self.view == View::Attention
            && self.attention.grid == Grid::Matrix
            && run.newest().is_some()
    }

    /// What is looked at closer at its step; nothing where that is recorded.
    pub fn looks(&self) -> Vec<LookKey> {
        let cursor = &self.attention;
        let (layer, head) = (cursor.layer, cursor.head);
        let looks = match cursor.grid {
            Grid::Matrix => vec![Look::Heads],
            Grid::Own => vec![
                Look::Projections(AttentionKind::Own, layer),
                Look::Components { layer, head },
            ],
            Grid::Numbers => {
                let (layer, _) = cursor.by_hand();
                vec![Look::Projections(AttentionKind::Text, Some(layer))]
            }
            _ => Vec::new(),
        };
        let key = |look| LookKey {
            step: self.step,
            half: cursor.half,
            look,
        };
        looks.into_iter().map(key).collect()
    }

    /// Is there something in the view of which there can be less or more?
    pub fn can_adjust(&self, run: &Run) -> bool {
        match self.view {
            View::Schedule => self.shows_schedule(run) && self.detail.other.is_some(),
            View::Attention => run.newest().is_some() && self.attention.grid.has_maps(),
            _ => false,
        }
    }

    pub fn shows_tokens(&self, run: &Run) -> bool {
        !run.tokens().is_empty()
            && self.inside().is_none()
            && match self.view {
                View::Prompt => self.shows_effects(),
                View::TextEncoder => self.detail.text == TextPart::Layers,
                View::Denoising => self.detail.step == StepPart::Pictures,
                View::Noise | View::Schedule | View::Image => false,
                _ => true,
            }
    }
}

/// One further or back among `count`, staying at the ends.
pub(super) fn moved(at: usize, count: usize, forward: bool) -> usize {
    let last = count.saturating_sub(1);
    if forward {
        (at + 1).min(last)
    } else {
        at.saturating_sub(1).min(last)
    }
}

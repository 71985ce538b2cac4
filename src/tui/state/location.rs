//! Going where a lesson says, and saying in the same words where the reader is.

use super::attention::short_path;
use super::cursor::{Cursor, View};
use super::run::Run;
use super::runs::Runs;
use crate::generation::words;
use crate::lesson::{Location, NumberOrWord, RunJson, Selection};
use crate::model::tokenizer::TokenKind;

/// Why the run on the screen does not have what a lesson names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LocationError {
    #[error("there is no run yet")]
    NoRun,
    #[error("there are no tokens yet")]
    NoTokens,
    #[error("steps are counted from 1")]
    StepZero,
    #[error("there is no step {step}; the run has {count}, counted from 1")]
    Step { step: usize, count: usize },
    #[error("there is no token {position}; there are {count}, counted from 0")]
    Token { position: usize, count: usize },
    #[error("the prompt has no word “{word}”; it has {known}")]
    Word { word: String, known: String },
    #[error("there is no text_layer {layer}; the text encoder has states 0 to {last}")]
    TextLayer { layer: usize, last: usize },
    #[error("there is no channel {channel}; the latents have {count}, counted from 0")]
    Channel { channel: usize, count: usize },
    #[error("there is no layer “{layer}”; expected all, {known}")]
    Layer { layer: String, known: String },
    #[error("there is no head {head}; there are {count}, counted from 0")]
    Head { head: usize, count: usize },
    #[error("the head is “{0}”; expected a number or \"mean\"")]
    HeadWord(String),
}

impl LocationError {
    /// It in English and in Chinese.
    pub fn said(&self) -> [String; 2] {
        [self.to_string(), self.chinese()]
    }

    fn chinese(&self) -> String {
        match self {
            Self::NoRun => "还没有运行".to_owned(),
            Self::NoTokens => "还没有词元".to_owned(),
            Self::StepZero => "步从 1 数起".to_owned(),
            Self::Step { step, count } => {
                format!("没有第 {step} 步；这个运行有 {count} 步，从 1 数起")
            }
            Self::Token { position, count } => {
                format!("没有词元 {position}；有 {count} 个，从 0 数起")
            }
            Self::Word { word, known } => format!("提示词里没有“{word}”这个词；有：{known}"),
            Self::TextLayer { layer, last } => {
                format!("没有文本层 {layer}；文本编码器的状态从 0 到 {last}")
            }
            Self::Channel { channel, count } => {
                format!("没有通道 {channel}；潜变量有 {count} 个，从 0 数起")
            }
            Self::Layer { layer, known } => format!("没有“{layer}”这一层；应是 all、{known}"),
            Self::Head { head, count } => format!("没有头 {head}；有 {count} 个，从 0 数起"),
            Self::HeadWord(word) => format!("头写的是“{word}”；应是一个数，或 \"mean\""),
        }
    }
}

impl Cursor {
    /// To `place`; what it does not name stays as it is.
    pub(super) fn apply_location(
        &mut self,
        place: &Location,
        run: &Run,
    ) -> Result<(), LocationError> {
        self.view = place.view.unwrap_or(self.view);
        if let Some(step) = place.step {
            let count = run.trace.steps.len();
            if step == 0 || step > count {
                return Err(LocationError::Step { step, count });
            }
            self.step = step - 1;
            self.follow = false;
        }
        if let Some(token) = &place.token {
            self.token = position_of(token, run)?;
        }
        if let Some(layer) = place.text_layer {
            let count = run.text_states().len();
            if layer >= count {
                let last = count.saturating_sub(1);
                return Err(LocationError::TextLayer { layer, last });
            }
            self.text_layer = layer;
        }
        if let Some(channel) = place.channel {
            let count = run.info.latent_shape[0];
            if channel >= count {
                return Err(LocationError::Channel { channel, count });
            }
            self.channel = channel;
        }
        let detail = &mut self.detail;
        detail.side = place.side.unwrap_or(detail.side);
        detail.part = place.part.unwrap_or(detail.part);
        detail.scaled = place.scaled.unwrap_or(detail.scaled);
        detail.curve = place.curve.unwrap_or(detail.curve);
        detail.other = place.overlay.or(detail.other);
        detail.other_steps = place.overlay_steps.or(detail.other_steps);
        self.tensor = place.tensor.unwrap_or(self.tensor);
        self.decode = place.decode.unwrap_or(self.decode);
        self.apply_attention(place, run)
    }

    fn apply_attention(&mut self, place: &Location, run: &Run) -> Result<(), LocationError> {
        let cursor = &mut self.attention;
        match place.layer.as_deref() {
            None => {}
            Some("all") => cursor.layer = None,
            Some(layer) => {
                let layers = run.info.cross_attention.iter();
                let known: Vec<_> = layers.map(|layer| short_path(&layer.path)).collect();
                let found = known.iter().position(|name| name == layer);
                cursor.layer = Some(found.ok_or_else(|| LocationError::Layer {
                    layer: layer.to_owned(),
                    known: known.join(", "),
                })?);
            }
        }
        cursor.half = place.half.unwrap_or(cursor.half);
        if let Some(grid) = place.grid {
            cursor.show(grid);
        }
        let (head, count) = if self.view == View::TextEncoder {
            (&mut self.detail.text_head, run.text_heads())
        } else {
            let count = cursor.head_count(&run.info);
            (&mut cursor.head, count)
        };
        match &place.head {
            None => {}
            Some(NumberOrWord::Word(word)) if word == "mean" => *head = None,
            Some(NumberOrWord::Word(word)) => return Err(LocationError::HeadWord(word.clone())),
            &Some(NumberOrWord::Number(named)) if named < count => *head = Some(named),
            &Some(NumberOrWord::Number(head)) => return Err(LocationError::Head { head, count }),
        }
        Ok(())
    }
}

/// The position in the prompt that a lesson names.
fn position_of(token: &NumberOrWord, run: &Run) -> Result<usize, LocationError> {
    let count = run.tokens().len();
    let word = match token {
        &NumberOrWord::Number(position) if position < count => return Ok(position),
        &NumberOrWord::Number(position) => return Err(LocationError::Token { position, count }),
        NumberOrWord::Word(word) => word,
    };
    let tokens = (run.trace.tokens.as_deref()).ok_or(LocationError::NoTokens)?;
    let known: Vec<_> = words(&run.trace.request.prompt, &tokens.prompt).collect();
    let is_named = |text: &str| text.to_lowercase() == word.to_lowercase();
    if let Some(found) = known.iter().find(|known| is_named(known.text)) {
        return Ok(found.tokens.first().map_or(0, |token| token.position));
    }
    let of_kind = |kind| run.tokens().iter().position(|token| token.kind == kind);
    let special = match word.as_str() {
        "start" => of_kind(TokenKind::Start),
        "end" => of_kind(TokenKind::End),
        "padding" => of_kind(TokenKind::Padding),
        _ => None,
    };
    special.ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(|known| known.text).collect();
        LocationError::Word {
            word: word.clone(),
            known: known.join(", "),
        }
    })
}

/// What the reader looks at.
pub(super) fn selection(cursor: &Cursor, runs: &Runs) -> Selection {
    let detail = &cursor.detail;
    let run = runs.current.as_ref();
    let origin = run.and_then(|run| run.origin);
    let layers = run.map_or(&[][..], |run| &run.info.cross_attention);
    let layer = cursor.attention.layer.and_then(|layer| layers.get(layer));
    let text_states = run.map_or(0, |run| run.text_states().len());
    let word = run.and_then(|run| run.word_at(cursor.token));
    Selection {
        view: cursor.view,
        step: run.and_then(Run::newest).map(|_| cursor.step),
        token: cursor.token,
        word: word.map(str::to_owned),
        side: detail.side,
        part: detail.part,
        text_layer: cursor.text_layer.min(text_states.saturating_sub(1)),
        text_head: detail.text_head,
        channel: cursor.channel,
        scaled: detail.scaled,
        curve: detail.curve,
        overlay: detail.other,
        overlay_steps: detail.other_steps,
        tensor: cursor.tensor,
        layer: layer.map(|layer| layer.path.clone()),
        head: cursor.attention.head,
        half: cursor.attention.half,
        grid: cursor.attention.grid,
        decode: cursor.decode,
        run: run.map_or(0, |run| run.id),
        runs: runs.all().count(),
        parent: origin.map(|origin| origin.run),
        branched_at: origin.map(|origin| origin.step),
    }
}

/// What filters are asked about: the run on the screen, what is looked at, and the run beside it; none before there
/// is one.
pub(super) fn run_json(runs: &Runs, selection: &Selection) -> Option<RunJson> {
    let of = |run: &Run, folder| RunJson::new(&run.info, &run.trace, folder);
    let compared = runs.compared().map(|run| of(run, "compared/"));
    let json = of(runs.current.as_ref()?, "");
    Some(json.with_selection(selection).with_compared(compared))
}

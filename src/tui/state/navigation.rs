//! Looking at what a lesson names, and saying in the same words what the reader looks at.

use super::attention::short_path;
use super::script::no_step;
use super::{App, Cursor, View};
use crate::generation::words;
use crate::lesson::{Location, NumberOrWord, RunJson, Selection};
use crate::model::tokenizer::TokenKind;

impl App {
    /// Looks at `place`, from the cursor's first place on: so that a page looks the same however it was come to.
    pub(super) fn arrive(&mut self, place: &Location) -> Result<(), String> {
        self.playback = None;
        self.cursor = Cursor {
            field: self.cursor.field,
            ..Cursor::default()
        };
        self.settle_cursor(true);
        self.follow();
        self.decode = false;
        self.look(place)
    }

    /// Looks at `place`; what it does not name stays as it is.
    pub(super) fn look(&mut self, place: &Location) -> Result<(), String> {
        if let Some(view) = place.view {
            self.view = view;
        }
        let done = self.run.as_ref().map_or(0, |run| run.trace.steps.len());
        if let Some(step) = place.step {
            if step == 0 || step > done {
                return Err(no_step(step, done));
            }
            self.go_to(step - 1);
        }
        if let Some(token) = &place.token {
            self.cursor.token = self.position_of(token)?;
        }
        self.look_at_text(place)?;
        self.look_at_noise(place)?;
        self.look_at_attention(place)?;
        self.decode = place.decode.unwrap_or(self.decode);
        Ok(())
    }

    fn look_at_text(&mut self, place: &Location) -> Result<(), String> {
        let detail = &mut self.cursor.detail;
        detail.side = place.side.unwrap_or(detail.side);
        detail.part = place.part.unwrap_or(detail.part);
        if let Some(layer) = place.text_layer {
            let count = self.text_states();
            if layer >= count {
                return Err(format!(
                    "there is no text_layer {layer}; the text encoder has states 0 to {}",
                    count.saturating_sub(1)
                ));
            }
            self.cursor.text_layer = layer;
        }
        Ok(())
    }

    fn look_at_noise(&mut self, place: &Location) -> Result<(), String> {
        let detail = &mut self.cursor.detail;
        detail.scaled = place.scaled.unwrap_or(detail.scaled);
        detail.curve = place.curve.unwrap_or(detail.curve);
        detail.other = place.overlay.or(detail.other);
        detail.other_steps = place.overlay_steps.or(detail.other_steps);
        self.cursor.tensor = place.tensor.unwrap_or(self.cursor.tensor);
        if let Some(channel) = place.channel {
            let count = self.info().map_or(0, |info| info.latent_shape[0]);
            if channel >= count {
                return Err(format!(
                    "there is no channel {channel}; the latents have {count}, counted from 0"
                ));
            }
            self.cursor.channel = channel;
        }
        Ok(())
    }

    fn look_at_attention(&mut self, place: &Location) -> Result<(), String> {
        let layers: Vec<String> = self.info().map_or_else(Vec::new, |info| {
            let layers = info.cross_attention.iter();
            layers.map(|layer| short_path(&layer.path)).collect()
        });
        let cursor = &mut self.cursor.attention;
        if let Some(layer) = &place.layer {
            cursor.layer =
                if layer == "all" {
                    None
                } else {
                    let found = layers.iter().position(|name| name == layer);
                    let known = layers.join(", ");
                    Some(found.ok_or_else(|| {
                        format!("there is no layer “{layer}”; expected all, {known}")
                    })?)
                };
        }
        cursor.half = place.half.unwrap_or(cursor.half);
        cursor.grid = place.grid.unwrap_or(cursor.grid);
        let of_text = self.view == View::TextEncoder;
        let heads = if of_text {
            self.text_heads()
        } else {
            self.head_count()
        };
        let head = match &place.head {
            None => return Ok(()),
            Some(NumberOrWord::Word(word)) if word == "mean" => None,
            Some(NumberOrWord::Number(head)) if *head < heads => Some(*head),
            Some(NumberOrWord::Number(head)) => {
                return Err(format!(
                    "there is no head {head}; there are {heads}, counted from 0"
                ));
            }
            Some(NumberOrWord::Word(word)) => {
                return Err(format!(
                    "the head is “{word}”; expected a number or \"mean\""
                ));
            }
        };
        if of_text {
            self.cursor.detail.text_head = head;
        } else {
            self.cursor.attention.head = head;
        }
        Ok(())
    }

    /// The position in the prompt that a lesson names.
    fn position_of(&self, token: &NumberOrWord) -> Result<usize, String> {
        let none = || "there are no tokens yet".to_owned();
        let run = self.run.as_ref().ok_or_else(none)?;
        let word = match token {
            NumberOrWord::Number(position) if *position < run.tokens().len() => {
                return Ok(*position);
            }
            NumberOrWord::Number(position) => {
                return Err(format!(
                    "there is no token {position}; there are {}, counted from 0",
                    run.tokens().len()
                ));
            }
            NumberOrWord::Word(word) => word,
        };
        let tokens = run.trace.tokens.as_deref().ok_or_else(none)?;
        let spoken: Vec<_> = words(&run.trace.request.prompt, &tokens.prompt).collect();
        let is_named = |text: &str| text.to_lowercase() == word.to_lowercase();
        if let Some(found) = spoken.iter().find(|spoken| is_named(spoken.text)) {
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
            let known: Vec<&str> = spoken.iter().map(|spoken| spoken.text).collect();
            format!(
                "the prompt has no word “{word}”; it has {}",
                known.join(", ")
            )
        })
    }

    /// What the reader looks at.
    pub fn selection(&self) -> Selection {
        let (cursor, detail) = (&self.cursor, &self.cursor.detail);
        let run = self.run.as_ref();
        let origin = run.and_then(|run| run.origin);
        let layers = self.info().map_or(&[][..], |info| &info.cross_attention);
        let layer = cursor.attention.layer.and_then(|layer| layers.get(layer));
        Selection {
            view: self.view,
            step: self.has_steps().then_some(cursor.step),
            token: cursor.token,
            word: self.selected_word().map(str::to_owned),
            side: detail.side,
            part: detail.part,
            text_layer: cursor.text_layer.min(self.text_states().saturating_sub(1)),
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
            decode: self.decode,
            run: run.map_or(0, |run| run.id),
            runs: self.shelf.len() + usize::from(run.is_some()),
            parent: origin.map(|origin| origin.run),
            branched_at: origin.map(|origin| origin.step),
        }
    }

    /// What filters are asked about now; none before there is a run.
    pub fn facts(&self) -> Option<RunJson> {
        let run = self.run.as_ref()?;
        let compared = self.compared_run();
        let compared = compared.map(|run| RunJson::new(&run.info, &run.trace, "compared/"));
        let facts = RunJson::new(&run.info, &run.trace, "");
        Some(
            facts
                .with_selection(&self.selection())
                .with_compared(compared),
        )
    }
}

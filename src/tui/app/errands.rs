//! Errands: what a lesson wants done, one thing after the other, each when the run before it has finished.

use std::collections::VecDeque;

use super::{App, Cursor, Mode, Model, View};
use crate::generation::{Request, words};
use crate::lesson::{
    Act, Ask, Curve, Facts, Goto, Grid, Half, NumberOrWord, Part, Place, Selection, Side, Stage,
    StepPicture, facts,
};
use crate::model::tokenizer::TokenKind;
use crate::scheduler::SchedulerKind;
use crate::trace;
use crate::tui::cursor::{self, StepTensor};
use crate::tui::run::{Origin, Run, RunState};
use crate::tui::selection;
use crate::tui::views::attention::short_path;
use crate::tui::worker::Command;

/// Something that a lesson wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Errand {
    /// Put the run of this request on the screen, made anew if need be.
    Show(Request),
    /// Put a run of this request beside the one on the screen; as a branch of it, from this step on, counted from 0.
    Beside {
        /// What is asked for.
        request: Request,
        /// Where the branch begins.
        branch: Option<usize>,
        /// The run that it stands beside, once it is known.
        home: Option<u64>,
    },
    /// Look at something, from the cursor's first place on.
    Arrive(Place),
    /// Do what a reader could do.
    Act(Act),
}

/// What is to be done, and what went wrong with the last of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Errands {
    queue: VecDeque<Errand>,
    problem: Option<String>,
}

impl Errands {
    /// Is something still to be done?
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What went wrong, once.
    pub fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }
}

impl App {
    /// The request of a page, over the lesson's; the model gives what neither says. None before the model is there.
    pub fn request_of(&self, lesson: &Ask, page: &Ask) -> Option<Request> {
        let Model::Ready(info) = &self.model else {
            return None;
        };
        let plain = Request {
            prompt: String::new(),
            negative_prompt: String::new(),
            seed: 42,
            steps: 25,
            guidance_scale: info.default_guidance,
            scheduler: SchedulerKind::Lms,
            interventions: Vec::new(),
        };
        Some(page.apply(&lesson.apply(&plain)))
    }

    /// Takes the reader to where a page begins, in place of whatever was still to be done.
    pub fn go(&mut self, lesson: &Ask, goto: &Goto) -> Vec<Command> {
        let Some(request) = self.request_of(lesson, &goto.request) else {
            return Vec::new();
        };
        let mut queue = VecDeque::from([Errand::Show(request.clone())]);
        queue.extend(goto.beside.as_ref().map(|beside| Errand::Beside {
            request: beside.ask.apply(&request),
            branch: beside.branch.map(|step| step.saturating_sub(1)),
            home: None,
        }));
        queue.push_back(Errand::Arrive(goto.place.clone()));
        self.mode = Mode::Browse;
        self.came_from = None;
        self.errands = Errands {
            queue,
            problem: None,
        };
        self.proceed()
    }

    /// Does what a reader could do, after what is still to be done.
    pub fn act(&mut self, acts: &[Act]) -> Vec<Command> {
        let acts = acts.iter().cloned().map(Errand::Act);
        self.errands.queue.extend(acts);
        self.proceed()
    }

    /// Forgets what is still to be done: the reader goes elsewhere.
    pub fn forget_errands(&mut self) {
        self.errands = Errands::default();
    }

    /// Does what can be done now of what is to be done.
    pub(super) fn proceed(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(errand) = self.errands.queue.front().cloned() {
            if !matches!(self.model, Model::Ready(_)) || self.is_advancing() {
                break;
            }
            if let Some(why) = self.failure() {
                self.errands.queue.clear();
                self.errands.problem = Some(why);
                break;
            }
            match self.carry_out(errand) {
                Ok(new) if new.is_empty() => {}
                Ok(new) => {
                    commands.extend(new);
                    break;
                }
                Err(problem) => {
                    self.errands.queue.clear();
                    self.errands.problem = Some(problem);
                }
            }
        }
        commands
    }

    /// Does the worker advance the run on the screen, or wait for it to stop?
    fn is_advancing(&self) -> bool {
        let state = self.run_state();
        matches!(
            state,
            Some(RunState::Running | RunState::Pausing | RunState::Cancelling)
        )
    }

    /// Why the run on the screen failed, where it is one that was asked for here.
    fn failure(&self) -> Option<String> {
        let run = self.run.as_ref()?;
        let is_ours = match self.errands.queue.front()? {
            Errand::Show(request) | Errand::Beside { request, .. } => run.trace.request == *request,
            Errand::Arrive(_) | Errand::Act(_) => true,
        };
        (run.state == RunState::Failed && is_ours).then(|| match &self.notice {
            Some(super::Notice::Failed(failure)) => failure.what.clone(),
            _ => "the run failed".to_owned(),
        })
    }

    /// Does the first errand; it is taken from the queue when it is done. Commands that come back begin a run, which is
    /// waited for.
    fn carry_out(&mut self, errand: Errand) -> Result<Vec<Command>, String> {
        match errand {
            Errand::Show(request) => {
                let is_it = |run: &Run| {
                    run.origin.is_none() && run.trace.request == request && self.made(run)
                };
                if self.run.as_ref().is_some_and(is_it) {
                    if self.can_continue() {
                        return Ok(self.go_on(None));
                    }
                    self.compared = None;
                    self.errands.queue.pop_front();
                    return Ok(Vec::new());
                }
                let found = self
                    .shelf
                    .iter()
                    .find(|run| is_it(run) && run.state != RunState::Failed)
                    .map(|run| run.id);
                match found {
                    Some(id) => {
                        self.switch_to(id);
                        Ok(Vec::new())
                    }
                    None => Ok(self.start(request)),
                }
            }
            Errand::Beside {
                request,
                branch,
                home,
            } => self.put_beside(request, branch, home),
            Errand::Arrive(place) => {
                self.errands.queue.pop_front();
                self.arrive(&place)?;
                Ok(Vec::new())
            }
            Errand::Act(act) => {
                self.errands.queue.pop_front();
                self.do_act(&act)
            }
        }
    }

    fn put_beside(
        &mut self,
        request: Request,
        branch: Option<usize>,
        home: Option<u64>,
    ) -> Result<Vec<Command>, String> {
        let current = self.run.as_ref().map_or(0, |run| run.id);
        let home = home.unwrap_or(current);
        if current != home {
            self.switch_to(home);
        }
        let origin = branch.map(|step| Origin { run: home, step });
        let is_it = |run: &&Run| {
            run.origin == origin
                && run.trace.request == request
                && run.state == RunState::Done
                && self.made(run)
        };
        if let Some(id) = self.shelf.iter().find(is_it).map(|run| run.id) {
            self.compared = Some(id);
            self.errands.queue.pop_front();
            return Ok(Vec::new());
        }
        if let Some(Errand::Beside { home: known, .. }) = self.errands.queue.front_mut() {
            *known = Some(home);
        }
        match branch {
            None => Ok(self.start(request)),
            Some(step) => self.leave_at(step, request),
        }
    }

    fn leave_at(&mut self, step: usize, request: Request) -> Result<Vec<Command>, String> {
        let done = self.run.as_ref().map_or(0, |run| run.trace.steps.len());
        if step >= done {
            return Err(no_step(step + 1, done));
        }
        Ok(self.branch(step, request))
    }

    fn do_act(&mut self, act: &Act) -> Result<Vec<Command>, String> {
        let asked = |app: &Self, ask: &Ask| {
            let request = app.request.as_ref().ok_or("there is no run yet")?;
            Ok::<_, String>(ask.apply(request))
        };
        match act {
            Act::Look(place) => {
                self.look(place)?;
                Ok(Vec::new())
            }
            // A change of how words are listened to stands beside what it changes, as it does with its key.
            Act::Ask(ask) if ask.intervenes() => {
                let request = asked(self, ask)?;
                self.leave_at(0, request)
            }
            Act::Ask(ask) => {
                let request = asked(self, ask)?;
                Ok(self.start(request))
            }
            Act::Branch(step, ask) => {
                let request = asked(self, ask)?;
                let step = step.checked_sub(1).ok_or("steps are counted from 1")?;
                self.leave_at(step, request)
            }
        }
    }

    /// Looks at `place`, from the cursor's first place on: so that a page looks the same however it was come to.
    fn arrive(&mut self, place: &Place) -> Result<(), String> {
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
    fn look(&mut self, place: &Place) -> Result<(), String> {
        if let Some(view) = place.view {
            self.view = view_of(view);
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

    fn look_at_text(&mut self, place: &Place) -> Result<(), String> {
        let detail = &mut self.cursor.detail;
        match place.side {
            Some(Side::Prompt) => detail.side = selection::Side::Prompt,
            Some(Side::Negative) => detail.side = selection::Side::Negative,
            None => {}
        }
        match place.part {
            Some(Part::Token) => detail.part = selection::Part::Token,
            Some(Part::Position) => detail.part = selection::Part::Position,
            Some(Part::Sum) => detail.part = selection::Part::Sum,
            None => {}
        }
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

    fn look_at_noise(&mut self, place: &Place) -> Result<(), String> {
        let detail = &mut self.cursor.detail;
        detail.scaled = place.scaled.unwrap_or(detail.scaled);
        match place.curve {
            Some(Curve::Sigmas) => detail.curve = selection::Curve::Sigma,
            Some(Curve::AlphasCumprod) => detail.curve = selection::Curve::Alphas,
            Some(Curve::Betas) => detail.curve = selection::Curve::Betas,
            None => {}
        }
        detail.other = place.overlay.or(detail.other);
        detail.other_steps = place.overlay_steps.or(detail.other_steps);
        match place.tensor {
            Some(StepPicture::Difference) => self.cursor.tensor = StepTensor::Difference,
            Some(StepPicture::NoiseText) => self.cursor.tensor = StepTensor::Text,
            Some(StepPicture::NoiseUncond) => self.cursor.tensor = StepTensor::Uncond,
            Some(StepPicture::NoiseGuided) => self.cursor.tensor = StepTensor::Guided,
            None => {}
        }
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

    fn look_at_attention(&mut self, place: &Place) -> Result<(), String> {
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
        match place.half {
            Some(Half::Prompt) => cursor.half = trace::Half::Text,
            Some(Half::Uncond) => cursor.half = trace::Half::Uncond,
            None => {}
        }
        match place.grid {
            Some(Grid::Words) => cursor.grid = cursor::Grid::Words,
            Some(Grid::Steps) => cursor.grid = cursor::Grid::Steps,
            Some(Grid::Layers) => cursor.grid = cursor::Grid::Layers,
            Some(Grid::Heads) => cursor.grid = cursor::Grid::Heads,
            None => {}
        }
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
            view: stage_of(self.view),
            step: self.has_steps().then_some(cursor.step),
            token: cursor.token,
            word: self.selected_word(),
            side: match detail.side {
                selection::Side::Prompt => Side::Prompt,
                selection::Side::Negative => Side::Negative,
            },
            part: match detail.part {
                selection::Part::Token => Part::Token,
                selection::Part::Position => Part::Position,
                selection::Part::Sum => Part::Sum,
            },
            text_layer: cursor.text_layer.min(self.text_states().saturating_sub(1)),
            text_head: detail.text_head,
            channel: cursor.channel,
            scaled: detail.scaled,
            curve: match detail.curve {
                selection::Curve::Sigma => Curve::Sigmas,
                selection::Curve::Alphas => Curve::AlphasCumprod,
                selection::Curve::Betas => Curve::Betas,
            },
            overlay: detail.other,
            overlay_steps: detail.other_steps,
            tensor: match cursor.tensor {
                StepTensor::Difference => StepPicture::Difference,
                StepTensor::Text => StepPicture::NoiseText,
                StepTensor::Uncond => StepPicture::NoiseUncond,
                StepTensor::Guided => StepPicture::NoiseGuided,
            },
            layer: layer.map(|layer| layer.path.clone()),
            head: cursor.attention.head,
            half: match cursor.attention.half {
                trace::Half::Text => Half::Prompt,
                trace::Half::Uncond => Half::Uncond,
            },
            grid: match cursor.attention.grid {
                cursor::Grid::Words => Grid::Words,
                cursor::Grid::Steps => Grid::Steps,
                cursor::Grid::Layers => Grid::Layers,
                cursor::Grid::Heads => Grid::Heads,
            },
            decode: self.decode,
            run: run.map_or(0, |run| run.id),
            runs: self.shelf.len() + usize::from(run.is_some()),
            parent: origin.map(|origin| origin.run),
            branched_at: origin.map(|origin| origin.step),
        }
    }

    /// What filters are asked about now; none before there is a run.
    pub fn facts(&self) -> Option<Facts> {
        let run = self.run.as_ref()?;
        let compared = self.compared_run();
        let compared = compared.map(|run| facts(&run.info, &run.trace, "compared/"));
        let facts = facts(&run.info, &run.trace, "");
        Some(
            facts
                .with_selection(&self.selection())
                .with_compared(compared),
        )
    }
}

fn no_step(step: usize, done: usize) -> String {
    format!("there is no step {step}; the run has {done}, counted from 1")
}

fn view_of(stage: Stage) -> View {
    match stage {
        Stage::Prompt => View::Prompt,
        Stage::Tokens => View::Tokens,
        Stage::Embedding => View::Embedding,
        Stage::TextEncoder => View::TextEncoder,
        Stage::Noise => View::Noise,
        Stage::Schedule => View::Schedule,
        Stage::Denoising => View::Denoising,
        Stage::Attention => View::Attention,
        Stage::Image => View::Image,
    }
}

fn stage_of(view: View) -> Stage {
    match view {
        View::Prompt => Stage::Prompt,
        View::Tokens => Stage::Tokens,
        View::Embedding => Stage::Embedding,
        View::TextEncoder => Stage::TextEncoder,
        View::Noise => Stage::Noise,
        View::Schedule => Stage::Schedule,
        View::Denoising => Stage::Denoising,
        View::Attention => Stage::Attention,
        View::Image => Stage::Image,
    }
}

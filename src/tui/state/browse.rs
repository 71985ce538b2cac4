//! What the keys mean while looking around.

use super::action::Action;
use super::app::{NOTICE, PLAYBACK, moved};
use super::editor::{Editor, Field, LineEditor};
use super::run::RunState;
use super::{App, AttentionCursor, Mode, Notice, StepTensor, View, deeper};
use crate::lesson::Depth;
use crate::trace::Guidance;
use crate::tui::worker::Command;

impl App {
    pub(super) fn browse(&mut self, action: &Action) -> Vec<Command> {
        match *action {
            Action::Help => self.mode = Mode::Help(0),
            Action::Dismiss => self.dismiss(),
            Action::NextView => self.turn(1),
            Action::PreviousView => self.turn(View::ALL.len() - 1),
            Action::Show(view) => self.view = view,
            Action::StepBack => self.go_to(self.cursor.step.saturating_sub(1)),
            Action::StepForward => return self.step_forward(),
            Action::FirstStep => self.go_to(0),
            Action::LastStep => {
                self.playback = None;
                self.cursor.follow = true;
                self.follow();
            }
            Action::GoTo(step) => {
                if let Some(newest) = self.newest() {
                    self.go_to(step.min(newest));
                }
            }
            Action::Jump if self.has_steps() || self.can_continue() => {
                self.mode = Mode::Jump(LineEditor::default());
            }
            Action::Up => self.select(false),
            Action::Down => self.select(true),
            Action::PreviousToken => self.select_token(false),
            Action::NextToken => self.select_token(true),
            Action::NextHead if self.view == View::Attention => self.next_head(),
            Action::OtherHalf => {
                let half = &mut self.cursor.attention.half;
                *half = match half {
                    Guidance::Cond => Guidance::Uncond,
                    Guidance::Uncond => Guidance::Cond,
                };
            }
            Action::Switch if self.view == View::Attention => {
                self.cursor.attention.grid = self.cursor.attention.grid.next();
            }
            Action::Less if self.view == View::Attention => {
                let strength = &mut self.cursor.attention.strength;
                *strength = strength.saturating_sub(1);
            }
            Action::More if self.view == View::Attention => {
                let strength = &mut self.cursor.attention.strength;
                *strength = (*strength + 1).min(AttentionCursor::STRONGEST);
            }
            Action::NextHead
            | Action::Switch
            | Action::SwitchAxis
            | Action::NextSchedule
            | Action::Less
            | Action::More => {
                let heads = self.text_heads();
                let run = self.run.as_ref();
                let steps = run.map_or(0, |run| run.trace.request.steps);
                self.cursor.detail.update(action, self.view, heads, steps);
            }
            Action::Weight if self.can_weigh() => {
                self.mode = Mode::Weight(LineEditor::default());
            }
            Action::Place if self.shows_attention() => self.mode = Mode::Place,
            Action::PlaceAt(across, down) => {
                self.cursor.attention.place = (across, down);
                self.mode = Mode::Place;
            }
            Action::PlayPause => return self.play_or_pause(),
            Action::Cancel if self.is_running() => {
                if let Some(run) = &mut self.run {
                    run.state = RunState::Cancelling;
                }
                return vec![Command::Cancel];
            }
            Action::Run if self.can_run_again() => {
                if let Some(request) = self.request.clone() {
                    return self.start(request);
                }
            }
            Action::Edit if self.can_edit() => {
                if let Some(request) = &self.request {
                    let model = self.info().map_or("", |info| info.name.as_str());
                    let editor = Editor::new(request, model, self.cursor.field);
                    self.mode = Mode::Edit(Box::new(editor));
                    self.came_from = Some(self.view);
                    self.view = View::Prompt;
                }
            }
            Action::Branch if self.can_branch() => {
                if let Some(request) = &self.request {
                    let editor = Editor::branch(request, self.cursor.step);
                    self.mode = Mode::Edit(Box::new(editor));
                    self.came_from = Some(self.view);
                    self.view = View::Prompt;
                }
            }
            Action::Runs => {
                let rows = self.tree();
                let current = rows.iter().position(|row| row.is_current);
                self.mode = Mode::Runs(current.unwrap_or(0));
            }
            Action::Lessons => self.show_lessons(),
            Action::Compare => self.compare(),
            Action::Explain => {
                self.explain = match self.explain {
                    None => Some(Depth::Idea),
                    Some(depth) => deeper(depth),
                };
            }
            Action::Mouse => {
                self.mouse = !self.mouse;
                let words = if self.mouse {
                    "the mouse selects here; m gives it back to the terminal"
                } else {
                    "the mouse selects text in the terminal; m takes it back"
                };
                self.notice = Some(Notice::Done(words.to_owned(), self.clock + NOTICE));
            }
            Action::Decode if self.has_steps() => self.decode = !self.decode,
            Action::Save => {
                return self.save().into_iter().collect();
            }
            Action::Export if self.run.is_some() => {
                self.offered = self.offers();
                self.mode = Mode::Export(0);
            }
            _ => return self.in_lesson(action),
        }
        Vec::new()
    }

    /// Closes the uppermost of what lies over or beside the view.
    fn dismiss(&mut self) {
        if self.notice.take().is_none()
            && self.explain.take().is_none()
            && self.compared.take().is_none()
        {
            self.playback = None;
        }
    }

    fn turn(&mut self, by: usize) {
        let at = self.view as usize;
        self.view = View::ALL[(at + by) % View::ALL.len()];
    }

    pub(super) fn go_to(&mut self, step: usize) {
        self.playback = None;
        if self.has_steps() {
            self.cursor.step = step;
            // One who goes back wants to stay there while the run goes on.
            self.cursor.follow = false;
        }
    }

    fn step_forward(&mut self) -> Vec<Command> {
        self.playback = None;
        match self.newest() {
            Some(newest) if self.cursor.step < newest => {
                self.cursor.step += 1;
                Vec::new()
            }
            _ => {
                self.cursor.follow = true;
                if self.can_continue() {
                    self.advance(RunState::Pausing, |run| Command::Step { run })
                } else {
                    Vec::new()
                }
            }
        }
    }

    fn play_or_pause(&mut self) -> Vec<Command> {
        if self.is_running() {
            return self.advance(RunState::Pausing, |_| Command::Pause);
        }
        if self.can_continue() {
            return self.go_on(None);
        }
        if self.playback.take().is_none()
            && let Some(newest) = self.newest()
        {
            if self.cursor.step >= newest {
                self.cursor.step = 0;
            }
            self.cursor.follow = false;
            self.playback = Some(self.clock + PLAYBACK);
        }
        Vec::new()
    }

    /// Lets the run go on, to its end or until the step `until` is the next one.
    pub(super) fn go_on(&mut self, until: Option<usize>) -> Vec<Command> {
        self.cursor.follow = true;
        self.follow();
        self.advance(RunState::Running, |run| Command::Play { run, until })
    }

    fn advance(&mut self, state: RunState, command: impl Fn(u64) -> Command) -> Vec<Command> {
        let Some(run) = &mut self.run else {
            return Vec::new();
        };
        run.state = state;
        vec![command(run.id)]
    }

    fn select(&mut self, forward: bool) {
        match self.view {
            View::Prompt => {
                let at = self.cursor.field as usize;
                self.cursor.field = Field::ALL[moved(at, Field::ALL.len(), forward)];
            }
            View::Tokens | View::Embedding => self.select_token(forward),
            View::TextEncoder => {
                let count = self.text_states();
                let at = self.cursor.text_layer.min(count.saturating_sub(1));
                self.cursor.text_layer = moved(at, count, forward);
            }
            View::Noise => {
                let noise = self.run.as_ref().and_then(|run| run.trace.noise.as_ref());
                let shape = noise.map(|noise| noise.initial_noise.shape.as_slice());
                let channels = shape.and_then(<[usize]>::first).copied().unwrap_or(1);
                self.cursor.channel = moved(self.cursor.channel, channels, forward);
            }
            View::Schedule => {
                if let Some(newest) = self.newest() {
                    self.go_to(moved(self.cursor.step, newest + 1, forward));
                }
            }
            View::Denoising => {
                let at = self.cursor.tensor as usize;
                self.cursor.tensor = StepTensor::ALL[moved(at, StepTensor::ALL.len(), forward)];
            }
            View::Attention => {
                let layers = self.attention().0.len();
                let at = self.cursor.attention.layer.map_or(0, |layer| layer + 1);
                let at = moved(at, layers + 1, forward);
                self.cursor.attention.layer = at.checked_sub(1);
                // Layers may differ in their number of heads.
                let count = self.head_count();
                let head = &mut self.cursor.attention.head;
                *head = head.filter(|&head| head < count);
            }
            View::Image => {}
        }
    }

    pub(super) fn select_token(&mut self, forward: bool) {
        let count = self.run.as_ref().map_or(0, |run| run.tokens().len());
        self.cursor.token = moved(self.cursor.token, count, forward);
    }

    pub(super) fn next_head(&mut self) {
        let count = self.head_count();
        let head = &mut self.cursor.attention.head;
        let next = head.map_or(0, |head| head + 1);
        *head = (next < count).then_some(next);
    }
}

//! What the keys mean while looking around, and in the lesson that is read there.

use std::sync::Arc;

use super::action::Action;
use super::app::{App, Mode, PLAYBACK};
use super::cursor::{Cursor, Grid, View, moved};
use super::editor::Editor;
use super::lesson::{Purpose, Scroll, Spot, messages};
use super::line::{InputLine, LineEditor};
use super::run::{Run, RunState};
use super::runs::By;
use super::script::Script;
use crate::lesson::Depth;
use crate::tui::worker::Command;

impl App {
    pub(super) fn browse(&mut self, action: &Action) {
        if !(self.walk(action)
            || self.look_closer(action)
            || self.change(action)
            || self.keep(action))
        {
            self.read(action);
        }
    }

    /// From view to view and from step to step. True where `action` does so, as in those below.
    fn walk(&mut self, action: &Action) -> bool {
        match *action {
            Action::NextView => self.cursor.turn(1),
            Action::PreviousView => self.cursor.turn(View::ALL.len() - 1),
            Action::Show(view) => self.cursor.view = view,
            Action::StepBack => self.go_to(self.cursor.step.saturating_sub(1)),
            Action::StepForward => self.step_forward(),
            Action::FirstStep => self.go_to(0),
            Action::LastStep => {
                self.playback = None;
                self.cursor.follow = true;
                self.with_run(Cursor::follow);
            }
            Action::GoTo(step) => self.go_to(step),
            Action::Jump if self.has_steps() || self.can_continue() => {
                self.mode = Mode::Jump(InputLine::default());
            }
            Action::PlayPause => self.play_or_pause(),
            _ => return false,
        }
        true
    }

    /// At other parts of what the view shows.
    fn look_closer(&mut self, action: &Action) -> bool {
        match *action {
            Action::Dismiss => self.dismiss(),
            Action::Choose if self.shows(self.cursor.view, Cursor::shows_matrix) => {
                self.cursor.attention.open_head();
            }
            Action::Up => self.select(false),
            Action::Down => self.select(true),
            Action::Into if self.can_step_into(self.cursor.view) => {
                self.requests.forgive_probes();
                if let Some(run) = &mut self.runs.current {
                    run.probes.forgive();
                }
                self.with_run(Cursor::step_into);
            }
            Action::Out => self.cursor.step_out(),
            Action::PreviousToken => self.with_run(|cursor, run| cursor.select_token(run, false)),
            Action::NextToken => self.with_run(|cursor, run| cursor.select_token(run, true)),
            Action::OtherHalf => self.cursor.other_half(),
            Action::NextHead
            | Action::Switch
            | Action::SwitchMeasure
            | Action::SwitchAxis
            | Action::NextSchedule
            | Action::Less
            | Action::More => self.with_run(|cursor, run| cursor.switch(action, run)),
            Action::Place if self.shows_attention(self.cursor.view) => self.mode = Mode::Place,
            Action::PlaceAt(across, down) => {
                self.cursor.attention.place = (across, down);
                self.mode = Mode::Place;
            }
            Action::Decode if self.has_steps() => self.cursor.decode = !self.cursor.decode,
            Action::Explain => {
                self.explain = match self.explain {
                    None => Some(Depth::Idea),
                    Some(depth) => depth.deeper(),
                };
            }
            Action::Lessons => self.mode = Mode::Lessons(self.lesson.row()),
            Action::Watches => self.list_watches(),
            Action::Mouse => self.switch_mouse(),
            _ => return false,
        }
        true
    }

    /// What is run.
    fn change(&mut self, action: &Action) -> bool {
        match action {
            Action::Weight if self.can_weigh(self.cursor.view) => {
                self.mode = Mode::Weight(InputLine::default());
            }
            Action::Patch if self.can_patch() => {
                self.mode = Mode::Patch(InputLine::default());
            }
            Action::Cancel if self.requests.is_probing() && !self.is_running() => {
                self.send(Command::Cancel);
            }
            Action::Cancel if self.is_looking() => {
                if let Some((run, key)) = self.requests.refuse_look() {
                    self.refuse_look(run, key);
                }
                self.send(Command::Cancel);
            }
            Action::Cancel if self.is_running() => {
                self.advance(RunState::Cancelling, |_| Command::Cancel);
            }
            Action::Cancel => self.stop_variants(),
            Action::Run if self.can_run_again() => {
                if let Some(request) = self.request().cloned() {
                    self.start(request, By::User);
                }
            }
            Action::Choose | Action::Edit if self.can_edit() => self.open_form_of(|run, cursor| {
                Editor::new(&run.trace.request, &run.info.name, cursor.field)
            }),
            Action::Branch if self.can_branch() => {
                self.open_form_of(|run, cursor| Editor::branch(&run.trace.request, cursor.step));
            }
            _ => return false,
        }
        true
    }

    /// Runs, beside one another and in files.
    fn keep(&mut self, action: &Action) -> bool {
        match action {
            Action::Runs => self.list_runs(),
            Action::Compare => {
                if !self.runs.end_comparison() {
                    self.runs.compare(self.runs.to_compare());
                }
            }
            Action::Save => {
                let run = self.runs.current.as_ref();
                let task = run.and_then(|run| self.export.save_picture(run, &self.cursor));
                self.tasks.extend(task);
            }
            Action::Export => {
                if let Some(run) = &self.runs.current {
                    let language = self.lesson.language;
                    self.export
                        .open(run, &self.cursor, self.model.made(run), language);
                    self.mode = Mode::Export(0);
                }
            }
            _ => return false,
        }
        true
    }

    fn switch_mouse(&mut self) {
        self.mouse = !self.mouse;
        let said = if self.mouse {
            [
                "the mouse selects here; m gives it back to the terminal",
                "鼠标在这里选择；按 m 交还给终端",
            ]
        } else {
            [
                "the mouse selects text in the terminal; m takes it back",
                "鼠标在终端里选取文字；按 m 收回",
            ]
        };
        self.say(said);
    }

    /// Closes the uppermost of what lies over or beside the view.
    fn dismiss(&mut self) {
        if self.notice.take().is_none()
            && self.explain.take().is_none()
            && !self.leave_head()
            && !self.runs.end_comparison()
        {
            self.playback = None;
        }
    }

    /// From a head back to the matrix that it was opened in; false where it was not.
    fn leave_head(&mut self) -> bool {
        let is_left = self.is_head_open();
        if is_left {
            self.cursor.attention.show(Grid::Matrix);
        }
        is_left
    }

    /// To `step`, or the newest one where it is not done yet.
    pub(super) fn go_to(&mut self, step: usize) {
        self.playback = None;
        if let Some(newest) = self.newest() {
            self.cursor.step = step.min(newest);
            // One who goes back wants to stay there while the run goes on.
            self.cursor.follow = false;
        }
    }

    fn step_forward(&mut self) {
        self.playback = None;
        if self.newest() > Some(self.cursor.step) {
            self.cursor.step += 1;
            return;
        }
        self.cursor.follow = true;
        if self.can_continue() {
            self.advance(RunState::Pausing, |run| Command::Step { run });
        }
    }

    fn play_or_pause(&mut self) {
        if self.toggle_series() {
            return;
        }
        if self.is_running() {
            self.advance(RunState::Pausing, |_| Command::Pause);
        } else if self.can_continue() {
            self.go_on(None);
        } else if self.playback.take().is_none()
            && let Some(newest) = self.newest()
        {
            if self.cursor.step >= newest {
                self.cursor.step = 0;
            }
            self.cursor.follow = false;
            self.playback = Some(self.clock + PLAYBACK);
        }
    }

    fn open_form_of(&mut self, form: impl FnOnce(&Run, &Cursor) -> Editor) {
        if let Some(run) = &self.runs.current {
            let form = form(run, &self.cursor);
            self.open_form(form);
        }
    }

    pub(super) fn open_form(&mut self, form: Editor) {
        self.mode = Mode::Edit(Box::new(form));
        self.came_from = Some(self.cursor.view);
        self.cursor.view = View::Prompt;
    }

    fn select(&mut self, forward: bool) {
        if self.cursor.view == View::Schedule {
            if let Some(newest) = self.newest() {
                self.go_to(moved(self.cursor.step, newest + 1, forward));
            }
            return;
        }
        self.with_run(|cursor, run| cursor.select(run, forward));
    }

    /// Moves the cursor by what there is in the run on the screen.
    pub(super) fn with_run(&mut self, change: impl FnOnce(&mut Cursor, &Run)) {
        if let Some(run) = &self.runs.current {
            change(&mut self.cursor, run);
        }
    }

    /// Carries out what belongs to the lesson that is read.
    pub(super) fn read(&mut self, action: &Action) {
        let Some(open) = &mut self.lesson.open else {
            return;
        };
        let (lesson, page) = (Arc::clone(&open.lesson), open.page);
        match action {
            Action::NextPage if open.has_next() => self.open_page(lesson, page + 1),
            Action::PreviousPage if page > 0 => self.open_page(lesson, page - 1),
            Action::Reset => self.open_page(lesson, page),
            Action::Check if open.is_open() => self.check(),
            Action::Solution => {
                let actions = self.lesson.show_solution();
                self.act(&actions);
            }
            Action::LeaveLesson => {
                self.script = Script::default();
                self.lesson.open = None;
            }
            Action::ScrollDown => open.scrolling = Some(Scroll::PageDown),
            Action::ScrollUp => open.scrolling = Some(Scroll::PageUp),
            Action::Depth => {
                open.depth = open.depth.next();
                open.scroll = 0;
                open.scroll_to(Spot::Depth);
            }
            Action::Fold => open.folded = !open.folded,
            Action::Hint if open.has_hints() => {
                open.hints += 1;
                open.remark = None;
                open.scroll_to(Spot::News);
            }
            _ => {}
        }
    }

    /// Asks whether the task is done, or for the answer to the question.
    fn check(&mut self) {
        let is_unfinished = self.is_run_unfinished();
        match &mut self.lesson.open {
            Some(open) if open.is_question() => {
                open.scroll_to(Spot::Exercise);
                self.mode = Mode::Answer(LineEditor::default());
            }
            _ if is_unfinished => self
                .lesson
                .remark(self.lesson.language.choose(messages::RUNNING)),
            _ => self.query(Purpose::Asking),
        }
    }
}

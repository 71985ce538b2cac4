//! Script: what a lesson wants done, one thing after the other, each when the run before it has finished.

use std::collections::VecDeque;

use super::run::{Origin, Run, RunState};
use super::{App, Mode, Model};
use crate::generation::{Request, RequestPatch};
use crate::lesson::{Goto, LessonAction, Location};
use crate::tui::worker::Command;

/// Something that a lesson wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum ScriptStep {
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
    Arrive(Location),
    /// Do what a reader could do.
    Act(LessonAction),
}

/// What is to be done, and what went wrong with the last of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    queue: VecDeque<ScriptStep>,
    problem: Option<String>,
}

impl Script {
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
    pub fn request_of(&self, lesson: &RequestPatch, page: &RequestPatch) -> Option<Request> {
        let Model::Ready(info) = &self.model else {
            return None;
        };
        let plain = info.default_request("");
        Some(page.apply(&lesson.apply(&plain)))
    }

    /// Takes the reader to where a page begins, in place of whatever was still to be done.
    pub fn go(&mut self, lesson: &RequestPatch, goto: &Goto) -> Vec<Command> {
        let Some(request) = self.request_of(lesson, &goto.request) else {
            return Vec::new();
        };
        let mut queue = VecDeque::from([ScriptStep::Show(request.clone())]);
        queue.extend(goto.beside.as_ref().map(|beside| ScriptStep::Beside {
            request: beside.request.apply(&request),
            branch: beside.branch.map(|step| step.saturating_sub(1)),
            home: None,
        }));
        queue.push_back(ScriptStep::Arrive(goto.location.clone()));
        self.mode = Mode::Browse;
        self.came_from = None;
        self.script = Script {
            queue,
            problem: None,
        };
        self.proceed()
    }

    /// Does what a reader could do, after what is still to be done.
    pub fn act(&mut self, acts: &[LessonAction]) -> Vec<Command> {
        let acts = acts.iter().cloned().map(ScriptStep::Act);
        self.script.queue.extend(acts);
        self.proceed()
    }

    /// Forgets what is still to be done: the reader goes elsewhere.
    pub fn forget_script(&mut self) {
        self.script = Script::default();
    }

    /// Does what can be done now of what is to be done.
    pub(super) fn proceed(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(step) = self.script.queue.front().cloned() {
            if !matches!(self.model, Model::Ready(_)) || self.is_advancing() {
                break;
            }
            if let Some(why) = self.failure() {
                self.script.queue.clear();
                self.script.problem = Some(why);
                break;
            }
            match self.carry_out(step) {
                Ok(new) if new.is_empty() => {}
                Ok(new) => {
                    commands.extend(new);
                    break;
                }
                Err(problem) => {
                    self.script.queue.clear();
                    self.script.problem = Some(problem);
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
        let is_ours = match self.script.queue.front()? {
            ScriptStep::Show(request) | ScriptStep::Beside { request, .. } => {
                run.trace.request == *request
            }
            ScriptStep::Arrive(_) | ScriptStep::Act(_) => true,
        };
        (run.state == RunState::Failed && is_ours).then(|| match &self.notice {
            Some(super::Notice::Failed(failure)) => failure.what.clone(),
            _ => "the run failed".to_owned(),
        })
    }

    /// Does the first step; it is taken from the queue when it is done. Commands that come back begin a run, which is
    /// waited for.
    fn carry_out(&mut self, step: ScriptStep) -> Result<Vec<Command>, String> {
        match step {
            ScriptStep::Show(request) => {
                let is_it = |run: &Run| {
                    run.origin.is_none() && run.trace.request == request && self.made(run)
                };
                if self.run.as_ref().is_some_and(is_it) {
                    if self.can_continue() {
                        return Ok(self.go_on(None));
                    }
                    self.compared = None;
                    self.script.queue.pop_front();
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
            ScriptStep::Beside {
                request,
                branch,
                home,
            } => self.put_beside(request, branch, home),
            ScriptStep::Arrive(place) => {
                self.script.queue.pop_front();
                self.arrive(&place)?;
                Ok(Vec::new())
            }
            ScriptStep::Act(act) => {
                self.script.queue.pop_front();
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
            self.script.queue.pop_front();
            return Ok(Vec::new());
        }
        if let Some(ScriptStep::Beside { home: known, .. }) = self.script.queue.front_mut() {
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

    fn do_act(&mut self, act: &LessonAction) -> Result<Vec<Command>, String> {
        let asked = |app: &Self, ask: &RequestPatch| {
            let request = app.request.as_ref().ok_or("there is no run yet")?;
            Ok::<_, String>(ask.apply(request))
        };
        match act {
            LessonAction::Look(place) => {
                self.look(place)?;
                Ok(Vec::new())
            }
            // A change of how words are listened to stands beside what it changes, as it does with its key.
            LessonAction::Run(ask) if ask.intervenes() => {
                let request = asked(self, ask)?;
                self.leave_at(0, request)
            }
            LessonAction::Run(ask) => {
                let request = asked(self, ask)?;
                Ok(self.start(request))
            }
            LessonAction::Branch(step, ask) => {
                let request = asked(self, ask)?;
                let step = step.checked_sub(1).ok_or("steps are counted from 1")?;
                self.leave_at(step, request)
            }
        }
    }
}

pub(super) fn no_step(step: usize, done: usize) -> String {
    format!("there is no step {step}; the run has {done}, counted from 1")
}

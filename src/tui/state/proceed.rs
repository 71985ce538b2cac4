//! Carrying out a lesson's script, by what a reader could do.

use std::sync::Arc;

use super::app::{App, Mode, Model, Notice};
use super::cursor::Cursor;
use super::lesson::page_request;
use super::location::LocationError;
use super::run::{Origin, Run, RunState};
use super::runs::By;
use super::script::{Script, ScriptStep};
use crate::generation::{ModelInfo, Request, RequestPatch};
use crate::lesson::{Goto, LessonAction, Location};

impl App {
    /// Takes the reader to where a page begins, in place of whatever was still to be done.
    pub fn go(&mut self, lesson: &RequestPatch, goto: &Goto) {
        let Model::Ready(info) = &self.model else {
            return;
        };
        let request = page_request(lesson, &goto.request, info);
        let beside = goto.beside.as_ref().map(|beside| ScriptStep::Beside {
            request: beside.request.apply(&request),
            branch: beside.branch.map(|step| step.saturating_sub(1)),
            home: None,
        });
        let arrive = ScriptStep::Arrive(goto.location.clone());
        let steps = [ScriptStep::Show(request)].into_iter();
        self.script = Script::new(steps.chain(beside).chain([arrive]));
        self.mode = Mode::Browse;
        self.came_from = None;
        self.proceed();
    }

    /// Does what a reader could do, after what is still to be done.
    pub fn act(&mut self, acts: &[LessonAction]) {
        let steps = acts.iter().cloned().map(ScriptStep::Act);
        self.script.queue.extend(steps);
        self.proceed();
    }

    /// Does what can be done now of a lesson's script.
    pub(super) fn proceed(&mut self) {
        while let (Model::Ready(info), Some(step)) = (&self.model, self.script.queue.front()) {
            let info = Arc::clone(info);
            let run = self.runs.current.as_ref();
            if run.is_some_and(Run::is_advancing) {
                break;
            }
            if run.is_some_and(|run| step.is_stopped_by(run)) {
                let why = match &self.notice {
                    Some(Notice::Failed(failure)) => failure.what.clone(),
                    _ => ["the run failed", "运行失败了"].map(str::to_owned),
                };
                self.script.fail(why);
                break;
            }
            let done = match self.script.queue.pop_front() {
                None => break,
                Some(ScriptStep::Show(request)) => {
                    self.show(request, &info);
                    Ok(())
                }
                Some(ScriptStep::Beside {
                    request,
                    branch,
                    home,
                }) => self.put_beside(request, branch, home, &info),
                Some(ScriptStep::Arrive(place)) => self.arrive(&place),
                Some(ScriptStep::Act(action)) => self.do_as_a_reader(action),
            };
            if let Err(problem) = done {
                self.script.fail(problem.said());
            }
        }
    }

    /// Puts the run of `request` on the screen; what must still be done before it is there and done comes first.
    fn show(&mut self, request: Request, info: &Arc<ModelInfo>) {
        let is_it = |run: &Run| {
            run.origin.is_none() && run.trace.request == request && run.is_made_by(info)
        };
        let found = |run: &&Run| is_it(run) && run.state != RunState::Failed;
        match &self.runs.current {
            Some(run) if is_it(run) && run.is_waiting() => self.go_on(None),
            Some(run) if is_it(run) => return self.runs.compare(None),
            _ => match self.runs.others.iter().find(found) {
                Some(run) => self.switch_to(run.id),
                None => self.start(request.clone(), By::Program),
            },
        }
        self.script.queue.push_front(ScriptStep::Show(request));
    }

    fn put_beside(
        &mut self,
        request: Request,
        branch: Option<usize>,
        home: Option<u64>,
        info: &Arc<ModelInfo>,
    ) -> Result<(), LocationError> {
        let current = self.runs.current.as_ref().map_or(0, |run| run.id);
        let home = home.filter(|&home| self.runs.find(home).is_some());
        let home = home.unwrap_or(current);
        let origin = branch.map(|step| Origin { run: home, step });
        let is_it = |run: &&Run| {
            run.origin == origin
                && run.trace.request == request
                && run.state == RunState::Done
                && run.is_made_by(info)
        };
        if current != home {
            self.switch_to(home);
        } else if let Some(run) = self.runs.others.iter().find(is_it) {
            self.runs.compare(Some(run.id));
            return Ok(());
        } else if let Some(step) = branch {
            self.leave_at(step, request.clone())?;
        } else {
            self.start(request.clone(), By::Program);
        }
        self.script.queue.push_front(ScriptStep::Beside {
            request,
            branch,
            home: Some(home),
        });
        Ok(())
    }

    /// A branch of the run on the screen, which must have the step.
    fn leave_at(&mut self, step: usize, request: Request) -> Result<(), LocationError> {
        let count = self.run().map_or(0, |run| run.trace.steps.len());
        if step >= count {
            let step = step + 1;
            return Err(LocationError::Step { step, count });
        }
        self.branch(step, request, By::Program);
        Ok(())
    }

    /// A page looks the same however it was come to.
    fn arrive(&mut self, place: &Location) -> Result<(), LocationError> {
        self.cursor = Cursor {
            view: self.cursor.view,
            field: self.cursor.field,
            ..Cursor::default()
        };
        self.with_run(|cursor, run| cursor.settle(run, true));
        self.with_run(Cursor::follow);
        self.look(place)
    }

    fn look(&mut self, place: &Location) -> Result<(), LocationError> {
        self.playback = None;
        let run = self.runs.current.as_ref().ok_or(LocationError::NoRun)?;
        self.cursor.apply_location(place, run)
    }

    fn do_as_a_reader(&mut self, action: LessonAction) -> Result<(), LocationError> {
        let before = self.request().cloned().ok_or(LocationError::NoRun)?;
        match action {
            LessonAction::Look(place) => return self.look(&place),
            // A change of the attention to words stands beside what it changes, as it does with its key.
            LessonAction::Run(ask) if ask.intervenes() => self.leave_at(0, ask.apply(&before))?,
            LessonAction::Run(ask) => self.start(ask.apply(&before), By::Program),
            LessonAction::Branch(step, ask) => {
                let step = step.checked_sub(1).ok_or(LocationError::StepZero)?;
                self.leave_at(step, ask.apply(&before))?;
            }
        }
        Ok(())
    }
}

//! A lesson's script: what it wants done, one thing after the other, each when the run before it has finished.

use std::collections::VecDeque;
use std::sync::Arc;

use super::location::LocationError;
use super::run::{Origin, Run, RunState};
use super::runs::Runs;
use crate::generation::{ModelInfo, Request, RequestPatch};
use crate::lesson::{Goto, LessonAction, Location};

/// Something that a lesson wants done.
#[derive(Debug, Clone, PartialEq)]
enum ScriptStep {
    /// Put the run of this request on the screen, made anew if need be.
    Show(Request),
    /// Put a run of this request beside the one on the screen; as a branch of it, from this step on, counted from 0.
    Beside {
        request: Request,
        branch: Option<usize>,
        /// The run that it stands beside, once it is known.
        home: Option<u64>,
    },
    /// Look at something, from the cursor's first place on.
    Arrive(Location),
    /// Do what a reader could do.
    Act(LessonAction),
}

/// What the next step of a script comes to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Instruction {
    Start(Request),
    /// A branch of the run on the screen, from this step on.
    Branch(usize, Request),
    /// Let the run on the screen go on to its end.
    Continue,
    /// Put another run on the screen.
    SwitchTo(u64),
    /// Put this run, or none, beside the one on the screen.
    Compare(Option<u64>),
    Arrive(Location),
    Look(Location),
}

/// What is to be done, and what went wrong with the last of it.
#[derive(Debug, Clone, Default)]
pub struct Script {
    queue: VecDeque<ScriptStep>,
    problem: Option<String>,
}

impl Script {
    /// Is nothing left to be done?
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What went wrong, once.
    pub fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }

    /// What takes a reader to where a page begins.
    pub(super) fn goto(request: &Request, goto: &Goto) -> Self {
        let mut queue = VecDeque::from([ScriptStep::Show(request.clone())]);
        queue.extend(goto.beside.as_ref().map(|beside| ScriptStep::Beside {
            request: beside.request.apply(request),
            branch: beside.branch.map(|step| step.saturating_sub(1)),
            home: None,
        }));
        queue.push_back(ScriptStep::Arrive(goto.location.clone()));
        Self {
            queue,
            problem: None,
        }
    }

    /// Adds what a reader could do.
    pub(super) fn add(&mut self, acts: &[LessonAction]) {
        self.queue.extend(acts.iter().cloned().map(ScriptStep::Act));
    }

    /// Nothing is done of what is left.
    pub(super) fn fail(&mut self, problem: String) {
        self.queue.clear();
        self.problem = Some(problem);
    }

    /// Does a run on the screen that failed stand in the way of the next step?
    pub(super) fn is_stopped_by(&self, run: &Run) -> bool {
        run.state == RunState::Failed
            && self.queue.front().is_some_and(|step| match step {
                ScriptStep::Show(request) | ScriptStep::Beside { request, .. } => {
                    run.trace.request == *request
                }
                ScriptStep::Arrive(_) | ScriptStep::Act(_) => true,
            })
    }

    /// What comes next, on the open model; a step that needs a run stays until that is there.
    pub(super) fn next(
        &mut self,
        runs: &Runs,
        info: &Arc<ModelInfo>,
    ) -> Result<Option<Instruction>, LocationError> {
        let Some(step) = self.queue.pop_front() else {
            return Ok(None);
        };
        let instruction = match step {
            ScriptStep::Show(request) => self.show(request, runs, info),
            ScriptStep::Beside {
                request,
                branch,
                home,
            } => self.put_beside(request, branch, home, runs, info)?,
            ScriptStep::Arrive(place) => Instruction::Arrive(place),
            ScriptStep::Act(act) => do_act(act, runs)?,
        };
        Ok(Some(instruction))
    }

    /// The run of `request`; what must still be done before it is on the screen and done comes first.
    fn show(&mut self, request: Request, runs: &Runs, info: &Arc<ModelInfo>) -> Instruction {
        let is_it = |run: &Run| {
            run.origin.is_none() && run.trace.request == request && run.is_made_by(info)
        };
        let found = |run: &&Run| is_it(run) && run.state != RunState::Failed;
        let instruction = match &runs.current {
            Some(run) if is_it(run) && run.is_waiting() => Instruction::Continue,
            Some(run) if is_it(run) => return Instruction::Compare(None),
            _ => match runs.others.iter().find(found) {
                Some(run) => Instruction::SwitchTo(run.id),
                None => Instruction::Start(request.clone()),
            },
        };
        self.queue.push_front(ScriptStep::Show(request));
        instruction
    }

    fn put_beside(
        &mut self,
        request: Request,
        branch: Option<usize>,
        home: Option<u64>,
        runs: &Runs,
        info: &Arc<ModelInfo>,
    ) -> Result<Instruction, LocationError> {
        let current = runs.current.as_ref().map_or(0, |run| run.id);
        let home = home.filter(|&home| runs.find(home).is_some());
        let home = home.unwrap_or(current);
        let origin = branch.map(|step| Origin { run: home, step });
        let is_it = |run: &&Run| {
            run.origin == origin
                && run.trace.request == request
                && run.state == RunState::Done
                && run.is_made_by(info)
        };
        let instruction = if current != home {
            Instruction::SwitchTo(home)
        } else if let Some(run) = runs.others.iter().find(is_it) {
            return Ok(Instruction::Compare(Some(run.id)));
        } else if let Some(step) = branch {
            leave_at(step, request.clone(), runs)?
        } else {
            Instruction::Start(request.clone())
        };
        self.queue.push_front(ScriptStep::Beside {
            request,
            branch,
            home: Some(home),
        });
        Ok(instruction)
    }
}

/// A branch of the run on the screen, which must have the step.
fn leave_at(step: usize, request: Request, runs: &Runs) -> Result<Instruction, LocationError> {
    let count = runs.current.as_ref().map_or(0, |run| run.trace.steps.len());
    if step >= count {
        return Err(LocationError::Step {
            step: step + 1,
            count,
        });
    }
    Ok(Instruction::Branch(step, request))
}

fn do_act(act: LessonAction, runs: &Runs) -> Result<Instruction, LocationError> {
    let asked = |ask: &RequestPatch| {
        let run = runs.current.as_ref().ok_or(LocationError::NoRun)?;
        Ok(ask.apply(&run.trace.request))
    };
    match act {
        LessonAction::Look(place) => Ok(Instruction::Look(place)),
        // A change of the attention to words stands beside what it changes, as it does with its key.
        LessonAction::Run(ask) if ask.intervenes() => leave_at(0, asked(&ask)?, runs),
        LessonAction::Run(ask) => Ok(Instruction::Start(asked(&ask)?)),
        LessonAction::Branch(step, ask) => {
            let request = asked(&ask)?;
            let step = step.checked_sub(1).ok_or(LocationError::StepZero)?;
            leave_at(step, request, runs)
        }
    }
}

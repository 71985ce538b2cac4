//! A lesson's script: what it wants done, one thing after the other, each when the run before it has finished.

use std::collections::VecDeque;

use super::run::{Run, RunState};
use crate::generation::Request;
use crate::lesson::{LessonAction, Location};

/// Something that a lesson wants done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ScriptStep {
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

impl ScriptStep {
    /// Does a run on the screen that failed stand in the way?
    pub fn is_stopped_by(&self, run: &Run) -> bool {
        run.state == RunState::Failed
            && match self {
                Self::Show(request) | Self::Beside { request, .. } => run.trace.request == *request,
                Self::Arrive(_) | Self::Act(_) => true,
            }
    }
}

/// What is to be done, and what went wrong with the last of it.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub(super) queue: VecDeque<ScriptStep>,
    problem: Option<[String; 2]>,
}

impl Script {
    pub(super) fn new(steps: impl IntoIterator<Item = ScriptStep>) -> Self {
        Self {
            queue: steps.into_iter().collect(),
            problem: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What went wrong, once.
    pub fn take_problem(&mut self) -> Option<[String; 2]> {
        self.problem.take()
    }

    /// Nothing is done of what is left.
    pub fn fail(&mut self, problem: [String; 2]) {
        self.queue.clear();
        self.problem = Some(problem);
    }
}

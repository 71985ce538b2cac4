//! The lesson that is read: its pages are opened, and its filters asked.

use std::sync::Arc;

use super::app::{App, Mode, Model};
use super::lesson::{Purpose, Seen};
use super::location::{run_json, selection};
use super::run::{Run, RunState};
use crate::lesson::{Lesson, RunJson};
use crate::tui::worker::{FilterQuery, Job, Task};

impl App {
    /// Opens `lesson` where it was left.
    pub fn begin(&mut self, lesson: Lesson) {
        let page = self.lesson.progress.page(&lesson);
        self.mode = Mode::Browse;
        self.explain = None;
        self.open_page(Arc::new(lesson), page);
    }

    pub(super) fn open_page(&mut self, lesson: Arc<Lesson>, page: usize) {
        let (request, goto) = (lesson.request.clone(), lesson.pages[page].goto.clone());
        self.lesson.open_page(lesson, page);
        self.notice = None;
        // Before the model is there, nothing is done; then the page is opened anew.
        self.go(&request, &goto);
    }

    /// Asks what a page wants to know now.
    pub(super) fn query_filters(&mut self) {
        if let Some(problem) = self.script.take_problem() {
            let problem = self.lesson.language.choose(problem);
            self.lesson.cannot_open(&problem);
        }
        let open = self.lesson.open.as_ref();
        if let Some(open) = open.filter(|_| !self.is_run_unfinished())
            && let Some(purpose) = open.next_query()
            && match purpose {
                Purpose::Opening => self.is_at_page(),
                _ => open.seen.as_ref() != Some(&self.seen()),
            }
        {
            self.query(purpose);
        }
    }

    pub(super) fn query(&mut self, purpose: Purpose) {
        let seen = self.seen();
        let run_json = run_json(&self.runs, &seen.selection);
        let (Some(open), Some(run), Some(run_json)) =
            (&mut self.lesson.open, &self.runs.current, run_json)
        else {
            return;
        };
        let filters = open.filters(purpose, Arc::clone(&run.info), seen);
        if !filters.is_empty() {
            self.queries += 1;
            open.asked = Some((self.queries, purpose));
            let query = FilterQuery {
                number: self.queries,
                run_json,
                filters,
            };
            self.tasks.push(Task::Job(Job::Evaluate(Box::new(query))));
        }
    }

    /// Is there no run that a page's filters could be asked of?
    pub(super) fn is_run_unfinished(&self) -> bool {
        let is_done = self.run_state() == Some(&RunState::Done);
        !(is_done || self.run().is_some_and(Run::is_waiting)) || !self.script.is_empty()
    }

    /// Is the run of the page that is read on the screen, and done?
    fn is_at_page(&self) -> bool {
        let (Model::Ready(info), Some(run)) = (&self.model, &self.runs.current) else {
            return false;
        };
        run.state == RunState::Done
            && run.origin.is_none()
            && self.lesson.request(info).as_ref() == Some(&run.trace.request)
    }

    fn seen(&self) -> Seen {
        let run = self.runs.current.as_ref();
        Seen {
            selection: selection(&self.cursor, &self.runs),
            steps: run.map(|run| run.trace.steps.len()),
            compared: self.runs.compared().map(|run| run.id),
        }
    }

    /// What filters are asked about now; none before there is a run.
    pub fn facts(&self) -> Option<RunJson> {
        run_json(&self.runs, &self.seen().selection)
    }
}

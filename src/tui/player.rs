//! The inspector without a terminal, for checking lessons: it is the real one, with nobody at it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::generation::{ModelInfo, RequestPatch};
use crate::lesson::check::{Inspector, InspectorError};
use crate::lesson::filter::Input;
use crate::lesson::{Depth, Language, Lesson, LessonAction};
use crate::tui::state::lesson::OpenLesson;
use crate::tui::state::{App, Model};
use crate::tui::ui::screen;
use crate::tui::worker::{Loader, Worker};

/// The longest that one thing may take: a full-size model on a processor takes minutes for a run.
const TIMEOUT: Duration = Duration::from_hours(1);
/// The screen on which a page's highlights must be.
const SCREEN: (u16, u16) = (120, 40);
/// Memory for the attention maps of all runs, in bytes.
const ATTENTION: usize = 512 << 20;

pub struct Player {
    app: App,
    worker: Worker,
    /// The page that is open, where it points at something.
    page: Option<(Arc<Lesson>, usize)>,
}

impl Player {
    /// Starts it with the model that `loader` loads, and waits until that is there.
    ///
    /// # Errors
    /// A model that does not load.
    pub fn start(loader: Loader) -> Result<Self, InspectorError> {
        let request = RequestPatch::default();
        let worker = Worker::spawn(loader, request)?;
        let mut app = App::new(ATTENTION);
        // Each page says what it wants run.
        app.waits = true;
        let mut player = Self {
            app,
            worker,
            page: None,
        };
        player.wait()?;
        match &player.app.model {
            Model::Failed(failure) => Err(InspectorError::Refused(failure.what[0].clone())),
            _ => Ok(player),
        }
    }

    /// Waits until everything is done that was begun.
    fn wait(&mut self) -> Result<(), InspectorError> {
        let start = Instant::now();
        let mut tasks = self.app.take_tasks();
        loop {
            for task in tasks.drain(..) {
                self.worker.send(task);
            }
            if !self.app.is_busy() && self.app.script.is_empty() {
                break;
            }
            match self.worker.updates.recv_timeout(Duration::from_secs(1)) {
                Ok(update) => tasks = self.app.apply(update),
                Err(_) if start.elapsed() > TIMEOUT => return Err(InspectorError::Endless),
                Err(_) => {}
            }
        }
        match self.app.script.take_problem() {
            // What a check says is English, whatever the lesson is in.
            Some([problem, _]) => Err(InspectorError::Refused(problem)),
            None => Ok(()),
        }
    }
}

impl Inspector for Player {
    fn model(&self) -> Result<Arc<ModelInfo>, InspectorError> {
        match &self.app.model {
            Model::Ready(info) => Ok(Arc::clone(info)),
            _ => Err(InspectorError::NoModel),
        }
    }

    fn speak(&mut self, language: Language) {
        self.app.lesson.language = language;
    }

    fn open(&mut self, lesson: &Lesson, page: usize) -> Result<(), InspectorError> {
        self.app.notice = None;
        let goto = &lesson.pages[page].goto;
        self.app.go(&lesson.request, goto);
        self.page = (!goto.highlight.is_empty()).then(|| (lesson.clone().into(), page));
        self.wait()
    }

    fn act(&mut self, action: &LessonAction) -> Result<(), InspectorError> {
        self.app.act(std::slice::from_ref(action));
        self.wait()
    }

    fn input(&mut self) -> Result<Input, InspectorError> {
        let run = self.app.facts().ok_or(InspectorError::NoRun)?;
        Ok(run.input()?)
    }

    fn shows(&mut self, text: &str) -> bool {
        // With the lesson beside the view, as its reader has it.
        let open = self.page.clone();
        self.app.lesson.open =
            open.map(|(lesson, page)| OpenLesson::new(lesson, page, Depth::Idea));
        let shows = screen::shows(&self.app, SCREEN, text);
        self.app.lesson.open = None;
        shows
    }
}

//! Watch expressions: filters that are asked about every step of the runs on the screen, and breakpoints.

use std::sync::Arc;

use super::action::{Action, Typing};
use super::app::{App, Mode};
use super::line::InputLine;
use super::run::Run;
use crate::export::{Stopped, WatchValue};
use crate::lesson::Watch;
use crate::tui::worker::{Asked, Command, Failure, Job, Task, WatchQuery};

/// More than that nobody watches, and each is asked at every step.
const MOST: usize = 16;

/// The watch expressions of this session.
#[derive(Debug, Clone, Default)]
pub struct WatchList {
    pub items: Vec<Watch>,
    /// Were some asked, and have not answered yet?
    is_pending: bool,
}

/// The list while it is open.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WatchMenu {
    /// The selected row.
    pub row: usize,
    /// A new one, while it is typed.
    pub input: Option<InputLine>,
}

impl WatchList {
    /// What is not known yet of `run`.
    fn missing(&self, run: &Run) -> Option<WatchQuery> {
        let steps = run.trace.steps.len();
        let asked = self.items.iter().zip(&run.watched);
        let asked = asked.map(|(watch, watched)| Asked {
            watch: watch.clone(),
            first: watched.values.len(),
        });
        let asked: Vec<Asked> = asked.filter(|asked| asked.first < steps).collect();
        (!asked.is_empty()).then(|| WatchQuery {
            run: run.id,
            info: Arc::clone(&run.info),
            trace: run.trace.clone(),
            asked,
        })
    }
}

impl App {
    /// Shows the watch expressions; where there are none, one is typed at once.
    pub(super) fn list_watches(&mut self) {
        let is_empty = self.watches.items.is_empty();
        self.mode = Mode::Watches(WatchMenu {
            row: 0,
            input: is_empty.then(InputLine::default),
        });
    }

    /// In the list, or while a new one is typed.
    pub(super) fn edit_watches(&mut self, action: &Action) {
        let Mode::Watches(menu) = &mut self.mode else {
            return;
        };
        if let Some(input) = &mut menu.input {
            match action {
                Action::Dismiss => self.leave_watch_line(),
                Action::Type(Typing::Submit) if input.typed().is_empty() => self.leave_watch_line(),
                Action::Type(Typing::Submit) => self.add_watch(),
                Action::Type(typing) => input.apply(typing),
                _ => {}
            }
            return;
        }
        let row = menu.row;
        match action {
            Action::Edit => menu.input = Some(InputLine::default()),
            Action::Break => self.switch_breakpoint(row),
            Action::Delete if row < self.watches.items.len() => {
                self.watches.items.remove(row);
                menu.row = row.min(self.watches.items.len().saturating_sub(1));
                self.tell_watches();
            }
            Action::Watches | Action::Dismiss => self.mode = Mode::Browse,
            _ => {}
        }
    }

    fn leave_watch_line(&mut self) {
        match &mut self.mode {
            Mode::Watches(menu) if !self.watches.items.is_empty() => menu.input = None,
            _ => self.mode = Mode::Browse,
        }
    }

    fn add_watch(&mut self) {
        let language = self.lesson.language;
        let Mode::Watches(WatchMenu { row, input }) = &mut self.mode else {
            return;
        };
        let Some(line) = input else {
            return;
        };
        let items = &mut self.watches.items;
        let typed = line.typed().to_owned();
        let problem = match Watch::parse(&typed, false) {
            Err(error) => Some(error.to_string()),
            Ok(watch) if items.iter().any(|item| item.filter == watch.filter) => Some(
                language
                    .choose(["it is watched already", "已经在监视"])
                    .to_owned(),
            ),
            Ok(_) if items.len() >= MOST => Some(language.choose([
                format!("{MOST} are the most: delete one first"),
                format!("最多 {MOST} 个：请先删除一个"),
            ])),
            Ok(watch) => {
                items.push(watch);
                *row = items.len() - 1;
                None
            }
        };
        if problem.is_some() {
            line.problem = problem;
            return;
        }
        *input = None;
        self.tell_watches();
    }

    fn switch_breakpoint(&mut self, row: usize) {
        if self.recorded {
            return self.say([
                "a recorded run does not stop: its values stand here",
                "记录的运行不会停下：这里显示它的值",
            ]);
        }
        if let Some(watch) = self.watches.items.get_mut(row) {
            watch.breaks = !watch.breaks;
            self.tell_watches();
        }
    }

    /// Tells the worker what is watched: it stops where a breakpoint is true, and records what they look at.
    fn tell_watches(&mut self) {
        let watches = self.watches.items.clone();
        self.send(Command::Watch(watches));
    }

    /// Asks for what is not known yet of the runs on the screen; all runs are watched by the same expressions.
    pub(super) fn query_watches(&mut self) {
        let ids: Vec<u64> = self.runs.all().map(|run| run.id).collect();
        for id in ids {
            if let Some(run) = self.runs.find_mut(id) {
                run.watch(&self.watches.items);
            }
        }
        if self.watches.is_pending {
            return;
        }
        let mut shown = self.runs.current.iter().chain(self.runs.compared());
        let query = shown.find_map(|run| self.watches.missing(run));
        if let Some(query) = query {
            self.watches.is_pending = true;
            self.tasks.push(Task::Job(Job::Watch(Box::new(query))));
        }
    }

    /// Takes in what was asked.
    pub(super) fn take_watched(&mut self, run: u64, answers: Vec<(Asked, Vec<WatchValue>)>) {
        self.watches.is_pending = false;
        if let Some(run) = self.runs.find_mut(run) {
            for (asked, values) in answers {
                run.keep_watched(asked.watch.filter.code(), asked.first, values);
            }
        }
    }

    /// A breakpoint stopped `run`, which waits.
    pub(super) fn stopped(&mut self, run: u64, stopped: &Stopped) {
        if !self.runs.is_current(run) {
            return;
        }
        let (step, filter) = (stopped.step + 1, &stopped.filter);
        match &stopped.error {
            None => self.say([
                format!("stopped after step {step}: {filter} is true; space goes on"),
                format!("在第 {step} 步之后停下：{filter} 为真；按空格继续"),
            ]),
            Some(error) => {
                let what = [
                    format!(
                        "Stopped after step {step}: the breakpoint {filter} has no answer: {error}"
                    ),
                    format!("在第 {step} 步之后停下：断点 {filter} 没有答案：{error}"),
                ];
                let advice = [
                    "W shows the watch expressions: b makes it an ordinary one, d deletes it. Space lets the run go on.",
                    "按 W 显示监视表达式：b 取消断点，d 删除。按空格继续运行。",
                ];
                self.notice = Some(super::Notice::Failed(Failure::new(what, advice)));
            }
        }
    }
}

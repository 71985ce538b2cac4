//! Taking in what the worker says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::action::Action;
use super::app::{App, Mode, Model, Notice, Opening};
use super::editor::Field;
use super::requests::Wanted;
use super::run::{Run, RunState};
use super::runs::By;
use crate::checkpoint::{BrokenWeight, EMBEDDED};
use crate::generation::{ModelInfo, Request};
use crate::trace::{Event, ImageTrace};
use crate::tui::not_finite;
use crate::tui::worker::{Failure, LookKey, Pictures, Update, Work};

impl App {
    pub(super) fn take_in(&mut self, update: Update) {
        match update {
            Update::Loaded {
                info,
                request,
                note,
                recorded,
                tokenizer,
            } => {
                self.recorded = recorded;
                self.tokenizer = tokenizer;
                self.begin_with(info, *request);
                if let Some(note) = note {
                    self.say(note);
                }
            }
            Update::LoadFailed(failure) => self.no_model(failure),
            Update::Branched { run, branches } => {
                if let Some(run) = self.runs.find_mut(run) {
                    run.trace.branches = branches;
                }
            }
            Update::Begins { run, work } => self.begin_work(run, work),
            Update::Recorded {
                run,
                event,
                pictures,
            } => self.record(run, event, pictures),
            Update::Blamed { run, weight } if self.runs.is_current(run) => {
                self.say_not_finite(Some(weight));
            }
            Update::Blamed { .. } => {}
            Update::Paused { run, cancelled } if cancelled => {
                self.set_state(run, RunState::Cancelled);
            }
            Update::Paused { run, .. } => self.set_state(run, RunState::Paused),
            Update::Done { run } => {
                self.set_state(run, RunState::Done);
                let run = self.runs.find(run);
                let task = run.and_then(|run| self.export.write_first(run));
                self.tasks.extend(task);
            }
            Update::RunFailed { run, failure } => {
                self.set_state(run, RunState::Failed);
                self.fail(run, failure);
            }
            Update::Attention { run, key, maps } => {
                self.receive(run, Wanted::Attention(key), maps, |run, maps| {
                    if !maps.is_empty() {
                        run.keep_attention(key, maps);
                    }
                });
            }
            Update::Looked { run, key, found } => {
                if found.is_err() {
                    self.refuse_look(run, key);
                }
                self.receive(run, Wanted::Look(key), found, |run, found| {
                    if let Some(found) = found {
                        run.looked.keep(key, found);
                    }
                });
            }
            Update::Decoded { run, step, image } => {
                self.receive(run, Wanted::Decode(step), image, |run, image| {
                    run.decoded.insert(step, image);
                });
            }
            Update::Probed { run, key, features } => {
                if let (Err(_), Some(run)) = (&features, self.runs.find_mut(run)) {
                    run.probes.refuse(key);
                }
                self.receive(run, Wanted::Probe(key), features, |run, features| {
                    run.keep_probed(key, features);
                });
            }
            Update::Fitted { run, key, sizes } => {
                self.receive(run, Wanted::Probe(key), sizes, |run, sizes| {
                    run.probes.insert_sizes(key.half, key.step, sizes);
                });
            }
            Update::Variant {
                run,
                variant,
                image,
            } => self.take_variant(run, variant, image),
            Update::LatentPath { runs, path } => self.take_chart(runs, path),
            Update::Vocabulary {
                run,
                vocabulary,
                scheduler_config,
            } => {
                if let Some(run) = self.runs.find_mut(run) {
                    run.vocabulary = Some(vocabulary);
                    run.scheduler_config = Some(scheduler_config);
                }
            }
            Update::Watched { run, answers } => self.take_watched(run, answers),
            Update::Stopped { run, stopped } => self.stopped(run, &stopped),
            Update::Evaluated { query, values } => self.lesson.take_values(query, values),
            Update::Saved { kept, saved } => self.saved(kept, saved),
        }
    }

    /// Begins with `request` on a model that is there now, unless a lesson says what is run.
    fn begin_with(&mut self, info: Arc<ModelInfo>, request: Request) {
        // What the program starts with is made in no time by the embedded model, and is in its files if it is recorded.
        let is_first = self.opening.take().is_none();
        let by = if is_first && (self.recorded || info.name == EMBEDDED) {
            By::Program
        } else {
            By::User
        };
        self.model = Model::Ready(info);
        if std::mem::take(&mut self.waits) {
            self.read(&Action::Reset);
        } else {
            self.start(request, by);
        }
    }

    /// Files were written, with which the run `kept` is kept; or not.
    fn saved(&mut self, kept: Option<u64>, saved: Result<Vec<PathBuf>, Failure>) {
        let asked = matches!(&self.mode, Mode::Destination(asked) if asked.is_writing);
        match saved {
            Ok(paths) => {
                if let Some(run) = kept.and_then(|run| self.runs.find_mut(run)) {
                    run.is_kept = true;
                }
                if asked {
                    let folder = paths.first().and_then(|path| path.parent());
                    self.export.chosen = folder.map(Path::to_owned);
                    self.export.items.clear();
                    self.mode = Mode::Browse;
                }
                let paths = paths.iter().map(|path| path.display().to_string());
                let paths = paths.collect::<Vec<_>>().join(", ");
                self.say([format!("saved {paths}"), format!("已保存 {paths}")]);
            }
            Err(failure) => match &mut self.mode {
                Mode::Destination(asked) if asked.is_writing => {
                    asked.is_writing = false;
                    asked.path.problem = Some(self.lesson.language.choose(failure.what));
                }
                _ => self.notice = Some(Notice::Failed(failure)),
            },
        }
    }

    fn begin_work(&mut self, run: u64, work: Work) {
        if self.runs.is_current(run) {
            // The steps are one work: its time is that of all of them.
            let since = match (self.work, work) {
                (Some((Work::Step(_), since)), Work::Step(_))
                | (Some((Work::Variant(..), since)), Work::Variant(..)) => since,
                _ => self.clock,
            };
            self.work = Some((work, since));
        }
    }

    fn record(&mut self, id: u64, event: Event, pictures: Option<Pictures>) {
        let tokenized = matches!(event, Event::Tokens(_));
        let image = match &event {
            Event::Image(image) => Some(Arc::clone(image)),
            _ => None,
        };
        let Some(run) = self.runs.find_mut(id) else {
            return;
        };
        // Said once: all that follows is not finite either.
        let was_sound = run.trace.not_finite().is_none();
        run.record(event, pictures);
        let is_news = was_sound && run.trace.not_finite().is_some();
        self.runs.keep_to_budget();
        if self.runs.is_current(id)
            && let Some(run) = &self.runs.current
        {
            self.cursor.settle(run, tokenized);
            self.cursor.follow(run);
            if let Some(note) = image.and_then(|image| self.decoded_again(&image)) {
                self.say(note);
            }
            if is_news {
                self.say_not_finite(None);
            }
        }
    }

    /// Says where the current run's values ceased to be finite, and what helps.
    fn say_not_finite(&mut self, weight: Option<BrokenWeight>) {
        let found = self.run().and_then(|run| run.trace.not_finite());
        let (Some(mut found), Some(info)) = (found, self.info()) else {
            return;
        };
        found.weight = weight;
        let failure = Failure {
            what: not_finite::what(&found),
            advice: not_finite::advice(&found, info),
        };
        self.notice = Some(Notice::Failed(failure));
    }

    fn decoded_again(&self, image: &ImageTrace) -> Option<[String; 2]> {
        not_finite::decoded_again(image, self.info()?)
    }

    /// Takes in what was asked for; a failure is shown once.
    fn receive<T>(
        &mut self,
        id: u64,
        wanted: Wanted,
        result: Result<T, Failure>,
        keep: impl FnOnce(&mut Run, T),
    ) {
        self.requests.answered(id, wanted, result.is_err());
        if self.runs.is_current(id) {
            self.work = None;
        }
        match (result, self.runs.find_mut(id)) {
            (Ok(value), Some(run)) => keep(run, value),
            (Ok(_), None) => {}
            (Err(failure), _) => self.fail(id, failure),
        }
    }

    pub(super) fn fail(&mut self, run: u64, failure: Failure) {
        if self.runs.is_current(run) {
            self.notice = Some(Notice::Failed(failure));
        }
    }

    /// Has the view say that what it waits for does not come.
    pub(super) fn refuse_look(&mut self, run: u64, key: LookKey) {
        if let Some(run) = self.runs.find_mut(run) {
            run.looked.refuse(key);
        }
    }

    fn set_state(&mut self, id: u64, state: RunState) {
        if self.runs.is_current(id) {
            self.work = None;
        }
        if let Some(run) = self.runs.find_mut(id) {
            run.state = state;
        }
    }

    /// No model could be opened: the form says so, if there was a model before, and else every view.
    fn no_model(&mut self, failure: Failure) {
        let Some(Opening { mut form, .. }) = self.opening.take() else {
            self.model = Model::Failed(failure);
            return;
        };
        if self.mode != Mode::Browse {
            // Somebody is at something else by now.
            self.notice = Some(Notice::Failed(failure));
            return;
        }
        form.refuse(Field::Model, self.lesson.language.choose(failure.what));
        self.open_form(*form);
    }
}

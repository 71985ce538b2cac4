//! What the worker does, on its own thread: one command or one denoising step after the other.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use super::{AttentionKey, Command, Failure, Loader, Opened, Pictures, Update, Work};
use crate::export::{ExportOptions, save_run};
use crate::generation::{self, Pipeline, Request, RequestPatch, Stage};
use crate::model::{self, AttentionDetail};
use crate::trace::{CancelToken, Event, RecordOptions, Recorder, TensorData, Trace};
use crate::tui::panics;

/// The screen is gone: nobody wants to know any more.
pub(super) struct Gone;

/// The worker's side of the channel.
pub(super) struct Service {
    answers: Sender<Update>,
    inbox: Receiver<Command>,
    cancel: CancelToken,
}

/// The runs that the worker knows, and the one that it advances between commands.
#[derive(Default)]
struct Desk {
    recorders: BTreeMap<u64, Recorder>,
    active: Option<Active>,
}

/// A run that goes on by itself.
#[derive(Clone, Copy)]
struct Active {
    run: u64,
    /// The first step that is not done any more.
    until: Option<usize>,
}

impl Service {
    /// A worker that answers to `answers` what comes through `inbox`.
    pub(super) fn new(
        answers: Sender<Update>,
        inbox: Receiver<Command>,
        cancel: CancelToken,
    ) -> Self {
        Self {
            answers,
            inbox,
            cancel,
        }
    }

    /// Loads the model, then serves until the screen is gone.
    pub(super) fn work(self, mut loader: Loader, request: &RequestPatch) {
        match open(&mut loader, None) {
            Ok(opened) => {
                let request = request.apply(&opened.pipeline.default_request(""));
                if self.say_loaded(&opened, request).is_ok() {
                    let _ = self.serve(opened.pipeline, loader);
                }
            }
            Err(failure) => {
                let _ = self.say(Update::LoadFailed(failure));
            }
        }
    }

    fn serve(&self, mut pipeline: Arc<Pipeline>, mut loader: Loader) -> Result<(), Gone> {
        let mut desk = Desk::default();
        loop {
            let command = if desk.active.is_some() {
                match self.inbox.try_recv() {
                    Ok(command) => Some(command),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => return Err(Gone),
                }
            } else {
                Some(self.inbox.recv().map_err(|_| Gone)?)
            };
            match (command, desk.active) {
                (Some(Command::Open { model, request }), _) => {
                    self.cancel.reset();
                    self.pause(&mut desk, false)?;
                    match open(&mut loader, Some(&model)) {
                        Ok(opened) => {
                            let request = adapted(request, &pipeline, &opened.pipeline);
                            self.say_loaded(&opened, request)?;
                            // The runs hold the model before.
                            desk = Desk::default();
                            pipeline = opened.pipeline;
                        }
                        Err(failure) => self.say(Update::LoadFailed(failure))?,
                    }
                }
                (Some(command), _) => self.carry_out(command, &pipeline, &mut desk)?,
                (None, Some(active)) => self.advance(active.run, &pipeline, &mut desk)?,
                (None, None) => {}
            }
        }
    }

    fn say_loaded(&self, opened: &Opened, request: Request) -> Result<(), Gone> {
        self.say(Update::Loaded {
            info: Arc::new(opened.pipeline.info().clone()),
            request,
            note: opened.note.clone(),
            recorded: false,
        })
    }

    fn carry_out(
        &self,
        command: Command,
        pipeline: &Arc<Pipeline>,
        desk: &mut Desk,
    ) -> Result<(), Gone> {
        match command {
            Command::Run { run, request } => {
                self.cancel.reset();
                self.pause(desk, false)?;
                self.start(run, request, pipeline, desk)
            }
            Command::Branch {
                run,
                parent,
                step,
                request,
            } => {
                self.cancel.reset();
                self.pause(desk, false)?;
                self.branch(run, (parent, step), request, pipeline, desk)
            }
            Command::Play { run, until } => {
                if desk.active.is_some_and(|active| active.run != run) {
                    self.pause(desk, false)?;
                }
                if desk.recorders.contains_key(&run) {
                    desk.active = Some(Active { run, until });
                    Ok(())
                } else {
                    self.say(Update::RunFailed {
                        run,
                        failure: forgotten(),
                    })
                }
            }
            Command::Pause => self.pause(desk, false),
            Command::Cancel => {
                self.cancel.reset();
                self.pause(desk, true)
            }
            Command::Step { run } => {
                self.pause(desk, false)?;
                desk.active = Some(Active { run, until: None });
                self.advance(run, pipeline, desk)?;
                self.pause(desk, false)
            }
            Command::Forget { run } => {
                desk.recorders.remove(&run);
                desk.active = desk.active.filter(|active| active.run != run);
                Ok(())
            }
            Command::Attention { run, key } => self.attention(run, key, desk),
            Command::Decode { run, step, x0 } => self.decode(pipeline, run, step, &x0),
            // Files are written by threads of their own; models are opened where they are kept.
            Command::Write(_) | Command::Inquire(_) | Command::Open { .. } => Ok(()),
            Command::Export { run, plan, trace } => self.export(run, &plan, &trace, desk),
        }
    }

    fn start(
        &self,
        run: u64,
        request: Request,
        pipeline: &Arc<Pipeline>,
        desk: &mut Desk,
    ) -> Result<(), Gone> {
        let options = RecordOptions {
            layers: true,
            attention: AttentionDetail::Mean,
            cancel: self.cancel.clone(),
            ..RecordOptions::default()
        };
        let recorder = guarded(|| Recorder::new(Arc::clone(pipeline), request, options));
        match flatten(recorder) {
            Ok(recorder) => {
                desk.recorders.insert(run, recorder);
                desk.active = Some(Active { run, until: None });
                Ok(())
            }
            Err(failure) => self.say(Update::RunFailed { run, failure }),
        }
    }

    fn branch(
        &self,
        run: u64,
        (parent, step): (u64, usize),
        request: Request,
        pipeline: &Pipeline,
        desk: &mut Desk,
    ) -> Result<(), Gone> {
        let Some(recorder) = desk.recorders.get(&parent) else {
            let failure = forgotten();
            return self.say(Update::RunFailed { run, failure });
        };
        let work = Work::Text;
        self.say(Update::Begins { run, work })?;
        match flatten(guarded(|| recorder.fork(step, request))) {
            Ok((recorder, events)) => {
                let branches = recorder.branches().to_vec();
                self.say(Update::Branched { run, branches })?;
                for event in events {
                    self.say_recorded(run, &event, pipeline)?;
                }
                desk.recorders.insert(run, recorder);
                desk.active = Some(Active { run, until: None });
                Ok(())
            }
            Err(failure) => self.say(Update::RunFailed { run, failure }),
        }
    }

    /// One stage or step of `run`, which waits afterwards when there is no more to do.
    fn advance(&self, run: u64, pipeline: &Pipeline, desk: &mut Desk) -> Result<(), Gone> {
        let Some(recorder) = desk.recorders.get_mut(&run) else {
            desk.active = None;
            let failure = forgotten();
            return self.say(Update::RunFailed { run, failure });
        };
        let until = desk.active.and_then(|active| active.until);
        let work = match recorder.stage() {
            Stage::Step(index) if until.is_some_and(|until| index >= until) => {
                return self.pause(desk, false);
            }
            Stage::Tokens => Work::Tokens,
            Stage::Text => Work::Text,
            Stage::Noise => Work::Noise,
            Stage::Step(index) => Work::Step(index),
            Stage::Image => Work::Image,
            Stage::Done => {
                desk.active = None;
                return self.say(Update::Done { run });
            }
        };
        self.say(Update::Begins { run, work })?;
        let advanced = guarded(|| recorder.advance());
        let is_done = matches!(recorder.stage(), Stage::Done);
        match advanced {
            Ok(Ok(event)) => {
                if let Some(event) = event {
                    self.say_recorded(run, &event, pipeline)?;
                }
                if is_done {
                    desk.active = None;
                    self.say(Update::Done { run })?;
                }
                Ok(())
            }
            Ok(Err(generation::Error::Cancelled)) => self.pause(desk, true),
            Ok(Err(error)) => self.fail(run, failure(&error), desk),
            Err(failure) => self.fail(run, failure, desk),
        }
    }

    fn fail(&self, run: u64, failure: Failure, desk: &mut Desk) -> Result<(), Gone> {
        desk.active = None;
        self.say(Update::RunFailed { run, failure })
    }

    /// Tells the screen what was recorded, with what only the model can say about it.
    fn say_recorded(&self, run: u64, event: &Event, pipeline: &Pipeline) -> Result<(), Gone> {
        let pictures = match event {
            Event::Step(step) => {
                let preview = |name: &str, scale| {
                    let tensor = step.tensor(name);
                    tensor.map(|tensor| Arc::new(pipeline.info().preview(&tensor.data, scale)))
                };
                let latents = preview("latents", step.preview_scale);
                let both = latents.zip(preview("x0", 1.0));
                both.map(|(latents, x0)| Pictures { latents, x0 })
            }
            _ => None,
        };
        self.say(Update::Recorded {
            run,
            event: event.clone(),
            pictures,
        })?;
        let Event::Tokens(tokens) = event else {
            return Ok(());
        };
        // A failure is not shown: the run itself goes on without this.
        let vocabulary = guarded(|| pipeline.vocabulary(&tokens.prompt, &tokens.negative_prompt));
        if let Ok(Ok(vocabulary)) = vocabulary {
            self.say(Update::Vocabulary {
                run,
                vocabulary: Arc::new(vocabulary),
                // Not with the noise: a branch begins with its tokens and draws none.
                scheduler_config: Arc::new(pipeline.scheduler_config().clone()),
            })?;
        }
        Ok(())
    }

    fn attention(&self, run: u64, key: AttentionKey, desk: &Desk) -> Result<(), Gone> {
        let work = Work::Attention(key.step);
        self.say(Update::Begins { run, work })?;
        let maps = match desk.recorders.get(&run) {
            Some(recorder) => flatten(guarded(|| {
                recorder.attention_at(key.step, key.detail, key.half)
            })),
            None => Err(forgotten()),
        };
        self.say(Update::Attention { run, key, maps })
    }

    fn decode(
        &self,
        pipeline: &Pipeline,
        run: u64,
        step: usize,
        x0: &TensorData,
    ) -> Result<(), Gone> {
        let work = Work::Decode(step);
        self.say(Update::Begins { run, work })?;
        let image = flatten(guarded(|| pipeline.decode_values(&x0.data))).map(Arc::new);
        self.say(Update::Decoded { run, step, image })
    }

    fn export(
        &self,
        run: u64,
        plan: &ExportOptions,
        trace: &Trace,
        desk: &Desk,
    ) -> Result<(), Gone> {
        let saved = match desk.recorders.get(&run) {
            None => Err(forgotten()),
            Some(recorder) => match guarded(|| save_run(plan, recorder, trace)) {
                Ok(written) => written.map_err(|error| not_written(&error)),
                Err(failure) => Err(failure),
            },
        };
        self.say(Update::Saved(saved))
    }

    /// Lets the run that goes on wait, if one does, and says so.
    fn pause(&self, desk: &mut Desk, cancelled: bool) -> Result<(), Gone> {
        let Some(Active { run, .. }) = desk.active.take() else {
            return Ok(());
        };
        let is_done = desk
            .recorders
            .get(&run)
            .is_some_and(|recorder| matches!(recorder.stage(), Stage::Done));
        if is_done {
            self.say(Update::Done { run })
        } else {
            self.say(Update::Paused { run, cancelled })
        }
    }

    fn say(&self, update: Update) -> Result<(), Gone> {
        self.answers.send(update).map_err(|_| Gone)
    }
}

/// Loads a model.
fn open(loader: &mut Loader, model: Option<&str>) -> Result<Opened, Failure> {
    let advice = match model {
        None => "Quit with q, and start again with other options.",
        Some(_) => "The model before is still there. p names another one.",
    };
    guarded(|| loader(model))?.map_err(|error| Failure {
        what: format!("The model could not be loaded: {error:#}"),
        advice: advice.to_owned(),
    })
}

/// `request` for another model: a guidance that was the default of the model before becomes the new one's.
fn adapted(request: Request, before: &Pipeline, now: &Pipeline) -> Request {
    let [before, now] = [before, now].map(|model| model.info().default_guidance);
    let is_default = request.guidance_scale.to_bits() == before.to_bits();
    Request {
        guidance_scale: if is_default {
            now
        } else {
            request.guidance_scale
        },
        ..request
    }
}

/// Runs `work`; a panic becomes a failure that says where.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Failure {
        what: format!("Diffuscope has a defect: {}", panics::take_message()),
        advice: "The program goes on. r runs again; please report what you did and this message."
            .to_owned(),
    })
}

fn flatten<T>(result: Result<Result<T, generation::Error>, Failure>) -> Result<T, Failure> {
    result?.map_err(|error| failure(&error))
}

fn failure(error: &generation::Error) -> Failure {
    let mut what = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !what.contains(&cause_text) {
            what = format!("{what}: {cause_text}");
        }
        source = cause.source();
    }
    let advice = match error {
        generation::Error::Cancelled => "space goes on from there.",
        generation::Error::Model(model::Error::DeviceMemory(_)) => {
            "Close other programs that use it, or start again with --dtype f16 or --device cpu."
        }
        _ => "p changes the request, r runs it again.",
    };
    Failure {
        what,
        advice: advice.to_owned(),
    }
}

/// A run that could not be written.
pub(super) fn not_written(error: &dyn std::error::Error) -> Failure {
    Failure {
        what: format!("The run was not written: {error}"),
        advice: "Choose another place, or make room.".to_owned(),
    }
}

fn forgotten() -> Failure {
    Failure {
        what: "This run was forgotten to save memory: its steps cannot be computed again."
            .to_owned(),
        advice: "What was recorded can still be looked at; r runs it once more.".to_owned(),
    }
}

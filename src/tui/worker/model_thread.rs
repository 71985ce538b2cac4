//! The thread that has the model: one command or one denoising step after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use super::command::Command;
use super::failure::Failure;
use super::look::LookKey;
use super::probe::Probing;
use super::update::{AttentionKey, Pictures, ProbeKey, Probed, Update, Work};
use super::variant::Making;
use super::{Loader, NotLoaded, Opened, send};
use crate::export::{ExportOptions, WatchValues, open_donors, save_run};
use crate::generation::{self, Decoded, Pipeline, Request, RequestPatch, Stage};
use crate::lesson::{Watch, watch};
use crate::model::AttentionDetail;
use crate::trace::{CancelToken, Event, RecordOptions, Recorder, TensorData, Trace};
use crate::tui::panics;

/// The model, the runs that it made, and the one that is advanced between commands.
pub(super) struct ModelThread {
    answers: Sender<Update>,
    commands: Receiver<Command>,
    pub(super) cancel: CancelToken,
    loader: Loader,
    pipeline: Arc<Pipeline>,
    recorders: BTreeMap<u64, Recorder>,
    active: Option<ActiveRun>,
    /// The runs so far, for breakpoints: each with the attention of its newest step alone.
    traces: BTreeMap<u64, Trace>,
    watches: Vec<Watch>,
    /// What is made where no run is advanced.
    pub(super) making: Option<Making>,
    /// Runs with values that are not finite, whose weights have been looked at.
    blamed: BTreeSet<u64>,
    /// What was fitted on the steps of runs.
    probing: Probing,
}

#[derive(Clone, Copy)]
struct ActiveRun {
    run: u64,
    /// The first step that is not done any more.
    until: Option<usize>,
}

/// Loads the model, then serves until the screen is gone.
pub(super) fn work(
    mut loader: Loader,
    request: &RequestPatch,
    answers: Sender<Update>,
    commands: Receiver<Command>,
    cancel: CancelToken,
) {
    let opened = match load(&mut loader, None) {
        Ok(opened) => opened,
        Err(failure) => {
            return send(&answers, Update::LoadFailed(failure));
        }
    };
    let request = request.apply(&opened.pipeline.default_request(""));
    let mut thread = ModelThread {
        answers,
        commands,
        cancel,
        loader,
        pipeline: Arc::clone(&opened.pipeline),
        recorders: BTreeMap::new(),
        active: None,
        traces: BTreeMap::new(),
        watches: Vec::new(),
        making: None,
        blamed: BTreeSet::new(),
        probing: Probing::default(),
    };
    thread.send_loaded(opened, request);
    thread.serve();
}

impl ModelThread {
    /// Serves until the screen is gone.
    fn serve(&mut self) {
        loop {
            let command = if self.active.is_some() || self.making.is_some() {
                self.commands.try_recv()
            } else {
                self.commands.recv().map_err(TryRecvError::from)
            };
            match (command, self.active) {
                (Ok(command), _) => self.carry_out(command),
                (Err(TryRecvError::Empty), Some(active)) => self.advance(active.run),
                (Err(TryRecvError::Empty), None) => {
                    if let Some(making) = self.making.take() {
                        self.make(making);
                    }
                }
                (Err(TryRecvError::Disconnected), _) => return,
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        if command.interrupts() {
            self.cancel.reset();
            self.pause(matches!(command, Command::Cancel));
        }
        match command {
            Command::Open { model, request } => self.open(&model, request),
            Command::Run { run, request } => self.start(run, request),
            Command::Branch {
                run,
                parent,
                step,
                request,
            } => self.branch(run, (parent, step), request),
            Command::Play { run, until } => {
                if self.active.is_some_and(|active| active.run != run) {
                    self.pause(false);
                }
                self.active = Some(ActiveRun { run, until });
            }
            Command::Pause => self.pause(false),
            Command::Cancel => {}
            Command::Step { run } => {
                self.pause(false);
                self.active = Some(ActiveRun { run, until: None });
                self.advance(run);
                self.pause(false);
            }
            Command::Forget { run } => {
                self.recorders.remove(&run);
                self.probing.forget(run);
                self.traces.remove(&run);
                self.making.take_if(|making| making.run == run);
                self.active = self.active.filter(|active| active.run != run);
            }
            Command::Attention { run, key } => self.attention(run, key),
            Command::Look { run, key } => self.look(run, key),
            Command::Decode { run, step, x0 } => self.decode(run, step, &x0),
            Command::Probe { run, key, latents } => self.probe(run, key, latents),
            Command::Watch(watches) => self.watches = watches,
            Command::Export {
                run,
                watches,
                plan,
                trace,
            } => self.export(run, watches, &plan, &trace),
            Command::Variant {
                run,
                variant,
                request,
            } => self.begin_variant(run, variant, request),
            Command::StopVariant => self.making = None,
        }
    }

    fn open(&mut self, model: &str, request: Request) {
        match load(&mut self.loader, Some(model)) {
            Ok(opened) => {
                let request = adapted(request, &self.pipeline, &opened.pipeline);
                let pipeline = Arc::clone(&opened.pipeline);
                self.send_loaded(opened, request);
                // The runs hold the model before.
                self.recorders.clear();
                self.probing = Probing::default();
                self.traces.clear();
                self.making = None;
                self.pipeline = pipeline;
            }
            Err(failure) => self.send(Update::LoadFailed(failure)),
        }
    }

    fn start(&mut self, run: u64, request: Request) {
        let donors = match catch_panic(|| open_donors(&request, self.pipeline.info())) {
            Ok(donors) => donors,
            Err(failure) => return self.fail(run, failure),
        };
        let options = RecordOptions {
            donors,
            layers: true,
            attention: AttentionDetail::Mean,
            cancel: self.cancel.clone(),
            ..RecordOptions::default()
        };
        let options = watch::record_options(&self.watches, options);
        let pipeline = Arc::clone(&self.pipeline);
        match catch_panic(|| Recorder::new(pipeline, request, options)) {
            Ok(recorder) => {
                let trace = Trace::new(recorder.request().clone(), usize::MAX);
                self.traces.insert(run, trace);
                self.go_on(run, recorder);
            }
            Err(failure) => self.fail(run, failure),
        }
    }

    fn go_on(&mut self, run: u64, recorder: Recorder) {
        self.recorders.insert(run, recorder);
        self.active = Some(ActiveRun { run, until: None });
    }

    fn branch(&mut self, run: u64, (parent, step): (u64, usize), request: Request) {
        let Some(recorder) = self.recorders.get(&parent) else {
            return self.fail(run, Failure::forgotten());
        };
        let work = Work::Text;
        self.send(Update::Begins { run, work });
        match catch_panic(|| recorder.fork(step, request)) {
            Ok((recorder, events)) => {
                let branches = recorder.branches().to_vec();
                if let Some(trace) = self.traces.get(&parent) {
                    let mut trace = trace.clone();
                    trace.truncate(step);
                    trace.request = recorder.request().clone();
                    trace.branches.clone_from(&branches);
                    self.traces.insert(run, trace);
                }
                self.send(Update::Branched { run, branches });
                for event in events {
                    self.send_recorded(run, event);
                }
                self.go_on(run, recorder);
            }
            Err(failure) => self.fail(run, failure),
        }
    }

    /// One stage or step of `run`, which waits afterwards when there is no more to do.
    fn advance(&mut self, run: u64) {
        let Some(recorder) = self.recorders.get_mut(&run) else {
            return self.fail(run, Failure::forgotten());
        };
        let until = self.active.and_then(|active| active.until);
        let work = match recorder.stage() {
            Stage::Step(index) if until.is_some_and(|until| index >= until) => {
                return self.pause(false);
            }
            Stage::Tokens => Work::Tokens,
            Stage::Text => Work::Text,
            Stage::Noise => Work::Noise,
            Stage::Step(index) => Work::Step(index),
            Stage::Image => Work::Image,
            Stage::Done => return self.pause(false),
        };
        send(&self.answers, Update::Begins { run, work });
        let advanced = catch_panic(|| match recorder.advance() {
            // Not a failure, and told apart from one before it becomes words.
            Err(generation::Error::Cancelled) => Ok(None),
            advanced => advanced.map(Some),
        });
        match advanced {
            Ok(Some(event)) => {
                if let Some(event) = event {
                    self.send_recorded(run, event);
                    self.stop_at_breakpoint(run, work);
                }
            }
            Ok(None) => self.pause(true),
            Err(failure) => self.fail(run, failure),
        }
    }

    /// Lets `run`, which has just done `work`, wait where that was a step and a breakpoint is true after it.
    fn stop_at_breakpoint(&mut self, run: u64, work: Work) {
        let (Work::Step(step), Some(trace)) = (work, self.traces.get(&run)) else {
            return;
        };
        let breaks = self.watches.iter().filter(|watch| watch.breaks);
        let breaks: Vec<Watch> = breaks.cloned().collect();
        let values = watch::ask(&breaks, self.pipeline.info(), trace);
        if let Some(stopped) = watch::first_stop(&breaks, step, &values) {
            self.send(Update::Stopped { run, stopped });
            self.pause(false);
        }
    }

    fn fail(&mut self, run: u64, failure: Failure) {
        self.active = self.active.filter(|active| active.run != run);
        self.send(Update::RunFailed { run, failure });
    }

    fn attention(&self, run: u64, key: AttentionKey) {
        let work = Work::Attention(key.step);
        self.send(Update::Begins { run, work });
        let maps = self.recorder(run).and_then(|recorder| {
            catch_panic(|| {
                match recorder.attention_at(key.step, key.detail, key.half) {
                    // Nobody waits for it any more; where somebody does again, it is asked for again.
                    Err(generation::Error::Cancelled) => Ok(Vec::new()),
                    maps => maps,
                }
            })
        });
        self.send(Update::Attention { run, key, maps });
    }

    fn look(&self, run: u64, key: LookKey) {
        let work = Work::Look(key.step);
        self.send(Update::Begins { run, work });
        let recorder = self.recorder(run);
        let found = recorder.and_then(|recorder| catch_panic(|| key.find(recorder)));
        self.send(Update::Looked { run, key, found });
    }

    fn decode(&self, run: u64, step: usize, x0: &TensorData) {
        let work = Work::Decode(step);
        self.send(Update::Begins { run, work });
        let decoded = catch_panic(|| self.pipeline.decode_values(&x0.data));
        let image = decoded.and_then(|decoded| {
            if sound(&decoded) {
                Ok(Arc::new(decoded.image))
            } else {
                Err(Failure::unsound(&decoded, step))
            }
        });
        self.send(Update::Decoded { run, step, image });
    }

    fn probe(&mut self, run: u64, key: ProbeKey, latents: Option<TensorData>) {
        let work = Work::Probe;
        self.send(Update::Begins { run, work });
        let recorder = self.recorders.get(&run).ok_or_else(Failure::forgotten);
        let probing = &mut self.probing;
        let update = if key.what == Probed::Fit {
            let sizes = recorder
                .and_then(|recorder| catch_panic(|| probing.fit(recorder, run, key)))
                .map_err(Failure::while_looking);
            Update::Fitted { run, key, sizes }
        } else {
            let features = recorder
                .and_then(|recorder| catch_panic(|| probing.look(recorder, run, key, latents)))
                .map_err(Failure::while_looking);
            Update::Probed { run, key, features }
        };
        self.send(update);
    }

    fn export(&self, run: u64, watches: Vec<WatchValues>, plan: &ExportOptions, trace: &Trace) {
        let write = |recorder| {
            save_run(plan, recorder, trace, watches).map_err(|error| Failure::not_written(&error))
        };
        let saved = self
            .recorder(run)
            .and_then(|recorder| catch_panic(|| write(recorder)));
        let kept = Some(run);
        self.send(Update::Saved { kept, saved });
    }

    pub(super) fn recorder(&self, run: u64) -> Result<&Recorder, Failure> {
        self.recorders.get(&run).ok_or_else(Failure::forgotten)
    }

    /// Lets the run that goes on wait, if one does, and says so.
    fn pause(&mut self, cancelled: bool) {
        let Some(ActiveRun { run, .. }) = self.active.take() else {
            return;
        };
        let recorder = self.recorders.get(&run);
        if recorder.is_some_and(|recorder| matches!(recorder.stage(), Stage::Done)) {
            self.send(Update::Done { run });
        } else {
            self.send(Update::Paused { run, cancelled });
        }
    }

    fn send_loaded(&self, opened: Opened, request: Request) {
        self.send(Update::Loaded {
            info: Arc::new(opened.pipeline.info().clone()),
            request: Box::new(request),
            note: opened.note,
            recorded: false,
            tokenizer: Some(Arc::clone(opened.pipeline.tokenizer())),
        });
    }

    /// Says what was recorded, with what only the model can say about it.
    fn send_recorded(&mut self, run: u64, event: Event) {
        let tokens = match &event {
            Event::Tokens(tokens) => Some(Arc::clone(tokens)),
            _ => None,
        };
        let pipeline = Arc::clone(&self.pipeline);
        let pictures = Pictures::of(&event, |latents, scale| {
            pipeline.info().preview(latents, scale)
        });
        let found = event.not_finite();
        if let Some(trace) = self.traces.get_mut(&run) {
            if matches!(event, Event::Step(_)) {
                trace.attention.clear();
            }
            trace.apply(event.clone());
        }
        self.send(Update::Recorded {
            run,
            event,
            pictures,
        });
        // After the news itself, for it reads all weights of a network.
        if let Some(found) = found
            && self.blamed.insert(run)
            && let Some(component) = found.component()
            && let Some(weight) = pipeline.broken_weight(component).cloned()
        {
            self.send(Update::Blamed { run, weight });
        }
        let Some(tokens) = tokens else {
            return;
        };
        let vocabulary =
            catch_panic(|| pipeline.vocabulary(&tokens.prompt, &tokens.negative_prompt));
        // A failure is not shown: the run itself goes on without this.
        if let Ok(vocabulary) = vocabulary {
            self.send(Update::Vocabulary {
                run,
                vocabulary: Arc::new(vocabulary),
                // Not with the noise: a branch begins with its tokens and draws none.
                scheduler_config: Arc::new(pipeline.scheduler_config().clone()),
            });
        }
    }

    pub(super) fn send(&self, update: Update) {
        send(&self.answers, update);
    }
}

fn load(loader: &mut Loader, model: Option<&str>) -> Result<Opened, Failure> {
    let advice = match model {
        None => [
            "Quit with q, and start again with other options.",
            "按 q 退出，再用别的选项启动。",
        ],
        Some(_) => [
            "The model before is still there. p names another one.",
            "原来的模型还在。按 p 可以换一个名字。",
        ],
    };
    catch_panic(|| {
        loader(model).map_err(|error| {
            let [english, chinese] = match error.downcast_ref::<NotLoaded>() {
                Some(NotLoaded(said)) => said.clone(),
                None => [(); 2].map(|()| format!("{error:#}")),
            };
            let what = [
                format!("The model could not be loaded: {english}"),
                format!("无法加载模型：{chinese}"),
            ];
            Failure::new(what, advice)
        })
    })
}

/// `request` for another model: a guidance or a sampler that was the default of the model before becomes the new one's.
fn adapted(mut request: Request, before: &Pipeline, now: &Pipeline) -> Request {
    let [before, now] = [before, now].map(Pipeline::info);
    if request.guidance_scale.to_bits() == before.default_guidance.to_bits() {
        request.guidance_scale = now.default_guidance;
    }
    if request.scheduler == before.default_scheduler {
        request.scheduler = now.default_scheduler;
    }
    request
}

/// Runs `work`; a panic becomes a failure that says where.
pub(super) fn catch_panic<T, E: Into<Failure>>(
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(Failure::defect(&panics::take_message())),
    }
}

/// Is every value of it finite?
pub(super) fn sound(decoded: &Decoded) -> bool {
    decoded.values.iter().all(|value| value.is_finite())
}

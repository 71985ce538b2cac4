//! The recorder: drives a generation and turns what passes its hooks into events.

mod again;

use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;

use super::capture::{Capture, Captured, attention_maps, module_stats};
use super::options::{CancelToken, Guidance, RecordOptions};
use super::tensor_data::shape;
use super::{
    AttentionMaps, Event, ImageTrace, NoiseTrace, Stats, StepTrace, TensorData, TextTrace,
    TokensTrace,
};
use crate::generation::{
    BranchPoint, Decoded, DenoisingStep, Error, Generation, GenerationState, Pipeline, Request,
    Stage, StageOutput,
};
use crate::kernels::cuda::timer::{Elapsed, Timer};
use crate::kernels::cuda::transfer::{Buffers, Transfer};
use crate::model::AttentionDetail;
use crate::model::hook::Until;
use crate::model::tokenizer::Tokens;

/// A generation, recorded. It keeps where it stood before every step, so that going back costs nothing. A clone shares
/// the tensors.
///
/// A GPU is asked for the next step before one waits for the values of this one, so that it is never without work.
#[derive(Debug)]
pub struct Recorder {
    generation: Generation,
    options: RecordOptions,
    /// `states[k]`: before step `k`.
    states: Vec<GenerationState>,
    /// Is the next step begun before this one is read?
    reads_ahead: bool,
    /// The next step, where it was begun.
    prefetched: Option<Prefetched>,
    buffers: Buffers,
}

/// A step that was begun before it is its turn.
#[derive(Debug)]
struct Prefetched {
    /// Where the generation will stand after it.
    after: GenerationState,
    step: PendingStep,
}

/// A step whose values are on their way.
#[derive(Debug)]
struct PendingStep {
    index: usize,
    /// Names and shapes of its tensors, whose values come first.
    tensors: Vec<(&'static str, Vec<usize>)>,
    captured: Captured,
    values: Transfer,
    /// From where the device began with it to where its values are on the host.
    elapsed: Elapsed,
}

impl Clone for Recorder {
    fn clone(&self) -> Self {
        Self {
            generation: self.generation.clone(),
            options: self.options.clone(),
            states: self.states.clone(),
            reads_ahead: self.reads_ahead,
            // It belongs to one of the two; the other begins it anew.
            prefetched: None,
            buffers: self.buffers.clone(),
        }
    }
}

impl Recorder {
    /// A recorder at the beginning of a run.
    pub fn new(
        pipeline: Arc<Pipeline>,
        request: Request,
        options: RecordOptions,
    ) -> Result<Self, Error> {
        Ok(Self {
            reads_ahead: pipeline.device().is_cuda(),
            generation: Generation::with_donors(pipeline, request, options.donors.clone())?,
            options,
            states: Vec::new(),
            prefetched: None,
            buffers: Buffers::default(),
        })
    }

    /// What was asked for, from the last branch on; interventions have their positions.
    pub fn request(&self) -> &Request {
        self.generation.request()
    }

    /// Where the request was changed on the way here, in the order of the steps.
    pub fn branches(&self) -> &[BranchPoint] {
        self.generation.branches()
    }

    /// The model it runs on.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        self.generation.pipeline()
    }

    /// What [`Recorder::advance`] does next.
    pub fn stage(&self) -> Stage {
        self.generation.stage()
    }

    /// Number of denoising steps: PNDM takes one more than asked.
    pub fn steps(&self) -> usize {
        self.generation.scheduler().len()
    }

    /// Does one stage or one denoising step. `None` when the picture is there.
    ///
    /// After an error, cancellation included, the recorder's state is what it was before.
    pub fn advance(&mut self) -> Result<Option<Event>, Error> {
        let start = Instant::now();
        let state = self.generation.state();
        let event = self.next_event(start);
        match (&event, state.stage()) {
            (Ok(Some(_)), Stage::Step(index)) => {
                self.states.truncate(index);
                self.states.push(state);
            }
            (Ok(_), _) => {}
            (Err(_), _) => {
                self.prefetched = None;
                self.generation.restore(&state);
            }
        }
        event
    }

    fn next_event(&mut self, start: Instant) -> Result<Option<Event>, Error> {
        let step = if let Some(prefetched) = self.prefetched.take() {
            self.generation.restore(&prefetched.after);
            prefetched.step
        } else {
            let mut capture =
                Capture::new(&self.options, self.generation.pipeline(), Guidance::Cond);
            let timer = self.timer()?;
            let output = self.generation.advance(&mut capture)?;
            let captured = capture.captured;
            let generation = &self.generation;
            match output {
                Some(StageOutput::Step(step)) => self.pending_step(&step, captured, timer)?,
                Some(StageOutput::Tokens { prompt, negative }) => {
                    return tokens_event(generation, prompt, negative).map(Some);
                }
                Some(StageOutput::Text { prompt, negative }) => {
                    return text_event(&prompt, &negative, captured, start).map(Some);
                }
                Some(StageOutput::Noise { initial_noise }) => {
                    return noise_event(generation, &initial_noise).map(Some);
                }
                Some(StageOutput::Image(image)) => return Ok(Some(image_event(*image, start))),
                None => return Ok(None),
            }
        };
        if self.reads_ahead {
            // What goes wrong there goes wrong again when it is its turn.
            self.prefetched = self.prefetch().ok().flatten();
        }
        self.step_event(step).map(Some)
    }

    /// Of what the device is asked for from here on: a step that was begun ahead is not as long as one waits for it.
    fn timer(&self) -> candle_core::Result<Timer> {
        Timer::start(self.generation.pipeline().device())
    }

    /// Begins the next step, if it is one; the generation stays where it is.
    fn prefetch(&self) -> Result<Option<Prefetched>, Error> {
        if !matches!(self.stage(), Stage::Step(_)) {
            return Ok(None);
        }
        let mut generation = self.generation.clone();
        let mut capture = Capture::new(&self.options, generation.pipeline(), Guidance::Cond);
        let timer = self.timer()?;
        let output = generation.advance(&mut capture)?;
        let captured = capture.captured;
        Ok(match output {
            Some(StageOutput::Step(step)) => Some(Prefetched {
                after: generation.state(),
                step: self.pending_step(&step, captured, timer)?,
            }),
            _ => None,
        })
    }

    /// Stands before `step` again, which must have been reached; the steps done since remain known to whoever kept
    /// their events.
    pub fn rewind(&mut self, step: usize) -> Result<(), Error> {
        if self.stage() == Stage::Step(step) {
            return Ok(());
        }
        let state = self.states.get(step).ok_or(Error::NoSuchStep(step))?;
        self.generation.restore(state);
        self.prefetched = None;
        Ok(())
    }

    /// Goes on from the latents before `step` with another request, which may change everything but the number of steps
    /// (see [`Generation::branch`]); returns the events of the text stages and of the schedule anew.
    ///
    /// After an error the recorder's state is what it was before.
    pub fn branch(&mut self, step: usize, request: Request) -> Result<Vec<Event>, Error> {
        let start = Instant::now();
        let here = self.generation.state();
        let state = match self.states.get(step) {
            Some(state) => state,
            None if here.stage() == Stage::Step(step) => &here,
            None => return Err(Error::NoSuchStep(step)),
        };
        let mut capture = Capture::new(&self.options, self.generation.pipeline(), Guidance::Cond);
        let branch = self.generation.branch(state, request, &mut capture)?;
        let (prompt, negative) = branch.tokens().cloned().ok_or(Error::NoSuchStep(step))?;
        let (text, uncond) = branch.embeddings().ok_or(Error::NoSuchStep(step))?;
        let noise = branch.initial_noise().ok_or(Error::NoSuchStep(step))?;
        let events = vec![
            tokens_event(&branch, prompt, negative)?,
            text_event(text, uncond, capture.captured, start)?,
            noise_event(&branch, noise)?,
        ];
        self.states.truncate(step);
        self.generation = branch;
        self.prefetched = None;
        Ok(events)
    }

    /// The same in a new recorder: this one stays as it is, and both can advance.
    pub fn fork(&self, step: usize, request: Request) -> Result<(Self, Vec<Event>), Error> {
        let mut fork = self.clone();
        let events = fork.branch(step, request)?;
        Ok((fork, events))
    }

    /// A generation of another request, from where this run's own last one began (its first step, or that of a branch), of
    /// which nothing is recorded: for runs that are made for their picture alone. This run stays as it is.
    ///
    /// # Errors
    /// Those of [`Generation::branch`]; a run that has not come to that step.
    pub fn unrecorded(&self, request: Request) -> Result<Generation, Error> {
        let step = self.branches().last().map_or(0, |branch| branch.step);
        let state = self.states.get(step).ok_or(Error::NoSuchStep(step))?;
        let mut only_check = self.options.cancel.clone();
        self.generation.branch(state, request, &mut only_check)
    }

    /// Cross-attention of a step that was done, of either prediction and in any detail: the step is run again from its
    /// latents, with its interventions, which gives the same numbers. Empty for [`Guidance::Uncond`] of a step without
    /// guidance.
    pub fn attention_at(
        &self,
        step: usize,
        detail: AttentionDetail,
        guidance: Guidance,
    ) -> Result<Vec<AttentionMaps>, Error> {
        let layers = self.pipeline().info().cross_attention.iter();
        let all: Vec<&str> = layers.map(|layer| layer.path.as_str()).collect();
        self.attention_of(&all, step, detail, guidance)
    }

    /// The same of the cross-attention layers at `paths` alone, in the order of a forward pass, which ends at the last
    /// of them.
    pub fn attention_of(
        &self,
        paths: &[&str],
        step: usize,
        detail: AttentionDetail,
        guidance: Guidance,
    ) -> Result<Vec<AttentionMaps>, Error> {
        let generation = self.before(step)?;
        if guidance == Guidance::Uncond && !generation.request().is_guided_at(step) {
            return Ok(Vec::new());
        }
        let options = RecordOptions {
            attention: detail,
            cancel: self.options.cancel.clone(),
            ..RecordOptions::default()
        };
        let mut capture = Capture::new(&options, generation.pipeline(), guidance);
        capture.only_layers(paths);
        generation.look(&mut Until::attention(&mut capture, paths.iter().copied()))?;
        let Captured {
            attention, probs, ..
        } = capture.captured;
        let values = Transfer::begin(probs, &self.buffers)?.finish()?;
        Ok(attention_maps(attention, values.into_iter()))
    }

    /// A generation that stands before `step`, which was done.
    pub(super) fn before(&self, step: usize) -> Result<Generation, Error> {
        let state = self.states.get(step).ok_or(Error::NoSuchStep(step))?;
        let mut generation = self.generation.clone();
        generation.restore(state);
        Ok(generation)
    }

    pub(super) fn generation(&self) -> &Generation {
        &self.generation
    }

    pub(super) fn cancel(&self) -> CancelToken {
        self.options.cancel.clone()
    }

    /// The picture that `step`, which was done, predicts: its x0, decoded.
    pub fn predicted_image(&self, step: &StepTrace) -> Result<Event, Error> {
        let start = Instant::now();
        let x0 = step.tensor("x0").ok_or(Error::NoSuchStep(step.index))?;
        let decoded = self.generation.pipeline().decode_values(&x0.data)?;
        Ok(image_event(decoded, start))
    }

    /// Begins to read what `step` gave.
    fn pending_step(
        &self,
        step: &DenoisingStep,
        mut captured: Captured,
        timer: Timer,
    ) -> Result<PendingStep, Error> {
        let named = [
            ("latents", Some(&step.latents)),
            ("noise_uncond", step.noise_uncond.as_ref()),
            ("noise_text", Some(&step.noise_text)),
            ("noise_guided", Some(&step.noise_guided)),
            ("latents_next", Some(&step.latents_next)),
            ("x0", Some(&step.x0)),
        ];
        let named = named
            .into_iter()
            .filter_map(|(name, tensor)| Some((name, tensor?)));
        let (tensors, mut values): (_, Vec<_>) = named
            .map(|(name, tensor)| ((name, shape(tensor)), tensor.clone()))
            .unzip();
        values.append(&mut captured.probs);
        let values = Transfer::begin(values, &self.buffers)?;
        Ok(PendingStep {
            index: step.index,
            tensors,
            captured,
            values,
            elapsed: timer.stop(self.generation.pipeline().device())?,
        })
    }

    fn step_event(&self, step: PendingStep) -> Result<Event, Error> {
        let mut values = step.values.finish()?.into_iter();
        let tensors = step.tensors.into_iter().zip(values.by_ref());
        let tensors = tensors
            .map(|((name, shape), values)| TensorData::from_values(name, shape, values))
            .collect();
        let scheduler = self.generation.scheduler();
        let schedule = scheduler.schedule();
        Ok(Event::Step(Arc::new(StepTrace {
            index: step.index,
            timestep: schedule.timesteps[step.index],
            sigma: schedule.sigmas[step.index],
            sigma_next: schedule.sigmas[step.index + 1],
            tensors,
            modules: module_stats(step.captured.modules)?,
            attention: attention_maps(step.captured.attention, values),
            seconds: step.elapsed.seconds()?,
            preview_scale: scheduler.preview_scale(step.index),
        })))
    }
}

fn tokens_event(generation: &Generation, prompt: Tokens, negative: Tokens) -> Result<Event, Error> {
    let ids = prompt.ids().into_iter().chain(negative.ids());
    Ok(Event::Tokens(Arc::new(TokensTrace {
        unseen: generation.pipeline().unseen(ids)?,
        prompt,
        negative_prompt: negative,
    })))
}

fn noise_event(generation: &Generation, initial_noise: &Tensor) -> Result<Event, Error> {
    Ok(Event::Noise(Arc::new(NoiseTrace {
        schedule: generation.scheduler().schedule().clone(),
        initial_noise: TensorData::from_tensor("initial_noise", initial_noise)?,
    })))
}

fn image_event(decoded: Decoded, start: Instant) -> Event {
    Event::Image(Arc::new(ImageTrace {
        image: decoded.image,
        stats: Some(Stats::of(&decoded.values)),
        dtype: Some(decoded.dtype.as_str().to_owned()),
        overflowed: decoded.overflowed,
        seconds: start.elapsed().as_secs_f64(),
    }))
}

fn text_event(
    prompt: &Tensor,
    negative: &Tensor,
    captured: Captured,
    start: Instant,
) -> Result<Event, Error> {
    let mut tensors = captured.outputs;
    tensors.push(TensorData::from_tensor("prompt_embedding", prompt)?);
    Ok(Event::Text(Arc::new(TextTrace {
        prompt: tensors,
        negative_prompt_embedding: TensorData::from_tensor("negative_prompt_embedding", negative)?,
        attention: captured.text_attention,
        heads: captured.text_heads,
        modules: module_stats(captured.modules)?,
        seconds: start.elapsed().as_secs_f64(),
    })))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::checkpoint::{Checkpoint, Source};
    use crate::scheduler::SchedulerKind;
    use crate::trace::CancelToken;

    fn recorder(reads_ahead: bool, cancel: CancelToken) -> Recorder {
        let checkpoint = Checkpoint::open(&Source::Embedded).unwrap();
        let pipeline = Arc::new(Pipeline::load(&checkpoint, &Device::Cpu).unwrap());
        let request = Request {
            steps: 5,
            // One that draws fresh noise at every step.
            scheduler: SchedulerKind::EulerAncestral,
            ..pipeline.default_request("a red apple")
        };
        let options = RecordOptions {
            attention: AttentionDetail::Mean,
            cancel,
            ..RecordOptions::default()
        };
        let mut recorder = Recorder::new(pipeline, request, options).unwrap();
        recorder.reads_ahead = reads_ahead;
        while recorder.stage() != Stage::Step(0) {
            recorder.advance().unwrap();
        }
        recorder
    }

    fn step(recorder: &mut Recorder) -> Arc<StepTrace> {
        match recorder.advance().unwrap() {
            Some(Event::Step(step)) => step,
            other => panic!("{other:?} instead of a step"),
        }
    }

    fn assert_same(ahead: &mut Recorder, plain: &mut Recorder, steps: usize) {
        for _ in 0..steps {
            assert_eq!(ahead.stage(), plain.stage());
            let (ours, theirs) = (step(ahead), step(plain));
            assert_eq!(ours.index, theirs.index);
            assert_eq!(ours.tensors, theirs.tensors);
            assert_eq!(ours.attention, theirs.attention);
        }
    }

    #[test]
    fn a_recorder_that_reads_ahead_records_the_same() {
        let (ahead, plain) = (
            &mut recorder(true, CancelToken::default()),
            &mut recorder(false, CancelToken::default()),
        );
        assert_same(ahead, plain, 3);
        assert!(ahead.prefetched.is_some());
        let maps = |recorder: &Recorder| {
            let detail = AttentionDetail::Heads;
            recorder.attention_at(1, detail, Guidance::Uncond).unwrap()
        };
        assert_eq!(maps(ahead), maps(plain));
        // Going back forgets the prefetched step, and so does a branch.
        for recorder in [&mut *ahead, plain] {
            recorder.rewind(1).unwrap();
        }
        assert_same(ahead, plain, 2);
        for recorder in [&mut *ahead, plain] {
            let request = Request {
                prompt: "a blue house".into(),
                ..recorder.request().clone()
            };
            recorder.branch(2, request).unwrap();
        }
        assert_same(ahead, plain, 2);
        let mut clone = ahead.clone();
        assert_same(ahead, plain, 1);
        assert!(ahead.prefetched.is_none(), "after the last step comes none");
        let after_clone = step(&mut clone);
        assert_eq!(after_clone.index, 4);
        let pictures =
            [ahead.advance().unwrap(), clone.advance().unwrap()].map(|event| match event {
                Some(Event::Image(image)) => image.image.clone(),
                other => panic!("{other:?} instead of the picture"),
            });
        assert_eq!(pictures[0], pictures[1]);
    }

    #[test]
    fn a_step_takes_as_long_as_it_is_worked_on_whoever_waits_for_it_and_when() {
        let ahead = &mut recorder(true, CancelToken::default());
        let seconds: Vec<f64> = (0..5)
            .map(|_| {
                // What the caller does meanwhile is not the step's time, and the next step's is not this one's: the last
                // has none after it, and takes as long as the others.
                std::thread::sleep(std::time::Duration::from_millis(300));
                step(ahead).seconds
            })
            .collect();
        let mut sorted = seconds.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(seconds[4] > sorted[2] / 5.0, "{seconds:?}");
        assert!(sorted[0] < 0.3, "{seconds:?}");
    }

    #[test]
    fn cancelling_what_was_begun_loses_nothing() {
        let cancel = CancelToken::default();
        let (ahead, plain) = (
            &mut recorder(true, cancel.clone()),
            &mut recorder(false, CancelToken::default()),
        );
        assert_same(ahead, plain, 2);
        cancel.cancel();
        // The step that was begun before is done; the one after it is not begun.
        assert_same(ahead, plain, 1);
        assert!(ahead.prefetched.is_none());
        assert!(matches!(ahead.advance(), Err(Error::Cancelled)));
        assert_eq!(ahead.stage(), Stage::Step(3));
        cancel.reset();
        assert_same(ahead, plain, 2);
    }
}

//! The same request gives the same picture, bit for bit: looked at or not, in one go, with steps taken back, branched
//! off and back, or cancelled and gone on with.

use std::sync::{Arc, LazyLock};

use candle_core::{Device, Tensor};
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::generation::{
    Error, Generation, Intervention, Pipeline, Request, Stage, StageOutput, StepRange,
};
use diffuscope::model::{self, AttentionDetail, Hook, NoHook};
use diffuscope::scheduler::SchedulerKind;
use diffuscope::trace::{AttentionMaps, Event, Guidance, RecordOptions, Recorder};
use image::RgbImage;

static PIPELINE: LazyLock<Arc<Pipeline>> = LazyLock::new(|| {
    let checkpoint = Checkpoint::open(&Source::Embedded).expect("the embedded checkpoint opens");
    Arc::new(Pipeline::load(&checkpoint, &Device::Cpu).expect("the embedded checkpoint loads"))
});

const STEPS: usize = 4;
const MID_BLOCK: &str = "mid_block.attentions.0.transformer_blocks.0.attn2";

fn request(scheduler: SchedulerKind) -> Request {
    Request {
        steps: STEPS,
        scheduler,
        ..PIPELINE.default_request("a red apple on a table")
    }
}

fn recorder(request: Request, options: RecordOptions) -> Recorder {
    Recorder::new(PIPELINE.clone(), request, options).expect("a valid request")
}

fn everything() -> RecordOptions {
    RecordOptions {
        layers: true,
        attention: AttentionDetail::Heads,
        ..RecordOptions::default()
    }
}

/// Goes on until the picture is there.
fn finish(recorder: &mut Recorder) -> RgbImage {
    let mut picture = None;
    while let Some(event) = recorder.advance().expect("the run goes on") {
        if let Event::Image(image) = event {
            picture = Some(image.image.clone());
        }
    }
    picture.expect("a run ends with a picture")
}

/// Goes on until only the picture is missing, and gives the bits of the final latents.
fn finish_latents(recorder: &mut Recorder) -> Vec<u32> {
    let mut latents = None;
    while recorder.stage() != Stage::Image {
        if let Some(Event::Step(step)) = recorder.advance().expect("the run goes on") {
            let next = step.tensor("latents_next").expect("always recorded");
            latents = Some(next.data.iter().map(|value| value.to_bits()).collect());
        }
    }
    latents.expect("there was a step")
}

/// Goes on until `stage` is next.
fn advance_to(recorder: &mut Recorder, stage: Stage) {
    while recorder.stage() != stage {
        let event = recorder.advance().expect("the run goes on");
        assert!(event.is_some(), "the run ended before {stage:?}");
    }
}

/// Final latents of a generation with `hook` on it from the first step.
fn latents_with(hook: &mut dyn Hook) -> Vec<u32> {
    let mut generation =
        Generation::new(PIPELINE.clone(), request(SchedulerKind::Lms)).expect("a valid request");
    let mut latents = None;
    while generation.stage() != Stage::Image {
        match generation.advance(hook).expect("the run goes on") {
            Some(StageOutput::Step(step)) => latents = Some(step.latents_next),
            Some(_) => {}
            None => panic!("the run ended before its picture"),
        }
    }
    bits(&latents.expect("there was a step"))
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
    let values = values.expect("f32 values");
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn recording_everything_leaves_the_picture_as_it_is_without() {
    for scheduler in [SchedulerKind::Lms, SchedulerKind::EulerAncestral] {
        let nothing = finish(&mut recorder(request(scheduler), RecordOptions::default()));
        let all = finish(&mut recorder(request(scheduler), everything()));
        let mean = RecordOptions {
            attention: AttentionDetail::Mean,
            ..RecordOptions::default()
        };
        let mean = finish(&mut recorder(request(scheduler), mean));
        assert!(
            nothing == all,
            "{scheduler:?}: all heads change the picture"
        );
        assert!(
            nothing == mean,
            "{scheduler:?}: mean attention changes the picture"
        );
    }
}

#[test]
fn a_picture_of_8_bits_hides_nothing_the_latents_are_the_same_too() {
    struct All;
    impl Hook for All {
        fn wants_output(&self, _path: &str) -> bool {
            true
        }
        fn wants_attention(&self, _path: &str) -> AttentionDetail {
            AttentionDetail::Heads
        }
    }
    assert_eq!(latents_with(&mut NoHook), latents_with(&mut All));
}

#[test]
fn going_back_and_on_again_gives_the_same_latents_with_every_scheduler() {
    for scheduler in &SchedulerKind::ALL {
        let mut run = recorder(request(*scheduler), RecordOptions::default());
        let straight = finish_latents(&mut run);
        // From the end, then from half-way.
        run.rewind(1).expect("step 1 was reached");
        assert_eq!(run.stage(), Stage::Step(1));
        assert!(straight == finish_latents(&mut run), "{scheduler:?}");
        run.rewind(2).expect("step 2 was reached");
        advance_to(&mut run, Stage::Step(3));
        run.rewind(2).expect("step 2 was reached");
        assert!(straight == finish_latents(&mut run), "{scheduler:?}, again");
    }
}

#[test]
fn a_step_that_was_not_reached_cannot_be_gone_back_to() {
    let mut run = recorder(request(SchedulerKind::Lms), RecordOptions::default());
    assert!(matches!(run.rewind(0), Err(Error::NoSuchStep(0))));
    advance_to(&mut run, Stage::Step(1));
    assert!(matches!(run.rewind(3), Err(Error::NoSuchStep(3))));
    assert_eq!(run.stage(), Stage::Step(1));
}

#[test]
fn a_branch_differs_and_branching_back_gives_the_same_latents() {
    let original = request(SchedulerKind::DpmPlusPlus2M);
    let other = Request {
        prompt: "a blue house in the snow".to_owned(),
        ..original.clone()
    };
    let mut run = recorder(original.clone(), RecordOptions::default());
    let straight = finish_latents(&mut run);

    run.branch(2, other.clone()).expect("step 2 was reached");
    assert_eq!(run.stage(), Stage::Step(2));
    assert_eq!(run.request(), &other);
    let branched = finish_latents(&mut run);
    assert!(straight != branched, "another prompt gave the same latents");

    // From the beginning, a branch is nothing but a run of the other prompt.
    run.branch(0, other.clone()).expect("step 0 was reached");
    let anew = finish_latents(&mut recorder(other, RecordOptions::default()));
    assert!(finish_latents(&mut run) == anew);

    run.branch(0, original).expect("step 0 was reached");
    assert!(finish_latents(&mut run) == straight, "the way back is lost");
}

#[test]
fn a_branch_that_changes_nothing_gives_the_same_latents() {
    for scheduler in [
        SchedulerKind::Lms,
        SchedulerKind::EulerAncestral,
        SchedulerKind::Pndm,
    ] {
        let mut run = recorder(request(scheduler), RecordOptions::default());
        let straight = finish_latents(&mut run);
        for step in [0, 2] {
            let (mut fork, _) = run.fork(step, request(scheduler)).expect("it was reached");
            assert!(
                finish_latents(&mut fork) == straight,
                "{scheduler:?}, {step}"
            );
            assert!(fork.branches().is_empty(), "nothing was changed");
        }
    }
}

#[test]
fn a_fork_leaves_the_run_that_it_comes_from_as_it_is() {
    let mut run = recorder(request(SchedulerKind::Lms), RecordOptions::default());
    let straight = finish_latents(&mut run);
    run.rewind(1).expect("step 1 was reached");
    let other = request(SchedulerKind::Lms).with_prompt("a blue house in the snow");
    let (mut fork, events) = run.fork(2, other.clone()).expect("step 2 was reached");
    assert!(
        matches!(
            events[..],
            [Event::Tokens(_), Event::Text(_), Event::Noise(_)]
        ),
        "{} events",
        events.len()
    );
    let forked = finish_latents(&mut fork);
    assert!(straight != forked);
    assert_eq!(fork.request(), &other);
    assert_eq!(fork.branches().len(), 1);
    assert_eq!(fork.branches()[0].step, 2);
    assert_eq!(fork.branches()[0].request, request(SchedulerKind::Lms));

    assert_eq!(run.stage(), Stage::Step(1));
    assert!(finish_latents(&mut run) == straight);
    // What came before the branch is the first run's, its request too.
    fork.rewind(1).expect("step 1 was reached");
    assert_eq!(fork.request(), run.request());
    assert!(fork.branches().is_empty());
    assert!(finish_latents(&mut fork) == straight);
}

#[test]
fn a_branch_at_the_first_step_is_a_run_of_its_own_with_every_scheduler() {
    let mut run = recorder(request(SchedulerKind::Lms), RecordOptions::default());
    advance_to(&mut run, Stage::Step(1));
    for scheduler in &SchedulerKind::ALL {
        let (mut fork, _) = run
            .fork(0, request(*scheduler))
            .expect("step 0 was reached");
        let anew = finish_latents(&mut recorder(request(*scheduler), RecordOptions::default()));
        assert!(finish_latents(&mut fork) == anew, "{scheduler:?}");
    }
}

/// The latents before the next step, which is done for it, with what to divide them by for unit variance.
fn next_latents(run: &mut Recorder) -> (Vec<f32>, f32, f32) {
    let Some(Event::Step(step)) = run.advance().expect("the run goes on") else {
        panic!("no step was left");
    };
    let latents = step.tensor("latents").expect("always recorded");
    (latents.data.to_vec(), step.preview_scale, step.sigma)
}

#[test]
fn another_scheduler_takes_over_the_latents_at_the_noise_that_they_have() {
    use SchedulerKind::{Ddim, DpmPlusPlus2M, DpmPlusPlus2MKarras, Euler, EulerAncestral, Lms};
    let kinds = [
        Lms,
        Euler,
        EulerAncestral,
        Ddim,
        DpmPlusPlus2M,
        DpmPlusPlus2MKarras,
    ];
    for from in kinds {
        let mut run = recorder(request(from), RecordOptions::default());
        advance_to(&mut run, Stage::Step(2));
        for to in kinds {
            let (mut fork, events) = run.fork(1, request(to)).expect("sigma goes on falling");
            let Event::Noise(noise) = &events[2] else {
                panic!("the schedule comes last");
            };
            assert!(
                noise.schedule.sigmas.is_sorted_by(|a, b| a > b),
                "{from:?} {to:?}"
            );
            let (latents, scale, sigma) = next_latents(&mut fork);
            let (mut run, _) = run.fork(1, request(from)).expect("step 1 was reached");
            let (expected, expected_scale, expected_sigma) = next_latents(&mut run);
            assert_eq!(sigma.to_bits(), expected_sigma.to_bits());
            // On a common scale they are the same latents.
            let unit = |values: Vec<f32>, scale| -> Vec<f32> {
                values.into_iter().map(|value| value / scale).collect()
            };
            let distance = distance(&unit(latents, scale), &unit(expected, expected_scale));
            assert!(distance < 1e-6, "{from:?} to {to:?}: {distance}");
        }
    }
}

#[test]
fn a_second_branch_at_a_step_takes_the_place_of_the_first() {
    use SchedulerKind::{Ddim, DpmPlusPlus2M, Euler, EulerAncestral, Lms};
    // Histories, fresh noise and the latents' scale: none of it remembers the branch between.
    for (own, between) in [
        (Euler, Lms),
        (Lms, Euler),
        (DpmPlusPlus2M, EulerAncestral),
        (EulerAncestral, Ddim),
    ] {
        let mut run = recorder(request(own), RecordOptions::default());
        let straight = finish_latents(&mut run);
        let other = Request {
            seed: request(own).seed + 1,
            ..request(between)
        };
        let (mut first, _) = run.fork(2, other).expect("step 2 was reached");
        let (mut back, _) = first.fork(2, request(own)).expect("step 2 was reached");
        assert!(back.branches().is_empty(), "{own:?}: nothing was changed");
        assert!(finish_latents(&mut back) == straight, "{own:?}");
        assert!(finish_latents(&mut first) != straight, "{own:?}");
        // So is one that is not the way back, also where the first has gone on since.
        let third = Request {
            guidance_scale: 3.0,
            ..request(own)
        };
        let (mut direct, _) = run.fork(2, third.clone()).expect("step 2 was reached");
        let (mut second, _) = first.fork(2, third).expect("step 2 was reached");
        assert_eq!(second.branches(), direct.branches());
        assert!(
            finish_latents(&mut second) == finish_latents(&mut direct),
            "{own:?}"
        );
    }
}

#[test]
fn a_branch_that_cannot_be_gone_on_with_is_refused_and_nothing_is_lost() {
    let mut run = recorder(request(SchedulerKind::Lms), RecordOptions::default());
    advance_to(&mut run, Stage::Step(2));
    let more = Request {
        steps: STEPS + 1,
        ..request(SchedulerKind::Lms)
    };
    let refused = run.branch(1, more);
    assert!(
        matches!(refused, Err(Error::Branch { steps: STEPS })),
        "{refused:?}"
    );
    let refused = run
        .branch(1, request(SchedulerKind::Pndm))
        .expect_err("one step more");
    assert!(
        refused
            .to_string()
            .contains("pndm cannot take over at step 1"),
        "{refused}"
    );
    assert!(matches!(
        run.branch(3, request(SchedulerKind::Lms)),
        Err(Error::NoSuchStep(3))
    ));
    assert_eq!(run.stage(), Stage::Step(2));
    assert_eq!(run.request().scheduler, SchedulerKind::Lms);
}

#[test]
fn attention_recomputed_later_is_the_attention_that_was_recorded() {
    let options = RecordOptions {
        attention: AttentionDetail::Mean,
        ..RecordOptions::default()
    };
    let mut run = recorder(request(SchedulerKind::EulerAncestral), options);
    advance_to(&mut run, Stage::Step(2));
    let Some(Event::Step(step)) = run.advance().expect("step 2 runs") else {
        panic!("step 2 gave something else");
    };
    finish_latents(&mut run);
    let recompute = |detail, half| run.attention_at(2, detail, half).expect("step 2 was done");

    let mean = recompute(AttentionDetail::Mean, Guidance::Cond);
    assert!(!mean.is_empty());
    assert!(mean == step.attention, "other numbers than those recorded");

    let heads = recompute(AttentionDetail::Heads, Guidance::Cond);
    assert_eq!(heads.len(), mean.len());
    for (heads, mean) in heads.iter().zip(&mean) {
        assert_eq!(heads.path, mean.path);
        let distance = distance(&mean_of(heads), &mean.data);
        assert!(distance <= 1e-6, "{}: {distance}", heads.path);
    }
    let uncond = recompute(AttentionDetail::Mean, Guidance::Uncond);
    assert!(
        uncond != mean,
        "the half without the prompt looks at the prompt"
    );
}

fn mean_of(maps: &AttentionMaps) -> Vec<f32> {
    let heads = maps.heads.expect("every head");
    let size = maps.data.len() / heads;
    (0..size)
        .map(|i| {
            (0..heads)
                .map(|head| maps.data[head * size + i])
                .sum::<f32>()
                / heads as f32
        })
        .collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn outside_of_its_steps_guidance_is_off_bit_for_bit() {
    let all = |request: Request| {
        let mut run = recorder(request, RecordOptions::default());
        advance_to(&mut run, Stage::Step(0));
        let steps = (0..STEPS).map(|_| match run.advance().expect("the run goes on") {
            Some(Event::Step(step)) => step,
            other => panic!("{other:?} instead of a step"),
        });
        (steps.collect::<Vec<_>>(), run)
    };
    let plain = request(SchedulerKind::Euler);
    let unguided = Request {
        guidance_scale: 1.0,
        ..plain.clone()
    };
    let late = Request {
        guidance_steps: Some(StepRange { first: 1, last: 2 }),
        ..plain.clone()
    };
    let everywhere = Request {
        guidance_steps: Some(StepRange {
            first: 0,
            last: STEPS - 1,
        }),
        ..plain.clone()
    };
    let (plain, _) = all(plain);
    let (unguided, _) = all(unguided);
    let (late, run) = all(late);
    let (everywhere, _) = all(everywhere);
    for (found, expected) in everywhere.iter().zip(&plain) {
        assert_eq!(found.tensors, expected.tensors, "all steps named, or none");
    }
    assert_eq!(late[0].tensors, unguided[0].tensors);
    for (index, step) in late.iter().enumerate() {
        let has_uncond = step.tensor("noise_uncond").is_some();
        assert_eq!(has_uncond, (1..=2).contains(&index), "step {index}");
        let uncond = run.attention_at(index, AttentionDetail::Mean, Guidance::Uncond);
        assert_eq!(!uncond.expect("done").is_empty(), has_uncond);
    }
    assert_ne!(late[2].tensors, unguided[2].tensors);

    // A branch may change it.
    let changed = Request {
        guidance_steps: Some(StepRange { first: 0, last: 2 }),
        ..run.request().clone()
    };
    let (mut fork, _) = run.fork(0, changed).expect("step 0 was done");
    let Some(Event::Step(first)) = fork.advance().expect("it goes on") else {
        panic!("a step comes first");
    };
    assert_eq!(first.tensors, plain[0].tensors);
}

#[test]
fn guidance_in_steps_that_a_run_has_not_is_refused() {
    let steps = |first, last| Request {
        guidance_steps: Some(StepRange { first, last }),
        ..request(SchedulerKind::Lms)
    };
    let refused = |request| {
        Generation::new(PIPELINE.clone(), request)
            .unwrap_err()
            .to_string()
    };
    let error = refused(steps(2, STEPS));
    assert!(
        error.contains("steps 3 to 5") && error.contains("from 1 to 4"),
        "{error}"
    );
    assert!(refused(steps(3, 2)).contains("before it"));
    let rescaled = |guidance_rescale| Request {
        guidance_rescale,
        ..request(SchedulerKind::Lms)
    };
    for phi in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let error = refused(rescaled(phi));
        assert!(
            error.contains("guidance_rescale") && error.contains("from 0 to 1"),
            "{error}"
        );
    }
}

#[test]
fn without_guidance_there_is_no_unconditional_half_to_look_at() {
    let unguided = Request {
        guidance_scale: 1.0,
        ..request(SchedulerKind::Lms)
    };
    let mut run = recorder(unguided, RecordOptions::default());
    advance_to(&mut run, Stage::Step(1));
    let maps = run.attention_at(0, AttentionDetail::Mean, Guidance::Uncond);
    assert!(maps.expect("no error").is_empty());
    let maps = run.attention_at(0, AttentionDetail::Mean, Guidance::Cond);
    assert!(!maps.expect("no error").is_empty());
}

#[test]
fn a_run_cancelled_in_the_middle_of_a_step_goes_on_as_if_nothing_had_been() {
    /// Cancels at the `left`-th module from now.
    struct CancelAfter {
        left: usize,
    }
    impl Hook for CancelAfter {
        fn check(&mut self) -> Result<(), model::Error> {
            self.left = self.left.checked_sub(1).ok_or(model::Error::Cancelled)?;
            Ok(())
        }
    }
    let straight = latents_with(&mut NoHook);
    let mut generation =
        Generation::new(PIPELINE.clone(), request(SchedulerKind::Lms)).expect("a valid request");
    let mut latents = None;
    let mut cancelled = 0;
    while generation.stage() != Stage::Image {
        let before = generation.stage();
        for modules in [0, 1, 7, 20] {
            let mut hook = CancelAfter { left: modules };
            match generation.advance(&mut hook) {
                Err(Error::Cancelled) => {
                    assert_eq!(generation.stage(), before);
                    cancelled += usize::from(modules > 1 && matches!(before, Stage::Step(_)));
                }
                // Short stages are through before the hook cancels them.
                Ok(_) => break,
                Err(error) => panic!("{before:?}, {modules} modules: {error}"),
            }
        }
        if generation.stage() == before
            && let Some(StageOutput::Step(step)) =
                generation.advance(&mut NoHook).expect("it goes on")
        {
            latents = Some(step.latents_next);
        }
    }
    assert_eq!(cancelled, 2 * STEPS, "steps were not cancelled half-way");
    assert_eq!(straight, bits(&latents.expect("there was a step")));
}

#[test]
fn a_cancelled_recorder_goes_on_once_it_is_let() {
    let options = RecordOptions::default();
    let straight = finish_latents(&mut recorder(request(SchedulerKind::Lms), options.clone()));
    let cancel = options.cancel.clone();
    let mut run = recorder(request(SchedulerKind::Lms), options);
    advance_to(&mut run, Stage::Step(2));
    cancel.cancel();
    for _ in 0..2 {
        assert!(matches!(run.advance(), Err(Error::Cancelled)));
        assert_eq!(run.stage(), Stage::Step(2));
    }
    cancel.reset();
    assert!(straight == finish_latents(&mut run));
}

#[test]
fn a_hook_that_replaces_an_output_changes_what_comes_of_it() {
    /// Replaces what a module gives by `by` times that.
    struct Scale {
        path: &'static str,
        by: f64,
        seen: usize,
    }
    impl Hook for Scale {
        fn wants_output(&self, path: &str) -> bool {
            path == self.path
        }
        fn output(&mut self, _path: &str, value: &Tensor) -> Result<Option<Tensor>, model::Error> {
            self.seen += 1;
            Ok(Some((value * self.by)?))
        }
    }
    let straight = latents_with(&mut NoHook);
    for path in [
        "time_embedding",
        "down_blocks.0.resnets.0",
        "mid_block.attentions.0",
        "mid_block.attentions.0.transformer_blocks.0.attn2",
        "text_model.encoder.layers.0",
    ] {
        let scaled = |by| {
            let mut hook = Scale { path, by, seen: 0 };
            let latents = latents_with(&mut hook);
            assert!(hook.seen > 0, "nothing is called {path}");
            latents
        };
        assert_eq!(straight, scaled(1.0), "{path} replaced by itself");
        assert_ne!(straight, scaled(0.5), "{path} halved");
    }
}

#[test]
fn a_hook_that_replaces_attention_changes_the_picture_and_is_what_others_see() {
    /// Takes a text position's attention away in one layer.
    struct Silence {
        token: usize,
        seen: Vec<f32>,
    }
    impl Hook for Silence {
        fn replaces_attention(&self, path: &str) -> bool {
            path == MID_BLOCK
        }
        fn replace_attention(
            &mut self,
            _path: &str,
            probs: &Tensor,
        ) -> Result<Tensor, model::Error> {
            let keys = probs.dim(3)?;
            let keep: Vec<f32> = (0..keys).map(|key| f32::from(key != self.token)).collect();
            Ok(probs.broadcast_mul(&Tensor::from_vec(keep, keys, probs.device())?)?)
        }
        fn wants_attention(&self, path: &str) -> AttentionDetail {
            if path == MID_BLOCK {
                AttentionDetail::Mean
            } else {
                AttentionDetail::None
            }
        }
        fn attention(&mut self, _path: &str, probs: &Tensor) -> Result<(), model::Error> {
            let column = probs.narrow(2, self.token, 1)?;
            self.seen.push(column.flatten_all()?.max(0)?.to_scalar()?);
            Ok(())
        }
    }
    let mut hook = Silence {
        token: 2,
        seen: Vec::new(),
    };
    assert_ne!(latents_with(&mut NoHook), latents_with(&mut hook));
    assert_eq!(hook.seen, vec![0.0; STEPS]);
}

/// The final latents of a run with `interventions`, and the attention that its first step recorded, every head.
fn intervened(interventions: Vec<Intervention>) -> (Vec<u32>, Vec<AttentionMaps>) {
    let request = Request {
        interventions,
        ..request(SchedulerKind::Lms)
    };
    let mut run = recorder(request, everything());
    advance_to(&mut run, Stage::Step(0));
    let Some(Event::Step(step)) = run.advance().expect("the run goes on") else {
        panic!("a step comes first");
    };
    let again = run.attention_at(0, AttentionDetail::Heads, Guidance::Cond);
    assert!(
        again.expect("step 0 was done") == step.attention,
        "recomputed"
    );
    (finish_latents(&mut run), step.attention.clone())
}

/// All that the text position gets, in every layer.
fn share(maps: &[AttentionMaps], position: usize) -> Vec<f32> {
    let heads = |maps: &AttentionMaps| maps.heads.expect("every head");
    maps.iter()
        .flat_map(|maps| (0..heads(maps)).flat_map(move |head| maps.map(Some(head), position)))
        .copied()
        .collect()
}

/// Of "a red apple on a table".
const RED: usize = 2;
const APPLE: usize = 3;
const TABLE: usize = 6;

#[test]
fn a_weight_of_one_gives_the_same_latents_bit_for_bit() {
    let (straight, maps) = intervened(Vec::new());
    let (weighed, weighed_maps) = intervened(vec![Intervention::weight("apple", 1.0)]);
    assert!(straight == weighed);
    assert!(maps == weighed_maps);
}

#[test]
fn a_weight_of_zero_takes_all_attention_from_the_word_and_two_doubles_it() {
    let (straight, maps) = intervened(Vec::new());
    let (without, without_maps) = intervened(vec![Intervention::weight("Apple", 0.0)]);
    assert!(straight != without);
    assert!(
        share(&without_maps, APPLE)
            .iter()
            .all(|&value| value == 0.0)
    );
    assert!(share(&without_maps, RED).iter().all(|&value| value > 0.0));
    let (_, twice) = intervened(vec![Intervention::weight("apple", 2.0)]);
    // The first layer sees what it saw before; those after it see what became of the picture.
    let first = |maps: &[AttentionMaps], position| share(&maps[..1], position);
    let doubled: Vec<f32> = first(&maps, APPLE)
        .iter()
        .map(|value| value * 2.0)
        .collect();
    assert_eq!(first(&twice, APPLE), doubled);
    assert_eq!(first(&twice, RED), first(&maps, RED));
}

#[test]
fn a_swap_exchanges_two_maps() {
    let (_, maps) = intervened(Vec::new());
    let (_, swapped) = intervened(vec![Intervention::swap("red", "table")]);
    let first = |maps: &[AttentionMaps], position| share(&maps[..1], position);
    assert_eq!(first(&swapped, RED), first(&maps, TABLE));
    assert_eq!(first(&swapped, TABLE), first(&maps, RED));
    assert_eq!(first(&swapped, APPLE), first(&maps, APPLE));
}

#[test]
fn an_intervention_leaves_the_half_without_the_prompt_and_other_steps_alone() {
    let only = |first, last| {
        let mut intervention = Intervention::weight("apple", 0.0);
        intervention.steps = Some(StepRange { first, last });
        Request {
            interventions: vec![intervention],
            ..request(SchedulerKind::Lms)
        }
    };
    let mut plain = recorder(request(SchedulerKind::Lms), RecordOptions::default());
    let straight = finish_latents(&mut plain);
    let mut early = recorder(only(0, 0), RecordOptions::default());
    let mut never = recorder(only(STEPS, STEPS), RecordOptions::default());
    assert!(finish_latents(&mut early) != straight);
    assert!(finish_latents(&mut never) == straight);
    let uncond = |run: &Recorder| {
        let maps = run.attention_at(0, AttentionDetail::Heads, Guidance::Uncond);
        maps.expect("step 0 was done")
    };
    assert!(uncond(&early) == uncond(&plain));

    // From a branch on: what was before is the plain run.
    let (fork, _) = plain.fork(2, only(0, STEPS)).expect("step 2 was reached");
    let maps = |run: &Recorder, step| run.attention_at(step, AttentionDetail::Mean, Guidance::Cond);
    assert!(maps(&fork, 1).expect("done") == maps(&plain, 1).expect("done"));
}

#[test]
fn interventions_name_words_that_are_there() {
    let refused = |prompt: &str, intervention| {
        let request = Request {
            interventions: vec![intervention],
            ..PIPELINE.default_request(prompt)
        };
        let refused = Recorder::new(PIPELINE.clone(), request, RecordOptions::default());
        refused.expect_err("no such word").to_string()
    };
    let error = refused("a red apple", Intervention::weight("tiger", 2.0));
    assert!(error.contains("“tiger”; it has a, red, apple"), "{error}");
    let error = refused("a red apple", Intervention::swap("red", "app"));
    assert!(error.contains("“app”"), "half a word is none: {error}");
    let long = format!("{} apple", "a ".repeat(90));
    let error = refused(&long, Intervention::weight("apple", 2.0));
    assert!(error.contains("past the end"), "{error}");

    let everywhere = Request {
        interventions: vec![Intervention::weight("red apple", 2.0)],
        ..PIPELINE.default_request("Red apple, green apple, RED  Apple")
    };
    let run = recorder(everywhere, RecordOptions::default());
    assert_eq!(run.request().interventions[0].positions, [1, 2, 7, 8]);
}

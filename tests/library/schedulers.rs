//! Schedules and samplers against diffusers' own numbers (`tests/goldens/schedulers.py`).

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use diffuscope::checkpoint::uncorrected_scheduler;
use diffuscope::random::Generator;
use diffuscope::scheduler::{
    BetaSchedule, LatentSpace, PredictionType, Schedule, Scheduler, SchedulerConfig,
    SchedulerError, SchedulerKind, StepOutput,
};
use serde::Deserialize;

const SHAPE: (usize, usize, usize, usize) = (1, 1, 2, 2);

struct Goldens {
    configs: BTreeMap<String, SchedulerConfig>,
    cases: Vec<Case>,
}

/// What `scheduler_config.json` says in diffusers' eyes.
fn read(json: &str) -> Result<SchedulerConfig, String> {
    uncorrected_scheduler("file", json.as_bytes()).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Case {
    kind: SchedulerKind,
    config: String,
    steps: usize,
    error: Option<String>,
    #[serde(default)]
    calls: usize,
    schedule: Option<GoldenSchedule>,
    #[serde(default)]
    trajectory: Vec<Golden>,
}

#[derive(Deserialize)]
struct GoldenSchedule {
    init_noise_sigma: u32,
    timesteps: Vec<u32>,
    sigmas: Vec<u32>,
}

#[derive(Deserialize)]
struct Golden {
    index: usize,
    model_input: Vec<u32>,
    prev_sample: Vec<u32>,
    x0: Vec<u32>,
}

impl Case {
    fn name(&self) -> String {
        format!("{:?}, {}, {} steps", self.kind, self.config, self.steps)
    }

    /// numpy.arange goes one stride too far, to timestep -1, and diffusers takes a step more than asked for.
    fn diffusers_goes_too_far(&self) -> bool {
        self.config == "trailing" && self.steps == 61
    }

    /// The noise levels are not those of the timesteps.
    fn has_levels_of_its_own(&self) -> bool {
        ["karras", "exponential", "beta", "log linear, karras"]
            .iter()
            .any(|name| self.config.starts_with(name))
    }

    /// Where the first two timesteps are the same, diffusers begins with the second and runs out of sigmas.
    fn diffusers_runs_out_of_sigmas(&self) -> bool {
        self.error.as_ref().is_some_and(|error| {
            error.starts_with(&format!("IndexError: index {} is out", self.steps + 1))
        })
    }

    /// With as many steps as timesteps one sigma comes twice, and diffusers divides by zero.
    fn diffusers_divides_by_zero(&self) -> bool {
        self.kind == SchedulerKind::DpmPlusPlus2M && self.steps == 1000
    }
}

fn goldens() -> Goldens {
    #[derive(Deserialize)]
    struct File {
        configs: BTreeMap<String, serde_json::Value>,
        cases: Vec<Case>,
    }
    let file: File = serde_json::from_str(include_str!("../goldens/schedulers.json")).unwrap();
    let configs = file.configs.into_iter();
    Goldens {
        configs: configs
            .map(|(name, config)| (name, read(&config.to_string()).unwrap()))
            .collect(),
        cases: file.cases,
    }
}

/// The indices that a long list was recorded at.
fn picked(count: usize) -> Vec<usize> {
    if count <= 25 {
        return (0..count).collect();
    }
    let stride = if count < 120 { 10 } else { 100 };
    let mut indices: Vec<usize> = (0..count).step_by(stride).collect();
    indices.extend([0, 1, 2, count - 3, count - 2, count - 1]);
    indices.sort_unstable();
    indices.dedup();
    indices
}

/// Distance in representable numbers; both are positive or zero.
fn ulps(a: f32, b: f32) -> u32 {
    a.to_bits().abs_diff(b.to_bits())
}

/// Largest difference, relative to numbers above 1.
fn difference(found: &Tensor, expected: &[u32]) -> f32 {
    let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
    assert!(found.len() >= expected.len());
    found
        .iter()
        .zip(expected)
        .map(|(found, expected)| {
            let expected = f32::from_bits(*expected);
            let difference = (found - expected).abs() / expected.abs().max(1.0);
            // A NaN must not count as no difference.
            if difference.is_nan() {
                f32::INFINITY
            } else {
                difference
            }
        })
        .fold(0.0, f32::max)
}

/// The model's outputs and the noise of the goldens, drawn one after the other.
struct Inputs {
    model: Generator,
    noise: Generator,
}

impl Inputs {
    fn new() -> Self {
        Self {
            model: Generator::manual_seed(2),
            noise: Generator::manual_seed(3),
        }
    }

    fn step(&mut self, scheduler: &mut Scheduler, index: usize, sample: &Tensor) -> StepOutput {
        let output = self.model.randn_tensor(SHAPE, &Device::Cpu).unwrap();
        let noise = scheduler
            .needs_noise()
            .then(|| self.noise.randn_tensor(SHAPE, &Device::Cpu).unwrap());
        scheduler
            .step(index, &output, sample, noise.as_ref())
            .unwrap()
    }
}

fn start(scheduler: &Scheduler) -> Tensor {
    let noise = Generator::manual_seed(1).randn_tensor(SHAPE, &Device::Cpu);
    let scale = f64::from(scheduler.schedule().init_noise_sigma);
    noise.unwrap().affine(scale, 0.0).unwrap()
}

#[test]
fn timesteps_are_exact_and_sigmas_within_two_ulp() {
    let goldens = goldens();
    let mut largest = 0;
    let mut compared = 0;
    for case in &goldens.cases {
        let Some(golden) = &case.schedule else {
            continue;
        };
        if case.diffusers_goes_too_far() {
            continue;
        }
        let name = case.name();
        let schedule =
            Schedule::new(case.kind, &goldens.configs[&case.config], case.steps).unwrap();
        assert_eq!(schedule.len(), case.calls, "{name}");
        assert_eq!(schedule.sigmas.len(), case.calls + 1, "{name}");
        let timesteps: Vec<u32> = picked(schedule.len())
            .into_iter()
            .map(|index| schedule.timesteps[index].to_bits())
            .collect();
        let readable =
            |bits: &[u32]| -> Vec<f32> { bits.iter().map(|bits| f32::from_bits(*bits)).collect() };
        let close = timesteps.iter().zip(&golden.timesteps).all(|(a, b)| {
            // Timesteps that are looked up for noise levels come from logarithms.
            a == b || case.has_levels_of_its_own() && a.abs_diff(*b) <= 64
        });
        assert!(
            close && timesteps.len() == golden.timesteps.len(),
            "{name}: timesteps {:?}, expected {:?}",
            readable(&timesteps),
            readable(&golden.timesteps)
        );
        let indices = picked(schedule.sigmas.len());
        assert_eq!(indices.len(), golden.sigmas.len(), "{name}");
        for (index, expected) in indices.into_iter().zip(&golden.sigmas) {
            let (found, expected) = (schedule.sigmas[index], f32::from_bits(*expected));
            let distance = ulps(found, expected);
            // Rescaled betas cancel: in f32 their noise levels are off by up to 2e-5, torch's and these alike, and torch's
            // roots differ from exact ones in the last bit.
            let cancels = case.config.starts_with("zero snr");
            let is_near = cancels && (found / expected - 1.0).abs() < 1e-5;
            // Exponentials double what the logarithms before them are off by.
            let most = if case.config.starts_with("log linear") {
                4
            } else {
                2
            };
            assert!(
                is_near || distance <= most,
                "{name}: sigma {index} is {found}, expected {expected}"
            );
            largest = largest.max(if cancels { 0 } else { distance });
            compared += 1;
        }
        let distance = ulps(
            schedule.init_noise_sigma,
            f32::from_bits(golden.init_noise_sigma),
        );
        assert!(distance <= 4, "{name}: init_noise_sigma");
        largest = largest.max(distance);
    }
    println!("largest difference of {compared} sigmas: {largest} ulp");
    assert!(compared > 1500);
}

#[test]
fn trajectories_are_those_of_diffusers() {
    let goldens = goldens();
    // Keyed by the sampler and whether there are more than 100 steps, where roundings add up.
    let mut largest: BTreeMap<(String, bool), (f32, String)> = BTreeMap::new();
    let mut compared = 0;
    for case in &goldens.cases {
        if case.error.is_some() || case.diffusers_goes_too_far() || case.diffusers_divides_by_zero()
        {
            continue;
        }
        let config = &goldens.configs[&case.config];
        let mut scheduler = Scheduler::new(case.kind, config, case.steps).unwrap();
        let mut sample = start(&scheduler);
        let mut inputs = Inputs::new();
        let mut recorded = case.trajectory.iter().peekable();
        for index in 0..scheduler.len() {
            let input = scheduler.scale_model_input(&sample, index).unwrap();
            let output = inputs.step(&mut scheduler, index, &sample);
            sample = output.prev_sample;
            let Some(golden) = recorded.next_if(|golden| golden.index == index) else {
                continue;
            };
            let mut worst = difference(&input, &golden.model_input)
                .max(difference(&sample, &golden.prev_sample))
                .max(difference(&output.x0, &golden.x0));
            compared += 1;
            if case.config.starts_with("zero snr") {
                // The first sigma is 4096, and what is left of such a sample has its rounding.
                worst /= 16.0;
            }
            let key = (format!("{:?}", case.kind), case.steps > 100);
            let entry = largest.entry(key).or_default();
            if worst > entry.0 {
                *entry = (worst, format!("{}, index {index}", case.name()));
            }
        }
        assert!(recorded.next().is_none(), "{}", case.name());
    }
    for ((kind, _), (worst, at)) in &largest {
        println!("{kind}: {worst:.2e} ({at})");
    }
    assert!(compared > 2000, "{compared}");
    assert_eq!(largest.len(), 2 * SchedulerKind::ALL.len());
    for ((_, long), (worst, at)) in &largest {
        let allowed = if *long { 1e-4 } else { 3e-5 };
        assert!(*worst <= allowed, "{at}: differs by {worst}");
    }
}

#[test]
fn where_diffusers_fails_an_error_says_why() {
    let goldens = goldens();
    let mut failures = 0;
    for case in goldens.cases.iter().filter(|case| case.error.is_some()) {
        if case.diffusers_runs_out_of_sigmas() {
            assert!(Scheduler::new(case.kind, &goldens.configs[&case.config], case.steps).is_ok());
            continue;
        }
        let error =
            Scheduler::new(case.kind, &goldens.configs[&case.config], case.steps).unwrap_err();
        let expected = match (case.error.as_deref().unwrap(), case.config.as_str()) {
            (error, _) if error.starts_with("IndexError") => {
                "the schedule reaches timestep 1000, but the model was trained on 0 to 999"
            }
            (_, "sample") => "file: prediction_type is \"sample\", which",
            (_, "two kinds") => "file: use_beta_sigmas is true, which",
            (_, "dpmsolver, zero") => "file: algorithm_type is \"dpmsolver\", which",
            _ => "3 steps; PNDM without skip_prk_steps needs at least 4",
        };
        assert!(error.to_string().starts_with(expected), "{error}");
        failures += 1;
    }
    assert_eq!(failures, 4 + 2 * 4 + 3 * 4 + 2 * 4);
}

#[test]
fn every_number_of_steps_gives_finite_latents_or_a_reason() {
    let configs = [
        SchedulerConfig::stable_diffusion_v1(),
        SchedulerConfig::default(),
    ];
    for config in configs {
        for kind in SchedulerKind::ALL {
            for steps in 1..=1000 {
                match Schedule::new(kind, &config, steps) {
                    Ok(schedule) => {
                        let calls = schedule.len();
                        assert!(calls >= steps, "{kind:?}, {steps}");
                        assert!(schedule.timesteps.is_sorted_by(|a, b| a >= b) || calls > steps);
                        assert!(schedule.sigmas.iter().all(|sigma| sigma.is_finite()));
                    }
                    Err(SchedulerError::TimestepOutOfRange { .. }) => assert_eq!(steps, 1000),
                    Err(SchedulerError::TooFewForPrk { .. }) => assert!(steps < 4),
                    Err(error) => panic!("{kind:?}, {steps}: {error}"),
                }
            }
            for steps in [1, 2, 3, 4, 500, 998, 999, 1000] {
                let Ok(mut scheduler) = Scheduler::new(kind, &config, steps) else {
                    continue;
                };
                let mut sample = start(&scheduler);
                let mut inputs = Inputs::new();
                for index in 0..scheduler.len() {
                    sample = inputs.step(&mut scheduler, index, &sample).prev_sample;
                }
                let values: Vec<f32> = sample.flatten_all().unwrap().to_vec1().unwrap();
                assert!(
                    values.iter().all(|value| value.is_finite()),
                    "{kind:?}, {steps} steps: {values:?}"
                );
            }
        }
    }
}

#[test]
fn numpys_extra_step_of_trailing_spacing_is_not_taken() {
    let config = read(r#"{"timestep_spacing": "trailing"}"#).unwrap();
    for kind in SchedulerKind::ALL {
        let schedule = Schedule::new(kind, &config, 61).unwrap();
        let extra = if kind == SchedulerKind::Pndm { 9 } else { 0 };
        assert_eq!(schedule.len(), 61 + extra, "{kind:?}");
        assert!(schedule.timesteps.iter().all(|t| *t >= 0.0), "{kind:?}");
    }
}

#[test]
fn a_clone_made_at_any_step_goes_on_exactly_like_the_original() {
    let config = SchedulerConfig::stable_diffusion_v1();
    for kind in SchedulerKind::ALL {
        let mut scheduler = Scheduler::new(kind, &config, 8).unwrap();
        let mut inputs = Inputs::new();
        let mut samples = vec![start(&scheduler)];
        let mut clones = Vec::new();
        for index in 0..scheduler.len() {
            clones.push((
                scheduler.clone(),
                inputs.model.clone(),
                inputs.noise.clone(),
            ));
            let output = inputs.step(&mut scheduler, index, &samples[index]);
            samples.push(output.prev_sample);
        }
        // In reverse order, so that a later continuation cannot have set an earlier one right.
        for (from, (mut scheduler, model, noise)) in clones.into_iter().enumerate().rev() {
            let mut inputs = Inputs { model, noise };
            let mut sample = samples[from].clone();
            for index in from..scheduler.len() {
                sample = inputs.step(&mut scheduler, index, &sample).prev_sample;
                let bits = |tensor: &Tensor| -> Vec<u32> {
                    let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
                    values.iter().map(|value| value.to_bits()).collect()
                };
                assert_eq!(
                    bits(&sample),
                    bits(&samples[index + 1]),
                    "{kind:?}: restored at {from}, step {index}"
                );
            }
        }
    }
}

#[test]
fn the_published_figures_of_a_linear_schedule() {
    let config = SchedulerConfig {
        beta_schedule: BetaSchedule::Linear,
        beta_start: 0.0001,
        beta_end: 0.02,
        ..SchedulerConfig::stable_diffusion_v1()
    };
    let schedule = Schedule::new(SchedulerKind::Lms, &config, 100).unwrap();
    let shown: Vec<String> = schedule.timesteps[..3]
        .iter()
        .map(|t| format!("{t:.3}"))
        .collect();
    assert_eq!(shown, ["999.000", "988.909", "978.818"]);
    assert_eq!(format!("{:.3}", schedule.sigmas[0]), "157.407");
    assert_eq!(format!("{:.3}", schedule.init_noise_sigma), "157.407");
    assert_eq!(schedule.alphas_cumprod.len(), 1000);
    assert_eq!(schedule.betas.len(), 1000);
}

#[test]
fn previews_are_scaled_to_the_variance_of_the_space() {
    let config = SchedulerConfig::stable_diffusion_v1();
    for kind in SchedulerKind::ALL {
        let scheduler = Scheduler::new(kind, &config, 10).unwrap();
        let last = scheduler.len();
        match scheduler.schedule().space {
            LatentSpace::VarianceExploding => {
                assert!((scheduler.preview_scale(0) - 14.6488).abs() < 1e-3);
                assert!((scheduler.preview_scale(last) - 1.0).abs() < 1e-6);
            }
            LatentSpace::VariancePreserving => {
                for index in 0..=last {
                    assert!((scheduler.preview_scale(index) - 1.0).abs() < f32::EPSILON);
                }
            }
        }
        // Asking beyond the end is harmless.
        assert!((scheduler.preview_scale(usize::MAX) - 1.0).abs() < 1e-6);
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused_by_name() {
    let cases = [
        (r#"{"num_train_timesteps": 0}"#, "num_train_timesteps is 0"),
        (
            r#"{"num_train_timesteps": 18446744073709551615}"#,
            "num_train_timesteps is 18446744073709551615",
        ),
        (r#"{"beta_start": 0.0}"#, "beta_start is 0"),
        (r#"{"beta_start": -0.1}"#, "beta_start is -0.1"),
        (r#"{"beta_end": 1.0}"#, "beta_end is 1"),
        (r#"{"beta_end": 1e300}"#, "beta_end is 1"),
        (r#"{"beta_end": 0.99}"#, "the betas leave 2."),
        (
            r#"{"beta_start": 1e-30, "beta_end": 1e-30}"#,
            "the betas leave 1e0 of the signal",
        ),
        (
            r#"{"trained_betas": [0.1, 0.2]}"#,
            "trained_betas has 2 numbers; num_train_timesteps asks for 1000",
        ),
        (
            r#"{"num_train_timesteps": 2, "trained_betas": [0.1, 2]}"#,
            "trained_betas[1] is 2",
        ),
    ];
    for (json, expected) in cases {
        let config = read(json).unwrap();
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{json}: {error}");
        assert!(Scheduler::new(SchedulerKind::Ddim, &config, 1).is_err());
    }
    let config = SchedulerConfig {
        beta_start: f64::NAN,
        ..SchedulerConfig::default()
    };
    let error = config.validate().unwrap_err().to_string();
    assert!(error.starts_with("beta_start is NaN"), "{error}");
}

#[test]
fn an_unknown_choice_is_refused_with_file_key_and_the_known_ones() {
    for (json, expected) in [
        (
            r#"{"beta_schedule": "cosine"}"#,
            "file: beta_schedule is \"cosine\", expected one of linear, scaled_linear, squaredcos_cap_v2",
        ),
        (
            r#"{"prediction_type": "flow_prediction"}"#,
            "file: prediction_type is \"flow_prediction\", expected one of epsilon, v_prediction, sample",
        ),
        (
            r#"{"timestep_spacing": "karras"}"#,
            "file: timestep_spacing is \"karras\", expected one of linspace, leading, trailing",
        ),
        (
            r#"{"timestep_spacing": null}"#,
            "file: timestep_spacing is null, expected one of linspace, leading, trailing",
        ),
        (
            r#"{"clip_sample_range": -1}"#,
            "file: clip_sample_range is -1, expected a number of at least 0.0",
        ),
        (
            r#"{"solver_order": 4}"#,
            "file: solver_order is 4, expected 1, 2 or 3",
        ),
        (
            r#"{"beta_start": NaN}"#,
            "file: beta_start is \"NaN\", expected a number",
        ),
    ] {
        assert_eq!(read(json).unwrap_err(), expected);
    }
}

#[test]
fn a_key_that_would_change_the_result_is_refused_only_where_it_would() {
    for (json, refused, message) in [
        (
            r#"{"algorithm_type": "dpmsolver"}"#,
            vec![
                SchedulerKind::DpmPlusPlus2M,
                SchedulerKind::DpmPlusPlus2MKarras,
            ],
            "file: algorithm_type is \"dpmsolver\", which dpm++-2m cannot do: it takes that with final_sigmas_type \"sigma_min\", or dpmsolver++; lms, euler, euler-a, ddim and pndm run this checkpoint",
        ),
        (
            r#"{"algorithm_type": "data_prediction"}"#,
            vec![
                SchedulerKind::DpmPlusPlus2M,
                SchedulerKind::DpmPlusPlus2MKarras,
            ],
            "file: algorithm_type is \"data_prediction\", which dpm++-2m cannot do: it takes dpmsolver++, sde-dpmsolver++, dpmsolver or sde-dpmsolver; lms, euler, euler-a, ddim and pndm run this checkpoint",
        ),
        (
            r#"{"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3}"#,
            vec![
                SchedulerKind::DpmPlusPlus2M,
                SchedulerKind::DpmPlusPlus2MKarras,
            ],
            "file: solver_order is 3, which dpm++-2m cannot do: it takes 1 or 2 with algorithm_type \"sde-dpmsolver\"; lms, euler, euler-a, ddim and pndm run this checkpoint",
        ),
        (
            r#"{"prediction_type": "sample"}"#,
            vec![SchedulerKind::EulerAncestral, SchedulerKind::Pndm],
            "file: prediction_type is \"sample\", which euler-a cannot do: it takes epsilon or v_prediction; lms, euler, ddim, dpm++-2m and dpm++-2m-karras run this checkpoint",
        ),
        (r#"{"thresholding": true}"#, vec![], ""),
        (r#"{"variance_type": "fixed_small"}"#, vec![], ""),
        (r#"{"timestep_type": "continuous"}"#, vec![], ""),
    ] {
        let config = read(json).unwrap();
        assert!(config.validate().is_ok());
        for kind in SchedulerKind::ALL {
            let error = config.validate_for(kind).map_err(|error| error.to_string());
            assert_eq!(error.is_err(), refused.contains(&kind), "{json}: {kind}");
        }
        if let Some(&first) = refused.first() {
            let error = config.validate_for(first).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}

#[test]
fn a_configuration_survives_a_document() {
    for json in [
        r#"{"algorithm_type": "deis", "final_sigmas_type": "sigma_min"}"#,
        r#"{"algorithm_type": "sde-dpmsolver"}"#,
        r#"{"algorithm_type": "data_prediction"}"#,
        r#"{"interpolation_type": "log_linear"}"#,
        r#"{"variance_type": "fixed_small", "timestep_type": "continuous"}"#,
    ] {
        let config = SchedulerConfig {
            file: None,
            ..read(json).unwrap()
        };
        let document = serde_json::to_string(&config).unwrap();
        let again: SchedulerConfig = serde_json::from_str(&document).unwrap();
        assert_eq!(again, config, "{document}");
    }
}

#[test]
fn hostile_offsets_and_step_counts_are_errors() {
    for kind in SchedulerKind::ALL {
        let mut config = SchedulerConfig::stable_diffusion_v1();
        for steps in [0, 1001, usize::MAX] {
            let error = Schedule::new(kind, &config, steps).unwrap_err();
            assert!(
                matches!(error, SchedulerError::Steps { found, .. } if found == steps),
                "{kind:?}: {error}"
            );
        }
        config.timestep_spacing = Some(diffuscope::scheduler::TimestepSpacing::Leading);
        for offset in [1000, usize::MAX] {
            config.steps_offset = Some(offset);
            // Karras' sigmas take no spacing and so no offset.
            if kind != SchedulerKind::DpmPlusPlus2MKarras {
                assert!(
                    matches!(
                        Schedule::new(kind, &config, 10),
                        Err(SchedulerError::TimestepOutOfRange { .. })
                    ),
                    "{kind:?}"
                );
            }
        }
    }
}

#[test]
fn a_wrong_call_is_an_error_and_changes_nothing() {
    let config = SchedulerConfig {
        prediction_type: PredictionType::VPrediction,
        ..SchedulerConfig::stable_diffusion_v1()
    };
    for kind in SchedulerKind::ALL {
        let mut scheduler = Scheduler::new(kind, &config, 3).unwrap();
        let sample = start(&scheduler);
        let other = Tensor::zeros((1, 1, 1, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(
            scheduler.step(1, &sample, &sample, Some(&sample)),
            Err(SchedulerError::OutOfOrder {
                expected: 0,
                found: 1
            })
        ));
        assert!(matches!(
            scheduler.step(0, &other, &sample, Some(&sample)),
            Err(SchedulerError::Shape { .. })
        ));
        if scheduler.needs_noise() {
            assert!(matches!(
                scheduler.step(0, &sample, &sample, None),
                Err(SchedulerError::MissingNoise)
            ));
            assert!(matches!(
                scheduler.step(0, &sample, &sample, Some(&other)),
                Err(SchedulerError::Shape { .. })
            ));
        }
        let len = scheduler.len();
        for index in 0..len {
            scheduler
                .step(index, &sample, &sample, Some(&sample))
                .unwrap();
        }
        assert!(matches!(
            scheduler.step(len, &sample, &sample, Some(&sample)),
            Err(SchedulerError::Finished { .. })
        ));
        assert!(scheduler.scale_model_input(&sample, len).is_err());
    }
}

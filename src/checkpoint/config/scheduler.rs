//! `scheduler/scheduler_config.json`: the noise that the model was trained on.
//!
//! Keys that are written reach every sampler whose class in diffusers has them, as `from_config` hands them on; where
//! the file is silent each sampler has its own default. `StableDiffusionPipeline` corrects old files when it loads them:
//! that is done here, and said.

use super::Reader;
use super::reader::{Fate, Keys};
use crate::checkpoint::CheckpointError;
use crate::scheduler::{
    AlgorithmType, BetaSchedule, FinalSigma, InterpolationType, PredictionType, SchedulerConfig,
    SchedulerError, SchedulerKind, SolverType, TimestepSpacing,
};
use crate::text::printable;

/// What samplers read that are not ours.
const OTHER_SAMPLERS: Fate = Fate::Harmless("none of the samplers here has it in diffusers");
/// What acts only with flow matching, which is refused where it is asked for.
const FLOW: Fate = Fate::Harmless("it acts with use_flow_sigmas, which is refused");

/// The keys of all schedulers that a `StableDiffusionPipeline` may have which none of ours reads. What some of ours
/// would have to do differently is in [`SchedulerConfig::validate_for`].
const KEYS: Keys = Keys {
    class: "scheduler",
    keys: &[
        ("flow_shift", FLOW),
        ("use_dynamic_shifting", FLOW),
        ("time_shift_type", FLOW),
        ("shift_terminal", FLOW),
        ("original_inference_steps", OTHER_SAMPLERS),
        ("timestep_scaling", OTHER_SAMPLERS),
        ("predict_x0", OTHER_SAMPLERS),
        ("disable_corrector", OTHER_SAMPLERS),
        ("solver_p", OTHER_SAMPLERS),
        ("predictor_order", OTHER_SAMPLERS),
        ("corrector_order", OTHER_SAMPLERS),
        ("tau_func", OTHER_SAMPLERS),
        ("snr_shift_scale", OTHER_SAMPLERS),
        ("noise_sampler_seed", OTHER_SAMPLERS),
        ("sigma_data", OTHER_SAMPLERS),
        ("sigma_schedule", OTHER_SAMPLERS),
        ("rho", OTHER_SAMPLERS),
        ("skip_type", OTHER_SAMPLERS),
    ],
};

/// Keys that are handed to the samplers as they are: which values of them a sampler cannot do, it knows.
const HANDED_ON: [&str; 3] = ["timestep_type", "use_flow_sigmas", "variance_type"];

/// Reads the scheduler's configuration; some sampler can work with its values. `class` is what `model_index.json` says
/// that it is for, before what the file says itself; `preferred` is the sampler that `diffuscope.json` would have run.
pub fn scheduler(
    json: Reader,
    class: Option<String>,
    preferred: Option<SchedulerKind>,
) -> Result<(SchedulerConfig, Vec<String>), CheckpointError> {
    json.refuse(&KEYS)?;
    let written = json.text("_class_name", "")?.to_owned();
    let class_name = class.or((!written.is_empty()).then_some(written));
    if let Some(class) = class_name
        .as_deref()
        .filter(|class| class.starts_with("FlowMatch"))
    {
        return Err(CheckpointError::Scheduler {
            file: json.file().to_owned(),
            reason: format!(
                "it is for {}: this checkpoint was trained for flow matching, which is not supported; \
                 supported are checkpoints of Stable Diffusion v1's structure",
                printable(class)
            ),
        });
    }
    let mut config = parse(&json)?;
    config.class_name = class_name;
    correct(&mut config, &json);
    config.validate().map_err(|error| wrong(&json, &error))?;
    let kinds = SchedulerKind::ALL.map(|kind| config.validate_for(kind));
    if kinds.iter().all(Result::is_err) {
        let [first, ..] = kinds;
        first.map_err(|error| wrong(&json, &error))?;
    }
    name_sampler(&config, preferred, &json);
    name_sigmas(&config, &json);
    match (&config.class_name, config.own_kind()) {
        (Some(class), Some(_)) => json.name_unknown(class),
        // What other classes know is not known here.
        _ => json.name_unknown_here(),
    }
    Ok((config, json.notes()))
}

/// What the file says, without the pipeline's corrections, which schedulers by themselves do not get.
#[cfg(test)]
pub fn uncorrected(file: &str, bytes: &[u8]) -> Result<SchedulerConfig, CheckpointError> {
    let json = Reader::new(file, bytes)?;
    json.refuse(&KEYS)?;
    parse(&json)
}

/// The error that no sampler can work with the values.
fn wrong(json: &Reader, error: &SchedulerError) -> CheckpointError {
    let file = json.file().to_owned();
    let reason = without_file(json, error);
    CheckpointError::Scheduler { file, reason }
}

/// The error in words. That of one sampler names the file itself.
fn without_file(json: &Reader, error: &SchedulerError) -> String {
    let reason = printable(&error.to_string());
    match reason.strip_prefix(&format!("{}: ", json.file())) {
        Some(rest) => rest.to_owned(),
        None => reason,
    }
}

fn parse(json: &Reader) -> Result<SchedulerConfig, CheckpointError> {
    let default = SchedulerConfig::default();
    let mut config = SchedulerConfig {
        file: Some(json.file().to_owned()),
        num_train_timesteps: whole(
            json,
            "num_train_timesteps",
            Some(default.num_train_timesteps),
        )?
        .unwrap_or_default(),
        beta_start: json.number("beta_start", default.beta_start, ANY)?,
        beta_end: json.number("beta_end", default.beta_end, ANY)?,
        beta_schedule: choice(json, "beta_schedule", &BETA_SCHEDULES)?.unwrap_or_default(),
        trained_betas: betas(json)?,
        rescale_betas_zero_snr: json.flag("rescale_betas_zero_snr", false)?,
        prediction_type: choice(json, "prediction_type", &PREDICTIONS)?.unwrap_or_default(),
        timestep_spacing: choice(json, "timestep_spacing", &SPACINGS)?,
        steps_offset: steps_offset(json)?,
        set_alpha_to_one: flag(json, "set_alpha_to_one")?,
        clip_sample: flag(json, "clip_sample")?,
        clip_sample_range: json.number("clip_sample_range", 1.0, 0.0..=f64::MAX)?,
        thresholding: json.flag("thresholding", false)?,
        dynamic_thresholding_ratio: json.number("dynamic_thresholding_ratio", 0.995, 0.0..=1.0)?,
        sample_max_value: json.number("sample_max_value", 1.0, 1e-6..=f64::MAX)?,
        skip_prk_steps: json.flag("skip_prk_steps", false)?,
        use_karras_sigmas: json.flag("use_karras_sigmas", false)?,
        use_exponential_sigmas: json.flag("use_exponential_sigmas", false)?,
        use_beta_sigmas: json.flag("use_beta_sigmas", false)?,
        use_lu_lambdas: json.flag("use_lu_lambdas", false)?,
        sigma_min: end(json, "sigma_min")?,
        sigma_max: end(json, "sigma_max")?,
        final_sigmas_type: choice(json, "final_sigmas_type", &FINAL_SIGMAS)?.unwrap_or_default(),
        interpolation_type: choice(json, "interpolation_type", &INTERPOLATIONS)?
            .unwrap_or_default(),
        solver_order: order(json)?,
        solver_type: choice(json, "solver_type", &SOLVERS)?.unwrap_or_default(),
        lower_order_final: json.flag("lower_order_final", true)?,
        euler_at_final: json.flag("euler_at_final", false)?,
        lambda_min_clipped: json.number("lambda_min_clipped", f64::MIN, ANY)?,
        algorithm_type: match json.text("algorithm_type", "dpmsolver++")? {
            "dpmsolver++" => AlgorithmType::DpmSolverPlusPlus,
            "sde-dpmsolver++" => AlgorithmType::SdeDpmSolverPlusPlus,
            "dpmsolver" => AlgorithmType::DpmSolver,
            "sde-dpmsolver" => AlgorithmType::SdeDpmSolver,
            other => AlgorithmType::Other(other.to_owned()),
        },
        ..default
    };
    for key in HANDED_ON {
        if let Some(value) = json.value(key) {
            config.other.insert(key.to_owned(), value.clone());
        }
    }
    Ok(config)
}

const ANY: std::ops::RangeInclusive<f64> = f64::MIN..=f64::MAX;

const BETA_SCHEDULES: [(&str, BetaSchedule); 3] = [
    ("linear", BetaSchedule::Linear),
    ("scaled_linear", BetaSchedule::ScaledLinear),
    ("squaredcos_cap_v2", BetaSchedule::SquaredCosine),
];
const PREDICTIONS: [(&str, PredictionType); 3] = [
    ("epsilon", PredictionType::Epsilon),
    ("v_prediction", PredictionType::VPrediction),
    ("sample", PredictionType::Sample),
];
const SPACINGS: [(&str, TimestepSpacing); 3] = [
    ("linspace", TimestepSpacing::Linspace),
    ("leading", TimestepSpacing::Leading),
    ("trailing", TimestepSpacing::Trailing),
];
const FINAL_SIGMAS: [(&str, FinalSigma); 2] = [
    ("zero", FinalSigma::Zero),
    ("sigma_min", FinalSigma::SigmaMin),
];
const INTERPOLATIONS: [(&str, InterpolationType); 2] = [
    ("linear", InterpolationType::Linear),
    ("log_linear", InterpolationType::LogLinear),
];
/// DPM-Solver++ takes other samplers' names as midpoint.
const SOLVERS: [(&str, SolverType); 5] = [
    ("midpoint", SolverType::Midpoint),
    ("heun", SolverType::Heun),
    ("logrho", SolverType::Midpoint),
    ("bh1", SolverType::Midpoint),
    ("bh2", SolverType::Midpoint),
];

/// One of some names.
fn choice<T: Copy>(
    json: &Reader,
    key: &str,
    names: &[(&str, T)],
) -> Result<Option<T>, CheckpointError> {
    let Some(value) = json.written(key) else {
        return Ok(None);
    };
    let found = names.iter().find(|(name, _)| value == name);
    found.map(|(_, value)| Some(*value)).ok_or_else(|| {
        let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        json.wrong(key, &format!("one of {}", names.join(", ")))
    })
}

/// True, false, or not written; null is false.
fn flag(json: &Reader, key: &str) -> Result<Option<bool>, CheckpointError> {
    match json.written(key) {
        None => Ok(None),
        Some(_) => json.flag(key, false).map(Some),
    }
}

/// A whole number; the ranges are checked with the schedule.
fn whole(
    json: &Reader,
    key: &str,
    default: Option<usize>,
) -> Result<Option<usize>, CheckpointError> {
    let Some(value) = json.written(key) else {
        return Ok(default);
    };
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number
        .map(Some)
        .ok_or_else(|| json.wrong(key, "a whole number"))
}

/// `StableDiffusionPipeline` replaces whatever is not 1, null too.
fn steps_offset(json: &Reader) -> Result<Option<usize>, CheckpointError> {
    match json.written("steps_offset") {
        Some(value) if value.is_null() => Ok(Some(0)),
        _ => whole(json, "steps_offset", None),
    }
}

fn betas(json: &Reader) -> Result<Option<Vec<f64>>, CheckpointError> {
    let Some(value) = json.value("trained_betas") else {
        return Ok(None);
    };
    let numbers = value
        .as_array()
        .map(|items| items.iter().map(serde_json::Value::as_f64));
    numbers
        .and_then(Iterator::collect::<Option<Vec<f64>>>)
        .map(Some)
        .ok_or_else(|| json.wrong("trained_betas", "a list of numbers"))
}

/// An end of the noise levels: a number above 0.
fn end(json: &Reader, key: &str) -> Result<Option<f64>, CheckpointError> {
    match json.value(key) {
        None => Ok(None),
        Some(_) => json.number(key, 0.0, 1e-10..=1e6).map(Some),
    }
}

fn order(json: &Reader) -> Result<usize, CheckpointError> {
    match whole(json, "solver_order", Some(2))? {
        Some(order @ 1..=3) => Ok(order),
        _ => Err(json.wrong("solver_order", "1, 2 or 3")),
    }
}

/// Does to the configuration what `StableDiffusionPipeline` does when it is made (`__init__`).
///
/// It takes what is written, and the default of the file's own class where nothing is. The latter it corrects for that
/// class alone: when the scheduler is exchanged, `from_config` leaves defaults out. [`SchedulerConfig`] does the same.
fn correct(config: &mut SchedulerConfig, json: &Reader) {
    const AS: &str = "as StableDiffusionPipeline corrects old configurations";
    let own = config.own_kind();
    match config.steps_offset {
        Some(1) => {}
        Some(found) => {
            json.note(&format!("steps_offset is {found} and taken to be 1, {AS}"));
            config.steps_offset = Some(1);
        }
        None => {
            if let Some(own) = own {
                json.note(&format!(
                    "steps_offset is not set and taken to be 1 for {own}, {AS}"
                ));
            }
        }
    }
    match config.clip_sample {
        Some(true) => {
            json.note(&format!("clip_sample is true and taken to be false, {AS}"));
            config.clip_sample = Some(false);
        }
        Some(false) => {}
        None => {
            if let Some(own @ SchedulerKind::Ddim) = own {
                json.note(&format!(
                    "clip_sample is not set and taken to be false for {own}, {AS}"
                ));
            }
        }
    }
}

/// Says which sampler runs where the one that is preferred cannot do what the file asks for; and where none is, and the
/// file is for one that is not ours, or that cannot do it.
fn name_sampler(config: &SchedulerConfig, preferred: Option<SchedulerKind>, json: &Reader) {
    let instead = config.default_kind();
    let cannot = |error: &SchedulerError| {
        let error = without_file(json, error);
        json.note(&format!(
            "{instead} runs unless another is asked for, because {error}"
        ));
    };
    if let Some(preferred) = preferred {
        if let Err(error) = config.validate_for(preferred) {
            cannot(&error);
        }
        return;
    }
    let Some(class) = config.class_name.as_deref().map(printable) else {
        return;
    };
    match config.own_kind() {
        None => json.note(&format!(
            "it is for {class}, which is not among the schedulers here: unless another is asked for, {instead} runs, with what is set here, as {}.from_config takes it",
            instead.class_name()
        )),
        Some(own) => {
            if let Err(error) = config.validate_for(own) {
                cannot(&error);
            }
        }
    }
}

/// Says which samplers take other noise levels than their names promise.
fn name_sigmas(config: &SchedulerConfig, json: &Reader) {
    let what = [
        (
            "use_karras_sigmas",
            config.use_karras_sigmas,
            "Karras' sigmas",
        ),
        (
            "use_exponential_sigmas",
            config.use_exponential_sigmas,
            "exponential sigmas",
        ),
        ("use_beta_sigmas", config.use_beta_sigmas, "beta sigmas"),
    ];
    if let Some((key, _, sigmas)) = what.into_iter().find(|(_, is_set, _)| *is_set) {
        json.note(&format!(
            "{key} is true: lms, euler and dpm++-2m take {sigmas}"
        ));
    }
}

//! What can be wrong with a schedule or a step.

use super::{MAX_TRAIN_TIMESTEPS, SchedulerKind};

/// Why there is no such schedule, or why a step cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// `num_train_timesteps` is 0 or beyond all reason.
    #[error("num_train_timesteps is {found}; expected 1 to {MAX_TRAIN_TIMESTEPS}")]
    TrainTimesteps { found: usize },
    /// A beta is not a number between 0 and 1.
    #[error("{key} is {found}; expected a number above 0 and below 1")]
    Beta { key: String, found: f64 },
    /// `trained_betas` has another length than the training had timesteps.
    #[error("trained_betas has {found} numbers; num_train_timesteps asks for {expected}")]
    TrainedBetas { expected: usize, found: usize },
    /// The betas leave no signal (or no noise) at a timestep, so that its sigma is not a number above 0.
    #[error(
        "the betas leave {alpha_cumprod:e} of the signal's variance at timestep {timestep}; \
         expected more than 0 and less than 1 (the betas are too large or too small)"
    )]
    NoSignalLeft { timestep: usize, alpha_cumprod: f32 },
    /// The configuration asks for something that this sampler cannot do.
    #[error(
        "{file}{key} is {found}, which {kind} cannot do: it takes {supported}{}",
        instead(others)
    )]
    Unsupported {
        /// The file with a colon, or nothing.
        file: String,
        key: &'static str,
        found: String,
        kind: SchedulerKind,
        supported: &'static str,
        /// The samplers that can do what the configuration asks for.
        others: Vec<SchedulerKind>,
    },
    /// The number of steps is 0, or more than the training's timesteps allow.
    #[error("{found} steps; expected 1 to {largest}")]
    Steps { found: usize, largest: usize },
    /// PNDM's Runge-Kutta start needs four steps.
    #[error("{found} steps; PNDM without skip_prk_steps needs at least 4")]
    TooFewForPrk { found: usize },
    /// The spacing and `steps_offset` lead to a timestep that the model was not trained on.
    #[error(
        "the schedule reaches timestep {found}, but the model was trained on 0 to {last}; \
         ask for fewer steps or lower steps_offset"
    )]
    TimestepOutOfRange { found: f64, last: usize },
    /// Steps must be taken one after the other.
    #[error("step {found} was asked for, but step {expected} is the next")]
    OutOfOrder { expected: usize, found: usize },
    /// All steps are done.
    #[error("all {len} steps of the schedule are done")]
    Finished { len: usize },
    /// Another sampler stands where this one cannot go on.
    #[error(
        "{kind} cannot take over at step {step}: {reason}; change the scheduler at another step, or start a new run"
    )]
    TakeOver {
        kind: String,
        step: usize,
        reason: String,
    },
    /// An ancestral sampler was given no noise.
    #[error("this scheduler needs fresh noise at every step")]
    MissingNoise,
    /// A tensor does not fit the sample.
    #[error("{what} has shape {found:?}; the sample has {expected:?}")]
    Shape {
        what: &'static str,
        expected: Vec<usize>,
        found: Vec<usize>,
    },
    /// An operation of the tensor library failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// Which samplers can do instead what one cannot.
fn instead(others: &[SchedulerKind]) -> String {
    let names: Vec<&str> = others.iter().map(|kind| kind.name()).collect();
    match names.split_last() {
        None => "; no scheduler of this program can do it".to_owned(),
        Some((last, [])) => format!("; {last} runs this checkpoint"),
        Some((last, first)) => format!("; {} and {last} run this checkpoint", first.join(", ")),
    }
}

//! `scheduler/scheduler_config.json`: the noise that the model was trained on.

use super::Reader;
use crate::checkpoint::CheckpointError;
use crate::scheduler::SchedulerConfig;
use crate::text::{printable, python_json};

/// Reads the scheduler's configuration from `bytes`, the contents of `file`; some sampler can work with its values.
pub fn scheduler(file: &str, bytes: &[u8]) -> Result<SchedulerConfig, CheckpointError> {
    // For the better message where it is no JSON object at all.
    Reader::new(file, bytes)?;
    let wrong = |error: &dyn std::fmt::Display| CheckpointError::Scheduler {
        file: file.to_owned(),
        reason: printable(&error.to_string()),
    };
    let scheduler: SchedulerConfig =
        python_json::from_slice(bytes).map_err(|error| wrong(&error))?;
    scheduler.validate().map_err(|error| wrong(&error))?;
    Ok(scheduler)
}

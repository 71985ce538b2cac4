//! The engine's errors in the command line's words: with the options that help.

use std::error::Error;
use std::io::ErrorKind;

use crate::checkpoint::CheckpointError;
use crate::checkpoint::hub::{HubError, Instead};
use crate::export::{DestinationError, ExportError, ReplayError, TensorSelectionError};
use crate::generation::{self, DeviceError, DeviceNote};
use crate::model;
use crate::scheduler::SchedulerError;

/// An error of the engine, said in the command line's words.
#[derive(Debug)]
struct Advised {
    message: String,
    error: anyhow::Error,
}

impl std::fmt::Display for Advised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Advised {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The same error, with the options that help where there are some.
pub fn advise(error: anyhow::Error) -> anyhow::Error {
    match message(&*error) {
        Some(message) => Advised { message, error }.into(),
        None => error,
    }
}

fn message(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref() {
        return generation(error);
    }
    if let Some(error) = error.downcast_ref() {
        return Some(device(error));
    }
    if let Some(ExportError::Destination(error)) = error.downcast_ref() {
        return destination(error);
    }
    if let Some(error) = error.downcast_ref() {
        return destination(error);
    }
    if let Some(error) = error.downcast_ref() {
        return checkpoint(error);
    }
    if let Some(error) = error.downcast_ref() {
        return hub(error);
    }
    replay(error.downcast_ref()?)
}

fn checkpoint(error: &CheckpointError) -> Option<String> {
    match error {
        CheckpointError::NotFetched { fetch, .. } => Some(format!(
            "{error}; `diffuscope model fetch {fetch}` downloads it"
        )),
        _ => None,
    }
}

fn hub(error: &HubError) -> Option<String> {
    let HubError::Lacks {
        instead: Some(instead),
        ..
    } = error
    else {
        return None;
    };
    Some(match instead {
        Instead::SingleFile(file) => format!(
            "{error}; if {file} in it is a checkpoint of Stable Diffusion v1 in a single file, \
             download that file and give its path to --model"
        ),
        Instead::NoVariant => format!("{error}; leave --variant out"),
        Instead::Variant(other) => format!("{error}; `--variant {other}` would be there"),
    })
}

fn generation(error: &generation::Error) -> Option<String> {
    match error {
        generation::Error::Device(error) => Some(device(error)),
        generation::Error::Checkpoint(error) => checkpoint(error),
        generation::Error::Scheduler(error @ SchedulerError::Unsupported { others, .. })
            if !others.is_empty() =>
        {
            Some(format!("{error}: name it with --scheduler"))
        }
        generation::Error::Model(error @ model::Error::DeviceMemory(_)) => Some(format!(
            "{error}: close other programs that use it, ask for fewer bits with --dtype f16, \
             or compute with --device cpu"
        )),
        _ => None,
    }
}

fn device(error: &DeviceError) -> String {
    match error {
        DeviceError::NotBuilt => format!(
            "{error}: use `--device cpu`, or build with `--features cuda` on a machine with the CUDA 13 libraries"
        ),
        DeviceError::NoBf16 => format!("{error}: use `--dtype f32`, or f16 to halve the memory"),
        DeviceError::Cuda(_) => {
            format!(
                "{error}; check the driver (`nvidia-smi`) and that the loader finds CUDA 13's libraries (LD_LIBRARY_PATH), \
                 or use `--device cpu`"
            )
        }
    }
}

fn destination(error: &DestinationError) -> Option<String> {
    match error {
        DestinationError::NotEmpty(_) => Some(format!(
            "{error}; name a new one, or pass --force to replace an earlier export in it"
        )),
        DestinationError::Write { source, .. }
            if matches!(
                source.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            ) =>
        {
            Some(format!("{error}, or export fewer tensors with --tensors"))
        }
        _ => None,
    }
}

fn replay(error: &ReplayError) -> Option<String> {
    match error {
        ReplayError::Read { source, .. } if source.kind() == ErrorKind::NotFound => Some(format!(
            "{error}; name the folder that `diffuscope run --json` wrote, with all its files"
        )),
        ReplayError::Missing { .. } => Some(format!(
            "{error}; expected what `run --json` writes today; run it again"
        )),
        _ => None,
    }
}

/// What to say of tensors that cannot be exported.
pub fn tensor_selection(error: &TensorSelectionError) -> String {
    match error {
        TensorSelectionError::Unknown { name, known } => {
            format!("--tensors asks for `{name}`, and there is no such tensor; there are {known}")
        }
        TensorSelectionError::LeftOut(name) => format!(
            "--tensors asks for `{name}` and --attention none leaves it out; drop one of the two"
        ),
    }
}

/// What to say of the device that was opened.
pub fn device_note(note: &DeviceNote) -> String {
    match note {
        DeviceNote::ChoseCuda => "running on the CUDA device; --device cpu does not".to_owned(),
        DeviceNote::NoCuda(error) => format!("running on the CPU: {}", device(error)),
        DeviceNote::SlowKernels(why) => format!(
            "running on the CUDA device with candle's kernels, which are slower, for our own do not work there: {why}"
        ),
        DeviceNote::NoCudnn(why) => format!(
            "convolutions run without cuDNN, which is slower, for it does not work there: {why}"
        ),
        DeviceNote::Kernels(report) => report.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advised(error: impl Into<anyhow::Error>) -> String {
        advise(error.into()).to_string()
    }

    #[test]
    fn errors_name_the_options_that_help() {
        let full = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        let full = model::Error::from(candle_core::Error::Msg(full.into()));
        let full = advised(generation::Error::from(full));
        assert!(full.contains("--dtype f16"), "{full}");
        let absent = CheckpointError::NotFetched {
            name: "sd-v1-5".into(),
            cache: "cache".into(),
            fetch: "sd-v1-5".into(),
        };
        let absent = advised(generation::Error::from(absent));
        assert!(absent.ends_with("; `diffuscope model fetch sd-v1-5` downloads it"));
        let bf16 = advised(DeviceError::NoBf16);
        assert!(bf16.contains("--dtype f32"), "{bf16}");
        let built = advised(generation::Error::from(DeviceError::NotBuilt));
        assert!(
            built.contains("--device cpu") && built.contains("--features cuda"),
            "{built}"
        );
        let not_empty = DestinationError::NotEmpty("out".into());
        let not_empty = advised(ExportError::from(not_empty));
        assert!(not_empty.contains("--force"), "{not_empty}");
        let full = DestinationError::Write {
            path: "out".into(),
            source: ErrorKind::StorageFull.into(),
        };
        let full = advised(full);
        assert!(
            full.contains("free some space") && full.contains("--tensors"),
            "{full}"
        );
        let nowhere = ReplayError::Read {
            path: "out".into(),
            source: ErrorKind::NotFound.into(),
        };
        let nowhere = advised(nowhere);
        assert!(nowhere.contains("diffuscope run --json"), "{nowhere}");
        assert_eq!(
            advised(generation::Error::NoSuchStep(3)),
            "step 3 has not been reached"
        );
    }

    #[test]
    fn the_causes_of_an_error_stay_with_it() {
        let full = candle_core::Error::Msg("CUDA_ERROR_OUT_OF_MEMORY".into());
        let error = generation::Error::from(full);
        let whole = format!("{:#}", advise(error.into()));
        assert!(
            whole.ends_with("--device cpu: CUDA_ERROR_OUT_OF_MEMORY"),
            "{whole}"
        );
    }
}

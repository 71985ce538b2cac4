//! What a run will need, said before it starts.

use anyhow::bail;
use candle_core::{DType, Device};
use indicatif::DecimalBytes;

use crate::checkpoint::{Checkpoint, MemoryEstimate};
use crate::generation::free_memory;
use crate::kernels::Backend;

/// What is less than this is not worth a word, in bytes.
const MUCH: u64 = 2_000_000_000;

/// What to tell of the memory that a picture of `size`, in pixels, needs in `dtype`: nothing where it is
/// little and there is enough of it.
///
/// # Errors
/// The weights alone are more than the device can give. On the CPU the system would end the process on the way.
pub fn forecast(
    checkpoint: &Checkpoint,
    dtype: DType,
    device: &Device,
    size: (usize, usize),
) -> anyhow::Result<Option<String>> {
    let estimate = checkpoint.memory_estimate(dtype, size, Backend::choose(dtype, device));
    let available = free_memory(device);
    let model = &checkpoint.name;
    if let Some(available) = available
        && estimate.weights > available
    {
        bail!(
            "the weights of {model} need {} of memory in {}, and {} are available; close other programs, \
             ask for fewer bits with --dtype f16, or run it on a machine with more memory",
            DecimalBytes(estimate.weights),
            dtype.as_str(),
            DecimalBytes(available)
        );
    }
    Ok(message(model, dtype, estimate, available))
}

fn message(
    model: &str,
    dtype: DType,
    estimate: MemoryEstimate,
    available: Option<u64>,
) -> Option<String> {
    let total = estimate.total();
    let is_short = available.is_some_and(|available| available < total);
    if total < MUCH && !is_short {
        return None;
    }
    let short = match available {
        Some(available) if is_short => format!(
            "; only {} are available, and the run may end on the way",
            DecimalBytes(available)
        ),
        _ => String::new(),
    };
    Some(format!(
        "{model} will need about {} of memory in {}, {} of it for the weights{short}",
        DecimalBytes(total),
        dtype.as_str(),
        DecimalBytes(estimate.weights),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_much_or_too_much_is_said() {
        let estimate = |weights| MemoryEstimate {
            weights,
            denoising: 500_000_000,
            decoding: 300_000_000,
        };
        let of = |weights, available| message("x", DType::F32, estimate(weights), available);
        assert_eq!(of(1_000_000_000, Some(8_000_000_000)), None);
        assert_eq!(of(1_000_000_000, None), None);
        let much = of(4_000_000_000, Some(8_000_000_000)).unwrap();
        assert!(much.contains("4.50 GB") && !much.contains("only"), "{much}");
        let short = of(1_000_000_000, Some(1_200_000_000)).unwrap();
        assert!(short.contains("only 1.20 GB are available"), "{short}");
    }
}

//! Which configurations the samplers can work with.

use serde_json::Value;

use super::config::{MAX_TRAIN_TIMESTEPS, SchedulerConfig};
use super::noise_schedule::NoiseSchedule;
use super::{SchedulerError, SchedulerKind};

impl SchedulerConfig {
    /// Checks every value that any of the samplers would use.
    ///
    /// # Errors
    /// Names the key, what was found and what is expected: timesteps of 0 or too many,
    /// betas that are not between 0 and 1, betas so large that a timestep has no signal left.
    pub fn validate(&self) -> Result<(), SchedulerError> {
        if !(1..=MAX_TRAIN_TIMESTEPS).contains(&self.num_train_timesteps) {
            return Err(SchedulerError::TrainTimesteps {
                found: self.num_train_timesteps,
            });
        }
        if let Some(betas) = &self.trained_betas {
            if betas.len() != self.num_train_timesteps {
                return Err(SchedulerError::TrainedBetas {
                    expected: self.num_train_timesteps,
                    found: betas.len(),
                });
            }
            for (index, &beta) in betas.iter().enumerate() {
                check_beta(|| format!("trained_betas[{index}]"), beta)?;
            }
        } else {
            check_beta(|| "beta_start".to_owned(), self.beta_start)?;
            check_beta(|| "beta_end".to_owned(), self.beta_end)?;
        }
        if let Some(range) = self.clip_sample_range
            && !(range.is_finite() && range > 0.0)
        {
            return Err(SchedulerError::Unsupported {
                key: "clip_sample_range",
                found: range.to_string(),
                supported: "a number above 0",
            });
        }
        NoiseSchedule::new(self).map(drop)
    }

    /// [`validate`](Self::validate), and that no key asks this sampler for something it cannot do.
    ///
    /// # Errors
    /// Those of [`validate`](Self::validate); [`SchedulerError::Unsupported`] with the key.
    pub fn validate_for(&self, kind: SchedulerKind) -> Result<(), SchedulerError> {
        self.validate()?;
        for &(key, supported) in only_supported(kind) {
            // Printed as JSON, so control characters in it come out escaped.
            let found = self.other.get(key).map(Value::to_string);
            if let Some(found) = found
                && found != "null"
                && found != supported
            {
                return Err(SchedulerError::Unsupported {
                    key,
                    found,
                    supported,
                });
            }
        }
        Ok(())
    }
}

fn check_beta(key: impl Fn() -> String, found: f64) -> Result<(), SchedulerError> {
    // The arithmetic is in f32: what rounds to 0 or 1 there is 0 or 1.
    let rounded = found as f32;
    if rounded > 0.0 && rounded < 1.0 {
        Ok(())
    } else {
        Err(SchedulerError::Beta { key: key(), found })
    }
}

/// Keys that change what diffusers' scheduler of this name computes, with the only value that
/// ours can do (as JSON, diffusers' default).
fn only_supported(kind: SchedulerKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        SchedulerKind::Lms => &[
            ("use_karras_sigmas", "false"),
            ("use_exponential_sigmas", "false"),
            ("use_beta_sigmas", "false"),
        ],
        SchedulerKind::Euler => &[
            ("use_karras_sigmas", "false"),
            ("use_exponential_sigmas", "false"),
            ("use_beta_sigmas", "false"),
            ("interpolation_type", "\"linear\""),
            ("timestep_type", "\"discrete\""),
            ("rescale_betas_zero_snr", "false"),
            ("final_sigmas_type", "\"zero\""),
        ],
        SchedulerKind::EulerAncestral => &[("rescale_betas_zero_snr", "false")],
        SchedulerKind::Ddim => &[
            ("thresholding", "false"),
            ("rescale_betas_zero_snr", "false"),
        ],
        // Karras' sigmas, the order and the algorithm are in the sampler's name.
        SchedulerKind::DpmPlusPlus2M | SchedulerKind::DpmPlusPlus2MKarras => &[
            ("thresholding", "false"),
            ("rescale_betas_zero_snr", "false"),
            ("solver_type", "\"midpoint\""),
            ("lower_order_final", "true"),
            ("euler_at_final", "false"),
            ("use_exponential_sigmas", "false"),
            ("use_beta_sigmas", "false"),
            ("use_lu_lambdas", "false"),
            ("use_flow_sigmas", "false"),
            ("final_sigmas_type", "\"zero\""),
            ("variance_type", "null"),
        ],
        SchedulerKind::Pndm => &[],
    }
}

//! Which configurations the samplers can work with.

use serde_json::Value;

use super::config::{
    AlgorithmType, FinalSigma, Levels, MAX_TRAIN_TIMESTEPS, PredictionType, SchedulerConfig,
};
use super::noise_schedule::NoiseSchedule;
use super::{Scheduler, SchedulerError, SchedulerKind};

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
        NoiseSchedule::new(self, None).map(drop)
    }

    /// [`validate`](Self::validate), and that no key asks this sampler for something it cannot do.
    ///
    /// # Errors
    /// Those of [`validate`](Self::validate); [`SchedulerError::Unsupported`] with the key and the samplers that can.
    pub fn validate_for(&self, kind: SchedulerKind) -> Result<(), SchedulerError> {
        self.validate()?;
        NoiseSchedule::new(self, Some(kind))?;
        let Some((key, found, supported)) = self.unsupported(kind) else {
            return Ok(());
        };
        let others = SchedulerKind::ALL.into_iter();
        Err(SchedulerError::Unsupported {
            file: self.file_prefix(),
            key,
            found,
            kind,
            supported,
            others: others
                .filter(|kind| self.unsupported(*kind).is_none())
                .collect(),
        })
    }

    /// The file with a colon, where there is one.
    pub(super) fn file_prefix(&self) -> String {
        let file = self.file.as_ref();
        file.map(|file| format!("{file}: ")).unwrap_or_default()
    }

    /// The sampler that a run takes where none is asked for: the one that the file is for, or else LMS, or else the first
    /// that can do what the file asks for.
    pub fn default_kind(&self) -> SchedulerKind {
        let own = self.own_kind().into_iter();
        own.chain(SchedulerKind::ALL)
            .find(|kind| self.validate_for(*kind).is_ok())
            .unwrap_or(SchedulerKind::Lms)
    }

    /// The number of steps that a run takes where none is asked for: 25, or fewer where the training had few timesteps.
    pub fn default_steps(&self, kind: SchedulerKind) -> usize {
        const STEPS: usize = 25;
        let runs = |steps: &usize| Scheduler::new(kind, self, *steps).is_ok();
        (1..=STEPS).rev().find(runs).unwrap_or(STEPS)
    }

    /// A key whose value this sampler cannot do, that value, and what it could do instead.
    fn unsupported(&self, kind: SchedulerKind) -> Option<(&'static str, String, &'static str)> {
        if self.prediction_type == PredictionType::Sample
            && matches!(kind, SchedulerKind::EulerAncestral | SchedulerKind::Pndm)
        {
            return Some((
                "prediction_type",
                "\"sample\"".to_owned(),
                "epsilon or v_prediction",
            ));
        }
        if self.levels(kind) != Levels::OfTimesteps {
            let flags = [
                (
                    "use_karras_sigmas",
                    self.use_karras_sigmas || kind.forces_karras(),
                ),
                ("use_exponential_sigmas", self.use_exponential_sigmas),
                ("use_beta_sigmas", self.use_beta_sigmas),
            ];
            let mut set = flags.into_iter().filter(|(_, is_set)| *is_set);
            if let (Some(_), Some((key, _))) = (set.next(), set.next()) {
                return Some((key, "true".to_owned(), "only one kind of sigmas"));
            }
        }
        if DPM.contains(&kind)
            && let Some(refused) = self.unsupported_algorithm()
        {
            return Some(refused);
        }
        REFUSED
            .iter()
            .filter(|refused| refused.kinds.contains(&kind))
            .find_map(|refused| {
                let found = self.other.get(refused.key)?;
                // Printed as JSON, so control characters in it come out escaped.
                (refused.concerns)(self, found)
                    .then(|| (refused.key, found.to_string(), refused.supported))
            })
    }
}

impl SchedulerConfig {
    /// The same of what the DPM-Solvers are to solve.
    fn unsupported_algorithm(&self) -> Option<(&'static str, String, &'static str)> {
        const KEY: &str = "algorithm_type";
        let ends_at_zero = self.final_sigmas_type == FinalSigma::Zero;
        let found = || serde_json::json!(self.algorithm_type).to_string();
        match &self.algorithm_type {
            // That of DEISMultistepScheduler is taken as DPM-Solver++'s own where the last step does not end at no noise.
            AlgorithmType::Other(name) if name == "deis" && !ends_at_zero => None,
            AlgorithmType::Other(_) => Some((
                KEY,
                found(),
                "dpmsolver++, sde-dpmsolver++, dpmsolver or sde-dpmsolver",
            )),
            // The weight of the noise would be zero times infinity.
            AlgorithmType::DpmSolver | AlgorithmType::SdeDpmSolver if ends_at_zero => Some((
                KEY,
                found(),
                "that with final_sigmas_type \"sigma_min\", or dpmsolver++",
            )),
            AlgorithmType::SdeDpmSolver if self.solver_order > 2 => Some((
                "solver_order",
                self.solver_order.to_string(),
                "1 or 2 with algorithm_type \"sde-dpmsolver\"",
            )),
            AlgorithmType::DpmSolverPlusPlus
            | AlgorithmType::SdeDpmSolverPlusPlus
            | AlgorithmType::DpmSolver
            | AlgorithmType::SdeDpmSolver => None,
        }
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

/// A key with a value that changes what diffusers' class computes, and that ours cannot do.
struct Refused {
    key: &'static str,
    kinds: &'static [SchedulerKind],
    /// Is it such a value?
    concerns: fn(&SchedulerConfig, &Value) -> bool,
    supported: &'static str,
}

const DPM: &[SchedulerKind] = &[
    SchedulerKind::DpmPlusPlus2M,
    SchedulerKind::DpmPlusPlus2MKarras,
];

const REFUSED: [Refused; 3] = [
    Refused {
        key: "timestep_type",
        kinds: &[SchedulerKind::Euler],
        // It changes nothing unless velocities are predicted.
        concerns: |config, value| {
            value == "continuous" && config.prediction_type == PredictionType::VPrediction
        },
        supported: "discrete",
    },
    Refused {
        key: "use_flow_sigmas",
        kinds: DPM,
        concerns: |_, value| is_true(value),
        supported: "false",
    },
    Refused {
        key: "variance_type",
        kinds: DPM,
        concerns: |_, value| value == "learned" || value == "learned_range",
        supported: "null",
    },
];

/// Is it true in Python?
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

//! Pseudo numerical methods (PNDM): linear multistep of order 4 on the noise predictions.
//!
//! The noise predictions of up to four steps are combined with Adams and Bashforth's weights
//! and the sample moves along them by the transfer of Liu et al., "Pseudo Numerical Methods
//! for Diffusion Models on Manifolds" (2022), equations 9, 12 and 13. The method needs a
//! start. Stable Diffusion's configuration (`skip_prk_steps`) makes the first step twice, the
//! second time with the mean of two predictions, and so calls the model once more than there
//! are steps; otherwise the first three steps are Runge-Kutta's, with four calls each.

use candle_core::{Result, Tensor};

use super::config::{SchedulerConfig, TimestepSpacing};
use super::noise_schedule::NoiseSchedule;
use super::prediction::{divide, epsilon_preserving, scale, x0_preserving};
use super::{SchedulerError, SchedulerKind, StepInput, StepOutput, spacing};

/// Model calls of the Runge-Kutta start.
const PRK_CALLS: usize = 12;

/// The calls' noise levels, and what earlier calls left behind.
#[derive(Debug, Clone)]
pub(super) struct Pndm {
    calls: Vec<Call>,
    /// Number of Runge-Kutta calls at the start: [`PRK_CALLS`] or 0.
    prk_calls: usize,
    /// Model outputs of up to four steps, the oldest first.
    outputs: Vec<Tensor>,
    /// The sample that a step of several calls began with.
    start: Option<Tensor>,
    /// The Runge-Kutta step's weighted sum of model outputs so far.
    sum: Option<Tensor>,
}

/// `alphas_cumprod` that one model call is about.
#[derive(Debug, Clone, Copy)]
struct Call {
    /// At the timestep the model is asked about.
    here: f32,
    /// At the beginning of the step.
    from: f32,
    /// At its end.
    to: f32,
}

/// The whole timestep of each model call.
///
/// # Errors
/// [`SchedulerError::TooFewForPrk`]: the Runge-Kutta start takes four steps.
pub(super) fn timesteps(
    config: &SchedulerConfig,
    train: usize,
    steps: usize,
) -> std::result::Result<Vec<f64>, SchedulerError> {
    let spacing = config.spacing_or(TimestepSpacing::Leading);
    let offset = config.steps_offset_of(SchedulerKind::Pndm);
    let mut timesteps = spacing::whole_timesteps(spacing, train, steps, offset);
    if config.skip_prk_steps {
        if let Some(second) = timesteps.get(1).copied() {
            timesteps.insert(1, second);
        }
        return Ok(timesteps);
    }
    if steps < 4 {
        return Err(SchedulerError::TooFewForPrk { found: steps });
    }
    let half = (train / steps / 2) as f64;
    let mut calls = Vec::with_capacity(steps + PRK_CALLS);
    for pair in timesteps[..4].windows(2) {
        let middle = pair[1] + half;
        calls.extend([pair[0], middle, middle, pair[1]]);
    }
    calls.extend(&timesteps[3..]);
    Ok(calls)
}

impl Pndm {
    /// `timesteps` are those of [`timesteps`], all of them within the training's.
    ///
    /// # Errors
    /// [`SchedulerError::TimestepOutOfRange`] where a step would begin above the training's timesteps.
    pub fn new(
        config: &SchedulerConfig,
        noise: &NoiseSchedule,
        timesteps: &[f32],
        steps: usize,
    ) -> std::result::Result<Self, SchedulerError> {
        let after_last = noise.final_alpha_cumprod(SchedulerKind::Pndm, config);
        let alpha = |timestep: isize| match usize::try_from(timestep) {
            Err(_) => Ok(after_last),
            Ok(t) => {
                noise
                    .alphas_cumprod
                    .get(t)
                    .copied()
                    .ok_or(SchedulerError::TimestepOutOfRange {
                        found: t as f64,
                        last: noise.len() - 1,
                    })
            }
        };
        let prk_calls = if config.skip_prk_steps { 0 } else { PRK_CALLS };
        let stride = (noise.len() / steps).cast_signed();
        let mut calls = Vec::with_capacity(timesteps.len());
        for (index, timestep) in timesteps.iter().enumerate() {
            let here = *timestep as isize;
            let (from, to) = if index < prk_calls {
                let down = if index % 2 == 1 { 0 } else { stride / 2 };
                (timesteps[index / 4 * 4] as isize, here - down)
            } else if index == 1 {
                (here + stride, here)
            } else {
                (here, here - stride)
            };
            calls.push(Call {
                here: alpha(here)?,
                from: alpha(from)?,
                to: alpha(to)?,
            });
        }
        Ok(Self {
            calls,
            prk_calls,
            outputs: Vec::new(),
            start: None,
            sum: None,
        })
    }

    pub fn step(&mut self, input: &StepInput<'_>) -> Result<StepOutput> {
        let call = self.calls[input.index];
        let x0 = x0_preserving(
            input.prediction,
            input.model_output,
            input.sample,
            call.here.sqrt(),
            (1.0 - call.here).sqrt(),
        )?;
        let prev_sample = if input.index < self.prk_calls {
            self.runge_kutta(input, call)?
        } else {
            self.multistep(input, call)?
        };
        Ok(StepOutput { prev_sample, x0 })
    }

    /// One of the four calls of a Runge-Kutta step (equation 13).
    fn runge_kutta(&mut self, input: &StepInput<'_>, call: Call) -> Result<Tensor> {
        let output = input.model_output;
        let part = input.index % 4;
        let weight = if part == 0 || part == 3 { 6.0 } else { 3.0f64 };
        let weighted = scale(output, (1.0 / weight) as f32)?;
        let sum = match &self.sum {
            Some(sum) => (sum + weighted)?,
            None => weighted,
        };
        let start = match &self.start {
            Some(start) if part > 0 => start.clone(),
            _ => input.sample.clone(),
        };
        let direction = if part == 3 { &sum } else { output };
        let prev_sample = transfer(input, call, &start, direction)?;
        if part == 0 {
            self.outputs.push(output.clone());
        }
        self.start = Some(start);
        self.sum = (part < 3).then_some(sum);
        Ok(prev_sample)
    }

    /// One call of the multistep method (equation 12), or of its start.
    fn multistep(&mut self, input: &StepInput<'_>, call: Call) -> Result<Tensor> {
        let mut outputs = self.outputs.clone();
        if input.index != 1 {
            if outputs.len() == 4 {
                outputs.remove(0);
            }
            outputs.push(input.model_output.clone());
        }
        let mut sample = input.sample;
        let direction = match outputs.as_slice() {
            [first] if input.index == 1 => {
                sample = self.start.as_ref().unwrap_or(sample);
                divide(&(input.model_output + first)?, 2.0)?
            }
            [b, a] => divide(&(scale(a, 3.0)? - b)?, 2.0)?,
            [c, b, a] => {
                let sum = ((scale(a, 23.0)? - scale(b, 16.0)?)? + scale(c, 5.0)?)?;
                divide(&sum, 12.0)?
            }
            [d, c, b, a] => {
                let sum = (scale(a, 55.0)? - scale(b, 59.0)?)?;
                let sum = ((sum + scale(c, 37.0)?)? - scale(d, 9.0)?)?;
                scale(&sum, (1.0 / 24.0f64) as f32)?
            }
            _ => input.model_output.clone(),
        };
        let prev_sample = transfer(input, call, sample, &direction)?;
        self.outputs = outputs;
        self.start = (input.index == 0).then(|| input.sample.clone());
        Ok(prev_sample)
    }
}

/// Moves `sample` along `direction` from one noise level to another (equation 9).
fn transfer(
    input: &StepInput<'_>,
    call: Call,
    sample: &Tensor,
    direction: &Tensor,
) -> Result<Tensor> {
    let Call { from, to, .. } = call;
    let (noise_from, noise_to) = (1.0 - from, 1.0 - to);
    let epsilon = epsilon_preserving(
        input.prediction,
        direction,
        sample,
        from.sqrt(),
        noise_from.sqrt(),
    )?;
    let denominator = from * noise_to.sqrt() + (from * noise_from * to).sqrt();
    let change = divide(&scale(&epsilon, to - from)?, denominator)?;
    scale(sample, (to / from).sqrt())? - change
}

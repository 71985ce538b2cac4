//! DPM-Solver++, multistep: of order 2 (DPM++ 2M) unless a checkpoint asks for order 1 or 3.
//!
//! With `alpha = 1 / sqrt(sigma^2 + 1)`, `lambda = ln(alpha) - ln(alpha sigma)` and
//! `h = lambda' - lambda`, a step of order 2 is
//! `x' = (s'/s) x - alpha' (e^-h - 1) (x0 + (x0 - x0_before) / (2 r))`, `r = h_before / h`,
//! where s is `alpha sigma` (Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of
//! Diffusion Probabilistic Models", 2022, algorithm 2). The first step and the last one,
//! which ends without noise, leave the correction out. The stochastic form (appendix B there) goes down further and adds
//! noise.
//!
//! The plain DPM-Solver integrates the predicted noise where this one integrates x0: with it in the place of x0 a step is
//! `x' = (alpha'/alpha) x - s' (e^h - 1) (eps + (eps - eps_before) / (2 r))` (Lu et al., "DPM-Solver: A Fast ODE Solver for
//! Diffusion Probabilistic Model Sampling in Around 10 Steps", 2022).
//!
//! Karras' variant takes the sigmas of Karras et al., "Elucidating the Design Space of
//! Diffusion-Based Generative Models" (2022), equation 5, and for each the nearest timestep.

use candle_core::{Result, Tensor};

use super::config::{
    BetaSchedule, FinalSigma, Levels, SchedulerConfig, SolverType, TimestepSpacing,
};
use super::noise_schedule::NoiseSchedule;
use super::prediction::{divide, epsilon_preserving, scale, x0_preserving};
use super::schedule::spread;
use super::thresholding::Thresholding;
use super::{SchedulerError, SchedulerKind, StepInput, StepOutput, spacing};

/// Fewer steps than this end with steps of lower order, where `lower_order_final` asks for that.
const FEW_STEPS: usize = 15;

/// What the configuration asks for, and what was integrated in the steps before.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // Each is a key of the configuration by itself.
pub(super) struct DpmSolver {
    order: usize,
    solver: SolverType,
    stochastic: bool,
    /// Is the predicted noise integrated, and not x0?
    integrates_noise: bool,
    lower_order_final: bool,
    /// The very last step is of order 1.
    euler_at_final: bool,
    thresholding: Option<Thresholding>,
    /// The x0 or the noise of up to two steps, the newest first.
    before: Vec<Tensor>,
}

/// The whole timesteps that are visited, and the sigmas with the final one.
pub(super) fn schedule(
    kind: SchedulerKind,
    config: &SchedulerConfig,
    noise: &NoiseSchedule,
    steps: usize,
) -> std::result::Result<(Vec<f64>, Vec<f32>), SchedulerError> {
    let ends = (
        f64::from(noise.sigmas[0]),
        f64::from(noise.sigmas[noise.len() - 1]),
    );
    let levels = config.levels(kind);
    let (timesteps, sigmas) = if let Some(sigmas) = spread(levels, ends, kind, config, steps) {
        let rounds = matches!(levels, Levels::Karras | Levels::Lu)
            && config.beta_schedule != BetaSchedule::SquaredCosine;
        let timesteps = sigmas
            .iter()
            .map(|sigma| spacing::timestep_of_sigma(*sigma, &noise.sigmas))
            .map(|t| {
                if rounds {
                    t.round_ties_even()
                } else {
                    t.trunc()
                }
            })
            .collect();
        (timesteps, sigmas)
    } else {
        let timesteps = timesteps(kind, config, noise, steps)?;
        let sigmas = spacing::interpolate(&timesteps, &noise.sigmas);
        (timesteps, sigmas)
    };
    let mut sigmas: Vec<f32> = sigmas.into_iter().map(|sigma| sigma as f32).collect();
    sigmas.push(match config.final_sigmas_type {
        FinalSigma::Zero => 0.0,
        FinalSigma::SigmaMin => noise.sigmas[0],
    });
    Ok((timesteps, sigmas))
}

/// The timesteps where the noise levels are theirs.
fn timesteps(
    kind: SchedulerKind,
    config: &SchedulerConfig,
    noise: &NoiseSchedule,
    steps: usize,
) -> std::result::Result<Vec<f64>, SchedulerError> {
    let train = noise.len();
    let lowest_lambda = config.lambda_min_clipped as f32;
    let clipped = noise
        .alphas_cumprod
        .iter()
        .filter(|alpha| lambda(alpha.sqrt(), (1.0 - **alpha).sqrt()) < lowest_lambda)
        .count();
    let used = train - clipped;
    let too_many = || SchedulerError::Steps {
        found: steps,
        largest: used.saturating_sub(1),
    };
    Ok(match config.spacing_or(TimestepSpacing::Linspace) {
        // One more than asked for, of which the last, timestep 0, is left out.
        TimestepSpacing::Linspace if used > 0 => {
            spacing::linspace(0.0, (used - 1) as f64, steps + 1)
                .into_iter()
                .skip(1)
                .rev()
                .map(f64::round_ties_even)
                .collect()
        }
        TimestepSpacing::Leading if used / (steps + 1) > 0 => {
            let stride = used / (steps + 1);
            // One more than asked for here too: the lowest is left out.
            let lowest = stride as f64 + config.steps_offset_of(kind) as f64;
            spacing::leading(stride, steps, lowest)
        }
        TimestepSpacing::Trailing if used > 0 => spacing::trailing_from(used, train, steps),
        _ => return Err(too_many()),
    })
}

impl DpmSolver {
    pub fn new(config: &SchedulerConfig) -> Self {
        Self {
            order: config.solver_order,
            solver: config.solver_type,
            stochastic: config.algorithm_type.is_stochastic(),
            integrates_noise: config.algorithm_type.integrates_noise(),
            lower_order_final: config.lower_order_final,
            euler_at_final: config.euler_at_final || config.final_sigmas_type == FinalSigma::Zero,
            thresholding: Thresholding::of(config),
            before: Vec::new(),
        }
    }

    /// Does every step take fresh noise?
    pub fn needs_noise(&self) -> bool {
        self.stochastic
    }

    /// `noise` is standard normal, of the sample's shape; there is some where it is needed.
    pub fn step(&mut self, input: &StepInput<'_>, noise: Option<&Tensor>) -> Result<StepOutput> {
        let sigmas = &input.schedule.sigmas;
        let from = Level::new(sigmas[input.index]);
        let to = Level::new(sigmas[input.index + 1]);
        let mut x0 = x0_preserving(
            input.prediction,
            input.model_output,
            input.sample,
            from.alpha,
            from.sigma,
        )?;
        if let Some(thresholding) = &self.thresholding {
            x0 = thresholding.apply(&x0)?;
        }

        let integrated = self.integrated(input, &x0, &from)?;
        let h = to.lambda - from.lambda;
        let weights = if self.integrates_noise {
            Weights::of_noise(h, &from, &to, self.stochastic)
        } else {
            Weights::of_x0(h, &from, &to, self.stochastic)
        };
        let kept = scale(input.sample, weights.sample)?;
        let mut prev_sample = (kept + scale(&integrated, weights.value)?)?;
        let order = self.order_at(input.index, input.schedule.len());
        for (slope, weight) in self.slopes(input, &integrated, h, order, &weights)? {
            prev_sample = (prev_sample + scale(&slope, weight)?)?;
        }
        if let Some(noise) = noise {
            prev_sample = (prev_sample + scale(noise, weights.fresh)?)?;
        }
        self.before.insert(0, integrated);
        self.before.truncate(2);
        Ok(StepOutput { prev_sample, x0 })
    }

    /// What the solver integrates: x0, or the noise that goes with it.
    fn integrated(&self, input: &StepInput<'_>, x0: &Tensor, from: &Level) -> Result<Tensor> {
        if !self.integrates_noise {
            return Ok(x0.clone());
        }
        if self.thresholding.is_some() {
            return divide(&(input.sample - scale(x0, from.alpha)?)?, from.sigma);
        }
        epsilon_preserving(
            input.prediction,
            input.model_output,
            input.sample,
            from.alpha,
            from.sigma,
        )
    }

    /// The order of a step: no higher than there are steps before it.
    fn order_at(&self, index: usize, steps: usize) -> usize {
        let ends_low = self.lower_order_final && steps < FEW_STEPS;
        let highest = match steps - index {
            1 if self.euler_at_final || ends_low => 1,
            2 if ends_low => 2,
            _ => self.order,
        };
        highest.min(self.order).min(self.before.len() + 1)
    }

    /// The derivatives by lambda, of what is integrated, that a step of this order takes into account, with their weights.
    fn slopes(
        &self,
        input: &StepInput<'_>,
        integrated: &Tensor,
        h: f32,
        order: usize,
        weights: &Weights,
    ) -> Result<Vec<(Tensor, f32)>> {
        if order == 1 {
            return Ok(Vec::new());
        }
        let lambda = |steps_before: usize| {
            Level::new(input.schedule.sigmas[input.index - steps_before]).lambda
        };
        let r = (lambda(0) - lambda(1)) / h;
        // With as many steps as training timesteps one timestep comes twice: there is no
        // slope between equal sigmas, where diffusers divides by zero.
        if r == 0.0 || h == 0.0 {
            return Ok(Vec::new());
        }
        let first = scale(&(integrated - &self.before[0])?, 1.0 / r)?;
        if order == 2 {
            return Ok(vec![(first, weights.second(self.solver))]);
        }
        let r_before = (lambda(1) - lambda(2)) / h;
        if r_before == 0.0 {
            return Ok(vec![(first, weights.heun)]);
        }
        let second = scale(&(&self.before[0] - &self.before[1])?, 1.0 / r_before)?;
        let bend = (&first - second)?;
        let slope = (first + scale(&bend, r / (r + r_before))?)?;
        let bend = scale(&bend, 1.0 / (r + r_before))?;
        Ok(vec![(slope, weights.heun), (bend, weights.third)])
    }
}

/// What the terms of a step are multiplied with.
struct Weights {
    /// The sample before the step.
    sample: f32,
    /// What is integrated: x0, or the noise.
    value: f32,
    /// Its first derivative in the form of Heun, which order 3 takes too.
    heun: f32,
    /// Its second derivative.
    third: f32,
    /// The fresh noise of the stochastic form.
    fresh: f32,
}

impl Weights {
    /// Those of DPM-Solver++.
    fn of_x0(h: f32, from: &Level, to: &Level, stochastic: bool) -> Self {
        let alpha = to.alpha;
        let mut sample = to.sigma / from.sigma;
        if stochastic {
            sample *= exp(-h);
        }
        let fresh = to.sigma * (1.0 - exp(-2.0 * h)).sqrt();
        // The stochastic step is twice as long.
        let h = if stochastic { 2.0 * h } else { h };
        let decay = exp(-h) - 1.0;
        Self {
            sample,
            fresh,
            value: -(alpha * decay),
            heun: alpha * (decay / h + 1.0),
            // The sign of the half is diffusers' own in each.
            third: if stochastic {
                alpha * (-(decay + h) / (h * h) - 0.5)
            } else {
                -(alpha * ((decay + h) / (h * h) - 0.5))
            },
        }
    }

    /// Those of the plain DPM-Solver. The stochastic one has none of order 3.
    fn of_noise(h: f32, from: &Level, to: &Level, stochastic: bool) -> Self {
        let twice = if stochastic { 2.0 } else { 1.0 };
        let growth = exp(h) - 1.0;
        Self {
            sample: to.alpha / from.alpha,
            value: -(twice * (to.sigma * growth)),
            heun: -(twice * (to.sigma * (growth / h - 1.0))),
            third: -(to.sigma * ((growth - h) / (h * h) - 0.5)),
            fresh: to.sigma * (exp(2.0 * h) - 1.0).sqrt(),
        }
    }

    /// The first derivative's in a step of order 2.
    fn second(&self, solver: SolverType) -> f32 {
        match solver {
            SolverType::Midpoint => 0.5 * self.value,
            SolverType::Heun => self.heun,
        }
    }
}

/// One noise level of a variance-preserving sample `alpha x0 + sigma eps`.
struct Level {
    alpha: f32,
    sigma: f32,
    /// Half the logarithm of the signal-to-noise ratio; infinite without noise.
    lambda: f32,
}

impl Level {
    /// From the noise over the signal.
    fn new(ratio: f32) -> Self {
        let alpha = 1.0 / (ratio * ratio + 1.0).sqrt();
        let sigma = ratio * alpha;
        Self {
            alpha,
            sigma,
            lambda: lambda(alpha, sigma),
        }
    }
}

/// Half the logarithm of the signal-to-noise ratio.
fn lambda(alpha: f32, sigma: f32) -> f32 {
    ln(alpha) - ln(sigma)
}

fn ln(x: f32) -> f32 {
    libm::log(f64::from(x)) as f32
}

fn exp(x: f32) -> f32 {
    libm::exp(f64::from(x)) as f32
}

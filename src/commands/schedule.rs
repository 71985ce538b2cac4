//! `diffuscope schedule`: a noise schedule, without a model.

use serde::Serialize;

use super::{print, print_json};
use crate::cli::ScheduleArgs;
use crate::export::document::{Number, Numbers};
use crate::scheduler::{BetaSchedule, Schedule, Scheduler, SchedulerConfig, SchedulerKind};

/// Prints a noise schedule.
pub fn schedule(args: &ScheduleArgs) -> anyhow::Result<()> {
    let config = SchedulerConfig {
        beta_schedule: args.betas,
        beta_start: args.beta_start,
        beta_end: args.beta_end,
        ..SchedulerConfig::stable_diffusion_v1()
    };
    let scheduler = Scheduler::new(args.scheduler, &config, args.steps)?;
    let schedule = scheduler.schedule();
    if args.json {
        print_json(&ScheduleJson::new(args, schedule), &[])
    } else {
        print(|out| {
            writeln!(
                out,
                "{:>4}  {:>9}  {:>11}  {:>11}  {:>13}  {:>11}",
                "step", "timestep", "sigma", "sigma_next", "alpha_cumprod", "snr"
            )?;
            for row in rows(schedule) {
                writeln!(
                    out,
                    "{:>4}  {:>9.3}  {:>11.6}  {:>11.6}  {:>13.8}  {:>11}",
                    row.step,
                    row.timestep,
                    row.sigma,
                    row.sigma_next,
                    row.alpha_cumprod,
                    significant(row.snr)
                )?;
            }
            Ok(())
        })
    }
}

/// The schedule as `--json` prints it.
#[derive(Serialize)]
struct ScheduleJson<'a> {
    scheduler: SchedulerKind,
    steps: usize,
    betas: BetaSchedule,
    beta_start: f64,
    beta_end: f64,
    timesteps: Numbers<'a>,
    sigmas: Numbers<'a>,
    init_noise_sigma: Number,
    alphas_cumprod: Vec<f64>,
}

impl<'a> ScheduleJson<'a> {
    fn new(args: &ScheduleArgs, schedule: &'a Schedule) -> Self {
        let sigmas = schedule.sigmas.iter().copied();
        Self {
            scheduler: args.scheduler,
            steps: args.steps,
            betas: args.betas,
            beta_start: args.beta_start,
            beta_end: args.beta_end,
            timesteps: Numbers(&schedule.timesteps),
            sigmas: Numbers(&schedule.sigmas),
            init_noise_sigma: Number(schedule.init_noise_sigma),
            alphas_cumprod: sigmas.map(alpha_cumprod).collect(),
        }
    }
}

struct Row {
    step: usize,
    timestep: f32,
    sigma: f32,
    sigma_next: f32,
    alpha_cumprod: f64,
    snr: f64,
}

fn rows(schedule: &Schedule) -> impl Iterator<Item = Row> {
    let sigmas = schedule.sigmas.windows(2);
    schedule
        .timesteps
        .iter()
        .zip(sigmas)
        .enumerate()
        .map(|(step, (&timestep, sigmas))| Row {
            step,
            timestep,
            sigma: sigmas[0],
            sigma_next: sigmas[1],
            alpha_cumprod: alpha_cumprod(sigmas[0]),
            snr: f64::from(sigmas[0]).powi(-2),
        })
}

/// The share of the clean picture in the variance: `sigma = sqrt((1 - a) / a)`, solved for `a`.
fn alpha_cumprod(sigma: f32) -> f64 {
    1.0 / (f64::from(sigma).powi(2) + 1.0)
}

/// Five significant digits: signal-to-noise ratios go over eight orders of magnitude.
fn significant(value: f64) -> String {
    if (0.001..100_000.0).contains(&value) {
        let digits = (4.0 - value.log10().floor()).clamp(0.0, 8.0);
        format!("{value:.0$}", digits as usize)
    } else {
        format!("{value:.4e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_digits_of_every_magnitude() {
        let shown = [157.407, 0.004_678_9, 3.9e-5, 1177.47, 0.5].map(significant);
        assert_eq!(
            shown,
            ["157.41", "0.0046789", "3.9000e-5", "1177.5", "0.50000"]
        );
    }
}

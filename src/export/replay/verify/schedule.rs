//! The noise of a recorded run, from its seed, and its schedule, from the model's configuration.

use super::Verified;
use crate::export::document;
use crate::export::replay::{Replay, ReplayError};
use crate::generation::Request;
use crate::random::Generator;
use crate::scheduler::Schedule;

/// The noise that follows from the seed, which must be what was recorded; and the generator after it.
pub fn verify_noise(
    replay: &Replay,
    request: &Request,
    verified: &mut Verified,
) -> Result<(Vec<f32>, Generator), ReplayError> {
    let mut generator = Generator::manual_seed(request.seed);
    let count = replay.info.latent_shape.iter().product();
    let noise = generator.randn(count);
    let name = "initial_noise";
    let Some(entry) = replay.document.tensors.get(name) else {
        verified
            .unchecked
            .push("the seed: initial_noise is not recorded".to_owned());
        return Ok((noise, generator));
    };
    let recorded = replay.tensor(name, entry)?;
    if recorded.data[..] != noise[..] {
        let expected = format!("the noise of seed {}", request.seed);
        return Err(replay.differs("tensors.initial_noise", "other noise", expected));
    }
    verified
        .checked
        .push(format!("the noise is that of seed {}", request.seed));
    Ok((noise, generator))
}

/// The schedule as a whole, which is that of the last request.
pub fn verify_schedule(
    replay: &Replay,
    request: &Request,
    schedule: &Schedule,
) -> Result<(), ReplayError> {
    let expected = document::Schedule::from(schedule);
    let found = &replay.document.schedule;
    let of = &request.scheduler;
    for (name, found, expected) in [
        ("timesteps", &found.timesteps, &expected.timesteps),
        ("sigmas", &found.sigmas, &expected.sigmas),
        ("betas", &found.betas, &expected.betas),
        (
            "alphas_cumprod",
            &found.alphas_cumprod,
            &expected.alphas_cumprod,
        ),
        (
            "init_noise_sigma",
            &vec![found.init_noise_sigma],
            &vec![expected.init_noise_sigma],
        ),
    ] {
        let member = format!("schedule.{name}");
        if found.len() != expected.len() {
            let expected = format!("{} of {} steps of {of}", expected.len(), request.steps);
            return Err(replay.differs(member, format!("a list of {}", found.len()), expected));
        }
        let mut pairs = found.iter().zip(expected).enumerate();
        if let Some((index, (found, expected))) = pairs.find(|(_, (a, b))| !near(a.0, b.0)) {
            let member = format!("{member}[{index}]");
            return Err(replay.differs(member, found.0, format!("{}, as {of} has it", expected.0)));
        }
    }
    if found.space != expected.space {
        return Err(replay.differs("schedule.space", "another", format!("that of {of}")));
    }
    Ok(())
}

/// The same number, but for how another machine may round it.
pub fn near(found: f32, expected: f32) -> bool {
    (found - expected).abs() <= 1e-6 * expected.abs().max(1e-6)
}

//! `diffuscope replay`: a recorded run, without a model.

use crate::cli::ReplayArgs;
use crate::export::Replay;
use crate::trace::Event;
use crate::tui;

use super::{full_screen, print};
use crate::text::visible;

/// Opens the recorded run in the inspector, or checks its files.
pub fn replay(args: &ReplayArgs) -> anyhow::Result<()> {
    let replay = Replay::open(&args.folder)?;
    if args.check {
        return check(&replay);
    }
    full_screen(
        "the inspector",
        "`diffuscope replay --check DIR` works without one",
    )?;
    tui::replay(replay, args.screen.options())
}

/// Reads everything, and says what there is.
fn check(replay: &Replay) -> anyhow::Result<()> {
    let (mut tensors, mut maps) = (0, 0);
    for event in replay.events(true) {
        match event? {
            Event::Text(text) => tensors += text.prompt.len() + text.attention.len(),
            Event::Step(step) => {
                tensors += step.tensors.len();
                maps += step.attention.len();
            }
            Event::Tokens(_) | Event::Noise(_) | Event::Image(_) => {}
        }
    }
    let (request, info) = (replay.request(), replay.info());
    let mut lines = vec![
        format!("“{}”", request.prompt),
        format!(
            "{}, {} {}, {}, seed {}, guidance {}",
            info.name,
            info.device,
            info.dtype,
            request.scheduler,
            request.seed,
            request.guidance_scale
        ),
    ];
    lines.extend(request.interventions.iter().map(ToString::to_string));
    lines.extend(
        replay
            .branches()
            .iter()
            .map(|branch| format!("another request from step {} on", branch.step)),
    );
    lines.push(format!(
        "{} steps, {tensors} tensors and {maps} attention maps: all as run.json says",
        replay.steps()
    ));
    print(|out| {
        for line in &lines {
            writeln!(out, "{}", visible(line))?;
        }
        Ok(())
    })
}

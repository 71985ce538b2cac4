//! `diffuscope replay`: a recorded run, without a model.

use crate::cli::ReplayArgs;
use crate::export::Replay;
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

/// Reads everything, computes again what follows from it, and says what there is.
fn check(replay: &Replay) -> anyhow::Result<()> {
    let verified = replay.verify()?;
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
    lines.extend(request.changes());
    lines.extend(
        replay
            .branches()
            .iter()
            .map(|branch| format!("another request from step {} on", branch.step + 1)),
    );
    lines.push(format!(
        "{} steps, {} tensors and {} attention maps",
        replay.steps(),
        verified.tensors,
        verified.maps
    ));
    lines.push("As run.json says, computed again from the tensors:".to_owned());
    lines.extend(verified.checked.iter().map(|what| format!("  {what}")));
    lines.push("Not checked:".to_owned());
    lines.extend(verified.unchecked.iter().map(|what| format!("  {what}")));
    print(|out| {
        for line in &lines {
            writeln!(out, "{}", visible(line))?;
        }
        Ok(())
    })
}

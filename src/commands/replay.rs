//! `diffuscope replay`: a recorded run, without a model.

use std::io::IsTerminal;

use anyhow::bail;

use crate::cli::ReplayArgs;
use crate::export::Replay;
use crate::tui;

use super::print;
use crate::text::visible;

/// Opens the recorded run in the inspector, or checks its files.
pub fn replay(args: &ReplayArgs) -> anyhow::Result<()> {
    let replay = Replay::open(&args.folder)?;
    if args.check {
        return check(&replay);
    }
    if !std::io::stdout().is_terminal() {
        bail!(
            "the inspector needs a terminal, and standard output is none; \
             `diffuscope replay --check DIR` works without one"
        );
    }
    tui::replay(replay, args.screen.attention_bytes(), args.screen.images)
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
    lines.extend(request.interventions.iter().map(ToString::to_string));
    lines.extend(
        replay
            .branches()
            .iter()
            .map(|branch| format!("another request from step {} on", branch.step)),
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

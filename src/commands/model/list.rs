//! `diffuscope model list`: the embedded model and the downloaded ones.

use indicatif::DecimalBytes;

use crate::checkpoint::{Checkpoint, Component, Source, hub};
use crate::commands::print;
use crate::text::visible;

/// Prints a line for each model: what `--model` takes, its size, and where it lies.
pub fn list() -> anyhow::Result<()> {
    let embedded = Checkpoint::open(&Source::Embedded)?;
    let stored: u64 = Component::ALL
        .into_iter()
        .map(|component| embedded.stored_bytes(component))
        .sum();
    let mut rows = vec![(
        embedded.name.clone(),
        DecimalBytes(stored).to_string(),
        "built in".to_owned(),
    )];
    for found in hub::downloaded() {
        let name = found.repository.to_string();
        let short = hub::Repository::short_names().find(|(_, id)| *id == name);
        rows.push((
            short.map_or(name, |(short, _)| short.to_owned()),
            DecimalBytes(found.size).to_string(),
            found.folder.to_string_lossy().into_owned(),
        ));
    }
    let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    print(|out| {
        for (name, size, place) in &rows {
            writeln!(
                out,
                "{}",
                visible(&format!("{name:width$}  {size:>10}  {place}"))
            )?;
        }
        if rows.len() == 1 {
            writeln!(
                out,
                "\nNone is downloaded. `diffuscope model fetch sd-v1-5` downloads Stable Diffusion v1.5."
            )?;
        }
        Ok(())
    })
}

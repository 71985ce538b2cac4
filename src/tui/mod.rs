//! The inspector.

mod options;

pub use options::{ImageMode, Options};

/// Opens the inspector and runs it until the user quits.
pub fn run(options: Options) -> anyhow::Result<()> {
    let _ = options;
    anyhow::bail!("the inspector is not there yet")
}

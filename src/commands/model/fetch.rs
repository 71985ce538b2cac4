//! `diffuscope model fetch`: download a model from the hub.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressStyle};

use crate::checkpoint::hub::{Fetch, FetchProgress, HubError, RemoteFile, Repository};
use crate::cli::FetchArgs;
use crate::commands::{UsageError, print};
use crate::text::visible;

/// Says what will be downloaded and whether there is room, downloads it, and prints the folder.
pub fn fetch(args: FetchArgs) -> anyhow::Result<()> {
    let repository = repository(&args)?;
    let name = if args.revision.is_none() {
        args.name
    } else {
        repository.to_string()
    };
    let fetch = Fetch::prepare(repository, args.variant.as_deref())?;
    announce(&name, &fetch)?;
    let mut bars = Bars::new(&fetch);
    let folder = fetch.run(&mut bars)?;
    bars.clear();
    let variant = args
        .variant
        .map_or_else(String::new, |variant| format!(" --variant {variant}"));
    say(&format!("`--model {name}{variant}` opens it"));
    show(&folder)
}

fn repository(args: &FetchArgs) -> Result<Repository, UsageError> {
    let revision = args.revision.as_deref();
    let found = match revision {
        Some(revision) => Repository::new(&args.name, revision),
        None => Repository::parse(&args.name),
    };
    found.ok_or_else(|| {
        let revision = revision.map(|revision| format!(" at revision {revision:?}"));
        let names: Vec<&str> = Repository::short_names().map(|(name, _)| name).collect();
        UsageError(format!(
            "{:?}{} is no repository: name one as owner/name, or by a short name ({}); \
             a revision is a branch, a tag or a commit",
            args.name,
            revision.unwrap_or_default(),
            names.join(", ")
        ))
    })
}

/// What is to come, before it comes. An error where the disk has not the room.
fn announce(name: &str, fetch: &Fetch) -> anyhow::Result<()> {
    let plan = fetch.plan();
    let (size, remaining) = (plan.size(), fetch.remaining());
    let commit: String = plan.commit.chars().take(12).collect();
    say(&format!(
        "{name} at commit {commit}: {} files, {}",
        plan.files.len(),
        DecimalBytes(size)
    ));
    let folder = fetch.folder().to_string_lossy();
    let to_come = if remaining == 0 {
        "nothing to download".to_owned()
    } else if remaining < size {
        format!(
            "{} of them to download, the rest is there",
            DecimalBytes(remaining)
        )
    } else {
        format!("{} to download", DecimalBytes(remaining))
    };
    let Some(room) = fetch.room() else {
        say(&format!("{to_come}, into {folder}"));
        return Ok(());
    };
    if room < remaining {
        anyhow::bail!(HubError::Space {
            needed: DecimalBytes(remaining).to_string(),
            available: DecimalBytes(room).to_string(),
            folder: folder.into_owned(),
        });
    }
    say(&format!(
        "{to_come}, into {folder}, where {} are free",
        DecimalBytes(room)
    ));
    Ok(())
}

/// A line on standard error: standard output is for the folder.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", visible(line));
}

fn show(folder: &Path) -> anyhow::Result<()> {
    print(|out| writeln!(out, "{}", visible(&folder.to_string_lossy())))
}

/// A bar for all files and one for the file that is coming; where standard error is no terminal, a line a file.
struct Bars {
    screen: Option<MultiProgress>,
    overall: ProgressBar,
    current: ProgressBar,
    /// Bytes of the current file that the overall bar has counted.
    counted: u64,
}

impl Bars {
    fn new(fetch: &Fetch) -> Self {
        let screen = std::io::stderr().is_terminal().then(MultiProgress::new);
        let bar = |length, template: &str| {
            let bar = ProgressBar::new(length);
            bar.set_style(
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            match &screen {
                Some(screen) => screen.add(bar),
                None => ProgressBar::hidden(),
            }
        };
        let current = bar(
            0,
            "{msg:.dim}\n{wide_bar} {decimal_bytes} of {decimal_total_bytes}",
        );
        let overall = bar(
            fetch.plan().size(),
            "all\n{wide_bar} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left",
        );
        Self {
            screen,
            overall,
            current,
            counted: 0,
        }
    }

    /// Takes the bars off the screen.
    fn clear(&self) {
        self.current.finish_and_clear();
        self.overall.finish_and_clear();
    }

    fn line(&self, line: &str) {
        match &self.screen {
            Some(screen) => screen.suspend(|| say(line)),
            None => say(line),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}

impl FetchProgress for Bars {
    fn begin(&mut self, file: &RemoteFile, have: u64) {
        self.current.set_length(file.size);
        self.current.set_position(have);
        self.current.set_message(visible(&file.path));
        let others = self.overall.position().saturating_sub(self.counted);
        self.overall.set_position(others + have);
        self.counted = have;
        self.overall.reset_eta();
    }

    fn advance(&mut self, bytes: u64) {
        self.current.inc(bytes);
        self.overall.inc(bytes);
        self.counted += bytes;
    }

    fn end(&mut self, file: &RemoteFile) {
        self.counted = 0;
        self.line(&format!("✓ {}  {}", file.path, DecimalBytes(file.size)));
    }

    fn retry(&mut self, file: &RemoteFile, reason: &str) {
        self.line(&format!("{}: {reason}; trying again", file.path));
    }
}

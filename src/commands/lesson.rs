//! `diffuscope lesson`: guided lessons, and proof of what they say.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{LessonArgs, LessonCheckArgs, LessonCommand};
use crate::lesson::{Language, Library, Problem, check};
use crate::tui::lesson::Player;

use super::inspect::loader;
use super::print;
use super::text::visible;

/// Lists lessons, starts one, or checks them.
pub fn lesson(args: LessonArgs) -> anyhow::Result<()> {
    match args.command {
        Some(LessonCommand::Check(args)) => run_check(args),
        None => list(&args),
    }
}

/// Prints the lessons, and how far the reader is in each.
fn list(args: &LessonArgs) -> anyhow::Result<()> {
    let library = open(args.dir.as_deref())?;
    let language = args.lang.unwrap_or_else(Language::of_locale);
    print(|out| {
        for entry in library.lessons(language) {
            if let Ok(lesson) = &entry.lesson {
                let title = visible(&lesson.title);
                writeln!(out, "{:<24} {:>3} min  {title}", lesson.id, lesson.minutes)?;
            }
        }
        Ok(())
    })
}

/// Checks lessons: their files, and then what they say, by really doing it.
fn run_check(args: LessonCheckArgs) -> anyhow::Result<()> {
    let library = open(args.path.as_deref())?;
    let mut problems = check::files(&library);
    let lessons = library.entries.iter();
    let readable = lessons.filter(|entry| entry.lesson.is_ok()).count();
    if !args.files_only && readable > 0 {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.set_message("loading the model");
        let loader = loader(args.model);
        let mut player = Player::start(loader).map_err(anyhow::Error::msg)?;
        let tell = |file: &str| bar.set_message(visible(file));
        problems.extend(check::lessons(&library, &mut player, tell));
        bar.finish_and_clear();
    }
    problems.sort();
    report(&problems, library.entries.len(), args.files_only)
}

/// The lessons at `path`, or the program's own.
fn open(path: Option<&Path>) -> anyhow::Result<Library> {
    Ok(match path {
        Some(path) => Library::open(path)?,
        None => Library::embedded(),
    })
}

fn report(problems: &[Problem], files: usize, files_only: bool) -> anyhow::Result<()> {
    print(|out| {
        for problem in problems {
            writeln!(out, "{}", visible(&problem.to_string()))?;
        }
        if problems.is_empty() {
            let what = if files_only {
                "their files are in order; nothing was run"
            } else {
                "every claim holds, every task and every answer can be had"
            };
            writeln!(
                out,
                "{files} {}: {what}",
                if files == 1 { "file" } else { "files" }
            )?;
        }
        Ok(())
    })?;
    match problems.len() {
        0 => Ok(()),
        1 => bail!("1 thing is wrong with the lessons"),
        count => bail!("{count} things are wrong with the lessons"),
    }
}

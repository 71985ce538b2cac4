//! `diffuscope lesson`: guided lessons, and proof of what they say.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{LessonArgs, LessonCheckArgs, LessonCommand};
use crate::export::ExportOptions;
use crate::generation::RequestPatch;
use crate::lesson::check::Findings;
use crate::lesson::{Language, Lesson, Library, Progress, check};
use crate::tui;
use crate::tui::Player;
use crate::tui::state::lesson::LessonState;

use super::load::loader;
use super::{UsageError, full_screen, print, warn};
use crate::text::visible;

/// Lists lessons, starts one, or checks them.
pub fn lesson(args: LessonArgs) -> anyhow::Result<()> {
    match (args.command, args.name) {
        (Some(LessonCommand::Check(args)), _) => run_check(args),
        (None, None) => list(&ReaderLibrary::open(args.dir.as_deref(), args.lang)?),
        (None, Some(name)) => {
            let reader = ReaderLibrary::open(args.dir.as_deref(), args.lang)?;
            let lesson = reader.find(&name)?;
            full_screen("a lesson", "`diffuscope lesson` lists them without one")?;
            let options = tui::Options {
                loader: loader(args.model, None),
                request: RequestPatch::default(),
                screen: args.screen.options(),
                export: ExportOptions::default(),
            };
            let lessons = LessonState::new(reader.library, reader.language, reader.progress);
            tui::read_lesson(options, lessons, lesson)
        }
    }
}

/// Lessons, and what was solved of them.
struct ReaderLibrary {
    library: Library,
    language: Language,
    progress: Progress,
}

impl ReaderLibrary {
    /// The lessons in `folder`, or the program's own; warns of those that cannot be read.
    fn open(folder: Option<&Path>, language: Option<Language>) -> anyhow::Result<Self> {
        let library = open(folder)?;
        for entry in &library.entries {
            for problem in entry.lesson.as_ref().err().into_iter().flatten() {
                warn(&format!("{problem} (the lesson is left out)"));
            }
        }
        let progress = Progress::open(Progress::default_path()).unwrap_or_else(|error| {
            warn(&format!("{error}; what you solve now is not kept"));
            Progress::default()
        });
        Ok(Self {
            library,
            language: language.unwrap_or_else(Language::of_locale),
            progress,
        })
    }

    fn lessons(&self) -> impl Iterator<Item = &Lesson> {
        let entries = self.library.lessons(self.language).into_iter();
        entries.filter_map(|entry| entry.lesson.as_ref().ok())
    }

    /// The lesson that is called `name`, or has that number.
    fn find(&self, name: &str) -> anyhow::Result<Lesson> {
        let number = name.parse::<usize>().ok();
        let is_it =
            |(index, lesson): &(usize, &Lesson)| lesson.id == name || number == Some(index + 1);
        if let Some((_, lesson)) = self.lessons().enumerate().find(is_it) {
            return Ok(lesson.clone());
        }
        let known: Vec<&str> = self.lessons().map(|lesson| lesson.id.as_str()).collect();
        let near: Vec<&str> = near(name, &known);
        let rest = match near.as_slice() {
            [] => format!("there are {}", known.join(", ")),
            near => format!("did you mean {}?", near.join(" or ")),
        };
        Err(UsageError(format!("there is no lesson “{name}”; {rest}")).into())
    }
}

/// Names that look like `name`: the nearest first, three at most.
fn near<'a>(name: &str, known: &[&'a str]) -> Vec<&'a str> {
    let likeness = |known: &str| {
        let part = known.split('-').any(|part| part == name);
        if part {
            1.0
        } else {
            strsim::jaro_winkler(name, known)
        }
    };
    let mut near: Vec<(f64, &str)> = known
        .iter()
        .map(|known| (likeness(known), *known))
        .collect();
    near.retain(|(likeness, _)| *likeness > 0.75);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().map(|(_, known)| known).take(3).collect()
}

/// Prints the lessons, and how far the reader is in each.
fn list(reader: &ReaderLibrary) -> anyhow::Result<()> {
    let widest = reader
        .lessons()
        .map(|lesson| lesson.id.len())
        .max()
        .unwrap_or(0);
    print(|out| {
        for (index, lesson) in reader.lessons().enumerate() {
            let (solved, all) = reader.progress.solved(lesson);
            let mark = match (all > 0 && solved == all, reader.progress.is_begun(lesson)) {
                (true, _) => "✓",
                (false, true) => "◐",
                (false, false) => "○",
            };
            writeln!(
                out,
                "{mark} {:>2}  {:<widest$}  {solved}/{all} solved  {:>2} min  {}",
                index + 1,
                lesson.id,
                lesson.minutes,
                visible(&lesson.title)
            )?;
        }
        Ok(())
    })
}

/// Checks lessons: their files, and then what they say, by really doing it.
fn run_check(args: LessonCheckArgs) -> anyhow::Result<()> {
    let library = open(args.path.as_deref())?;
    let files = check::files(&library);
    let mut findings = Findings::default();
    let lessons = library.entries.iter();
    let readable = lessons.filter(|entry| entry.lesson.is_ok()).count();
    if !args.files_only && readable > 0 {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.set_message("loading the model");
        let loader = loader(args.model, None);
        let mut player = Player::start(loader).map_err(anyhow::Error::msg)?;
        let tell = |file: &str| bar.set_message(visible(file));
        findings = check::lessons(&library, &mut player, tell);
        bar.finish_and_clear();
    }
    findings.problems.extend(files);
    findings.problems.sort();
    report(&findings, library.entries.len(), args.files_only)
}

/// The lessons at `path`, or the program's own.
fn open(path: Option<&Path>) -> anyhow::Result<Library> {
    Ok(match path {
        Some(path) => Library::open(path)?,
        None => Library::embedded(),
    })
}

fn report(findings: &Findings, files: usize, files_only: bool) -> anyhow::Result<()> {
    let problems = &findings.problems;
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
        if findings.left_out > 0 {
            let names: Vec<&str> = findings.subjects.iter().map(String::as_str).collect();
            writeln!(
                out,
                "not checked: {} about another model than this one ({}); --model opens another",
                match findings.left_out {
                    1 => "1 claim or exercise that is".to_owned(),
                    count => format!("{count} claims and exercises that are"),
                },
                visible(&names.join(", "))
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

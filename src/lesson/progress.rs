//! What a reader has solved, kept in a file from one session to the next.
//!
//! Several windows may have it open. So what is kept is what was changed since the last time, made to the file as it is
//! then, while nobody else does so.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use etcetera::{AppStrategy, AppStrategyArgs, choose_app_strategy};
use serde::{Deserialize, Serialize};

use super::digest::ExerciseDigest;
use super::{Lesson, Page};
use crate::export::{DestinationError, OutputFile};

const VERSION: u32 = 2;
/// How long another window may take to keep its own.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a reader has solved.
///
/// An exercise is known by a digest of what decides whether it is solved (`digest.rs`), so that a solution does
/// not count for an exercise that was changed. The answer is kept with the model that it was given for, and is checked
/// again against the run when its page is opened.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    path: Option<PathBuf>,
    /// As the file was when it was last read, with the changes.
    record: Record,
    /// What was changed since then.
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
struct Change {
    /// The lesson's name.
    lesson: String,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Page(usize),
    /// How an exercise is solved, or that it is not.
    Exercise(ExerciseDigest, Option<Solved>),
}

impl Change {
    /// Is what `earlier` changed changed again?
    fn replaces(&self, earlier: &Self) -> bool {
        self.lesson == earlier.lesson
            && match (&self.what, &earlier.what) {
                (What::Page(_), What::Page(_)) => true,
                (What::Exercise(digest, _), What::Exercise(earlier, _)) => {
                    digest.current == earlier.current
                }
                _ => false,
            }
    }

    fn apply(&self, record: &mut Record) {
        let marks = record.lessons.entry(self.lesson.clone()).or_default();
        match &self.what {
            What::Page(page) => marks.page = *page,
            What::Exercise(digest, solved) => {
                marks.solved.remove(&digest.old);
                match solved {
                    Some(solved) => marks.solved.insert(digest.current.clone(), solved.clone()),
                    None => marks.solved.remove(&digest.current),
                };
            }
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    version: u32,
    lessons: BTreeMap<String, Marks>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Marks {
    /// The page that was read last, from 0.
    #[serde(default)]
    page: usize,
    /// Exercises by their digests.
    #[serde(default)]
    solved: BTreeMap<String, Solved>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Solved {
    /// The answer that was given; of a task there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The model whose run it was: its digest.
    pub model: String,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            version: VERSION,
            lessons: BTreeMap::new(),
        }
    }
}

/// Progress that cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// The file is there and is not what it should be.
    #[error("{path} is not the progress that this program writes ({why}); remove it to begin anew")]
    Unreadable { path: PathBuf, why: String },
    /// The file is there and the system does not give it; what is in it may be sound.
    #[error("cannot read {path}, where what you solved is kept: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("what you solved could not be kept: {0}")]
    Write(#[from] DestinationError),
    /// Another process does not let go of it.
    #[error("what you solved could not be kept yet: another process holds {0}")]
    Held(PathBuf),
}

impl Progress {
    /// Where progress is kept: in the platform's folder for data of programs; nowhere if there is none.
    pub fn default_path() -> Option<PathBuf> {
        let strategy = choose_app_strategy(AppStrategyArgs {
            top_level_domain: String::new(),
            author: String::new(),
            app_name: "diffuscope".to_owned(),
        });
        Some(strategy.ok()?.in_data_dir("progress.json"))
    }

    /// The progress that is kept at `path`; none where there is no such file. Without a path nothing is kept.
    ///
    /// # Errors
    /// A file that is not what this program writes.
    pub fn open(path: Option<PathBuf>) -> Result<Self, ProgressError> {
        let record = match &path {
            Some(path) => read(path)?,
            None => Record::default(),
        };
        Ok(Self {
            path,
            record,
            changes: Vec::new(),
        })
    }

    /// The page that was read last, from 0.
    pub fn page(&self, lesson: &Lesson) -> usize {
        let page = self
            .record
            .lessons
            .get(&lesson.id)
            .map_or(0, |marks| marks.page);
        page.min(lesson.pages.len().saturating_sub(1))
    }

    /// Was it ever opened?
    pub fn is_begun(&self, lesson: &Lesson) -> bool {
        self.record.lessons.contains_key(&lesson.id)
    }

    /// How many of the lesson's exercises, as they are now, are solved; and how many there are.
    pub fn solved(&self, lesson: &Lesson) -> (usize, usize) {
        let pages = lesson.pages.iter();
        let exercises: Vec<&Page> = pages.filter(|page| page.exercise.is_some()).collect();
        let solved = exercises
            .iter()
            .filter(|page| self.solution_of(lesson, page).is_some());
        (solved.count(), exercises.len())
    }

    /// How the exercise of a page was solved, if it was: in this version of the program or in an older one.
    pub fn solution_of(&self, lesson: &Lesson, page: &Page) -> Option<&Solved> {
        let solved = &self.record.lessons.get(&lesson.id)?.solved;
        let digest = page.digest()?;
        solved
            .get(&digest.current)
            .or_else(|| solved.get(&digest.old))
    }

    /// Writes down the page that is read.
    pub fn turn_to(&mut self, lesson: &str, page: usize) {
        self.change(lesson, What::Page(page));
    }

    /// Writes down that the exercise of a page is solved.
    pub fn solve(&mut self, lesson: &Lesson, page: &Page, solved: Solved) {
        if let Some(digest) = page.digest() {
            self.change(&lesson.id, What::Exercise(digest, Some(solved)));
        }
    }

    /// Takes back that the exercise of a page is solved.
    pub fn forget(&mut self, lesson: &Lesson, page: &Page) {
        if let Some(digest) = page.digest() {
            self.change(&lesson.id, What::Exercise(digest, None));
        }
    }

    fn change(&mut self, lesson: &str, what: What) {
        let change = Change {
            lesson: lesson.to_owned(),
            what,
        };
        change.apply(&mut self.record);
        self.changes.retain(|earlier| !change.replaces(earlier));
        self.changes.push(change);
    }

    /// Keeps what was changed, and takes in what others have kept meanwhile. The file is replaced at once, or not at
    /// all.
    ///
    /// # Errors
    /// A place that cannot be written to; a file that is not what this program writes any more, which is left alone.
    pub fn save(&mut self) -> Result<(), ProgressError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| DestinationError::Write {
                path: folder.to_owned(),
                source,
            })?;
        }
        // Let go of when it is dropped.
        let _held = hold(&path.with_extension("lock"))?;
        let mut record = read(path)?;
        for change in &self.changes {
            change.apply(&mut record);
        }
        let file = OutputFile::at(path)?;
        file.publish(|out| {
            serde_json::to_writer_pretty(&mut *out, &record)?;
            out.write_all(b"\n")
        })?;
        self.record = record;
        self.changes.clear();
        Ok(())
    }
}

/// Holds the lock at `path`, so that no other process keeps its progress meanwhile; nothing where locks are not to be
/// had. The file stays, for to remove it would let two processes hold two files of one name.
fn hold(path: &Path) -> Result<Option<File>, ProgressError> {
    let open = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path);
    let file = open.map_err(|source| DestinationError::Write {
        path: path.to_owned(),
        source,
    })?;
    let end = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Err(ProgressError::Held(path.to_owned())),
            // A file system without locks: as good as can be.
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

fn read(path: &Path) -> Result<Record, ProgressError> {
    let unreadable = |why: String| ProgressError::Unreadable {
        path: path.to_owned(),
        why,
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Record::default()),
        // No text: not what was written.
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(unreadable(error.to_string()));
        }
        Err(source) => {
            let path = path.to_owned();
            return Err(ProgressError::Read { path, source });
        }
    };
    let record: Record =
        serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    if record.version != VERSION {
        let why = format!("its version is {}; expected {VERSION}", record.version);
        return Err(unreadable(why));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::{Language, Library};

    #[test]
    fn a_file_that_the_system_does_not_give_is_not_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let refused = read(folder.path()).unwrap_err();
        assert!(matches!(refused, ProgressError::Read { .. }), "{refused}");
        assert!(!refused.to_string().contains("remove"), "{refused}");
        let path = folder.path().join("progress.json");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read(&path), Err(ProgressError::Unreadable { .. })));
    }

    #[test]
    fn what_was_solved_is_there_again_and_a_changed_exercise_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/progress.json");
        let library = Library::embedded();
        let lesson = library.lessons(Language::En)[0].lesson.clone().unwrap();
        let page = lesson
            .pages
            .iter()
            .find(|page| page.exercise.is_some())
            .unwrap();
        let mut progress = Progress::open(Some(path.clone())).unwrap();
        assert_eq!(progress.solved(&lesson).0, 0);
        let solved = Solved {
            answer: Some("8".to_owned()),
            model: "0123".to_owned(),
        };
        progress.solve(&lesson, page, solved.clone());
        progress.turn_to(&lesson.id, 1);
        progress.save().unwrap();
        let read = Progress::open(Some(path.clone())).unwrap();
        assert_eq!(read.solved(&lesson).0, 1);
        assert_eq!(read.solution_of(&lesson, page), Some(&solved));
        assert_eq!(read.page(&lesson), 1);
        let mut changed = lesson.clone();
        for page in &mut changed.pages {
            page.goto.request.seed = Some(999);
        }
        assert_eq!(read.solved(&changed).0, 0);
        // Nothing but the file itself is left, and its lock.
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
        fs::write(&path, "{").unwrap();
        let error = Progress::open(Some(path)).unwrap_err().to_string();
        assert!(
            error.contains("progress.json") && error.contains("remove it"),
            "{error}"
        );
    }

    /// Two windows with a lesson each, both open before either keeps anything.
    #[test]
    fn what_another_window_has_solved_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress.json");
        let library = Library::embedded();
        let lessons: Vec<Lesson> = library
            .lessons(Language::En)
            .iter()
            .map(|entry| entry.lesson.clone().unwrap())
            .collect();
        let open = || Progress::open(Some(path.clone())).unwrap();
        let solved = Solved {
            answer: None,
            model: "0123".to_owned(),
        };
        let exercises = |lesson: &Lesson| -> Vec<Page> {
            let pages = lesson.pages.iter();
            pages
                .filter(|page| page.exercise.is_some())
                .cloned()
                .collect()
        };
        let mut windows: Vec<Progress> = lessons.iter().map(|_| open()).collect();
        thread::scope(|scope| {
            for (window, lesson) in windows.iter_mut().zip(&lessons) {
                let solved = &solved;
                scope.spawn(move || {
                    for page in exercises(lesson) {
                        window.solve(lesson, &page, solved.clone());
                        window.save().unwrap();
                    }
                });
            }
        });
        for lesson in &lessons {
            let (solved, all) = open().solved(lesson);
            assert_eq!(solved, all, "{}", lesson.id);
        }
        // Of one lesson in two windows, what either has done last; and each learns of the other's when it keeps its own.
        let lesson = &lessons[0];
        let pages = exercises(lesson);
        let (mut one, mut other) = (open(), open());
        one.forget(lesson, &pages[0]);
        one.save().unwrap();
        other.turn_to(&lesson.id, 1);
        other.save().unwrap();
        assert_eq!(other.solution_of(lesson, &pages[0]), None);
        assert_eq!(open().page(lesson), 1);
        one.solve(lesson, &pages[0], solved);
        one.save().unwrap();
        assert_eq!(
            (one.page(lesson), open().solved(lesson).0),
            (1, pages.len())
        );
        // What somebody else has made of the file is left alone, and kept when it can be.
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, "{").unwrap();
        one.turn_to(&lesson.id, 0);
        assert!(matches!(one.save(), Err(ProgressError::Unreadable { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{");
        fs::write(&path, whole).unwrap();
        one.save().unwrap();
        assert_eq!(open().page(lesson), 0);
    }

    /// Everything solved, as the first version of the program wrote it; and with entries of another lesson, and of an
    /// exercise that is no more.
    const OLD: &str = include_str!("../../tests/goldens/progress.json");

    #[test]
    fn what_was_solved_in_the_first_version_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress.json");
        fs::write(&path, OLD).unwrap();
        let mut progress = Progress::open(Some(path.clone())).unwrap();
        let library = Library::embedded();
        for language in Language::ALL {
            for entry in library.lessons(language) {
                let lesson = entry.lesson.as_ref().unwrap();
                let (solved, all) = progress.solved(lesson);
                assert!(
                    solved == all && all > 0,
                    "{}: {solved} of {all}; of an exercise that was changed, remove the digest from the file",
                    entry.file
                );
                assert_eq!(progress.page(lesson), 1, "{}", entry.file);
            }
        }
        // What is solved or taken back now replaces what was, and touches nothing else.
        let lesson = library.lessons(Language::En)[0].lesson.clone().unwrap();
        let exercises: Vec<&Page> = lesson
            .pages
            .iter()
            .filter(|page| page.exercise.is_some())
            .collect();
        let again = Solved {
            answer: Some("again".to_owned()),
            model: "4567".to_owned(),
        };
        progress.solve(&lesson, exercises[0], again.clone());
        progress.forget(&lesson, exercises[1]);
        progress.save().unwrap();
        let read = Progress::open(Some(path.clone())).unwrap();
        assert_eq!(read.solved(&lesson), (exercises.len() - 1, exercises.len()));
        assert_eq!(read.solution_of(&lesson, exercises[0]), Some(&again));
        assert_eq!(read.solution_of(&lesson, exercises[1]), None);
        let entries = |text: &str| -> Vec<String> {
            let record: Record = serde_json::from_str(text).unwrap();
            let marks = record.lessons.into_values();
            marks.flat_map(|marks| marks.solved.into_keys()).collect()
        };
        let (before, after) = (entries(OLD), entries(&fs::read_to_string(&path).unwrap()));
        let lost: Vec<&String> = before
            .iter()
            .filter(|entry| !after.contains(entry))
            .collect();
        let digests = [
            exercises[0].digest().unwrap(),
            exercises[1].digest().unwrap(),
        ];
        assert_eq!(lost.len(), 2, "{lost:?}");
        assert!(digests.iter().all(|digest| lost.contains(&&digest.old)));
        assert!(after.contains(&digests[0].current) && after.len() == before.len() - 1);
    }
}

//! Where lessons are: in the program, or in a folder of one's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, File, include_dir};

use super::parse::line_at;
use super::{Depth, Language, Lesson, Problem, parse};

static ENGLISH: Dir = include_dir!("$CARGO_MANIFEST_DIR/lessons/en");
static CHINESE: Dir = include_dir!("$CARGO_MANIFEST_DIR/lessons/zh");

/// The largest lesson, in bytes.
const LARGEST: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub struct Entry {
    pub file: String,
    /// The language of its folder.
    pub language: Language,
    pub text: String,
    pub lesson: Result<Lesson, Vec<Problem>>,
}

/// Lessons, in their order.
#[derive(Debug, Clone, Default)]
pub struct Library {
    /// Every file, those of one language after those of another.
    pub entries: Vec<Entry>,
}

#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error("cannot read the lessons in {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "there are no lessons in {0}; expected files like 01-name.md in its folders `en` and `zh`, or in itself"
    )]
    Empty(PathBuf),
    #[error("{0} is too large for a lesson; {LARGEST} bytes are the most")]
    TooLarge(PathBuf),
}

/// The program's own lessons, and in their folder `views` what it says of its views.
fn embedded(language: Language) -> &'static Dir<'static> {
    match language {
        Language::En => &ENGLISH,
        Language::Zh => &CHINESE,
    }
}

/// The title of what is said of the view called `name` on the screen, and its Markdown at `depth`.
pub fn explanation(name: &str, depth: Depth, language: Language) -> (&'static str, &'static str) {
    let name = name.to_lowercase().replace(' ', "-");
    let page = embedded(language).get_file(format!("views/{name}.md"));
    let text = page.and_then(File::contents_utf8).unwrap_or_default();
    let mut parts = text.split("\n## ");
    let title = parts.next().unwrap_or_default();
    let part = parts
        .filter_map(|part| part.split_once('\n'))
        .find(|(heading, _)| depth.headings().contains(heading));
    let markdown = part.map_or("", |(_, markdown)| markdown.trim());
    (title.trim_start_matches('#').trim(), markdown)
}

impl Library {
    /// The program's own lessons.
    pub fn embedded() -> Self {
        let mut library = Self::default();
        for language in Language::ALL {
            let folder = embedded(language);
            for file in folder.files() {
                let name = file.path().to_string_lossy();
                if let (true, Some(text)) = (is_lesson(file.path()), file.contents_utf8()) {
                    let name = format!("lessons/{}/{name}", language.code());
                    library.add(name, language, text.to_owned());
                }
            }
        }
        library.sort();
        library
    }

    /// The lessons of a folder that has folders `en` and `zh`, or files itself; or one file.
    ///
    /// # Errors
    /// What cannot be read, and a place without lessons.
    pub fn open(path: &Path) -> Result<Self, LibraryError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LibraryError::Read { path, source }
        };
        let mut library = Self::default();
        if fs::metadata(path).map_err(failed(path))?.is_file() {
            let parent = path.parent().and_then(Path::file_name);
            library.read(path, language_of(parent.map(Path::new)))?;
            return Ok(library);
        }
        let mut folders = vec![(
            path.to_owned(),
            language_of(path.file_name().map(Path::new)),
        )];
        for language in Language::ALL {
            let folder = path.join(language.code());
            if folder.is_dir() {
                folders.push((folder, language));
            }
        }
        for (folder, language) in folders {
            for file in fs::read_dir(&folder).map_err(failed(&folder))? {
                let file = file.map_err(failed(&folder))?.path();
                if is_lesson(&file) && file.is_file() {
                    library.read(&file, language)?;
                }
            }
        }
        if library.entries.is_empty() {
            return Err(LibraryError::Empty(path.to_owned()));
        }
        library.sort();
        Ok(library)
    }

    fn read(&mut self, file: &Path, language: Language) -> Result<(), LibraryError> {
        let failed = |source| LibraryError::Read {
            path: file.to_owned(),
            source,
        };
        if fs::metadata(file).map_err(failed)?.len() > LARGEST {
            return Err(LibraryError::TooLarge(file.to_owned()));
        }
        let bytes = fs::read(file).map_err(failed)?;
        let name = file.to_string_lossy().into_owned();
        match String::from_utf8(bytes) {
            Ok(text) => self.add(name, language, text),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = line_at(error.as_bytes(), good);
                let message = "this is not UTF-8; expected a text file";
                let problem = Problem::new(&name, line, message);
                self.entries.push(Entry {
                    lesson: Err(vec![problem]),
                    file: name,
                    language,
                    text: String::new(),
                });
            }
        }
        Ok(())
    }

    fn add(&mut self, file: String, language: Language, text: String) {
        let lesson = parse(&file, &text);
        self.entries.push(Entry {
            file,
            language,
            text,
            lesson,
        });
    }

    fn sort(&mut self) {
        self.entries
            .sort_by(|a, b| (a.language, a.name()).cmp(&(b.language, b.name())));
    }

    /// The lessons that can be read in `language`; those that it lacks in another one.
    pub fn lessons(&self, language: Language) -> Vec<&Entry> {
        let readable = |entry: &&Entry| entry.lesson.is_ok();
        let own = |entry: &&Entry| entry.language == language;
        let mut lessons: Vec<&Entry> = self.entries.iter().filter(readable).filter(own).collect();
        for entry in self.entries.iter().filter(readable) {
            if !lessons.iter().any(|known| known.name() == entry.name()) {
                lessons.push(entry);
            }
        }
        lessons.sort_by_key(|entry| entry.name());
        lessons
    }
}

impl Entry {
    /// The file's name: `01-the-whole-way.md`.
    pub fn name(&self) -> &str {
        self.file.rsplit(['/', '\\']).next().unwrap_or_default()
    }

    /// The lesson's name as the file has it: `the-whole-way`.
    pub fn id(&self) -> &str {
        let name = self.name();
        let name = name.strip_suffix(".md").unwrap_or(name);
        name.trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start_matches('-')
    }
}

/// Is it `NN-name.md`? A README is none.
fn is_lesson(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_markdown = path.extension().is_some_and(|end| end == "md");
    is_markdown && name.starts_with(|c: char| c.is_ascii_digit())
}

fn language_of(folder: Option<&Path>) -> Language {
    let name = folder.map(|folder| folder.to_string_lossy().into_owned());
    let is = |language: &Language| Some(language.code()) == name.as_deref();
    Language::ALL.into_iter().find(is).unwrap_or_default()
}

//! Where a file is to be written: the path that is typed, and what it means.

use std::path::{Path, PathBuf};

use super::action::{Action, Typing};
use super::app::{App, Mode};
use super::line::{InputLine, LineEditor};
use crate::lesson::Language;

/// The name and place of a file or folder that is to be written, while they are typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// Which of the export menu's offers it is for.
    pub row: usize,
    pub path: InputLine,
    /// Was it handed over, so that the answer is still to come?
    pub is_writing: bool,
    default: PathBuf,
}

impl Destination {
    pub fn new(row: usize, default: PathBuf) -> Self {
        let line = LineEditor::new(&default.to_string_lossy());
        Self {
            row,
            path: InputLine {
                line,
                problem: None,
            },
            is_writing: false,
            default,
        }
    }

    /// The path that was typed, of a file whose name ends in `ending`, or of a folder where there is none.
    fn path(&self, ending: Option<&str>, language: Language) -> Result<PathBuf, String> {
        let typed = self.path.typed();
        // What it says need not be all of it: names of files need not be text.
        if typed == self.default.to_string_lossy() {
            return Ok(self.default.clone());
        }
        let path = expand(typed, std::env::home_dir()).map_err(|said| language.choose(said))?;
        let is_folder = typed.ends_with(std::path::is_separator);
        let path = match self.default.file_name() {
            // In a folder the default name is as good as any.
            Some(name) if is_folder || ending.is_some() && path.is_dir() => path.join(name),
            _ => path,
        };
        let Some(ending) = ending else {
            return Ok(path);
        };
        with_ending(path, ending).map_err(|said| language.choose(said))
    }
}

/// `typed` with the user's home in the place of a leading `~`.
fn expand(typed: &str, home: Option<PathBuf>) -> Result<PathBuf, [String; 2]> {
    if typed.is_empty() {
        return Err(["a name is missing", "缺少名字"].map(str::to_owned));
    }
    let Some(rest) = typed.strip_prefix('~') else {
        return Ok(typed.into());
    };
    let is_home = rest.is_empty() || rest.starts_with(std::path::is_separator);
    match home.filter(|_| is_home) {
        Some(home) => Ok(home.join(rest.trim_start_matches(std::path::is_separator))),
        None if is_home => Err([
            "the system does not say where your home folder is: write the path in full".to_owned(),
            "系统没有说明主文件夹在哪里：请写完整路径".to_owned(),
        ]),
        None => Err([
            format!("only your own home is known as ~: write {typed} in full, or ./{typed}"),
            format!("~ 只表示自己的主文件夹：请写出 {typed} 的完整路径，或写 ./{typed}"),
        ]),
    }
}

/// `path` with `ending`, which is added where there is none.
fn with_ending(path: PathBuf, ending: &str) -> Result<PathBuf, [String; 2]> {
    match path.extension() {
        Some(typed) if typed.eq_ignore_ascii_case(ending) => Ok(path),
        Some(typed) => {
            let typed = Path::new(typed).display();
            let format = ending.to_uppercase();
            Err([
                format!("this is written as {format}: end the name in .{ending}, not in .{typed}"),
                format!("写入的格式是 {format}：名字应以 .{ending} 结尾，而不是 .{typed}"),
            ])
        }
        None => {
            let mut path = path.into_os_string();
            path.push(format!(".{ending}"));
            Ok(path.into())
        }
    }
}

impl App {
    /// While the place of a file is typed.
    pub(super) fn choose_destination(&mut self, action: &Action) {
        let Mode::Destination(asked) = &mut self.mode else {
            return;
        };
        match action {
            Action::Dismiss if asked.is_writing => self.mode = Mode::Browse,
            Action::Dismiss => self.mode = Mode::Export(asked.row),
            // What is being written cannot be written elsewhere any more.
            _ if asked.is_writing => {}
            Action::Type(Typing::Submit) => {
                let Some(item) = self.export.items.get(asked.row) else {
                    return;
                };
                match asked.path(item.ending(), self.lesson.language) {
                    Ok(path) => {
                        asked.is_writing = true;
                        self.tasks.push(item.at(path));
                    }
                    Err(problem) => asked.path.problem = Some(problem),
                }
            }
            Action::Type(typing) => asked.path.apply(typing),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(typed: &str, ending: Option<&str>, default: &Path) -> Result<PathBuf, String> {
        let mut asked = Destination::new(0, default.to_owned());
        asked.path.line = LineEditor::new(typed);
        asked.path(ending, Language::En)
    }

    #[test]
    fn a_tilde_is_the_users_home_and_nothing_else() {
        let home = || Some(PathBuf::from("/home/a"));
        assert_eq!(expand("~", home()), Ok("/home/a".into()));
        assert_eq!(expand("~/b/c.png", home()), Ok("/home/a/b/c.png".into()));
        assert_eq!(expand("~//b", home()), Ok("/home/a/b".into()));
        assert_eq!(expand("b/~", home()), Ok("b/~".into()));
        assert!(expand("~root/x", home()).unwrap_err()[0].contains("./~root/x"));
        assert!(expand("~/x", None).unwrap_err()[0].contains("in full"));
        assert!(expand("", home()).is_err());
    }

    #[test]
    fn a_name_gets_its_ending_and_a_folder_the_default_name() {
        let folder = tempfile::tempdir().unwrap();
        let default = Path::new("diffuscope-42.png");
        let there = folder.path().to_string_lossy().into_owned();
        let png = |typed: &str| path(typed, Some("png"), default);
        assert_eq!(png("a"), Ok("a.png".into()));
        assert_eq!(png("  a.PNG "), Ok("a.PNG".into()));
        assert_eq!(png("diffuscope-42.png"), Ok(default.into()));
        assert_eq!(png(&there), Ok(folder.path().join(default)));
        assert_eq!(png("gone/"), Ok(Path::new("gone").join(default)));
        assert!(png("a.jpg").unwrap_err().contains("end the name in .png"));
        assert_eq!(png("v1.5/x"), Ok("v1.5/x.png".into()));
        // A folder may be called anything.
        let run = |typed: &str| path(typed, None, Path::new("diffuscope-42"));
        assert_eq!(run("v1.5"), Ok("v1.5".into()));
        assert_eq!(run("runs/"), Ok("runs/diffuscope-42".into()));
    }
}

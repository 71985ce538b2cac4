//! The map in `src/lib.rs` is true: imports only ever point up its list of modules.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules that `src/lib.rs` lists, in its order.
fn listed(source: &Path) -> Vec<String> {
    let map = fs::read_to_string(source.join("lib.rs")).unwrap();
    map.lines()
        .filter_map(|line| {
            let entry = line.strip_prefix("//! ")?;
            let (number, rest) = entry.split_once(". ")?;
            number.parse::<usize>().ok()?;
            Some(rest.split('`').nth(1)?.to_owned())
        })
        .collect()
}

/// All Rust files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules of the crate that a file's code names, with their lines; comments may name any.
fn named(text: &str) -> Vec<(usize, &str)> {
    text.lines()
        .enumerate()
        .flat_map(|(index, line)| {
            let code = line.split("//").next().unwrap_or_default();
            code.split("crate::").skip(1).map(move |rest| {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                (index + 1, &rest[..end.unwrap_or(rest.len())])
            })
        })
        .collect()
}

#[test]
fn imports_only_point_up_the_list_of_modules() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules = listed(&source);
    assert!(modules.len() > 10, "{modules:?}");
    let place = |name: &str| modules.iter().position(|module| module == name);

    let mut wrong = Vec::new();
    for path in files(&source) {
        let inside = path.strip_prefix(&source).unwrap();
        let own = inside.iter().next().unwrap().to_str().unwrap();
        let own = own.trim_end_matches(".rs");
        if ["lib", "main", "build"].contains(&own) {
            continue;
        }
        let Some(here) = place(own) else {
            panic!("src/lib.rs does not list `{own}`");
        };
        for (line, name) in named(&fs::read_to_string(&path).unwrap()) {
            match place(name) {
                Some(there) if there <= here => {}
                Some(_) => wrong.push(format!("src/{}:{line}: {name}", inside.display())),
                None => panic!("src/{}:{line}: `{name}` is no module", inside.display()),
            }
        }
    }
    assert_eq!(wrong, [""; 0], "these point down the list");
}

#[test]
fn code_is_told_from_comments() {
    let text = "use crate::model::Hook; // crate::tui\n//! [x](crate::lesson)\nlet a = crate::text::b(crate::random::C);";
    assert_eq!(named(text), [(1, "model"), (3, "text"), (3, "random")]);
}

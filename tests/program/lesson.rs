//! `diffuscope lesson`: the list, and the check.

use std::fs;
use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The lesson that the guide for teachers gives as its example.
fn example() -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons/README.md");
    let guide = fs::read_to_string(guide).unwrap();
    let (_, rest) = guide
        .split_once("<!-- example -->\n`````markdown\n")
        .unwrap();
    let (example, _) = rest.split_once("\n`````\n").unwrap();
    format!("{example}\n")
}

/// The program, with its data in a folder of its own.
fn diffuscope(folder: &TempDir, args: &[&str]) -> assert_cmd::Command {
    let mut command = cargo_bin_cmd!("diffuscope");
    let home = folder.path();
    command
        .env("XDG_DATA_HOME", home.join("data"))
        .env("HOME", home);
    command.env("LANG", "en_US.UTF-8").env_remove("LC_ALL");
    command.current_dir(home).args(args);
    command
}

#[test]
fn lessons_are_listed_with_how_far_the_reader_is() {
    let folder = tempfile::tempdir().unwrap();
    let list = diffuscope(&folder, &["lesson"]).assert().success();
    list.stdout(contains("the-whole-way"))
        .stdout(contains("0/"));
    diffuscope(&folder, &["lesson", "--lang", "zh"])
        .assert()
        .success()
        .stdout(contains("从头到尾走一遍"));
    let path = folder.path().join("data/diffuscope/progress.json");
    if cfg!(target_os = "linux") {
        let own = folder.path().join("own/en");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("01-red-and-blue.md"), example()).unwrap();
        // An exercise is known by what src/lesson/digest.rs says.
        let exercise = json!({
            "filter": r#".tokens.prompt[] | select(.piece == "apple</w>") | .id"#,
            "request": {},
            "beside": null,
        });
        let digest = format!("{:x}", Sha256::digest(exercise.to_string()));
        let solved = json!({&digest[..16]: {"answer": "3055", "model": ""}});
        let marks = json!({"page": 0, "solved": solved});
        let progress = json!({"version": 2, "lessons": {"red-and-blue": marks}});
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, progress.to_string()).unwrap();
        let list = diffuscope(&folder, &["lesson", "--dir", "own"])
            .assert()
            .success();
        list.stdout(contains(
            "◐  1  red-and-blue  1/2 solved   5 min  Red and blue",
        ));
        fs::write(&path, "no progress").unwrap();
        let list = diffuscope(&folder, &["lesson"]).assert().success();
        list.stderr(contains("progress.json is not the progress"));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_was_solved_with_the_first_version_of_the_program_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data/diffuscope");
    fs::create_dir_all(&data).unwrap();
    let old = include_str!("../goldens/progress.json");
    fs::write(data.join("progress.json"), old).unwrap();
    for language in ["en", "zh"] {
        let list = diffuscope(&folder, &["lesson", "--lang", language])
            .assert()
            .success();
        list.stdout(contains("✓  2  tokens                8/8 solved"))
            .stdout(contains("○").not());
    }
}

#[test]
fn a_lesson_that_there_is_not_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    diffuscope(&folder, &["lesson", "the-hole-way"])
        .assert()
        .code(2)
        .stderr(contains(
            "no lesson “the-hole-way”; did you mean the-whole-way?",
        ));
    diffuscope(&folder, &["lesson", "xyzzy"])
        .assert()
        .code(2)
        .stderr(contains("there are the-whole-way"));
    // Without a terminal it can be listed, but not read.
    diffuscope(&folder, &["lesson", "the-whole-way"])
        .assert()
        .code(1)
        .stderr(contains("needs a terminal"));
}

#[test]
fn the_check_prints_what_is_wrong_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    diffuscope(&folder, &["lesson", "check", "--files"])
        .assert()
        .success()
        .stdout(contains("in order"));
    fs::create_dir(folder.path().join("own")).unwrap();
    diffuscope(&folder, &["lesson", "check", "own"])
        .assert()
        .code(1)
        .stderr(contains("there are no lessons in own"));
    let file = folder.path().join("own/01-red-and-blue.md");
    fs::write(&file, example()).unwrap();
    diffuscope(&folder, &["lesson", "check", "own"])
        .assert()
        .success()
        .stdout(contains("1 file: every claim holds"));
    fs::write(&file, example().replace("== 49406", "== 1")).unwrap();
    diffuscope(&folder, &["lesson", "check", "own/01-red-and-blue.md"])
        .assert()
        .code(1)
        .stdout(contains(
            "own/01-red-and-blue.md:23: the claim does not hold",
        ))
        .stderr(contains("1 thing is wrong"));
    fs::write(&file, [b'#', 0xff, 0xfe]).unwrap();
    diffuscope(&folder, &["lesson", "check", "own"])
        .assert()
        .code(1)
        .stdout(contains("01-red-and-blue.md:1: this is not UTF-8"));
    diffuscope(&folder, &["lesson", "--dir", "own"])
        .assert()
        .success()
        .stderr(contains("the lesson is left out"));
}

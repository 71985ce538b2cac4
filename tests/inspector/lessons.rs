//! Lessons: that everything in them is so, that what is not so is found, and how one is read in the inspector.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::support::{Session, draw, has_picture, is_open, loader, text};
use clap::Parser as _;
use crossterm::event::KeyCode;
use diffuscope::cli::Cli;
use diffuscope::commands;
use diffuscope::generation::RequestPatch;
use diffuscope::lesson::filter::{Filter, Value};
use diffuscope::lesson::{Language, Library, Progress, Solved, check, parse};
use diffuscope::tui::Player;
use diffuscope::tui::state::lesson::{LessonState, Status};
use diffuscope::tui::state::{App, Mode, View};
use diffuscope::tui::worker::Worker;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use serde_json::Value as Json;
use tempfile::TempDir;

/// The folder of our own lessons.
fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons")
}

/// The lesson that the guide for teachers gives as its example.
fn example() -> String {
    let guide = fs::read_to_string(ours().join("README.md")).unwrap();
    let (_, rest) = guide
        .split_once("<!-- example -->\n`````markdown\n")
        .unwrap();
    let (example, _) = rest.split_once("\n`````\n").unwrap();
    format!("{example}\n")
}

/// What is wrong with the lessons in `folder`, in the order of their files.
fn problems(folder: &Path, player: &mut Player) -> Vec<String> {
    let library = Library::open(folder).unwrap();
    let mut problems = check::files(&library);
    problems.extend(check::lessons(&library, player, |_| {}).problems);
    problems.iter().map(ToString::to_string).collect()
}

/// A folder with the example in it, in both languages.
fn folder(english: &str, chinese: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (language, text) in [("en", Some(english)), ("zh", chinese)] {
        if let Some(text) = text {
            fs::create_dir(folder.path().join(language)).unwrap();
            let file = format!("{language}/01-red-and-blue.md");
            fs::write(folder.path().join(file), text).unwrap();
        }
    }
    folder
}

#[test]
fn everything_in_our_lessons_is_so() {
    let mut player = Player::start(loader()).unwrap();
    let problems = problems(&ours(), &mut player);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_lesson_of_the_folder_is_in_the_program_in_both_languages() {
    let embedded = Library::embedded();
    let there = Library::open(&ours()).unwrap();
    let texts = |library: &Library| -> Vec<(Language, String, String)> {
        let entries = library.entries.iter();
        let own = |entry: &diffuscope::lesson::Entry| {
            (entry.language, entry.name().to_owned(), entry.text.clone())
        };
        entries.map(own).collect()
    };
    assert!(texts(&embedded) == texts(&there), "build the program again");
    for language in Language::ALL {
        let of = embedded.entries.iter();
        assert_eq!(
            of.filter(|entry| entry.language == language).count(),
            embedded.entries.len() / 2
        );
    }
}

#[test]
fn what_is_not_so_is_found_and_named_with_file_and_line() {
    let example = example();
    let mut player = Player::start(loader()).unwrap();
    let line = |text: &str, of: &str| 1 + text[..text.find(of).unwrap()].matches('\n').count();
    let claim = "filter = '.tokens.prompt[0].id == 49406'";
    let answer = r#"answer = '.tokens.prompt[] | select(.piece == "apple</w>") | .id'"#;
    let hint = "hints = [\"It is in the column `id`.\"]";
    let solution = r#"solution = [{ prompt = "a blue apple on the grass" }]"#;
    let done = "[.tokens.prompt[].piece]\n| any(. == \"blue</w>\") and any(. == \"apple</w>\")";
    let hostile = |filter: &str| format!("filter = '{filter}'");
    for (from, to, near, expected) in [
        (
            claim,
            "filter = '.tokens.prompt[0].id == 49407'",
            "```claim",
            "the claim does not hold: the filter gives false",
        ),
        (
            claim,
            "filter = '.tokens.prompt[0].ids == 49406'",
            "```claim",
            "gives false",
        ),
        (
            claim,
            "filter = '.tokens.prompt[0].id'",
            "```claim",
            "gives 49406; true was expected",
        ),
        (
            claim,
            "filter = '.tokens | lenght'",
            "filter = ",
            "there is no filter `lenght`",
        ),
        (
            done,
            ".request.seed == 7",
            "```task",
            "done already when its page is opened",
        ),
        (
            done,
            ".request.seed == 8",
            "```task",
            "the solution does not do the task",
        ),
        (
            solution,
            r#"solution = [{ view = "tokens" }]"#,
            "```task",
            "the solution does not do the task",
        ),
        (
            solution,
            r#"solution = [{ token = "zebra" }]"#,
            "```task",
            "no word “zebra”; it has a, red, apple",
        ),
        (
            solution,
            "solution = [{ branch = 30, seed = 1 }]",
            "```task",
            "no step 30; the run has 12",
        ),
        (
            solution,
            "solution = []",
            "solution = []",
            "solution is empty",
        ),
        (hint, "hints = []", "hints = []", "a hint is missing"),
        (hint, "", "ask = ", "missing field `hints`"),
        (
            answer,
            "answer = '.tokens.prompt[] | .id'",
            "```question",
            "the answer: the filter gives several",
        ),
        (
            answer,
            "answer = '.model.name'",
            "```question",
            "it gives “little-world”; expected a number",
        ),
        (
            "kind = \"number\"\n",
            "kind = \"number\"\nwrong = \"3055\"\n",
            "```question",
            "“3055” is accepted, and is wrong",
        ),
        (
            "view = \"tokens\"\ntoken = \"red\"",
            "view = \"tokens\"\ntoken = \"green\"",
            "```goto",
            "no word “green”",
        ),
        (
            "view = \"tokens\"\ntoken = \"red\"",
            "view = \"token\"\ntoken = \"red\"",
            "view = \"token\"",
            "unknown variant `token`, expected one of `prompt`, `tokens`",
        ),
        (
            "highlight = \"49406\"",
            "highlight = \"12345\"",
            "```goto",
            "“12345” is to be highlighted, and is not on the screen",
        ),
        (
            "highlight = \"49406\"",
            "layer = \"mid 7\"",
            "```goto",
            "no layer “mid 7”; expected all, down 0.0",
        ),
        ("highlight = \"49406\"", "head = 9", "```goto", "no head 9"),
        (
            "id = \"red-and-blue\"",
            "id = \"red\"",
            "id = ",
            "the file is called 01-red-and-blue.md",
        ),
        (
            "The model never sees letters.",
            "The model never sees letters, and this is a line that is much too long.",
            "The model never",
            "columns wide; 80 are the most",
        ),
        ("+++\n\n# Words", "\n# Words", "+++", "head does not end"),
        (
            "minutes = 5",
            "minutes = \"five\"",
            "minutes",
            "expected u32",
        ),
    ] {
        assert!(example.contains(from), "{from}");
        let broken = example.replacen(from, to, 1);
        let folder = folder(&broken, None);
        let found = problems(folder.path(), &mut player).join("\n");
        let place = format!("01-red-and-blue.md:{}: ", line(&broken, near));
        assert!(found.contains(expected), "{to}\n{found}");
        assert!(found.contains(&place), "{to}: expected {place}\n{found}");
    }
    for (filter, expected) in [
        ("def f: f; f", "calls itself"),
        ("[range(1e12)] | length == 1", "it does not come to an end"),
        (
            "[limit(1e9; range(1e15))] | length == 1",
            "it does not come to an end",
        ),
        (
            "reduce range(60) as $i ([1]; . + .) | length == 1",
            "more than 1000000 parts",
        ),
        (
            "reduce range(1e6) as $i (1; [.]) | length == 1",
            "nested more than 64 deep",
        ),
        ("\"x\" * 1e12 | length == 1", "cannot multiply a string"),
        ("input", "no filter `input`"),
        ("env.HOME == \"x\"", "no filter `env`"),
        (
            "{file: \"/etc/passwd\"} | tensor | length == 1",
            "there is no tensor",
        ),
    ] {
        let broken = example.replacen(claim, &hostile(filter), 1);
        let folder = folder(&broken, None);
        let found = problems(folder.path(), &mut player).join("\n");
        assert!(found.contains(expected), "{filter}\n{found}");
        let places = ["```claim", "filter = "]
            .map(|near| format!("01-red-and-blue.md:{}: ", line(&broken, near)));
        assert!(places.iter().any(|place| found.contains(place)), "{found}");
    }
    // The same one is fine as it is.
    let folder = folder(&example, Some(&example));
    assert_eq!(problems(folder.path(), &mut player), Vec::<String>::new());
}

#[test]
fn languages_that_are_not_in_step_are_found() {
    let example = example();
    for (from, to, expected) in [
        (
            "seed = 7",
            "seed = 8",
            "zh/01-red-and-blue.md:5: [request] is not as in",
        ),
        ("token = \"red\"", "token = \"apple\"", "goto is not as in"),
        (
            ".id == 49406'",
            ".id > 49405'",
            "the claims' filters are not as in",
        ),
        ("\n## Mechanism\n", "\n## 机制\n", ""),
        ("\n## Mechanism\n", "\n", "the page's depths are not as in"),
        (
            "# Another colour\n",
            "# Another colour\n\n# Yet another\n",
            "the lesson has 4 pages",
        ),
        (
            "  \"Only one word of the prompt has to change.\",\n",
            "",
            "the number of hints is not as in",
        ),
        (
            "\"a blue apple on the grass\" }",
            "\"a blue apple\" }",
            "the solution is not as in",
        ),
    ] {
        assert!(example.contains(from), "{from}");
        let folder = folder(&example, Some(&example.replacen(from, to, 1)));
        let library = Library::open(folder.path()).unwrap();
        let found: Vec<String> = check::files(&library)
            .iter()
            .map(ToString::to_string)
            .collect();
        let found = found.join("\n");
        if expected.is_empty() {
            assert_eq!(found, "");
        } else {
            assert!(found.contains(expected), "{found}");
        }
    }
    let folder = folder(&example, Some(&example));
    fs::write(
        folder.path().join("en/02-more.md"),
        example.replace("red-and-blue", "more"),
    )
    .unwrap();
    let library = Library::open(folder.path()).unwrap();
    let found = check::files(&library);
    assert_eq!(found.len(), 1);
    assert!(
        found[0]
            .to_string()
            .ends_with("there is no translation; expected zh/02-more.md")
    );
}

#[test]
fn filters_are_asked_about_the_document_that_run_writes() {
    let session = Session::start(loader(), "a red apple", 3).until(has_picture);
    let facts = session.app.facts().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let asked = [
        "run",
        "-p",
        "a red apple",
        "--steps",
        "3",
        "-g",
        "5",
        "--json",
    ];
    let command = ["diffuscope"].into_iter().chain(asked).map(OsString::from);
    let command = command.chain([out.clone().into_os_string()]);
    commands::execute(Cli::try_parse_from(command).unwrap()).unwrap();
    let read = |file: &str| -> Json {
        serde_json::from_str(&fs::read_to_string(out.join(file)).unwrap()).unwrap()
    };
    let (mut ours, mut theirs) = (facts.document(), read("run.json"));
    // What a lesson adds, what only the export has, and what is measured anew each time.
    for member in ["selection", "compared"] {
        ours.as_object_mut().unwrap().remove(member).unwrap();
    }
    let tensors = ours["tensors"].as_object_mut().unwrap();
    tensors.retain(|name, _| !name.ends_with("self_attn"));
    theirs["architecture"]
        .as_object_mut()
        .unwrap()
        .remove("latent_rgb");
    for document in [&mut ours, &mut theirs] {
        forget_seconds(document);
    }
    assert_eq!(ours, theirs);
    let input = facts.input().unwrap();
    for (filter, file) in [
        (
            r#"tensor("initial_noise") | .data[7]"#,
            "tensors/initial_noise.json",
        ),
        (
            r#".steps[1] | tensor("noise_text") | .data[7]"#,
            "steps/0001/noise_text.json",
        ),
    ] {
        let value = Filter::parse(filter).unwrap().run(&input).unwrap();
        let expected = read(file)["data"][7].as_f64().unwrap();
        assert_eq!(value, Value::Number(expected), "{filter}");
    }
}

#[test]
fn a_second_run_stands_beside_the_pages_own() {
    let lesson = r#"+++
id = "red-and-blue"
title = "Beside"
minutes = 1
[request]
prompt = "a red apple"
steps = 4
+++

# Another scheduler

```goto
view = "denoising"
beside = { scheduler = "ddim" }
highlight = "ddim"
```

```claim
filter = """
.request.scheduler == "lms" and .compared.request.scheduler == "ddim"
and (tensor("initial_noise").data[5] as $noise
  | .compared | tensor("initial_noise").data[5] == $noise)
"""
```

# A branch

```goto
request = { seed = 3 }
beside = { branch = 3, prompt = "a blue apple" }
```

```claim
filter = """
(.steps[1] | tensor("latents").data[0]) as $latents
| .request.seed == 3 and .compared.request.prompt == "a blue apple"
and .compared.branches[0].step == 2
and (.compared.steps[1] | tensor("latents").data[0]) == $latents
"""
```

```task
do = "Change the machine."
done = """
.selection.parent != null and .selection.branched_at == 1
and .compared != null and (.request.interventions | length) == 1
"""
hints = ["Yes."]
solution = [
  { weight = { apple = 0 } },
  { branch = 2, guidance = 2 },
  { view = "attention", token = "apple", layer = "mid 0", grid = "steps" },
]
explanation = "So."
```
"#;
    let mut player = Player::start(loader()).unwrap();
    let folder = folder(lesson, None);
    assert_eq!(problems(folder.path(), &mut player), Vec::<String>::new());
}

fn forget_seconds(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.remove("seconds");
            members.values_mut().for_each(forget_seconds);
        }
        Json::Array(items) => items.iter_mut().for_each(forget_seconds),
        _ => {}
    }
}

/// A reader of the guide's example.
fn reader() -> Session {
    let lesson = parse("example.md", &example()).unwrap();
    let mut app = App::new(64 << 20).with_lessons(LessonState::new(
        Library::embedded(),
        Language::En,
        Progress::default(),
    ));
    app.waits = true;
    app.begin(lesson);
    let worker = Worker::spawn(loader(), RequestPatch::default()).unwrap();
    Session { app, worker }.until(is_open)
}

fn standing(app: &App) -> Status {
    app.lesson.open.as_ref().unwrap().exercise.clone()
}

#[test]
fn a_page_takes_the_reader_there_and_shows_what_it_claims() {
    let session = reader();
    let app = &session.app;
    assert_eq!(app.cursor.view, View::Tokens);
    assert_eq!(app.selected_word(), Some("red"));
    let run = app.run().unwrap();
    assert_eq!((run.trace.request.seed, run.trace.request.steps), (7, 12));
    for size in [(80, 24), (120, 40)] {
        let screen = text(app, size);
        for words in [
            "1/3 Red and blue",
            "Words become numbers",
            "The model never sees letters",
            "✓ The first number is 49406",
            "n next",
            "q quit",
        ] {
            let there = screen.contains(words);
            // What does not fit is a scroll away.
            let below = words.starts_with('✓') && screen.contains("pgdn ↓");
            assert!(there || below, "{words:?} at {size:?}:\n{screen}");
        }
        // The view is there, and what the page points at is marked in it.
        let buffer = draw(app, size);
        let places = diffuscope::tui::ui::lesson::find(&buffer, buffer.area, "49406");
        let is_marked = |place: &&Rect| {
            let cell = &buffer[place.as_position()];
            cell.modifier.contains(Modifier::UNDERLINED)
        };
        assert_eq!(places.iter().filter(is_marked).count(), 1, "{size:?}");
    }
}

#[test]
fn the_depth_changes_and_the_view_stays_usable() {
    let session = reader();
    assert!(!text(&session.app, (120, 40)).contains("vocabulary has"));
    let session = session.press(KeyCode::Char('i'));
    assert!(text(&session.app, (120, 40)).contains("vocabulary has"));
    let session = session.press(KeyCode::Char('i'));
    assert!(text(&session.app, (120, 40)).contains("49408 × d"));
    // Keys of the inspector do what they always do.
    let session = session.press(KeyCode::Char('6')).press(KeyCode::Up);
    assert_eq!(
        (session.app.cursor.view, session.app.cursor.step),
        (View::Schedule, 10)
    );
    assert!(text(&session.app, (80, 24)).contains("sigma"));
    // Scrolling ends at the last line and comes back.
    let session = (0..20).fold(session, |session, _| session.press(KeyCode::PageDown));
    let bottom = text(&session.app, (80, 24));
    let session = (0..20).fold(session, |session, _| session.press(KeyCode::PageUp));
    assert_ne!(text(&session.app, (80, 24)), bottom);
    assert!(text(&session.app, (80, 24)).contains("Words become numbers"));
    // Folded away, the view has the room.
    let session = session.press(KeyCode::Char('f'));
    let screen = text(&session.app, (80, 24));
    assert!(
        !screen.contains("never sees letters") && screen.contains("1/3 Red"),
        "{screen}"
    );
}

#[test]
fn a_question_is_answered() {
    let session = reader().press(KeyCode::Char('n')).until(is_open);
    assert_eq!(standing(&session.app), Status::Open);
    let session = session
        .press(KeyCode::Char('k'))
        .type_in("3054")
        .press(KeyCode::Enter);
    assert!(text(&session.app, (120, 40)).contains("“3054” is not it."));
    assert_eq!(standing(&session.app), Status::Open);
    let session = session.press(KeyCode::Char('H'));
    assert!(text(&session.app, (80, 24)).contains("It is in the column"));
    let session = session
        .press(KeyCode::Char('k'))
        .type_in("many")
        .press(KeyCode::Enter);
    assert!(text(&session.app, (80, 24)).contains("a number is expected"));
    let session = session
        .press(KeyCode::Char('k'))
        .type_in("3055")
        .press(KeyCode::Enter);
    assert_eq!(standing(&session.app), Status::Good);
    for size in [(80, 24), (120, 40)] {
        let screen = text(&session.app, size);
        assert!(screen.contains("Right: 3055"), "{screen}");
        assert!(screen.contains("in every prompt"), "{screen}");
    }
    // It stays on its page until the reader turns it.
    assert_eq!(session.app.lesson.open.as_ref().unwrap().page, 1);
    let reading = session.app.lesson.open.as_ref().unwrap();
    assert_eq!(session.app.lesson.progress.solved(&reading.lesson), (1, 2));
}

#[test]
fn a_task_is_noticed_when_it_is_done_and_the_next_page_has_its_own_run_again() {
    let session = reader()
        .press(KeyCode::Char('n'))
        .press(KeyCode::Char('n'))
        .until(is_open)
        .press(KeyCode::Char('k'))
        .until(is_open);
    assert!(text(&session.app, (120, 40)).contains("Not yet."));
    // As its reader does it: another prompt, in the inspector's own form.
    let session = session.press(KeyCode::Char('p'));
    let session = (0..25).fold(session, |session, _| session.press(KeyCode::Backspace));
    let session = session
        .type_in("a blue apple in the snow")
        .press(KeyCode::Enter)
        .until(|app| standing(app) == Status::Good);
    assert!(text(&session.app, (120, 40)).contains("The seed is the same"));
    // After the form the view is the one that it was opened from.
    let session = session
        .press(KeyCode::Char('2'))
        .press(KeyCode::Char('p'))
        .press(KeyCode::Esc);
    assert_eq!(session.app.cursor.view, View::Tokens);
    let session = session
        .press(KeyCode::Char('p'))
        .press(KeyCode::Enter)
        .until(is_open);
    assert_eq!(session.app.cursor.view, View::Tokens);
    let session = session.press(KeyCode::Char('N')).until(is_open);
    let request = &session.app.run().unwrap().trace.request;
    assert_eq!(request.prompt, "a red apple on the grass");
    // Three runs were made, not five: the page's own one is there still.
    assert_eq!(session.app.runs.others.len(), 2);
}

#[test]
fn a_solution_is_shown_and_done_but_is_not_the_readers() {
    let session = reader()
        .press(KeyCode::Char('n'))
        .press(KeyCode::Char('n'))
        .until(is_open)
        .press(KeyCode::Char('S'))
        .until(|app| standing(app) == Status::Good);
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("→ prompt a blue apple"), "{screen}");
    let reading = session.app.lesson.open.as_ref().unwrap();
    assert_eq!(session.app.lesson.progress.solved(&reading.lesson).0, 0);
    // From the start again.
    let session = session.press(KeyCode::Char('R')).until(is_open);
    assert_eq!(standing(&session.app), Status::Open);
    let session = session.press(KeyCode::Char('L'));
    assert!(!session.app.is_reading());
}

#[test]
fn the_list_opens_a_lesson_in_either_language() {
    let session = reader().press(KeyCode::Char('l'));
    assert!(matches!(session.app.mode, Mode::Lessons(_)));
    for size in [(80, 24), (120, 40)] {
        let screen = text(&session.app, size);
        assert!(
            screen.contains("The whole way, once") && screen.contains("solved"),
            "{screen}"
        );
    }
    let session = session.press(KeyCode::Char('v'));
    assert!(text(&session.app, (80, 24)).contains("中 文"));
    let session = (0..12).fold(session, |session, _| session.press(KeyCode::Up));
    let session = session.press(KeyCode::Enter).until(is_open);
    let reading = session.app.lesson.open.as_ref().unwrap();
    assert_eq!(reading.lesson.id, "the-whole-way");
    assert_eq!(session.app.lesson.language, Language::Zh);
    let screen = text(&session.app, (120, 40)).replace(' ', "");
    assert!(
        screen.contains("n下一页") && screen.contains("S答案"),
        "{screen}"
    );
    let is_good = |claim: &&Status| matches!(claim, Status::Good | Status::Elsewhere(_));
    assert_eq!(
        reading.claims.iter().filter(is_good).count(),
        reading.claims.len()
    );
}

/// A reader of the example's page `page`, whose progress is in the file `path`.
fn comes_back(path: &Path, page: usize) -> Session {
    let lesson = parse("example.md", &example()).unwrap();
    let mut progress = Progress::open(Some(path.to_owned())).unwrap();
    progress.turn_to(&lesson.id, page);
    let mut app = App::new(64 << 20).with_lessons(LessonState::new(
        Library::embedded(),
        Language::En,
        progress,
    ));
    app.waits = true;
    app.begin(lesson);
    let worker = Worker::spawn(loader(), RequestPatch::default()).unwrap();
    Session { app, worker }.until(is_open)
}

#[test]
fn what_was_solved_before_is_verified_and_can_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("progress.json");
    let lesson = parse("example.md", &example()).unwrap();
    let solved = || {
        Progress::open(Some(path.clone()))
            .unwrap()
            .solved(&lesson)
            .0
    };
    // A question: the answer that was given is asked of the run again.
    let session = comes_back(&path, 1);
    assert_eq!(standing(&session.app), Status::Open);
    session
        .press(KeyCode::Char('k'))
        .type_in("3055")
        .press(KeyCode::Enter);
    let session = comes_back(&path, 1);
    assert_eq!(standing(&session.app), Status::Good);
    for size in [(80, 24), (120, 40)] {
        let screen = text(&session.app, size);
        for words in ["right in this run: 3055", "3055, in every prompt"] {
            let below = screen.contains("pgdn ↓");
            assert!(screen.contains(words) || below, "{words}:\n{screen}");
        }
    }
    // Whoever writes another answer into the file has not solved it.
    let record = fs::read_to_string(&path).unwrap();
    fs::write(&path, record.replace("3055", "3054")).unwrap();
    assert_eq!(solved(), 1);
    let session = comes_back(&path, 1);
    assert_eq!(standing(&session.app), Status::Open);
    let screen = text(&session.app, (120, 40));
    assert!(
        screen.contains("“3054” was right before, and is not"),
        "{screen}"
    );
    assert!(!screen.contains("3055, in every prompt"), "{screen}");
    assert_eq!(solved(), 0);
    // What was right with another model is not lost, and is not right here.
    let mut progress = Progress::open(Some(path.clone())).unwrap();
    let with_another = Solved {
        answer: Some("3054".to_owned()),
        model: "0123".to_owned(),
    };
    progress.solve(&lesson, &lesson.pages[1], with_another);
    progress.save().unwrap();
    let session = comes_back(&path, 1);
    assert_eq!(standing(&session.app), Status::Open);
    assert!(text(&session.app, (120, 40)).contains("“3054” was right with another model"));
    assert_eq!(solved(), 1);
    // A task: it is said that it was done, and what is to be said of it can be read.
    let done = Solved {
        answer: None,
        model: "0123".to_owned(),
    };
    progress.solve(&lesson, &lesson.pages[2], done);
    progress.save().unwrap();
    let session = comes_back(&path, 2);
    assert_eq!(standing(&session.app), Status::Before);
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("Done in an earlier session"), "{screen}");
    assert!(screen.contains("The seed is the same"), "{screen}");
    // It is looked after as ever.
    let session = session
        .press(KeyCode::Char('p'))
        .press(KeyCode::Backspace)
        .press(KeyCode::Enter)
        .until(is_open);
    assert_eq!(standing(&session.app), Status::Before);
    assert!(text(&session.app.clone(), (120, 40)).contains("Done in an earlier session"));
}

#[test]
fn on_a_small_screen_the_page_moves_to_what_the_reader_asks_for() {
    let session = reader();
    // The prose of another depth.
    assert!(!text(&session.app, (80, 24)).contains("The text is split at spaces"));
    let session = session.press(KeyCode::Char('i'));
    assert!(text(&session.app, (80, 24)).contains("The text is split at spaces"));
    // The question, while it is answered.
    let session = session.press(KeyCode::Char('n')).until(is_open);
    let session = session.press(KeyCode::Char('k'));
    assert!(text(&session.app, (80, 24)).contains("Which number has the word"));
    // After the last hint there is the solution, and after that nothing more is promised.
    let session = session.type_in("8").press(KeyCode::Enter);
    assert!(text(&session.app, (80, 24)).contains("“8” is not it. H gives a hint."));
    let session = session
        .press(KeyCode::Char('H'))
        .press(KeyCode::Char('k'))
        .type_in("8")
        .press(KeyCode::Enter);
    assert!(text(&session.app, (80, 24)).contains("“8” is not it. S shows the solution."));
    let session = session.press(KeyCode::Char('S'));
    assert!(!text(&session.app, (80, 24)).contains("is not it"));
    // The keys at its foot are whole ones.
    let known: Vec<String> = diffuscope::tui::keys::LESSON
        .iter()
        .map(|binding| format!("{} {}", binding.keys, binding.label[0]))
        .collect();
    for size in [(80, 24), (120, 40)] {
        let screen = text(&session.app, size);
        let row = screen.lines().find(|row| row.contains("n next")).unwrap();
        let row = row.split('│').next_back().unwrap();
        let row = row.split(" pgdn").next().unwrap();
        let keys: Vec<&str> = row.split("  ").map(str::trim).collect();
        for key in keys.iter().filter(|key| !key.is_empty()) {
            assert!(known.iter().any(|known| known == key), "{key:?} in {row:?}");
        }
    }
}

#[test]
fn a_chinese_reader_reads_a_solution_in_chinese() {
    let lesson = example().replace(
        "solution = [{ prompt = \"a blue apple on the grass\" }]",
        "solution = [\n  { view = \"denoising\", step = 3 },\n  { branch = 2, prompt = \"a blue apple on the grass\" },\n]",
    );
    let mut session = reader();
    session.app.lesson.language = Language::Zh;
    session.app.begin(parse("example.md", &lesson).unwrap());
    let session = session
        .press(KeyCode::Char('n'))
        .press(KeyCode::Char('n'))
        .until(is_open)
        .press(KeyCode::Char('S'))
        .until(is_open);
    let screen = text(&session.app, (120, 40)).replace(' ', "");
    for words in ["视图去噪", "第3步", "在第2步分支：提示词abluea"] {
        assert!(screen.contains(words), "{words}:\n{screen}");
    }
}

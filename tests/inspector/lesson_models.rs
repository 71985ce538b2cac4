//! Lessons about one model while another one is open: what they say then is neither right nor wrong.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::support::{Session, is_open, loader, text};
use crossterm::event::KeyCode;
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::generation::{DeviceChoice, Pipeline, RequestPatch};
use diffuscope::lesson::check::Findings;
use diffuscope::lesson::filter::{Input, Tensors, Value};
use diffuscope::lesson::{Language, Library, Progress, Subject, check, parse};
use diffuscope::tui::Player;
use diffuscope::tui::state::App;
use diffuscope::tui::state::lesson::{Here, LessonState, Status};
use diffuscope::tui::worker::{Loader, Opened, Worker};
use serde_json::json;

/// About Little World, about full-size Stable Diffusion v1, and about every model.
const LESSON: &str = r#"+++
id = "models"
title = "Models"
minutes = 1
model = "little-world"
[request]
prompt = "a red apple"
steps = 2
+++

# Whose numbers are these?

Words.

```goto
view = "tokens"
```

```claim
says = "It is called Little World."
filter = '.model.name == "little-world"'
```

```claim
says = "A token's row has 96 numbers."
filter = '.architecture.hidden_size == 96 and .model.name == "little-world"'
here = '.architecture.hidden_size'
```

```claim
model = "sd-v1"
says = "In Stable Diffusion v1 it has 768."
filter = '.architecture.hidden_size == 768'
here = '.architecture.hidden_size'
```

```claim
model = "any"
says = "There are 77 places."
filter = '(.tokens.prompt | length) == 77'
```

```question
ask = "How many numbers has a row?"
kind = "number"
answer = '.architecture.hidden_size'
hints = ["Look."]
explanation = "So it is."
```
"#;

/// Little World's files in a folder of another name: another model, as far as anybody can tell.
fn stranger() -> Arc<Pipeline> {
    static STRANGER: OnceLock<Arc<Pipeline>> = OnceLock::new();
    let load = || {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("stranger");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons/little-world/checkpoint");
        for (path, bytes) in crate::library_tests::replay::files(&from) {
            fs::create_dir_all(copy.join(&path).parent().unwrap()).unwrap();
            fs::write(copy.join(path), bytes).unwrap();
        }
        let checkpoint = Checkpoint::open(&Source::Path(copy)).unwrap();
        Arc::new(Pipeline::load(&checkpoint, &DeviceChoice::Cpu.open().unwrap().0).unwrap())
    };
    Arc::clone(STRANGER.get_or_init(load))
}

fn strangers_loader() -> Loader {
    Box::new(|_| {
        Ok(Opened {
            pipeline: stranger(),
            note: None,
        })
    })
}

fn checked(lesson: &str, loader: Loader) -> Findings {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("01-models.md"), lesson).unwrap();
    let library = Library::open(folder.path()).unwrap();
    let mut findings = check::lessons(&library, &mut Player::start(loader).unwrap(), |_| {});
    findings.problems.extend(check::files(&library));
    findings
}

/// The lesson's page, read with the model of `loader`.
fn reader(loader: Loader, language: Language) -> Session {
    let mut app = App::new(64 << 20).with_lessons(LessonState::new(
        Library::embedded(),
        language,
        Progress::default(),
    ));
    app.waits = true;
    app.begin(parse("models.md", LESSON).unwrap());
    let worker = Worker::spawn(loader, RequestPatch::default()).unwrap();
    Session { app, worker }.until(is_open)
}

#[test]
fn the_check_leaves_out_what_is_about_another_model_and_says_how_much() {
    let ours = checked(LESSON, loader());
    assert_eq!(ours.problems, []);
    assert_eq!(ours.left_out, 1);
    assert_eq!(
        ours.subjects.iter().collect::<Vec<_>>(),
        ["Stable Diffusion v1"]
    );
    let theirs = checked(LESSON, strangers_loader());
    assert_eq!(theirs.problems, []);
    assert_eq!(theirs.left_out, 4);
    assert_eq!(
        theirs.subjects.iter().collect::<Vec<_>>(),
        ["Little World", "Stable Diffusion v1"]
    );
    // What is about every model is checked with every one.
    let broken = LESSON.replace("== 77'", "== 76'");
    for loader in [loader(), strangers_loader()] {
        let found = checked(&broken, loader).problems;
        assert_eq!(found.len(), 1);
        let (before, _) = broken.split_once("```claim\nmodel = \"any\"").unwrap();
        let place = format!("01-models.md:{}: ", 1 + before.matches('\n').count());
        let found = found[0].to_string();
        assert!(
            found.contains(&format!("{place}the claim does not hold")),
            "{found}"
        );
    }
    // What is shown instead can be shown.
    let broken = LESSON.replace(
        "here = '.architecture.hidden_size'",
        "here = '.architecture'",
    );
    let found = checked(&broken, loader()).problems;
    assert_eq!(found.len(), 2);
    assert!(found[0].to_string().contains("`here` gives an object"));
    // And what is about Little World with Little World.
    let broken = LESSON.replace("hidden_size == 96", "hidden_size == 97");
    assert_eq!(checked(&broken, loader()).problems.len(), 1);
    assert_eq!(checked(&broken, strangers_loader()).problems, []);
}

/// What the lesson's pane says, its lines put together with `between`.
fn pane(app: &App, between: &str) -> String {
    let screen = text(app, (120, 40));
    let parts = screen.lines().filter_map(|row| row.rsplit_once('│'));
    let parts: Vec<&str> = parts.map(|(_, part)| part.trim()).collect();
    parts.join(between)
}

#[test]
fn a_claim_about_another_model_is_shown_with_what_there_is_here() {
    let session = reader(strangers_loader(), Language::En);
    let reading = session.app.lesson.open.as_ref().unwrap();
    assert_eq!(
        reading.claims,
        [
            Status::Elsewhere(Here::Fails),
            Status::Elsewhere(Here::Is("96".to_owned())),
            Status::Elsewhere(Here::Is("96".to_owned())),
            Status::Good,
        ]
    );
    let screen = pane(&session.app, " ");
    for words in [
        "This lesson speaks of Little World; stranger is open.",
        "○ It is called Little World. With stranger it does not hold.",
        "○ A token's row has 96 numbers. With stranger it is 96.",
        "About Stable Diffusion v1, and checked when that is open. With stranger it is 96.",
        "✓ There are 77 places.",
        "Made for Little World; with stranger it may turn out otherwise.",
    ] {
        assert!(screen.contains(words), "{words:?}:\n{screen}");
    }
    assert!(!screen.contains('✗'), "{screen}");
    // The question is asked all the same, and answered from this model's run.
    let session = session
        .press(KeyCode::Char('k'))
        .type_in("96")
        .press(KeyCode::Enter);
    assert!(text(&session.app, (120, 40)).contains("Right: 96"));
    let session = reader(strangers_loader(), Language::Zh);
    let screen = pane(&session.app, "").replace(' ', "");
    for words in [
        "本课讲的是LittleWorld；现在打开的是stranger。",
        "用stranger时不成立。",
        "用stranger时是96。",
        "✓Thereare77places.",
    ] {
        assert!(screen.contains(words), "{words:?}:\n{screen}");
    }
}

#[test]
fn with_its_own_model_a_claim_is_verified_and_one_about_the_full_size_waits_for_it() {
    let session = reader(loader(), Language::En);
    let reading = session.app.lesson.open.as_ref().unwrap();
    assert_eq!(
        reading.claims,
        [
            Status::Good,
            Status::Good,
            Status::Elsewhere(Here::Is("96".to_owned())),
            Status::Good,
        ]
    );
    let screen = pane(&session.app, " ");
    assert!(!screen.contains("This lesson speaks of"), "{screen}");
    assert!(!screen.contains("Made for"), "{screen}");
    assert!(screen.contains("With Little World it is 96."), "{screen}");
}

/// What the document says of the structure of Stable Diffusion v1: its published configurations (the files
/// `unet/config.json`, `text_encoder/config.json` and `vae/config.json` of v1.5).
fn sd_v1() -> serde_json::Value {
    let layer = |path: String, size: usize| {
        json!({
            "path": format!("{path}.transformer_blocks.0.attn2"),
            "heads": 8,
            "height": size,
            "width": size,
        })
    };
    let at = |side: &str, block: usize, count: usize, size: usize| {
        let layers = (0..count)
            .map(move |index| layer(format!("{side}_blocks.{block}.attentions.{index}"), size));
        layers.collect::<Vec<_>>()
    };
    let layers = [
        at("down", 0, 2, 64),
        at("down", 1, 2, 32),
        at("down", 2, 2, 16),
        vec![layer("mid_block.attentions.0".to_owned(), 8)],
        at("up", 1, 3, 16),
        at("up", 2, 3, 32),
        at("up", 3, 3, 64),
    ];
    json!({
        "image_size": [512, 512],
        "latent_shape": [4, 64, 64],
        "text_layers": 12,
        "hidden_size": 768,
        "parameters": 1_066_235_307,
        "default_guidance": 7.5,
        "cross_attention": layers.concat(),
    })
}

#[test]
fn what_our_lessons_say_of_full_size_stable_diffusion_holds_for_its_structure() {
    let document = json!({ "architecture": sd_v1() });
    let input = Input::new(document.to_string().as_bytes(), Tensors::default()).unwrap();
    let mut count = 0;
    for entry in &Library::embedded().entries {
        let lesson = entry.lesson.as_ref().unwrap();
        for claim in lesson.pages.iter().flat_map(|page| &page.claims) {
            let code = claim.filter.code();
            // The others are about a run, and are checked with a checkpoint only.
            if claim.subject == Subject::StableDiffusionV1 && code.contains(".architecture") {
                let found = claim.filter.run(&input);
                assert_eq!(found, Ok(Value::Bool(true)), "{}: {code}", entry.file);
                count += 1;
            }
        }
    }
    assert!(count >= 2 * 6, "{count} claims only");
}

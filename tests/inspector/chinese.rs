//! The inspector in Chinese says nothing in English: every view, dialogue and message is walked through, and every
//! word in Latin letters must be a term, a name or a key, or come from what was asked for.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crossterm::event::KeyCode;
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::export::Replay;
use diffuscope::lesson::{Language, Library, Progress};
use diffuscope::tui::errors;
use diffuscope::tui::state::action::{Action, Typing};
use diffuscope::tui::state::lesson::LessonState;
use diffuscope::tui::state::run::RunState;
use diffuscope::tui::state::{App, Grid, Mode, Model, Notice, View};
use diffuscope::tui::worker::{Failure, Loader, NotLoaded, Work, Worker};
use ratatui::buffer::Buffer;
use unicode_width::UnicodeWidthStr;

use super::support::{Session, draw, has_picture, loader, text};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

const PROMPT: &str = "a red apple on the grass";

/// What engineers write in Latin letters in Chinese, too.
const TERMS: &str = "
    sigma sigmas beta betas alphas cumprod scaling factor softmax transformer rms std SNR NaN bit norm
    UNet CLIP VAE text uncond guided Stable Diffusion
    lms euler ancestral ddim pndm dpm karras cpu cuda candle
    down mid up
    JSON PNG GIF json png gif MiB GB ms min
    tab enter esc space home end pgdn pgup shift ctrl backspace delete random
    Diffuscope diffuscope Little World little world English DIR TEXT
    latents latent next noise preview step attention cosines timesteps initial embedding token position prompt
    blocks block attentions picture diffusers safetensors model fetch owner name images colours
    sd startoftext endoftext option fn fg shell Apple abc
    encoder layers difference
    SiLU GELU GEGLU sigmoid value gate off conv res attn proj time emb resnets resnet upsamplers downsamplers decoder
    mlp fc self sum shortcut net heads input silu layer activation
    WebUI clip skip Ho Salimans Lin
    components share
    mlp fc self sum shortcut net input silu layer activation Transformer in out components
";

/// Words of what is asked for, parts of them, and words of the vocabulary are not the interface's.
fn is_from_outside(word: &str, app: &App) -> bool {
    let of_request = |word: &str| {
        let requests = app.runs.all().map(|run| &run.trace.request);
        let texts = requests.flat_map(|request| {
            let scheduler = request.scheduler.to_string();
            [
                request.prompt.clone(),
                request.negative_prompt.clone(),
                scheduler,
            ]
        });
        // A narrow column cuts them, and the model's name.
        let mut texts = texts.chain(["little-world".to_owned()]);
        texts.any(|text| text.to_lowercase().contains(&word.to_lowercase()))
    };
    let of_vocabulary = |word: &str| {
        let vocabularies = app.runs.all().filter_map(|run| run.vocabulary.as_deref());
        let mut pieces = vocabularies.flat_map(|all| all.nearest.of.values().flatten());
        pieces.any(|near| near.piece.contains(&word.to_lowercase()))
    };
    of_request(word) || of_vocabulary(word)
}

/// The rows of the screen, without the cells that wide characters take besides their own.
fn rows(buffer: &Buffer) -> Vec<String> {
    let rows = buffer.area.rows().map(|row| {
        let (mut said, mut next) = (String::new(), row.x);
        for place in row.positions().filter(|place| place.x >= row.x) {
            if place.x < next {
                continue;
            }
            let symbol = buffer[place].symbol();
            said.push_str(symbol);
            next = place.x + symbol.width().max(1) as u16;
        }
        said
    });
    rows.collect()
}

/// The words in Latin letters in `row` that are none of the terms: two letters or more, without digits.
fn english(row: &str, app: &App) -> Vec<String> {
    static KNOWN: LazyLock<BTreeSet<&str>> = LazyLock::new(|| TERMS.split_whitespace().collect());
    // A narrow column cuts the last one.
    let is_term = |word: &str| {
        let mut from_it_on = KNOWN.range(word..);
        let next = from_it_on.next().copied().unwrap_or_default();
        next == word || word.len() > 2 && next.starts_with(word)
    };
    let words = row.split(|c: char| !c.is_ascii_alphanumeric());
    let is_word = |word: &&str| {
        let letters = word.chars().filter(char::is_ascii_alphabetic).count();
        // Bytes are written in hexadecimal.
        let is_byte = word.len() == 2 && word.chars().all(|c| c.is_ascii_hexdigit());
        letters > 1 && letters == word.len() && !is_byte
    };
    let words = words.filter(is_word);
    let unknown = words.filter(|word| !is_term(word) && !is_from_outside(word, app));
    unknown.map(str::to_owned).collect()
}

/// What is English on the screens of `app`, at every size: the words, and the row that they stand in.
fn english_on(app: &App, what: &str) -> Vec<String> {
    let mut all = Vec::new();
    for size in SIZES {
        for row in rows(&draw(app, size)) {
            let found = english(&row, app);
            if !found.is_empty() {
                all.push(format!("{what} at {size:?} says {found:?}: {}", row.trim()));
            }
        }
    }
    all
}

/// Nothing on the screens of `app`, which is shown at every size, is English.
fn is_chinese(app: &App, what: &str) {
    let found = english_on(app, what);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Before anything is there.
fn new() -> App {
    let lesson = LessonState::new(Library::default(), Language::Zh, Progress::default());
    App::new(64 << 20).with_lessons(lesson)
}

fn begin(loader: Loader, prompt: &str, steps: usize) -> Session {
    let mut session = Session::start(loader, prompt, steps);
    session.app.lesson.language = Language::Zh;
    session
}

fn finished(steps: usize) -> Session {
    begin(loader(), PROMPT, steps).until(has_picture)
}

fn key(session: Session, keys: &str) -> Session {
    session.type_in(keys)
}

/// In every view.
fn everywhere(app: &App, what: &str) {
    for view in View::ALL {
        let mut app = app.clone();
        app.cursor.view = view;
        is_chinese(&app, &format!("{what}, {view:?}"));
    }
}

#[test]
fn a_word_that_is_no_term_is_found() {
    let app = App::new(64 << 20);
    assert_eq!(
        english(" ✓ tokens 词元 of x_t σ 2984 fe", &app),
        ["tokens", "of"]
    );
    assert!(
        english(
            "第 3 步 · sigma 2.4960 → 2.1 · UNet · dpm++-2m-karras",
            &app
        )
        .is_empty()
    );
}

#[test]
fn every_view_is_in_chinese() {
    let session = finished(3);
    everywhere(&session.app, "a finished run");
    let mut session = session;
    // What the views show besides: each key of a view, several times.
    for (view, keys) in [
        ('2', "v]]]]]]]]"),
        ('3', "vv["),
        ('4', "hhvv"),
        ('1', "vzzzvv"),
        ('7', "vvv"),
        ('9', "vvv"),
        ('5', "v"),
        ('6', "vvaooooooo"),
        ('8', "vvvhu"),
        ('8', "u"),
    ] {
        session = key(session, &view.to_string());
        for one in keys.chars() {
            session = key(session, &one.to_string()).until(|app| !app.is_busy());
            is_chinese(&session.app, &format!("{view} after {one}"));
        }
    }
    session = key(session, "x");
    is_chinese(&session.app, "a place of the picture");
    session = session.press(KeyCode::Esc);
    session = key(session, "7d").until(|app| !app.is_busy());
    for _ in 0..4 {
        is_chinese(&session.app, "decoded");
        session = session.press(KeyCode::Down);
    }
    session = session.press(KeyCode::Left).until(|app| !app.is_busy());
    everywhere(&session.app, "an earlier step, decoded");
    session = key(session, "d");
    everywhere(&session.app, "an earlier step");
    for down in 0..View::ALL.len() {
        session = key(session, "4").press(KeyCode::Up);
        is_chinese(&session.app, &format!("the text encoder, {down} up"));
    }
}

#[test]
fn what_a_prompt_brings_up_is_in_chinese() {
    let long = "apple ".repeat(80);
    for prompt in ["", "xylophone 苹果 dreambeach", long.as_str()] {
        let session = begin(loader(), prompt, 1).until(has_picture);
        everywhere(&session.app, prompt);
        let unguided = |app: &mut App| {
            let run = app.runs.current.as_mut().unwrap();
            run.trace.request.guidance_scale = 1.0;
        };
        let mut app = session.app.clone();
        unguided(&mut app);
        everywhere(&app, "without guidance");
    }
}

#[test]
fn runs_beside_each_other_are_compared_in_chinese() {
    let session = key(finished(3), "b")
        .type_in(" at night")
        .press(KeyCode::Enter);
    let session = session.until(has_picture);
    everywhere(&session.app, "a branch beside its run");
    let session = key(session, "8w").type_in("0.5").press(KeyCode::Enter);
    let session = session.until(has_picture);
    everywhere(&session.app, "a word's weight");
    let session = key(session, "p").type_in("s").press(KeyCode::Enter);
    let session = key(session.until(has_picture), "y");
    everywhere(&session.app, "two runs");
    for (action, what) in [(Action::Runs, "the runs"), (Action::Quit, "quitting")] {
        let mut app = session.app.clone();
        app.update(action);
        is_chinese(&app, what);
    }
}

#[test]
fn a_closer_look_at_attention_is_in_chinese() {
    let mut session = key(finished(2), "8");
    let mut found = Vec::new();
    for _ in 0..7 {
        session = key(session, "v");
        found.extend(english_on(&session.app, "what is being computed"));
        session = session.until(|app| !app.is_busy());
        for keys in ["", "z", "h", "u", "u", "x"] {
            session = if keys == "z" && session.app.cursor.attention.grid != Grid::Matrix {
                session
            } else {
                key(session, keys)
            };
            session = session.until(|app| !app.is_busy());
            let what = format!("{:?} after {keys}", session.app.cursor.attention.grid);
            found.extend(english_on(&session.app, &what));
        }
        let mut app = session.app.clone();
        app.update(Action::Dismiss);
        app.update(Action::Export);
        found.extend(english_on(&app, "what can be written of it"));
        session = session.press(KeyCode::Esc);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn dialogues_are_in_chinese() {
    let mut session = finished(2);
    let mut found = Vec::new();
    session = key(session, "?");
    for _ in 0..12 {
        found.extend(english_on(&session.app, "the help"));
        session = session.press(KeyCode::PageDown);
    }
    session = key(session, "/").type_in("零零零");
    found.extend(english_on(&session.app, "a search of the help"));
    session = session.press(KeyCode::Esc);
    while session.app.mode != Mode::Browse {
        session = session.press(KeyCode::Esc);
    }
    for view in View::ALL {
        let mut session = session.app.clone();
        session.cursor.view = view;
        session.update(Action::Export);
        found.extend(english_on(&session, &format!("what {view:?} can write")));
        if session.export.items.is_empty() {
            continue;
        }
        session.update(Action::Choose);
        session.export.folder = "a".into();
        found.extend(english_on(&session, "where it is written"));
    }
    for (keys, typed) in [("g", "99"), ("8w", "-1"), ("8w", "apple")] {
        session = key(session, keys).type_in(typed).press(KeyCode::Enter);
        found.extend(english_on(&session.app, "what is wrong with a line"));
        session = session.press(KeyCode::Esc);
    }
    for down in 0..7 {
        session = key(session, "p");
        session = (0..down).fold(session, |session, _| session.press(KeyCode::Tab));
        found.extend(english_on(&session.app, "the form"));
        if ![0, 1, 5, 6].contains(&down) {
            session = session.type_in("z").press(KeyCode::Enter);
            found.extend(english_on(&session.app, "what is wrong with the form"));
        }
        session = session.press(KeyCode::Esc);
    }
    session = key(finished(2), "b");
    found.extend(english_on(&session.app, "the form of a branch"));
    session = session.press(KeyCode::Esc);
    session = key(session, "m");
    is_chinese(&session.app, "the mouse");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Why there is no such model, as the program says it.
fn not_loaded(model: &str) -> anyhow::Error {
    let error = Checkpoint::open(&Source::parse(model)).unwrap_err();
    let english = error.to_string();
    let chinese = errors::chinese_of(&error.into());
    assert_ne!(english, chinese);
    NotLoaded([english, chinese]).into()
}

#[test]
fn a_model_that_is_not_there_is_said_in_chinese() {
    let missing: Loader = Box::new(|_| Err(not_loaded("/q/z")));
    let session = begin(missing, PROMPT, 1).until(|app| matches!(app.model, Model::Failed(_)));
    everywhere(&session.app, "no model");
    let only_embedded: Loader = Box::new(|name| match name {
        Some(name) => Err(not_loaded(name)),
        None => loader()(None),
    });
    let session = begin(only_embedded, PROMPT, 1).until(has_picture);
    let session = key(session, "p").press(KeyCode::BackTab);
    let session = session.act(Action::Type(Typing::DeleteToStart));
    let session = session.type_in("/q/z").press(KeyCode::Enter);
    is_chinese(&session.app, "a model is opened");
    let session = session.until(|app| matches!(app.mode, Mode::Edit(_)));
    is_chinese(&session.app, "a model that is not there");
}

#[test]
fn the_status_is_in_chinese_whatever_goes_on() {
    let app = new();
    everywhere(&app, "loading");
    let mut app = finished(2).app;
    for state in [
        RunState::Running,
        RunState::Pausing,
        RunState::Paused,
        RunState::Cancelling,
        RunState::Cancelled,
        RunState::Failed,
        RunState::Done,
    ] {
        app.runs.current.as_mut().unwrap().state = state;
        for work in [
            None,
            Some(Work::Tokens),
            Some(Work::Text),
            Some(Work::Noise),
            Some(Work::Step(1)),
            Some(Work::Image),
            Some(Work::Attention(0)),
            Some(Work::Decode(0)),
        ] {
            app.work = work.map(|work| (work, app.clock));
            for follow in [true, false] {
                app.cursor.follow = follow;
                is_chinese(&app, &format!("{work:?}"));
            }
        }
    }
    // A run of which nothing is there yet.
    let mut run = app.runs.current.take().unwrap();
    run.trace.steps.clear();
    run.trace.image = None;
    run.trace.noise = None;
    run.trace.text = None;
    run.trace.tokens = None;
    for state in [
        RunState::Running,
        RunState::Paused,
        RunState::Failed,
        RunState::Done,
    ] {
        run.state = state;
        app.runs.current = Some(run.clone());
        everywhere(&app, "nothing is there");
    }
}

/// Inside of the networks, at every module and every line.
#[test]
fn the_inside_of_networks_is_in_chinese() {
    for (stage, ways) in [("7", 24), ("9", 16), ("4", 0)] {
        let mut session = key(finished(2), stage).press(KeyCode::Enter);
        for _ in 0..=ways {
            session = session.until(|app| !app.is_busy());
            is_chinese(&session.app, &format!("a module of stage {stage}"));
            let mut within = session.app.clone();
            within.update(Action::Into);
            is_chinese(&within, "what is being computed");
            if ways > 0 {
                session = session.press(KeyCode::Down);
            }
        }
    }
    for modules in 1..3 {
        let mut session = key(finished(2), "7").press(KeyCode::Enter);
        for _ in 0..modules {
            session = session.press(KeyCode::Down);
        }
        session = session.press(KeyCode::Enter).until(|app| !app.is_busy());
        for _ in 0..18 {
            is_chinese(&session.app, "a line");
            session = session.press(KeyCode::Down);
        }
        session = key(session, "vv++").until(|app| !app.is_busy());
        is_chinese(&session.app, "a channel");
        session = key(session, "ui");
        is_chinese(&session.app, "explained");
    }
    let mut session = key(finished(2), "7").press(KeyCode::Enter);
    session = key(session, "e");
    is_chinese(&session.app, "what can be written");
    session = key(session.press(KeyCode::Esc), "P");
    session = key(session, "x").press(KeyCode::Enter);
    is_chinese(&session.app, "no change");
    session = session.press(KeyCode::Backspace);
    let session = key(session, "off").press(KeyCode::Enter);
    let session = session.until(has_picture).until(|app| !app.is_busy());
    everywhere(&session.app, "beside the run as it was");
    let session = key(session, "p");
    is_chinese(&session.app, "the form");
}

#[test]
fn a_recording_is_looked_at_in_chinese() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = key(finished(2), "e");
    session.app.export.folder = folder.path().to_owned();
    let last = session.app.export.items.len() - 1;
    let session = (0..last).fold(session, |session, _| session.press(KeyCode::Down));
    let session = session.press(KeyCode::Enter).press(KeyCode::Enter);
    let session = session.until(|app| matches!(app.notice, Some(Notice::Done(..))));
    assert!(
        text(&session.app, (200, 24))
            .replace(' ', "")
            .contains("已保存")
    );
    drop(session);
    let replay = || Replay::open(&folder.path().join("diffuscope-42")).unwrap();
    let app = new();
    let worker = Worker::replay(replay()).unwrap();
    let session = Session { app, worker }.until(has_picture);
    everywhere(&session.app, "a recording");
    for (view, action) in [
        (View::Tokens, Action::NextToken),
        (View::Schedule, Action::NextSchedule),
        (View::Attention, Action::OtherHalf),
        (View::Attention, Action::NextHead),
        (View::Denoising, Action::Decode),
        (View::Denoising, Action::Into),
    ] {
        let mut session = Session {
            app: session.app.clone(),
            worker: Worker::replay(replay()).unwrap(),
        };
        session.app.cursor.view = view;
        let session = session.act(action.clone());
        let what = format!("{action:?} in {view:?}");
        is_chinese(&session.app, &what);
        let session = session.until(|app| !app.is_busy());
        is_chinese(&session.app, &what);
    }
}

#[test]
fn lessons_and_explanations_have_no_english_around_them() {
    let session = finished(1);
    let mut app = session.app;
    app.lesson = LessonState::new(Library::embedded(), Language::Zh, Progress::default());
    app.update(Action::Lessons);
    is_chinese(&app, "the lessons");
}

#[test]
fn a_failure_says_both_in_the_readers_language() {
    let mut app = finished(1).app;
    let failure = Failure::new(["it failed", "失败了"], ["do this", "请这样做"]);
    app.notice = Some(Notice::Failed(failure));
    is_chinese(&app, "a failure");
    app.lesson.language = Language::En;
    let english = text(&app, (80, 24));
    assert!(english.contains("it failed") && english.contains("do this"));
}

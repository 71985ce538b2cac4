//! What a newcomer does first: looks for help, asks for lessons, mistypes, throws runs away, and quits.

use std::sync::Arc;

use super::support::{PROMPT, Session, draw, find, has_picture, is_open, lines, loader, text};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use diffuscope::checkpoint::{Checkpoint, Source};
use diffuscope::export::Replay;
use diffuscope::generation::{DeviceChoice, Pipeline, RequestPatch};
use diffuscope::lesson::{Language, Library, Progress};
use diffuscope::tui::keys;
use diffuscope::tui::state::action::{Action, Typing};
use diffuscope::tui::state::editor::Field;
use diffuscope::tui::state::lesson::LessonState;
use diffuscope::tui::state::{App, Mode, Notice, View};
use diffuscope::tui::ui::screen;
use diffuscope::tui::worker::{Loader, Opened, Worker};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

fn finished(steps: usize) -> Session {
    Session::start(loader(), PROMPT, steps).until(has_picture)
}

/// The same model, opened as a folder of somebody's.
fn from_a_folder() -> Loader {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/lessons/little-world/checkpoint"
    );
    let checkpoint = Checkpoint::open(&Source::Path(folder.into())).unwrap();
    let device = DeviceChoice::Cpu.open().unwrap().0;
    let pipeline = Arc::new(Pipeline::load(&checkpoint, &device).unwrap());
    Box::new(move |_| {
        Ok(Opened {
            pipeline: Arc::clone(&pipeline),
            note: None,
        })
    })
}

fn control(session: Session, code: char) -> Session {
    let event = KeyEvent::new(KeyCode::Char(code), KeyModifiers::CONTROL);
    let action = keys::action(&session.app, event).unwrap();
    session.act(action)
}

/// What stands on the screen, with single spaces.
fn said(app: &App, size: (u16, u16)) -> String {
    let screen = text(app, size);
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn in_chinese(mut app: App) -> App {
    app.lesson.language = Language::Zh;
    app
}

/// Without the cells that wide characters take besides their own.
fn tight(app: &App, size: (u16, u16)) -> String {
    text(app, size).replace(' ', "")
}

// The foot line.

#[test]
fn the_lessons_are_in_the_foot_line_at_every_width() {
    let loading = App::new(64 << 20);
    let app = finished(1).app;
    for width in 80..=200 {
        for app in [&loading, &app] {
            let last = |app: &App| lines(&draw(app, (width, 24))).pop().unwrap();
            let english = last(app);
            assert!(english.contains("l lesson"), "{width}: {english}");
            let chinese = last(&in_chinese(app.clone())).replace(' ', "");
            assert!(chinese.contains("l课程"), "{width}: {chinese}");
            assert!(chinese.contains("q退出"), "{width}: {chinese}");
        }
    }
    for view in View::ALL {
        let mut app = app.clone();
        app.cursor.view = view;
        assert!(text(&app, (80, 24)).contains("l lesson"), "{view:?}");
    }
}

#[test]
fn every_key_says_in_both_languages_what_it_does() {
    let tables = [
        keys::BROWSE,
        keys::NETWORK,
        keys::LESSON,
        keys::ALWAYS,
        keys::MOUSE,
    ];
    for binding in tables.into_iter().flatten() {
        for [english, chinese] in [binding.label, binding.sentence, binding.group.name()] {
            assert!(english.is_ascii() || english.contains('↑'), "{english}");
            let is_chinese = |c: char| ('\u{4e00}'..'\u{a000}').contains(&c);
            assert!(chinese.chars().any(is_chinese), "{chinese}");
        }
    }
}

// Quitting.

#[test]
fn the_embedded_models_first_run_is_left_without_a_question() {
    let session = finished(2)
        .press(KeyCode::Char('8'))
        .press(KeyCode::Char('q'));
    assert!(session.app.quit);
    let session = control(finished(1), 'c');
    assert!(session.app.quit);
}

#[test]
fn quitting_asks_once_where_a_run_would_be_lost() {
    let session = finished(2).press(KeyCode::Char('b')).type_in(" at night");
    let session = session.press(KeyCode::Enter).until(has_picture);
    let session = session.press(KeyCode::Char('q'));
    assert!(!session.app.quit);
    for size in SIZES {
        let screen = said(&session.app, size);
        assert!(screen.contains("One run is in no file"), "{screen}");
        let whole = screen.replace('│', " ");
        let whole = whole.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            whole.contains("from step 2: a photograph of an astronaut riding a horse at night ✓"),
            "{screen}"
        );
        assert!(
            screen.contains("q quit") && screen.contains("esc stay"),
            "{screen}"
        );
    }
    let chinese = tight(&in_chinese(session.app.clone()), (80, 24));
    assert!(chinese.contains("有1个运行没有保存"), "{chinese}");
    // To stay is to be where one was; asked again, it asks again, and the same key quits.
    let session = session.press(KeyCode::Esc);
    assert_eq!(session.app.mode, Mode::Browse);
    let session = session.press(KeyCode::Char('q')).press(KeyCode::Char('q'));
    assert!(session.app.quit);
}

#[test]
fn ctrl_c_twice_quits_wherever_one_is() {
    let other = || {
        finished(1)
            .press(KeyCode::Char('r'))
            .until(has_picture)
            .press(KeyCode::Char('8'))
    };
    let opened: [fn(Session) -> Session; 6] = [
        |session| session,
        |session| session.press(KeyCode::Char('p')).type_in("q"),
        |session| session.press(KeyCode::Char('w')).type_in("q"),
        |session| session.press(KeyCode::Char('e')).press(KeyCode::Enter),
        |session| session.press(KeyCode::Char('?')).press(KeyCode::Char('/')),
        |session| session.press(KeyCode::Char('t')),
    ];
    for open in opened {
        let session = control(open(other()), 'c');
        assert!(!session.app.quit, "{:?}", session.app.mode);
        assert!(said(&session.app, (80, 24)).contains("would be lost"));
        assert!(control(session, 'c').app.quit);
    }
    // What was typed is still there for one who stays.
    let session = control(other().press(KeyCode::Char('p')).type_in("q"), 'c').press(KeyCode::Esc);
    assert!(text(&session.app, (80, 24)).contains("riding a horseq"));
}

#[test]
fn a_run_that_goes_on_would_be_lost_too_and_a_failed_one_would_not() {
    let session = finished(2).press(KeyCode::Char('r'));
    assert!(!session.press(KeyCode::Char('q')).app.quit);
    let mut session = finished(2).press(KeyCode::Char('r')).until(has_picture);
    let run = session.app.runs.current.as_mut().unwrap();
    run.state = diffuscope::tui::state::run::RunState::Failed;
    assert!(session.press(KeyCode::Char('q')).app.quit);
}

#[test]
fn a_run_of_another_model_is_worth_the_question() {
    let session = Session::start(from_a_folder(), PROMPT, 1).until(has_picture);
    let session = session.press(KeyCode::Char('q'));
    assert!(!session.app.quit);
    assert!(said(&session.app, (80, 24)).contains("One run is in no file"));
}

#[test]
fn what_is_in_a_file_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = finished(1).press(KeyCode::Char('r')).until(has_picture);
    // A picture that could not be written keeps nothing.
    session.app.export.folder = folder.path().join("gone");
    let session = session.press(KeyCode::Char('s'));
    let session = session.until(|app| matches!(app.notice, Some(Notice::Failed(_))));
    let mut session = session.press(KeyCode::Char('q')).press(KeyCode::Esc);
    assert!(!session.app.quit);
    folder.path().clone_into(&mut session.app.export.folder);
    let session = session.press(KeyCode::Esc).press(KeyCode::Char('s'));
    let session = session.until(|app| matches!(app.notice, Some(Notice::Done(..))));
    assert!(session.press(KeyCode::Char('q')).app.quit);
}

#[test]
fn what_a_lesson_ran_is_run_again_by_it_and_not_asked_about() {
    let mut app = App::new(64 << 20).with_lessons(LessonState::new(
        Library::embedded(),
        Language::En,
        Progress::default(),
    ));
    let lesson = app.lesson.lessons().swap_remove(8);
    app.waits = true;
    app.begin(lesson);
    let worker = Worker::spawn(loader(), RequestPatch::default()).unwrap();
    let session = Session { app, worker }.until(is_open);
    let mut session = session;
    while session.app.runs.all().count() < 3 {
        session = session.press(KeyCode::Char('n')).until(is_open);
    }
    assert!(session.press(KeyCode::Char('q')).app.quit);
}

// The help.

#[test]
fn the_help_shows_first_what_works_here_by_what_one_wants() {
    let session = finished(2)
        .press(KeyCode::Char('8'))
        .press(KeyCode::Char('?'));
    let screen = text(&session.app, (120, 120));
    let at = |words: &str| {
        screen
            .find(words)
            .unwrap_or_else(|| panic!("{words}\n{screen}"))
    };
    let order = [
        "Keys · Attention",
        "Go through the run",
        "one denoising step back",
        "Look closer",
        "another attention head",
        "Change something, and run",
        "what if the picture attended",
        "Compare and keep",
        "Learn",
        "the lessons: choose one",
        "Mouse",
        "hold shift while dragging",
        "The program",
        "In other views",
        "Schedule: lay another scheduler's schedule",
        "At other moments",
    ];
    for pair in order.windows(2) {
        assert!(at(pair[0]) < at(pair[1]), "{pair:?}\n{screen}");
    }
    // In another view other keys come first.
    let session = session.press(KeyCode::Esc).press(KeyCode::Char('6'));
    let screen = text(&session.press(KeyCode::Char('?')).app, (120, 160));
    let (here, elsewhere) = screen.split_once("In other views").unwrap();
    assert!(here.contains("lay another scheduler's schedule"), "{here}");
    assert!(
        elsewhere.contains("Attention: what if the picture attended"),
        "{elsewhere}"
    );
    // What works at another moment is found, too.
    let session = finished(1).press(KeyCode::Char('?'));
    let session = session.press(KeyCode::Char('/')).type_in("stop a run");
    let screen = text(&session.app, (120, 90));
    assert!(
        screen.contains("stop a run that goes on at once"),
        "{screen}"
    );
    let chinese = in_chinese(finished(1).press(KeyCode::Char('?')).app);
    let screen = tight(&chinese, (120, 70));
    for words in [
        "按键·去噪",
        "走过一次运行",
        "后退或前进一个去噪步",
        "按住shift再拖动",
    ] {
        assert!(screen.contains(words), "{words}\n{screen}");
    }
}

#[test]
fn the_help_names_every_key_once() {
    for view in View::ALL {
        let mut session = finished(1);
        session.app.cursor.view = view;
        let session = session.press(KeyCode::Char('?'));
        let mut app = session.app;
        let mut screen = String::new();
        // Page by page, as it is read where there is little room.
        let size = (120, 24);
        loop {
            let page = text(&app, size);
            screen.push_str(&page);
            app.update(Action::ScrollDown);
            screen::settle_scroll(&mut app, size);
            if text(&app, size) == page {
                break;
            }
        }
        let tables = [keys::BROWSE, keys::NETWORK, keys::LESSON, keys::ALWAYS];
        for binding in tables.into_iter().flatten() {
            let start: String = binding.sentence[0].chars().take(24).collect();
            assert!(
                screen.contains(&start),
                "{view:?} lacks {start:?}:\n{screen}"
            );
        }
    }
}

#[test]
fn a_recordings_help_has_no_key_that_never_does_anything() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = finished(2).press(KeyCode::Char('e'));
    session.app.export.folder = folder.path().to_owned();
    let last = session.app.export.items.len() - 1;
    let session = (0..last).fold(session, |session, _| session.press(KeyCode::Down));
    let session = session.press(KeyCode::Enter).press(KeyCode::Enter);
    let session = session.until(|app| matches!(app.notice, Some(Notice::Done(..))));
    drop(session);
    let replay = Replay::open(&folder.path().join("diffuscope-42")).unwrap();
    let app = App::new(64 << 20);
    let worker = Worker::replay(replay).unwrap();
    let session = Session { app, worker }.until(has_picture);
    assert!(!text(&session.app, (80, 24)).contains("l lesson"));
    let session = session.press(KeyCode::Char('?'));
    let screen = text(&session.app, (120, 160));
    assert!(screen.contains("another attention head"), "{screen}");
    for dead in [
        "edit prompt",
        "what if",
        "the lessons",
        "run the same request",
        "stop a run",
        "At other moments",
    ] {
        assert!(!screen.contains(dead), "{dead}\n{screen}");
    }
    let session = session.press(KeyCode::Esc).press(KeyCode::Char('q'));
    assert!(session.app.quit, "what was recorded is in its files");
}

#[test]
fn the_help_is_searched() {
    let session = finished(2)
        .press(KeyCode::Char('?'))
        .press(KeyCode::Char('/'));
    let session = session.type_in("seed");
    let screen = text(&session.app, (80, 24));
    assert!(screen.contains("/seed▏"), "{screen}");
    assert!(
        screen.contains("edit prompt, negative prompt, seed"),
        "{screen}"
    );
    assert!(screen.contains("what if: go on from before"), "{screen}");
    assert!(!screen.contains("one denoising step back"), "{screen}");
    // A single letter is a key; a group's name finds what is in it.
    let single = session
        .press(KeyCode::Esc)
        .press(KeyCode::Char('/'))
        .type_in("y");
    let screen = text(&single.app, (80, 24));
    assert!(screen.contains("another run beside this one"), "{screen}");
    assert!(!screen.contains("play it back"), "{screen}");
    let session = single
        .press(KeyCode::Esc)
        .press(KeyCode::Char('/'))
        .type_in("mouse");
    let session = session.press(KeyCode::Enter);
    let screen = said(&session.app, (80, 24));
    assert!(screen.contains("hold shift while dragging"), "{screen}");
    // Esc shows everything again, and then closes.
    let session = session.press(KeyCode::Esc);
    assert!(text(&session.app, (80, 24)).contains("one denoising step back"));
    assert_eq!(session.press(KeyCode::Esc).app.mode, Mode::Browse);
    let none = finished(1)
        .press(KeyCode::Char('?'))
        .press(KeyCode::Char('/'))
        .type_in("zebra");
    assert!(text(&none.app, (80, 24)).contains("no key has to do with that"));
}

#[test]
fn the_help_goes_by_pages_and_never_past_its_end() {
    let first = |session: &Session| lines(&draw(&session.app, (80, 24)))[4..20].to_vec();
    let session = finished(2).press(KeyCode::Char('?'));
    let top = first(&session);
    let session = session.press(KeyCode::PageDown);
    let second = first(&session);
    assert_ne!(second, top);
    let session = session.press(KeyCode::PageUp);
    assert_eq!(first(&session), top);
    let session = session.press(KeyCode::Char(' '));
    assert_eq!(first(&session), second);
    let session = session.press(KeyCode::End);
    let end = first(&session);
    // Pressing on at the end does nothing that would have to be taken back.
    let session = (0..50).fold(session, |session, _| session.press(KeyCode::Down));
    assert_eq!(first(&session), end);
    assert_ne!(first(&session.press(KeyCode::Up)), end);
    let session = finished(2)
        .press(KeyCode::Char('?'))
        .press(KeyCode::End)
        .press(KeyCode::Home);
    assert_eq!(first(&session), top);
}

#[test]
fn the_help_over_a_list_has_the_lists_keys_first_and_gives_it_back() {
    let session = finished(1).press(KeyCode::Char('r')).until(has_picture);
    let session = session.press(KeyCode::Char('t')).press(KeyCode::Char('?'));
    let screen = text(&session.app, (120, 60));
    let deletes = screen.find("delete it, and free its memory").unwrap();
    assert!(
        deletes < screen.find("one denoising step").unwrap(),
        "{screen}"
    );
    let session = session.press(KeyCode::Char('?'));
    assert!(matches!(session.app.mode, Mode::Runs(_)));
}

// Runs that are thrown away.

#[test]
fn a_run_is_deleted_after_a_question_and_its_branch_stays() {
    let session = finished(3).press(KeyCode::Left).press(KeyCode::Char('b'));
    let session = session
        .type_in(" at night")
        .press(KeyCode::Enter)
        .until(has_picture);
    let session = session.press(KeyCode::Char('r')).until(has_picture);
    let ids = |session: &Session| -> Vec<u64> {
        let rows = session.app.runs.tree();
        rows.iter().map(|row| row.run.id).collect()
    };
    assert_eq!(ids(&session), [1, 2, 3]);
    // The first run is made again in no time: it goes at once. What left it goes on alone.
    let session = session.press(KeyCode::Char('t'));
    let session = session
        .press(KeyCode::Up)
        .press(KeyCode::Up)
        .press(KeyCode::Char('d'));
    assert_eq!(ids(&session), [2, 3]);
    let screen = text(&session.app, (120, 40));
    assert!(
        screen.contains("from step 2 of run 1 (deleted)"),
        "{screen}"
    );
    assert!(screen.contains("run 1 was deleted"), "{screen}");
    // The branch would be lost, and so it is asked about.
    let session = session.press(KeyCode::Up).press(KeyCode::Char('d'));
    assert_eq!(ids(&session), [2, 3]);
    let screen = text(&session.app, (80, 24));
    assert!(
        screen.contains("run 2 is in no file: d deletes it"),
        "{screen}"
    );
    let session = session.press(KeyCode::Esc);
    assert!(!text(&session.app, (80, 24)).contains("is in no file"));
    // It is whole: it can be gone back in, branched and computed with.
    let session = session.press(KeyCode::Enter);
    assert_eq!(session.app.run().unwrap().id, 2);
    let session = session
        .press(KeyCode::Char('b'))
        .press(KeyCode::Enter)
        .until(has_picture);
    let run = session.app.run().unwrap();
    assert_eq!((run.id, run.origin.unwrap().run), (4, 2));
}

#[test]
fn the_run_on_the_screen_can_be_deleted_and_the_last_one_cannot() {
    let session = finished(2).press(KeyCode::Char('r')).until(has_picture);
    let session = session.press(KeyCode::Char('t')).press(KeyCode::Char('d'));
    let session = session.press(KeyCode::Char('d'));
    assert_eq!(session.app.run().unwrap().id, 1);
    assert!(session.app.runs.others.is_empty());
    let session = session.press(KeyCode::Char('d')).press(KeyCode::Char('d'));
    assert_eq!(session.app.run().unwrap().id, 1);
    assert!(said(&session.app, (120, 40)).contains("the only run stays"));
    let session = session.press(KeyCode::Esc).press(KeyCode::Char('q'));
    assert!(session.app.quit, "nothing is left that could be lost");
}

#[test]
fn a_deleted_runs_memory_is_free() {
    let session = finished(2).press(KeyCode::Char('r')).until(has_picture);
    let run = session.app.run().unwrap();
    let step = Arc::downgrade(&run.trace.steps[0]);
    let image = Arc::downgrade(run.trace.image.as_ref().unwrap());
    let session = session.press(KeyCode::Char('t')).press(KeyCode::Char('d'));
    let session = session.press(KeyCode::Char('d'));
    // The worker forgets its part when it comes to it.
    let session = session
        .press(KeyCode::Esc)
        .press(KeyCode::Char('r'))
        .until(has_picture);
    assert!(step.upgrade().is_none() && image.upgrade().is_none());
    drop(session);
}

#[test]
fn a_run_that_goes_on_is_stopped_and_deleted() {
    let session = finished(2).press(KeyCode::Char('p'));
    let session = (0..3).fold(session, |session, _| session.press(KeyCode::Tab));
    let session = session
        .act(Action::Type(Typing::DeleteToStart))
        .type_in("900");
    let session = session.press(KeyCode::Enter).until(App::has_steps);
    let session = session.press(KeyCode::Char('t')).press(KeyCode::Char('d'));
    let session = session.press(KeyCode::Char('d'));
    assert_eq!(session.app.run().unwrap().id, 1);
    // The worker is free for another one at once.
    let session = session
        .press(KeyCode::Esc)
        .press(KeyCode::Char('r'))
        .until(has_picture);
    assert_eq!(session.app.run().unwrap().id, 3);
}

// Seeds that nobody has chosen.

#[test]
fn a_random_seed_is_drawn_shown_and_kept() {
    let mut seeds = Vec::new();
    let mut session = finished(1);
    for typed in ["random", "Random", "随机"] {
        session.app.cursor.field = Field::Seed;
        session = session.press(KeyCode::Char('p'));
        assert!(text(&session.app, (80, 24)).contains("the word random"));
        session = session
            .act(Action::Type(Typing::DeleteToStart))
            .type_in(typed);
        session = session.press(KeyCode::Enter).until(has_picture);
        let seed = session.app.run().unwrap().trace.request.seed;
        assert!((0..1_i128 << 32).contains(&seed), "{seed}");
        assert!(text(&session.app, (80, 24)).contains(&format!("seed {seed}")));
        seeds.push(seed);
        // The form has the number: the same run can be had again.
        session = session.press(KeyCode::Char('p'));
        assert!(text(&session.app, (80, 24)).contains(&seed.to_string()));
        session = session.press(KeyCode::Esc);
    }
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 3);
}

// Lines with a slip in them.

/// Types `typed` where the key `opens` a line, and takes it; the line must stay, with what is wrong.
fn refused(session: Session, opens: char, typed: &str, problem: &str) -> Session {
    let runs = session.app.runs.all().count();
    let session = session
        .press(KeyCode::Char(opens))
        .type_in(typed)
        .press(KeyCode::Enter);
    let app = &session.app;
    assert!(app.mode.is_typed(), "{typed:?} was taken");
    assert_eq!(app.runs.all().count(), runs, "{typed:?} made a run");
    for size in SIZES {
        let screen = text(app, size);
        let rows: Vec<&str> = screen.lines().collect();
        let [.., above, last] = rows[..] else {
            panic!("{screen}");
        };
        assert!(
            above.contains(problem),
            "{typed:?}: {problem:?} is not in {above:?}"
        );
        assert!(last.contains(&format!("{typed}▏")), "{last}");
    }
    // An edit takes the remark away, esc the line.
    let session = session.press(KeyCode::Backspace);
    assert!(!text(&session.app, (80, 24)).contains(problem));
    session.press(KeyCode::Esc)
}

#[test]
fn a_slip_in_a_words_weight_is_said_beside_it() {
    let mut session = finished(1).press(KeyCode::Char('8'));
    // "horse" is selected. The range is that of `--weight`.
    for (typed, problem) in [
        ("hrose", "no word “hrose”; it has a, photograph"),
        ("-1", "from 0 to 100"),
        ("200", "from 0 to 100"),
        ("1e9", "from 0 to 100"),
        ("0,5", "such as 0.5"),
        ("1.5x", "such as 0.5"),
        ("nan", "no word “nan”"),
        ("horse", "with itself"),
        ("a horse", "named twice"),
    ] {
        session = refused(session, 'w', typed, problem);
    }
    let mut session = session;
    session.app.lesson.language = Language::Zh;
    let session = session
        .press(KeyCode::Char('w'))
        .type_in("hrose")
        .press(KeyCode::Enter);
    assert!(tight(&session.app, (80, 24)).contains("提示词里没有“hrose”这个词"));
    // Put right, it is taken; an empty line is none.
    let session = session
        .act(Action::Type(Typing::DeleteToStart))
        .type_in(" 0.5 ");
    let session = session.press(KeyCode::Enter).until(has_picture);
    assert_eq!(session.app.mode, Mode::Browse);
    assert!(text(&session.app, (120, 40)).contains("horse × 0.5"));
    let session = session.press(KeyCode::Char('w')).press(KeyCode::Enter);
    assert_eq!(session.app.mode, Mode::Browse);
    assert_eq!(session.app.runs.all().count(), 2);
}

#[test]
fn a_slip_in_the_form_is_said_in_the_readers_language() {
    for (field, typed, english, chinese) in [
        (
            Field::Seed,
            "seven",
            "a whole number such as 42, or random",
            "种子应是整数，例如42，或random（随机）",
        ),
        (
            Field::Steps,
            "0",
            "must be from 1 to 1000",
            "应在1到1000之间",
        ),
        (
            Field::Guidance,
            "7,5",
            "a number such as 7.5",
            "引导强度应是数，例如7.5",
        ),
        (Field::Guidance, "101", "from 0 to 100", "应是0到100的数"),
    ] {
        let mut session = finished(1);
        session.app.cursor.field = field;
        let session = session
            .press(KeyCode::Char('p'))
            .act(Action::Type(Typing::DeleteToStart));
        let session = session.type_in(typed).press(KeyCode::Enter);
        assert!(said(&session.app, (80, 24)).contains(english), "{typed}");
        let mut session = session;
        session.app.lesson.language = Language::Zh;
        let session = session.press(KeyCode::Enter);
        let screen = tight(&session.app, (80, 24));
        assert!(screen.contains(chinese), "{chinese}: {screen}");
        assert_eq!(session.app.runs.all().count(), 1);
    }
}

#[test]
fn a_step_that_is_not_there_is_not_gone_to() {
    let session = refused(finished(4), 'g', "9", "steps go from 1 to 4");
    let session = refused(session, 'g', "0", "steps go from 1 to 4");
    let session = refused(session, 'g', "99999999999999999999", "steps go from 1 to 4");
    assert_eq!(session.app.cursor.step, 3);
    let session = session
        .press(KeyCode::Char('g'))
        .type_in("2")
        .press(KeyCode::Enter);
    assert_eq!(session.app.cursor.step, 1);
}

#[test]
fn another_prompt_keeps_the_changes_of_its_words_and_makes_no_failed_run() {
    let session = finished(1)
        .press(KeyCode::Char('8'))
        .press(KeyCode::Char('w'));
    let session = session
        .type_in("2")
        .press(KeyCode::Enter)
        .until(has_picture);
    // With the word, the change stays.
    let session = session.press(KeyCode::Char('p')).type_in(" again");
    let session = session.press(KeyCode::Enter).until(has_picture);
    let changes = |session: &Session| {
        let request = &session.app.run().unwrap().trace.request;
        request
            .interventions
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(changes(&session), ["horse × 2"]);
    // “horseback” has its letters and is another word.
    let session = session.press(KeyCode::Char('p'));
    let session = session
        .act(Action::Type(Typing::DeleteToStart))
        .type_in("an astronaut on horseback");
    let session = session.press(KeyCode::Enter).until(has_picture);
    assert!(changes(&session).is_empty());
}

#[test]
fn a_model_that_is_not_there_is_said_in_the_form_that_named_it() {
    let loader: Loader = Box::new(|name| match name {
        Some(name) => anyhow::bail!("there is no folder `{name}`"),
        None => loader()(None),
    });
    let mut session = Session::start(loader, PROMPT, 1).until(has_picture);
    session.app.cursor.field = Field::Model;
    let session = session.press(KeyCode::Char('p'));
    let session = session
        .act(Action::Type(Typing::DeleteToStart))
        .type_in("nowhere");
    let session = session
        .press(KeyCode::Enter)
        .until(|app| app.opening.is_none());
    let screen = said(&session.app, (80, 24));
    assert!(screen.contains("there is no folder `nowhere`"), "{screen}");
    let Mode::Edit(form) = &session.app.mode else {
        panic!("the form is closed");
    };
    assert_eq!(form.other_model(), Some("nowhere"));
    let session = session.press(KeyCode::Esc);
    assert_eq!(session.app.cursor.view, View::Denoising);
    assert_eq!(session.app.runs.all().count(), 1);
    let (_, y) = find(&draw(&session.app, (80, 24)), "q quit");
    assert_eq!(y, 23);
}

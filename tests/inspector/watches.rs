//! Watch expressions and breakpoints in the inspector.

use super::support::{Session, has_picture, loader, text};
use crossterm::event::KeyCode;
use diffuscope::export::{OutputFolder, Replay, WatchValue};
use diffuscope::lesson::Language;
use diffuscope::tui::state::run::RunState;
use diffuscope::tui::state::{App, Mode, Notice};
use diffuscope::tui::worker::Worker;

const PROMPT: &str = "a red apple on the grass";

fn finished(steps: usize) -> Session {
    Session::start(loader(), PROMPT, steps).until(has_picture)
}

fn watched(session: Session, filter: &str) -> Session {
    session
        .press(KeyCode::Char('W'))
        .type_in(filter)
        .press(KeyCode::Enter)
        .until(is_answered)
}

/// Is all that is watched known of the run on the screen?
fn is_answered(app: &App) -> bool {
    app.run().is_some_and(|run| {
        let steps = run.trace.steps.len();
        run.watched
            .iter()
            .all(|watched| watched.values.len() == steps)
    })
}

fn numbers(app: &App, index: usize) -> Vec<f64> {
    let values = &app.run().unwrap().watched[index].values;
    let number = |value: &WatchValue| match value {
        WatchValue::Number(number) => *number,
        other => panic!("{other:?} is no number"),
    };
    values.iter().map(number).collect()
}

#[test]
fn a_watch_expression_has_a_value_for_every_step_of_a_run_that_is_done() {
    let session = watched(finished(5), "step.sigma");
    let run = session.app.run().unwrap();
    let sigmas = run.trace.steps.iter().map(|step| f64::from(step.sigma));
    for (found, expected) in numbers(&session.app, 0).iter().zip(sigmas) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    for (size, language) in [
        ((80, 24), Language::En),
        ((120, 40), Language::Zh),
        ((40, 12), Language::En),
    ] {
        let mut app = session.app.clone();
        app.lesson.language = language;
        let screen = text(&app, size);
        let filter = if size.0 < 80 { "step.s" } else { "step.sigma" };
        assert!(screen.contains(filter), "{screen}");
        let title = language.choose(["Watch expressions", "监 视 表 达 式"]);
        assert!(screen.contains(title), "{screen}");
    }
    // Going back shows the value of that step.
    let first = session.app.run().unwrap().step(0).unwrap().sigma;
    let session = session.press(KeyCode::Esc).press(KeyCode::Home);
    let session = session.press(KeyCode::Char('W'));
    let said = format!("{}", (f64::from(first) * 1e3).round() / 1e3);
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains(&said[..4]), "{said}: {screen}");
}

#[test]
fn what_is_no_filter_is_refused_beside_what_was_typed() {
    let session = finished(2)
        .press(KeyCode::Char('W'))
        .type_in("step.(")
        .press(KeyCode::Enter);
    let Mode::Watches(menu) = &session.app.mode else {
        panic!("it is closed");
    };
    assert!(menu.input.as_ref().unwrap().problem.is_some());
    assert!(session.app.watches.items.is_empty());
    let session = session.press(KeyCode::Esc);
    assert_eq!(session.app.mode, Mode::Browse);
    // A filter that has no answer says why, and harms nothing.
    let session = watched(session, "share(\"zebra\")");
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("zebra"), "{screen}");
    assert!(session.app.notice.is_none());
}

#[test]
fn a_breakpoint_stops_the_run_after_its_step_and_space_goes_on() {
    let session = watched(finished(6), "step.index == 2").press(KeyCode::Char('b'));
    let session = session.press(KeyCode::Esc).press(KeyCode::Char('r'));
    let session = session.until(|app| {
        let run = app.run().unwrap();
        run.id == 2 && run.state == RunState::Paused
    });
    let run = session.app.run().unwrap();
    assert_eq!(run.trace.steps.len(), 3);
    match &session.app.notice {
        Some(Notice::Done(said, _)) => assert!(said.contains("step 3"), "{said}"),
        other => panic!("{other:?}"),
    }
    let session = session.press(KeyCode::Char(' ')).until(has_picture);
    assert_eq!(session.app.run().unwrap().trace.steps.len(), 6);
    // Looked at or not, the picture is the same.
    let pictures: Vec<_> = session.app.runs.all().map(|run| &run.trace.image).collect();
    assert_eq!(pictures.len(), 2);
    let [a, b] = [0, 1].map(|at| pictures[at].as_ref().unwrap().image.as_raw());
    assert_eq!(a, b);
    // Deleted, it stops nothing.
    let session = session.press(KeyCode::Char('W')).press(KeyCode::Char('d'));
    let session = session.press(KeyCode::Esc).press(KeyCode::Char('r'));
    let session = session.until(|app| app.run().unwrap().id == 3 && has_picture(app));
    assert!(session.app.watches.items.is_empty());
}

#[test]
fn a_breakpoint_without_an_answer_stops_and_says_why() {
    let session = watched(finished(3), "step.sigma").press(KeyCode::Char('b'));
    let session = session.press(KeyCode::Esc).press(KeyCode::Char('r'));
    let session = session.until(|app| matches!(app.notice, Some(Notice::Failed(_))));
    let run = session.app.run().unwrap();
    assert_eq!((run.id, run.trace.steps.len()), (2, 1));
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("true or false"), "{screen}");
}

#[test]
fn a_branch_is_watched_and_stopped_like_any_run() {
    let session = watched(finished(5), "[.steps[].index] | length >= 4").press(KeyCode::Char('b'));
    let session = session.press(KeyCode::Esc).press(KeyCode::Home);
    let session = session.press(KeyCode::Right).press(KeyCode::Right);
    let session = session
        .press(KeyCode::Char('b'))
        .type_in(" at night")
        .press(KeyCode::Enter);
    let session = session.until(|app| {
        let run = app.run().unwrap();
        run.origin.is_some() && run.state == RunState::Paused
    });
    assert_eq!(session.app.run().unwrap().trace.steps.len(), 4);
}

#[test]
fn a_recorded_run_is_watched_and_not_stopped() {
    let session = finished(4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let plan = diffuscope::ExportOptions {
        json: Some(path.clone()),
        ..diffuscope::ExportOptions::default()
    };
    let run = session.app.run().unwrap();
    let metadata = diffuscope::RunMetadata::new(&run.info, run.trace.request.clone(), &[]);
    let to = OutputFolder::at(&path, false).unwrap();
    let selection = plan.selection(&run.info).unwrap();
    let attention =
        |step| Ok::<_, diffuscope::export::ExportError>(run.trace.attention.step(step).to_vec());
    diffuscope::export::save_trace(to, metadata, &run.trace, selection, attention).unwrap();
    let live = numbers(&watched(finished(4), "share(\"apple\")").app, 0);
    let replay = Session {
        app: App::new(64 << 20),
        worker: Worker::replay(Replay::open(&path).unwrap()).unwrap(),
    };
    let replay = watched(replay.until(has_picture), "share(\"apple\")");
    assert_eq!(numbers(&replay.app, 0), live);
    let replay = replay.press(KeyCode::Char('b'));
    assert!(!replay.app.watches.items[0].breaks);
    assert!(matches!(replay.app.notice, Some(Notice::Done(..))));
}

//! Files written from the inspector: what each view offers, and what is in the files.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::{PROMPT, Session, draw, find, has_picture, loader, text};
use crate::library_tests::replay::files;
use crossterm::event::KeyCode;
use diffuscope::export::Replay;
use diffuscope::export::document::{RunDocument, StepDocument, TensorDocument};
use diffuscope::tui::state::action::{Action, Typing};
use diffuscope::tui::state::{App, Mode, Notice, View};
use diffuscope::tui::worker::Worker;
use image::AnimationDecoder;

/// A finished run of `steps` steps whose files go to `folder`.
fn finished(steps: usize, folder: &Path) -> Session {
    let mut session = Session::start(loader(), PROMPT, steps).until(has_picture);
    folder.clone_into(&mut session.app.export.folder);
    session
}

fn said(app: &App) -> Option<String> {
    match &app.notice {
        Some(Notice::Done(words, _)) if words.starts_with("saved") => Some(words.clone()),
        _ => None,
    }
}

/// Chooses the offer whose line has `words`, and waits until it is written.
fn write(session: Session, words: &str) -> (Session, PathBuf) {
    let mut session = session.press(KeyCode::Char('e'));
    session.app.notice = None;
    let offers: Vec<&str> = (session.app.export.items.iter())
        .map(|offer| offer.what.as_str())
        .collect();
    let row = offers.iter().position(|offer| offer.contains(words));
    let row = row.unwrap_or_else(|| panic!("{words:?} is not among {offers:?}"));
    for _ in 0..row {
        session = session.press(KeyCode::Down);
    }
    // Under the name and in the place that are offered.
    let session = session.press(KeyCode::Enter).press(KeyCode::Enter);
    let session = session.until(|app| said(app).is_some());
    let path = said(&session.app).unwrap();
    let path = path.strip_prefix("saved ").unwrap().into();
    (session, path)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_view_writes_the_tensor_that_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = finished(2, folder.path());
    for (view, words, name, shape) in [
        (
            View::Embedding,
            "the token embedding",
            "token_embedding",
            vec![77, 96],
        ),
        (
            View::TextEncoder,
            "the prompt at layer 2",
            "text_model.encoder.layers.2",
            vec![77, 96],
        ),
        (View::Noise, "the noise", "initial_noise", vec![4, 16, 16]),
        (View::Schedule, "the sigmas", "sigmas", vec![3]),
        (View::Denoising, "x0", "x0", vec![4, 16, 16]),
        (
            View::Image,
            "the last latents",
            "latents_next",
            vec![4, 16, 16],
        ),
    ] {
        session.app.cursor.view = view;
        let (next, path) = write(session, words);
        session = next;
        let tensor: TensorDocument = read(&path);
        assert_eq!(
            (tensor.name.as_str(), tensor.shape),
            (name, shape),
            "{view:?}"
        );
        let run = session.app.run().unwrap();
        let held = match view {
            View::Noise => Some(&run.trace.noise.as_ref().unwrap().initial_noise),
            View::Denoising | View::Image => run.step(1).unwrap().tensor(name),
            View::Schedule => None,
            _ => {
                let text = run.trace.text.as_ref().unwrap();
                text.prompt.iter().find(|state| &*state.name == name)
            }
        };
        let expected = held.map_or(run.schedule().unwrap().sigmas.as_slice(), |held| &held.data);
        let values: Vec<u32> = tensor.data.iter().map(|value| value.0.to_bits()).collect();
        let expected: Vec<u32> = expected.iter().map(|value| value.to_bits()).collect();
        assert_eq!(values, expected, "{view:?}");
    }
}

#[test]
fn a_file_that_is_there_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (session, first) = write(finished(1, folder.path()), "the picture");
    let (_, second) = write(session, "the picture");
    assert!(first.ends_with("diffuscope-42.png"), "{first:?}");
    assert!(second.ends_with("diffuscope-42-2.png"), "{second:?}");
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());
}

#[test]
fn a_step_holds_its_tensors_and_its_attention() {
    let folder = tempfile::tempdir().unwrap();
    let session = finished(2, folder.path()).press(KeyCode::Left);
    let (_, path) = write(session, "step 1 with its tensors");
    let step: StepDocument = read(&path);
    assert_eq!(step.index, 0);
    let named = |name: &str| {
        step.tensors
            .iter()
            .any(|tensor| tensor.name.starts_with(name))
    };
    assert!(named("latents") && named("x0") && named("attention/"));
}

#[test]
fn maps_become_pictures_and_a_film_of_all_steps() {
    let folder = tempfile::tempdir().unwrap();
    let session = finished(3, folder.path()).press(KeyCode::Char('8'));
    let (session, map) = write(session, "this map of “horse”");
    let map = image::open(map).unwrap();
    assert_eq!((map.width(), map.height()), (512, 512));
    let (session, film) = write(session, "“horse” over 3 of 3 steps");
    let film = fs::File::open(film).unwrap();
    let film = image::codecs::gif::GifDecoder::new(std::io::BufReader::new(film)).unwrap();
    assert_eq!(film.into_frames().collect_frames().unwrap().len(), 3);
    // One layer alone can be had with every word.
    let (session, layer) = write(session.press(KeyCode::Down), "this layer's maps");
    let layer: TensorDocument = read(&layer);
    assert!(
        layer.name.starts_with("attention/down_blocks.0"),
        "{}",
        layer.name
    );
    assert_eq!(layer.shape, [77, 16, 16]);
    let (_, cosines) = write(session.press(KeyCode::Char('3')), "the cosines as a map");
    let cosines = image::open(cosines).unwrap().into_rgb8();
    // Pale yellow, the colour of the largest value, all along the diagonal: every token is most like itself.
    for at in [10, 100, 200, 300, 400, 500] {
        assert_eq!(cosines.get_pixel(at, at).0, [252, 253, 191]);
    }
}

#[test]
fn a_whole_run_and_its_branch_are_what_a_replay_shows() {
    let folder = tempfile::tempdir().unwrap();
    let session = finished(3, folder.path()).press(KeyCode::Left);
    let session = session.press(KeyCode::Char('b')).type_in(" at night");
    let session = session.press(KeyCode::Enter).until(has_picture);
    let (session, first) = write(session, "the whole run");
    let document: RunDocument = read(&first.join("run.json"));
    assert_eq!(document.request.prompt, format!("{PROMPT} at night"));
    assert_eq!(document.branches.len(), 1);
    assert_eq!(
        (
            document.branches[0].step,
            document.branches[0].request.prompt.as_str()
        ),
        (1, PROMPT)
    );
    // A recorded run is written once more just as it was.
    let replay = Replay::open(&first).unwrap();
    let mut app = App::new(64 << 20);
    app.export.folder = folder.path().to_owned();
    let worker = Worker::replay(replay).unwrap();
    let recorded = Session { app, worker }.until(has_picture);
    let (_, second) = write(recorded, "the whole run");
    assert_ne!(first, second);
    drop(session);
    let (first, second) = (files(&first), files(&second));
    assert!(first.len() > 30);
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a.0, b.0);
        if a.0.ends_with("run.json") {
            let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
            assert_eq!(json(&a.1), json(&b.1));
        } else {
            assert!(a.1 == b.1, "{:?}", a.0);
        }
    }
    assert_eq!(first.len(), second.len());
}

#[test]
fn the_menu_names_each_file_before_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let session = finished(2, folder.path()).press(KeyCode::Char('e'));
    for size in [(80, 24), (120, 40)] {
        let buffer = draw(&session.app, size);
        find(&buffer, "diffuscope-42-step-2-x0.json");
        find(&buffer, "diffuscope-42.png");
        find(&buffer, "enter write it");
    }
    let session = session.press(KeyCode::Esc);
    assert!(!text(&session.app, (80, 24)).contains("enter write it"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Opens the line in which the place of the first offer is typed, and types `path` there.
fn type_place(session: Session, path: &str) -> Session {
    let session = session.press(KeyCode::Char('e')).press(KeyCode::Enter);
    let session = session.act(Action::Type(Typing::DeleteToStart));
    session.type_in(path).press(KeyCode::Enter)
}

#[test]
fn a_file_gets_the_name_and_the_place_that_were_typed() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("图 片");
    fs::create_dir(&pictures).unwrap();
    let session = finished(1, folder.path()).press(KeyCode::Char('9'));
    // Without an ending it gets that of its format; what is there already stays.
    let typed = pictures.join("马").display().to_string();
    let session = type_place(session, &typed).until(|app| said(app).is_some());
    let written = said(&session.app).unwrap();
    assert_eq!(written, format!("saved {typed}.json"));
    assert!(matches!(session.app.mode, Mode::Browse));
    let mut session = session;
    session.app.notice = None;
    let session = type_place(session, &format!("{typed}.json")).until(|app| said(app).is_some());
    assert_eq!(said(&session.app).unwrap(), format!("saved {typed}-2.json"));
    // The folder is offered again.
    let session = session.press(KeyCode::Char('e')).press(KeyCode::Enter);
    let screen = text(&session.app, (120, 40)).replace(' ', "");
    assert!(
        screen.contains("图片/diffuscope-42-latents_next.json▏"),
        "{screen}"
    );
    // A folder's name is a place: the offered name goes there.
    let session = session.press(KeyCode::Esc).press(KeyCode::Esc);
    let mut session = session;
    session.app.notice = None;
    let session = type_place(session, &folder.path().display().to_string());
    let session = session.until(|app| said(app).is_some());
    assert!(
        folder
            .path()
            .join("diffuscope-42-latents_next.json")
            .is_file()
    );
    drop(session);
}

#[test]
fn a_place_that_cannot_be_written_to_is_said_where_it_was_typed() {
    let folder = tempfile::tempdir().unwrap();
    let session = finished(1, folder.path()).press(KeyCode::Char('9'));
    let here = |name: &str| folder.path().join(name).display().to_string();
    let flat = |app: &App, size| {
        let screen = text(app, size);
        let words: Vec<&str> = screen
            .split(['│', '\n', ' '])
            .filter(|word| !word.is_empty())
            .collect();
        words.join(" ")
    };
    let mut session = session;
    for (typed, problem) in [
        (here("gone/x.json"), "No such file or directory"),
        (here("x.png"), "end the name in .json, not in .png"),
        ("~nobody/x".to_owned(), "only your own home is known as ~"),
        (String::new(), "a name is missing"),
    ] {
        session = type_place(session, &typed).until(
            |app| matches!(&app.mode, Mode::Destination(asked) if asked.path.problem.is_some()),
        );
        for size in [(80, 24), (120, 40)] {
            let screen = flat(&session.app, size);
            assert!(screen.contains(problem), "{problem}: {screen}");
        }
        assert!(session.app.notice.is_none());
        // Still there to be put right.
        let Mode::Destination(asked) = &session.app.mode else {
            panic!("it is closed");
        };
        assert_eq!(asked.path.line.text(), typed);
        session = session.press(KeyCode::Esc).press(KeyCode::Esc);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // Put right, it is written.
    let session = type_place(session, &here("gone/x"));
    let session =
        session.until(|app| matches!(&app.mode, Mode::Destination(asked) if !asked.is_writing));
    let session = session
        .act(Action::Type(Typing::DeleteToStart))
        .type_in(&here("x"));
    let session = session
        .press(KeyCode::Enter)
        .until(|app| said(app).is_some());
    assert!(folder.path().join("x.json").is_file());
    drop(session);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = finished(1, &folder.path().join("gone"));
    session = session.press(KeyCode::Char('s'));
    let session = session.until(|app| matches!(app.notice, Some(Notice::Failed(_))));
    let screen = text(&session.app, (120, 40));
    assert!(
        screen.contains("was not written") && screen.contains("gone"),
        "{screen}"
    );
    assert!(session.app.export.folder.ends_with("gone"));
}

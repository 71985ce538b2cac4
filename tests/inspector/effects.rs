//! What depends on what: words left out, pictures from layers of the text encoder, guidance as arrows, the way through
//! latent space, and sheets of pictures.

use crossterm::event::KeyCode;
use diffuscope::export::{ExportOptions, Replay};
use diffuscope::generation::{LeftOutOf, RequestPatch, StepRange};
use diffuscope::lesson::LessonAction;
use diffuscope::model::AttentionDetail;
use diffuscope::trace::guidance_plane::length;
use diffuscope::tui::state::action::Action;
use diffuscope::tui::state::charts::MOST_RUNS;
use diffuscope::tui::state::detail::{EffectsOrder, ImagePart, PromptPart, StepPart, TextPart};
use diffuscope::tui::state::run::Run;
use diffuscope::tui::state::variants::Series;
use diffuscope::tui::state::{App, Notice, View};
use diffuscope::tui::worker::{Variant, Worker};
use image::RgbImage;

use super::support::{PROMPT, Session, draw, has_picture, lines, loader, text};

const SIZES: [(u16, u16); 5] = [(40, 12), (80, 24), (120, 40), (200, 60), (60, 13)];
const INPUT: Series = Series::LeftOut(LeftOutOf::Input);

fn finished(steps: usize) -> Session {
    Session::start(loader(), PROMPT, steps).until(has_picture)
}

fn run(app: &App) -> &Run {
    app.run().unwrap()
}

fn picture(run: &Run) -> RgbImage {
    run.trace.image.as_ref().unwrap().image.clone()
}

/// The same with the run that `ask` makes of the request on the screen, and its picture.
fn picture_of(session: Session, ask: RequestPatch) -> (Session, RgbImage) {
    let mut session = session;
    session.app.act(&[LessonAction::Run(ask)]);
    for task in session.app.take_tasks() {
        session.worker.send(task);
    }
    let session = session.until(has_picture);
    let picture = picture(run(&session.app));
    (session, picture)
}

fn seed(seed: i128) -> RequestPatch {
    RequestPatch {
        seed: Some(seed),
        ..RequestPatch::default()
    }
}

fn mean_difference(a: &RgbImage, b: &RgbImage) -> f64 {
    let pairs = a.as_raw().iter().zip(b.as_raw());
    let sum: f64 = pairs
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs())
        .sum();
    sum / a.as_raw().len() as f64
}

#[test]
fn what_a_word_does_is_how_far_the_picture_changes_without_it() {
    let session = finished(2);
    let before = run(&session.app).trace.clone();
    let session = session.press(KeyCode::Char('1')).press(KeyCode::Char('v'));
    assert!(session.app.is_busy(), "it begins by itself");
    let session = session.until(|app| !app.is_busy());
    assert_eq!(run(&session.app).made(INPUT), (8, 8));
    // Looking changed nothing of the run.
    let after = &run(&session.app).trace;
    for (a, b) in before.steps.iter().zip(&after.steps) {
        assert_eq!(a.tensors, b.tensors);
    }
    assert_eq!(before.request, after.request);
    let effects = run(&session.app).effects(LeftOutOf::Input, EffectsOrder::Prompt);
    let words: Vec<&str> = effects.iter().map(|row| row.word.as_str()).collect();
    assert_eq!(words, PROMPT.split(' ').collect::<Vec<_>>());
    // Each “a” is a word of its own.
    assert_ne!(effects[0].apart, effects[6].apart);
    // The share is that of the recorded maps.
    let maps = |step: usize| before.attention.step(step);
    let share = |step: usize| -> f64 {
        let of = maps(step).iter().map(|map| {
            let values = map.map(None, 8);
            values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
        });
        of.sum::<f64>() / maps(step).len() as f64
    };
    let expected = f64::midpoint(share(0), share(1));
    assert!((effects[7].share.unwrap() - expected).abs() < 1e-12);
    // The change is that of a run of its own.
    let own = picture(run(&session.app));
    let without = RequestPatch {
        leave_out: Some(vec![("horse".to_owned(), LeftOutOf::Input)]),
        ..RequestPatch::default()
    };
    let (session, other) = picture_of(session, without);
    let expected = mean_difference(&own, &other);
    assert!(expected > 0.0);
    assert!((effects[7].apart.unwrap() - expected).abs() < 1e-9);
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("horse left out of the input"), "{screen}");
}

#[test]
fn words_are_sorted_and_selected_in_the_order_that_is_shown() {
    let session = finished(1)
        .press(KeyCode::Char('1'))
        .press(KeyCode::Char('v'));
    let session = session
        .until(|app| !app.is_busy())
        .press(KeyCode::Char('z'));
    assert_eq!(session.app.cursor.detail.order, EffectsOrder::Attention);
    let session = session.press(KeyCode::Char('z'));
    let rows = run(&session.app).effects(LeftOutOf::Input, EffectsOrder::Picture);
    let changes: Vec<f64> = rows.iter().map(|row| row.apart.unwrap()).collect();
    assert!(changes.is_sorted_by(|a, b| a >= b), "{changes:?}");
    // From top to bottom, and no further.
    let mut session = session;
    for _ in 0..10 {
        session = session.press(KeyCode::Up);
    }
    for row in &rows {
        assert!(row.positions.contains(&session.app.cursor.token), "{row:?}");
        let screen = text(&session.app, (80, 24));
        let marked = screen.lines().find(|line| line.contains('▸'));
        assert!(marked.unwrap().contains(&row.word), "{screen}");
        session = session.press(KeyCode::Down);
    }
    let last = rows.last().unwrap().positions.start;
    assert_eq!(session.app.cursor.token, last);
    // Of what is read, the same by another way.
    let session = session
        .press(KeyCode::Char('v'))
        .until(|app| !app.is_busy());
    assert_eq!(
        session.app.cursor.detail.prompt,
        PromptPart::Effects(LeftOutOf::Reads)
    );
    let reads = run(&session.app).effects(LeftOutOf::Reads, EffectsOrder::Picture);
    assert!(reads.iter().all(|row| row.apart.is_some()));
    assert_ne!(reads, rows);
    let session = session.press(KeyCode::Char('v'));
    assert_eq!(session.app.cursor.detail.prompt, PromptPart::Request);
}

#[test]
fn what_is_made_can_be_stopped_and_goes_on_later() {
    let session = finished(3)
        .press(KeyCode::Char('1'))
        .press(KeyCode::Char('v'));
    assert!(session.app.variants.is_making(1, INPUT));
    let session = session.press(KeyCode::Char('c'));
    assert!(!session.app.variants.is_going() && !session.app.is_busy());
    // It does not begin again by itself, here or when the reader comes back.
    let session = session.press(KeyCode::Char('2')).press(KeyCode::Char('1'));
    assert!(!session.app.is_busy());
    let screen = text(&session.app, (80, 24));
    assert!(screen.contains("space makes"), "{screen}");
    let session = session.press(KeyCode::Char(' '));
    assert!(session.app.variants.is_making(1, INPUT));
    let session = session.until(|app| !app.is_busy());
    assert_eq!(run(&session.app).made(INPUT), (8, 8));
}

#[test]
fn a_new_run_goes_before_what_is_made() {
    let session = finished(2)
        .press(KeyCode::Char('1'))
        .press(KeyCode::Char('v'));
    let session = session.press(KeyCode::Char('r'));
    let session = session.until(|app| run(app).trace.image.is_some());
    assert_eq!(run(&session.app).id, 2);
    let session = session.until(|app| !app.is_busy());
    assert_eq!(run(&session.app).made(INPUT), (8, 8));
    assert_eq!(
        picture(run(&session.app)),
        picture(&session.app.runs.others[0])
    );
}

#[test]
fn every_layer_of_the_text_encoder_has_its_picture() {
    let session = finished(2)
        .press(KeyCode::Char('4'))
        .press(KeyCode::Char('v'));
    let session = session.until(|app| !app.is_busy());
    assert_eq!(session.app.cursor.detail.text, TextPart::Pictures);
    let made = &run(&session.app).variants;
    let layers: Vec<&Variant> = made.keys().collect();
    let expected = [0, 1, 2].map(Variant::TextLayers);
    assert_eq!(layers, expected.iter().collect::<Vec<_>>());
    let after_one = made[&Variant::TextLayers(1)].image.clone();
    for size in SIZES {
        let screen = text(&session.app, size);
        assert!(
            screen.contains("after") || size.0 < 60,
            "{size:?}\n{screen}"
        );
    }
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("✓ after 3"), "{screen}");
    assert!(screen.contains("clip_skip=0"), "{screen}");
    // Its pictures can be printed in pixels.
    let pictures = diffuscope::tui::ui::screen::render(
        &mut ratatui::buffer::Buffer::empty(ratatui::layout::Rect::new(0, 0, 120, 40)),
        &session.app,
        diffuscope::tui::ui::theme::Theme::default(),
    );
    assert_eq!(pictures.len(), 4);
    let ask = RequestPatch {
        text_layers: Some(1),
        ..RequestPatch::default()
    };
    let (session, picture) = picture_of(session, ask);
    assert_eq!(&picture, after_one.as_ref());
    let screen = text(&session.app, (80, 24));
    assert!(screen.contains("text after 1 layers"), "{screen}");
}

#[test]
fn both_predictions_are_arrows_with_numbers() {
    let session = finished(3)
        .press(KeyCode::Char('7'))
        .press(KeyCode::Char('v'));
    assert_eq!(session.app.cursor.detail.step, StepPart::Guidance);
    let plane = run(&session.app).figures[2].plane.unwrap();
    let screen = text(&session.app, (120, 40));
    for number in [
        format!("{:.4}", plane.uncond),
        format!("{:.4}", length(plane.difference())),
        format!("{:.2}°", plane.angle()),
    ] {
        assert!(screen.contains(&number), "{number}\n{screen}");
    }
    for tip in ["○", "●", "◆", "= ○ + 5 (● − ○)"] {
        assert!(screen.contains(tip), "{tip}\n{screen}");
    }
    // The step before has other numbers.
    let session = session.press(KeyCode::Left);
    assert_ne!(text(&session.app, (120, 40)), screen);
}

#[test]
fn a_step_without_guidance_says_why_its_plane_is_empty() {
    let session = finished(1);
    let unguided = RequestPatch {
        guidance_scale: Some(1.0),
        ..RequestPatch::default()
    };
    let (session, _) = picture_of(session, unguided);
    let session = session.press(KeyCode::Char('7')).press(KeyCode::Char('v'));
    for size in [(80, 24), (120, 40)] {
        let screen = text(&session.app, size);
        assert!(screen.contains("guidance scale is 1"), "{screen}");
    }
    let middle = RequestPatch {
        guidance_scale: Some(5.0),
        steps: Some(4),
        guidance_steps: Some(StepRange { first: 1, last: 2 }),
        guidance_rescale: Some(0.5),
        ..RequestPatch::default()
    };
    let (session, _) = picture_of(session, middle);
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("only in steps 2 to 3"), "{screen}");
    assert!(screen.contains("2 steps without"), "{screen}");
    let session = session.press(KeyCode::Left);
    let screen = text(&session.app, (120, 40));
    assert!(
        screen.contains("Lin et al.") && screen.contains("not rescaled"),
        "{screen}"
    );
}

#[test]
fn runs_go_their_way_on_one_chart() {
    let session = finished(3)
        .press(KeyCode::Char('7'))
        .press(KeyCode::Char('v'));
    let session = session
        .press(KeyCode::Char('v'))
        .until(|app| !app.is_busy());
    assert_eq!(session.app.cursor.detail.step, StepPart::Path);
    let chart = |app: &App| app.charts.path.clone().unwrap();
    let (of, path) = chart(&session.app);
    assert_eq!(of, [(1, 3)]);
    let path = path.unwrap();
    assert_eq!(path.runs[0].len(), 4);
    let shown = format!("across {:.1} %", 100.0 * path.shares[0]);
    assert!(text(&session.app, (120, 40)).contains(&shown));
    let (session, _) = picture_of(session, seed(7));
    let session = session.until(|app| !app.is_busy());
    let (of, path) = chart(&session.app);
    assert_eq!(of, [(2, 3), (1, 3)]);
    assert_eq!(path.unwrap().runs.len(), 2);
    let screen = text(&session.app, (120, 40));
    assert!(
        screen.contains("━ 1 seed 42") && screen.contains("━ 2 seed 7"),
        "{screen}"
    );
    for size in SIZES {
        draw(&session.app, size);
    }
}

#[test]
fn all_steps_and_all_runs_stand_on_a_sheet() {
    let session = finished(3)
        .press(KeyCode::Char('9'))
        .press(KeyCode::Char('v'));
    assert_eq!(session.app.cursor.detail.image, ImagePart::Steps);
    let screen = text(&session.app, (80, 24));
    assert!(
        screen.contains("predicted x0") || screen.contains("quick previews"),
        "{screen}"
    );
    // The cursor is that of the step.
    let session = session.press(KeyCode::Home);
    assert_eq!(session.app.cursor.step, 0);
    // Decoded, all of them but the last, which is the picture.
    let session = session
        .press(KeyCode::Char('d'))
        .until(|app| !app.is_busy());
    assert_eq!(
        run(&session.app).decoded.keys().collect::<Vec<_>>(),
        [&0, &1]
    );
    let (session, _) = picture_of(session, seed(7));
    let session = session.press(KeyCode::Home).press(KeyCode::Char('v'));
    let session = session.until(|app| !app.is_busy());
    assert_eq!(session.app.cursor.detail.image, ImagePart::Runs);
    let together = session.app.runs.together();
    let ids: Vec<u64> = together.iter().map(|run| run.id).collect();
    assert_eq!(ids, [2, 1]);
    assert!(together.iter().all(|run| run.decoded.contains_key(&0)));
    let screen = text(&session.app, (120, 40));
    assert!(
        screen.contains("2 seed 7") && screen.contains("1 seed 42"),
        "{screen}"
    );
    const { assert!(MOST_RUNS >= 8) };
}

/// Every place of these views on every size of the screen, two runs side by side included.
#[test]
fn every_size_shows_what_has_room() {
    let session = finished(2);
    let (session, _) = picture_of(session, seed(7));
    let mut session = session.press(KeyCode::Char('y'));
    for (view, times) in [('1', 2), ('4', 1), ('7', 2), ('9', 2)] {
        session = session.press(KeyCode::Char(view));
        for _ in 0..times {
            session = session
                .press(KeyCode::Char('v'))
                .until(|app| !app.is_busy());
            for size in SIZES {
                let screen = lines(&draw(&session.app, size));
                assert!(screen.iter().any(|line| !line.trim().is_empty()));
            }
        }
        session = session.press(KeyCode::Char('v'));
    }
}

#[test]
fn before_there_is_a_run_and_without_a_word_nothing_breaks() {
    let mut app = App::new(64 << 20);
    for view in [
        View::Prompt,
        View::TextEncoder,
        View::Denoising,
        View::Image,
    ] {
        app.cursor.view = view;
        for _ in 0..3 {
            app.update(Action::Switch);
            app.update(Action::SwitchMeasure);
            app.update(Action::PlayPause);
            app.update(Action::Down);
            for size in SIZES {
                draw(&app, size);
            }
        }
    }
    let session = Session::start(loader(), "", 1).until(has_picture);
    let session = session.press(KeyCode::Char('1')).press(KeyCode::Char('v'));
    let screen = text(&session.app, (80, 24));
    assert!(
        screen.contains("no word that could be left out"),
        "{screen}"
    );
    assert!(!session.app.is_busy());
}

#[test]
fn a_recorded_run_says_that_it_has_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorded = Session::start(loader(), PROMPT, 2);
    recorded.app.export.plan = ExportOptions {
        json: Some(folder.path().join("run")),
        attention: AttentionDetail::Mean,
        ..ExportOptions::default()
    };
    let recorded = recorded.until(
        |app| matches!(&app.notice, Some(Notice::Done(words, _)) if words.contains("saved")),
    );
    drop(recorded);
    let replay = Replay::open(&folder.path().join("run")).unwrap();
    let session = Session {
        app: App::new(64 << 20),
        worker: Worker::replay(replay).unwrap(),
    };
    let session = session.until(has_picture);
    let session = session.press(KeyCode::Char('1')).press(KeyCode::Char('v'));
    let session = session.until(|app| !app.is_busy());
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("take the model"), "{screen}");
    // Attention was recorded, and so are the arrows and the way.
    let effects = run(&session.app).effects(LeftOutOf::Input, EffectsOrder::Prompt);
    assert!(effects.iter().all(|row| row.share.is_some()));
    let session = session.press(KeyCode::Char('7')).press(KeyCode::Char('v'));
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("ε_uncond"), "{screen}");
    let session = session
        .press(KeyCode::Char('v'))
        .until(|app| !app.is_busy());
    assert!(text(&session.app, (120, 40)).contains("of the variance"));
}

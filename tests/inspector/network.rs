//! Stepping into the networks and walking in them.

use crossterm::event::KeyCode;
use diffuscope::checkpoint::Component;
use diffuscope::export::{ExportOptions, Replay};
use diffuscope::generation::PatchChange;
use diffuscope::lesson::Language;
use diffuscope::trace::Guidance;
use diffuscope::tui::state::inside::Shows;
use diffuscope::tui::state::{App, Notice, View};
use diffuscope::tui::worker::Worker;

use super::support::*;

const SIZES: [(u16, u16); 4] = [(40, 12), (80, 24), (120, 40), (200, 60)];

/// Is everything there that the screen would like to show?
fn settled(app: &App) -> bool {
    !app.is_busy()
}

fn seen(app: &App, size: (u16, u16), words: &[&str]) {
    let screen = text(app, size);
    for word in words {
        assert!(screen.contains(word), "{word:?} is not on\n{screen}");
    }
}

fn finished(steps: usize) -> Session {
    Session::start(loader(), PROMPT, steps).until(has_picture)
}

/// In the UNet of the last of `steps` steps.
fn in_unet(steps: usize) -> Session {
    let session = finished(steps).press(KeyCode::Char('7'));
    session.press(KeyCode::Enter).until(settled)
}

#[test]
fn enter_goes_into_the_unet_and_esc_out_again() {
    let session = in_unet(3);
    let inside = session.app.cursor.inside().expect("inside");
    assert_eq!((inside.network, inside.line), (Component::UNet, None));
    seen(
        &session.app,
        (120, 40),
        &[
            "▸ step 3 ▸ UNet ▸ conv_in",
            "in 4×16×16 → out 64×16×16",
            "attn",
            "skip",
        ],
    );
    // Down to the first transformer, and into it.
    let session = session
        .press(KeyCode::Down)
        .press(KeyCode::Down)
        .until(settled);
    seen(
        &session.app,
        (120, 40),
        &["down_blocks.0.attentions.0", "of what it adds to"],
    );
    let session = session.press(KeyCode::Enter).until(settled);
    assert_eq!(
        session.app.cursor.inside().and_then(|inside| inside.line),
        Some(0)
    );
    seen(
        &session.app,
        (120, 40),
        &[
            "x_in",
            "proj_in",
            "b (h w) c",
            "256×64",
            "0.attn1",
            "0.attn2",
            "0.ff",
            "+ x_in",
            "began at 0",
        ],
    );
    let session = session.press(KeyCode::Esc);
    assert_eq!(
        session.app.cursor.inside().map(|inside| inside.line),
        Some(None)
    );
    let session = session.press(KeyCode::Esc);
    assert_eq!(session.app.cursor.inside(), None);
    seen(&session.app, (120, 40), &["predicted x0"]);
}

#[test]
fn the_colours_are_those_of_all_steps_and_the_sizes_are_shown_over_them() {
    let session = in_unet(3);
    let run = session.app.run().unwrap();
    assert_eq!(run.probes.steps_fitted(Guidance::Cond), 3);
    seen(
        &session.app,
        (120, 40),
        &["fitted on 3 steps", "rms over the steps (3 of 3)"],
    );
    // At another step, too, at once.
    let session = session.press(KeyCode::Left).until(settled);
    seen(
        &session.app,
        (120, 40),
        &["▸ step 2 ▸ UNet", "fitted on 3 steps"],
    );
}

#[test]
fn what_is_shown_of_the_features_can_be_chosen() {
    let session = in_unet(1).press(KeyCode::Char('+')).until(settled);
    let inside = session.app.cursor.inside().unwrap();
    assert_eq!((inside.shows, inside.channel), (Shows::Channel, 1));
    seen(&session.app, (120, 40), &["channel 2 of 64"]);
    let session = session.press(KeyCode::Char('v'));
    assert_eq!(session.app.cursor.inside().unwrap().shows, Shows::Norm);
    // Over to the next block, and to the one after.
    let session = session.press(KeyCode::Char(']')).press(KeyCode::Char(']'));
    seen(&session.app, (120, 40), &["▸ down_blocks.1.resnets.0"]);
    let session = session.press(KeyCode::Char('[')).press(KeyCode::Char('['));
    seen(&session.app, (120, 40), &["▸ conv_in"]);
}

#[test]
fn enter_on_attention_to_the_prompt_goes_to_its_maps() {
    let session = in_unet(2).press(KeyCode::Down).press(KeyCode::Down);
    let session = session.press(KeyCode::Enter).until(settled);
    let at_attention = |app: &App| {
        let run = app.run().unwrap();
        let inside = app.cursor.inside().unwrap();
        let line = inside
            .lines(&run.info)
            .into_iter()
            .nth(inside.line.unwrap());
        line.is_some_and(|line| line.site.ends_with("attn2"))
    };
    let mut session = session;
    while !at_attention(&session.app) {
        session = session.press(KeyCode::Down);
    }
    let session = session.press(KeyCode::Enter).until(settled);
    assert_eq!(session.app.cursor.view, View::Attention);
    assert_eq!(session.app.cursor.attention.layer, Some(0));
    // Back at its stage one is where one was.
    let session = session.press(KeyCode::Char('7'));
    assert!(at_attention(&session.app));
}

#[test]
fn the_text_encoder_and_the_decoder_are_walked_alike() {
    let session = finished(2).press(KeyCode::Char('4'));
    let session = session.press(KeyCode::Enter).until(settled);
    seen(
        &session.app,
        (120, 40),
        &[
            "text encoder ▸ text_model.encoder.layers.2",
            "layer_norm1",
            "self_attn",
            "mlp",
            "77×96",
        ],
    );
    let session = session.press(KeyCode::Char('[')).until(settled);
    seen(&session.app, (120, 40), &["text_model.encoder.layers.1"]);
    let session = session.press(KeyCode::Esc);
    assert_eq!(session.app.cursor.inside(), None);
    assert_eq!(session.app.cursor.text_layer, 2);
    let session = session
        .press(KeyCode::Char('9'))
        .press(KeyCode::Enter)
        .until(settled);
    seen(
        &session.app,
        (120, 40),
        &["decoder ▸ decoder.conv_in", "out 64×16×16"],
    );
    let session = session
        .press(KeyCode::Down)
        .press(KeyCode::Enter)
        .until(settled);
    seen(
        &session.app,
        (120, 40),
        &["norm1", "conv1", "conv2", "+ x_in"],
    );
}

#[test]
fn a_module_is_patched_where_one_looks_at_it_and_the_form_takes_that_away() {
    let session = in_unet(2).press(KeyCode::Down).press(KeyCode::Char('P'));
    let session = session.type_in("on").press(KeyCode::Enter);
    seen(&session.app, (120, 40), &["type off, or a factor"]);
    let session = session
        .press(KeyCode::Backspace)
        .type_in("ff")
        .press(KeyCode::Enter)
        .until(has_picture)
        .until(settled);
    let patches = &session.app.run().unwrap().trace.request.patches;
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].module, "down_blocks.0.resnets.0");
    assert_eq!(patches[0].change, PatchChange::Off);
    seen(
        &session.app,
        (200, 60),
        &[
            "down_blocks.0.resnets.0 off",
            "Colours of components are each run's own",
        ],
    );
    // In the form it is a field of its own.
    let session = session.press(KeyCode::Char('p'));
    seen(
        &session.app,
        (120, 40),
        &["patches", "down_blocks.0.resnets.0=off"],
    );
}

/// Every place at every size, in both languages: nothing breaks, and what there is to say has room.
#[test]
fn every_place_can_be_looked_at_on_every_screen() {
    let mut session = in_unet(1);
    for language in Language::ALL {
        session.app.lesson.language = language;
        for size in SIZES {
            text(&session.app, size);
        }
    }
    session = session
        .press(KeyCode::Down)
        .press(KeyCode::Enter)
        .until(settled);
    for language in Language::ALL {
        session.app.lesson.language = language;
        for size in SIZES {
            text(&session.app, size);
        }
    }
    session.app.lesson.language = Language::En;
    seen(
        &session.app,
        (80, 24),
        &["▸ down_blocks.0.resnets.0", "norm1", "time_emb_proj"],
    );
}

#[test]
fn without_guidance_the_other_half_is_not_invented() {
    let session = unguided()
        .press(KeyCode::Char('7'))
        .press(KeyCode::Enter)
        .until(settled);
    seen(&session.app, (120, 40), &["conv_in", "fitted on"]);
    let session = session.press(KeyCode::Char('u')).until(settled);
    seen(&session.app, (120, 40), &["Guidance is off at this step"]);
}

fn unguided() -> Session {
    let session = Session::start(loader(), PROMPT, 2);
    let session = session.until(has_picture).press(KeyCode::Char('p'));
    // To the guidance scale.
    let session = (0..4).fold(session, |session, _| session.press(KeyCode::Down));
    let session = (0..4).fold(session, |session, _| session.press(KeyCode::Backspace));
    session
        .type_in("1")
        .press(KeyCode::Enter)
        .until(has_picture)
}

/// What was stepped into while a run was cancelled is what there is so far.
#[test]
fn a_run_that_was_cancelled_can_be_stepped_into() {
    let session = Session::start(loader(), PROMPT, 200);
    let session = session.until(|app| app.run().is_some_and(|run| run.trace.steps.len() > 2));
    let session = session.press(KeyCode::Char('c')).until(settled);
    let session = session.press(KeyCode::Char('7')).press(KeyCode::Home);
    let session = session.press(KeyCode::Enter);
    let session = session.until(|app| app.cursor.probed(app.run().unwrap()).is_some());
    seen(
        &session.app,
        (120, 40),
        &["▸ step 1 ▸ UNet ▸ conv_in", "out 64×16×16"],
    );
}

#[test]
fn a_recording_says_that_it_has_no_model_to_step_into() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut session = Session::start(loader(), PROMPT, 2);
    session.app.export.plan = ExportOptions {
        json: Some(path.clone()),
        ..ExportOptions::default()
    };
    let is_saved = |app: &App| matches!(&app.notice, Some(Notice::Done(..)));
    drop(session.until(is_saved));
    let session = Session {
        app: App::new(64 << 20),
        worker: Worker::replay(Replay::open(&path).unwrap()).unwrap(),
    };
    let session = session.until(has_picture);
    for stage in ['7', '9', '4'] {
        let session = Session {
            app: session.app.clone(),
            worker: Worker::replay(Replay::open(&path).unwrap()).unwrap(),
        };
        let session = session.press(KeyCode::Char(stage)).press(KeyCode::Enter);
        for size in [(80, 24), (120, 40)] {
            seen(
                &session.app,
                size,
                &["without its model", "diffuscope -p TEXT"],
            );
        }
        assert!(!session.app.is_busy() && !session.app.can_patch());
        let session = session.press(KeyCode::Esc);
        assert_eq!(session.app.cursor.inside(), None);
    }
}

/// From the key to the screen, on the embedded model: a measurement.
#[test]
#[ignore = "a measurement: --ignored --nocapture, in a release build"]
fn stepping_in_is_quick() {
    let session = finished(10).press(KeyCode::Char('7'));
    let start = std::time::Instant::now();
    let session = session.press(KeyCode::Enter);
    let session = session.until(|app| app.cursor.probed(app.run().unwrap()).is_some());
    let first = start.elapsed();
    let session = session.until(settled);
    let all = start.elapsed();
    let start = std::time::Instant::now();
    let session = session.press(KeyCode::Left);
    let session = session.until(|app| app.cursor.probed(app.run().unwrap()).is_some());
    let step = start.elapsed();
    let start = std::time::Instant::now();
    let session = session.press(KeyCode::Down).press(KeyCode::Enter);
    drop(session.until(|app| app.cursor.probed(app.run().unwrap()).is_some()));
    let lines = start.elapsed();
    println!("into the UNet {first:?}, all steps fitted {all:?}, a step {step:?}, lines {lines:?}");
}

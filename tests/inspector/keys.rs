//! Acting on a run in the inspector: going back, branching, changing a word's attention, comparing, pointing.

use super::support::{PROMPT, Session, attention, draw, find, has_picture, loader, pipeline, text};
use crossterm::event::KeyCode;
use diffuscope::checkpoint::BrokenWeight;
use diffuscope::export::{ExportOptions, Replay};
use diffuscope::generation::RequestPatch;
use diffuscope::lesson::Language;
use diffuscope::model::AttentionDetail;
use diffuscope::trace::{Event, Guidance, Stats, TensorData};
use diffuscope::tui::state::action::{Action, Typing};
use diffuscope::tui::state::editor::Field;
use diffuscope::tui::state::run::Run;
use diffuscope::tui::state::{App, Notice, View};
use diffuscope::tui::ui::screen;
use diffuscope::tui::ui::theme::Theme;
use diffuscope::tui::worker::{AttentionKey, Loader, Opened, Update, Worker};

fn finished(steps: usize) -> Session {
    Session::start(loader(), PROMPT, steps).until(has_picture)
}

fn image(run: &Run) -> &[u8] {
    run.trace.image.as_ref().expect("a picture").image.as_raw()
}

fn other(app: &App, id: u64) -> &Run {
    let found = app.runs.others.iter().find(|run| run.id == id);
    found.expect("the run was kept")
}

#[test]
fn a_branch_goes_on_from_where_it_left_and_stands_beside_it() {
    let session = finished(4)
        .press(KeyCode::Left)
        .press(KeyCode::Char('b'))
        .type_in(" at night");
    assert!(text(&session.app, (120, 40)).contains("from step"));
    let session = session.press(KeyCode::Enter).until(has_picture);
    let app = &session.app;
    let (branch, before) = (app.run().unwrap(), other(app, 1));
    assert_eq!(branch.origin.unwrap().step, 2);
    assert_eq!(branch.trace.request.prompt, format!("{PROMPT} at night"));
    // What was done until then is shared, what comes after is its own.
    for step in 0..2 {
        let pair = [branch, before].map(|run| run.step(step).unwrap());
        assert_eq!(pair[0].tensors, pair[1].tensors);
    }
    let tensor = |run: &Run, name| run.step(2).unwrap().tensor(name).unwrap().clone();
    assert_eq!(tensor(branch, "latents"), tensor(before, "latents"));
    assert_ne!(tensor(branch, "noise_text"), tensor(before, "noise_text"));
    assert_ne!(image(branch), image(before));
    // Both stand side by side, with their difference in words.
    let screen = text(app, (120, 40));
    assert!(screen.contains("run 2 from 1 at step 3"), "{screen}");
    assert!(
        screen.contains("bit for bit") || screen.contains("apart"),
        "{screen}"
    );
}

#[test]
fn a_branch_with_an_unchanged_request_gives_the_same_picture_bit_for_bit() {
    let session = finished(3)
        .press(KeyCode::Home)
        .press(KeyCode::Right)
        .press(KeyCode::Char('b'))
        .press(KeyCode::Enter)
        .until(has_picture)
        .press(KeyCode::Char('9'));
    let app = &session.app;
    assert_eq!(image(app.run().unwrap()), image(other(app, 1)));
    assert!(text(app, (120, 40)).contains("equal, bit for bit"));
}

#[test]
fn a_branch_cannot_begin_after_the_newest_step() {
    let session = finished(2).press(KeyCode::Char('b'));
    let session = (0..3).fold(session, |session, _| session.press(KeyCode::Tab));
    let session = session.type_in("9").press(KeyCode::Enter);
    let screen = text(&session.app, (120, 40));
    assert!(
        screen.contains("a branch begins at a step from 1 to 2"),
        "{screen}"
    );
    assert!(session.app.runs.others.is_empty());
}

#[test]
fn a_word_without_weight_is_attended_to_nowhere_and_every_screen_says_so() {
    let session = finished(3)
        .press(KeyCode::Char('8'))
        .press(KeyCode::Char('w'))
        .type_in("0")
        .press(KeyCode::Enter)
        .until(has_picture);
    let app = &session.app;
    let run = app.run().unwrap();
    assert_ne!(image(run), image(other(app, 1)));
    let key = AttentionKey {
        step: 2,
        half: Guidance::Cond,
        detail: AttentionDetail::Mean,
    };
    let horse = 8;
    for map in run.attention(key) {
        assert!(map.map(None, horse).iter().all(|&value| value == 0.0));
    }
    for view in View::ALL {
        let mut app = app.clone();
        app.cursor.view = view;
        assert!(text(&app, (80, 24)).contains("horse × 0"), "{view:?}");
    }
}

#[test]
fn a_word_can_change_places_with_another_one_that_the_prompt_has() {
    let session = finished(2)
        .press(KeyCode::Char('8'))
        .press(KeyCode::Char('w'))
        .type_in("astronaut")
        .press(KeyCode::Enter)
        .until(has_picture);
    assert!(text(&session.app, (120, 40)).contains("horse ⇄ astronaut"));
}

#[test]
fn every_run_of_the_session_is_kept_as_a_tree_and_can_be_looked_at_again() {
    let session = finished(2)
        .press(KeyCode::Char('b'))
        .type_in(" at night")
        .press(KeyCode::Enter)
        .until(has_picture)
        .press(KeyCode::Char('r'))
        .until(has_picture)
        .press(KeyCode::Char('t'));
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("└ from step 2"), "{screen}");
    let tree: Vec<(u64, usize)> = (session.app.runs.tree().iter())
        .map(|row| (row.run.id, row.depth))
        .collect();
    assert_eq!(tree, [(1, 0), (2, 1), (3, 0)]);
    let session = session
        .press(KeyCode::Up)
        .press(KeyCode::Up)
        .press(KeyCode::Enter);
    let run = session.app.run().unwrap();
    assert_eq!((run.id, run.trace.request.prompt.as_str()), (1, PROMPT));
    // It is still there for the model, too: its attention can be computed again.
    let session = session
        .press(KeyCode::Char('8'))
        .press(KeyCode::Char('h'))
        .until(|app| attention(app).1);
    assert!(session.app.notice.is_none());
}

#[test]
fn two_runs_side_by_side_are_shown_with_their_difference_in_every_view() {
    let mut session = finished(2)
        .press(KeyCode::Char('b'))
        .type_in(" at night")
        .press(KeyCode::Enter)
        .until(has_picture);
    for view in View::ALL {
        for size in [(80, 24), (120, 40), (200, 60)] {
            session.app.cursor.view = view;
            let screen = text(&session.app, size);
            for words in ["run 1", "run 2"] {
                assert!(screen.contains(words), "{view:?} {size:?}\n{screen}");
            }
        }
    }
    session.app.cursor.view = View::Tokens;
    assert!(text(&session.app, (120, 40)).contains("of 77 positions differ"));
    session.app.cursor.view = View::Noise;
    assert!(text(&session.app, (120, 40)).contains("initial noise: equal, bit for bit"));
    let session = session.press(KeyCode::Char('y'));
    assert!(!text(&session.app, (120, 40)).contains("run 1:"));
}

#[test]
fn a_paused_run_goes_on_to_the_step_that_was_asked_for_and_waits() {
    let session = Session::start(loader(), PROMPT, 6)
        .until(App::has_steps)
        .press(KeyCode::Char(' '))
        .until(App::can_continue);
    let session = session
        .press(KeyCode::Char('g'))
        .type_in("5")
        .press(KeyCode::Enter)
        .until(App::can_continue);
    let steps = session.app.run().unwrap().trace.steps.len();
    assert_eq!(steps, 5);
    assert_eq!(session.app.cursor.step, 4);
}

#[test]
fn a_place_of_the_picture_says_which_words_it_attends_to() {
    let session = finished(2)
        .press(KeyCode::Char('8'))
        .press(KeyCode::Char('x'));
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("here, 50 % across, 50 % down"), "{screen}");
    let moved = session.press(KeyCode::Right);
    assert!(text(&moved.app, (120, 40)).contains("here, 54 % across"));
    // The shares are those of the maps at that place, and with start, end and padding they make up all of it.
    let run = moved.app.run().unwrap();
    let key = moved.app.cursor.attention_key(AttentionDetail::Mean);
    let maps = run.attention(key);
    let (across, down) = moved.app.cursor.attention.place;
    let share = |token: usize| {
        let of = maps.iter().map(|map| {
            let x = (across * map.width as f32) as usize;
            let y = (down * map.height as f32) as usize;
            f64::from(map.map(None, token)[y * map.width + x])
        });
        of.sum::<f64>() / maps.len() as f64
    };
    let horse = format!("{:.1} %", 100.0 * share(8));
    let screen = text(&moved.app, (120, 40));
    let line = screen
        .lines()
        .find(|line| line.contains("horse ") && line.contains(&horse));
    assert!(line.is_some(), "{horse}\n{screen}");
    assert!(((0..77).map(share).sum::<f64>() - 1.0).abs() < 1e-4);
}

#[test]
fn the_unconditional_half_is_computed_again_and_is_another_one() {
    let session = finished(2)
        .press(KeyCode::Char('8'))
        .press(KeyCode::Char('u'))
        .until(|app| !attention(app).0.is_empty());
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("without the prompt"), "{screen}");
    let run = session.app.run().unwrap();
    let maps = |half| {
        let detail = AttentionDetail::Mean;
        let step = 1;
        run.attention(AttentionKey { step, half, detail })
    };
    assert_eq!(maps(Guidance::Uncond).len(), maps(Guidance::Cond).len());
    assert_ne!(maps(Guidance::Uncond), maps(Guidance::Cond));
}

#[test]
fn small_maps_go_through_steps_layers_and_heads() {
    let session = finished(3).press(KeyCode::Char('8'));
    assert!(text(&session.app, (120, 40)).contains("every word"));
    let session = session.press(KeyCode::Char('v'));
    assert!(text(&session.app, (120, 40)).contains("“horse” at every step"));
    let session = session.press(KeyCode::Char('v'));
    assert!(text(&session.app, (120, 40)).contains("“horse” in every layer"));
    let session = session
        .press(KeyCode::Char('v'))
        .until(|app| attention(app).1);
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("“horse” in every head of"), "{screen}");
    assert!(screen.contains("head 3"), "{screen}");
}

#[test]
fn the_mouse_selects_what_it_points_at() {
    let session = finished(4).press(KeyCode::Char('8'));
    let size = (120, 40);
    let (app, theme) = (&session.app, Theme::default());
    let buffer = draw(app, size);
    let (x, y) = find(&buffer, "Noise");
    assert_eq!(
        screen::hit(app, size, (x, y), theme),
        Some(Action::Show(View::Noise))
    );
    let (x, y) = find(&buffer, "noise ├");
    assert_eq!(
        screen::hit(app, size, (x + 7, y), theme),
        Some(Action::GoTo(0))
    );
    let (x, y) = find(&buffer, "over x0");
    let clicked = screen::hit(app, size, (x, y + 4), theme);
    assert!(matches!(clicked, Some(Action::PlaceAt(..))), "{clicked:?}");
    assert_eq!(screen::hit(app, size, (119, 20), theme), None);
}

#[test]
fn a_recorded_run_opens_without_its_model_and_shows_the_same_numbers() {
    let session = finished(2);
    let live = session.app.run().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut app = App::new(64 << 20);
    app.export.plan = ExportOptions {
        json: Some(folder.path().join("run")),
        attention: AttentionDetail::Mean,
        ..ExportOptions::default()
    };
    let mut recorded = Session::start(loader(), PROMPT, 2);
    recorded.app = app;
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
    let run = session.app.run().unwrap();
    assert_eq!(image(run), image(live));
    assert_eq!(run.step(1).unwrap().tensors, live.step(1).unwrap().tensors);
    for view in View::ALL {
        let shown = |app: &App| {
            let mut app = app.clone();
            app.cursor.view = view;
            text(&app, (120, 40))
        };
        assert!(!shown(&session.app).contains("will stand here"), "{view:?}");
    }
    let session = session.press(KeyCode::Char('8')).press(KeyCode::Char('u'));
    let session = session.until(|app| matches!(app.notice, Some(Notice::Failed(_))));
    assert!(text(&session.app, (120, 40)).contains("not part of this recording"));
    assert!(!session.app.can_edit() && !session.app.can_branch());
}

#[test]
fn every_view_explains_itself_at_three_depths() {
    let mut session = finished(1);
    for view in View::ALL {
        session.app.cursor.view = view;
        session = session.press(KeyCode::Char('i'));
        assert!(text(&session.app, (80, 24)).contains("idea"), "{view:?}");
        session = session.press(KeyCode::Char('i')).press(KeyCode::Char('i'));
        assert!(session.app.explain.is_some());
        session = session.press(KeyCode::Char('i'));
        assert!(session.app.explain.is_none());
    }
}

/// Memory that a run keeps, in bytes: `text` states of `(77, hidden)`, and a step's six tensors of `latents` numbers, two
/// previews and attention of every layer (heights and widths).
fn expected_bytes(
    steps: usize,
    (states, hidden): (usize, usize),
    latents: (usize, usize, usize),
    layers: &[(usize, usize)],
    image: usize,
) -> usize {
    let (channels, height, width) = latents;
    let pixels = height * width;
    let maps: usize = layers
        .iter()
        .map(|(height, width)| 77 * height * width * 4)
        .sum();
    let step = 6 * channels * pixels * 4 + 2 * pixels * 3 + maps;
    states * 77 * hidden * 4 + channels * pixels * 4 + steps * step + image
}

/// Memory of everything that is kept of `run`, in bytes, besides a little for names and lists.
fn bytes(run: &Run) -> usize {
    let text = run.trace.text.iter();
    let text = text.flat_map(|text| text.prompt.iter().chain([&text.negative_prompt_embedding]));
    let noise = run.trace.noise.iter().map(|noise| &noise.initial_noise);
    let steps = run.trace.steps.iter().flat_map(|step| &step.tensors);
    let values: usize = (text.chain(noise).chain(steps))
        .map(|tensor| tensor.data.len() * size_of::<f32>())
        .sum();
    let previews = run.pictures.iter();
    let previews = previews.flat_map(|pictures| [&pictures.latents, &pictures.x0]);
    let pictures = previews.chain(run.decoded.values());
    let pictures = pictures.map(|picture| picture.as_raw().len());
    let image = run.trace.image.iter().map(|data| data.image.as_raw().len());
    let (attention, _) = run.attention_memory();
    values + pictures.chain(image).sum::<usize>() + attention + run.recomputed_bytes()
}

#[test]
fn a_run_of_fifty_steps_at_full_size_stays_within_a_gibibyte() {
    // At the embedded model's size the formula is what a run really keeps …
    let session = finished(50);
    let run = session.app.run().unwrap();
    let maps = run.trace.attention.step(49);
    let layers: Vec<_> = maps.iter().map(|maps| (maps.height, maps.width)).collect();
    let text = run.trace.text.as_ref().unwrap();
    let states = text.prompt.len() + 1;
    let small = expected_bytes(50, (states, 96), (4, 16, 16), &layers, 128 * 128 * 3);
    assert_eq!(bytes(run), small);
    // … and at the size of Stable Diffusion v1: 12 layers of 768, 64x64 latents, 16 layers of cross-attention.
    let layers: Vec<_> = [(64, 5), (32, 5), (16, 5), (8, 1)]
        .into_iter()
        .flat_map(|(size, count)| vec![(size, size); count])
        .collect();
    let states = 12 + 3 + 1;
    let full = expected_bytes(50, (states, 768), (4, 64, 64), &layers, 512 * 512 * 3);
    println!("50 steps at full size: {} MiB", full >> 20);
    // Every step decoded, and the worker's own latents, four of the sampler's memory among them, besides.
    let decoded = 50 * 512 * 512 * 3;
    let moments = 50 * 5 * 4 * 64 * 64 * 4;
    assert!(full + decoded + moments < 1 << 30);
}

#[test]
fn all_runs_together_keep_to_the_budget_and_the_newest_is_whole() {
    let mut session = finished(4);
    let (used, _) = session.app.run().unwrap().attention_memory();
    // Room for two and a half runs.
    session = Session::start(loader(), PROMPT, 4);
    session.app = App::new(used * 10 / 3);
    let mut session = session.until(has_picture);
    for _ in 0..3 {
        session = session.press(KeyCode::Char('r')).until(has_picture);
    }
    let app = &session.app;
    let memory = |run: &Run| run.attention_memory().0;
    assert_eq!(memory(app.run().unwrap()), used);
    assert_eq!(memory(other(app, 1)), 0);
    assert_eq!(memory(other(app, 3)), used);
    // What was forgotten is computed again when it is looked at.
    let session = session
        .press(KeyCode::Char('8'))
        .press(KeyCode::Char('t'))
        .press(KeyCode::Up)
        .press(KeyCode::Up)
        .press(KeyCode::Up)
        .press(KeyCode::Enter);
    let session = session.until(|app| !app.is_busy() && !attention(app).0.is_empty());
    assert_eq!(session.app.run().unwrap().id, 1);
}

#[test]
fn another_model_can_be_opened_in_place_and_earlier_runs_stay_to_be_looked_at() {
    let names = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let asked = std::sync::Arc::clone(&names);
    let loader: Loader = Box::new(move |name| {
        asked.lock().unwrap().push(name.map(str::to_owned));
        match name {
            Some("nowhere") => anyhow::bail!("there is no folder `nowhere`"),
            _ => Ok(Opened {
                pipeline: pipeline(),
                note: Some(["it needs 5 GB", "需要 5 GB"].map(str::to_owned)),
            }),
        }
    });
    let session = Session::start(loader, PROMPT, 2).until(has_picture);
    let open = |mut session: Session, name: &str| {
        session.app.cursor.field = Field::Model;
        let session = session.press(KeyCode::Char('p'));
        let session = session.act(Action::Type(Typing::DeleteToStart));
        session.type_in(name).press(KeyCode::Enter)
    };
    let session = open(session, "nowhere");
    assert!(text(&session.app, (80, 24)).contains("opening nowhere"));
    let session = session.until(|app| app.opening.is_none());
    assert!(text(&session.app, (80, 24)).contains("there is no folder `nowhere`"));
    // The model that was there goes on.
    let session = session
        .press(KeyCode::Esc)
        .press(KeyCode::Char('r'))
        .until(has_picture);
    let session = open(session, "another").until(|app| app.opening.is_none() && has_picture(app));
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("it needs 5 GB"), "{screen}");
    let asked: Vec<Option<String>> = names.lock().unwrap().clone();
    assert_eq!(
        asked,
        [None, Some("nowhere".into()), Some("another".into())]
    );
    assert_eq!(session.app.run().unwrap().id, 3);
    let session = session
        .press(KeyCode::Char('t'))
        .press(KeyCode::Up)
        .press(KeyCode::Enter)
        .press(KeyCode::Char('1'));
    let app = &session.app;
    assert_eq!(app.run().unwrap().id, 2);
    assert!(!app.can_branch() && app.can_edit() && app.can_run_again());
    assert!(text(app, (120, 40)).contains("astronaut"));
}

#[test]
fn values_that_are_not_finite_are_said_at_the_step_where_they_appear() {
    let mut app = finished(3).app;
    let run = app.run().unwrap();
    let id = run.id;
    let broken = |index: usize| {
        let mut step = run.step(index).unwrap().clone();
        let noise = step
            .tensors
            .iter_mut()
            .find(|tensor| &*tensor.name == "noise_text");
        let noise = noise.unwrap();
        let mut values = noise.data.to_vec();
        values[7] = f32::NAN;
        *noise = TensorData::from_values("noise_text", noise.shape.clone(), values);
        Update::Recorded {
            run: id,
            event: Event::Step(step.into()),
            pictures: Some(run.pictures[index].clone()),
        }
    };
    let (first, second) = (broken(1), broken(2));
    app.apply(first);
    let said = |app: &App| {
        text(app, (80, 24))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let screen = said(&app);
    assert!(
        screen.contains("1 of the 1024 values of noise_text at step 2"),
        "{screen}"
    );
    // It runs in f32 already.
    assert!(screen.contains("outgrow even f32"), "{screen}");
    assert!(!screen.contains("--dtype"), "{screen}");
    let weight = BrokenWeight {
        tensor: "mid_block.resnets.0.conv1.weight".into(),
        file: "unet/x.safetensors".into(),
        non_finite: 1,
        count: 9,
        too_large: false,
    };
    app.apply(Update::Blamed { run: id, weight });
    let screen = said(&app);
    assert!(
        screen.contains("mid_block.resnets.0.conv1.weight"),
        "{screen}"
    );
    app.update(Action::Dismiss);
    app.apply(second);
    // Every screen goes on saying it, and the message does not come again.
    assert!(app.notice.is_none());
    for view in View::ALL {
        app.cursor.view = view;
        assert!(
            said(&app).contains("NaN or infinite since step 2"),
            "{view:?}"
        );
    }
    app.lesson.language = Language::Zh;
    let screen = said(&app).replace(' ', "");
    assert!(screen.contains("从第2步起有NaN或无穷大"), "{screen}");
}

#[test]
fn a_picture_that_the_autoencoder_spoils_is_said_in_both_languages() {
    for language in Language::ALL {
        let mut app = finished(1).app;
        app.lesson.language = language;
        let run = app.run().unwrap();
        let id = run.id;
        let image = run.trace.image.clone().unwrap();
        let mut broken = (*image).clone();
        broken.stats = Some(Stats {
            non_finite: 7,
            ..image.stats.unwrap()
        });
        broken.dtype = Some("f16".into());
        app.apply(Update::Recorded {
            run: id,
            event: Event::Image(broken.into()),
            pictures: None,
        });
        let screen = text(&app, (120, 40)).split_whitespace().collect::<String>();
        let (what, short) = match language {
            Language::En => ("7ofthe", "NaNorinfiniteinthepicture"),
            Language::Zh => ("其中7个是NaN或无穷大", "图片里有NaN或无穷大"),
        };
        assert!(screen.contains(what) && screen.contains(short), "{screen}");
        assert!(screen.contains("--vae-dtypef32"), "{screen}");
    }
}

#[test]
fn what_is_patched_and_guided_stands_on_every_screen_live_and_recorded() {
    let request = RequestPatch {
        prompt: Some(PROMPT.to_owned()),
        steps: Some(2),
        guidance_steps: Some("2".parse().unwrap()),
        patches: Some(vec!["mid_block.attentions.0=off".parse().unwrap()]),
        ..RequestPatch::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut app = App::new(64 << 20);
    app.export.plan = ExportOptions {
        json: Some(folder.path().join("run")),
        ..ExportOptions::default()
    };
    let worker = Worker::spawn(loader(), request).unwrap();
    let session = Session { app, worker }.until(
        |app| matches!(&app.notice, Some(Notice::Done(words, _)) if words.contains("saved")),
    );
    let says_so = |app: &App| {
        let screen = text(app, (120, 40));
        screen.contains("mid_block.attentions.0 off in both halves · guidance only in step 2")
    };
    let mut session = session;
    for view in View::ALL {
        session = session.act(Action::Show(view));
        assert!(says_so(&session.app), "{view:?}");
    }
    // The first step is without guidance: its unconditional half is not asked for, and said to be missing.
    let session = session
        .act(Action::Show(View::Denoising))
        .act(Action::GoTo(0));
    assert!(text(&session.app, (120, 40)).contains("Guidance is off at this step"));
    assert!(!session.app.run().unwrap().is_guided_at(0));
    assert!(session.app.run().unwrap().is_guided_at(1));

    // The form has no field for either and keeps both, but for steps that a shorter run has not.
    let session = session
        .act(Action::Edit)
        .act(Action::Type(Typing::Submit))
        .until(has_picture);
    let asked = session.app.request().unwrap().clone();
    assert_eq!(
        (asked.patches.len(), asked.guidance_steps.is_some()),
        (1, true)
    );
    let mut session = session.act(Action::Edit);
    for _ in 0..3 {
        session = session.act(Action::Type(Typing::NextField));
    }
    let session = session
        .act(Action::Type(Typing::DeleteToStart))
        .act(Action::Type(Typing::Insert("1".into())))
        .act(Action::Type(Typing::Submit))
        .until(has_picture);
    let asked = session.app.request().unwrap();
    assert_eq!((asked.steps, asked.patches.len()), (1, 1));
    assert_eq!(asked.guidance_steps, None);

    let replay = Replay::open(&folder.path().join("run")).unwrap();
    let app = App::new(64 << 20);
    let worker = Worker::replay(replay).unwrap();
    let recorded = Session { app, worker }.until(has_picture);
    assert!(says_so(&recorded.app), "{}", text(&recorded.app, (120, 40)));
}

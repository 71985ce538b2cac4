//! A closer look at attention: heads at a glance, self-attention, and one product by hand. What stands on the screen is held
//! against the network's own probabilities.

use std::sync::Arc;
use std::time::Instant;

use crossterm::event::KeyCode;
use diffuscope::export::{ExportOptions, Replay};
use diffuscope::lesson::Language;
use diffuscope::model::AttentionDetail;
use diffuscope::trace::{AttentionMaps, Guidance};
use diffuscope::tui::state::action::Action;
use diffuscope::tui::state::{App, Grid, Mode, Notice, View, closer};
use diffuscope::tui::worker::{AttentionKey, Worker};

use super::support::{PROMPT, Session, draw, find, has_picture, lines, loader, text};

const LARGE: (u16, u16) = (200, 60);

/// The attention view of a run of so many steps that is done.
fn attention(steps: usize) -> Session {
    let session = Session::start(loader(), PROMPT, steps).until(has_picture);
    session.act(Action::Show(View::Attention))
}

/// The same with `v` pressed until it shows `grid`, and all that it shows is there.
fn showing(steps: usize, grid: Grid) -> Session {
    show(attention(steps), grid)
}

fn show(mut session: Session, grid: Grid) -> Session {
    while session.app.cursor.attention.grid != grid {
        session = session.press(KeyCode::Char('v'));
    }
    session.until(|app| !app.is_busy())
}

fn press(session: Session, keys: &str) -> Session {
    let session = keys
        .chars()
        .fold(session, |session, key| session.press(KeyCode::Char(key)));
    session.until(|app| !app.is_busy())
}

/// The network's own probabilities of every head, at the cursor.
fn heads(app: &App) -> Vec<AttentionMaps> {
    let mut session = Session::start(loader(), PROMPT, app.run().unwrap().trace.steps.len());
    session = session
        .until(has_picture)
        .act(Action::Show(View::Attention));
    session.app.cursor.step = app.cursor.step;
    session.app.cursor.attention.head = Some(0);
    let session = session.act(Action::NextHead).until(|app| !app.is_busy());
    let key = AttentionKey {
        step: app.cursor.step,
        half: Guidance::Cond,
        detail: AttentionDetail::Heads,
    };
    session.app.run().unwrap().attention(key).to_vec()
}

/// The words of the row that begins with `name`, from where `name` stands on.
fn row<'a>(screen: &'a str, name: &str) -> Vec<&'a str> {
    let found = screen.lines().find_map(|line| {
        let (_, view) = line.split_once('│')?;
        view.trim_start().starts_with(name).then_some(view)
    });
    let found = found.unwrap_or_else(|| panic!("no row {name}:\n{screen}"));
    found.split_whitespace().collect()
}

fn number(word: &str) -> f64 {
    let parsed = word.replace('−', "-").parse();
    parsed.unwrap_or_else(|_| panic!("{word} is no number"))
}

#[test]
fn the_matrix_has_what_every_head_attends_to_and_goes_to_a_head_and_back() {
    let session = showing(3, Grid::Matrix);
    let maps = heads(&session.app);
    let share = |layer: usize, head: usize, token: usize| {
        let map = maps[layer].map(Some(head), token);
        100.0 * map.iter().map(|&x| f64::from(x)).sum::<f64>() / map.len() as f64
    };
    let bits = |layer: usize, head: usize| {
        let places = maps[layer].height * maps[layer].width;
        let bits = (0..places).map(|place| {
            let row = (0..77).map(|token| f64::from(maps[layer].map(Some(head), token)[place]));
            row.filter(|&x| x > 0.0).map(|x| -x * x.log2()).sum::<f64>()
        });
        bits.sum::<f64>() / places as f64
    };
    let screen = text(&session.app, LARGE);
    let words = row(&screen, "mid 0");
    // The name, its size, the mean, four heads.
    let shown: Vec<f64> = words[4..=8].iter().map(|word| number(word)).collect();
    let mid = 2;
    for head in 0..4 {
        assert!(
            (shown[head + 1] - bits(mid, head)).abs() < 0.006,
            "{words:?}"
        );
    }
    let mean = (0..4).map(|head| bits(mid, head)).sum::<f64>() / 4.0;
    assert!((shown[0] - mean).abs() < 0.006, "{words:?}");
    // The share of the selected word, of start, of end, of all padding.
    let mut session = session;
    let tokens = session.app.run().unwrap().tokens();
    let end = tokens.iter().position(|token| token.id == 49_407).unwrap();
    let selected = session.app.cursor.token;
    for tokens in [vec![selected], vec![0], vec![end], (end + 1..77).collect()] {
        session = press(session, "z");
        let screen = text(&session.app, LARGE);
        let words = row(&screen, "mid 0");
        for head in 0..4 {
            let expected: f64 = tokens.iter().map(|&token| share(mid, head, token)).sum();
            let shown = number(words[5 + head]);
            assert!(
                (shown - expected).abs() < 0.006,
                "{tokens:?}, head {head}: {expected}: {words:?}"
            );
        }
    }

    let session = press(showing(3, Grid::Matrix), "x");
    assert_eq!(session.app.mode, Mode::Place);
    // Down three times: mean, then the layers; right twice: mean, head 0, head 1.
    let session = [
        KeyCode::Down,
        KeyCode::Down,
        KeyCode::Down,
        KeyCode::Right,
        KeyCode::Right,
    ]
    .into_iter()
    .fold(session, Session::press);
    let at = session.app.cursor.attention;
    assert_eq!((at.layer, at.head), (Some(2), Some(1)));
    let screen = text(&session.app, (120, 40));
    let expected = format!("mid 0 · head 1: entropy {:.2} bit", bits(2, 1));
    assert!(screen.contains(&expected), "{expected}:\n{screen}");
    let session = session.press(KeyCode::Enter).until(|app| !app.is_busy());
    let at = session.app.cursor.attention;
    assert_eq!(
        (at.grid, at.layer, at.head),
        (Grid::Heads, Some(2), Some(1))
    );
    assert!(text(&session.app, (120, 40)).contains("mid 0 · 4×4 · head 1"));
    let session = session.press(KeyCode::Esc);
    assert_eq!(session.app.cursor.attention.grid, Grid::Matrix);
    assert_eq!(session.app.cursor.attention.head, Some(1));
    // From the matrix itself esc goes nowhere, and enter opens the head without x, too.
    let session = session.press(KeyCode::Enter);
    assert_eq!(session.app.cursor.attention.grid, Grid::Heads);
}

#[test]
fn the_matrix_is_there_at_every_step_of_a_quick_run() {
    let mut session = attention(4);
    // However long they took on a machine that has other things to do.
    for step in &mut session.app.runs.current.as_mut().unwrap().trace.steps {
        Arc::make_mut(step).seconds = 0.01;
    }
    let session = show(session, Grid::Matrix);
    let run = session.app.run().unwrap();
    for step in 0..4 {
        let heads = closer::heads(run, &session.app.cursor, step);
        assert_eq!(heads.map(<[_]>::len), Some(7), "step {step}");
    }
    let other = session.press(KeyCode::Left);
    assert_eq!(other.app.cursor.step, 2);
    assert!(!other.app.is_busy(), "nothing is computed again");
}

#[test]
fn a_place_looks_at_places_and_the_cursor_moves_it() {
    let session = press(showing(2, Grid::Own), "x");
    let look = |session: &Session| -> Vec<f32> {
        let (run, cursor) = (session.app.run().unwrap(), &session.app.cursor);
        let layers = closer::projections(run, cursor).unwrap();
        let place = layers[0].place_at(cursor.attention.place);
        closer::row(layers, cursor.attention.head, place)
    };
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("mean of the 3 layers of 16×16"), "{screen}");
    let before = look(&session);
    assert_eq!(before.len(), 256);
    assert!((before.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    let place = (8 * 16 + 8, 8 * 16 + 9);
    assert!(
        screen.contains(&format!("itself {:.1} %", 100.0 * before[place.0])),
        "{screen}"
    );
    let session = session.press(KeyCode::Right);
    // Another row of the same map: no pass of the network.
    assert!(!session.app.is_busy());
    let after = look(&session);
    assert_ne!(before, after);
    let screen = text(&session.app, (120, 40));
    assert!(
        screen.contains(&format!("itself {:.1} %", 100.0 * after[place.1])),
        "{screen}"
    );
    // Another layer and a head, in either half.
    // (In the first layer nothing has read the prompt yet: both halves are one.)
    let session = press(session, "x")
        .press(KeyCode::Down)
        .press(KeyCode::Down);
    let session = press(session, "h");
    let screen = text(&session.app, (120, 40));
    assert!(
        screen.contains("layer 2 of 7: down 1.0 · 8×8 · head 0"),
        "{screen}"
    );
    let with_prompt = look(&session);
    let session = press(session, "u");
    assert!(text(&session.app, (120, 40)).contains("without the prompt"));
    assert_ne!(look(&session), with_prompt);
    // A click on the picture is a place.
    let buffer = draw(&session.app, (120, 40));
    let (x, y) = find(&buffer, "its look over x0");
    let theme = diffuscope::tui::ui::theme::Theme::default();
    let hit = diffuscope::tui::ui::screen::hit(&session.app, (120, 40), (x + 1, y + 1), theme);
    let is_corner = |across: f32, down: f32| across < 0.1 && down < 0.1;
    assert!(
        matches!(hit, Some(Action::PlaceAt(across, down)) if is_corner(across, down)),
        "{hit:?}"
    );
}

#[test]
fn what_belongs_together_is_said_with_its_share_of_the_variance() {
    let session = showing(2, Grid::Own);
    let (run, cursor) = (session.app.run().unwrap(), &session.app.cursor);
    let components = closer::components(run, cursor).unwrap();
    assert_eq!(components.scores.len(), 3);
    assert!(components.explained.is_sorted_by(|a, b| a >= b));
    let shares: Vec<String> = components
        .explained
        .iter()
        .map(|share| format!("{:.0}", 100.0 * share))
        .collect();
    let screen = text(&session.app, (120, 40));
    let expected = format!("{} % of the variance", shares.join(" + "));
    assert!(screen.contains(&expected), "{expected}:\n{screen}");
}

/// The numbers behind `name` in the rows that have it, to the end of each row, one row after the other.
fn numbers(screen: &str, name: &str) -> Vec<f64> {
    let rows = screen.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == name)?;
        let parsed = words[at + 1..]
            .iter()
            .map(|word| word.replace('−', "-").parse());
        parsed.collect::<Result<Vec<f64>, _>>().ok()
    });
    rows.flatten().collect()
}

#[test]
fn what_is_worked_out_by_hand_from_the_screen_is_the_networks_own_probability() {
    let mut session = showing(2, Grid::Numbers);
    let maps = heads(&session.app);
    // The largest layer, one of the most features, and the last; different heads, at a place that is not the middle.
    for (layer, head) in [(0, 0), (2, 2), (6, 1)] {
        let cursor = &mut session.app.cursor.attention;
        (cursor.layer, cursor.head) = (Some(layer), Some(head));
        cursor.place = (0.41, 0.55);
        // Any key has it asked for.
        session = session.act(Action::FirstStep).act(Action::LastStep);
        session = session.until(|app| !app.is_busy());
        let app = &session.app;
        let hand = closer::ByHand::at(app.run().unwrap(), &app.cursor).unwrap();
        let token = app.cursor.token;
        let (size, place) = (hand.layer.size(), hand.place);
        let screen = text(app, (200, 60));
        let (q, k) = (numbers(&screen, "q"), numbers(&screen, "k"));
        assert_eq!((q.len(), k.len()), (size, size), "{screen}");
        // From what stands there, in f64: the product, the scale; the other scores are those of the row.
        let product: f64 = q.iter().zip(&k).map(|(q, k)| q * k).sum();
        let score = product / (size as f64).sqrt();
        let others: f64 = (0..77)
            .filter(|&other| other != token)
            .map(|other| hand.row.scores[other].exp())
            .sum();
        let share = score.exp() / (score.exp() + others);
        let own = f64::from(maps[layer].map(Some(head), token)[place]);
        // Numbers are rounded to three decimals: the score is off by so much at most.
        let off: f64 = q
            .iter()
            .zip(&k)
            .map(|(q, k)| 0.0005 * (q.abs() + k.abs()))
            .sum();
        let off = off / (size as f64).sqrt() + 1e-6;
        assert!(
            (share - own).abs() <= own * off,
            "{share} {own} {off}:\n{screen}"
        );
        // What the screen says of it.
        assert!(
            screen.contains(&format!("= {:.3}", hand.row.scores[token]).replace('-', "−")),
            "{screen}"
        );
        assert!(screen.contains(&format!("= {own:.4}")), "{own}:\n{screen}");
        let sum = row(&screen, "sum");
        assert!((number(sum.get(2).unwrap()) - 1.0).abs() < 1e-9, "{sum:?}");
        // The share times the word's value.
        let (v, brought) = (numbers(&screen, "v"), numbers(&screen, "p×v"));
        assert!(v.len() >= 8 && v.len() == brought.len(), "{screen}");
        for (v, brought) in v.iter().zip(&brought) {
            assert!((v * own - brought).abs() < 0.0011, "{v} {own} {brought}");
        }
    }
}

#[test]
fn small_screens_both_languages_and_two_runs_have_every_closer_look() {
    let session = attention(2);
    let session = press(session, "8");
    let mut beside = session
        .press(KeyCode::Char('b'))
        .type_in(" at night")
        .press(KeyCode::Enter)
        .until(has_picture);
    beside.app.cursor.view = View::Attention;
    for grid in [Grid::Matrix, Grid::Own, Grid::Numbers] {
        beside = show(beside, grid);
        assert!(beside.app.runs.compared().is_some());
        for size in [
            (40, 12),
            (60, 15),
            (80, 24),
            (120, 40),
            (200, 60),
            (300, 20),
        ] {
            let mut app = beside.app.clone();
            for language in [Language::En, Language::Zh] {
                app.lesson.language = language;
                for compared in [true, false] {
                    if !compared {
                        app.runs.end_comparison();
                    }
                    for mode in [Mode::Browse, Mode::Place] {
                        app.mode = mode;
                        assert!(!lines(&draw(&app, size)).is_empty());
                    }
                }
            }
        }
        let screen = text(&beside.app, (160, 40));
        assert!(!screen.contains("being computed"), "{grid:?}:\n{screen}");
    }
}

#[test]
fn where_there_is_nothing_to_look_at_it_is_said_why() {
    // No run yet.
    let mut app = App::new(64 << 20);
    app.cursor.view = View::Attention;
    for grid in [Grid::Matrix, Grid::Own, Grid::Numbers] {
        app.cursor.attention.grid = grid;
        assert!(text(&app, (80, 24)).contains("model is being loaded"));
    }
    // No unconditional half.
    let mut session = attention(2);
    let run = session.app.runs.current.as_mut().unwrap();
    run.trace.request.guidance_scale = 1.0;
    session.app.cursor.attention.half = Guidance::Uncond;
    for grid in [Grid::Matrix, Grid::Own, Grid::Numbers] {
        session = show(session, grid);
        let screen = text(&session.app, (80, 24));
        assert!(screen.contains("Guidance is off at this step"), "{screen}");
    }
}

/// A run that was recorded with `attention`, opened again.
fn recorded(folder: &std::path::Path, attention: AttentionDetail) -> Session {
    let mut live = Session::start(loader(), PROMPT, 2);
    live.app.export.plan = ExportOptions {
        json: Some(folder.join("run")),
        attention,
        ..ExportOptions::default()
    };
    let is_saved =
        |app: &App| matches!(&app.notice, Some(Notice::Done(words, _)) if words.contains("saved"));
    drop(live.until(is_saved));
    let session = Session {
        app: App::new(64 << 20),
        worker: Worker::replay(Replay::open(&folder.join("run")).unwrap()).unwrap(),
    };
    session
        .until(has_picture)
        .act(Action::Show(View::Attention))
}

#[test]
fn a_recording_has_the_heads_that_were_recorded_and_says_what_needs_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let session = show(
        recorded(folder.path(), AttentionDetail::Heads),
        Grid::Matrix,
    );
    let live = showing(2, Grid::Matrix);
    let shown = |session: &Session| -> Vec<String> {
        let screen = text(&session.app, LARGE);
        ["mean", "mid 0", "up 2.1"]
            .iter()
            .map(|name| {
                // Of how many steps there are figures depends on how long they took.
                let words = row(&screen, name).into_iter().filter(|word| *word != "·");
                words.collect::<Vec<_>>().join(" ")
            })
            .collect()
    };
    assert_eq!(shown(&session), shown(&live));
    let session = show(session, Grid::Own);
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("which a recording has not"), "{screen}");

    let folder = tempfile::tempdir().unwrap();
    let session = show(recorded(folder.path(), AttentionDetail::Mean), Grid::Matrix);
    let screen = text(&session.app, (120, 40));
    assert!(screen.contains("--attention heads"), "{screen}");
    // It is asked for once, and not again at every step.
    let session = session
        .press(KeyCode::Esc)
        .press(KeyCode::Left)
        .until(|app| !app.is_busy());
    let session = session
        .press(KeyCode::Esc)
        .press(KeyCode::Right)
        .until(|app| !app.is_busy());
    assert!(session.app.notice.is_none());
}

#[test]
fn a_closer_look_is_written_to_files_as_it_is_seen() {
    for (grid, expected) in [
        (
            Grid::Matrix,
            &[
                "attention_heads-entropy.json",
                "attention_heads-entropy.png",
            ][..],
        ),
        (
            Grid::Own,
            &[
                "self-16x16-8-8.png",
                "self-16x16-8-8.json",
                "self-16x16-components.png",
                "self-16x16-components.json",
            ],
        ),
        (
            Grid::Numbers,
            &[
                "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_q.json",
                "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.json",
                "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v.json",
            ],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut session = showing(2, grid);
        session.app.export.folder = folder.path().to_owned();
        for (row, name) in expected.iter().enumerate() {
            session.app.notice = None;
            session = session.act(Action::Export);
            assert!(
                session.app.export.items[row].name.ends_with(name),
                "{:?}",
                session.app.export.items[row].name
            );
            for _ in 0..row {
                session = session.press(KeyCode::Down);
            }
            session = session.press(KeyCode::Enter).press(KeyCode::Enter);
            session = session.until(|app| matches!(app.notice, Some(Notice::Done(..))));
        }
        for (row, name) in expected.iter().enumerate() {
            let path = folder.path().join(format!("diffuscope-42-step-2-{name}"));
            let bytes =
                std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}, row {row}: {error}"));
            if !name.ends_with("json") {
                assert!(image::load_from_memory(&bytes).is_ok());
                continue;
            }
            let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let (run, cursor) = (session.app.run().unwrap(), &session.app.cursor);
            let values: Vec<f64> = json["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|x| x.as_f64().unwrap())
                .collect();
            let (shape, first) = match *name {
                "attention_heads-entropy.json" => {
                    let heads = closer::heads(run, cursor, 1).unwrap();
                    (vec![7, 4], heads[0].entropy[0])
                }
                "self-16x16-components.json" => (
                    vec![3, 16, 16],
                    closer::components(run, cursor).unwrap().scores[0][0],
                ),
                name if name.starts_with("self") => {
                    let layers = closer::projections(run, cursor).unwrap();
                    (vec![16, 16], closer::row(layers, None, 8 * 16 + 8)[0])
                }
                name => {
                    assert!(name.starts_with(json["name"].as_str().unwrap()));
                    let hand = closer::ByHand::at(run, cursor).unwrap();
                    let (values, rows) = if name.contains("to_q") {
                        (&hand.layer.query, 256)
                    } else if name.contains("to_k") {
                        (&hand.layer.key, 77)
                    } else {
                        (&hand.layer.value, 77)
                    };
                    (vec![rows, 64], values[0])
                }
            };
            assert_eq!(json["shape"], serde_json::json!(shape), "{name}");
            let apart = (values[0] - f64::from(first)).abs();
            assert!(
                apart <= 1e-6 * f64::from(first).abs(),
                "{name}: {} {first}",
                values[0]
            );
        }
    }
}

#[test]
fn a_look_that_is_passed_or_cancelled_is_given_up() {
    let mut session = attention(2);
    session.app.cursor.attention.grid = Grid::Heads;
    // On the way to what is wanted, nobody waits for what lies between.
    let tasks = session.app.update(Action::Switch);
    assert_eq!(session.app.cursor.attention.grid, Grid::Matrix);
    assert!(format!("{tasks:?}").contains("Heads"), "{tasks:?}");
    let tasks = session.app.update(Action::Switch);
    assert_eq!(session.app.cursor.attention.grid, Grid::Own);
    let said = format!("{tasks:?}");
    assert!(
        said.contains("Cancel") && said.contains("Projections"),
        "{said}"
    );
    assert!(session.app.is_looking());
    let tasks = session.app.update(Action::Cancel);
    assert!(format!("{tasks:?}").contains("Cancel"), "{tasks:?}");
    let screen = text(&session.app, (80, 24));
    assert!(screen.contains("This was cancelled"), "{screen}");
    // Another step is looked at, and this one's answer is not waited for.
    let tasks = session.app.update(Action::StepBack);
    assert!(format!("{tasks:?}").contains("Look"), "{tasks:?}");
    for task in tasks {
        session.worker.send(task);
    }
    let session = session.until(|app| !app.is_busy());
    assert!(closer::projections(session.app.run().unwrap(), &session.app.cursor).is_some());
}

#[test]
fn every_closer_look_is_there_soon_after_its_key() {
    let mut session = attention(4);
    let mut figures = Vec::new();
    for grid in [Grid::Matrix, Grid::Own, Grid::Numbers] {
        session.app.cursor.attention.grid = grid;
        let start = Instant::now();
        session = session.act(Action::StepBack).until(|app| {
            let run = app.run().unwrap();
            app.cursor
                .looks()
                .iter()
                .all(|key| run.looked.get(*key).is_some())
        });
        draw(&session.app, (120, 40));
        figures.push(format!(
            "{grid:?} {:.0} ms",
            1000.0 * start.elapsed().as_secs_f64()
        ));
        session = session.until(|app| !app.is_busy());
    }
    println!("from the key to the frame: {}", figures.join(", "));
}

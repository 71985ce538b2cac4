//! Whole screens of the inspector, on a real run of the embedded model: what is read on them, and in which colours.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::support::{
    PROMPT, Session, attention, draw, draw_in, find, has_picture, lines, loader, pipeline, text,
};
use diffuscope::export::colour_map::ColourMap;
use diffuscope::model::AttentionDetail;
use diffuscope::model::tokenizer::Tokens;
use diffuscope::scheduler::SchedulerKind;
use diffuscope::tui::state::action::{Action, Typing};
use diffuscope::tui::state::{App, Model, View};
use diffuscope::tui::ui::theme::{Colours, Theme};
use diffuscope::tui::worker::Loader;
use ratatui::style::Color;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];

/// A finished run of four steps.
fn finished() -> App {
    static APP: OnceLock<App> = OnceLock::new();
    let run = || Session::start(loader(), PROMPT, 4).until(has_picture).app;
    APP.get_or_init(run).clone()
}

fn after(mut app: App, actions: &[Action]) -> App {
    for action in actions {
        app.update(action.clone());
    }
    app
}

#[test]
fn every_stage_shows_what_the_run_really_did_at_every_size() {
    let app = finished();
    let run = app.run().unwrap();
    let step = &run.trace.steps[3];
    let step_sigma = format!("sigma {:.4}", step.sigma);
    let image = &run.trace.image.as_ref().unwrap().image;
    let pixels = format!("{}×{} pixels", image.width(), image.height());
    let expected = [
        (View::Prompt, vec![PROMPT, "seed", "42", "guidance scale"]),
        (
            View::Tokens,
            vec!["18376", "astronaut␣", "4558", "68 6f 72 73 65"],
        ),
        (View::Embedding, vec!["astronaut", "norm", "cosine"]),
        (
            View::TextEncoder,
            vec!["layer 0", "output", "moved", "before", "after"],
        ),
        (
            View::Noise,
            vec!["seed 42", "channel 3", "normal distribution"],
        ),
        (
            View::Schedule,
            vec!["999.00", "14.61", "SNR", "lms · 4 steps"],
        ),
        (
            View::Denoising,
            vec!["step 4", step_sigma.as_str(), "predicted x0", "std(x_t)"],
        ),
        (
            View::Attention,
            vec!["horse", "padding", "share of attention", "every word"],
        ),
        (View::Image, vec![pixels.as_str(), "the picture", "seed"]),
    ];
    for size in SIZES {
        for (view, expected) in &expected {
            let app = after(app.clone(), &[Action::Show(*view)]);
            let screen = text(&app, size);
            for words in expected {
                // At 80 columns the cosine's legend has no room for its name.
                if size.0 == 80 && *words == "cosine" {
                    continue;
                }
                assert!(
                    screen.contains(words),
                    "{view:?} at {size:?} lacks {words:?}:\n{screen}"
                );
            }
            let last = screen.lines().last().unwrap().trim_end().to_owned();
            assert!(last.ends_with("q quit"), "{view:?} at {size:?}: {last}");
        }
    }
}

#[test]
fn a_window_that_is_too_small_says_what_is_needed() {
    let screen = text(&finished(), (30, 8));
    let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("needs 40×12"), "{screen}");
    assert!(words.contains("has 30×8"), "{screen}");
    for size in [(1, 1), (5, 3), (40, 12), (41, 13), (300, 12), (40, 100)] {
        for view in View::ALL {
            draw(&after(finished(), &[Action::Show(view)]), size);
        }
    }
}

#[test]
fn the_noise_is_drawn_in_the_colours_of_its_values() {
    let app = after(finished(), &[Action::Show(View::Noise)]);
    let noise = &app
        .run()
        .unwrap()
        .trace
        .noise
        .as_ref()
        .unwrap()
        .initial_noise;
    let (width, plane) = (noise.shape[2], noise.plane(0));
    let limit = noise
        .data
        .iter()
        .fold(0.0_f32, |limit, value| limit.max(value.abs()));
    let colour = |value: f32| {
        let [red, green, blue] = ColourMap::Signed.at(f32::midpoint(value / limit, 1.0));
        Color::Rgb(red, green, blue)
    };
    // At 80 columns a value is one pixel: half a cell.
    let buffer = draw(&app, (80, 24));
    let (x, y) = find(&buffer, "▸ channel 0");
    for (column, row) in [(0, 0), (5, 1), (15, 7)] {
        let cell = &buffer[(x + column, y + 1 + row)];
        let index = 2 * usize::from(row) * width + usize::from(column);
        assert_eq!(cell.symbol(), "▀");
        assert_eq!(
            cell.fg,
            colour(plane[index]),
            "upper half at {column},{row}"
        );
        assert_eq!(
            cell.bg,
            colour(plane[index + width]),
            "lower half at {column},{row}"
        );
    }
}

#[test]
fn the_place_that_attends_most_is_the_brightest() {
    let app = after(finished(), &[Action::Show(View::Attention), Action::Down]);
    let map = attention(&app).0[0].clone();
    let values = map.map(None, app.cursor.token);
    let largest = (0..values.len())
        .max_by(|&a, &b| values[a].total_cmp(&values[b]))
        .unwrap();
    let buffer = draw(&app, (80, 24));
    let (x, y) = find(&buffer, "attention alone");
    let (column, row) = ((largest % map.width) as u16, (largest / map.width) as u16);
    let cell = &buffer[(x + column, y + 1 + row / 2)];
    let colour = if row % 2 == 0 { cell.fg } else { cell.bg };
    let [red, green, blue] = ColourMap::Magnitude.at(1.0);
    assert_eq!(colour, Color::Rgb(red, green, blue));
}

#[test]
fn a_terminal_without_colours_gets_shades_and_not_one_colour() {
    for view in View::ALL {
        let app = after(finished(), &[Action::Show(view)]);
        let buffer = draw_in(&app, (120, 40), Colours::None);
        for cell in &buffer.content {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{view:?}");
        }
        if matches!(
            view,
            View::Noise | View::Denoising | View::Attention | View::Image
        ) {
            let shades = buffer
                .content
                .iter()
                .filter(|cell| "░▒▓█".contains(cell.symbol()));
            assert!(shades.count() > 100, "{view:?}");
        }
    }
}

#[test]
fn a_terminal_with_256_colours_gets_only_those() {
    for view in View::ALL {
        let app = after(finished(), &[Action::Show(view)]);
        for cell in &draw_in(&app, (100, 30), Colours::Indexed).content {
            for colour in [cell.fg, cell.bg] {
                assert!(
                    matches!(colour, Color::Reset | Color::Indexed(_)),
                    "{view:?}: {colour:?}"
                );
            }
        }
    }
}

#[test]
fn going_back_and_forth_changes_the_moment_in_every_view_and_loses_nothing() {
    let app = finished();
    let kept = app.run().unwrap().trace.steps.len();
    let back = after(app.clone(), &[Action::StepBack, Action::StepBack]);
    assert!(text(&back, (120, 40)).contains("step  2 / 4"));
    for view in [View::Schedule, View::Denoising, View::Attention] {
        let now = after(app.clone(), &[Action::Show(view)]);
        let then = after(back.clone(), &[Action::Show(view)]);
        assert_ne!(draw(&now, (120, 40)), draw(&then, (120, 40)), "{view:?}");
    }
    let forth = after(back, &[Action::LastStep]);
    assert_eq!(forth.run().unwrap().trace.steps.len(), kept);
    assert_eq!(draw(&forth, (120, 40)), draw(&app, (120, 40)));
    let first = after(app.clone(), &[Action::FirstStep, Action::StepBack]);
    assert!(text(&first, (80, 24)).contains("step  1 / 4"));
    let jumped = [Action::Jump, Action::Type(Typing::Insert("3".into()))];
    let jumped = after(app, &jumped);
    assert!(text(&jumped, (80, 24)).contains("go to step: 3"));
    let jumped = after(jumped, &[Action::Type(Typing::Submit)]);
    assert!(text(&jumped, (80, 24)).contains("step  3 / 4"));
}

#[test]
fn the_selected_token_is_the_same_in_every_view() {
    let app = after(
        finished(),
        &[Action::Show(View::Tokens), Action::Up, Action::Up],
    );
    let selected = Theme::new(Colours::True).selected();
    for view in [View::Embedding, View::TextEncoder, View::Attention] {
        let buffer = draw(&after(app.clone(), &[Action::Show(view)]), (120, 40));
        let (x, y) = find(&buffer, " riding ");
        assert_eq!(buffer[(x + 1, y)].bg, selected.bg.unwrap(), "{view:?}");
    }
    let buffer = draw(&app, (120, 40));
    let (x, y) = find(&buffer, PROMPT);
    let riding = PROMPT.find("riding").unwrap() as u16;
    assert_eq!(buffer[(x + riding, y)].bg, selected.bg.unwrap());
    assert_ne!(buffer[(x + riding - 1, y)].bg, selected.bg.unwrap());
}

#[test]
fn the_last_line_has_only_keys_that_work_here() {
    let line = |app: &App| text(app, (200, 60)).lines().last().unwrap().to_owned();
    let app = finished();
    let attention = line(&after(app.clone(), &[Action::Show(View::Attention)]));
    assert!(
        attention.contains("h head") && !attention.contains("cancel"),
        "{attention}"
    );
    let image = line(&after(app.clone(), &[Action::Show(View::Image)]));
    assert!(
        !image.contains("head") && image.contains("s save"),
        "{image}"
    );
    let editing = line(&after(app, &[Action::Edit]));
    assert!(
        editing.contains("enter run") && !editing.contains("quit"),
        "{editing}"
    );
    let loading = line(&App::new(0));
    assert!(
        !loading.contains("step") && loading.contains("q quit"),
        "{loading}"
    );
}

#[test]
fn another_seed_runs_again_and_gives_another_picture() {
    let before = finished()
        .runs
        .current
        .unwrap()
        .trace
        .image
        .unwrap()
        .image
        .clone();
    let session = Session::start(loader(), PROMPT, 4).until(has_picture);
    let same = session
        .app
        .run()
        .unwrap()
        .trace
        .image
        .as_ref()
        .unwrap()
        .image
        .clone();
    assert!(before == same, "the same request gives the same picture");
    let session = session
        .act(Action::Edit)
        .act(Action::Type(Typing::NextField))
        .act(Action::Type(Typing::NextField))
        .act(Action::Type(Typing::Insert("7".into())));
    assert!(text(&session.app, (80, 24)).contains("427"));
    let session = session.act(Action::Type(Typing::Submit)).until(has_picture);
    assert!(text(&session.app, (80, 24)).contains("seed 427"));
    let other = &session
        .app
        .run()
        .unwrap()
        .trace
        .image
        .as_ref()
        .unwrap()
        .image;
    assert!(*other != before);
}

#[test]
fn a_wrong_number_is_refused_where_it_was_typed() {
    let typed = [
        Action::Edit,
        // From the prompt up: the model, the scheduler, the guidance scale.
        Action::Type(Typing::PreviousField),
        Action::Type(Typing::PreviousField),
        Action::Type(Typing::PreviousField),
        Action::Type(Typing::Insert("many".into())),
        Action::Type(Typing::Submit),
    ];
    let screen = text(&after(finished(), &typed), (80, 24));
    assert!(
        screen.contains("guidance scale must be a number"),
        "{screen}"
    );
    assert!(
        screen.contains("5many"),
        "what was typed is still there: {screen}"
    );
}

#[test]
fn one_head_is_computed_on_demand_and_differs_from_the_mean() {
    let session = Session::start(loader(), PROMPT, 2)
        .until(has_picture)
        .act(Action::Show(View::Attention));
    let mean = draw(&session.app, (120, 40));
    let session = session.act(Action::NextHead);
    assert!(text(&session.app, (120, 40)).contains("head 0 is being computed"));
    let session = session.until(|app| attention(app).1);
    assert!(text(&session.app, (120, 40)).contains("head 0"));
    let (x, y) = find(&mean, "attention alone");
    let head = draw(&session.app, (120, 40));
    let differing =
        (0..16).filter(|&column| mean[(x + column, y + 4)] != head[(x + column, y + 4)]);
    assert!(differing.count() > 4);
    // The mean over the heads is what was recorded.
    let run = session.app.run().unwrap();
    let heads = run.attention(session.app.cursor.attention_key(AttentionDetail::Heads));
    let means = run.attention(session.app.cursor.attention_key(AttentionDetail::Mean));
    assert_eq!((heads.len(), means.is_empty()), (means.len(), false));
    for (heads, mean) in heads.iter().zip(means) {
        let count = heads.heads.unwrap();
        for place in 0..mean.width * mean.height {
            let of_heads = (0..count).map(|head| heads.map(Some(head), 5)[place]);
            let average = of_heads.sum::<f32>() / count as f32;
            assert!((average - mean.map(None, 5)[place]).abs() < 1e-5);
        }
    }
}

#[test]
fn a_step_is_decoded_on_demand() {
    let session = Session::start(loader(), PROMPT, 2)
        .until(has_picture)
        .act(Action::StepBack)
        .act(Action::Decode);
    assert!(text(&session.app, (120, 40)).contains("predicted x0, decoding"));
    let session = session.until(|app| !app.is_busy());
    assert!(text(&session.app, (120, 40)).contains("predicted x0, decoded"));
    let run = session.app.run().unwrap();
    let size = run.trace.image.as_ref().unwrap().image.dimensions();
    assert_eq!(run.decoded[&0].dimensions(), size);
}

#[test]
fn a_cancelled_run_keeps_what_was_done_and_goes_on() {
    let steps = |app: &App| app.run().map_or(0, |run| run.trace.steps.len());
    let session = Session::start(loader(), PROMPT, 8)
        .until(|app| steps(app) >= 1)
        .act(Action::Cancel)
        .until(App::can_continue);
    let done = steps(&session.app);
    assert!((1..8).contains(&done));
    assert!(text(&session.app, (80, 24)).contains("space goes on"));
    // One step by hand, then on to the end.
    let session = session.act(Action::StepForward).until(App::can_continue);
    assert_eq!(steps(&session.app), done + 1);
    let session = session.act(Action::PlayPause).until(has_picture);
    assert_eq!(steps(&session.app), 8);
    let whole = Session::start(loader(), PROMPT, 8).until(has_picture);
    let image = |session: &Session| {
        session
            .app
            .run()
            .unwrap()
            .trace
            .image
            .as_ref()
            .unwrap()
            .image
            .clone()
    };
    assert!(
        image(&session) == image(&whole),
        "interrupting changes nothing"
    );
}

#[test]
fn nothing_in_a_prompt_can_steer_the_terminal() {
    let prompt = "a \u{1b}[31mred\u{7} \u{202e}apple\u{9b} 苹果 👩‍🚀";
    let session = Session::start(loader(), prompt, 1).until(has_picture);
    for view in View::ALL {
        for size in SIZES {
            let app = after(session.app.clone(), &[Action::Show(view)]);
            for cell in &draw(&app, size).content {
                let steers = |character: char| character.is_control() || character == '\u{202e}';
                assert!(
                    !cell.symbol().chars().any(steers),
                    "{view:?}: {:?}",
                    cell.symbol()
                );
            }
        }
    }
    let app = after(session.app, &[Action::Show(View::Prompt)]);
    let screen = text(&app, (120, 40));
    assert!(screen.contains("␛[31mred␇"), "{screen}");
}

#[test]
fn an_over_long_prompt_says_what_was_cut_off() {
    let prompt = "red apple ".repeat(50);
    let session = Session::start(loader(), &prompt, 1).until(has_picture);
    for size in SIZES {
        for view in View::ALL {
            draw(&after(session.app.clone(), &[Action::Show(view)]), size);
        }
        let app = after(session.app.clone(), &[Action::Show(View::Tokens)]);
        let screen = text(&app, size);
        assert!(screen.contains("25 tokens were cut off"), "{screen}");
    }
}

#[test]
fn words_that_the_model_never_saw_are_marked() {
    let session = Session::start(loader(), "a xylophone", 1).until(has_picture);
    let app = after(session.app, &[Action::Show(View::Tokens)]);
    let screen = text(&app, (120, 40));
    assert!(screen.contains("never seen"), "{screen}");
    assert!(
        !text(&after(finished(), &[Action::Show(View::Tokens)]), (120, 40)).contains("never seen")
    );
}

#[test]
fn without_guidance_the_difference_is_explained_and_not_invented() {
    let session = Session::start(loader(), PROMPT, 1)
        .until(has_picture)
        .act(Action::Edit);
    let mut session = session;
    for _ in 0..4 {
        session = session.act(Action::Type(Typing::NextField));
    }
    let session = session
        .act(Action::Type(Typing::DeleteToStart))
        .act(Action::Type(Typing::Insert("1".into())))
        .act(Action::Type(Typing::Submit))
        .until(has_picture)
        .act(Action::Show(View::Denoising));
    assert!(text(&session.app, (120, 40)).contains("Guidance is off"));
}

#[test]
fn a_model_that_does_not_load_leaves_a_screen_that_says_why() {
    let missing: Loader = Box::new(|_| anyhow::bail!("there is no folder `nowhere`"));
    let broken: Loader = Box::new(|_| panic!("a defect"));
    for (loader, words) in [
        (missing, "there is no folder `nowhere`"),
        (broken, "has a defect"),
    ] {
        let session =
            Session::start(loader, PROMPT, 1).until(|app| matches!(app.model, Model::Failed(_)));
        for view in View::ALL {
            let app = after(session.app.clone(), &[Action::Show(view)]);
            let screen = text(&app, (80, 24));
            let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(words), "{view:?}:\n{screen}");
            assert!(screen.contains("q quit"));
        }
    }
}

#[test]
fn before_anything_is_there_every_view_says_so() {
    let app = App::new(64 << 20);
    for view in View::ALL {
        let screen = text(&after(app.clone(), &[Action::Show(view)]), (80, 24));
        assert!(screen.contains("the model is being"), "{view:?}:\n{screen}");
        assert!(screen.contains("loading the model"), "{view:?}:\n{screen}");
    }
}

#[test]
fn attention_that_did_not_fit_its_memory_is_computed_again() {
    let mut session = Session::start(loader(), PROMPT, 2);
    session.app = App::new(0);
    let session = session
        .until(has_picture)
        .act(Action::Show(View::Attention));
    assert!(text(&session.app, (80, 24)).contains("memory for attention was full"));
    let session = session.until(|app| !app.is_busy());
    assert!(text(&session.app, (80, 24)).contains("share of attention"));
    let (recomputed, recorded) = (attention(&session.app).0, finished());
    assert_eq!(recomputed.len(), attention(&recorded).0.len());
}

#[test]
fn a_frame_of_any_view_is_drawn_quickly() {
    // Generous: a debug build on a busy machine. What it catches is work that belongs to the worker.
    for view in View::ALL {
        let app = after(finished(), &[Action::Show(view)]);
        let best = (0..5).map(|_| {
            let start = Instant::now();
            draw(&app, (200, 60));
            start.elapsed()
        });
        assert!(best.min().unwrap() < Duration::from_millis(250), "{view:?}");
    }
}

/// A finished run with a negative prompt and words of every kind: merged, never seen, not of letters.
fn words() -> App {
    static APP: OnceLock<App> = OnceLock::new();
    let run = || {
        let session = Session::start(loader(), "a dreambeach 苹果 xylophone horse", 2)
            .until(has_picture)
            .act(Action::Edit)
            .act(Action::Type(Typing::NextField))
            .act(Action::Type(Typing::Insert("dark zeppelin".into())))
            .act(Action::Type(Typing::Submit));
        session.until(has_picture).app
    };
    APP.get_or_init(run).clone()
}

/// The same with the prompt's token `position` selected.
fn words_at(position: usize, view: View) -> App {
    let mut app = words();
    app.cursor.token = position;
    after(app, &[Action::Show(view)])
}

/// The prompt's positions.
fn prompt_of(app: &App) -> &Tokens {
    let trace = &app.run().unwrap().trace;
    &trace.tokens.as_ref().unwrap().prompt
}

#[test]
fn merges_go_from_single_bytes_to_the_pieces_one_pair_at_a_time() {
    // a dream beach␣: positions 1, 2 and 3.
    let app = words_at(3, View::Tokens);
    let ids = prompt_of(&app);
    assert_eq!((ids.tokens[2].id, ids.tokens[3].id), (4595, 2117));
    for size in SIZES {
        let buffer = draw(&app, size);
        let screen = text(&app, size);
        let (_, title) = find(&buffer, "how “dreambeach” is merged");
        let (x, bytes) = find(&buffer, "d r e a m b e a c h␣");
        assert_eq!(bytes, title + 1, "{screen}");
        let (_, last) = find(&buffer, "dream beach␣ ");
        assert!(last > bytes, "{screen}");
        // One of its pieces is the selected token, and is marked as such.
        let selected = Theme::new(Colours::True).selected();
        let row = bytes + 1;
        let joined = (x..x + 20)
            .filter(|&x| buffer[(x, row)].fg != Color::Reset)
            .count();
        assert!(
            (2..8).contains(&joined),
            "the pair just joined has the accent: {screen}"
        );
        let marked = (x..x + 12).filter(|&x| buffer[(x, last)].bg == selected.bg.unwrap());
        assert_eq!(marked.count(), "beach␣".chars().count(), "{screen}");
    }
}

#[test]
fn letters_that_no_merge_joins_stay_bytes() {
    let app = words_at(4, View::Tokens);
    let tokens = prompt_of(&app);
    let ids: Vec<u32> = tokens.tokens[4..10].iter().map(|token| token.id).collect();
    assert_eq!(ids, [164, 233, 117, 162, 252, 506]);
    let screen = text(&app, (120, 40));
    assert!(
        screen.contains("how “苹果” is merged") || screen.contains("is merged"),
        "{screen}"
    );
    assert!(screen.contains("e8 8b b9 e6 9e 9c␣"), "{screen}");
    let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("its 6 bytes"), "{screen}");
}

#[test]
fn the_negative_prompt_stands_beside_the_prompt_and_can_be_looked_at() {
    let app = words_at(2, View::Tokens);
    for size in SIZES {
        let screen = text(&app, size);
        assert!(screen.contains("dark zeppelin"), "{screen}");
        assert!(screen.contains("never seen in training"), "{screen}");
    }
    let negative = after(app, &[Action::Switch]);
    let tokens = &negative.run().unwrap().trace.tokens.as_ref().unwrap();
    let id = tokens.negative_prompt.tokens[2].id.to_string();
    let screen = text(&negative, (120, 40));
    assert!(screen.contains(&format!("id {id}")), "{screen}");
    assert!(screen.contains("▸ negative prompt"), "{screen}");
    let buffer = draw(&negative, (120, 40));
    let (x, y) = find(&buffer, "dark zeppelin");
    let selected = Theme::new(Colours::True).selected();
    assert_ne!(buffer[(x, y)].bg, selected.bg.unwrap());
    assert_eq!(buffer[(x + 5, y)].bg, selected.bg.unwrap());
}

/// Cosine of two rows of the embedding table, computed here.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn the_nearest_words_are_those_of_the_whole_table() {
    let app = after(finished(), &[Action::Show(View::Embedding)]);
    let run = app.run().unwrap();
    let id = run.tokens()[app.cursor.token].id;
    let pipeline = pipeline();
    let table = pipeline
        .token_embeddings()
        .to_dtype(candle_core::DType::F32)
        .unwrap();
    let rows = table.to_vec2::<f32>().unwrap();
    let known = rows
        .iter()
        .filter(|row| row.iter().any(|&value| value != 0.0))
        .count();
    let mut all: Vec<(f64, usize)> = (0..rows.len())
        .filter(|&row| row != id as usize && rows[row].iter().any(|&value| value != 0.0))
        .map(|row| (cosine(&rows[id as usize], &rows[row]), row))
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let nearest = &run.vocabulary.as_ref().unwrap().nearest;
    assert_eq!((nearest.known, nearest.rows), (known, rows.len()));
    for (found, (cosine, row)) in nearest.of[&id].iter().zip(&all) {
        assert!((f64::from(found.cosine) - cosine).abs() < 1e-5);
        assert!(found.id as usize == *row || (cosine - f64::from(found.cosine)).abs() < 1e-6);
    }
    let first = &nearest.of[&id][0];
    let name = String::from_utf8(first.bytes.clone()).unwrap();
    for size in SIZES {
        let screen = text(&app, size);
        assert!(screen.contains(&known.to_string()), "{screen}");
        assert!(screen.contains(&name), "{name} is nearest:\n{screen}");
    }
}

#[test]
fn token_and_position_parts_are_looked_at_apart() {
    let app = after(finished(), &[Action::Show(View::Embedding)]);
    let run = app.run().unwrap();
    let state = |name: &str| {
        let states = &run.trace.text.as_ref().unwrap().prompt;
        states
            .iter()
            .find(|state| &*state.name == name)
            .unwrap()
            .clone()
    };
    let at = app.cursor.token;
    let (token, position) = (state("token_embedding"), state("position_embedding"));
    let norm = |row: &[f32]| {
        row.iter()
            .map(|x| f64::from(*x).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let sum: Vec<f32> = token
        .row(at)
        .iter()
        .zip(position.row(at))
        .map(|(a, b)| a + b)
        .collect();
    let expected = [norm(token.row(at)), norm(position.row(at)), norm(&sum)];
    let mut app = app;
    for expected in expected {
        let screen = text(&app, (120, 40));
        assert!(
            screen.contains(&format!("norm {expected:.6}")),
            "{expected}: {screen}"
        );
        app = after(app, &[Action::Switch]);
    }
}

#[test]
fn the_same_word_twice_has_the_same_row_and_another_place() {
    // "a" stands at positions 1 and 7.
    let mut app = finished();
    app.cursor.token = 1;
    let app = after(app, &[Action::Show(View::Embedding)]);
    let screen = text(&app, (200, 60));
    let (_, list) = screen.split_once("in this prompt").unwrap();
    let first = list.lines().nth(1).unwrap();
    assert!(first.contains("1.000"), "the other a: {first}");
}

#[test]
fn any_head_of_the_text_encoder_can_be_looked_at_and_their_mean_is_what_was_recorded() {
    let app = after(finished(), &[Action::Show(View::TextEncoder)]);
    let run = app.run().unwrap();
    let text_trace = run.trace.text.as_ref().unwrap();
    for (heads, mean) in text_trace.heads.iter().zip(&text_trace.attention) {
        assert_eq!(heads.shape[1..], [77, 77]);
        let count = heads.shape[0];
        for place in (0..77 * 77).step_by(13) {
            let sum: f32 = (0..count).map(|head| heads.plane(head)[place]).sum();
            assert!((sum / count as f32 - mean.data[place]).abs() < 1e-6);
        }
    }
    let mean = draw(&app, (120, 40));
    let head = after(app.clone(), &[Action::NextHead, Action::NextHead]);
    let buffer = draw(&head, (120, 40));
    // The last word's attention to the start, in the colour of its value.
    let value = text_trace.heads[app.cursor.text_layer - 1].plane(1)[app.cursor.token * 77];
    let (_, y) = find(&buffer, "norm   moved");
    let header = lines(&buffer)[usize::from(y)].clone();
    let (before, _) = header.split_once("start").unwrap();
    let place = (
        before.chars().count() as u16,
        y + 1 + app.cursor.token as u16,
    );
    let [red, green, blue] = ColourMap::Magnitude.at(value);
    assert_eq!(buffer[place].bg, Color::Rgb(red, green, blue));
    assert!(text(&head, (120, 40)).contains(&format!("{value:.2}")));
    assert_ne!(buffer, mean);
    let round = after(
        head,
        &[Action::NextHead, Action::NextHead, Action::NextHead],
    );
    assert_eq!(
        draw(&round, (120, 40)),
        mean,
        "after the last head comes the mean"
    );
}

#[test]
fn the_start_tokens_row_is_the_same_for_every_prompt() {
    for size in SIZES {
        let screen = text(&words_at(1, View::TextEncoder), size);
        assert!(screen.contains("0, exactly the same"), "{screen}");
    }
    let (one, other) = (finished(), words());
    let output = |app: &App, position: usize| {
        let text = app.run().unwrap().trace.text.clone().unwrap();
        let last = text.prompt.last().unwrap();
        assert_eq!(&*last.name, "prompt_embedding");
        last.row(position).to_vec()
    };
    assert!(output(&one, 0) == output(&other, 0));
    assert!(output(&one, 2) != output(&other, 2));
}

#[test]
fn the_noise_times_the_initial_sigma_are_the_first_latents() {
    let app = after(finished(), &[Action::Show(View::Noise)]);
    let run = app.run().unwrap();
    let info = run.trace.noise.as_ref().unwrap();
    let latents = run.trace.steps[0].tensor("latents").unwrap();
    let scaled = after(app.clone(), &[Action::Switch]);
    let plane = latents.plane(0);
    let mean = plane.iter().map(|x| f64::from(*x)).sum::<f64>() / plane.len() as f64;
    let screen = text(&scaled, (120, 40));
    let shown = format!("mean {mean:.3}").replace('-', "−");
    assert!(screen.contains(&shown), "{shown}: {screen}");
    // Colours follow the values: scaling all of them alike changes no pixel.
    let (a, b) = (draw(&app, (120, 40)), draw(&scaled, (120, 40)));
    let (x, y) = find(&a, "▸ channel 0");
    for place in [(x, y + 1), (x + 7, y + 3), (x + 15, y + 8)] {
        assert_eq!(a[place], b[place]);
    }
    let inside = info
        .initial_noise
        .plane(0)
        .iter()
        .filter(|x| x.abs() <= 1.0)
        .count();
    let share = 100.0 * inside as f64 / plane.len() as f64;
    let screen = text(&app, (120, 40));
    assert!(
        screen.contains(&format!("{share:>7.1}    68.3 %")),
        "{screen}"
    );
}

#[test]
fn the_schedule_shows_every_curve_on_both_axes_and_another_scheduler_over_it() {
    let app = after(finished(), &[Action::Show(View::Schedule)]);
    let run = app.runs.current.clone().unwrap();
    let schedule = run.schedule().unwrap();
    let screen = text(&app, (120, 40));
    for words in [
        "sigmas",
        "alphas_cumprod",
        "betas",
        "logarithmic",
        "● 4 steps",
    ] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    // Linear sigmas: the axis goes from 0 to the largest.
    let linear = after(app.clone(), &[Action::SwitchAxis]);
    assert!(text(&linear, (80, 24)).contains("0.000"));
    let betas = after(
        app.clone(),
        &[Action::Switch, Action::Switch, Action::SwitchAxis],
    );
    let last = f64::from(*schedule.betas.last().unwrap());
    assert!(text(&betas, (80, 24)).contains(&format!("{last:.3}")));
    // The marked step stands under the line, in the selection's colours in the table.
    let buffer = draw(&app, (120, 40));
    let row = format!("   4 {:>8.3}", schedule.timesteps[3]);
    let (x, y) = find(&buffer, &row);
    assert_eq!(
        buffer[(x, y)].bg,
        Theme::new(Colours::True).selected().bg.unwrap()
    );
    // Another scheduler with ten steps: its own first sigma and timestep stand beside.
    let mut more = app;
    more.cursor.detail.other = Some(SchedulerKind::Ddim);
    more.cursor.detail.other_steps = Some(10);
    let config = run.scheduler_config.as_ref().unwrap();
    let expected = diffuscope::scheduler::Schedule::new(SchedulerKind::Ddim, config, 10).unwrap();
    for size in SIZES {
        let screen = text(&more, size);
        assert!(screen.contains("◇ ddim · 10 steps"), "{screen}");
    }
    let screen = text(&more, (120, 40));
    for index in [0, 9] {
        let row = format!(
            "{:.3}    {:>6.4}",
            expected.timesteps[index], expected.sigmas[index]
        );
        let row = row.split_whitespace().collect::<Vec<_>>().join(" ");
        let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&row), "{row}: {screen}");
    }
    let buffer = draw(&more, (120, 40));
    let marks = buffer.content.iter().filter(|cell| cell.symbol() == "◇");
    assert!(marks.count() > 10, "its steps stand on the curves");
}
